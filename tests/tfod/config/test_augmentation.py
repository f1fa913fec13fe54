import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
import tensorflow as tf
from object_detection.builders import preprocessor_builder
from object_detection.core import preprocessor, standard_fields
from object_detection.protos import train_pb2

from tfod.config import edit

Fields = standard_fields.InputDataFields


@pytest.mark.parametrize("name", edit.AUGMENTATIONS)
def test_every_set_runs_on_this_tensorflow_and_keeps_boxes_in_the_picture(name):
    """As upstream's input pipeline runs them: in a tf.data graph, on pictures of any size, also without a box."""
    train = train_pb2.TrainConfig()
    edit.set_augmentation(train, name)
    steps = [preprocessor_builder.build(option) for option in train.data_augmentation_options]

    def vary(number):
        image = tf.random.uniform([64, 64 + 8 * tf.cast(number % 5, tf.int32), 3], 0, 255, seed=1)
        count = tf.cast(number % 3, tf.int32)
        tensors = {
            Fields.image: image[tf.newaxis],
            Fields.groundtruth_boxes: tf.tile([[0.2, 0.3, 0.7, 0.8]], [count, 1]),
            Fields.groundtruth_classes: tf.ones([count], tf.int32),
            Fields.groundtruth_weights: tf.ones([count]),
        }
        arguments = preprocessor.get_default_func_arg_map()
        varied = preprocessor.preprocess(tensors, steps, func_arg_map=arguments)
        return varied[Fields.image][0], varied[Fields.groundtruth_boxes], varied[Fields.groundtruth_classes], count

    tf.random.set_seed(3)
    changed = 0
    for image, boxes, classes, count in tf.data.Dataset.range(30).map(vary).as_numpy_iterator():
        assert np.isfinite(image).all()
        assert -1 <= image.min() <= image.max() <= 256
        assert len(boxes) == len(classes) <= count
        assert ((boxes >= -1e-6) & (boxes <= 1 + 1e-6)).all()
        changed += not any(np.allclose(box, [0.2, 0.3, 0.7, 0.8]) for box in boxes) and len(boxes) > 0
    assert changed > 3


def test_a_set_takes_the_place_of_the_former():
    train = train_pb2.TrainConfig()
    edit.set_augmentation(train, "strong")
    edit.set_augmentation(train, "light")
    assert [str(option).split()[0] for option in train.data_augmentation_options] == ["random_horizontal_flip"]
