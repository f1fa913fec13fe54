"""One training at a time in a model's folder."""

import contextlib
import datetime
import os
import platform
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, say

NAME = ".training.lock"


@contextlib.contextmanager
def lock_folder(folder):
    """Holds the lock of a model's folder for a training. Raises InputError where another one does.

    The system takes it from a process that ends, however that does: the file that a kill leaves behind locks nothing.
    Evaluations and exports do not ask for it. Where there are no locks (some network folders), that is said, and the
    training goes on.
    """
    path = Path(folder) / NAME
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _note_holder(stack.enter_context(files.hold_lock(path, make=True)))
        except BlockingIOError:
            what = f"another training writes there ({_read_holder(path)}); wait for its end or stop it"
            raise InputError(f"{folder}: {what}, or give this one another --model_dir (MODEL=)") from None
        except OSError as error:
            say(f"warning: {folder}: can't be locked ({error.strerror}); see to it that no other training writes there")
        yield


def _note_holder(handle):
    """Writes into the lock's file who holds it, for the message to others: a full disk does not matter."""
    now = datetime.datetime.now().isoformat(" ", "minutes")
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}, since {now}\n".encode())


def _read_holder(path):
    try:
        return files.read_text(path, most=200).strip() or "it does not say more"
    except InputError:  # something else is in its place
        return "it does not say more"
