"""Losses and weights that are not finite: found, and trained again from the last checkpoint with half the rate."""

import math

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import pytest
import tensorflow as tf

from tfod.config.pipeline import pipeline_pb2
from tfod.training.nan_retries import NonFiniteLoss, find_broken, train_with_retries


def test_weights_that_are_not_finite_are_found():
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Conv2D(2, 1, input_shape=(4, 4, 1)), layers.BatchNormalization()])
    assert find_broken(model) == []
    model.layers[1].moving_variance[1].assign(1e30)  # which the next step's loss would be too much for
    model.layers[0].kernel[0, 0, 0, 1].assign(math.nan)
    assert find_broken(model) == [model.layers[0].kernel.name, model.layers[1].moving_variance.name]


@pytest.mark.parametrize(("retries", "failures"), [(0, 0), (2, 2), (2, 3)])
def test_the_rate_is_halved_at_each_retry_and_the_last_failure_is_told(retries, failures, capsys):
    config, rates = pipeline_pb2.TrainEvalPipelineConfig(), []
    rate = config.train_config.optimizer.adam_optimizer.learning_rate.constant_learning_rate
    rate.learning_rate = 0.08

    def train():
        rates.append(round(rate.learning_rate, 6))
        if len(rates) <= failures:
            raise NonFiniteLoss(f"failure {len(rates)}")
        return "trained"

    if failures > retries:
        with pytest.raises(NonFiniteLoss, match="failure 3"):
            train_with_retries(train, config, retries)
    else:
        assert train_with_retries(train, config, retries) == "trained"
    assert rates == [0.08, 0.04, 0.02][: retries + 1]
    said = capsys.readouterr().err
    for retry in range(1, retries + 1):
        assert f"warning: failure {retry}\n" in said
        assert f"half the learning rate, at most {0.08 / 2**retry:g} (retry {retry} of {retries})" in said
