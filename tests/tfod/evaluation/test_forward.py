"""Our evaluation in batches beside upstream's own loop, with one image at a time, on the same model."""

import contextlib
import io

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_photo

from tfod.config import pipeline
from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box
from tfod.evaluation import evaluator
from tfod.model import weights

SIZES = [(96, 64), (60, 90), (64, 64), (120, 50), (97, 61), (40, 80), (80, 80), (96, 64), (50, 50), (70, 96)]


def add_flags(example, **flags):
    """The example with features image/object/NAME, ints."""
    example = tf.train.Example.FromString(example)
    for name, values in flags.items():
        example.features.feature[f"image/object/{name}"].int64_list.value[:] = values
    return example.SerializeToString()


def write_photos(folder, counts):
    """Writes folder/test.record, of photos with so many boxes each, and the label map: cats and dogs."""
    write_label_map(folder / "map.pbtxt", {"cat": 1, "dog": 2})
    examples = []
    for number, count in enumerate(counts):
        width, height = SIZES[number]
        photo = io.BytesIO()
        draw_photo(number, (width, height)).save(photo, "JPEG")
        boxes = [
            Box(("cat", "dog")[(number + i) % 2], 3 + 4 * i, 5 + i, width - 4 - i, height - 6 - 3 * i, difficult=i % 2)
            for i in range(count)
        ]
        example = make_example(f"{number}.jpg", photo.getvalue(), "jpeg", width, height, boxes, {"cat": 1, "dog": 2})
        crowd = [int(number == 1 and i == 0) for i in range(count)]
        group = [int(number == 2 and i == 0) for i in range(count)]
        examples.append(add_flags(example, is_crowd=crowd, group_of=group))
    write_records(folder / "test.record", examples)


def point_at(config, folder):
    reader = config.eval_input_reader[0]
    reader.label_map_path = str(folder / "map.pbtxt")
    reader.tf_record_input_reader.input_path[:] = [str(folder / "test.record")]
    return reader


def build_model(config):
    from object_detection.builders import model_builder

    tf.keras.utils.set_random_seed(1)
    return model_builder.build(config.model, is_training=True, add_summaries=False)


def evaluate_upstream(config, model, folder):
    """What upstream's loop measures, as floats."""
    from object_detection import inputs, model_lib_v2
    from object_detection.utils import config_util

    configs = config_util.create_configs_from_pipeline_proto(config)
    configs["eval_input_config"] = reader = config.eval_input_reader[0]
    dataset = inputs.eval_input(config.eval_config, reader, config.model, model)
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(), contextlib.redirect_stdout(io.StringIO()):
        found = model_lib_v2.eager_eval_loop(model, configs, dataset, global_step=tf.Variable(0, dtype=tf.int64))
    return {name: float(value) for name, value in found.items()}


def compare(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-6, rel=1e-6), name


def stir_up(model, gain):
    """Gives the model weights with which it says something else of every place: new ones leave all scores the same."""
    chance = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            inputs = np.prod(variable.shape[:-1]) if "depthwise" not in variable.name else np.prod(variable.shape[:2])
            variable.assign(chance.normal(0, gain * (2 / inputs) ** 0.5, variable.shape))


def shrink_ssd(config):
    resizer = config.model.ssd.image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = 64
    extractor = config.model.ssd.feature_extractor
    extractor.type, extractor.depth_multiplier = "ssd_mobilenet_v1_fpn_keras", 0.25  # half the layers to build
    extractor.fpn.max_level = config.model.ssd.anchor_generator.multiscale_anchor_generator.max_level = 4
    config.model.ssd.box_predictor.weight_shared_convolutional_box_predictor.num_layers_before_predictor = 1


def shrink_efficientdet(config):
    """As the zoo has it: photos keep their shape, and are padded to the square."""
    resizer = config.model.ssd.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension = resizer.max_dimension = 256
    resizer.pad_to_max_dimension = True
    config.model.ssd.feature_extractor.bifpn.num_iterations = 1


def shrink_center_net(config):
    resizer = config.model.center_net.image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = 64


def shrink_faster_rcnn(config):
    """Every photo has its own shape; and of the proposals, none is left to chance."""
    model = config.model.faster_rcnn
    resizer = model.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension, resizer.max_dimension, resizer.pad_to_max_dimension = 64, 96, False
    model.use_static_shapes = model.use_static_balanced_label_sampler = False
    model.first_stage_max_proposals = 16
    model.first_stage_minibatch_size, model.second_stage_batch_size, model.second_stage_balance_fraction = 4000, 16, 1


# How to make each small, and how large the new weights are: its scores are neither all the same nor all 0 or 1.
FAMILIES = {
    "ssd_mobilenet_v2_fpnlite_320": (shrink_ssd, 1.0),
    "efficientdet_d0": (shrink_efficientdet, 1.0),
    "centernet_mobilenet_v2_fpn": (shrink_center_net, 1.0),
    "faster_rcnn_resnet50_v1": (shrink_faster_rcnn, 0.45),
}


def make_model(name, folder, counts):
    """(config, a model of the family that is small and stirred up), and photos with so many boxes in `folder`."""
    write_photos(folder, counts)
    config = pipeline.read_config(ROOT / f"scripts/configs/{name}.config")
    pipeline.get_model(config).num_classes = 2
    shrink, gain = FAMILIES[name]
    shrink(config)
    point_at(config, folder)
    model = build_model(config)
    weights.build_variables(model)
    stir_up(model, gain)
    return config, model


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if "ssd" not in name else ()) for name in FAMILIES]
)
def test_families_are_measured_as_upstream_does(name, tmp_path):
    counts = [2, 3, 1, 0, 1, 2, 1, 1, 2, 1]  # two batches, of which the second is not full
    config, model = make_model(name, tmp_path, counts)
    _, evaluate = evaluator.build_evaluation(config, tmp_path / "eval", model=model)
    measured = evaluate(0)
    compare(measured.metrics, evaluate_upstream(config, model, tmp_path / "upstream"))
    images = sorted(measured.evaluated.images, key=lambda image: image.number)
    assert [(image.name, (image.width, image.height)) for image in images] == [
        (f"{number}.jpg", size) for number, size in enumerate(SIZES)
    ]
    assert measured.evaluated.ground_truth.crowd.sum() == 1
    assert len(measured.evaluated.detections.score) > 0
    again = evaluate(0)
    assert again.metrics == pytest.approx(measured.metrics, abs=1e-6)


SETS = [
    "coco_detection_metrics",
    "pascal_voc_detection_metrics",
    "weighted_pascal_voc_detection_metrics",
    "oid_V2_detection_metrics",
    "precision_at_recall_detection_metrics",
]


def test_other_metrics_sets_are_upstreams(tmp_path):
    """Every image has as many boxes as upstream pads to: where it pads, it takes the padding for objects."""
    config, model = make_model("ssd_mobilenet_v2_fpnlite_320", tmp_path, [2] * 10)
    config.eval_config.metrics_set[:] = SETS
    config.eval_config.recall_lower_bound, config.eval_config.recall_upper_bound = 0.0, 0.5
    config.eval_input_reader[0].max_number_of_boxes = 2
    _, evaluate = evaluator.build_evaluation(config, tmp_path / "eval", model=model)
    ours = evaluate(0).metrics
    theirs = evaluate_upstream(config, model, tmp_path / "upstream")
    compare(ours, {name: -1.0 if value != value else value for name, value in theirs.items()})
    assert ours["OpenImagesV2_Precision/mAP@0.5IOU"] != ours["PascalBoxes_Precision/mAP@0.5IOU"]
    assert ours["PascalBoxes_Precision/mAP@0.5IOU"] > 0
    config.eval_input_reader[0].max_number_of_boxes = 100
    assert evaluate(0).metrics == ours


def test_damaged_photo_and_faulty_boxes_are_named(tmp_path):
    config, model = make_model("ssd_mobilenet_v2_fpnlite_320", tmp_path, [1] * 10)
    source = evaluator.open_config_records(config)
    _, evaluate = evaluator.build_evaluation(config, tmp_path / "eval", model=model)
    assert evaluate(0).metrics["Loss/total_loss"] > 0
    examples = [tf.train.Example.FromString(sample.example) for sample in source.read()]
    sound = examples[9].features.feature["image/encoded"].bytes_list.value[0]

    def fail():
        write_records(tmp_path / "test.record", [example.SerializeToString() for example in examples])
        with pytest.raises(evaluator.InputError) as caught:
            evaluate(0)
        return str(caught.value)

    examples[9].features.feature["image/encoded"].bytes_list.value[0] = sound[: len(sound) // 2]
    assert "test.record: record 10: " in fail()
    examples[9].features.feature["image/encoded"].bytes_list.value[0] = sound
    examples[3].features.feature["image/object/bbox/xmin"].float_list.value[0] = 0.999
    assert "test.record: record 4: a box ends before it begins; make the records again" in fail()
