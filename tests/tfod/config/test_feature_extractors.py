import ast
import inspect

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from google.protobuf import text_format
from object_detection.protos import model_pb2

from tfod.config.feature_extractors import KNOWN, NEAREST, find_extractor_faults


@pytest.fixture(scope="module")
def builder():
    from object_detection.builders import model_builder

    return model_builder


def test_known_extractors_are_those_that_upstream_builds_on_tensorflow_2(builder):
    assert set(KNOWN["ssd"]) == set(builder.SSD_KERAS_FEATURE_EXTRACTOR_CLASS_MAP)
    assert set(KNOWN["faster_rcnn"]) == set(builder.FASTER_RCNN_KERAS_FEATURE_EXTRACTOR_CLASS_MAP)
    assert set(KNOWN["center_net"]) == set(builder.CENTER_NET_EXTRACTOR_FUNCTION_MAP)


def test_every_extractor_of_tensorflow_1_has_its_advice(builder):
    """Upstream's maps for TensorFlow 1 are only in its source: they are not made on TensorFlow 2."""
    older = {}
    for node in ast.walk(ast.parse(inspect.getsource(builder))):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            name = node.targets[0].id
            if name in ("SSD_FEATURE_EXTRACTOR_CLASS_MAP", "FASTER_RCNN_FEATURE_EXTRACTOR_CLASS_MAP"):
                older["ssd" if name.startswith("SSD") else "faster_rcnn"] = [key.value for key in node.value.keys]
    assert sum(map(len, older.values())) == 31
    for family, names in older.items():
        for name in names:
            (fault,) = list_faults(family, f'type: "{name}"')
            advised = NEAREST.get(name, f"{name}_keras")
            assert advised in KNOWN[family]
            assert f"feature_extractor's type {name} is TensorFlow 1's" in fault
            assert (f"write {advised}" in fault) != (f"start from a config with {advised}, the nearest" in fault)


def list_faults(family, text):
    model = model_pb2.DetectionModel()
    extractor = getattr(model, family).feature_extractor
    text_format.Parse(text, extractor)
    return find_extractor_faults(family, extractor)


@pytest.mark.parametrize(
    ("family", "text", "fault"),
    [
        ("ssd", 'type: "ssd_mobilenet_v2_keras"', None),
        ("ssd", 'type: "ssd_mobilenet_v2_fpn_keras" fpn {}', None),
        ("ssd", 'type: "ssd_efficientnet-b3_bifpn_keras" bifpn {}', None),
        ("center_net", 'type: "hourglass_104"', None),
        ("ssd", 'type: "ssd_mobilenet_v2"', "is TensorFlow 1's; write ssd_mobilenet_v2_keras"),
        (
            "ssd",
            'type: "ssd_mobilenet_v2" fpn {}',
            "write ssd_mobilenet_v2_fpn_keras, since there is an fpn below it, or ssd_mobilenet_v2_keras without",
        ),
        ("ssd", 'type: "ssd_mobilenet_v2_keras" fpn {}', "keras takes no fpn, and there is one; take it out, or write"),
        ("ssd", 'type: "ssd_mobilenet_v2_fpn_keras" bifpn {}', "takes no bifpn, and there is one; take it out"),
        ("faster_rcnn", 'type: "faster_rcnn_resnet50_keras" fpn {}', "or write faster_rcnn_resnet50_fpn_keras"),
        ("ssd", 'type: "resnet_v2_50"', "is a CenterNet's, and the model is an SSD; take one of its own"),
        ("ssd", 'type: "ssd_mobilnet_v2_keras"', "is not known; did you mean ssd_mobilenet_v2_keras?"),
        ("ssd", 'type: "yolo"', "feature_extractor's type yolo is not known; write one of ssd_mobilenet_v1_keras, "),
        ("ssd", "", "feature_extractor has no type; write one of ssd_mobilenet_v1_keras, "),
    ],
)
def test_what_can_not_be_built_is_named_with_what_to_write(family, text, fault):
    faults = list_faults(family, text)
    if fault is None:
        assert faults == []
    else:
        assert len(faults) == 1
        assert fault in faults[0]


def test_pyramids_are_for_those_that_upstream_gives_one_to(builder):
    maps = {
        "ssd": builder.SSD_KERAS_FEATURE_EXTRACTOR_CLASS_MAP,
        "faster_rcnn": builder.FASTER_RCNN_KERAS_FEATURE_EXTRACTOR_CLASS_MAP,
    }
    for family, names in maps.items():
        for name, kind in names.items():
            takes = inspect.signature(kind.__init__).parameters
            assert (list_faults(family, f'type: "{name}" fpn {{}}') == []) == ("fpn_min_level" in takes), name
            if family == "ssd":
                assert (list_faults(family, f'type: "{name}" bifpn {{}}') == []) == ("bifpn_min_level" in takes), name
