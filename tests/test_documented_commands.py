"""Every command that the README, the documentation and the configurations show is one that the programs take.

The README's are run as well, by `test_readme.py`; here all are parsed, which takes no time.
"""

import re
import shlex
import sys
from pathlib import Path
from unittest import mock

import pytest
from absl import flags
from ml_collections import config_flags

from endodav_jax import cli
from endodav_jax.checkpoints.shipped import SHIPPED_WEIGHTS
from endodav_jax.config import Config, config_from_dict, load_config_file

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
PROGRAMS = ("endodav ", "python -m endodav_jax.main ", "python tools/")
# What a reader replaces by something of their own, or what stands for the rest.
PLACEHOLDER = re.compile(r"\.\.\.|…|\bCOMMAND\b|[<>]")


def commands_in(text: str) -> list[str]:
    """The commands of a text, each in one line, without comments and prompts."""
    lines = re.sub(r"\\{1,2}\n\s*", " ", text).splitlines()
    lines = [line.strip().removeprefix("$ ") for line in lines]
    return [line.split(" #")[0].strip() for line in lines if line.startswith(PROGRAMS)]


def commands_of_page(path: Path) -> list[str]:
    """The commands in a page's blocks of shell, and those of the README's blocks, which name no language."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)?\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [command for block in blocks for command in commands_in(block)]


def note_of(config: Path) -> str:
    """The docstring of a configuration as it stands in the file."""
    return config.read_text().split('"""')[1]


DOCUMENTED = [
    *((path, command) for path in CONFIGS for command in commands_in(note_of(path))),
    *((path, command) for path in PAGES if path.exists() for command in commands_of_page(path)),
]


def parsed_by_main(arguments: list[str]) -> tuple[Config, str]:
    """The configuration and the folder that arguments of `endodav_jax.main` give."""
    values = flags.FlagValues()
    place = arguments.index("--config")
    given = ["main", *arguments[:place], *arguments[place + 2 :]]
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    with mock.patch.object(sys, "argv", given):  # where ml_collections looks which fields are set
        config_flags.DEFINE_config_dict("config", load_config_file(arguments[place + 1]), flag_values=values)
        rest = values(given)[1:]
    assert rest == []
    return config_from_dict(values.config.to_dict()), values.workdir


def test_every_configuration_says_how_it_is_run():
    for path in CONFIGS:
        assert any(f" {path.stem} " in f"{command} " for command in commands_in(note_of(path))), path.name


@pytest.mark.parametrize(("path", "command"), DOCUMENTED, ids=[f"{p.name}: {c[:70]}" for p, c in DOCUMENTED])
def test_a_documented_command_is_taken(path, command, monkeypatch):
    if PLACEHOLDER.search(command):
        pytest.skip("shows a form, not a command")
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    if words[0] == "endodav":
        if words[1] not in ("--help", "--version"):
            cli.parse(words[1], words[2:])
    elif words[1] == "-m":
        config, workdir = parsed_by_main(words[3:])
        assert config.job
        assert workdir
    else:
        assert Path(words[1]).is_file()


def test_what_the_notes_of_configurations_read_is_what_their_commands_write():
    """`data/scared` is what `endodav prepare scared DOWNLOAD data/scared` makes, and no folder below it is named."""
    made, read = set(), {}
    for path in CONFIGS:
        for command in commands_in(note_of(path)):
            words = shlex.split(command)
            if words[:2] == ["endodav", "prepare"]:
                made.add(words[4])
            elif words[:2] == ["endodav", "convert"]:
                made.add(words[3])
            elif words[:2] == ["python", "-m"]:
                config, workdir = parsed_by_main(words[3:])
                made |= {workdir, f"{workdir}/model"}
                named = (config.weights, config.data.path, config.train.validation_path, config.evaluate.path)
                read |= dict.fromkeys(named, path.name)
    assert {place: name for place, name in read.items() if place not in made | {"", *SHIPPED_WEIGHTS}} == {}


def test_pages_and_headings_that_the_programs_name_are_there():
    files = [path for folder in ("endodav_jax", "tools", "configs") for path in (ROOT / folder).rglob("*.py")]
    named = {found for path in files for found in re.findall(r'(docs/\w+\.md)(?:, "([^"]+)")?', path.read_text())}
    assert ("docs/cluster.md", "Help us measure") in named
    for page, heading in named:
        lines = (ROOT / page).read_text().splitlines()
        assert not heading or any(line.lstrip("#") == f" {heading}" for line in lines if line.startswith("#"))
