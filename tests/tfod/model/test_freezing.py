import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
import tensorflow as tf
from object_detection.builders import model_builder
from tiny_config import make_tiny_config

from tfod.config import pipeline
from tfod.model import weights
from tfod.model.weights import freeze_variables
from tfod.utils.console import InputError


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.config"
    make_tiny_config(path)
    return pipeline.read_config(path)


def build(config, freeze=(), update=()):
    train = config.train_config
    train.freeze_variables[:], train.update_trainable_variables[:] = freeze, update
    model = model_builder.build(config.model, is_training=True)
    weights.build_variables(model)
    return model


def test_frozen_backbone_keeps_weights_and_averages_and_the_rest_trains(config):
    model = build(config, ["^backbone/"])
    before = {id(v): v.numpy() for v in weights.list_weights(model)}
    number = len(model.trainable_variables)
    trained, frozen = freeze_variables(model, config.train_config, "p")
    assert trained + frozen == number
    assert trained == len(model.trainable_variables) > 0
    backbone = weights.find_backbone(model)
    assert backbone.trainable_variables == []
    model._is_training = True
    tf.keras.backend.set_learning_phase(True)
    with tf.GradientTape() as tape:
        inputs, shapes = model.preprocess(tf.random.uniform([2, 96, 96, 3], 0, 255, seed=1))
        predictions = model.predict(inputs, shapes)
        loss = sum(
            tf.reduce_sum(predictions[name] ** 2) for name in ("box_encodings", "class_predictions_with_background")
        )
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    tf.keras.optimizers.legacy.SGD(0.01).apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    changed = {id(v) for v in weights.list_weights(model) if (before[id(v)] != v.numpy()).any()}
    assert changed
    assert not changed & {id(v) for v in backbone.variables}


def test_update_trainable_variables_freezes_all_else(config):
    model = build(config, update=["^class head/", "^box head/"])
    freeze_variables(model, config.train_config, "p")
    parts = weights.find_parts(model)
    assert {parts[id(v)] for v in model.trainable_variables} == {"class head", "box head"}


def test_without_patterns_all_trains(config):
    model = build(config)
    number = len(model.trainable_variables)
    assert freeze_variables(model, config.train_config, "p") == (number, 0)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ["FeatureExtractor"],
            "p: 'FeatureExtractor' of freeze_variables or update_trainable_variables is found in no",
        ),
        (["gamma"], "can't be frozen without the rest of its layer; name the whole layer"),
        (["."], "p: nothing is left to train; freeze less"),
    ],
)
def test_patterns_that_cannot_be_followed_are_named(config, patterns, message):
    model = build(config, patterns)
    with pytest.raises(InputError) as error:
        freeze_variables(model, config.train_config, "p")
    assert message in str(error.value)
