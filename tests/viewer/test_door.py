"""Who has the link gets in, and the page hears what a link says."""

import socket
import threading
import urllib.error
import urllib.request

import pytest

from endodav_jax.errors import UserError
from endodav_jax.viewer.door import Door
from endodav_jax.viewer.page import Shown


class Page:
    """A page of one line behind the door."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage")


@pytest.fixture
def page():
    page = Page()
    yield page
    page.socket.close()


def read(address: str, cookies: bool = True) -> str:
    handlers = [urllib.request.HTTPCookieProcessor()] if cookies else []
    return urllib.request.build_opener(*handlers).open(address, timeout=10).read().decode()


def test_on_this_machine_no_token_is_needed_and_a_link_is_heard(page):
    heard = []
    door = Door("127.0.0.1", 0, page.port, heard.append)
    assert door.address == f"http://127.0.0.1:{door.port}/"
    assert read(door.address) == "page"
    assert read(door.address + "?" + Shown(frame=7, cloud="depth", low=1.5, high=9.0).query()) == "page"
    assert Shown.of_query(heard[0]) == Shown(frame=7, cloud="depth", low=1.5, high=9.0)
    assert len(heard) == 1
    door.close()


def test_on_another_address_only_the_link_lets_in(page):
    door = Door("0.0.0.0", 0, page.port, lambda said: None)
    local = door.address.replace("0.0.0.0", "127.0.0.1")
    assert "?token=" in door.address
    assert read(local) == "page"  # by the cookie that the link leaves
    for stranger in (local.split("?")[0], local[:-3] + "abc"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            read(stranger)
    door.close()


def said_to(door: Door, request: str) -> str:
    """Everything that the door answers to the bytes of a request until it closes the connection."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        with connection.makefile("rb") as answer:
            return answer.read().decode("latin-1")


@pytest.mark.parametrize(
    ("target", "cookie", "status"),
    [
        ("/?token=%C3%A4", "", "403 Forbidden"),
        ("/?token=%FF", "", "403 Forbidden"),
        ("/", "endodav_view=\xe4", "403 Forbidden"),
        ("/", 'endodav_view="\\344"', "403 Forbidden"),
        ("//[", "", "400 Bad Request"),
    ],
)
def test_a_token_that_is_not_ascii_or_a_request_that_cannot_be_read_is_refused_and_closed(page, target, cookie, status):
    door = Door("0.0.0.0", 0, page.port, lambda said: None)
    answer = said_to(door, f"GET {target} HTTP/1.1\r\nHost: here\r\nCookie: {cookie}\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status}\r\n")
    assert "Connection: close" in answer
    door.close()


def test_a_connection_is_closed_whatever_fails_behind_the_door(page):
    def broken(said):
        raise RuntimeError("a bug")

    door = Door("127.0.0.1", 0, page.port, broken)
    assert said_to(door, "GET /?frame=1 HTTP/1.1\r\n\r\n") == ""
    door.close()


def test_a_port_that_is_taken_is_one_line(page):
    with pytest.raises(UserError, match="--port") as caught:
        Door("127.0.0.1", page.port, page.port, lambda said: None)
    assert "\n" not in str(caught.value)
    assert "another --port" in str(caught.value)


def test_a_link_that_says_nonsense_shows_what_is_shown_at_first():
    assert Shown.of_query({"frame": "x", "low": "far", "colour": "9"}) == Shown()
