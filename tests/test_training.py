import math

import pytest

from tfod import training
from tfod.console import InputError


def test_loss_that_is_no_number_stops_and_names_the_parts():
    training._require_finite({"Loss/total_loss": 3.5, "Loss/localization_loss": 0.0}, 12)
    for value in (math.nan, math.inf):
        with pytest.raises(InputError, match="step 12: the loss is no longer a number .*Loss/total_loss (nan|inf)"):
            training._require_finite({"Loss/total_loss": value, "Loss/localization_loss": 0.0}, 12)


def test_one_device_needs_no_mirroring():
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    assert training.make_strategy().num_replicas_in_sync == max(gpus, 1)
