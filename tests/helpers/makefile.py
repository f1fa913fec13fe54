"""The Makefile run for real, or with a Python that only notes its calls: what the commands get, without their work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKES_OWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILE_LIST", "MAKEOVERRIDES", "CURDIR")
PYTHON = """#!/bin/sh
[ "$1" = -c ] || printf '%s\\0' "$PWD" "$@" "end of call" >>"${0%/*}/calls"
"""


def get_environment():
    """This process's environment without what the make has put there that may have started it (`make test`)."""
    theirs = re.findall(r"^([A-Z_0-9]+) [:+]?=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: value for name, value in os.environ.items() if name not in {*theirs, *MAKES_OWN}}


def record_make(room, *words, clone=ROOT, env=None, code=0):
    """Runs make in `clone` with an environment in the folder `room`: a list of calls, each [folder, *arguments].

    The environment variables are this process's with those of `env`. Standard error is checked against `code` only.
    """
    calls, said = try_make(room, *words, clone=clone, env=env, code=code)
    return calls


def try_make(room, *words, clone=ROOT, env=None, code=0):
    """`record_make` with what was said on standard error: (calls, text). `room` holds the environment `room/venv`."""
    venv = make_environment(room)
    command = ["make", f"VENV={venv}", *words]
    environment = {**get_environment(), **(env or {})}
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    calls = venv / "bin/calls"
    text = calls.read_text() if calls.exists() else ""
    calls.unlink(missing_ok=True)
    return [call.split("\0")[:-1] for call in text.split("end of call\0")[:-1]], done.stderr


def make_environment(room):
    """A folder that the install scripts take for a complete environment, of all kinds."""
    venv = room / "venv"
    if not venv.exists():
        (venv / "bin").mkdir(parents=True)
        for name in ("requirements.txt", "requirements-label.txt", "requirements-web.txt"):
            shutil.copy(ROOT / name, venv)
        shutil.copy(ROOT / "package-lock.json", venv / "installed-lock.json")
        (venv / "bin/python").write_text(PYTHON)
        (venv / "bin/python").chmod(0o755)
    return venv


def make_clone(folder):
    """A folder with what make reads, as links."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = ("requirements.txt", "requirements-label.txt", "requirements-web.txt", "package-lock.json")
    for name in ("Makefile", "scripts", "tests", *locks):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_make(*words, code=0, **options):
    """Runs make in the repository's root with this environment, and returns (standard output, standard error)."""
    return run_command(["make", "-C", ROOT, f"VENV={sys.prefix}", *words], code, **options)


def run_command(words, code=0, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=500, **options)
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr
