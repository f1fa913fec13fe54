"""Two training workers as docker/compose.yaml starts them, here as two processes on the loopback address."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import STARTED, find_free_port
from test_make import make_tiny_config

from tfod import checkpoints, pipeline_config, train_log
from tfod.console import InputError
from tfod.workers import find_faults, split_address, wait_for_others

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with records of 8 images, and a tiny config without what differs between a batch and its halves: the
    drawing of augmentations, and what the model takes from the whole batch."""
    folder = tmp_path_factory.mktemp("data")

    def run(*words):
        subprocess.run([sys.executable, *map(str, words)], cwd=folder, check=True, capture_output=True, timeout=200)

    preprocessing = SCRIPTS / "preprocessing"
    run(preprocessing / "make_sample_dataset.py", "-o", "images", "--number", 8, "--size", 160)
    run(preprocessing / "generate_label_map.py", "-x", "images", "-o", "annotations/label_map.pbtxt")
    records = [preprocessing / "generate_tfrecord.py", "-x", "images", "-l", "annotations/label_map.pbtxt"]
    for side in ("train", "test"):
        run(*records, "-o", f"annotations/{side}.record")
    make_tiny_config(folder / "tiny.config")
    config = [SCRIPTS / "configure_pipeline.py", "--base", "tiny.config", "--num_steps", 4, "--batch_size", 4]
    run(*config, "-o", "models/m/pipeline.config")
    config = pipeline_config.read_config(folder / "models/m/pipeline.config")
    del config.train_config.data_augmentation_options[:]
    config.model.ssd.freeze_batchnorm = True  # else by the statistics of the batch
    config.model.ssd.normalize_loss_by_num_matches = False  # else by the matches in the batch
    pipeline_config.write_config(folder / "models/m/pipeline.config", config)
    return folder


@pytest.fixture
def workspace(data, tmp_path):
    return shutil.copytree(data, tmp_path, dirs_exist_ok=True)


def read_tf_configs():
    """TF_CONFIG of each worker in compose.yaml, with its host names replaced by free ports of this machine."""
    texts = re.findall(r"TF_CONFIG: '(.+)'", (ROOT / "docker/compose.yaml").read_text())
    for name in json.loads(texts[0])["cluster"]["worker"]:
        address = f"127.0.0.1:{find_free_port()}"
        texts = [text.replace(name, address) for text in texts]
    return texts


def start(workspace, tf_config=None, workers=2, steps=4, model_dir="models/m"):
    words = [f"--model_dir={model_dir}", "--pipeline_config_path=models/m/pipeline.config", f"--num_workers={workers}"]
    environment = {**os.environ, **({"TF_CONFIG": tf_config} if tf_config else {})}
    command = [sys.executable, str(SCRIPTS / "model_main_tf2.py"), *words]
    command += [f"--num_train_steps={steps}", "--norecord_summaries"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    STARTED.append(subprocess.Popen(command, cwd=workspace, env=environment, **pipes))
    return STARTED[-1]


def read_losses(folder):
    rows = train_log.read_log(folder / "train_log.csv")
    return [[row["step"], row["total_loss"], row["localization_loss"]] for row in rows]


def test_two_workers_train_the_model_that_one_would(workspace):
    workers = [start(workspace, text) for text in read_tf_configs()]
    assert len(workers) == 2
    said = [worker.communicate(timeout=400)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert "Trained to step 4: models/m/ckpt-4" in said[0]
    assert checkpoints.find_latest_checkpoint(workspace / "models/m") == str(workspace / "models/m/ckpt-4")
    one = start(workspace, workers=1, model_dir="models/one")
    assert "Trained to step 4" in one.communicate(timeout=400)[0]
    expected = read_losses(workspace / "models/one")
    assert [row[0] for row in expected] == [1, 4]
    for folder in ("models/m", "models/m/worker_1"):
        for (step, *losses), (wanted_step, *wanted) in zip(read_losses(workspace / folder), expected, strict=True):
            assert step == wanted_step
            # a sum over the images of the batch, of which upstream takes the mean over the workers
            assert [2 * loss for loss in losses] == pytest.approx(wanted, rel=1e-4)


def wait_for_step(workspace, step, workers):
    while all(worker.poll() is None for worker in workers):
        if any(row["step"] >= step for row in train_log.read_log(workspace / "models/m/train_log.csv")):
            return
        time.sleep(0.1)
    raise AssertionError([worker.communicate()[0] for worker in workers])


def test_workers_stop_together_and_end_when_one_is_gone(workspace):
    workers = [start(workspace, text, steps=100000) for text in read_tf_configs()]
    wait_for_step(workspace, 1, workers)
    workers[1].send_signal(signal.SIGTERM)
    said = [worker.communicate(timeout=200)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [143, 143], said
    stopped = [re.search(r"stopped at step (\d+) of 100000", text)[1] for text in said]
    assert stopped[0] == stopped[1]
    assert checkpoints.find_latest_checkpoint(workspace / "models/m").endswith(f"ckpt-{stopped[0]}")

    workers = [start(workspace, text, steps=100000) for text in read_tf_configs()]
    wait_for_step(workspace, int(stopped[0]) + 1, workers)
    workers[1].kill()
    said = workers[0].communicate(timeout=300)[0]
    workers[1].communicate()
    assert f"resuming m at step {stopped[0]} of 100000" in said
    assert "another worker of this training is gone" in said
    assert workers[0].returncode == 1


def test_workers_that_nobody_named_are_refused(workspace):
    worker = start(workspace)
    said = worker.communicate(timeout=60)[0]
    assert worker.returncode == 1
    assert "error: TF_CONFIG: is not set, or names no workers; docs/gpu.md shows one for each machine" in said


FIRST = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("workers", "more", "task", "fault"),
    [
        (["a:1", "b:2"], {}, {**FIRST, "index": 1}, None),
        (["a:1", "[::1]:2"], {}, {**FIRST, "index": "0"}, None),
        (["a:1"], {}, FIRST, "names 1 workers, and --num_workers is 2; name all"),
        (["a:1", "b:2"], {"chief": ["c:3"]}, FIRST, "its cluster has chief, too; name workers"),
        (["a:1", "a:1"], {}, FIRST, "names a worker twice; each has an address of its own"),
        (["a:1", "b"], {}, FIRST, "b is no address; give the host and a port, as 192.168.1.10"),
        (["a:1", "b:2"], {}, {**FIRST, "index": 2}, 'its task is {"type": "worker", "index": 2}; make it {"typ'),
        (["a:1", "b:2"], {}, {**FIRST, "type": "chief"}, "for the first worker, up to 1 for the last"),
        (["a:1", "b:2"], {}, None, "its task is {}; make it "),
    ],
)
def test_faults_of_tf_config_are_named(monkeypatch, workers, more, task, fault):
    config = {"cluster": {"worker": workers, **more}, **({"task": task} if task else {})}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    found = find_faults(2)
    assert len(found) == (fault is not None)
    assert all(one.startswith("TF_CONFIG: ") and fault in one for one in found)


def start_waiting(tf_config):
    command = [sys.executable, "-c", "from tfod import workers; workers.wait_for_others()"]
    environment = {**os.environ, "TF_CONFIG": tf_config, "PYTHONPATH": str(SCRIPTS)}
    STARTED.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    return STARTED[-1]


def test_workers_wait_for_each_other_and_say_so_and_hear_ctrl_c():
    texts = read_tf_configs()
    mine, other = json.loads(texts[0])["cluster"]["worker"]
    alone = start_waiting(texts[0])
    assert alone.stderr.readline() == f"worker {mine} waits for {other}; start it, too; Ctrl-C ends the waiting\n"
    alone.send_signal(signal.SIGINT)
    assert alone.wait(timeout=10) != 0
    both = [start_waiting(text) for text in texts]
    # after the waiting TensorFlow listens there; whoever is the last to look has to find that
    while all(one.poll() is None for one in both):
        time.sleep(0.05)
    first = [one.poll() is None for one in both].index(False)
    with socket.create_server(split_address((mine, other)[first])):
        assert [one.wait(timeout=20) for one in both] == [0, 0]


def test_port_that_is_taken_is_named(monkeypatch):
    text = read_tf_configs()[1]
    address = json.loads(text)["cluster"]["worker"][1]
    monkeypatch.setenv("TF_CONFIG", text)
    fault = f"TF_CONFIG: {address}: this machine can't listen there .Address already in use.; end what uses the port"
    with socket.create_server(split_address(address)), pytest.raises(InputError, match=fault):
        wait_for_others()
