"""One file from an address to the disk: whole and as it was published, or not at all."""

import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.progress import progress_bar
from endodav_jax.version import __version__

CHUNK = 1 << 20
TIMEOUT_SECONDS = 30
# A connection that breaks is taken up where it broke, this many times without a byte in between.
RETRIES = 4
RETRY_SECONDS = 2.0

_ELSEWHERE = "fetch the file on another machine and give its path to `endodav convert`"


def download(
    address: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> str:
    """Fetches a file over HTTP, goes on where a connection breaks, and checks what came.

    Args:
      address: `http://` or `https://`; the usual variables (`https_proxy`, `no_proxy`) name a proxy.
      path: gets the file when all of it is there and right.
      size: bytes that it must have; None if that is not known.
      sha256: what its checksum must be, in hexadecimal; None if that is not known.
      overwrite: replace a file that is there.
      quiet: no progress bar.

    Returns:
      the SHA-256 of the file, in hexadecimal.

    Raises:
      UserError: no connection, an answer that is no file, no space, or another size or checksum than expected.
    """
    with whole_file(path, overwrite) as part:
        _check_space(part, size)
        digest, written = hashlib.sha256(), 0
        with open(part, "wb") as file, progress_bar(size, path.name, quiet, "B") as bar:
            for chunk in _chunks(address, size, bar):
                file.write(chunk)
                digest.update(chunk)
                written += len(chunk)
                bar.update(len(chunk))
        if size is not None and written != size:
            raise UserError(f"{address}: sent {written:,} bytes instead of {size:,}; the published file has changed")
        if sha256 is not None and digest.hexdigest() != sha256:
            raise UserError(
                f"{address}: the SHA-256 is {digest.hexdigest()} instead of {sha256}; nothing is kept, fetch it again"
            )
    return digest.hexdigest()


def check_address(address: str) -> None:
    """Raises a `UserError` unless it is an address of the web."""
    if not re.match(r"https?://[^/\s]+/\S+$", address):
        raise UserError(f"--address: {address!r} is no address of a file; give https://HOST/FILE")


def _check_space(path: Path, size: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if size is not None and size > free:
        raise UserError(f"{path.parent}: {size / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} free; make room there")


def _chunks(address: str, size: int | None, bar) -> Iterator[bytes]:
    """The bytes of a file, over as many connections as it takes."""
    done, failures = 0, 0
    while True:
        try:
            with _answer(address, done) as answer:
                length = answer.headers.get("Content-Length")
                total = done + int(length) if length and length.isdecimal() else size
                bar.total = total
                while chunk := answer.read(CHUNK):
                    done, failures = done + len(chunk), 0
                    yield chunk
            if total is None or done >= total:
                return
            raise ConnectionError(f"it ended after {done:,} of {total:,} bytes")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 or failures >= RETRIES:
                raise UserError(f"{address}: {_refusal(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if failures >= RETRIES or (not done and isinstance(error, urllib.error.URLError)):
                raise UserError(
                    f"{address}: no connection ({reason}); connect to the network, or {_ELSEWHERE}"
                ) from error
        failures += 1
        time.sleep(RETRY_SECONDS)


def _answer(address: str, start: int) -> http.client.HTTPResponse:
    """Asks for a file from byte `start` on.

    Raises:
      UserError: the answer is a page for people, or starts elsewhere.
      OSError: there is no answer, or it is a refusal (`HTTPError`).
    """
    headers = {"User-Agent": f"endodav-jax/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    answer = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_SECONDS)
    if answer.headers.get_content_type() == "text/html":
        answer.close()
        raise UserError(f"{address}: a page came instead of the file; open it in a browser, or {_ELSEWHERE}")
    if start and answer.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0] != str(start):
        answer.close()
        raise UserError(f"{address}: the connection broke, and the server cannot go on from there; fetch it again")
    return answer


def _refusal(error: urllib.error.HTTPError) -> str:
    said = f"the server answers {error.code} ({error.reason})"
    if error.code in (404, 410):
        return f"{said}; the file has been moved: see where its authors publish it now, and give --address"
    if error.code in (401, 403, 407, 429):
        return f"{said}; open it in a browser, or {_ELSEWHERE}"
    return f"{said}; try again later"
