"""What this runs on: the commit of these scripts, the versions of Python and the packages, the machine.

Nothing slow is imported here. NVIDIA's driver and cards are in tfod.utils.nvidia.
"""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from tfod.utils.parallel import count_cores

# those that a model's numbers and the charts come from
PACKAGES = ("tensorflow", "tf-keras", "tf-models-research-object-detection", "pycocotools", "numpy", "matplotlib")
CPUINFO = Path("/proc/cpuinfo")


def find_commit() -> str:
    """The commit of these scripts, as "commit 1a2b3c4", with a + where files differ from it, or "no git commit"."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # git is not installed
        found = ""
    return f"commit {found}" if found else "no git commit"


def list_versions(packages: tuple[str, ...] = PACKAGES) -> list[tuple[str, str]]:
    """Rows (name, version): Python first, then the installed `packages`, named as on PyPI.

    Raises importlib.metadata.PackageNotFoundError where one of them is not installed.
    """
    return [("Python", platform.python_version()), *((name, importlib.metadata.version(name)) for name in packages)]


def describe_machine() -> str:
    """The processor and how many of its cores this process may use, as "AMD EPYC 7763, 2 cores"."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(models, platform.machine())}, {count_cores()} cores"
