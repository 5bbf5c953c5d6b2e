"""One training run at a time writes into a folder."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from endodav_jax.cli import main
from endodav_jax.errors import UserError
from endodav_jax.training import run, run_lock
from endodav_jax.training.run_lock import folder_of_this_run

HOLDER = """
import sys, time
from pathlib import Path
from endodav_jax.training.run_lock import folder_of_this_run
with folder_of_this_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_in_a_folder_is_one_line_until_the_first_has_ended(tmp_path):
    workdir = tmp_path / "run"
    with folder_of_this_run(workdir):
        refused = f"^{workdir}: another training run is writing here; let it end, or choose another folder$"
        with pytest.raises(UserError, match=refused), folder_of_this_run(workdir):
            pass
        with folder_of_this_run(tmp_path / "other"):
            pass
    for _ in range(2):
        with folder_of_this_run(workdir):
            pass
    with pytest.raises(KeyError), folder_of_this_run(workdir):
        raise KeyError
    with folder_of_this_run(workdir):
        pass


def test_a_run_in_a_thread_counts_as_any_other(tmp_path):
    held, end = threading.Event(), threading.Event()

    def hold():
        with folder_of_this_run(tmp_path):
            held.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        with pytest.raises(UserError, match="another training run"), folder_of_this_run(tmp_path):
            pass
    finally:
        end.set()
        thread.join()
    with folder_of_this_run(tmp_path):
        pass


def test_a_run_that_was_killed_holds_nothing(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another training run"), folder_of_this_run(tmp_path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with folder_of_this_run(tmp_path):
        pass


def test_without_locks_a_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "fcntl", None)
    with folder_of_this_run(tmp_path), folder_of_this_run(tmp_path):
        pass


@pytest.mark.parametrize("command", [("train", "quickstart"), ("quickstart",), ("pretrain",)])
def test_every_command_that_trains_leaves_the_folder_of_another_run_alone(tmp_path, capsys, command):
    with folder_of_this_run(tmp_path):
        assert main([*command, "-o", str(tmp_path)]) == 2
    assert "another training run is writing here" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [run_lock.LOCK_FILE]


def test_training_holds_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "check_config", lambda config: None)
    monkeypatch.setattr(run, "with_rendered_phantom", lambda data, folder: (data, ""))

    def second(config, workdir, objectives):
        with pytest.raises(UserError, match="another training run"):
            run.train(config, workdir)
        return 0

    monkeypatch.setattr(run.loop, "train", second)
    assert run.train(run.Config(), tmp_path) == 0
