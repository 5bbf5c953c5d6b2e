"""Files fetched over HTTP, from a server on this machine that behaves as real ones do on their bad days."""

import hashlib
import http.server
import shutil
import socket
import threading
from contextlib import closing

import numpy as np
import pytest

from endodav_jax.checkpoints import download as module
from endodav_jax.checkpoints.download import check_address, download
from endodav_jax.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3 << 20)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REDIRECTED = {"redirected": "/whole", "redirected_port": "http://127.0.0.1:abc/"}


class Handler(http.server.BaseHTTPRequestHandler):
    """`/whole`, `/breaks` (half of what is asked for, then silence), `/deaf` (the same, and knows no ranges), ..."""

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        kind = self.path.strip("/").removeprefix("%C3%A4/")
        if kind in ("missing", "forbidden", "failing"):
            self.send_error({"missing": 404, "forbidden": 403, "failing": 503}[kind])
            return
        if kind in REDIRECTED:
            self.send_response(302)
            self.send_header("Location", REDIRECTED[kind])
            self.end_headers()
            return
        body = b"<html>Sign in</html>" if kind == "page" else CONTENT
        start = 0
        if self.headers.get("Range") and kind != "deaf":
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if kind == "page" else "application/octet-stream")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        body = body[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("breaks", "deaf") and len(body) > 1 << 20:
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def server(monkeypatch):
    """Addresses on this machine, whatever proxy stands between it and the world; waiting costs no time."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        running.address = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()
        thread.join()


def fetch(address: str, path, **options) -> str:
    """The one line that a download that cannot succeed says; it leaves nothing behind."""
    with pytest.raises(UserError) as raised:
        download(address, path, quiet=True, **options)
    assert list(path.parent.iterdir()) == []
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", ["whole", "redirected", "ä/whole"])
def test_a_file_comes_whole_with_its_checksum(server, tmp_path, kind):
    path = tmp_path / "folder" / "weights.pth"
    assert download(f"{server.address}/{kind}", path, size=len(CONTENT), sha256=SHA256, quiet=True) == SHA256
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]


def test_size_and_checksum_may_be_unknown(server, tmp_path):
    assert download(f"{server.address}/whole", tmp_path / "weights.pth", quiet=True) == SHA256


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    path = tmp_path / "weights.pth"
    assert download(f"{server.address}/breaks", path, sha256=SHA256, quiet=True) == SHA256
    assert path.read_bytes() == CONTENT
    assert server.ranges[:2] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_server_without_ranges_is_not_taken_up(server, tmp_path):
    assert "cannot resume" in fetch(f"{server.address}/deaf", tmp_path / "weights.pth")


def test_the_progress_counts_bytes(server, tmp_path, capsys):
    download(f"{server.address}/whole", tmp_path / "weights.pth")
    assert "3.15M/3.15M" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "404 (Not Found); the file has moved"),
        ("forbidden", "403 (Forbidden); open it in a browser"),
        ("failing", "503 (Service Unavailable); try again later"),
        ("page", "returned a page instead of the file"),
        ("redirected_port", "redirects to an invalid address"),
    ],
)
def test_what_a_server_refuses_is_one_line(server, tmp_path, kind, said):
    address = f"{server.address}/{kind}"
    line = fetch(address, tmp_path / "weights.pth")
    assert line.startswith(f"{address}: ")
    assert said in line


def test_another_file_than_the_published_one_is_not_kept(server, tmp_path):
    address, path = f"{server.address}/whole", tmp_path / "weights.pth"
    assert f"is {SHA256} instead of {'0' * 64}" in fetch(address, path, sha256="0" * 64)
    assert "3,145,728 bytes instead of 7" in fetch(address, path, size=7)


def test_an_older_file_stays_where_the_new_one_is_wrong(server, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"older")
    with pytest.raises(UserError, match="SHA-256"):
        download(f"{server.address}/whole", path, sha256="0" * 64, overwrite=True, quiet=True)
    assert path.read_bytes() == b"older"
    with pytest.raises(UserError, match="--overwrite"):
        download(f"{server.address}/whole", path, sha256=SHA256, quiet=True)


def test_without_a_connection_the_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = fetch(f"http://127.0.0.1:{port}/weights.pth", tmp_path / "weights.pth")
    assert "no connection" in line
    assert "endodav convert" in line


def test_room_is_looked_for_before_anything_is_fetched(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2e9, 1e9, 1e9))
    line = fetch(f"{server.address}/whole", tmp_path / "weights.pth", size=1_500_000_000)
    assert "needs 1.5 GB, 1.0 GB are free" in line
    assert server.ranges == []


@pytest.mark.parametrize(
    "address",
    [
        "weights.pth",
        "file:///etc/hostname",
        "ftp://host/weights.pth",
        "https://host",
        "https:///weights.pth",
        "https://host/a b.pth",
        "http://[::1/weights.pth",
        "http://host:abc/weights.pth",
        "http://host:70000/weights.pth",
        "http://a..b/weights.pth",
        "http://hôst/weights.pth",
        "http://user:secret@host/weights.pth",
    ],
)
def test_an_address_is_one_of_the_web(address):
    with pytest.raises(UserError, match=r"^--address: .*") as raised:
        check_address(address)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/ä.pth", "https://host/weights.pth?download=true", "http://[::1]/a"]
)
def test_an_unusual_address_is_one_too(address):
    check_address(address)
