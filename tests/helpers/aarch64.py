"""Python programs on an emulated 64-bit ARM: Debian's arm64 Python, packages from PyPI, and qemu's emulation of a
program, which needs neither root nor a kernel that knows of it."""

import shutil
import subprocess
import sys

import pytest

# qemu shows the program this machine's /proc/cpuinfo. From ARM's, libraries choose their arithmetic: a Cortex-A72's.
CORE = """processor\t: {}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


def make_root(folder, requirements):
    """A folder below `folder` with Debian 12's Python 3.11 for ARM and, in packages/, what the text `requirements`
    names."""
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("qemu-aarch64-static", "qemu-user-static")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed: apt-get install {package}")
    root = folder / "arm64"
    # its programs are unpacked and not run, so that nothing here has to run ARM's
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", "--include=python3,libstdc++6"]
    subprocess.run([*command, "bookworm", root], check=True)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text("".join(CORE.format(number) for number in range(4)))
    (folder / "requirements.txt").write_text(requirements)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", root / "packages", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version=3.11", "-r", folder / "requirements.txt"]
    for version in (28, 27, 17):
        command.append(f"--platform=manylinux_2_{version}_aarch64")
    subprocess.run(command, check=True)
    return root


def run_emulated(root, *words, cwd):
    """Runs Python with `words` in the root of `make_root`: what subprocess.run returns, with texts."""
    emulator = ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L", root, root / "usr/bin/python3.11"]
    environment = {"PYTHONPATH": str(root / "packages"), "PATH": "/usr/bin:/bin"}
    command = list(map(str, [*emulator, *words]))
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
