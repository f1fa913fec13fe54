"""The shared package, built as an installation that is not editable would build it."""

import shutil
import subprocess
import sys
import zipfile

from conftest import ROOT


def test_the_package_has_every_file_of_its_folder(tmp_path):
    """Data files too, which setuptools leaves out unless it is told of them."""
    ours = shutil.copytree(
        ROOT / "scripts/tfod", tmp_path / "scripts/tfod", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("tfod/")}
    assert packed == {str(path.relative_to(ours.parent)) for path in ours.rglob("*") if path.is_file()}
