"""Two training workers as docker/compose.yaml starts them, here as two processes on the loopback address."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from test_make import make_tiny_config

from tfod import checkpoints, pipeline_config

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def workspace(tmp_path):
    """A folder with a tiny config and records of 8 images in one file and in two."""

    def run(*words):
        subprocess.run([sys.executable, *map(str, words)], cwd=tmp_path, check=True, capture_output=True, timeout=200)

    preprocessing = SCRIPTS / "preprocessing"
    run(preprocessing / "make_sample_dataset.py", "-o", "images", "--number", 8, "--size", 160)
    run(preprocessing / "generate_label_map.py", "-x", "images", "-o", "annotations/label_map.pbtxt")
    records = [preprocessing / "generate_tfrecord.py", "-x", "images", "-l", "annotations/label_map.pbtxt"]
    for side in ("train", "test"):
        run(*records, "-o", f"annotations/{side}.record")
    run(*records, "-o", "annotations/shards.record", "--num_shards", 2)
    make_tiny_config(tmp_path / "tiny.config")
    config = [SCRIPTS / "configure_pipeline.py", "--base", "tiny.config", "--num_steps", 4, "--batch_size", 4]
    run(*config, "-o", "models/m/pipeline.config")
    return tmp_path


def read_tf_configs():
    """TF_CONFIG of each worker in compose.yaml, with its host names replaced by free ports of this machine."""
    texts = re.findall(r"TF_CONFIG: '(.+)'", (ROOT / "docker/compose.yaml").read_text())
    for name in json.loads(texts[0])["cluster"]["worker"]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            texts = [text.replace(name, f"127.0.0.1:{free.getsockname()[1]}") for text in texts]
    return texts


def start(workspace, config, workers, tf_config=None):
    words = ["--model_dir=models/m", f"--pipeline_config_path={config}", f"--num_workers={workers}"]
    environment = {**os.environ, **({"TF_CONFIG": tf_config} if tf_config else {})}
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / "model_main_tf2.py"), *words, "--norecord_summaries"],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_workers_train_one_model(workspace):
    path = workspace / "models/m/pipeline.config"
    config = pipeline_config.read_config(path)
    config.train_input_reader.tf_record_input_reader.input_path[:] = ["annotations/shards.record-?????-of-00002"]
    pipeline_config.write_config(path, config)
    workers = [start(workspace, path, 2, text) for text in read_tf_configs()]
    assert len(workers) == 2
    said = [worker.communicate(timeout=400)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert "Trained to step 4: models/m/ckpt-4" in said[0]
    assert checkpoints.find_latest_checkpoint(workspace / "models/m") == str(workspace / "models/m/ckpt-4")
    # both saw the same losses, since they trained one model
    losses = [re.search(r"trained to step 4 .*: (loss .*)", text).group(1) for text in said]
    assert losses[0] == losses[1]


def test_workers_without_records_of_their_own_or_each_other_are_named(workspace):
    worker = start(workspace, "models/m/pipeline.config", 2)
    said = worker.communicate(timeout=60)[0]
    assert worker.returncode == 1
    assert "error: annotations/train.record: files found: 1, needed: 2, since every worker reads its own; make" in said
    assert "error: TF_CONFIG: is not set, or names no workers; docs/gpu.md shows one for each machine" in said
    worker = start(workspace, "models/m/pipeline.config", 3, read_tf_configs()[0])
    said = worker.communicate(timeout=60)[0]
    assert "error: TF_CONFIG: names 2 workers, and --num_workers is 3; name all" in said
