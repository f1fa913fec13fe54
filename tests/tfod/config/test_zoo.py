"""The catalogue: every model once, with facts that can be so, and addresses that are https."""

import re

import pytest

from tfod.config.zoo import MODELS, describe_tflite, find_kin, get_address


def test_every_model_has_its_facts():
    assert len(MODELS) == 42
    for name, model in MODELS.items():
        if name == "extremenet":  # a checkpoint, of which the zoo states nothing
            assert (model.input, model.ms, model.map, model.batch, model.fine_tune_type) == ("", None, None, None, "")
            continue
        height, width = map(int, model.input.split("x"))
        assert 300 <= height <= width <= 1536
        assert model.resizer in ("fixed_shape", "keep_aspect_ratio")
        assert 5 < model.ms < 400
        assert 20 <= (model.map or model.second_map) < 66
        assert (model.second_map is not None) == (model.outputs != "boxes")
        assert model.batch in (16, 64, 128, 512)
        assert 0.001 <= model.learning_rate <= 0.8
        assert model.fine_tune_type == "detection"
        assert re.fullmatch("([0-9a-f]{64})?", model.sha256)


def test_a_familys_names_begin_alike():
    starts = {
        "CenterNet": "centernet_",
        "EfficientDet": "efficientdet_d",
        "SSD": "ssd_mobilenet_",
        "RetinaNet": "ssd_resnet",
        "Faster R-CNN": "faster_rcnn_",
        "Mask R-CNN": "mask_rcnn_",
        "ExtremeNet": "extremenet",
    }
    for name, model in MODELS.items():
        assert [family for family, start in starts.items() if name.startswith(start)] == [model.family]


def test_the_inputs_that_are_not_those_of_the_name():
    named = {name: match[0] for name in MODELS if (match := re.search(r"\d+x\d+", name))}
    assert {name for name, size in named.items() if MODELS[name].input != size} == {
        "ssd_mobilenet_v2_320x320_coco17_tpu-8",
        "faster_rcnn_inception_resnet_v2_1024x1024_coco17_tpu-8",
    }
    assert MODELS["ssd_mobilenet_v2_320x320_coco17_tpu-8"].input == "300x300"


def test_addresses_are_https_and_end_with_the_name():
    for name in MODELS:
        assert get_address(name).startswith("https://download.tensorflow.org/models/object_detection/tf2/202")
        assert get_address(name).endswith(f"/{name}.tar.gz")
    assert get_address("extremenet", "https://mirror/zoo/") == "https://mirror/zoo/20210507/extremenet.tar.gz"
    with pytest.raises(KeyError):
        get_address("none")


def test_who_can_be_a_tflite_file():
    kinds = {(model.family, describe_tflite(model)) for model in MODELS.values()}
    assert kinds == {
        ("SSD", "yes"),
        ("RetinaNet", "yes"),
        ("EfficientDet", "if resized"),
        ("CenterNet", "if resized"),
        ("Faster R-CNN", "no"),
        ("Mask R-CNN", "no"),
        ("ExtremeNet", "no"),
    }


@pytest.mark.parametrize(
    ("family", "extractor", "names"),
    [
        ("ssd", "ssd_mobilenet_v2_fpn_keras", ["ssd_mobilenet_v2_fpnlite_320x320", "ssd_mobilenet_v2_fpnlite_640x640"]),
        ("ssd", "ssd_resnet152_v1_fpn_keras", ["ssd_resnet152_v1_fpn_1024x1024", "ssd_resnet152_v1_fpn_640x640"]),
        ("ssd", "ssd_efficientnet-b3_bifpn_keras", ["efficientdet_d3"]),
        ("ssd", "ssd_mobilenet_v1_keras", ["ssd_mobilenet_v1_fpn_640x640"]),
        ("faster_rcnn", "faster_rcnn_resnet50_fpn_keras", []),
        ("faster_rcnn", "", []),
        ("center_net", "mobilenet_v2_fpn", ["centernet_mobilenetv2fpn_512x512", "centernet_mobilenetv2fpn_512x512"]),
    ],
)
def test_kin_are_of_the_same_network(family, extractor, names):
    assert sorted(model.name.partition("_coco17")[0] for model in find_kin(family, extractor)) == names
    assert all(model.batch and model.learning_rate for model in find_kin(family, extractor))
