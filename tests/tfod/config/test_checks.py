import pytest
from checkpoint_files import write_checkpoint

from tfod.config import pipeline
from tfod.config.checks import (
    BOX_METRICS,
    EVALUATION,
    EXPORT,
    EXPORT_EVALUATION,
    INFERENCE,
    TFLITE,
    TRAIN_DATA_EVALUATION,
    TRAINING,
    Findings,
    check_config,
    refuse_faults,
)
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box
from tfod.utils.console import InputError

CONFIG = """
model { %s { num_classes: 2
  feature_extractor { type: "%s" } image_resizer { fixed_shape_resizer { width: 320 height: 320 } } } }
train_config { batch_size: 4 num_steps: 100
  optimizer { use_moving_average: false momentum_optimizer { learning_rate { cosine_decay_learning_rate {
    learning_rate_base: 0.005 warmup_learning_rate: 0.001 total_steps: 100 warmup_steps: 10 } } } } }
train_input_reader { label_map_path: "map" tf_record_input_reader { input_path: "train" } }
eval_input_reader { label_map_path: "map" tf_record_input_reader { input_path: "train" } }
eval_config { metrics_set: "coco_detection_metrics" }
"""
KINDS = {
    "ssd": ("ssd", "ssd_mobilenet_v2_keras"),
    "faster_rcnn": ("faster_rcnn", "faster_rcnn_resnet50_keras"),
    "center_net": ("center_net", "resnet_v2_50"),
    "hourglass": ("center_net", "hourglass_52"),
}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """check(kind, change=None, *purposes): faults of a good config after `change(config)`, and with them the warnings,
    each after "warning: ", as one text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    example = make_example("a.jpg", b"image", "jpeg", 9, 9, [Box("cat", 1, 1, 5, 5)], {"cat": 1})
    write_records(tmp_path / "train", [example] * 5)
    write_checkpoint(tmp_path / "detector/ckpt-0", {"model/_feature_extractor/a": [3], "model/_box_predictor/b": [3]})
    write_checkpoint(tmp_path / "rcnn/ckpt-0", {"model/_first_stage_box_predictor/b": [3]})
    write_checkpoint(tmp_path / "center/ckpt-0", {"model/_prediction_head_dict/object_center/0/b": [3]})
    write_checkpoint(tmp_path / "backbone/ckpt-0", {"feature_extractor/layer_with_weights-0/kernel": [3, 3, 3, 32]})
    write_checkpoint(tmp_path / "other/ckpt-0", {"generator/a": [3]})

    def check(kind="ssd", change=None, *purposes, **options):
        text = CONFIG % KINDS[kind]
        config = pipeline.text_format.Parse(text, pipeline.pipeline_pb2.TrainEvalPipelineConfig())
        if kind == "hourglass":
            config.model.center_net.image_resizer.fixed_shape_resizer.width = 256
            config.model.center_net.image_resizer.fixed_shape_resizer.height = 256
        if change:
            change(config)
        found = check_config(config, "p.config", *(purposes or (TRAINING, EVALUATION)), **options)
        return "\n".join([*found.faults, *(f"warning: {warning}" for warning in found.warnings)])

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_good_configs_of_every_family_have_no_faults(check, kind):
    assert check(kind) == ""


def set_checkpoint(name, kind):
    def change(config):
        config.train_config.fine_tune_checkpoint = f"{name}/ckpt-0"
        config.train_config.fine_tune_checkpoint_type = kind

    return change


@pytest.mark.parametrize(
    ("kind", "name", "type_"),
    [
        ("ssd", "detector", "detection"),
        ("ssd", "detector", "full"),
        ("ssd", "backbone", "classification"),
        ("ssd", "backbone", ""),  # upstream's default
        ("faster_rcnn", "rcnn", "detection"),
        ("center_net", "center", "detection"),
        ("center_net", "backbone", "classification"),
        ("hourglass", "center", "full"),
    ],
)
def test_checkpoints_that_fit_have_no_faults(check, kind, name, type_):
    assert check(kind, set_checkpoint(name, type_)) == ""


@pytest.mark.parametrize(
    ("kind", "name", "type_", "message"),
    [
        ("ssd", "detector", "classification", "and detector/ckpt-0 is a detector's; make the type except_class_head"),
        ("ssd", "detector", "", "is classification, and detector/ckpt-0 is a detector's"),
        (
            "ssd",
            "backbone",
            "detection",
            "and backbone/ckpt-0 is a classification model's; make the type classification",
        ),
        ("ssd", "backbone", "full", "and backbone/ckpt-0 is a classification model's; make the type classification"),
        (
            "ssd",
            "other",
            "classification",
            "other/ckpt-0 has no feature_extractor; name a checkpoint of a classification",
        ),
        ("ssd", "other", "detection", "other/ckpt-0 has no detection model; name a detector's checkpoint"),
        ("ssd", "rcnn", "detection", "rcnn/ckpt-0 is of a Faster R-CNN, and the config's model is an SSD"),
        ("faster_rcnn", "center", "detection", "is of a CenterNet, and the config's model is a Faster R-CNN"),
        ("center_net", "detector", "full", "is of an SSD, and the config's model is a CenterNet"),
        (
            "ssd",
            "detector",
            "everything",
            "fine_tune_checkpoint_type is 'everything'; make it one of except_class_head, detection,",
        ),
        ("center_net", "center", "fine_tune", "is 'fine_tune', which is called detection now; make it detection"),
        ("hourglass", "backbone", "classification", "hourglass_52 takes no classification checkpoint"),
        ("ssd", "none", "detection", "fine_tune_checkpoint none/ckpt-0 is not there"),
    ],
)
def test_checkpoints_of_another_kind_are_named(check, kind, name, type_, message):
    assert message in check(kind, set_checkpoint(name, type_))


def test_another_backbone_is_named_where_the_checkpoints_config_says_it(check, tmp_path):
    other = tmp_path / "pipeline.config"  # as an export has it
    for extractor, width, message in (
        ("ssd_mobilenet_v2_keras", 1, ""),
        (
            "ssd_resnet50_v1_fpn_keras",
            1,
            "is of a ssd_resnet50_v1_fpn_keras, and the config's feature_extractor is ssd_mobil",
        ),
        (
            "ssd_mobilenet_v2_keras",
            0.5,
            "is of a ssd_mobilenet_v2_keras of width 0.5, and the config's feature_extractor",
        ),
    ):
        extractor = f'type: "{extractor}" depth_multiplier: {width}'
        other.write_text(f"model {{ ssd {{ num_classes: 90 feature_extractor {{ {extractor} }} }} }}")
        said = check("ssd", set_checkpoint("detector", "detection"))
        assert message in said if message else said == ""


def test_full_takes_a_model_of_as_many_classes(check, tmp_path):
    text = CONFIG % KINDS["ssd"]
    for where in ("detector/pipeline.config", "pipeline.config"):  # as training has it; as an export has it
        (tmp_path / where).write_text(text.replace("num_classes: 2", "num_classes: 90"))
        assert "detector/ckpt-0 has 90 classes where the config has 2: full takes the class layer, too" in check(
            "ssd", set_checkpoint("detector", "full")
        )
        assert check("ssd", set_checkpoint("detector", "detection")) == ""
        (tmp_path / where).unlink()


def test_broken_checkpoint_is_named(check, tmp_path):
    (tmp_path / "detector/ckpt-0.index").write_bytes(b"garbage")
    assert "p.config: detector/ckpt-0.index: can't be read as a checkpoint's index (" in check(
        "ssd", set_checkpoint("detector", "full")
    )


def set_field(path, value):
    def change(config):
        *parents, last = path.split(".")
        for name in parents:
            config = getattr(config, name)
        if value is None:
            getattr(config, last).SetInParent()
        else:
            setattr(config, last, value)

    return change


@pytest.mark.parametrize(("padded", "batch", "good"), [(True, 4, True), (False, 1, True), (False, 2, False)])
def test_photos_in_sizes_of_their_own_go_one_by_one_or_padded(check, padded, batch, good):
    def change(config):
        config.model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension = padded
        config.train_config.batch_size = batch

    assert ("leaves photos in sizes of their own" not in check("faster_rcnn", change)) == good


RATE = "train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_field("model.ssd.num_classes", 90),
            "p.config: num_classes is 90, and the highest id of map is 2; make it 2",
        ),
        (
            set_field(f"{RATE}.total_steps", 500),
            "warning: p.config: the schedule has 500 total_steps and the training 100",
        ),
        (set_field("train_config.batch_size", 6), "p.config: batch_size is 6 and there are 5 images to train on"),
        (
            set_field("model.ssd.image_resizer.fixed_shape_resizer.width", 20),
            "image_resizer's width is 20; this model needs",
        ),
        (
            set_field("model.ssd.image_resizer.keep_aspect_ratio_resizer.min_dimension", 300),
            "keep_aspect_ratio_resizer leaves photos in sizes of their own, and a batch of 4 holds one size only",
        ),
        (set_field("model.ssd.image_resizer.identity_resizer", None), "identity_resizer leaves photos in sizes of"),
        (set_field("eval_config.use_moving_averages", True), "p.config: eval_config.use_moving_averages is true, and"),
        (lambda c: c.eval_config.metrics_set.append("coco"), "p.config: metrics_set coco is not measured here"),
        (
            lambda c: c.train_config.freeze_variables.append("^backbone/"),
            "p.config: the backbone is frozen, and there is no",
        ),
        (
            lambda c: c.train_config.freeze_variables.append("("),
            "p.config: freeze_variables '(' is not a regular expression",
        ),
        (
            lambda c: c.train_config.data_augmentation_options.add().drop_label_probabilistically.__setattr__(
                "label", 7
            ),
            "p.config: drop_label_probabilistically names the class 7, and there are 2",
        ),
        (
            lambda c: c.train_config.data_augmentation_options.add().remap_labels.original_labels.append(8),
            "p.config: remap_labels names the class 8, and there are 2",
        ),
        (set_field("train_input_reader.label_map_path", "PATH_TO_BE_CONFIGURED"), "is still PATH_TO_BE_CONFIGURED"),
        (
            set_field("train_input_reader.label_map_path", "none"),
            "p.config: train_input_reader.label_map_path none (relative to",
        ),
        (lambda c: c.train_config.optimizer.Clear(), "p.config: train_config has no optimizer"),
        (lambda c: c.model.Clear(), "p.config: has no model"),
        (set_field("model.experimental_model.name", "x"), "p.config: experimental_model is not known here"),
    ],
)
def test_each_rule_has_its_message(check, change, message):
    text = check("ssd", change)
    assert message in text
    assert len(text.splitlines()) == 1


def test_freezing_is_refused_where_there_is_no_backbone_to_name(check):
    def change(config):
        set_checkpoint("center", "detection")(config)
        config.train_config.freeze_variables.append("^backbone/")

    assert check("center_net", change) == ""
    assert check("hourglass", change) == (
        "p.config: hourglass_52 is built without a backbone of its own that could be frozen; leave out --freeze"
    )


def test_damaged_files_are_named_and_not_raised(check, tmp_path):
    (tmp_path / "map").write_text("item { id: 0 name: 'x' }")
    (tmp_path / "train").write_bytes(b"no record")
    text = check()
    assert "map: line 1: 'x' has the id 0" in text
    assert "train: record 1, at byte 0" in text


def test_empty_records_are_named(check, tmp_path):
    (tmp_path / "train").write_bytes(b"")
    assert "batch_size is 4 and there are 0 images to train on; the records are empty: make tfrecord" in check()


def test_center_net_tasks_are_held_to_the_classes(check, tmp_path):
    def change(config):
        model = config.model.center_net
        model.densepose_estimation_task.class_id = 2
        model.deepmac_mask_estimation.allowed_masked_classes_ids.append(3)
        model.keypoint_estimation_task.add().keypoint_class_name = "person"
        model.keypoint_label_map_path = path

    path = "map"
    text = check("center_net", change)
    assert "densepose_estimation_task's class_id is 2, counted from 0, and there are 2 classes" in text
    assert "allowed_masked_classes_ids has 3, and there are 2 classes" in text
    assert "keypoint_class_name 'person' is not in map; add it there" in text
    path = "gone"
    said = check("center_net", change)
    assert "keypoint_label_map_path gone (relative to" in said
    assert ") is not there; name a label map with keypoints" in said
    path = "PATH_TO_BE_CONFIGURED"
    assert "keypoint_label_map_path is still PATH_TO_BE_CONFIGURED" in check("center_net", change, EXPORT)


ALL = {TRAINING, EVALUATION, TRAIN_DATA_EVALUATION, EXPORT, EXPORT_EVALUATION}
MODEL = ALL - {EXPORT_EVALUATION}  # those that build the model


def remove_eval_reader(config):
    del config.eval_input_reader[:]


@pytest.mark.parametrize(
    ("change", "purposes"),
    [
        (lambda c: c.model.Clear(), MODEL),
        (set_field("model.ssd.feature_extractor.type", "ssd_mobilenet_v2"), MODEL),
        (set_field("model.ssd.image_resizer.fixed_shape_resizer.width", 20), MODEL),
        (set_field("model.ssd.num_classes", 1), MODEL),
        (set_field("model.ssd.num_classes", 90), {TRAINING}),  # a model that was trained so is worth measuring
        (set_field("train_input_reader.label_map_path", "gone"), {TRAINING, TRAIN_DATA_EVALUATION}),
        (lambda c: c.train_input_reader.Clear(), {TRAINING, TRAIN_DATA_EVALUATION}),
        (remove_eval_reader, {EVALUATION, EXPORT_EVALUATION}),
        (lambda c: c.eval_config.metrics_set.append("coco_mask_metrics"), ALL - {TRAINING, EXPORT}),
        (set_field("train_config.batch_size", 6), {TRAINING}),
        (set_field("train_config.batch_size", 0), {TRAINING}),
        (set_field("train_config.num_steps", 0), {TRAINING}),
        (set_field("train_config.fine_tune_checkpoint", "gone/ckpt-0"), {TRAINING}),
        (set_field("train_config.fine_tune_checkpoint", "PATH_TO_BE_CONFIGURED"), {TRAINING}),
        (set_field("eval_config.use_moving_averages", True), {TRAINING}),
        (lambda c: c.train_config.optimizer.Clear(), {TRAINING}),
        (set_field(f"{RATE}.total_steps", 500), set()),
    ],
)
def test_a_fault_is_one_only_for_what_it_stops(check, change, purposes):
    for purpose in ALL:
        faults = [line for line in check("ssd", change, purpose).splitlines() if not line.startswith("warning: ")]
        assert bool(faults) == (purpose in purposes), purpose


def test_training_is_told_what_its_evaluation_would_refuse(check, tmp_path):
    def change(config):
        config.eval_input_reader[0].tf_record_input_reader.input_path[:] = ["test"]
        config.eval_config.metrics_set.append("mine")

    first, second = check("ssd", change, TRAINING).splitlines()
    assert first.startswith("warning: p.config: eval_input_reader.input_path test (relative to ")
    assert first.endswith("is not there; `make tfrecord` makes the records (evaluation needs that)")
    assert "warning: p.config: metrics_set mine is not measured here, only metrics of boxes are" in second
    assert len(check("ssd", change, TRAINING, EVALUATION).splitlines()) == 2
    assert "warning" not in check("ssd", change, TRAINING, EVALUATION)
    (tmp_path / "map").unlink()
    assert len(check("ssd", None, TRAINING).splitlines()) == 1  # what stops the training is not said twice


def test_training_that_goes_on_needs_no_fine_tune_checkpoint(check):
    assert check("ssd", set_checkpoint("gone", "detection"), TRAINING, resumes=True) == ""


def test_images_from_elsewhere_need_no_records_of_the_config(check):
    assert check("ssd", remove_eval_reader, EVALUATION, own_data=True) == ""


def test_weights_are_taken_where_there_are_no_averages_of_them(check):
    for purpose in (EVALUATION, EXPORT):
        said = check("ssd", set_field("eval_config.use_moving_averages", True), purpose)
        assert said.startswith("warning: p.config: eval_config.use_moving_averages is true")
        assert said.endswith("there are none; the weights themselves are taken")
    assert check("ssd", set_field("eval_config.use_moving_averages", True), EXPORT_EVALUATION) == ""


def test_label_map_of_other_classes_than_the_model_was_trained_on(check):
    said = check("ssd", set_field("model.ssd.num_classes", 1), EXPORT)
    what = "num_classes is 1, and the highest id of map is 2"
    assert said == f"p.config: {what}; name the label map that the model was trained with, or train again"
    said = check("ssd", set_field("model.ssd.num_classes", 3), EVALUATION)
    assert said.endswith("num_classes is 3, and the highest id of map is 2; the classes above it have no names")


def set_rate(rate, batch, optimizer="momentum_optimizer"):
    def change(config):
        train = config.train_config
        train.batch_size = batch
        train.optimizer.Clear()
        constant = getattr(train.optimizer, optimizer).learning_rate.constant_learning_rate
        constant.learning_rate = rate

    return change


@pytest.mark.parametrize(
    ("kind", "rate", "batch", "optimizer", "divisor"),
    [
        ("ssd", 0.8, 4, "momentum_optimizer", "128"),  # the zoo: 0.8 and 512 images
        ("ssd", 0.8, 512, "momentum_optimizer", None),
        ("ssd", 0.8 / 512 * 4 * 4, 4, "momentum_optimizer", None),  # four times as much is let be
        ("ssd", 0.8, 4, "adam_optimizer", None),  # nothing to compare with
        ("faster_rcnn", 0.04, 1, "momentum_optimizer", "64"),  # the zoo: 0.04 and 64
        ("faster_rcnn", 0.04, 16, "momentum_optimizer", None),
        ("hourglass", 0.001, 128, "adam_optimizer", None),
        ("hourglass", 0.001, 2, "adam_optimizer", "8"),  # the root of 64
    ],
)
def test_learning_rate_of_a_far_larger_batch_is_warned_of(check, kind, rate, batch, optimizer, divisor):
    said = check(kind, set_rate(rate, batch, optimizer), TRAINING, images=1000)
    if divisor is None:
        assert said == ""
    else:
        assert f"warning: p.config: the learning rate {rate:g} is too high for batch_size {batch}, and" in said
        assert f"; divide the rates by {divisor}, as `make config` does with the zoo's own config" in said


def test_checkpoint_of_tensorflow_1_is_named(check, tmp_path):
    import tensorflow as tf

    prefix = str(tmp_path / "detector/ckpt-0")
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["FeatureExtractor/a"], shape_and_slices=[""], tensors=[tf.zeros(3)])
    said = check("ssd", set_checkpoint("detector", "detection"))
    assert "detector/ckpt-0 is a checkpoint of TensorFlow 1, which no model of TensorFlow 2 can start from" in said


def test_broken_config_beside_a_checkpoint_changes_nothing(check, tmp_path):
    (tmp_path / "detector/pipeline.config").write_text("model {")
    assert check("ssd", set_checkpoint("detector", "detection")) == ""


def test_warnings_are_said_and_faults_raised(capsys):
    refuse_faults(Findings([], ["p: is unwise"]))
    with pytest.raises(InputError) as error:
        refuse_faults(Findings(["p: is wrong"], ["p: is odd"]), "q: is wrong, too")
    assert error.value.faults == ("p: is wrong", "q: is wrong, too")
    assert capsys.readouterr().err == "warning: p: is unwise\nwarning: p: is odd\n"


def test_metrics_of_boxes_are_all_that_upstream_has():
    from object_detection import eval_util

    others = ("mask", "segmentation", "keypoint", "panoptic")
    assert sorted(BOX_METRICS) == sorted(
        name for name in eval_util.EVAL_METRICS_CLASS_DICT if not any(word in name for word in others)
    )


def test_inference_looks_at_the_model_alone(check):
    def change(config):
        config.model.ssd.num_classes = 7  # its label map may be kept beside the checkpoint
        config.train_input_reader.label_map_path = "gone"
        config.train_config.batch_size = 0

    assert check("ssd", change, INFERENCE) == ""
    found = check("ssd", lambda config: change(config) or set_type(config, "ssd_mobilenet_v2"), INFERENCE)
    assert (
        found.startswith("p.config: feature_extractor's type ssd_mobilenet_v2 is TensorFlow 1's") and "\n" not in found
    )


def set_type(config, name):
    config.model.ssd.feature_extractor.type = name


def test_tflites_rules_come_with_the_others_and_only_where_they_are_asked_for(check):
    def change(config):
        set_type(config, "ssd_mobilenet_v2")
        config.model.ssd.post_processing.batch_non_max_suppression.soft_nms_sigma = 1

    coder, soft = "p.config: TFLite decodes a faster_rcnn_box_coder's boxes only", "p.config: TFLite has no soft NMS"
    found = check("ssd", change, EXPORT, TFLITE)
    assert "is TensorFlow 1's" in found and coder in found and soft in found
    assert "TFLite" not in check("ssd", change, EXPORT)
