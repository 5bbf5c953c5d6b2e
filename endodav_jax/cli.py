"""The console script `endodav`.

`COMMANDS` is the table of commands.  The module of a command has `Command`, a frozen dataclass (or a union of them, one
per subcommand) whose fields are the arguments, and `run(command) -> int | None` (the exit code).  It is imported only
when its command is used, so `endodav --help` is fast.  `docs/extending.md` explains how to add a command.
"""

import contextlib
import difflib
import importlib
import io
import itertools
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from endodav_jax import process
from endodav_jax.errors import EXIT_OK, UserError, exit_code
from endodav_jax.version import __version__


class Entry(NamedTuple):
    """A command: the module with its `Command` and its `run`, and one line of help."""

    module: str
    help: str


COMMANDS = {
    "infer": Entry("endodav_jax.jobs.infer", "depth from a video, a folder of images or a single image"),
    "stream": Entry("endodav_jax.jobs.stream", "depth from a live source, frame by frame"),
    "reconstruct": Entry(
        "endodav_jax.jobs.reconstruct", "camera path and fused surface of a clip, with scale and confidence"
    ),
    "weights": Entry("endodav_jax.jobs.weights", "list or download published checkpoints"),
    "convert": Entry("endodav_jax.jobs.convert", "convert published PyTorch weights, or write PyTorch names back"),
    "export": Entry("endodav_jax.jobs.export", "write an adapter file, merged weights or files for other runtimes"),
    "verify-export": Entry("endodav_jax.jobs.verify_export", "compare exported files with the original network"),
    "view": Entry("endodav_jax.jobs.view", "show depth, paths, surfaces and distances in the browser"),
    "describe": Entry("endodav_jax.jobs.describe", "print a network and its table of parameter groups"),
    "prepare": Entry("endodav_jax.jobs.prepare", "make a data set from a download, your own video, or the phantom"),
    "verify": Entry("endodav_jax.jobs.verify", "check a download or a prepared data set and draw contact sheets"),
    "train": Entry("endodav_jax.jobs.train", "fine-tune on unlabelled endoscopic video, from a configuration"),
    "evaluate": Entry("endodav_jax.jobs.evaluate", "evaluate a network's depth, or another method's predictions"),
    "quickstart": Entry("endodav_jax.jobs.quickstart", "evaluate, fine-tune without labels, evaluate again, report"),
    "pretrain": Entry("endodav_jax.jobs.pretrain", "train a small foundation model on the phantom"),
    "reproduce": Entry("endodav_jax.jobs.reproduce", "reproduce the paper's tables, ours next to theirs"),
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
    """Returns the text of `endodav --help`: the table of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {entry.help}" for name, entry in COMMANDS.items()]
    below = "`endodav COMMAND --help` lists the arguments of a command."
    return "\n".join(["usage: endodav COMMAND ...", "", "Depth for endoscopic video.", "", *lines, "", below])


def parse(name: str, arguments: list[str]):
    """Returns the arguments of a command as an instance of its module's `Command`.

    Raises:
      UserError: an argument is unknown, missing or has an invalid value.
      SystemExit: help was requested and has been printed.
    """
    import tyro

    from endodav_jax.fields import OPTIONS, user_path

    for before, word in itertools.pairwise(["", *arguments]):
        if not word and not before.startswith("-"):  # what an option may not be, its field says
            raise UserError("an argument is empty; is a variable of the shell not set? (. is the current folder)")
    command = importlib.import_module(COMMANDS[name].module).Command
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                command,
                prog=f"endodav {name}",
                args=[_expanded(word, user_path) for word in arguments],
                registry=OPTIONS,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone),
            )
    except SystemExit as stopped:
        if stopped.code in (None, EXIT_OK):
            raise
    raise UserError(_one_line(printed.getvalue()) or "invalid arguments; see --help")


def _run(name: str, arguments: list[str]) -> int | None:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "`endodav --help` lists them"
        raise UserError(f"{name}: no such command; {hint}")
    command = parse(name, arguments)
    return importlib.import_module(COMMANDS[name].module).run(command)


def _expanded(word: str, expand: Callable[[str], str]) -> str:
    """Returns an argument with `~` expanded, also in `--option=~/x`."""
    option, equals, value = word.partition("=")
    return f"{option}={expand(value)}" if equals and option.startswith("-") else expand(word)


def _one_line(box: str) -> str:
    """Returns the text above the first rule in a tyro error box, and the first spelling that it suggests.

    The box is drawn with box-drawing characters, or with ASCII if the terminal supports nothing else; its first line is
    a title.
    """
    rows = [re.sub(r"^\s*[│|]?\s*|\s*[│|]?\s*$", "", row) for row in box.splitlines()[1:]]
    parts = [" ".join(part.split()) for part in re.split(r"^[─╰╯-]*$", "\n".join(rows), flags=re.MULTILINE)]
    said, *below = [part for part in parts if part] or [""]
    # The message of a field's own check begins with the field's place in a configuration.
    said = re.sub(r"^Error parsing [\w.-]+: (?:\w+\.)+(\w+): ", lambda m: f"--{m[1].replace('_', '-')}: ", said)
    said = re.sub(r"^Error parsing (\S+): ", r"\1: ", said)
    proposed = re.search(r"Perhaps you meant:.*?(--[\w-]+)", " ".join(below))
    return f"{said}; did you mean {proposed[1]}?" if proposed else said


if __name__ == "__main__":
    sys.exit(main())
