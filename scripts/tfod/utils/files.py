"""Files that appear whole or not at all, work that is not done twice, and what is not ours to replace.

Beside each output stands a stamp, `.NAME.stamp`: which script made it, from which files, and which files it wrote, each
with its size, times and sha256. A file is the same while its size and times are, or else its bytes: a copy of a
workspace is up to date, and a changed byte is not, whatever the clock says.

Files that a person gave are read so that none of them hangs a script or fills the memory (`read_bytes`, `read_text`).
"""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import json
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from tfod.utils.console import DISK_ERRORS, ENDING, Fault, InputError

FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # what they leave in any folder that somebody looks into
SHOWN = 5  # files that an error names before it counts the rest
Pathlike = str | os.PathLike
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@contextlib.contextmanager
def write_whole(path: Pathlike, maker: str | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`; after the block it takes the name `path`, after an error it is gone.

    The block writes either one file or one folder under the temporary path. A folder replaces a former one
    whole. Missing parent folders are made. With a `maker`, the stamp says from then on whose it is, even if this run is
    killed before `mark_current`.
    """
    path = Path(path)
    with make_room(path) as room:
        fresh = room / path.name
        yield fresh
        if maker:
            claim(path, maker)
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
def make_room(path: Pathlike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, which is gone after the block.

    A run that was killed could not clear its own away: the next one for the same `path` does. It tells by a lock,
    which the system takes from a process (and those forked from it) only when it ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):  # mkdtemp takes 8 characters
        with contextlib.suppress(OSError), hold_lock(left):
            if (left / "former").exists() and not path.exists():  # killed between two renames
                (left / "former").rename(path)
            shutil.rmtree(left, ignore_errors=True)
    with _name_output(path), contextlib.ExitStack() as lock:
        # a signal that asks for the end waits while the folder is made or removed, or the folder would stay
        former = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            room = _make_locked_folder(path, lock)
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, former)
                yield room
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
                shutil.rmtree(room, ignore_errors=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextlib.contextmanager
def _name_output(path):
    """Has an OSError of writing name the file `path`, and not the temporary one, or none at all."""
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno in DISK_ERRORS
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name]  # of a copy there are two
        if unnamed or f"{os.sep}.{path.name}." in "".join(names[-1:]):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _make_locked_folder(path, lock):
    """A temporary folder beside `path`, whose lock the ExitStack `lock` holds.

    It is a folder of our own, so that the temporary name is nobody else's and keeps the suffix that libraries look at.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            lock.enter_context(hold_lock(folder))
        except (BlockingIOError, FileNotFoundError):
            continue  # another run has found it before it was locked, and clears it away
        except OSError:
            return folder  # a network folder may have no locks: then nothing can be told there
        return folder


class NoLocks(OSError):
    """The file system has no locks, as some network folders."""


@contextlib.contextmanager
def hold_lock(path: Path, make: bool = False, wait: Callable | None = None):
    """Holds the lock of `path`, and yields its handle. The system takes it from a process that ends, however that does.

    `path` is a folder, or with `make` a file that is made for this and gone after the block. Where another process
    holds the lock, `wait()` is called once and the lock waited for; without `wait`, BlockingIOError is raised. Raises
    NoLocks where there are none, and another OSError where `path` can't be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK if make else os.O_RDONLY
    waited = False
    while True:
        handle = os.open(path, flags, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if wait is None:
                    raise
                if not waited:
                    wait()
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                if make:
                    path.unlink(missing_ok=True)
                raise NoLocks(error.errno, error.strerror) from error
            if _is_at(path, handle):  # else who held it has removed it after it was opened here
                try:
                    yield handle
                finally:
                    if make:
                        path.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)


def _is_at(path, handle):
    """Whether `path` still names what `handle` has open."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def write_text(path: Pathlike, text: str, maker: str | None = None) -> None:
    """Writes a text file whole, in UTF-8. `maker` is as in `write_whole`."""
    with write_whole(path, maker) as fresh:
        fresh.write_text(text, encoding="utf-8")


def sha256(path: Pathlike) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------- stamps


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What an output is made from: a sum of the settings, and a dict path -> state of every input file."""

    settings: str
    inputs: dict[str, list[int] | None]


@dataclasses.dataclass(frozen=True)
class _Noted:
    """A file as a stamp has it."""

    size: int
    modified: int  # ns
    changed: int  # ns; nobody can set a ctime, as unpacking a zip sets an mtime
    sha256: str

    def is_same(self, path, state):
        """Whether the file `path`, whose `_get_state` this is, still has the same bytes."""
        if state is None or state[0] != self.size:
            return False
        return state == [self.size, self.modified, self.changed] or sha256(path) == self.sha256


def _get_state(path):
    """`[size in bytes, mtime in ns, ctime in ns]` of a file, or None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of a hundred thousand files, Path(path) takes longer than this call
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns] if stat.S_ISREG(found.st_mode) else None


def _list_files(paths):
    """The files `paths`, and those below the folders among them, sorted in each, as texts. Stamps are left out."""
    found = []
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - as above
            below = sorted(Path(path).rglob("*"))
            found.extend(str(one) for one in below if one.is_file() and not _is_stamp(one))
        else:
            found.append(os.fspath(path))
    return found


def fingerprint(inputs: Iterable[Pathlike], **settings: object) -> Fingerprint:
    """The `Fingerprint` of the files in `inputs` (files or folders), of their order, and of `settings`, for json.

    Take it before the work: what changes during the work is not what the output was made from.
    """
    text = json.dumps(settings, sort_keys=True)
    states = {path: _get_state(path) for path in _list_files(inputs)}
    return Fingerprint(hashlib.sha256(text.encode()).hexdigest(), states)


def is_current(output: Pathlike, made_from: Fingerprint, maker: str) -> bool:
    """True if `output` is untouched and was made from the same files and settings, a `Fingerprint`."""
    has_settings = _read_stamp(output)["settings"] == made_from.settings
    return has_settings and has_same_inputs(output, made_from, maker) and is_untouched(output, maker)


def has_same_inputs(output: Pathlike, made_from: Fingerprint, maker: str) -> bool:
    """True if `maker` made `output` from the files of `made_from`, a `Fingerprint`, with whatever settings."""
    stamp = _read_stamp(output)
    states = {os.path.abspath(path): state for path, state in made_from.inputs.items()}  # noqa: PTH100 - see _read_stamp
    return stamp["maker"] == maker and _are_same(stamp["inputs"], states)


def is_untouched(output: Pathlike, maker: str) -> bool:
    """True if `maker` made `output`, a file or a folder, and all that it wrote stands as `mark_current` saw it."""
    stamp = _read_stamp(output)
    if stamp["maker"] != maker or not all(stamp["outputs"].values()):
        return False
    return _are_same(stamp["outputs"], {path: _get_state(path) for path in stamp["outputs"]})


def mark_current(
    output: Pathlike,
    made_from: Fingerprint | None,
    maker: str,
    outputs: Iterable[Pathlike] | None = None,
    place: Pathlike | None = None,
) -> None:
    """Notes beside `output` who made it and from what, for `is_current`: `made_from` is the `Fingerprint`, or None.

    `outputs` are the files and folders that were made with it, by default `output` alone. `place` is where `output`
    will be, if the folder around it is renamed later.
    """
    inputs = made_from.inputs if made_from else {}
    noted = _note(inputs)
    for path, state in inputs.items():
        if state and noted[path] and state[:2] != noted[path][:2]:  # it changed meanwhile: the stamp is of the former
            noted[path] = [*state, ""]
    settings = made_from.settings if made_from else ""
    made = _note(_list_files([output] if outputs is None else outputs))
    _write_stamp(output, maker, settings, noted, made, place)


def claim(output: Pathlike, maker: str, outputs: Iterable[Pathlike] | None = None) -> None:
    """Notes beside `output` that `maker` is about to write `outputs`, by default `output` alone: whatever is there
    under these names from now on is its own, even if it is killed before `mark_current`."""
    _write_stamp(output, maker, "", {}, dict.fromkeys(map(os.fspath, [output] if outputs is None else outputs)))


def forget(output: Pathlike) -> None:
    """Removes the stamp beside `output`."""
    _stamp_path(output).unlink(missing_ok=True)


def list_made(output: Pathlike, maker: str) -> list[Path]:
    """The files that `maker` made as the stamp beside `output` names them, and that stand as it left them. Links are
    there, too, where the files that they lead to are gone."""
    stamp = _read_stamp(output)
    noted = stamp["outputs"] if stamp["maker"] == maker else {}

    def is_there(path):
        state = _get_state(path)
        return os.path.islink(path) if state is None else _is_made(path, noted, state)  # noqa: PTH114 - see _get_state

    found = _list_files(noted)
    return [Path(path) for path, there in zip(found, _map(is_there, found), strict=True) if there]


def list_made_at(place: Pathlike, without: Collection[str] = ()) -> set[Path]:
    """The files at `place`, a file or a folder, that stand as one of our scripts left them, by the stamps beside it and
    in it, and these stamps: a set of absolute paths. Stamps of the makers in `without` don't count."""
    place = Path(os.path.abspath(place))  # noqa: PTH100 - resolve() would follow links
    found = set()
    for path in [_stamp_path(place), *(place.rglob(".*.stamp") if place.is_dir() else ())]:
        output = path.with_name(path.name[1 : -len(".stamp")])
        maker = _read_stamp(output)["maker"]
        if maker not in without:
            found |= {path, *list_made(output, maker)}
    return {path for path in found if path.is_relative_to(place)}


def list_foreign(
    output: Pathlike, maker: str, outputs: Iterable[Pathlike] | None = None, others: Collection[str] = ()
) -> list[Path]:
    """The files at `outputs` (files or folders; by default `output` alone) that `maker` did not make, or that were
    changed since it did, as the stamp beside `output` tells.

    In a folder, what `maker` or one of `others` made and has a stamp of its own there is not foreign.
    """
    outputs = [Path(path) for path in ([output] if outputs is None else outputs)]
    stamp = _read_stamp(output)
    noted = dict(stamp["outputs"]) if stamp["maker"] == maker else {}
    for path in (path for folder in outputs if folder.is_dir() for path in folder.rglob(".*.stamp")):
        inner = _read_stamp(path.with_name(path.name[1 : -len(".stamp")]))
        noted |= inner["outputs"] if inner["maker"] in (maker, *others) else {}
    files = [path for path in _list_files(outputs) if Path(path).name not in FILE_MANAGERS and os.path.lexists(path)]
    made = _map(lambda path: _is_made(path, noted, _get_state(path)), files)
    return [Path(path) for path, ours in zip(files, made, strict=True) if not ours]


def find_foreign(output: Pathlike, maker: str, advice: str, outputs: Iterable[Pathlike] | None = None) -> list[str]:
    """Faults, texts: the files of `list_foreign`, which replacing them would lose.

    `advice`: what to do, as "name another folder with -o".
    """
    blocking = next((parent for parent in Path(output).parents if parent.exists() and not parent.is_dir()), None)
    if blocking:
        return [f"{blocking}: is a file, not a folder to write into; {advice}"]
    foreign = list_foreign(output, maker, outputs)
    said = "is not what this script left there, and would be lost; move it away, or"
    faults = [f"{path}: {said} {advice}" for path in foreign[:SHOWN]]
    if more := len(foreign) - len(faults):
        place = output if os.path.lexists(output) else Path(output).parent
        faults.append(f"{place}: holds {more} more such files")
    return faults


def refuse_foreign(output: Pathlike, maker: str, advice: str, outputs: Iterable[Pathlike] | None = None) -> None:
    """Raises InputError with the faults of `find_foreign`, if any."""
    faults = find_foreign(output, maker, advice, outputs)
    if faults:
        raise InputError(*faults)


def _stamp_path(output):
    output = Path(output)
    return output.parent / f".{output.name}.stamp"


def _is_stamp(path):
    return path.name.startswith(".") and path.name.endswith(".stamp")


def _read_stamp(output):
    """The stamp beside `output`, a dict: maker, settings, and dicts absolute path -> _Noted of inputs and outputs, with
    None for an output that was claimed only. Without outputs where there is none that can be read."""
    path = _stamp_path(output)
    here = os.path.abspath(path.parent)  # noqa: PTH100 - resolve() would follow links
    try:
        stamp = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        read = {
            kind: {
                os.path.normpath(os.path.join(here, name)): state and _Noted(*state)  # noqa: PTH118
                for name, state in stamp[kind].items()
            }
            for kind in ("inputs", "outputs")
        }
        return {"maker": stamp["maker"], "settings": stamp["settings"], **read}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {"maker": None, "settings": None, "inputs": {}, "outputs": {}}  # none, damaged, edited, of before


def _write_stamp(output, maker, settings, inputs, outputs, place=None):
    """`inputs` and `outputs` are dicts path -> what `_Noted` holds, or None. Their names are relative to the stamp (the
    inputs', to where it will be: see `mark_current`), so that a copied workspace brings its own."""
    note = {"maker": maker, "settings": settings}
    for kind, files, here in (("inputs", inputs, place or output), ("outputs", outputs, output)):
        note[kind] = {os.path.relpath(path, Path(here).parent): state for path, state in files.items()}
    write_text(_stamp_path(output), json.dumps(note))


def _note(paths):
    """A dict path -> what `_Noted` holds, or None where there is no such file."""

    def look(path):
        state = _get_state(path)
        return state and [*state, sha256(path)]

    return dict(zip(paths, _map(look, paths), strict=True))


def _is_made(path, noted, state):
    """Whether the dict `noted`, path -> _Noted or None, knows the file `path`, or claims it or a folder around it."""
    path = Path(os.path.abspath(path))  # noqa: PTH100
    if any(str(one) in noted and noted[str(one)] is None for one in (path, *path.parents)):
        return True
    return str(path) in noted and noted[str(path)].is_same(path, state)


def _are_same(noted, states):
    """Whether the files of `states`, a dict path -> `_get_state`, are those of `noted`, path -> _Noted (or None where
    there was none), in its order and unchanged."""
    return list(noted) == list(states) and all(
        _map(lambda path: noted[path].is_same(path, states[path]) if noted[path] else states[path] is None, noted)
    )


def _map(function, items):
    """`function` of each item, in threads: reading and summing large files waits for the disk, or leaves Python."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


def is_file(path: Pathlike) -> bool:
    """Whether there is a regular file, or a link to one. A link that leads in a circle is not, and is not an error."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - of many files, Path(path) takes longer than this
    except (OSError, ValueError):
        return False


def find_oddity(path: Pathlike) -> str | None:
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


def read_bytes(path: Pathlike, most: int | None = None, kind: str = "file-not-read") -> bytes:
    """The bytes of a regular file. Raises InputError if it is not one, can't be read, or has more than `most` bytes."""
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


def read_text(path: Pathlike, most: int | None = None, kind: str = "file-not-read") -> str:
    """The text of a regular file. Raises InputError as `read_bytes` does, or if it is not in UTF-8."""
    try:
        return read_bytes(path, most, kind).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(Fault(kind, path, "is not in UTF-8; save it in that encoding")) from None


def parse_json(text: str | bytes) -> Any:
    """What the JSON `text` holds. Raises ValueError if it is not JSON, or lists in lists a thousand times."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
