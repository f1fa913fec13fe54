"""The feature extractors that the OD API builds on TensorFlow 2, and what has become of its older ones.

The names are those of object_detection.builders.model_builder, which would import TensorFlow; a test compares them.
"""

import difflib

from google.protobuf.message import Message

FAMILIES = {"ssd": "an SSD", "faster_rcnn": "a Faster R-CNN", "center_net": "a CenterNet"}
KNOWN = {
    "ssd": (
        "ssd_mobilenet_v1_keras",
        "ssd_mobilenet_v1_fpn_keras",
        "ssd_mobilenet_v2_keras",
        "ssd_mobilenet_v2_fpn_keras",
        "ssd_resnet50_v1_fpn_keras",
        "ssd_resnet101_v1_fpn_keras",
        "ssd_resnet152_v1_fpn_keras",
        *(f"ssd_efficientnet-b{number}_bifpn_keras" for number in range(8)),
    ),
    "faster_rcnn": (
        "faster_rcnn_resnet50_keras",
        "faster_rcnn_resnet101_keras",
        "faster_rcnn_resnet152_keras",
        "faster_rcnn_inception_resnet_v2_keras",
        "faster_rcnn_resnet50_fpn_keras",
        "faster_rcnn_resnet101_fpn_keras",
        "faster_rcnn_resnet152_fpn_keras",
    ),
    "center_net": (
        "resnet_v2_50",
        "resnet_v2_101",
        "resnet_v1_18_fpn",
        "resnet_v1_34_fpn",
        "resnet_v1_50_fpn",
        "resnet_v1_101_fpn",
        "hourglass_10",
        "hourglass_20",
        "hourglass_32",
        "hourglass_52",
        "hourglass_104",
        "mobilenet_v2",
        "mobilenet_v2_fpn",
        "mobilenet_v2_fpn_sep_conv",
    ),
}
# TensorFlow 1's, that have no equal on TensorFlow 2: the nearest there is. All others only got a `_keras` at the end.
NEAREST = {
    "ssd_inception_v2": "ssd_mobilenet_v2_fpn_keras",
    "ssd_inception_v3": "ssd_resnet50_v1_fpn_keras",
    "ssd_mobilenet_v1_ppn": "ssd_mobilenet_v1_fpn_keras",
    "ssd_mobilenet_v2_mnasfpn": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_v3_large": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobilenet_v3_small": "ssd_mobilenet_v2_keras",
    "ssd_mobilenet_edgetpu": "ssd_mobilenet_v2_keras",
    "ssd_resnet50_v1_ppn": "ssd_resnet50_v1_fpn_keras",
    "ssd_resnet101_v1_ppn": "ssd_resnet101_v1_fpn_keras",
    "ssd_resnet152_v1_ppn": "ssd_resnet152_v1_fpn_keras",
    "embedded_ssd_mobilenet_v1": "ssd_mobilenet_v1_keras",
    "ssd_pnasnet": "ssd_resnet101_v1_fpn_keras",
    "ssd_mobiledet_cpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_dsp": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_edgetpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_mobiledet_gpu": "ssd_mobilenet_v2_fpn_keras",
    "ssd_spaghettinet": "ssd_mobilenet_v2_fpn_keras",
    "faster_rcnn_nas": "faster_rcnn_inception_resnet_v2_keras",
    "faster_rcnn_pnas": "faster_rcnn_inception_resnet_v2_keras",
    "faster_rcnn_inception_v2": "faster_rcnn_resnet50_keras",
}


def find_extractor_faults(family: str, extractor: Message) -> list[str]:
    """Why a model of `family` ("ssd", "faster_rcnn" or "center_net") can't be built with `extractor`, the message
    feature_extractor of its config: texts."""
    name, own = extractor.type, KNOWN[family]
    start = f"feature_extractor's type {name}"
    if name in own:
        return _find_pyramid_faults(extractor, start, own)
    if f"{name}_keras" in own:
        with_fpn = f"{name}_fpn_keras"
        if family == "ssd" and extractor.HasField("fpn") and with_fpn in own:
            return [
                f"{start} is TensorFlow 1's; write {with_fpn}, since there is an fpn below it, or {name}_keras without"
            ]
        return [f"{start} is TensorFlow 1's; write {name}_keras"]
    if name in NEAREST:
        return [
            f"{start} is TensorFlow 1's, and there is none like it on TensorFlow 2; start from a config with "
            f"{NEAREST[name]}, the nearest there is"
        ]
    for other, names in KNOWN.items():
        if name in names:
            return [f"{start} is {FAMILIES[other]}'s, and the model is {FAMILIES[family]}; take one of its own"]
    if not name:
        return [f"feature_extractor has no type; write one of {', '.join(own)}"]
    near = difflib.get_close_matches(name, own, 1)
    return [f"{start} is not known; " + (f"did you mean {near[0]}?" if near else f"write one of {', '.join(own)}")]


def _find_pyramid_faults(extractor, start, own):
    """An fpn or a bifpn that an extractor of a known type does not take: texts."""
    faults = []
    for field in ("fpn", "bifpn"):
        there = field in extractor.DESCRIPTOR.fields_by_name and extractor.HasField(field)
        if there and f"_{field}_" not in extractor.type:
            other = extractor.type.replace("_keras", f"_{field}_keras")
            advice = f"take it out, or write {other}" if other in own else "take it out"
            faults.append(f"{start} takes no {field}, and there is one; {advice}")
    return faults
