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


def test_a_port_that_is_taken_is_one_line(page):
    with pytest.raises(UserError, match="--port") as caught:
        Door("127.0.0.1", page.port, page.port, lambda said: None)
    assert "\n" not in str(caught.value)
    assert "another --port" in str(caught.value)


def test_a_link_that_says_nonsense_shows_what_is_shown_at_first():
    assert Shown.of_query({"frame": "x", "low": "far", "colour": "9"}) == Shown()
