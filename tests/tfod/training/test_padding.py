"""An SSD's losses are the same with and without the padding of its boxes, which training leaves out."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
import tensorflow as tf
from object_detection import model_lib, model_lib_v2
from object_detection.builders import model_builder
from tiny_config import make_tiny_config

from tfod.config import pipeline
from tfod.model import weights as model_weights

PADDED = 100  # boxes that every image of a batch has, most of them empty


def make_batch(numbers, classes):
    """(features, labels) of a batch whose images have so many boxes."""
    random = np.random.default_rng(5)
    size = len(numbers)
    boxes = np.zeros([size, PADDED, 4], np.float32)
    labels = np.zeros([size, PADDED, classes], np.float32)
    weights = np.zeros([size, PADDED], np.float32)
    for image, number in enumerate(numbers):
        corner = random.uniform(0, 0.6, [number, 2])
        boxes[image, :number] = np.concatenate([corner, corner + random.uniform(0.05, 0.4, [number, 2])], axis=1)
        labels[image, np.arange(number), random.integers(0, classes, number)] = 1
        weights[image, :number] = 1
    features = {
        "image": random.uniform(-1, 1, [size, 96, 96, 3]).astype(np.float32),
        "true_image_shape": np.array([[96, 96, 3]] * size, np.int32),
    }
    labels = {
        "groundtruth_boxes": boxes,
        "groundtruth_classes": labels,
        "groundtruth_weights": weights,
        "num_groundtruth_boxes": np.array(numbers, np.int32),
    }
    return tf.nest.map_structure(tf.constant, (features, labels))


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """measure(features, labels, unpad): the losses of a tiny detector, a dict name -> float."""
    path = tmp_path_factory.mktemp("padding") / "tiny.config"
    make_tiny_config(path)
    model = model_builder.build(pipeline.read_config(path).model, is_training=True)
    model_weights.build_variables(model)
    model._is_training = True
    tf.keras.backend.set_learning_phase(True)

    @tf.function
    def measure(features, labels, unpad):
        unstacked = model_lib.unstack_batch(labels, unpad_groundtruth_tensors=unpad)
        return model_lib_v2._compute_losses_and_predictions_dicts(model, features, unstacked)[0]

    def measure_batch(numbers, unpad):
        losses = measure(*make_batch(numbers, model.num_classes), unpad)
        return {name: float(loss) for name, loss in losses.items()}

    yield measure_batch
    tf.keras.backend.set_learning_phase(False)


@pytest.mark.parametrize("numbers", [(0, 1, 3), (0, 0, 0), (PADDED, 7, 1)])
def test_padding_changes_no_loss(measure, numbers):
    padded, plain = (measure(numbers, unpad) for unpad in (False, True))
    assert padded["Loss/classification_loss"] > 0
    assert (padded["Loss/localization_loss"] > 0) == (sum(numbers) > 0)
    assert plain == pytest.approx(padded, rel=1e-6)
