"""Files that a person gave, read so that none of them hangs a script or fills the memory."""

import json
import os
import stat
from pathlib import Path

from tfod.utils.console import Fault, InputError

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def is_file(path):
    """Whether there is a regular file, or a link to one. A link that leads round in a circle is none, and no error."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - of many files, Path(path) takes longer than this
    except (OSError, ValueError):
        return False


def find_oddity(path):
    """What keeps `path` from being read as a file, as a text, or None. Never opens it: a pipe would not end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as above
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", error)
        if Path(path).is_symlink():
            return f"is a link that leads nowhere ({what}); mend it, or take it away"
        return f"can't be read ({what}); check the name and its permissions"
    if stat.S_ISREG(mode):
        return None
    return f"is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file; replace it with a file, or take it away"


def read_bytes(path, most=None, kind="file-not-read"):
    """The bytes of a regular file. Raises InputError if it is none, can't be read, or has more than `most` bytes."""
    if odd := find_oddity(path):
        raise InputError(Fault(kind, path, odd))
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if most is not None and size > most:
                what = f"has {size / 1e6:.0f} MB, more than the {most / 1e6:.0f} MB that such a file can need"
                raise InputError(Fault(kind, path, f"{what}; replace it with the right file"))
            return file.read()
    except OSError as error:
        what = f"can't be read ({error.strerror}); check its permissions"
        raise InputError(Fault(kind, path, what)) from None


def read_text(path, most=None, kind="file-not-read"):
    """The text of a regular file. Raises InputError as `read_bytes` does, or if it is not in UTF-8."""
    try:
        return read_bytes(path, most, kind).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(Fault(kind, path, "is not in UTF-8; save it in that encoding")) from None


def parse_json(text):
    """What the JSON `text` holds. Raises ValueError if it is none, or lists in lists a thousand times."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
