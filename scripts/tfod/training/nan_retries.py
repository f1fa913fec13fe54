"""A loss that is NaN sends training back to the last good checkpoint, with half the learning rate."""

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.config import schedule
from tfod.utils.console import InputError, say


class NonFiniteLoss(InputError):
    """A loss is no longer a number, or some weights are not."""


def train_with_retries(train, config, retries: int):
    """Returns `train()`, which goes on from the last checkpoint. Where it raises NonFiniteLoss, the learning rates of
    `config` (TrainEvalPipelineConfig) are halved and it is called again, up to `retries` times."""
    optimizer = config.train_config.optimizer
    for retry in range(1, retries + 1):
        try:
            return train()
        except NonFiniteLoss as error:
            schedule.scale_learning_rates(optimizer, 0.5)
            rate = max(schedule.list_learning_rates(optimizer))
            say(f"warning: {error}")
            say(f"going back with half the learning rate, at most {rate:g} (retry {retry} of {retries})")
    return train()


def find_broken(model) -> list[str]:
    """The names of the model's variables whose norm is not finite: they hold a NaN, or numbers beyond all bounds."""
    import tensorflow as tf

    floats = [variable for variable in model.variables if variable.dtype.is_floating]
    return [one.name for one in floats if not tf.math.is_finite(tf.norm(one))]
