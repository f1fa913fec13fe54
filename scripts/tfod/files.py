"""Ground module: files that appear whole or not at all, and work that is not done twice."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def write_whole(path):
    """Yields a temporary path beside `path`; after the block it takes the name `path`, after an error it is gone.

    The block writes either one file or one folder under the temporary path. A folder replaces a former one
    whole. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder of our own, so that the temporary name is nobody else's and keeps the suffix that libraries look at.
    room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
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
    finally:
        shutil.rmtree(room, ignore_errors=True)


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
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [[str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns] for p in files if p.exists()]


def fingerprint(inputs, **settings):
    """A short text that changes when a file of `inputs` changes (size or time, as make does) or a setting does.

    `inputs` are files or folders; their own paths count too. `settings` must be what json can write.
    """
    state = [[str(path), _list_state(path)] for path in inputs]
    text = json.dumps([state, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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
