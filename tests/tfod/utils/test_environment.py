"""The commit, the versions and the machine, as banners and reports name them."""

import importlib.metadata
import os
import platform
import re
import subprocess

import pytest
from conftest import ROOT

from tfod.utils import environment


def test_the_commit_is_that_of_the_repository(monkeypatch):
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("this copy of the project is not a git repository")
    found = re.fullmatch(r"commit ([0-9a-f]{7,})\+?", environment.find_commit())
    assert head.stdout.startswith(found[1])
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert environment.find_commit() == "no git commit"
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment.find_commit() == "no git commit"


def test_versions_are_those_that_are_installed():
    rows = environment.list_versions()
    assert rows[0] == ("Python", platform.python_version())
    assert ("numpy", importlib.metadata.version("numpy")) in rows
    assert [name for name, _ in rows[1:]] == list(environment.PACKAGES)
    assert environment.list_versions(("numpy",)) == [rows[0], ("numpy", importlib.metadata.version("numpy"))]
    with pytest.raises(importlib.metadata.PackageNotFoundError, match="no-such-package"):
        environment.list_versions(("no-such-package",))


def test_the_machine_is_its_processor_and_the_cores_that_may_be_used(monkeypatch, tmp_path):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
    assert environment.describe_machine() == f"{platform.machine()}, {cores} cores"
    environment.CPUINFO.write_text("processor\t: 0\nmodel name\t: Pretended 9000\nmodel name\t: Other\n")
    assert environment.describe_machine() == f"Pretended 9000, {cores} cores"
