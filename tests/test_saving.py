import re
import shutil

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

import pytest
import tensorflow as tf

from tfod import saving
from tfod.checkpoints import list_checkpoint_files, list_checkpoints
from tfod.console import InputError


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
    assert saving.is_sound(f"{tmp_path}/ckpt-5")
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
