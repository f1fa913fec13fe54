"""What of a fine-tune checkpoint fits a detector, counted by part, and what keeps a training from going on."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
import tensorflow as tf
from conftest import ROOT
from object_detection.builders import model_builder
from tiny_config import make_tiny_config

from tfod.config import pipeline
from tfod.model import saving, weights
from tfod.utils.console import InputError


def build(config):
    model = model_builder.build(config.model, is_training=True)
    weights.build_variables(model)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config, model, checkpoint of the whole detector, checkpoint of its backbone)."""
    folder = tmp_path_factory.mktemp("trained")
    make_tiny_config(folder / "tiny.config")
    config = pipeline.read_config(folder / "tiny.config")
    model = build(config)
    for variable in weights.list_weights(model):
        variable.assign(tf.random.uniform(variable.shape, 0.1, 0.2))
    detector = tf.train.Checkpoint(model=model, step=tf.Variable(7, dtype=tf.int64))
    backbone = tf.train.Checkpoint(feature_extractor=model._feature_extractor.classification_backbone)
    return config, model, detector.save(str(folder / "detector")), backbone.save(str(folder / "backbone"))


def tune(config, checkpoint, kind):
    config.train_config.fine_tune_checkpoint, config.train_config.fine_tune_checkpoint_type = checkpoint, kind
    model = build(config)
    return model, weights.restore_fine_tune_checkpoint(config, model, "p.config")


def test_backbone_alone_comes_from_a_classification_checkpoint(trained):
    config, source, _, backbone = trained
    model, matched = tune(config, backbone, "classification")
    assert matched["backbone"][0] == matched["backbone"][1] > 100
    assert {restored for part, (restored, _) in matched.items() if part != "backbone"} == {0}
    assert {"box head", "class head", "FPN"} <= matched.keys()
    ours, theirs = weights.find_backbone(model).variables, weights.find_backbone(source).variables
    assert all(bool(tf.reduce_all(one == other)) for one, other in zip(ours, theirs, strict=True))
    assert not any(bool(tf.reduce_any(tf.math.is_nan(v))) for v in weights.list_weights(model))


def test_detection_leaves_the_heads_and_full_takes_all(trained):
    config, _, detector, _ = trained
    _, matched = tune(config, detector, "detection")
    assert matched["FPN"][0] == matched["FPN"][1] > 0
    assert matched["backbone"][0] == matched["backbone"][1]
    assert matched["class head"][0] == matched["box head"][0] == 0
    assert matched["prediction tower"][0] == 0
    assert "; new weights: prediction tower" in weights.describe_matches(matched)
    _, matched = tune(config, detector, "full")
    assert all(restored == number for restored, number in matched.values())


def test_except_class_head_takes_all_else_though_the_classes_are_others(trained):
    config, source, detector, _ = trained
    other = pipeline.pipeline_pb2.TrainEvalPipelineConfig()
    other.CopyFrom(config)
    pipeline.get_model(other).num_classes += 3
    model, matched = tune(other, detector, "except_class_head")
    assert matched.pop("class head")[0] == 0
    assert list(matched) == ["backbone", "FPN", "prediction tower", "box head"]
    assert all(restored == number > 0 for restored, number in matched.values())
    ours, theirs = (one._box_predictor._box_prediction_head.variables for one in (model, source))
    assert all(bool(tf.reduce_all(one == other)) for one, other in zip(ours, theirs, strict=True))


def test_hourglass_without_a_backbone_is_named_and_taken_whole(tmp_path):
    config = pipeline.read_config(ROOT / "scripts/configs/centernet_mobilenet_v2_fpn.config")
    center_net = config.model.center_net
    center_net.num_classes, center_net.feature_extractor.type = 2, "hourglass_10"
    checkpoint = tf.train.Checkpoint(model=build(config)).save(str(tmp_path / "hourglass"))
    center_net.num_classes = 5
    _, matched = tune(config, checkpoint, "except_class_head")
    assert list(matched) == ["feature extractor", "center head", "size head", "offset head"]
    assert matched.pop("center head")[0] == 0
    assert all(restored == number > 0 for restored, number in matched.values())


def test_checkpoint_that_does_not_fit_is_named(trained):
    config, _, detector, backbone = trained
    for checkpoint, kind in ((detector, "classification"), (backbone, "detection")):
        with pytest.raises(InputError, match=f"p.config: fine_tune_checkpoint .* does not fit this model as '{kind}'"):
            tune(config, checkpoint, kind)


def test_checkpoint_of_which_nothing_is_taken_is_an_error(trained, monkeypatch):
    """As where an architecture of upstream's gives nothing to restore, which TensorFlow has nothing against."""
    config, model, detector, _ = trained
    monkeypatch.setattr(type(model), "restore_from_objects", lambda self, fine_tune_checkpoint_type: {})
    with pytest.raises(InputError, match=r"does not fit this model as 'full' \(nothing of it was matched\); name a"):
        tune(config, detector, "full")


def test_misfits_name_what_changed(trained, tmp_path):
    config, model, detector, _ = trained
    checkpoint = tf.train.Checkpoint(model=model, step=tf.Variable(7, dtype=tf.int64))
    _, shapes = saving.rehearse(checkpoint.write, tmp_path)
    assert weights.find_misfits(shapes, detector) == []
    other = pipeline.pipeline_pb2.TrainEvalPipelineConfig()
    other.CopyFrom(config)
    pipeline.get_model(other).num_classes = 5
    predictor = other.model.ssd.box_predictor.weight_shared_convolutional_box_predictor
    predictor.num_layers_before_predictor += 1
    _, shapes = saving.rehearse(tf.train.Checkpoint(model=build(other)).write, tmp_path)
    misfits = weights.find_misfits(shapes, detector)
    assert any("has the shape" in text for text in misfits)
    assert any("is not in the checkpoint" in text for text in misfits)
