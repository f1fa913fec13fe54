"""One training at a time in a model's folder."""

import contextlib
import datetime
import fcntl
import os
import platform
from pathlib import Path

from tfod.utils.console import InputError, say

NAME = ".training.lock"


@contextlib.contextmanager
def lock_folder(folder):
    """Holds the lock of a model's folder for a training. Raises InputError where another one does.

    The system takes it from a process that ends, however that does: the file that a kill leaves behind locks nothing.
    Evaluations and exports do not ask for it. Where there are no locks (some network folders), that is said, and the
    training goes on.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(folder / NAME))
        except BlockingIOError as error:
            what = f"another training writes there ({error.strerror}); wait for its end or stop it"
            raise InputError(f"{folder}: {what}, or give this one another --model_dir (MODEL=)") from None
        except OSError as error:
            say(f"warning: {folder}: can't be locked ({error.strerror}); see to it that no other training writes there")
        yield


@contextlib.contextmanager
def _lock(path):
    """Holds the lock of the file `path`, which is gone after the block. Raises OSError where that can't be.

    It is BlockingIOError, with who holds it in its strerror, where another process does.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK)
        try:
            _take(handle)
            # another training may have removed the file after it was opened here, and before it was locked
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(handle)


def _take(handle):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = ""
        with contextlib.suppress(OSError):  # a pipe in its place
            holder = os.read(handle, 200).decode(errors="replace").strip()
        raise BlockingIOError(error.errno, holder or "it does not say more") from None
    with contextlib.suppress(OSError):  # who holds it is for the message above only: a full disk is no matter
        os.ftruncate(handle, 0)
        now = datetime.datetime.now().isoformat(" ", "minutes")
        os.write(handle, f"process {os.getpid()} on {platform.node()}, since {now}\n".encode())
