"""Runs that end before they are done: by Ctrl-C, by a signal, by a worker's end."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, draw_photo, label_photo
from PIL import ExifTags, Image

from tfod.data.label_map import write_label_map

SCRIPT = "preprocessing/generate_tfrecord.py"
TUTORIAL = ("-x", "images", "-l", "annotations/label_map.pbtxt", "-o", "annotations/train.record")


@pytest.fixture
def workspace(labelled_images):
    """A workspace as the tutorial has it before this step."""
    write_label_map(labelled_images.parent / "annotations" / "label_map.pbtxt", {"cat": 1, "dog": 2})
    return labelled_images.parent


def call_generate(workspace, *options):
    command = [sys.executable, ROOT / "scripts" / SCRIPT, *TUTORIAL, *map(str, options)]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("ending", "code", "said"), [("INT", 130, "interrupted\n"), ("TERM", 143, ""), ("KILL", -9, "")]
)
def test_an_interrupted_run_leaves_no_record_and_the_next_one_nothing_else(workspace, ending, code, said):
    assert call_generate(workspace).returncode == 0
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be encoded again, which takes a second
    label_photo(workspace / "images", "large.png", photo=draw_photo(size=(5000, 4000)), exif=exif)
    before = (workspace / "annotations" / "train.record").read_bytes()
    command = [sys.executable, ROOT / "scripts" / SCRIPT, *TUTORIAL, "--check", "headers"]
    run = subprocess.Popen(command, cwd=workspace, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list((workspace / "annotations").glob(".train.record.*.tmp/train.record")):
        assert run.poll() is None, "it was done before it could be interrupted"
        time.sleep(0.002)
    number = signal.Signals[f"SIG{ending}"]
    if ending == "INT":
        os.killpg(run.pid, number)  # as a terminal does: to all its processes
    else:
        run.send_signal(number)
    assert (run.communicate(timeout=20)[1], run.returncode) == (said, code)
    assert (workspace / "annotations" / "train.record").read_bytes() == before
    left = list((workspace / "annotations").glob(".*.tmp"))
    assert len(left) == (ending == "KILL")
    deadline = time.monotonic() + 20
    while left and is_locked(left[0]) and time.monotonic() < deadline:  # workers end with what they are at
        time.sleep(0.05)
    assert call_generate(workspace).returncode == 0
    files = sorted(path.name for path in (workspace / "annotations").iterdir())
    assert files == [".train.record.stamp", "label_map.pbtxt", "train.record"]


def is_locked(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def test_a_worker_that_is_killed_ends_the_run(workspace):
    for number in range(400):
        label_photo(workspace / "images", f"more_{number}.jpg", number)
    command = [sys.executable, ROOT / "scripts" / SCRIPT, *TUTORIAL]
    run = subprocess.Popen(command, cwd=workspace, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    while not (workers := children.read_text().split()):
        time.sleep(0.002)
    os.kill(int(workers[0]), signal.SIGKILL)  # as the system does when the memory is used up
    said = run.communicate(timeout=20)[1]
    assert run.returncode == 1
    assert said.startswith("error: a worker process was killed: most likely the memory ran out (dmesg tells)")
    assert [path.name for path in (workspace / "annotations").iterdir()] == ["label_map.pbtxt"]
