"""What the scripts share. The public face is `tfod.detector.Detector`."""

import signal
import sys
from pathlib import Path

_script = getattr(sys.modules["__main__"], "__file__", None)
_is_ours = _script and Path(_script).resolve().is_relative_to(Path(__file__).parents[1])
if _is_ours and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    # Ctrl-C while a script of ours imports ends it at once, without a trace; `console.run`, later, has more to clear
    # away. A program that imports Detector keeps what it has.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
