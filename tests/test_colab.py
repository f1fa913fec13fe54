"""docs/colab.ipynb: its cells, one after the other, as Colab would run them, here on the CPU."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT, run_script

NOTEBOOK = ROOT / "docs/colab.ipynb"
# what a notebook has and a script has not; what is shown is noted
DISPLAY = """
from pathlib import Path
def Image(filename, width=None): return f"image of {Path(filename).stat().st_size} bytes"
def HTML(data): return data
def display(shown):
    with open("shown.txt", "a") as file: file.write(shown + "\\n")
"""


def read_cells():
    """The texts of the notebook's code cells."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_what_is_there():
    cells = read_cells()
    for number, cell in enumerate(cells):
        compile(cell, f"cell {number}", "exec")
    verbs = re.findall(r'run\("make", (.*?)\)', "\n".join(cells)) + re.findall(r"verbs = \[(.*?)\]", "\n".join(cells))
    targets = {word for verb in verbs for word in re.findall(r'"([a-z]+)"', verb)}
    assert {"install", "demo", "train", "infer", "report", "tflite", "bundle"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def run_notebook(folder, **settings):
    """Runs all cells in `folder`, with other settings than the notebook's, and returns what it said and showed."""
    (folder / "modules/IPython").mkdir(parents=True)
    (folder / "modules/IPython/__init__.py").touch()
    (folder / "modules/IPython/display.py").write_text(DISPLAY)
    text = "\n".join(read_cells())
    for name, value in {"REPOSITORY": f"file://{ROOT}", **settings}.items():
        text, count = re.subn(
            rf"^{name} = .*$", lambda _, name=name, value=value: f"{name} = {value!r}", text, flags=re.M
        )
        assert count == 1
    (folder / "cells.py").write_text(text)
    # the environment that is there already stands for the one that Colab would make; and a training of seconds
    short = {"TFOD_VENV": sys.prefix, "TFOD_PYTHON": sys.executable, "TFOD_STEPS": "4", "TFOD_BATCH": "2"}
    short |= {"TFOD_PRETRAINED": "", "TFOD_BASE_CONFIG": "scripts/configs/demo.config"}
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"} | short
    environment["PYTHONPATH"] = str(folder / "modules")
    command = [sys.executable, "cells.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout, (folder / "shown.txt").read_text()


@pytest.mark.long
def test_the_notebook_trains_the_demo(tmp_path):
    output, shown = run_notebook(tmp_path)
    assert "workspace/demo/demo_result.png" in output
    assert shown.count("image of ") == 6
    assert "<iframe srcdoc=" in shown and "&quot;" in shown
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "bundle.tar.gz").stat().st_size > 100_000


@pytest.mark.long
def test_the_notebook_takes_a_zip_of_photos(tmp_path):
    run_script("preprocessing/make_sample_dataset.py", "-o", "drawn", "--number", 20, "--size", 160, cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "my photos.zip", "w") as archive:
        for path in (tmp_path / "drawn").iterdir():
            if not path.name.startswith("."):
                archive.write(path, f"holiday/{path.name}")
        archive.writestr("__MACOSX/holiday/._a.jpg", "what a Mac adds")
    output, _ = run_notebook(tmp_path, PHOTOS="my photos.zip", STEPS=4, BATCH=2)
    assert "workspace/mine is there" in output
    assert len(list((tmp_path / "tfod/workspace/mine/images").glob("*.jpg"))) == 20
    assert (tmp_path / "bundle.tar.gz").stat().st_size > 100_000
