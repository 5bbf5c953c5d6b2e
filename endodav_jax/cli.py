"""The console script `endodav`: every command under a friendly name.

`COMMANDS` is the table of commands.  A command's module has `Command`, a frozen dataclass (or a union of them, one for
each subcommand) whose fields are the arguments, and `run(command) -> int | None` (the exit code).  It is imported only
when its command is used, so `endodav --help` answers at once.  `docs/extending.md` says how to add one.
"""

import contextlib
import difflib
import importlib
import io
import re
import sys
from typing import NamedTuple

from endodav_jax import process
from endodav_jax.errors import EXIT_OK, UserError, exit_code
from endodav_jax.version import __version__


class Entry(NamedTuple):
    """A command: the module that has its `Command` and its `run`, and one line of help."""

    module: str
    help: str


COMMANDS = {
    "infer": Entry("endodav_jax.jobs.infer", "depth of a video, a folder of images or one image"),
    "stream": Entry("endodav_jax.jobs.stream", "depth of a live source, frame in, depth out"),
    "reconstruct": Entry(
        "endodav_jax.jobs.reconstruct", "camera path and one surface of a clip, with millimetres and confidence"
    ),
    "weights": Entry("endodav_jax.jobs.weights", "list published checkpoints and fetch one"),
    "convert": Entry("endodav_jax.jobs.convert", "convert published PyTorch weights, or write PyTorch names back"),
    "export": Entry("endodav_jax.jobs.export", "write what fine-tuning added, or files for other runtimes"),
    "verify-export": Entry("endodav_jax.jobs.verify_export", "compare exported files with their network"),
    "view": Entry("endodav_jax.jobs.view", "look at depth, paths, surfaces and distances in the browser"),
    "describe": Entry("endodav_jax.jobs.describe", "print a network and its table of parameter groups"),
    "prepare": Entry("endodav_jax.jobs.prepare", "make a data set from a download, your own video, or the phantom"),
    "verify": Entry("endodav_jax.jobs.verify", "check a download or a prepared data set and draw contact sheets"),
    "train": Entry("endodav_jax.jobs.train", "fine-tune on endoscopic video without labels, as a configuration says"),
    "evaluate": Entry("endodav_jax.jobs.evaluate", "measure a network's depth, or another method's predictions"),
    "quickstart": Entry("endodav_jax.jobs.quickstart", "measure, fine-tune without labels, measure again, report"),
    "pretrain": Entry("endodav_jax.jobs.pretrain", "train a small foundation model on the phantom"),
    "reproduce": Entry("endodav_jax.jobs.reproduce", "the tables of the paper, ours beside theirs"),
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    process.set_up()
    argv = sys.argv[1:] if argv is None else list(argv)
    name, arguments = (argv[0], argv[1:]) if argv else ("--help", [])
    if name in ("-h", "--help"):
        print(overview())
        return EXIT_OK
    if name == "--version":
        print(f"endodav {__version__}")
        return EXIT_OK
    return exit_code(f"endodav {name}" if name in COMMANDS else "endodav", lambda: _run(name, arguments))


def overview() -> str:
    """Returns what `endodav --help` prints: the table of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {entry.help}" for name, entry in COMMANDS.items()]
    below = "`endodav COMMAND --help` lists the arguments of a command."
    return "\n".join(["usage: endodav COMMAND ...", "", "Depth for endoscopic video.", "", *lines, "", below])


def parse(name: str, arguments: list[str]):
    """Returns a command's arguments as its module's `Command`.

    Raises:
      UserError: an argument is unknown, missing or has a value that it cannot have.
      SystemExit: help was asked for, and is printed.
    """
    import tyro

    command = importlib.import_module(COMMANDS[name].module).Command
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                command,
                prog=f"endodav {name}",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stopped:
        if stopped.code in (None, EXIT_OK):
            raise
    raise UserError(_one_line(printed.getvalue()) or "arguments that do not fit; see --help")


def _run(name: str, arguments: list[str]) -> int | None:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "`endodav --help` lists them"
        raise UserError(f"{name}: no such command; {hint}")
    command = parse(name, arguments)
    return importlib.import_module(COMMANDS[name].module).run(command)


def _one_line(box: str) -> str:
    """Returns what a box of tyro's says above its first rule, and the first of the spellings that it proposes.

    The box is drawn with characters of its own, or with ASCII where the terminal has nothing else; its first line is a
    title.
    """
    rows = [re.sub(r"^\s*[│|]?\s*|\s*[│|]?\s*$", "", row) for row in box.splitlines()[1:]]
    parts = [" ".join(part.split()) for part in re.split(r"^[─╰╯-]*$", "\n".join(rows), flags=re.MULTILINE)]
    said, *below = [part for part in parts if part] or [""]
    # What a field's own check says begins with its place in a configuration.
    said = re.sub(r"^Error parsing [\w.-]+: (?:\w+\.)+(\w+): ", lambda m: f"--{m[1].replace('_', '-')}: ", said)
    said = re.sub(r"^Error parsing (\S+): ", r"\1: ", said)
    proposed = re.search(r"Perhaps you meant:.*?(--[\w-]+)", " ".join(below))
    return f"{said}; did you mean {proposed[1]}?" if proposed else said


if __name__ == "__main__":
    sys.exit(main())
