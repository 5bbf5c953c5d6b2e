"""The two entries, `python -m endodav_jax.main` and `endodav`, turn mistakes into one line and an exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from endodav_jax import cli, errors
from endodav_jax.errors import (
    EXIT_INTERRUPTED,
    EXIT_PREEMPTED,
    EXIT_UNHEARD,
    EXIT_USER_ERROR,
    Terminated,
    exit_code,
)

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "endodav_vitb_scared.py"


def run_main(*arguments: str) -> subprocess.CompletedProcess:
    """Runs `python -m endodav_jax.main` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "endodav_jax.main", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "endodav_jax: --config FILE and --workdir DIR are both needed"),
        (("--config=configs/nowhere.py", "--workdir=x"), "configs/nowhere.py: no such configuration file"),
        (("--workdir", "x", "--config", "configs/nowhere.py"), "configs/nowhere.py: no such configuration file"),
        (("--config", "setup.cfg", "--workdir=x"), "setup.cfg: not a Python file"),
        (
            (f"--config={CONFIG}", "--workdir=x", "--config.model.prest=vits"),
            "config.model.prest: no such field; did you mean config.model.preset?",
        ),
        (
            (f"--config={CONFIG}", "--workdir=x", "--config.infer.align=vda"),
            "config.infer.align: no such field; did you mean config.infer.windows?",
        ),
        ((f"--config={CONFIG}", "--workdir=x", "--config.model.preset=vitx"), "config.model.preset: 'vitx' is not one"),
        (
            (f"--config={CONFIG}", "--workdir=x", "config.train.steps=200"),
            "endodav_jax: config.train.steps=200: is no option; write --config.train.steps=200, or",
        ),
        (
            (f"--config={CONFIG}", "--workdir=x", "--config.model=vits"),
            "endodav_jax: config.model: is a section of the configuration; set a field in it: --config.model.FIELD=",
        ),
        (("--config=configs/smoke.py", f"--workdir={CONFIG}"), "is a file); choose another one"),
        (
            ("--config=quickstrt", "--workdir=x"),
            "quickstrt: no configuration of that name is shipped with the package; choose from",
        ),
        ((f"--config={CONFIG}", "--workdir=x", "--config.job=bake"), "config.job: 'bake' is not one of describe"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(arguments, line):
    result = run_main(*arguments)
    assert result.returncode == EXIT_USER_ERROR
    assert line in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_ctrl_c_is_one_line_and_its_own_exit_code(capsys):
    def job():
        raise KeyboardInterrupt

    assert exit_code("endodav infer", job) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "endodav infer: stopped\n"


def test_a_reader_that_stops_ends_it_without_a_word():
    command = f"set -o pipefail; {sys.executable} -m endodav_jax.cli describe --config quickstart | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) in ((EXIT_UNHEARD, ""), (0, ""))  # 0: it had written all before


def test_a_name_runs_a_configuration_of_the_package_from_any_folder(tmp_path):
    command = [sys.executable, "-m", "endodav_jax.main", "--config", "quickstart", "--workdir", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--config.job=describe"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("endodav vitt at 112x140")
    assert not any(tmp_path.iterdir())


def test_a_field_is_set_on_the_command_line(tmp_path):
    result = run_main(
        f"--config={CONFIG}", f"--workdir={tmp_path}", "--config.job=describe", "--config.model.preset=vits"
    )
    assert result.returncode == 0, result.stderr
    assert "vits" in result.stdout


def test_the_console_script_lists_its_commands(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in cli.COMMANDS)


def test_every_command_has_a_module_that_explains_itself(capsys):
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            cli.main([command, "--help"])
        assert stopped.value.code == 0
        assert "usage: endodav " + command in capsys.readouterr().out


def test_the_documented_exit_codes_are_those_there_are():
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert [int(code) for code in table] == sorted(getattr(errors, name) for name in dir(errors) if "EXIT_" in name)


def test_sigterm_is_one_line_and_its_own_exit_code(capsys):
    def job():
        raise Terminated

    assert exit_code("endodav train", job) == EXIT_PREEMPTED
    assert capsys.readouterr().err == "endodav train: stopped by SIGTERM\n"


@pytest.mark.parametrize("program", [("main", "--config=configs/smoke.py", "--workdir={}"), ("cli", "describe")])
def test_both_programs_end_on_sigterm_from_their_start(tmp_path, program):
    module, *arguments = program
    job = "import signal; signal.raise_signal(signal.SIGTERM)"
    (tmp_path / "sitecustomize.py").write_text(
        "from endodav_jax import errors\nbefore = errors.exit_code\n"
        f"def after(program, job):\n    return before(program, lambda: exec({job!r}))\nerrors.exit_code = after\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", f"endodav_jax.{module}", *(word.format(tmp_path) for word in arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert done.returncode == EXIT_PREEMPTED, done.stderr
    assert done.stderr.endswith(": stopped by SIGTERM\n")
