"""`endodav weights`: the table of published checkpoints, their licences, and a file that becomes a checkpoint."""

import dataclasses
import hashlib
import http.server
import io
import re
import shlex
import sys
import threading
import zipfile

import pytest

from endodav_jax import cli
from endodav_jax.checkpoints.published import PUBLISHED, commands_after
from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR

CONTENT = b"not a network, but a file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends the same file whatever is asked for."""

    def do_GET(self):
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def server(monkeypatch):
    """The published files, small ones, on this machine."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = 0
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        here = f"http://127.0.0.1:{running.server_port}/file"
        for name, entry in PUBLISHED.items():
            known = {"sha256": SHA256, "size": len(CONTENT)} if entry.sha256 else {}
            monkeypatch.setitem(PUBLISHED, name, dataclasses.replace(entry, address=here, **known))
        yield running
        running.shutdown()
        thread.join()


def test_the_list_has_every_licence_and_place(capsys):
    assert cli.main(["weights", "list", "--addresses"]) == EXIT_OK
    printed = capsys.readouterr().out
    for name, entry in PUBLISHED.items():
        (row,) = re.findall(rf"^{name} .*$", printed, re.MULTILINE)
        assert entry.licence in row
        assert entry.page in row
        assert entry.address in printed
        assert (entry.sha256 or "not known") in printed
    assert "non-commercial" in printed or "no commercial use" in printed


def test_entries_are_whole_and_only_permissive_licences_are_free():
    for name, entry in PUBLISHED.items():
        assert entry.address.startswith("https://")
        assert entry.page.startswith("https://")
        assert (entry.sha256 is None) == (entry.size is None), name
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.free == (entry.licence == "Apache-2.0")
    files = [entry.file for entry in PUBLISHED.values()]
    assert len(set(files)) == len(files)
    assert all(not PUBLISHED[f"vda-{size}"].free for size in ("base", "large", "metric-base", "metric-large"))


def test_a_free_checkpoint_is_fetched_without_a_question(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["weights", "get", "vda-small", "--quiet"]) == EXIT_OK
    assert (tmp_path / "video_depth_anything_vits.pth").read_bytes() == CONTENT
    printed = capsys.readouterr().out
    assert f"SHA-256: {SHA256} (as published)" in printed
    assert "endodav convert video_depth_anything_vits.pth weights/vda-small" in printed


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_checkpoint_has_its_published_name_in_the_current_folder(server, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["weights", "get", name, "--accept-licence", "--quiet"]) == EXIT_OK
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [CONTENT]
    assert [path.name for path in tmp_path.iterdir()] == [PUBLISHED[name].file]


def test_an_unknown_checksum_is_said_and_the_computed_one_printed(server, tmp_path, capsys):
    assert cli.main(["weights", "get", "endodac", "--accept-licence", "-o", str(tmp_path), "--quiet"]) == EXIT_OK
    printed = capsys.readouterr().out
    assert SHA256 in printed
    assert "not known" in printed
    assert (tmp_path / PUBLISHED["endodac"].file).exists()


def test_a_name_without_suffix_is_a_folder_to_be_made(server, tmp_path):
    argv = ["weights", "get", "vda-small", "-o", str(tmp_path / "new"), "--quiet"]
    assert cli.main(argv) == EXIT_OK
    assert (tmp_path / "new" / PUBLISHED["vda-small"].file).read_bytes() == CONTENT


def test_a_licence_with_conditions_is_accepted_first(server, tmp_path, monkeypatch, capsys):
    file = tmp_path / "base.pth"
    argv = ["weights", "get", "vda-base", "-o", str(file), "--quiet"]
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.main(argv) == EXIT_USER_ERROR
    captured = capsys.readouterr()
    assert "CC-BY-NC-4.0 (no commercial use)" in captured.out
    assert "--accept-licence" in captured.err
    assert server.asked == 0
    assert cli.main([*argv, "--accept-licence"]) == EXIT_OK
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(("answer", "code"), [("yes\n", EXIT_OK), ("n\n", EXIT_USER_ERROR), ("", EXIT_USER_ERROR)])
def test_whoever_sits_at_a_terminal_is_asked(server, tmp_path, monkeypatch, answer, code):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    file = tmp_path / "large.pth"
    assert cli.main(["weights", "get", "vda-large", "-o", str(file), "--quiet"]) == code
    assert file.exists() == (code == EXIT_OK)


def test_a_mirror_must_have_the_published_file(server, tmp_path, capsys):
    file = tmp_path / "small.pth"
    mirror = PUBLISHED["vda-small"].address.replace("/file", "/mirror/file")
    assert cli.main(["weights", "get", "vda-small", "-o", str(file), "--address", mirror, "--quiet"]) == EXIT_OK
    assert mirror in capsys.readouterr().out


def test_a_name_that_is_not_there_is_one_line(capsys):
    assert cli.main(["weights", "get", "vda-smal"]) == EXIT_USER_ERROR
    assert "did you mean vda-small?" in capsys.readouterr().err


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path, capsys):
    file = tmp_path / "small.pth"
    file.write_bytes(b"mine")
    assert cli.main(["weights", "get", "vda-small", "-o", str(file)]) == EXIT_USER_ERROR
    assert "--overwrite" in capsys.readouterr().err
    assert server.asked == 0
    assert file.read_bytes() == b"mine"


def test_an_archive_is_unpacked_and_the_folder_of_its_networks_converted(tmp_path):
    archive = tmp_path / "models.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("weights_19/depth_model.pth", "weights_19/pose.pth", "weights_19/adam.pth"):
            file.writestr(name, b"")
    unpack, convert = commands_after(archive, "endodav")
    assert unpack == f"python -m zipfile -e {archive} {tmp_path}/models_files"
    assert convert == f"endodav convert {tmp_path}/models_files/weights_19 weights/endodav"


def test_the_command_to_convert_can_be_pasted_whatever_the_folder_is_called(tmp_path):
    (tmp_path / "my weights").mkdir()
    path = tmp_path / "my weights" / "vda.pth"
    path.write_bytes(b"no archive")
    (command,) = commands_after(path, "vda-small")
    assert shlex.split(command) == ["endodav", "convert", str(path), "weights/vda-small"]
