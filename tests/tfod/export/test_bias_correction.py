import tfod.compat  # noqa: F401 - Keras 2, and a quiet start

import numpy as np
import pytest

from tfod.export.tflite import correct_biases

CHANNELS = 16


@pytest.fixture(scope="module")
def models():
    """(model in floats, its int8 version, inputs): a convolution and a depthwise one, whose weights round badly."""
    import tensorflow as tf

    chance = np.random.default_rng(0)
    kernel = chance.normal(0.1, 0.05, [3, 3, CHANNELS, CHANNELS]).astype(np.float32)
    kernel[:, :, 0] = 10  # sets each channel's scale, but what it is multiplied with is nearly 0
    depthwise = chance.normal(0.1, 0.05, [3, 3, CHANNELS, 1]).astype(np.float32)
    depthwise[0, 0] = 2
    shifts = chance.normal(0, 0.1, [2, CHANNELS]).astype(np.float32)
    inputs = chance.uniform(0.5, 1.5, [8, 1, 12, 12, CHANNELS]).astype(np.float32)
    inputs[..., 0] = chance.normal(0, 0.001, inputs.shape[:-1])

    @tf.function(input_signature=[tf.TensorSpec([1, 12, 12, CHANNELS], tf.float32)])
    def run(photo):
        found = tf.nn.relu(tf.nn.conv2d(photo, kernel, 1, "VALID") + shifts[0])
        return tf.nn.depthwise_conv2d(found, depthwise, [1, 1, 1, 1], "VALID") + shifts[1]

    def convert(**settings):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()])
        for name, value in settings.items():
            setattr(converter, name, value)
        return bytes(converter.convert())

    def list_inputs():
        return ([array] for array in inputs)

    rounded = convert(optimizations=[tf.lite.Optimize.DEFAULT], representative_dataset=list_inputs)
    return convert(), rounded, inputs


def measure_means(model, inputs):
    """The mean [channels] of the output over images and places."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    means = []
    for array in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], array)
        interpreter.invoke()
        means.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).mean((0, 1, 2)))
    return np.mean(means, axis=0)


def test_channel_means_come_back(models):
    exact, rounded, inputs = models
    corrected = correct_biases(rounded, exact, inputs)
    assert len(corrected) == len(rounded)
    expected = measure_means(exact, inputs)
    before, after = (np.abs(measure_means(model, inputs) - expected).mean() for model in (rounded, corrected))
    assert before > 0.01 * np.abs(expected).mean()  # otherwise there is nothing to see
    assert after < 0.5 * before  # what stays comes from the rounding of what lies between the layers


def test_same_inputs_same_bytes(models):
    exact, rounded, inputs = models
    assert correct_biases(rounded, exact, inputs) == correct_biases(rounded, exact, inputs)
