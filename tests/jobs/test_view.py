"""`endodav view` from the user's side: what stops it is one line, and without a browser the address is printed."""

import socket
import tempfile
import webbrowser

import pytest

from endodav_jax import cli
from endodav_jax.depth_video import run as infer_job
from endodav_jax.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR
from endodav_jax.viewer.app import App
from tests.media_fixtures import load_fake, moving_picture, write_video
from tests.viewer.clips import write_depth_folder

pytest.importorskip("viser", reason="the extra [view] is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_depth_folder(tmp_path_factory.mktemp("view") / "out")


def refused(capsys, *arguments) -> str:
    """The one line with which a command ends."""
    code = cli.main(["view", *map(str, arguments)])
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert (code, captured.out) == (EXIT_USER_ERROR, "")
    assert line.startswith("endodav view: ")
    return line


def test_a_port_that_is_taken_is_one_line(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: 127.0.0.1:{port} cannot be" in refused(capsys, folder, "--port", port, "--no-browser")


def test_a_port_or_an_address_that_cannot_be_is_one_line(folder, capsys):
    assert "--port 99999: is no port" in refused(capsys, folder, "--port", 99999, "--no-browser")
    elsewhere = refused(capsys, folder, "--port", 0, "--host", "192.0.2.1", "--no-browser")  # kept for documentation
    assert "--host 192.0.2.1: is no address of this machine" in elsewhere


def test_a_folder_that_is_not_there_is_one_line(tmp_path, capsys):
    assert "no such folder or video" in refused(capsys, tmp_path / "missing", "--port", 0)


def test_without_a_browser_the_address_is_printed(folder, capsys, monkeypatch):
    def none_found(address):
        raise webbrowser.Error("could not locate runnable browser")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", none_found)
    monkeypatch.setattr(App, "show", interrupted)
    assert cli.main(["view", str(folder), "--port", "0"]) == EXIT_INTERRUPTED
    captured = capsys.readouterr()
    assert captured.out.startswith("http://127.0.0.1:")
    assert "no browser was found; open the address above" in captured.err


def test_a_video_can_be_exported_as_it_can_be_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(infer_job, "load_estimator", load_fake)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    video = write_video(tmp_path / "ok.mp4", map(moving_picture, range(3)))
    arguments = ["view", str(video), "--export", str(tmp_path / "x.html")]
    assert cli.main(arguments) == 0
    assert "3 frames)" in capsys.readouterr().out
    assert (tmp_path / "x.html").stat().st_size > 1000
    assert list((tmp_path / "scratch").iterdir()) == []
    assert "x.html: already exists; pass --overwrite" in refused(capsys, *arguments[1:])


def test_the_help_of_a_flag_says_what_the_flag_does(capsys):
    with pytest.raises(SystemExit):
        cli.main(["view", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--no-browser only print the address, without opening it in a browser" in shown
