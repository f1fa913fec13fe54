"""TensorBoard, started for real, asked for its pages, and looked at in a browser."""

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import open_page
from conftest import ROOT, find_free_port, load_script
from random_evaluated import make_random

from tfod.evaluation.summaries import write_pr_curves
from tfod.training.log import LOSSES, METRICS
from tfod.utils.console import InputError

start_tensorboard = load_script("start_tensorboard.py")
# dict tag -> number of points, of the cards whose curves are drawn; TensorBoard's pages are trees of shadow roots
READ_CARDS = """(function read(root, found) {
  for (const element of root.querySelectorAll('*')) {
    if (element.shadowRoot) read(element.shadowRoot, found);
    if (element.shadowRoot && ['TF-SCALAR-CARD', 'TF-PR-CURVE-CARD'].includes(element.tagName)) {
      const lines = [];
      (function look(part) {
        for (const one of part.querySelectorAll('*')) {
          if (one.shadowRoot) look(one.shadowRoot);
          if (one.matches('.line-plot:not(.ghost) path.line')) lines.push(one.getAttribute('d') || '');
        }
      })(element.shadowRoot);
      const points = Math.max(...lines.map(line => line.split('L').length));
      if (lines.length && points > 1) found[element.tag] = points;
    }
  }
  return found;
})(document, {})"""
READ_PICTURES = """(function read(root, found) {
  for (const element of root.querySelectorAll('*')) {
    if (element.shadowRoot) read(element.shadowRoot, found);
    if (element.tagName == 'IMG') found.push([element.naturalWidth, element.naturalHeight]);
  }
  return found;
})(document, [])"""


@contextlib.contextmanager
def start(*words, port=None, ending=signal.SIGTERM, code=143):
    """Yields (address, what was said until it was printed, process); ends it with a signal, as a terminal would."""
    port = port or find_free_port()
    command = [sys.executable, ROOT / "scripts/start_tensorboard.py", "--port", port, *words]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        said = process.stdout.readline()
        assert ": http://" in said, process.stderr.read()
        yield said.split(": ")[-1].strip(), said, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, ending)  # its helpers, too, as Ctrl-C does
        output, errors = process.communicate(timeout=30)
        process.said = output + errors
    assert process.returncode == code, errors
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Event files of a training and of two evaluations, in this project's folders and under its names."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("board") / "models of mine"
    with tf.summary.create_file_writer(str(folder / "my_model/train")).as_default():
        for step in range(0, 600, 100):
            for name in LOSSES.values():
                tf.summary.scalar(name, 1 / (1 + step / 100), step)
    with tf.summary.create_file_writer(str(folder / "my_model/eval")).as_default():
        for step in (300, 600):
            for name in METRICS.values():
                tf.summary.scalar(name, step / 1000, step)
            tf.summary.image("eval_side_by_side_0_0", tf.random.uniform((1, 40, 90, 3)), step)
            write_pr_curves(make_random(step, images=20), step)
    return folder


def test_browser_shows_losses_map_images_and_pr_curves(logdir, tmp_path):
    with start("--logdir", logdir) as (address, said, _):
        assert "TensorBoard shows 2 runs of" in said
        with open_page(f"{address}#scalars", tmp_path, height=1200) as page:
            wanted = {**dict.fromkeys(LOSSES.values(), 6), **dict.fromkeys(METRICS.values(), 2)}
            page.wait_for(f"Object.keys({READ_CARDS}).length >= {len(wanted)}", timeout=60)
            assert page.evaluate(READ_CARDS) == wanted
            page.screenshot(tmp_path / "scalars.png")
            page.open(f"{address}?again#pr_curves")  # the same page with another hash would not be loaded
            names = ["PR at IoU 0.50/class 1", "PR at IoU 0.50/class 2"]
            page.wait_for(f"{names}.every(name => {READ_CARDS}[name] > 20)", timeout=60)
            page.screenshot(tmp_path / "pr_curves.png")
            page.open(f"{address}?and-again#images")
            page.wait_for(f"{READ_PICTURES}.some(([width, height]) => width == 90 && height == 40)", timeout=60)
            assert all(request.startswith((address, "data:", "blob:")) for request in page.requests)


def test_ctrl_c_ends_it_and_frees_the_port(logdir):
    with start("--logdir", logdir, ending=signal.SIGINT, code=0) as (address, _, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert urllib.request.urlopen(address, timeout=10).status == 200
    assert process.said.splitlines()[-1] == "TensorBoard ended"
    assert "experimental" not in process.said
    port = int(address.rsplit(":")[-1].strip("/"))
    assert start_tensorboard.can_listen("127.0.0.1", port)
    time.sleep(0.5)
    assert not any(Path(f"/proc/{child}/exe").exists() for child in children)


def test_folder_without_event_files_is_told_and_read_later(tmp_path, logdir):
    (tmp_path / "models").mkdir()
    with start("--logdir", tmp_path / "models") as (address, said, process):
        assert "shows 0 runs" in said
        assert urllib.request.urlopen(f"{address}data/runs", timeout=10).read().strip() == b"[]"
        shutil.copytree(logdir / "my_model", tmp_path / "models/new")
        assert start_tensorboard.wait_for(address, "data/runs", lambda page: b"new/train" in page)
    assert f"{tmp_path}/models: holds no event files yet" in process.said


def test_second_start_says_where_the_first_is(logdir, tmp_path, call):
    with start("--logdir", logdir) as (address, _, _process):
        port = int(address.rsplit(":")[-1].strip("/"))
        done = call("start_tensorboard.py", "--logdir", logdir, "--port", port)
        assert (done.returncode, done.stdout) == (0, f"TensorBoard already shows {logdir}: {address}\n")
        done = call("start_tensorboard.py", "--logdir", tmp_path, "--port", port)
        assert done.returncode == 1
        assert "or by a TensorBoard that shows another folder; end that one" in done.stderr


def test_taken_port_is_told_with_one_that_is_free(tmp_path, call):
    port = find_free_port()
    with socket.create_server(("127.0.0.1", port)):
        done = call("start_tensorboard.py", "--logdir", tmp_path, "--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: port {port}: is used by another program")
    free = int(re.search(r"make tensorboard PORT=(\d+)\n", done.stderr)[1])
    assert free != port
    assert start_tensorboard.can_listen("127.0.0.1", free)


def test_every_address_of_the_machine_is_one_to_open(tmp_path):
    with start("--logdir", tmp_path, "--host", "0.0.0.0") as (address, *_):
        assert address.startswith("http://127.0.0.1:")
        assert b"<title>TensorBoard" in urllib.request.urlopen(address, timeout=10).read()
    assert start_tensorboard.format_address("::", 6006) == "http://[::1]:6006/"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--logdir", "none"], 1, "error: none: is not a folder; `make train` makes it"),
        (["--host", "192.0.2.1"], 1, "error: 192.0.2.1: is not an address of this machine"),
        (["--host", "no such.name"], 1, "error: no such.name: is not an address of this machine"),
        (["--port", "70000"], 2, "--port is 70000; give 1 to 65535"),
    ],
)
def test_wrong_calls_are_refused_before_tensorboard_is_imported(words, code, message, tmp_path, call, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = call("start_tensorboard.py", "--logdir", tmp_path, *words, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"\| +argparse$", done.stderr, re.M) and not re.search(r"\| +tensorboard$", done.stderr, re.M)


def test_port_of_the_system_is_told_with_one_to_take(monkeypatch):
    def refuse(*_, **__):  # root would be let in
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(InputError, match="port 80: is reserved for the system; take one from 1024 on, as PORT=6006"):
        start_tensorboard.can_listen("127.0.0.1", 80)


def test_page_that_never_answers_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(start_tensorboard, "PATIENCE", 0.3)
    address = start_tensorboard.format_address("127.0.0.1", find_free_port())
    assert not start_tensorboard.wait_for(address, "", lambda page: b"TensorBoard" in page)
