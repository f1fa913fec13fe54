"""The order of the training images: the same for the same seed, and gone on with after a stop."""

import collections

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_photo
from google.protobuf import text_format
from object_detection.builders import model_builder
from object_detection.core.standard_fields import InputDataFields as Fields
from object_detection.protos import image_resizer_pb2

from tfod.config import pipeline
from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box
from tfod.model.tracing import build_plainly
from tfod.training import input

IMAGES = 10


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The demo's config at 64 pixels, on records of ten small photos in two files, in batches of 4."""
    folder = tmp_path_factory.mktemp("input")
    write_label_map(folder / "map.pbtxt", {"cat": 1, "dog": 2})
    examples = []
    for number in range(IMAGES):
        draw_photo(number).save(folder / "photo.png")
        encoded = (folder / "photo.png").read_bytes()
        box = Box("cat", 8, 8, 40, 40)
        examples.append(make_example(f"{number}.png", encoded, "png", 96, 64, [box], {"cat": 1, "dog": 2}))
    write_records(folder / "train-0.record", examples[:6])
    write_records(folder / "train-1.record", examples[6:])
    config = pipeline.read_config(ROOT / "scripts/configs/demo.config")
    resizer = config.model.ssd.image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = 64
    config.train_config.batch_size = 4
    reader = config.train_input_reader
    reader.label_map_path = str(folder / "map.pbtxt")
    reader.tf_record_input_reader.input_path[:] = [str(folder / "train-?.record")]
    reader.include_source_id = True
    return config


def read_order(config, steps, **settings):
    """The numbers of the images in the batches of so many steps, one list a batch."""
    tf.random.set_seed(1)
    model = model_builder.build(config.model, is_training=True)
    dataset = build_plainly(input.build_train_input, config, model, **{"seed": 1, **settings})
    return [[int(name.split(b".")[0]) for name in features["source_id"].numpy()] for features, _ in dataset.take(steps)]


def test_each_epoch_has_every_image_once_in_an_order_of_its_own(config):
    order = sum(read_order(config, 5), [])
    assert collections.Counter(order) == dict.fromkeys(range(IMAGES), 2)
    assert sorted(order[:IMAGES]) == list(range(IMAGES))
    assert order[:IMAGES] != order[IMAGES:]


@pytest.mark.parametrize("seed", [0, 1])
def test_order_goes_on_after_any_step(config, seed):
    order = read_order(config, 7, seed=seed)
    assert read_order(config, 7, seed=seed) == order
    for first in (1, 4, 6):
        assert read_order(config, 7 - first, seed=seed, first_step=first) == order[first:]
    assert read_order(config, 7, seed=seed + 5) != order


def test_pipelines_share_out_the_batches_of_one(config):
    order = read_order(config, 5)
    halves = [
        read_order(config, 5, input_context=tf.distribute.InputContext(2, number, num_replicas_in_sync=2))
        for number in range(2)
    ]
    assert [sorted(one + other) for one, other in zip(*halves, strict=True)] == [sorted(batch) for batch in order]


def test_without_shuffling_the_order_is_that_of_the_files(config):
    config.train_input_reader.shuffle = False
    try:
        assert sum(read_order(config, 5), []) == [*range(IMAGES), *range(IMAGES)]
    finally:
        config.train_input_reader.shuffle = True


def test_hashes_of_a_batch_lead_to_its_images(config):
    tf.random.set_seed(1)
    model = model_builder.build(config.model, is_training=True)
    features, _ = next(iter(build_plainly(input.build_train_input, config, model, seed=1)))
    names = sorted(name.decode() for name in features["source_id"].numpy())
    assert input.find_source_ids(config, features["hash"].numpy()) == names


def test_images_are_counted_over_all_files(config):
    assert input.count_images(config) == IMAGES


FIXED = "fixed_shape_resizer { width: 100 height: 50 }"
KEPT = "keep_aspect_ratio_resizer { min_dimension: 60 max_dimension: 100 }"


@pytest.mark.parametrize(
    ("text", "width", "height", "wanted"),
    [
        (FIXED, 1000, 400, (375, 150)),  # three times its height, which is what counts, and its own aspect ratio
        (FIXED, 1000, 100, (1000, 100)),
        (FIXED, 299, 149, (299, 149)),
        (KEPT, 1000, 800, (225, 180)),
        (KEPT, 2000, 400, (300, 60)),
        (KEPT, 300, 179, (300, 179)),
        ("identity_resizer { }", 1000, 1000, (1000, 1000)),
    ],
)
def test_large_photo_is_shrunk_to_what_the_model_can_use(text, width, height, wanted):
    resizer = text_format.Parse(text, image_resizer_pb2.ImageResizer())
    ramp = np.linspace(10, 250, width, dtype=np.float32)
    photo = np.broadcast_to(ramp[None, :, None], (height, width, 3)).astype(np.uint8)
    example = {Fields.image: photo, Fields.groundtruth_boxes: np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)}
    dataset = tf.data.Dataset.from_tensors(example).map(lambda one: input.shrink_photo(one, resizer))
    assert dataset.element_spec[Fields.image].shape[2] == 3
    (found,) = dataset.as_numpy_iterator()
    small = found[Fields.image]
    assert (small.shape[1], small.shape[0]) == wanted
    assert small.dtype == np.uint8
    assert np.abs(small[0, :, 0] - np.linspace(10, 250, wanted[0])).max() <= 2
    np.testing.assert_array_equal(found[Fields.groundtruth_boxes], example[Fields.groundtruth_boxes])
    masked = {**example, Fields.groundtruth_instance_masks: np.ones((1, height, width), np.float32)}
    assert input.shrink_photo(masked, resizer) is masked
