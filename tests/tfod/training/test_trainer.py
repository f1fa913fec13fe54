"""Trainings of a tiny detector in processes of their own: stopped, killed, gone on with, refused."""

import csv
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, STARTED, run_script
from forked import start_forked
from tiny_config import make_tiny_config

from tfod.config import pipeline
from tfod.data.tfrecord import read_records, write_records
from tfod.model.checkpoints import find_latest_checkpoint, list_checkpoints
from tfod.training import trainer
from tfod.training.plan import Plan
from tfod.utils.console import InputError

SCRIPT = "model_main_tf2.py"
MODEL = ["--model_dir=models/m", "--pipeline_config_path=models/m/pipeline.config", "--norecord_summaries"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with records of 12 drawn images, and in models/m a config of a tiny detector for batches of 2."""
    folder = tmp_path_factory.mktemp("data")
    run(folder, "preprocessing/make_sample_dataset.py", "-o", "images", "--number", 12, "--size", 160)
    run(folder, "preprocessing/generate_label_map.py", "-x", "images", "-o", "annotations/label_map.pbtxt")
    for side in ("train", "test"):
        words = ["-x", "images", "-l", "annotations/label_map.pbtxt", "-o", f"annotations/{side}.record"]
        run(folder, "preprocessing/generate_tfrecord.py", *words)
    make_tiny_config(folder / "tiny.config")
    words = ["--base", "tiny.config", "--num_steps", 60, "--batch_size", 2, "-o", "models/m/pipeline.config"]
    run(folder, "configure_pipeline.py", *words)
    return folder


@pytest.fixture
def workspace(data, tmp_path):
    """Nothing but the config in models/m, and the data, which is shared."""
    (tmp_path / "annotations").symlink_to(data / "annotations")
    shutil.copytree(data / "models", tmp_path / "models")
    return tmp_path


def run(folder, script, *words, code=0):
    output, errors = run_script(script, *words, cwd=folder, code=code)
    return errors + output


def start(workspace, *words):
    """Starts a training, a multiprocessing.Process; what it says goes to workspace/said.txt."""
    STARTED.append(start_forked(SCRIPT, *MODEL, *words, output=workspace / "said.txt", cwd=workspace))
    return STARTED[-1]


def wait_for_step(workspace, step, is_alive):
    """Waits until train_log.csv tells of `step`."""
    log = workspace / "models/m/train_log.csv"
    while is_alive():
        if log.exists() and any(row["step"].isdigit() and int(row["step"]) >= step for row in read_rows(log)):
            return
        time.sleep(0.05)
    raise AssertionError(f"ended before step {step}")


def read_rows(log):
    with log.open(newline="") as file:
        return list(csv.DictReader(file))


def edit_config(workspace, change):
    path = workspace / "models/m/pipeline.config"
    config = pipeline.read_config(path)
    change(config)
    pipeline.write_config(path, config)


def test_training_that_is_stopped_goes_on_at_its_step(workspace):
    model_dir = workspace / "models/m"
    process = start(workspace, "--num_train_steps=100000")
    wait_for_step(workspace, 10, process.is_alive)
    second = run(workspace, SCRIPT, *MODEL, code=1)
    assert second.startswith(f"error: models/m: another training writes there (process {process.pid} on ")
    os.kill(process.pid, signal.SIGTERM)
    process.join(100)
    said = (workspace / "said.txt").read_text()
    assert process.exitcode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    step = int(re.search(r"stopped at step (\d+) of 100000, saved as .*; the same command goes on there", said)[1])
    assert find_latest_checkpoint(model_dir) == str(model_dir / f"ckpt-{step}")
    for banner in ("tensorflow 2.21", "seed 42; devices CPU:0", "12 training images; batches of 2", "new weights"):
        assert banner in said
    assert re.search(r"^\d+ variables train$", said, re.MULTILINE)

    leave_out_photos(workspace, 3)
    said = run(workspace, SCRIPT, *MODEL, f"--num_train_steps={step + 5}")
    assert f"the training records changed since step {step}: 3 photos gone; the training goes on with what is" in said
    assert f"resuming m at step {step} of {step + 5}" in said
    assert list_checkpoints(model_dir)[-1] == str(model_dir / f"ckpt-{step + 5}")
    said = run(workspace, SCRIPT, *MODEL, f"--num_train_steps={step + 5}")
    assert f"models/m is at step {step + 5} of {step + 5}: nothing left to train" in said
    assert "changed" not in said


def leave_out_photos(workspace, number):
    """Gives the workspace training records of its own, without some photos of those that are shared."""
    shared = (workspace / "annotations").resolve()
    (workspace / "annotations").unlink()
    shutil.copytree(shared, workspace / "annotations")
    record = workspace / "annotations/train.record"
    write_records(record, list(read_records(record))[number:])


@pytest.mark.attack
def test_training_whose_reader_is_gone_is_saved_at_ctrl_c(workspace):
    """As in `make train 2>&1 | tee log`, where Ctrl-C ends tee first."""
    os.mkfifo(workspace / "said.txt")
    reader = os.open(workspace / "said.txt", os.O_RDONLY | os.O_NONBLOCK)
    process = start(workspace, "--num_train_steps=100000")
    wait_for_step(workspace, 10, process.is_alive)
    os.close(reader)
    os.kill(process.pid, signal.SIGINT)
    process.join(100)
    assert process.exitcode == 128 + signal.SIGINT
    step = int(read_rows(workspace / "models/m/train_log.csv")[-1]["step"])
    assert int(find_latest_checkpoint(workspace / "models/m").rpartition("-")[2]) >= step


def test_terminal_that_is_gone_is_no_loss(workspace):
    model_dir = workspace / "models/m"
    ours, theirs = pty.openpty()
    command = [sys.executable, ROOT / "scripts" / SCRIPT, *MODEL, "--num_train_steps=100000"]
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    process = subprocess.Popen(list(map(str, command)), cwd=workspace, **terminal)
    STARTED.append(process)
    os.close(theirs)
    os.set_blocking(ours, False)
    wait_for_step(workspace, 10, lambda: process.poll() is None)
    os.close(ours)
    process.send_signal(signal.SIGHUP)  # the terminal's own hang-up goes to the process that leads its session
    assert process.wait(timeout=100) == 128 + signal.SIGHUP
    assert find_latest_checkpoint(model_dir)


def kill_at_random_moments(workspace, kills, seed):
    """Kills a training that saves at every fifth step, and starts it again: every other time while it saves, else at
    any moment from its start on. No kill loses more than one interval; at last it ends at the exact step."""
    model_dir, every, last = workspace / "models/m", 5, 0
    chance, began, torn = random.Random(seed), time.monotonic(), 0
    for number in range(kills):
        before = set(model_dir.glob(".ckpt-*.tmp"))
        process = start(workspace, f"--checkpoint_every_n={every}", "--num_train_steps=100000")
        if number == 0:
            wait_for_step(workspace, 10, process.is_alive)
            start_seconds = time.monotonic() - began
        if number % 2:
            step = wait_for_save(process, model_dir, before)
        else:
            step = 0
            time.sleep(chance.uniform(0, 1.5 * start_seconds))
        process.kill()
        process.join()
        torn += bool(set(model_dir.glob(".ckpt-*.tmp")) - before)
        reached = max(
            step, *(int(row["step"]) for row in read_rows(model_dir / "train_log.csv") if row["step"].isdigit())
        )
        last = int(list_checkpoints(model_dir)[-1].rpartition("-")[2])
        assert last >= reached - every
    assert torn
    said = run(workspace, SCRIPT, *MODEL, f"--checkpoint_every_n={every}", f"--num_train_steps={last + 7}")
    assert f"resuming m at step {last} of {last + 7}" in said
    assert list_checkpoints(model_dir)[-1] == str(model_dir / f"ckpt-{last + 7}")
    assert not list(model_dir.glob(".ckpt-*.tmp"))


def wait_for_save(process, model_dir, before):
    """Waits until a checkpoint is being written to a temporary folder that is not among `before`: its step."""
    while process.is_alive():
        for folder in set(model_dir.glob(".ckpt-*.tmp")) - before:
            return int(folder.name.split(".")[1].partition("-")[2])
        time.sleep(0.001)
    raise AssertionError(f"ended with {process.exitcode} before it saved")


def test_killed_training_loses_no_more_than_an_interval(workspace):
    kill_at_random_moments(workspace, kills=2, seed=1)


@pytest.mark.long
def test_twenty_kills_lose_no_more_than_an_interval_each(workspace):
    kill_at_random_moments(workspace, kills=20, seed=2)


def test_loss_that_is_no_number_names_images_and_goes_back_with_a_lower_rate(workspace):
    def make_wild(config):
        rate = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
        rate.learning_rate_base = rate.warmup_learning_rate = 1e30

    edit_config(workspace, make_wild)
    said = run(workspace, SCRIPT, *MODEL, "--nan_retries=1", code=1)
    assert re.search(r"step \d+: the loss is no longer a number \(.*Loss/total_loss", said)
    assert re.search(r"on the images sample-\d+\.jpg, sample-\d+\.jpg; look at their boxes", said)
    assert "no checkpoint was written yet" in said
    assert "going back with half the learning rate, at most 5e+29 (retry 1 of 1)" in said


def test_checkpoint_that_no_longer_fits_is_refused_with_the_reason(workspace, trained):
    for name in ("checkpoint", "ckpt-80.index", "ckpt-80.data-00000-of-00001"):
        shutil.copy(trained / "models/my_model" / name, workspace / "models/m")

    def add_layer(config):
        predictor = config.model.ssd.box_predictor.weight_shared_convolutional_box_predictor
        predictor.num_layers_before_predictor += 1

    edit_config(workspace, add_layer)
    said = run(workspace, SCRIPT, *MODEL, "--num_train_steps=90", code=1)
    assert "ckpt-80: does not fit the model of models/m/pipeline.config any more: " in said
    assert "put the config back as it was, or give the changed model another --model_dir" in said


def test_best_is_kept_and_patience_ends_the_training(workspace):
    """The learning rate is nothing, so that no evaluation is better than the first."""

    def stand_still(config):
        rate = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
        rate.learning_rate_base = rate.warmup_learning_rate = 0
        config.train_config.freeze_variables.append("^FPN/")

    edit_config(workspace, stand_still)
    words = ["--eval_every_n=4", "--patience=2", "--best_metric=Loss/regularization_loss"]
    said = run(workspace, SCRIPT, *MODEL, *words)
    assert "step 4: Loss/regularization_loss" in said
    assert ", the best so far" in said
    assert "Ended at step 12, no better in 2 evaluations; the best is models/m/best" in said
    assert re.search(r"^\d+ variables train, \d+ are frozen$", said, re.MULTILINE)
    best = workspace / "models/m/best"
    assert sorted(path.name for path in best.iterdir()) == [
        "checkpoint",
        "ckpt-4.data-00000-of-00001",
        "ckpt-4.index",
        "metrics.json",
        "pipeline.config",
    ]
    assert find_latest_checkpoint(best.parent) == str(best.parent / "ckpt-12")
    said = run(workspace, SCRIPT, *MODEL, *words)
    assert "ended at step 12: no better in 2 evaluations; more --patience goes on" in said


def read_losses(workspace):
    return [
        [row[name] for name in ("step", "total_loss", "classification_loss", "localization_loss")]
        for row in read_rows(workspace / "models/m/train_log.csv")
    ]


def test_deterministic_trainings_have_the_same_losses_to_the_last_digit(workspace):
    words = ["--deterministic", "--num_train_steps=20"]
    run(workspace, SCRIPT, *MODEL, *words)
    first = read_losses(workspace)
    for path in (workspace / "models/m").glob("ckpt-*"):
        path.unlink()
    (workspace / "models/m/checkpoint").unlink()
    run(workspace, SCRIPT, *MODEL, *words)
    assert [row[0] for row in first] == ["1", "10", "20"]
    assert read_losses(workspace) == first


def read_variables(prefix):
    return {name: tf.train.load_variable(prefix, name) for name, _ in tf.train.list_variables(prefix)}


@pytest.mark.parametrize("averages", [pytest.param(False, marks=pytest.mark.long), True])
def test_training_in_two_parts_ends_where_one_does(workspace, averages):
    """The optimizer's state, the moving averages, the learning rate and the order of the data are gone on with. The
    augmentations, which are drawn again, are left out."""

    def plain(config):
        del config.train_config.data_augmentation_options[:]
        config.train_config.optimizer.use_moving_average = config.eval_config.use_moving_averages = averages

    edit_config(workspace, plain)
    for model_dir, ends in (("models/m", [20]), ("models/parts", [7, 20])):
        words = [f"--model_dir={model_dir}", *MODEL[1:], "--deterministic"]
        for end in ends:
            said = run(workspace, SCRIPT, *words, f"--num_train_steps={end}")
    assert "resuming parts at step 7 of 20" in said
    whole, parts = (read_variables(f"{workspace}/models/{folder}/ckpt-20") for folder in ("m", "parts"))
    assert whole.keys() == parts.keys()
    assert any("average" in name for name in whole) == averages
    for name in whole.keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-6, err_msg=name)
    rows = [read_rows(workspace / f"models/{folder}/train_log.csv")[-1] for folder in ("m", "parts")]
    assert rows[0]["total_loss"] == rows[1]["total_loss"]
    assert rows[0]["learning_rate"] == rows[1]["learning_rate"]


@pytest.mark.attack
def test_training_without_a_checkpoint_that_can_be_read_begins_again_and_says_so(tmp_path, capsys):
    assert trainer._find_start(tmp_path, True) == (None, 0)
    assert capsys.readouterr().err == ""
    checkpoint = tf.train.Checkpoint(step=tf.Variable(7))
    for number in (7, 9):
        checkpoint.write(f"{tmp_path}/ckpt-{number}")
    (tmp_path / "ckpt-9.index").write_bytes(b"")
    assert trainer._find_start(tmp_path, True) == (f"{tmp_path}/ckpt-7", 7)
    assert find_latest_checkpoint(tmp_path) == f"{tmp_path}/ckpt-7"
    (tmp_path / "ckpt-7.index").write_bytes(b"")
    assert trainer._find_start(tmp_path, True) == (None, 0)
    assert "none of its checkpoints can be read, so the training begins again at step 0" in capsys.readouterr().err


def test_step_that_xla_cannot_compile_is_refused(data, tmp_path):
    config = pipeline.read_config(ROOT / "scripts/configs/centernet_mobilenet_v2_fpn.config")
    resizer = config.model.center_net.image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = 64
    pipeline.write_config(tmp_path / "small.config", config)
    (tmp_path / "annotations").symlink_to(data / "annotations")
    words = ["--base", "small.config", "--num_steps", 60, "--batch_size", 2, "-o", "models/m/pipeline.config"]
    run(tmp_path, "configure_pipeline.py", *words)
    said = run(tmp_path, SCRIPT, *MODEL, "--jit_compile", code=1)
    assert re.search(
        r"error: --jit_compile: XLA can't compile \w+, which a training step of the model of models/m/pipeline.config"
        " takes; leave it out",
        said,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--require_gpu"], "--require_gpu: TensorFlow sees no GPU; `make doctor` says more"),
        (["--mixed_precision"], "--mixed_precision: needs GPUs that compute in bfloat16, and no GPU is seen"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(workspace, words, message):
    assert message in run(workspace, SCRIPT, *MODEL, *words, code=1)


def test_deterministic_is_refused_beside_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [object()])
    plan = Plan("p.config", tmp_path, require_gpu=True, deterministic=True)
    with pytest.raises(InputError, match="--deterministic: is for one CPU, .*; hide it with CUDA_VISIBLE_DEVICES=-1"):
        trainer.set_up(None, plan)


def test_batch_that_does_not_divide_is_refused():
    config = pipeline.pipeline_pb2.TrainEvalPipelineConfig()
    config.train_config.batch_size = 7
    with pytest.raises(InputError, match="batch_size is 7, which 2 devices can't share out evenly; make it 6, 8"):
        trainer.make_strategy(config, num_workers=2)


@pytest.mark.parametrize("averages", [False, True])
def test_on_one_device_no_variable_has_copies_to_keep_equal(averages):
    config = pipeline.pipeline_pb2.TrainEvalPipelineConfig()
    config.train_config.batch_size = 8
    config.train_config.optimizer.use_moving_average = averages
    with trainer.make_strategy(config).scope():
        assert not isinstance(tf.Variable(1.0), tf.distribute.DistributedValues)
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        assert isinstance(tf.Variable(1.0), tf.distribute.DistributedValues)
