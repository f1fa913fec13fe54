"""The loop over the steps, with a model of one variable in place of a detector: what is saved, kept, said, and when."""

import itertools
import json
import math
import os
import re
import resource
import signal
import time

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
import tensorflow as tf
from conftest import draw_photo

from tfod.config.pipeline import pipeline_pb2
from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.model import saving
from tfod.model.checkpoints import find_latest_checkpoint, list_checkpoints
from tfod.training import log
from tfod.training import loop as train_loop
from tfod.training.best_checkpoint import is_patience_over, read_best
from tfod.training.loop import NonFiniteLoss, TrainLoop
from tfod.training.plan import Plan
from tfod.utils.console import InputError

MAP = "DetectionBoxes_Precision/mAP"


class Toy:
    """A model of one variable; `during(step)` is called within each step and may return its loss."""

    def __init__(self, folder, steps, during=None, measure=None, **plan):
        self.config = pipeline_pb2.TrainEvalPipelineConfig()
        self.config.train_config.num_steps, self.config.train_config.batch_size = steps, 4
        self.plan = Plan(config_path="p.config", model_dir=folder, record_summaries=False, **plan)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.weights = tf.Variable(tf.zeros([50_000]))
        self.checkpoint = tf.train.Checkpoint(step=self.step, weights=self.weights)
        self.during, self.measure = during or (lambda step: None), measure
        self.batches = itertools.repeat(({"hash": tf.constant([7])}, {}))

    def take(self, features, labels, flags, write_images):
        self.step.assign_add(1)
        loss = self.during(int(self.step))
        return {"Loss/total_loss": tf.constant(1.0 if loss is None else loss)}, flags

    def find_broken(self):
        return [] if tf.reduce_all(tf.math.is_finite(self.weights)) else ["weights:0"]

    def train(self):
        """Goes on from the newest checkpoint and returns the Outcome."""
        folder = self.plan.model_dir
        latest = saving.find_sound_checkpoint(folder)
        if latest:
            self.checkpoint.restore(latest)
        return TrainLoop(
            config=self.config,
            plan=self.plan,
            folder=folder,
            strategy=tf.distribute.get_strategy(),
            batches=self.batches,
            run_step=self.take,
            write=self.checkpoint.write,
            find_broken=self.find_broken,
            get_rate=lambda: 0.1,
            measure=self.measure,
            first=int(self.step),
            checkpoint=latest or "",
        ).run()


def list_steps(folder):
    return [int(prefix.rpartition("-")[2]) for prefix in list_checkpoints(folder)]


def read_step(prefix):
    return int(tf.train.load_variable(str(prefix), "step/.ATTRIBUTES/VARIABLE_VALUE"))


def test_checkpoints_come_when_asked_and_at_the_exact_last_step(tmp_path):
    outcome = Toy(tmp_path, 25, checkpoint_every_n=10).train()
    assert (outcome.step, outcome.ended_by, outcome.checkpoint) == (25, "", f"{tmp_path}/ckpt-25")
    assert list_steps(tmp_path) == [10, 20, 25]
    assert [read_step(prefix) for prefix in list_checkpoints(tmp_path)] == [10, 20, 25]
    assert tf.train.latest_checkpoint(tmp_path) == find_latest_checkpoint(tmp_path) == f"{tmp_path}/ckpt-25"


def test_only_the_newest_seven_are_kept_and_upstreams_reader_knows_them(tmp_path):
    Toy(tmp_path, 20, checkpoint_every_n=2).train()
    assert list_steps(tmp_path) == [8, 10, 12, 14, 16, 18, 20]
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert state.all_model_checkpoint_paths == list_checkpoints(tmp_path)


def test_checkpoints_come_after_so_many_minutes_too(tmp_path):
    Toy(tmp_path, 12, during=lambda step: time.sleep(0.1), checkpoint_every_minutes=0.5 / 60).train()
    assert 2 <= len(list_steps(tmp_path)) <= 4  # one after about five steps each, and the last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_after_a_whole_step_with_a_checkpoint(tmp_path, number, capfd):
    toy = Toy(tmp_path, 1000, during=lambda step: os.kill(os.getpid(), number) if step == 33 else None)
    before = signal.getsignal(number)
    outcome = toy.train()
    assert (outcome.step, outcome.ended_by) == (33, number)
    assert list_steps(tmp_path) == [33]
    assert f"{number.name}: saving after this step" in capfd.readouterr().err
    assert signal.getsignal(number) == before
    again = Toy(tmp_path, 40).train()
    assert again.step == 40
    assert [row["step"] for row in log.read_log(tmp_path / "train_log.csv")] == [1, 10, 20, 30, 34, 40]


@pytest.mark.attack
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_saves_though_nobody_can_be_told_of_it(tmp_path, number):
    """Whoever read the messages is gone, as `tee` is at Ctrl-C."""
    reader, writer = os.pipe()
    os.close(reader)
    kept = os.dup(2)

    def during(step):
        if step == 33:
            os.dup2(writer, 2)
            os.kill(os.getpid(), number)

    try:
        outcome = Toy(tmp_path, 1000, during=during).train()
    finally:
        os.dup2(kept, 2)
        for handle in (kept, writer):
            os.close(handle)
    assert (outcome.step, outcome.ended_by) == (33, number)
    assert list_steps(tmp_path) == [33]


def test_signal_that_is_ignored_stays_so(tmp_path):
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        toy = Toy(tmp_path, 5, during=lambda step: os.kill(os.getpid(), signal.SIGHUP))
        assert toy.train().step == 5
    finally:
        signal.signal(signal.SIGHUP, former)


def limit_file_size(number):
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))


@pytest.fixture
def small_disk(monkeypatch):
    """No pauses between the tries, and room again after the test."""
    monkeypatch.setattr(saving, "PAUSES", (0, 0))
    monkeypatch.setattr(train_loop, "RETRY_SECONDS", 3600)
    yield limit_file_size
    limit_file_size(resource.RLIM_INFINITY)


def test_training_goes_on_while_saves_fail_and_recovers(tmp_path, small_disk, capsys):
    def during(step):
        if step in (15, 35):
            small_disk(10_000 if step == 15 else resource.RLIM_INFINITY)

    outcome = Toy(tmp_path, 50, during=during, checkpoint_every_n=10).train()
    said = capsys.readouterr().err
    assert outcome.step == 50
    assert list_steps(tmp_path) == [10, 40, 50]  # those of 20 and 30 could not be written
    assert said.count("ckpt-20 could not be written") == 3  # twice with another try to come
    assert f"{tmp_path}/ckpt-10 is kept" in said
    assert f"Training goes on, and tries again in {train_loop.RETRY_SECONDS} s" in said
    assert not list(tmp_path.glob(".*.tmp"))


def test_final_save_that_fails_fails_the_run(tmp_path, small_disk):
    toy = Toy(tmp_path, 20, during=lambda step: small_disk(10_000) if step == 15 else None, checkpoint_every_n=10)
    with pytest.raises(InputError, match=r"ckpt-20: could not be written .*ckpt-10 is kept; make room on its disk"):
        toy.train()
    assert list_steps(tmp_path) == [10]
    small_disk(resource.RLIM_INFINITY)
    assert Toy(tmp_path, 20).train().step == 20


def test_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(train_loop, "find_source_ids", lambda config, hashes: [f"photo {n}.jpg" for n in hashes])
    for value in (math.nan, math.inf):
        toy = Toy(tmp_path, 100, during=lambda step, v=value: v if step == 27 else None, checkpoint_every_n=10)
        with pytest.raises(NonFiniteLoss) as raised:
            toy.train()
        assert f"step 27: the loss is no longer a number (Loss/total_loss {value:g})" in str(raised.value)
        assert "photo 7.jpg" in str(raised.value)
        assert f"the last good checkpoint is {tmp_path}/ckpt-20" in str(raised.value)
        assert list_steps(tmp_path) == [10, 20]


@pytest.mark.parametrize("plan", [{"checkpoint_every_n": 10}, {"eval_every_n": 20}])
def test_weights_that_are_no_numbers_are_neither_saved_nor_measured(tmp_path, monkeypatch, plan):
    """Their own step's loss is still a number: a training that went back to them would never be one again."""
    monkeypatch.setattr(train_loop, "find_source_ids", lambda config, hashes: [f"photo {n}.jpg" for n in hashes])

    def during(step):
        if step == 20:
            toy.weights[7].assign(math.nan)

    measured = []
    toy = Toy(tmp_path, 30, during, measure=measured.append if "eval_every_n" in plan else None, **plan)
    with pytest.raises(NonFiniteLoss) as raised:
        toy.train()
    said = str(raised.value)
    assert said.startswith("step 20: weights are not finite, those of weights:0 (Loss/total_loss 1)")
    assert "on the images photo 7.jpg;" in said
    assert list_steps(tmp_path) == ([10] if "checkpoint_every_n" in plan else [])
    assert measured == []


def test_photos_that_cannot_be_decoded_are_named_and_what_was_trained_is_saved(tmp_path):
    """As where records of elsewhere were not looked through, or change on their disk in the meantime."""
    draw_photo().save(tmp_path / "photo.png")
    sound, record = (tmp_path / "photo.png").read_bytes(), tmp_path / "train.record"
    photos = [sound, sound, sound, sound[:99], sound, sound[:99]]
    write_records(record, [make_example("a.png", photo, "png", 96, 64, [], {}) for photo in photos])
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})

    def decode(example):
        features = tf.io.parse_single_example(example, {"image/encoded": tf.io.FixedLenFeature([], tf.string)})
        return {"image": tf.io.decode_png(features["image/encoded"])}, {}

    toy = Toy(tmp_path, 10)
    toy.config.train_input_reader.label_map_path = str(tmp_path / "map.pbtxt")
    toy.config.train_input_reader.tf_record_input_reader.input_path.append(str(record))
    toy.batches = iter(tf.data.TFRecordDataset(str(record)).map(decode))
    with pytest.raises(InputError) as raised:
        toy.train()
    places = [fault.partition("can't be decoded")[0] for fault in raised.value.faults]
    assert places == [f"{record}: record 4: ", f"{record}: record 6: "]
    assert list_steps(tmp_path) == [3]


def test_weights_that_are_no_numbers_are_not_saved_when_a_photo_can_not_be_decoded(tmp_path, monkeypatch):
    def refuse(config, reason):
        raise InputError(f"train.record: can't be read ({reason})")

    def give():
        yield from itertools.repeat(({"hash": tf.constant([7])}, {}), 5)
        raise tf.errors.DataLossError(None, None, "corrupted record")

    monkeypatch.setattr(train_loop, "refuse_records", refuse)  # which the test above has in full
    toy = Toy(tmp_path, 10)
    toy.weights[7].assign(math.nan)
    toy.batches = give()
    with pytest.raises(InputError, match=r"train.record: can't be read \(corrupted record\)"):
        toy.train()
    assert list_steps(tmp_path) == []


def test_evaluation_that_fails_costs_no_training(tmp_path):
    def measure(step):
        raise InputError("annotations/test.record: is damaged")

    with pytest.raises(InputError, match="is damaged"):
        Toy(tmp_path, 15, measure=measure, eval_every_n=10).train()
    assert list_steps(tmp_path) == [10]


def test_best_is_kept_and_patience_ends_the_run(tmp_path):
    values = {10: 0.1, 20: 0.5, 30: 0.4, 40: 0.3, 50: 0.9}
    toy = Toy(tmp_path, 50, measure=lambda step: {MAP: values[step]}, eval_every_n=10, patience=2)
    outcome = toy.train()
    assert (outcome.step, outcome.ended_by) == (40, "patience")
    assert read_best(tmp_path, MAP) == (20, 0.5)
    assert read_step(find_latest_checkpoint(tmp_path / "best")) == 20
    report = json.loads((tmp_path / "best/metrics.json").read_text())
    assert report["checkpoint"] == f"{tmp_path}/best/ckpt-20"
    assert (tmp_path / "best/pipeline.config").exists()
    assert is_patience_over(tmp_path, toy.plan)
    # with more patience it goes on where it ended, and the last evaluation counts
    toy.plan.patience = 3
    assert not is_patience_over(tmp_path, toy.plan)
    assert toy.train().step == 50
    assert read_best(tmp_path, MAP) == (50, 0.9)


def test_best_and_log_that_cannot_be_written_are_said(tmp_path, small_disk, capsys):
    """The best of before stays; with room again the last is kept, though it is worse than what was lost."""
    values = {10: 0.1, 20: 0.5, 25: 0.2}

    def measure(step):
        small_disk(10_000 if step == 20 else resource.RLIM_INFINITY)
        return {MAP: values[step]}

    toy = Toy(tmp_path, 25, measure=measure, eval_every_n=10)
    (tmp_path / "train_log.png").mkdir()
    assert toy.train().step == 25
    said = capsys.readouterr().err
    assert f"WARNING: {tmp_path}/best: step 20 could not be kept" in said
    assert read_best(tmp_path, MAP) == (25, 0.2)
    assert f"warning: {tmp_path}/train_log.png could not be drawn" in said


def test_curves_that_cannot_be_written_are_said(tmp_path, small_disk, capsys):
    toy = Toy(tmp_path, 40, during=lambda step: small_disk(100 if step < 30 else resource.RLIM_INFINITY))
    with tf.summary.create_file_writer(str(tmp_path / "train"), max_queue=0).as_default():
        assert toy.train().step == 40
    said = capsys.readouterr().err
    assert f"warning: {tmp_path}/train_log.csv: step 10 could not be noted (File too large)" in said
    line = next(line for line in said.splitlines() if "TensorBoard" in line)
    pattern = rf"warning: TensorBoard's curves could not be written \({tmp_path}/train/events\S+; File too large\)"
    assert re.fullmatch(pattern, line)


@pytest.mark.attack
@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"{}", b'{"step": 1, "metrics": {}}', "pipe"]
)
def test_best_whose_metrics_are_damaged_is_said_and_made_again(tmp_path, content, capsys):
    toy = Toy(tmp_path, 20, measure=lambda step: {MAP: 0.5}, eval_every_n=10, patience=5)
    (tmp_path / "best").mkdir()
    path = tmp_path / "best/metrics.json"
    os.mkfifo(path) if content == "pipe" else path.write_bytes(content)
    assert not is_patience_over(tmp_path, toy.plan)
    assert toy.train().step == 20
    assert read_best(tmp_path, MAP) == (10, 0.5)
    assert f"warning: {path}: does not say how good the best is; the next evaluation makes" in capsys.readouterr().err


@pytest.mark.attack
def test_log_that_is_none_stops_no_training(tmp_path, capsys):
    os.mkfifo(tmp_path / "train_log.csv")
    assert Toy(tmp_path, 20).train().step == 20
    said = capsys.readouterr().err
    assert f"warning: {tmp_path}/train_log.csv: is not a file, so the steps are not noted; move it away" in said


def test_of_losses_the_lowest_is_best(tmp_path):
    values = {10: 0.5, 20: 0.2, 30: 0.9}
    name = "Loss/total_loss"
    Toy(tmp_path, 30, measure=lambda step: {name: values[step]}, eval_every_n=10, best_metric=name).train()
    assert read_best(tmp_path, name) == (20, 0.2)


def test_loss_that_the_model_does_not_have_is_named_after_the_first_step(tmp_path):
    name = "Loss/mask_loss"
    toy = Toy(tmp_path, 30, measure=lambda step: {MAP: 0.5}, eval_every_n=10, best_metric=name)
    with pytest.raises(InputError, match=f"{name} is not a loss of this model; give one of Loss/total_loss"):
        toy.train()
    assert int(toy.step) == 1


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), MemoryError("std::bad_alloc")]
)
def test_too_large_a_batch_says_which_to_try(tmp_path, error):
    def during(step):
        raise error

    with pytest.raises(InputError, match=r"batch of 4 images does not fit into the memory; try 2 \(BATCH=2\)"):
        Toy(tmp_path, 10, during=during).train()


@pytest.mark.parametrize("where", ["step", "batch"])
def test_worker_that_is_gone_is_said(tmp_path, where):
    def during(step):
        raise tf.errors.UnavailableError(None, None, "Connection reset by peer")

    toy = Toy(tmp_path, 10, during=during if where == "step" else None)
    if where == "batch":
        toy.batches = map(during, [1])
    with pytest.raises(InputError, match="another worker of this training is gone"):
        toy.train()


def test_log_and_curves_are_written(tmp_path):
    Toy(tmp_path, 25, measure=lambda step: {MAP: 0.25}, eval_every_n=20).train()
    rows = log.read_log(tmp_path / "train_log.csv")
    assert [row["step"] for row in rows] == [1, 10, 20, 20, 25, 25]
    assert rows[1]["total_loss"] == 1.0
    assert rows[1]["images_per_second"] > 0
    assert rows[3]["mAP"] == 0.25
    assert (tmp_path / "train_log.png").read_bytes().startswith(b"\x89PNG")
