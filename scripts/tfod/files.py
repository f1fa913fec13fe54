"""Ground module: files that appear whole or not at all, and work that is not done twice."""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path


@contextlib.contextmanager
def write_whole(path):
    """Yields a temporary path beside `path`; after the block it takes the name `path`, after an error it is gone.

    The block writes either one file or one folder under the temporary path. A folder replaces a former one
    whole. Missing parent folders are made.
    """
    path = Path(path)
    with make_room(path) as room:
        fresh = room / path.name
        yield fresh
        former = room / "former"
        if fresh.is_dir() and path.is_dir():
            path.rename(former)
        try:
            fresh.replace(path)
        except OSError:
            if former.exists():
                former.rename(path)
            raise


@contextlib.contextmanager
def make_room(path):
    """Yields a temporary folder beside `path`, which is gone after the block.

    A run that was killed could not clear its own away: the next one for the same `path` does. It tells by a lock,
    which the system takes from a process (and those forked from it) only when it ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):  # mkdtemp takes 8 characters
        with contextlib.suppress(OSError), _lock(left):
            if (left / "former").exists() and not path.exists():  # killed between two renames
                (left / "former").rename(path)
            shutil.rmtree(left, ignore_errors=True)
    with contextlib.ExitStack() as lock:
        room = _make_locked_folder(path, lock)
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _make_locked_folder(path, lock):
    """A temporary folder beside `path`, whose lock the ExitStack `lock` holds.

    It is a folder of our own, so that the temporary name is nobody else's and keeps the suffix that libraries look at.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            lock.enter_context(_lock(folder))
        except (BlockingIOError, FileNotFoundError):
            continue  # another run has found it before it was locked, and clears it away
        except OSError:
            return folder  # a network folder may have no locks: then nothing can be told there
        if folder.exists():
            return folder


@contextlib.contextmanager
def _lock(folder):
    """Holds a folder's lock. Raises OSError where somebody else does, or where there are no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write_text(path, text):
    """Writes a text file whole, in UTF-8."""
    with write_whole(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def sha256(path):
    """The sha256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _list_state(path):
    """`[relative name, size in bytes, mtime in ns]` of the file `path`, or of every file below the folder `path`."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of a hundred thousand files, Path(path) takes longer than this call
    except OSError:
        return []
    if not stat.S_ISDIR(found.st_mode):
        return [[".", found.st_size, found.st_mtime_ns]]
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return [[str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns] for p in files if p.exists()]


def fingerprint(inputs, **settings):
    """A short text that changes when a file of `inputs` changes (size or time, as make does) or a setting does.

    `inputs` are files or folders, of which one is held at a time; their own paths count too, and their order.
    `settings` must be what json can write.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in inputs:
        digest.update(f"{os.fspath(path)!r} {_list_state(path)}\n".encode())
    return digest.hexdigest()


def _stamp_path(output):
    output = Path(output)
    return output.parent / f".{output.name}.stamp"


def _read_stamp(output):
    try:
        stamp = json.loads(_stamp_path(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none was written, or somebody edited it: it says nothing
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_untouched(output):
    """True if `output`, a file or a folder, stands as `mark_current` saw it: nobody edited it since."""
    return Path(output).exists() and _read_stamp(output).get("output") == _list_state(output)


def is_current(output, inputs_fingerprint):
    """True if `output` is untouched and was made from inputs of the same fingerprint."""
    return _read_stamp(output).get("inputs") == inputs_fingerprint and is_untouched(output)


def mark_current(output, inputs_fingerprint):
    """Notes beside `output`, a file or a folder, what it was made from, for `is_current`."""
    note = {"inputs": inputs_fingerprint, "output": _list_state(output)}
    write_text(_stamp_path(output), json.dumps(note))


def remove_output(output):
    """Removes the file `output`, where it is there, and what `mark_current` noted of it."""
    for path in (_stamp_path(output), Path(output)):
        path.unlink(missing_ok=True)
