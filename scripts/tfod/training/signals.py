"""Signals that ask a training for its end: Ctrl-C, and what kill, a closed terminal or a shutdown send."""

import contextlib
import os
import signal

WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def note_signals():
    """Yields a list to which each signal's number is added, so that the training can finish its step and save it.

    A second signal ends the process at once. One that was ignored before stays so, as nohup asks for.
    """
    caught = []

    def note(number, _):
        if caught:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        caught.append(number)
        # straight to the system: Python may be within a print at this moment, and whoever reads may be gone
        with contextlib.suppress(OSError):
            text = f"{signal.Signals(number).name}: saving after this step; once more ends at once\n"
            os.write(2, (b"\n" if os.isatty(2) else b"") + text.encode())

    former = {number: signal.getsignal(number) for number in WANTED if signal.getsignal(number) != signal.SIG_IGN}
    for number in former:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
