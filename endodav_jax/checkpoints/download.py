"""Downloads one file completely and verified, or not at all."""

import hashlib
import http.client
import shutil
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.files import size_text, whole_file
from endodav_jax.progress import progress_bar
from endodav_jax.version import __version__

CHUNK = 1 << 20
TIMEOUT_SECONDS = 30
# An interrupted download is resumed up to this many times without receiving a byte.
RETRIES = 4
RETRY_SECONDS = 2.0

_ELSEWHERE = "download the file on another machine and give its path to `endodav convert`"


def download(
    address: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> str:
    """Downloads a file over HTTP, resumes when a connection breaks, and verifies the result.

    Args:
      address: passes `check_address`; the usual variables (`https_proxy`, `no_proxy`) set a proxy.
      path: where the file is stored once it is complete and verified.
      size: expected size in bytes; None if not known.
      sha256: expected checksum, in hexadecimal; None if not known.
      overwrite: replace an existing file.
      quiet: show no progress bar.

    Returns:
      the SHA-256 of the file, in hexadecimal.

    Raises:
      UserError: no connection, a response that is not a file, no space, or an unexpected size or checksum.
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
                f"{address}: the SHA-256 is {digest.hexdigest()} instead of {sha256}; the file was discarded, try again"
            )
    return digest.hexdigest()


def check_address(address: str) -> None:
    """Raises `UserError` unless it is a web address that can be requested."""
    try:
        parts = urllib.parse.urlsplit(address)
        host = parts.hostname or ""
        host.encode("idna")  # names that no lookup takes, such as `a..b`
        _ = parts.port  # read to be checked
    except ValueError as error:
        raise UserError(
            f"--address: {address!r} is not the address of a file ({error}); give https://HOST/FILE"
        ) from error
    if parts.scheme not in ("http", "https") or not host or not parts.path.strip("/") or len(address.split()) != 1:
        raise UserError(f"--address: {address!r} is not the address of a file; give https://HOST/FILE")
    if not (parts.netloc.isascii() and parts.netloc.isprintable()):
        raise UserError(f"--address: {address!r} has a host with other letters than ASCII; give its xn-- form")
    if "@" in parts.netloc:
        raise UserError(f"--address: {address!r} contains a user name; {_ELSEWHERE}")


def _check_space(path: Path, size: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if size is not None and size > free:
        raise UserError(f"{path.parent}: needs {size_text(size)}, {size_text(free)} are free; free some space")


def _chunks(address: str, size: int | None, bar) -> Iterator[bytes]:
    """The bytes of a file, over as many connections as needed."""
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
        except (ValueError, http.client.InvalidURL) as error:  # the address itself has been checked
            raise UserError(
                f"{address}: redirects to an invalid address ({error}); open it in a browser, or {_ELSEWHERE}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if failures >= RETRIES or (not done and isinstance(error, urllib.error.URLError)):
                raise UserError(
                    f"{address}: no connection ({reason}); connect to the network, or {_ELSEWHERE}"
                ) from error
        failures += 1
        time.sleep(RETRY_SECONDS)


def _answer(address: str, start: int) -> http.client.HTTPResponse:
    """Requests a file from byte `start` on.

    Raises:
      UserError: the response is an HTML page, or starts at another byte.
      OSError: there is no response, or it is an error (`HTTPError`).
    """
    headers = {"User-Agent": f"endodav-jax/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    quoted = urllib.parse.quote(address, safe=string.punctuation)  # as browsers do: `ä` is `%C3%A4`
    answer = urllib.request.urlopen(urllib.request.Request(quoted, headers=headers), timeout=TIMEOUT_SECONDS)
    if answer.headers.get_content_type() == "text/html":
        answer.close()
        raise UserError(f"{address}: returned a page instead of the file; open it in a browser, or {_ELSEWHERE}")
    if start and answer.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0] != str(start):
        answer.close()
        raise UserError(f"{address}: the connection broke, and the server cannot resume; download it again")
    return answer


def _refusal(error: urllib.error.HTTPError) -> str:
    said = f"the server returned {error.code} ({error.reason})"
    if error.code in (404, 410):
        return f"{said}; the file has moved: find its new address on its authors' page, and give --address"
    if error.code in (401, 403, 407, 429):
        return f"{said}; open it in a browser, or {_ELSEWHERE}"
    return f"{said}; try again later"
