import re
import shutil

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

import pytest
import tensorflow as tf

from tfod.model import saving
from tfod.model.checkpoints import find_damage, find_latest_checkpoint, list_checkpoint_files, list_checkpoints
from tfod.utils.console import InputError


@pytest.fixture
def checkpoint():
    return tf.train.Checkpoint(step=tf.Variable(5), weights=tf.Variable(tf.random.normal([1000])))


def test_checkpoint_takes_its_place_whole(tmp_path, checkpoint):
    seen = []

    def write(prefix):
        checkpoint.write(prefix)
        seen.extend(list_checkpoints(tmp_path))

    assert saving.save_checkpoint(write, tmp_path, 5) == f"{tmp_path}/ckpt-5"
    assert seen == []
    assert find_damage(f"{tmp_path}/ckpt-5") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint",
        "ckpt-5.data-00000-of-00001",
        "ckpt-5.index",
    ]


def test_damaged_checkpoint_is_said_and_the_one_before_it_is_taken(tmp_path, checkpoint, capsys):
    for step in (1, 2, 3, 4):
        saving.save_checkpoint(checkpoint.write, tmp_path, step)
    damaged = list_checkpoint_files(tmp_path / "ckpt-4")[1]
    damaged.write_bytes(damaged.read_bytes()[:-500])  # cut off
    damaged = list_checkpoint_files(tmp_path / "ckpt-3")[1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    damaged.write_bytes(content)
    assert saving.find_sound_checkpoint(tmp_path) == f"{tmp_path}/ckpt-2"
    said = capsys.readouterr().err
    assert "ckpt-4 is damaged and is left out" in said
    assert "ckpt-3 is damaged and is left out" in said


@pytest.mark.attack
def test_damaged_checkpoints_of_higher_steps_take_no_sound_ones_place_and_stay(tmp_path, checkpoint, capsys):
    """They were the newest seven: by their numbers, each new one was the oldest, and pruned."""
    for step in (100, *range(1000, 1700, 100)):
        saving.save_checkpoint(checkpoint.write, tmp_path, step)
    damaged = [f"{tmp_path}/ckpt-{step}" for step in range(1000, 1700, 100)]
    checkpoint.write(f"{tmp_path}/ckpt-100")  # the eighth
    for prefix in damaged:
        data = list_checkpoint_files(prefix)[1]
        data.write_bytes(data.read_bytes()[:-500])
    found = saving.find_sound_checkpoint(tmp_path)
    assert found == f"{tmp_path}/ckpt-100"
    assert capsys.readouterr().err.count("is damaged and is left out") == 7
    saving.name_newest(tmp_path, found)
    assert find_latest_checkpoint(tmp_path) == tf.train.latest_checkpoint(tmp_path) == found
    for step in range(200, 1000, 100):
        saving.save_checkpoint(checkpoint.write, tmp_path, step)
        assert find_latest_checkpoint(tmp_path) == f"{tmp_path}/ckpt-{step}"
    kept = [f"{tmp_path}/ckpt-{step}" for step in range(300, 1000, 100)]
    assert tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths == kept
    assert list_checkpoints(tmp_path) == [*kept, *damaged]
    saving.save_checkpoint(checkpoint.write, tmp_path, 1000)  # one that is in its way is written over
    assert find_damage(f"{tmp_path}/ckpt-1000") is None
    assert list_checkpoints(tmp_path) == [*kept[1:], *damaged]


@pytest.mark.attack
def test_saving_removes_nothing_but_what_training_wrote(tmp_path, checkpoint):
    for name in ("ckpt-final", "ckpt-3.bak", "ckpt-5000"):
        checkpoint.write(f"{tmp_path}/{name}")
    there = set(tmp_path.iterdir())
    (tmp_path / "checkpoint").write_text(
        "".join(f'all_model_checkpoint_paths: "{name}"\n' for name in ("ckpt-final", "../ckpt-9", "/ckpt-8"))
    )
    for step in range(1, 10):
        saving.save_checkpoint(checkpoint.write, tmp_path, step)
    assert there < set(tmp_path.iterdir())
    assert find_latest_checkpoint(tmp_path) == f"{tmp_path}/ckpt-9"
    assert not (tmp_path / "ckpt-2.index").exists()


@pytest.mark.attack
def test_folder_in_the_place_of_the_state_is_refused_before_the_training(tmp_path, checkpoint):
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(InputError, match="checkpoint: is a folder, and training notes there which .*; move it away"):
        saving.rehearse(checkpoint.write, tmp_path)


@pytest.mark.attack
def test_checkpoint_that_is_of_no_training_is_refused(tmp_path):
    tf.train.Checkpoint(weights=tf.Variable(1)).write(f"{tmp_path}/ckpt-1")
    with pytest.raises(
        InputError, match="ckpt-1: holds no step, so it is not of a training; move it out of this folder"
    ):
        saving.read_step(f"{tmp_path}/ckpt-1")


def test_no_checkpoint_is_none(tmp_path):
    assert saving.find_sound_checkpoint(tmp_path) is None
    assert saving.find_sound_checkpoint(tmp_path / "nothing") is None


def test_rehearsal_leaves_nothing_and_names_what_is_there(tmp_path, checkpoint):
    size, shapes = saving.rehearse(checkpoint.write, tmp_path / "m")
    assert 4000 < size < 10_000
    assert shapes["weights/.ATTRIBUTES/VARIABLE_VALUE"] == [1000]
    assert list((tmp_path / "m").iterdir()) == []


def test_folder_that_cannot_be_written_is_named(tmp_path, checkpoint):
    (tmp_path / "m").write_text("a file")
    with pytest.raises(InputError, match=r"m: a checkpoint can.t be written there .*make room or check"):
        saving.rehearse(checkpoint.write, tmp_path / "m")


def test_too_little_room_is_said(tmp_path, capsys):
    saving.require_room(tmp_path, 1000)
    assert capsys.readouterr().err == ""
    free = shutil.disk_usage(tmp_path).free
    saving.require_room(tmp_path, free // 4)
    said = capsys.readouterr().err
    assert re.search(r"MB are free on its disk, and the checkpoints to be kept take \d+ MB; make room soon\n", said)
    with pytest.raises(InputError, match=r"MB are free on its disk, and two checkpoints take \d+ MB; make room"):
        saving.require_room(tmp_path, free)
