"""What `make device` runs on a board: says what the board is, takes a bundle from standard input, and runs its photos.

It comes through standard input itself, and leaves nothing behind: all is in a temporary folder in the home folder,
which is gone afterwards, also if the connection breaks. What it prints are lines of JSON. It runs on Python 3.6 and
later, so that it can say that a Python is too old.
"""

import errno
import glob
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def read(path):
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n")
    except OSError:
        return ""


def describe(place):
    """What the board is."""
    processor = [line.partition(":")[2].strip() for line in read("/proc/cpuinfo").splitlines() if "model name" in line]
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "system": platform.system(),
        "machine": platform.machine(),
        "libc": list(platform.libc_ver()),
        "model": read("/proc/device-tree/model") or "".join(processor[:1]),
        "cores": os.cpu_count(),
        "place": place,
        "free": shutil.disk_usage(place).free,
    }


def read_state():
    """The highest temperature in degrees Celsius, and what vcgencmd says of throttling; None where there is no such."""
    texts = [read(path) for path in glob.glob("/sys/class/thermal/thermal_zone*/temp")]
    degrees = [int(text) / 1000 for text in texts if text.lstrip("-").isdigit()]
    throttled = None
    if shutil.which("vcgencmd"):
        asked = subprocess.run(["vcgencmd", "get_throttled"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        throttled = asked.stdout.decode().strip().partition("=")[2] or None
    return {"celsius": max(degrees) if degrees else None, "throttled": throttled}


def tell(**line):
    print(json.dumps(line), flush=True)


def end(number, _):
    raise SystemExit(128 + number)


def main():
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, end)
    home = os.environ.get("TMPDIR") or str(Path.home())
    tell(**describe(home))
    with tempfile.TemporaryDirectory(prefix=".tfod-", dir=home) as room:
        try:
            with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
                archive.extractall(room)
        except OSError as error:
            if error.errno in FULL:
                tell(full=home)
            return 1
        except (tarfile.TarError, EOFError):  # the other side went away
            return 1
        folder = Path(room, "detector")
        environment = dict(os.environ, PYTHONPATH=str(folder / "packages"))
        for model in sorted(folder.glob("*.tflite")):
            tell(begins=model.name, **read_state())
            command = [sys.executable, "measure.py", model.name]
            done = subprocess.run(command, cwd=str(folder), env=environment, stderr=subprocess.PIPE)
            if done.returncode:
                tell(failed=model.name, said=done.stderr.decode(errors="replace")[-2000:])
                return 1
        tell(ends=True, **read_state())
    return 0


sys.exit(main())
