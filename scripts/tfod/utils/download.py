"""Downloads over https, whole, and resumed where an earlier one broke off; .tar.gz archives unpacked within bounds."""

import contextlib
import gzip
import json
import re
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from tfod.utils import files
from tfod.utils.console import InputError, describe_os_error, say
from tfod.utils.files import find_oddity, parse_json, read_bytes

CHUNK = 1 << 18  # bytes
MOST = 8 * 10**9  # bytes of a file
TIMEOUTS = (20, 60)  # seconds: to connect, and between two pieces of the answer
PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP answers that may be others in a moment
MOST_BYTES = 8 * 10**9  # unpacked; the zoo's largest model has about a quarter of that
MOST_FILES = 10_000
MOST_AT_ONCE = 1 << 25  # bytes; tarfile holds a header of any size in memory


class _Final(Exception):
    """A fault that another try would meet again."""


class _Passing(Exception):
    """A fault that the next try may not meet."""


def fetch(
    url: str,
    path: str | Path,
    sha256: str | None = None,
    retries: int = 3,
    pause: float = 2.0,
    advice: str = "try again later, or fetch it by hand",
    size: int | None = None,
    most: int = MOST,
) -> str:
    """Downloads `url` to the file `path`, which appears whole or not at all; returns its sha256 in hexadecimal.

    What a broken try leaves, `.NAME.part` beside `path`, is gone on with by the next one, in a later run too.
    Proxies and certificates are the environment's (HTTPS_PROXY, REQUESTS_CA_BUNDLE).

    sha256:  what the file's sha256 must be, if it is known
    retries: how many times to try again, after `pause` seconds, then twice as long, and so on
    advice:  ends an error of the address or the server: what a person can do instead
    size:    how many bytes the file must have, if it is known
    most:    how many it may have at most; what a server sends beyond is not taken

    Raises InputError if the address is not https or leads elsewhere, if the server can't be reached or has no such
    file, if the file can't be written, or if its size or sha256 is another. Of two runs for one `path`, each has to
    `take_turn`.
    """
    path = Path(path)
    part, note = (path.with_name(f".{path.name}.part{suffix}") for suffix in ("", ".json"))
    odd = [f"{left}: {find_oddity(left)}" for left in (part, note) if left.is_fifo()]  # opening one would not end
    if odd:
        raise InputError(*odd)
    for tried in range(1, retries + 2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch_rest(url, part, note, size, most)
            break
        except _Final as error:
            raise InputError(f"{url}: {error}; {advice}") from error
        except _Passing as error:
            if tried > retries:
                raise InputError(f"{url}: {error}; tried {tried} times; {advice}") from error
            wait = pause * 2 ** (tried - 1)
            say(f"{url}: {error}; trying again in {wait:g} s")
            time.sleep(wait)
        except OSError as error:
            raise InputError(describe_os_error(error, path)) from error
    digest = files.sha256(part)
    if sha256 and digest != sha256.lower():
        _forget(part, note)
        raise InputError(f"{url}: has sha256 {digest}, not {sha256.lower()}; it was damaged or changed: do not use it")
    part.replace(path)
    note.unlink()
    return digest


@contextlib.contextmanager
def take_turn(path: str | Path) -> Iterator[None]:
    """Holds the lock of what is to become `path`; says so where another run has it, and waits for that to end.

    The system takes the lock from a process however that ends. It is a file beside `path`, gone after the block.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(files.NoLocks):  # then nothing can be told there
                stack.enter_context(files.hold_lock(lock, make=True, wait=lambda: _say_who_has(path)))
        except OSError as error:
            raise InputError(describe_os_error(error, path)) from error
        yield


def _say_who_has(path):
    say(f"{path}: another run is bringing it; waiting for that")


def _forget(part, note):
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


def _read_note(note, url):
    """What was noted of the file when `part` was begun, or {} where that is nothing, or of another address."""
    try:
        known = parse_json(read_bytes(note))
    except (InputError, ValueError):
        return {}
    return known if isinstance(known, dict) and known.get("url") == url else {}


def _fetch_rest(url, part, note, size, most):
    """Fetches what is missing of `part`, as `fetch` says. Raises _Final, _Passing, or the OSError of writing it."""
    import requests  # late: it takes a quarter of a second
    import urllib3

    known = _read_note(note, url)
    start = part.stat().st_size if known and part.exists() else 0
    if start and start == known.get("total"):
        return
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if known.get("version"):
            headers["If-Range"] = known["version"]
    session = requests.Session()
    del session.adapters["http://"]  # then every way there is refused: the address itself and each redirect
    try:
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
            start, total = _check_answer(answer, start, known, part, note)
            total = total or size
            if (size and total != size) or (total and total > most):
                _forget(part, note)
                raise _Final(f"the file there has {total} bytes, not {size or f'{most} at most'}")
            version = _get_version(answer.headers)
            files.write_text(note, json.dumps({"url": url, "version": version, "total": total}))
            # as they are: requests would unpack what a server marks as compressed
            chunks = answer.raw.stream(CHUNK, decode_content=False)
            with part.open("ab" if start else "wb") as file:
                for chunk in _show(chunks, part.name[1:-5], start, total):
                    file.write(chunk)
                    if file.tell() > (total or most):
                        break
    except requests.exceptions.InvalidSchema as error:
        if "No connection adapters" not in str(error):
            raise _Final(str(error)) from error  # a SOCKS proxy, for which requests needs one more package
        raise _Final("is not, or leads to what is not, an https address; only those are fetched") from error
    except (ValueError, requests.exceptions.TooManyRedirects) as error:  # not an address, here or there
        raise _Final(str(error)) from error
    except requests.exceptions.ProxyError as error:
        raise _Passing("the proxy does not let it through (see HTTPS_PROXY)") from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise _Final("the server's certificate is not trusted (see REQUESTS_CA_BUNDLE)") from error
        if isinstance(error, requests.exceptions.RequestException):
            late = isinstance(error, requests.exceptions.Timeout)
            raise _Passing("no answer in time" if late else "the server can't be reached") from error
        raise _Passing(f"the connection broke off after {part.stat().st_size / 1e6:.1f} MB") from error
    if part.stat().st_size > (total or most):
        _forget(part, note)
        raise _Final(f"the server sends more than {total or most} bytes")
    if total and part.stat().st_size != total:
        raise _Passing(f"got {part.stat().st_size} of {total} bytes")


def _check_answer(answer, start, known, part, note):
    """(position the answer's bytes begin at, size of the whole file or None)."""
    if answer.status_code == 200:  # all of it, whatever we have: the server knows no ranges, or the file changed
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    if answer.status_code == 206 and start:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if span and int(span[1]) == start and known.get("total") in (None, int(span[2])):
            return start, int(span[2])
    if answer.status_code in (206, 416):
        _forget(part, note)
        raise _Passing("the server does not go on where the last try stopped")
    fault = f"the server says {answer.status_code} {answer.reason}"
    raise (_Passing if answer.status_code in PASSING else _Final)(fault)


def _get_version(headers):
    """What If-Range can name this version of the file by, or None."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _show(chunks, name, start, total):
    """Yields the chunks; a bar with megabytes on a terminal, a line every ten seconds in a pipe."""
    terminal = sys.stderr.isatty()
    done, last = start, time.monotonic()
    with tqdm(
        desc=name, initial=start, total=total, unit="B", unit_scale=True, leave=False, disable=not terminal
    ) as bar:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            bar.update(len(chunk))
            if not terminal and time.monotonic() - last > 10:
                last = time.monotonic()
                say(f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{name}: {done / 1e6:.1f} MB")


class _Bounded:
    """The unpacked bytes of a .tar.gz, up to `most` of them, with the three methods that tarfile calls."""

    def __init__(self, stream, most, error):
        self.stream, self.most, self.error = stream, most, error
        self.tell = stream.tell

    def read(self, size):
        if not 0 <= size <= MOST_AT_ONCE:
            raise self.error
        content = self.stream.read(size)
        if self.stream.tell() > self.most:
            raise self.error
        return content

    def seek(self, position):
        if position > self.most:
            raise self.error
        return self.stream.seek(position)


@contextlib.contextmanager
def open_tarball(
    path: str | Path,
    name: str,
    most_bytes: int = MOST_BYTES,
    most_files: int = MOST_FILES,
    advice: str = "fetch it again",
) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]]:
    """Yields an iterator of (member, file) of the .tar.gz file `path`: a tarfile.TarInfo, and what it holds.

    `file` is None unless the member is a regular file. After the block the rest is read, up to gzip's checksum:
    nothing is sure before. Raises InputError, which calls the archive `name`, if it is not a whole .tar.gz file or
    unpacks to more than `most_bytes` (headers and holes included) or `most_files`; `advice` ends the first of these.
    """
    most = f"{most_bytes / 1e9:g} GB or {most_files} files"
    too_large = InputError(f"{name}: unpacks to more than {most}, far more than it should; do not use it")

    def list_members(archive):
        size = 0
        for count, member in enumerate(archive, start=1):
            size += max(member.size, 0)  # what a hole takes is not in the stream
            if size > most_bytes or count > most_files:
                raise too_large
            yield member, archive.extractfile(member) if member.isfile() else None

    try:
        with gzip.open(path) as stream:
            bounded = _Bounded(stream, most_bytes, too_large)
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                yield list_members(archive)
            while bounded.read(1 << 20):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: is not a whole .tar.gz file ({error}); {advice}") from error


def check_member(member: tarfile.TarInfo, name: str) -> None:
    """Raises InputError if `member` of the archive `name` is not a plain file or folder below the archive's."""
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()):
        raise InputError(f"{name}: holds a link or device, {member.name!r}; do not use this file")
    if path.is_absolute() or ".." in path.parts or not member.name.isprintable() or "\\" in member.name:
        raise InputError(f"{name}: holds the unsafe path {member.name!r}; do not use this file")
