"""`endodav weights list` and `endodav weights get NAME`: published checkpoints."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.plain_table import plain_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class List:
    """Lists the known published checkpoints.

    Attributes:
      addresses: also print their addresses and SHA-256.
    """

    addresses: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Get:
    """Downloads a published checkpoint and verifies it.

    Attributes:
      name: name of the checkpoint, as listed by `endodav weights list`.
      output: file to write, or a folder (a name without suffix is one); by default the published name, in the
        current folder.
      accept_licence: accept the licence without being asked, if it has conditions.
      address: download the same file from this address, such as a mirror.
      overwrite: replace an existing file.
      quiet: show no progress bar.
    """

    name: Annotated[str, *positional("NAME")]
    output: Annotated[Path | None, spelled("-o", metavar="FILE|FOLDER")] = None
    accept_licence: bool = False
    address: Annotated[str | None, spelled(metavar="URL")] = None
    overwrite: bool = False
    quiet: bool = False


Command = Annotated[List, tyro.conf.subcommand("list")] | Annotated[Get, tyro.conf.subcommand("get")]


def run(command: Command) -> None:
    """Prints the table, or downloads a file."""
    if isinstance(command, List):
        _list(command)
    else:
        _get(command)


def _list(command: List) -> None:
    from endodav_jax.checkpoints.published import PUBLISHED

    rows = [("name", "MB", "published at", "licence")]
    rows += [(name, _megabytes(entry.size), entry.page, entry.licence) for name, entry in PUBLISHED.items()]
    print("\n".join(plain_table(rows, left=4)))
    if command.addresses:
        for name, entry in PUBLISHED.items():
            print(f"\n{name}\n  {entry.address}\n  SHA-256 {entry.sha256 or 'not known'}")


def _get(command: Get) -> None:
    from endodav_jax.checkpoints.download import check_address, download
    from endodav_jax.checkpoints.published import commands_after, published_file
    from endodav_jax.files import refuse_existing

    entry = published_file(command.name)
    address = command.address or entry.address
    check_address(address)
    path = command.output or Path(entry.file)
    if path.is_dir() or (command.output and not path.suffix):
        path /= entry.file
    if not command.overwrite:
        refuse_existing(path)
    print(f"{command.name}: {address}\nlicence: {entry.licence}; see {entry.page}", flush=True)
    if not (entry.free or command.accept_licence):
        _confirm(command.name)
    sha256 = download(
        address, path, size=entry.size, sha256=entry.sha256, overwrite=command.overwrite, quiet=command.quiet
    )
    checked = "as published" if entry.sha256 else "not compared, since the published checksum is not known"
    print(f"written: {path}\nSHA-256: {sha256} ({checked})")
    print("then:")
    for line in commands_after(path, command.name):
        print(f"  {line}")


def _confirm(name: str) -> None:
    """Asks the user at the terminal; raises `UserError` if there is no terminal or the answer is no."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"{name}: its licence has conditions; read it and pass --accept-licence")
    try:
        answer = input("Do you accept it? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(f"{name}: not downloaded, since its licence was not accepted")


def _megabytes(size: int | None) -> str:
    return "not known" if size is None else f"{size / 1e6:,.0f}"
