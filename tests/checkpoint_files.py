"""Checkpoints that tests write: small, and real to TensorFlow."""

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
