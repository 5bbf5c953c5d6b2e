"""Paths as scripts and schedulers give them, which no shell has expanded."""

from pathlib import Path

import pytest

import endodav_jax
from endodav_jax import cli
from endodav_jax.config import config_from_dict, load_config_file
from endodav_jax.depth_video import run as infer_job
from endodav_jax.errors import EXIT_USER_ERROR, UserError
from tests.media_fixtures import load_fake, moving_picture, write_video


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(infer_job, "load_estimator", load_fake)
    return tmp_path / "home"


def test_a_tilde_in_any_argument_is_the_home_folder(home):
    write_video(home / "clip.mp4", map(moving_picture, range(3)))
    for place, arguments in (("a", ["-o", "~/a"]), ("b", ["--output=~/b"])):
        assert cli.main(["infer", "~/clip.mp4", *arguments, "--videos", "none", "--quiet"]) == 0
        assert (home / place / "clip_depths.npz").is_file()
    assert list(Path().iterdir()) == []
    command = cli.parse("infer", ["a.mp4", "-o", "x", "--mask", "~/m.png", "--scale", "points", "~/p.txt"])
    assert command.infer.mask == f"{home}/m.png"
    assert command.infer.scale == ("points", f"{home}/p.txt")
    assert cli.parse("prepare", ["scared", "~/in", "~/out"]).out == home / "out"


def test_a_file_whose_name_begins_with_a_tilde_is_that_file(home):
    write_video(Path("~.mp4").absolute(), map(moving_picture, range(3)))
    assert cli.parse("infer", ["~.mp4", "-o", "x"]).inputs == ("~.mp4",)


def test_a_tilde_in_a_configuration_is_the_home_folder(home):
    config = config_from_dict({"weights": "~/w", "infer": {"scale": ["poses", "~/p.txt"]}})
    assert (config.weights, config.infer.scale) == (f"{home}/w", ("poses", f"{home}/p.txt"))
    (home / "own.py").write_text("from endodav_jax.config import base_config\n\nget_config = base_config\n")
    assert load_config_file("~/own.py").job == "describe"


def test_a_tilde_in_a_program_is_the_home_folder(home):
    with pytest.raises(UserError, match=f"^{home}/missing"):
        endodav_jax.load("~/missing")


@pytest.mark.parametrize(
    "argv",
    [
        ["infer", "clip.mp4", "-o", ""],
        ["infer", "clip.mp4", "--output-dir="],
        ["stream", "clip.mp4", "-o", " "],
        ["reconstruct", "clip.mp4", "-o", ""],
        ["view", "out", "--export", ""],
        ["quickstart", "-o", ""],
    ],
)
def test_an_empty_output_is_refused_instead_of_filling_the_current_folder(home, capsys, argv):
    assert cli.main(argv) == EXIT_USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "is empty; name a file or folder, or . for the current one" in line
    assert any(name in line for name in ("-o", "--export"))
    assert list(Path().iterdir()) == []
