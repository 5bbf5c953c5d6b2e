"""Access control for the page: admits browsers that have the link, and passes the parameters of links to the page.

The page itself listens on an undisclosed port of the loopback interface.  This proxy in front of it reads the head of
each connection, answers links itself (with a cookie and a redirect to the page), and forwards everything else.
"""

import asyncio
import contextlib
import errno
import hmac
import os
import secrets
import socket
import threading
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from endodav_jax.errors import UserError

LONGEST_HEAD = 64 * 1024
COOKIE = "endodav_view"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Door:
    """Serves `host:port` and forwards connections to a local port.

    Attributes:
      address: address of the page, including the token if one is required.
    """

    def __init__(self, host: str, port: int, inner: int, on_link: Callable[[dict[str, str]], None]):
        """Starts listening.

        Args:
          host: address to listen on; anything but loopback requires a token, which is part of `address`.
          port: 0 for any free port.
          inner: port of the page.
          on_link: called with the parameters of a link, before its page loads.

        Raises:
          UserError: listening on this address failed.
        """
        self._inner, self._on_link = inner, on_link
        self._token = "" if host in LOOPBACK else secrets.token_urlsafe(16)
        self._loop = asyncio.new_event_loop()
        try:
            self._server = self._loop.run_until_complete(asyncio.start_server(self._connected, host, port))
        except (OSError, OverflowError) as error:
            self._loop.close()
            raise UserError(_not_listening(host, port, error)) from error
        self.port = self._server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.base = f"http://{shown}:{self.port}/"
        self.address = self.base + (f"?token={self._token}" if self._token else "")
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._loop.call_soon_threadsafe(self._server.close)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await reader.readuntil(b"\r\n\r\n")
                if len(head) <= LONGEST_HEAD:
                    answer = self._answer(head)
                    if answer is None:
                        await self._pass_on(head, reader, writer)
                    else:
                        writer.write(answer)
                        await writer.drain()
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes | None:
        """The proxy's own response, or None for requests to forward."""
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        try:
            target = urlsplit(rest.rpartition(" ")[0])
            said = dict(parse_qsl(target.query))
            cookie = SimpleCookie(headers.get("cookie", ""))
        except (ValueError, CookieError):
            return _response("400 Bad Request", "This request cannot be read.\n")
        token = said.pop("token", "")
        known = cookie[COOKIE].value if COOKIE in cookie else ""
        if self._token and not any(self._admits(given) for given in (token, known)):
            return _response("403 Forbidden", "This page requires the link printed by `endodav view`.\n")
        if method == "GET" and target.path == "/" and (token or said) and "upgrade" not in headers:
            if said:
                self._on_link(said)
            keep = f"Set-Cookie: {COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/\r\n" if self._token else ""
            return _response("303 See Other", "", f"Location: /\r\n{keep}")
        return None

    def _admits(self, given: str) -> bool:
        """Whether this is the token; in constant time, and in bytes, since strings may only be compared if ASCII."""
        return hmac.compare_digest(self._token.encode(), given.encode())

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        inner_writer.write(head)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


def _not_listening(host: str, port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"--port {port}: is no port; choose one up to 65535, or 0 for any free one"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: is no address of this machine; give one, or 0.0.0.0 for all of them"
    said = os.strerror(error.errno or 0)
    return f"--port {port}: {host}:{port} cannot be listened on ({said}); choose another --port"


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()


def _response(status: str, text: str, headers: str = "") -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
