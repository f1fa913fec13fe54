"""Two training workers as docker/compose.yaml starts them, here as two processes on the loopback address."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import ROOT, STARTED, find_free_port, run_script
from forked import start_forked
from tiny_config import make_tiny_config

from tfod.config import pipeline
from tfod.model import checkpoints
from tfod.training import log
from tfod.training.distributed import check_tf_config, split_address, wait_for_others
from tfod.utils.console import InputError

SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with records of 8 images, and a tiny config without what differs between a batch and its halves: the
    drawing of augmentations, and what the model takes from the whole batch."""
    folder = tmp_path_factory.mktemp("data")
    run_script("preprocessing/make_sample_dataset.py", "-o", "images", "--number", 8, "--size", 160, cwd=folder)
    labels = "annotations/label_map.pbtxt"
    run_script("preprocessing/generate_label_map.py", "-x", "images", "-o", labels, cwd=folder)
    for record in ("annotations/train.record", "annotations/test.record"):
        run_script("preprocessing/generate_tfrecord.py", "-x", "images", "-l", labels, "-o", record, cwd=folder)
    make_tiny_config(folder / "tiny.config")
    words = ["--base", "tiny.config", "--num_steps", 4, "--batch_size", 4, "-o", "models/m/pipeline.config"]
    run_script("configure_pipeline.py", *words, cwd=folder)
    config = pipeline.read_config(folder / "models/m/pipeline.config")
    del config.train_config.data_augmentation_options[:]
    config.model.ssd.freeze_batchnorm = True  # else by the statistics of the batch
    config.model.ssd.normalize_loss_by_num_matches = False  # else by the matches in the batch
    pipeline.write_config(folder / "models/m/pipeline.config", config)
    return folder


def read_tf_configs():
    """TF_CONFIG of each worker in compose.yaml, with its host names replaced by free ports of this machine."""
    texts = re.findall(r"TF_CONFIG: '(.+)'", (ROOT / "docker/compose.yaml").read_text())
    for name in json.loads(texts[0])["cluster"]["worker"]:
        address = f"127.0.0.1:{find_free_port()}"
        texts = [text.replace(name, address) for text in texts]
    return texts


def start(workspace, name, workers=2, steps=100000, model_dir="models/m", **environment):
    """Starts a training, a multiprocessing.Process; what it says goes to workspace/NAME.txt."""
    words = [f"--model_dir={model_dir}", "--pipeline_config_path=models/m/pipeline.config", f"--num_workers={workers}"]
    words += [f"--num_train_steps={steps}", "--norecord_summaries"]
    output = workspace / f"{name}.txt"
    STARTED.append(start_forked("model_main_tf2.py", *words, output=output, cwd=workspace, **environment))
    return STARTED[-1]


def start_two(workspace, name):
    return [start(workspace, f"{name}{i}", TF_CONFIG=text) for i, text in enumerate(read_tf_configs())]


def end(workspace, name, process, seconds):
    """(exit code, what it said), once it has ended."""
    process.join(seconds)
    return process.exitcode, (workspace / f"{name}.txt").read_text()


def wait_for_step(workspace, step, workers):
    while all(worker.is_alive() for worker in workers):
        if any(row["step"] >= step for row in log.read_log(workspace / "models/m/train_log.csv")):
            return
        time.sleep(0.1)
    raise AssertionError([path.read_text() for path in workspace.glob("*.txt")])


def read_losses(folder):
    rows = log.read_log(folder / "train_log.csv")
    return {row["step"]: (row["total_loss"], row["localization_loss"]) for row in rows}


def test_two_workers_train_the_model_that_one_would_stop_together_and_end_when_one_is_gone(workspace):
    workers = start_two(workspace, "worker")
    assert len(workers) == 2
    wait_for_step(workspace, 10, workers)
    os.kill(workers[1].pid, signal.SIGTERM)
    (first, said), (second, others) = (end(workspace, f"worker{i}", workers[i], 200) for i in range(2))
    assert (first, second) == (143, 143), said + others
    (stopped,) = {re.search(r"stopped at step (\d+) of 100000", text)[1] for text in (said, others)}
    assert checkpoints.find_latest_checkpoint(workspace / "models/m").endswith(f"ckpt-{stopped}")

    one = start(workspace, "one", workers=1, steps=10, model_dir="models/one")
    code, said = end(workspace, "one", one, 400)
    assert (code, "Trained to step 10: models/one/ckpt-10" in said) == (0, True), said
    expected = read_losses(workspace / "models/one")
    assert expected.keys() == {1, 10}
    for folder in ("models/m", "models/m/worker_1"):
        found = read_losses(workspace / folder)
        for step, wanted in expected.items():
            # a sum over the images of the batch, of which upstream takes the mean over the workers
            assert [2 * loss for loss in found[step]] == pytest.approx(wanted, rel=1e-4), (folder, step)

    workers = start_two(workspace, "again")
    wait_for_step(workspace, int(stopped) + 1, workers)
    workers[1].kill()
    code, said = end(workspace, "again0", workers[0], 300)
    workers[1].join()
    assert f"resuming m at step {stopped} of 100000" in said
    assert "another worker of this training is gone" in said
    assert code == 1


def test_workers_that_nobody_named_are_refused(workspace):
    words = ["--model_dir=models/none", "--pipeline_config_path=models/m/pipeline.config", "--num_workers=2"]
    _, said = run_script("model_main_tf2.py", *words, cwd=workspace, code=1)
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
        (["a:1", "b"], {}, FIRST, "b is not an address; give the host and a port, as 192.168.1.10"),
        (["a:1", "b:2"], {}, {**FIRST, "index": 2}, 'its task is {"type": "worker", "index": 2}; make it {"typ'),
        (["a:1", "b:2"], {}, {**FIRST, "type": "chief"}, "for the first worker, up to 1 for the last"),
        (["a:1", "b:2"], {}, None, "its task is {}; make it "),
    ],
)
def test_faults_of_tf_config_are_named(monkeypatch, workers, more, task, fault):
    config = {"cluster": {"worker": workers, **more}, **({"task": task} if task else {})}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    found = check_tf_config(2)
    assert len(found) == (fault is not None)
    assert all(one.startswith("TF_CONFIG: ") and fault in one for one in found)


def start_waiting(tf_config):
    command = [sys.executable, "-c", "from tfod.training import distributed; distributed.wait_for_others()"]
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
