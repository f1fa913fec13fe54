"""The order of the training images: the same for the same seed, and gone on with after a stop."""

import collections

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
import tensorflow as tf
from conftest import draw_photo
from object_detection.builders import model_builder
from test_make import ROOT

from tfod import pipeline_config, train_input
from tfod.label_map import write_label_map
from tfod.tfrecord import make_example, write_records
from tfod.tracing import build_plainly
from tfod.voc import Box

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
    config = pipeline_config.read_config(ROOT / "scripts/configs/demo.config")
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
    dataset = build_plainly(train_input.build_train_input, config, model, **{"seed": 1, **settings})
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
    features, _ = next(iter(build_plainly(train_input.build_train_input, config, model, seed=1)))
    names = sorted(name.decode() for name in features["source_id"].numpy())
    assert train_input.find_source_ids(config, features["hash"].numpy()) == names


def test_images_are_counted_over_all_files(config):
    assert train_input.count_images(config) == IMAGES
