"""Checkpoints that tests write: small, and real to TensorFlow."""

import os
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import tensorflow as tf


def write_checkpoint(prefix, shapes):
    """Writes the checkpoint `prefix` with variables of zeros: `shapes` is a dict name -> shape, as `model/a/b`."""
    top = tf.train.Checkpoint()
    for name, shape in shapes.items():
        *folders, last = name.split("/")
        owner = top
        for folder in folders:
            if not hasattr(owner, folder):
                setattr(owner, folder, tf.train.Checkpoint())
            owner = getattr(owner, folder)
        setattr(owner, last, tf.Variable(tf.zeros(shape)))
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    top.write(str(prefix))


def spoil_state(folder, how):
    """Makes the file `checkpoint` of `folder` what it should not be."""
    state = folder / "checkpoint"
    whole = b'model_checkpoint_path: "ckpt-7"\nall_model_checkpoint_paths: "ckpt-7"\n'
    contents = {
        "empty": b"",
        "cut": whole[:27],
        "other bytes": b"\xff\xfe" + whole.replace(b"-7", b"-\xe9"),
        "NUL": bytes(99),
    }
    if how in contents:
        state.write_bytes(contents[how])
    elif how == "names one that is gone":
        state.write_bytes(whole)
    elif how == "pipe":
        os.mkfifo(state)
    elif how == "folder":
        state.mkdir()
    elif how == "link to itself":
        state.symlink_to("checkpoint")
