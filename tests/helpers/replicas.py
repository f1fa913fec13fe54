"""Trains a tiny detector on one device, and as two replicas on two logical CPU devices: two steps each.

    python tests/helpers/replicas.py WORKSPACE

The replicas stop after the first step and go on from its checkpoint. TensorFlow makes logical devices before anything
else, hence a process of its own. Writes WORKSPACE/models/one and WORKSPACE/models/two.
"""

import os
import sys
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import tensorflow as tf

from tfod.config import pipeline
from tfod.training import trainer
from tfod.training.plan import Plan


def make_config(source, path):
    """A config whose step on two halves of a batch is that on the batch, up to rounding.

    A loss that is divided by the number of boxes, batch norm, and a gradient that is clipped look at each half alone,
    so they are left out. Losses are sums then; upstream divides those of a replica as it does means.
    """
    config = pipeline.read_config(source)
    train, ssd = config.train_config, config.model.ssd
    train.batch_size, train.num_steps = 4, 2
    ssd.freeze_batchnorm, ssd.normalize_loss_by_num_matches = True, False
    del train.data_augmentation_options[:]
    train.ClearField("gradient_clipping_by_norm")
    train.ClearField("optimizer")
    train.optimizer.momentum_optimizer.learning_rate.constant_learning_rate.learning_rate = 1e-4
    train.optimizer.use_moving_average = config.eval_config.use_moving_averages = True
    train.optimizer.moving_average_decay = 0.5
    pipeline.write_config(path, config)
    return config


def main():
    os.chdir(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    config = make_config("models/my_model/pipeline.config", "replicas.config")
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name, strategy, ends in (("one", tf.distribute.OneDeviceStrategy("CPU:0"), [2]), ("two", two, [1, 2])):
        for end in ends:
            tf.keras.utils.set_random_seed(7)
            loss = config.model.ssd.loss
            loss.localization_weight = loss.classification_weight = strategy.num_replicas_in_sync
            config.train_config.num_steps = end
            last = end == 2
            plan = Plan("replicas.config", Path("models") / name, eval_every_n=2 * last, record_summaries=last)
            trainer.train(config, plan, strategy)


if __name__ == "__main__":
    main()
