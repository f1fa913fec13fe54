"""Nothing heavy is imported, and no environment variable set, while another thread of ours runs, in any script."""

import subprocess
import sys
from pathlib import Path

import attacks
import pytest
import thread_guard
from bench.bench_starts import start_often
from conftest import ROOT

pytestmark = pytest.mark.attack
GUARD = Path(thread_guard.__file__)
SOME = ("split", "plots", "tfrecord")  # the others are for test-long


def run_guarded(script, *words, cwd):
    command = [sys.executable, GUARD, script, *words]
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return attacks.lay_out(tmp_path_factory.mktemp("guarded"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in SOME)) for name in attacks.CALLS]
)
def test_threads_are_alone_with_light_work(name, request, tmp_path):
    cwd = request.getfixturevalue("workspace" if name in attacks.DATA else "exported")
    script, *words = attacks.get_words(name, tmp_path / "out")
    done = run_guarded(ROOT / "scripts" / script, *words, cwd=cwd if name in attacks.DATA else cwd[0])
    assert done.returncode == 0, done.stderr
    assert thread_guard.SAID not in done.stderr


def test_inference_of_the_other_formats(onnx_model, workspace, tmp_path):
    words = ["-m", onnx_model, "-i", "images", "-o", tmp_path / "out", "--save", "images,json,csv,coco,voc,crops"]
    done = run_guarded(ROOT / "scripts/inference_main_v2.py", *words, cwd=workspace)
    assert done.returncode == 0 and thread_guard.SAID not in done.stderr, done.stderr


@pytest.mark.parametrize("deed", ["import matplotlib", "os.environ['A'] = 'b'", "os.environ.pop('HOME')", "os.fork()"])
def test_the_guard_sees_it(tmp_path, deed):
    script = tmp_path / "script.py"
    wait = "ended = threading.Event()\nother = threading.Thread(target=ended.wait)"
    script.write_text(f"import os, threading\n{wait}\nother.start()\n{deed}\nended.set()\n")
    assert thread_guard.SAID in run_guarded(script, cwd=tmp_path).stderr
    script.write_text(f"import os, threading\n{wait}\n{deed}\n")
    assert thread_guard.SAID not in run_guarded(script, cwd=tmp_path).stderr


@pytest.mark.long
def test_ten_starts_of_inference_end_well(exported, raccoon_images):
    """As `tests/bench/bench_starts.py`, whose 200 see what happens in 3 of 100."""
    codes, _, said = start_often(exported[0] / "exported_models/my_model/saved_model", raccoon_images, 10)
    assert codes == {0: 10}, said
