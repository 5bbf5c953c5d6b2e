"""Runs the job that a configuration names: `python -m endodav_jax.main --config NAME --workdir DIR`.

Any field can be set on the command line: `--config.model.preset=vits`.
"""

import importlib
import re
import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from endodav_jax import process
from endodav_jax.config import Config, check_field, config_file, config_from_dict, load_config_file
from endodav_jax.errors import EXIT_USER_ERROR, UserError, exit_code
from endodav_jax.fields import user_path

_CONFIG = config_flags.DEFINE_config_file("config", None, "A configuration file, or a name in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for everything the job writes.")

JOBS = ("describe", "infer", "pretrain", "train", "evaluate", "quickstart")


def run(argv: list[str]) -> int:
    """Builds the configuration, runs its job and returns the exit code.

    Args:
      argv: the program, and the words of the command line that belong to no flag.
    """
    process.set_up()
    return exit_code("endodav_jax", lambda: _run_job(argv[1:]))


def _run_job(words: list[str]) -> int | None:
    if words:
        raise UserError(f"{words[0]}: is no option; write --{words[0]}, or --OPTION={words[0]} if it is a value")
    config, workdir = _arguments()
    job = importlib.import_module(f"endodav_jax.jobs.{config.job}")
    return job.run_config(config, workdir)


def _arguments() -> tuple[Config, Path]:
    """Returns the configuration and the folder given by the flags, or raises `UserError`."""
    values = _CONFIG.value
    if values is None or not _WORKDIR.value:
        raise UserError("--config FILE and --workdir DIR are both needed")
    config = config_from_dict(values.to_dict())
    if config.job not in JOBS:
        raise UserError(f"config.job: {config.job!r} is not one of {', '.join(JOBS)}")
    return config, Path(user_path(_WORKDIR.value))


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; a missing file and an unknown flag or field give one line instead of a traceback."""
    try:
        return flags.FLAGS(_with_files(argv))
    except UserError as error:
        line = str(error)
    except (AttributeError, KeyError, TypeError, ValueError, flags.Error) as error:
        # ml_collections names an unknown field in the repr of a two-line KeyError.
        what = str(error.args[0]).replace("\\n", "\n").replace("\n", " ").replace("'", "").replace("\\", "")
        section = re.search(r"flag --(\S+?)=.* as a ConfigDict", what)
        line = f"--config: {what}"
        if section:
            line = f"{section[1]}: is a section of the configuration; set a field in it: --{section[1]}.FIELD=VALUE"
    print(f"endodav_jax: {line}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)


def _with_files(argv: list[str]) -> list[str]:
    """Returns the arguments with `--config` names replaced by file names; each configuration is loaded once to test it.

    Raises:
      UserError: there is no such configuration, or it fails (the library's own errors would be tracebacks).
    """
    words = list(argv)
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name.startswith("--config."):
            check_field(name.removeprefix("--"))  # the library's message does not always suggest the right name
        if name not in ("--config", "-config") or (not equals and place + 1 == len(argv)):
            continue
        path = config_file(value if equals else argv[place + 1])
        load_config_file(path)
        words[place if equals else place + 1] = f"{name}={path}" if equals else str(path)
    return words


if __name__ == "__main__":
    app.run(run, flags_parser=_parse_flags)
