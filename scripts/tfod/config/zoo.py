"""The catalogue of the TF2 Detection Zoo, detectors trained on COCO 2017. The facts are in zoo.csv.

A field that is empty there is not known. Its columns, and where they are from:

    name, release    of the .tar.gz; `release`, a day, is a part of its address
    family           what the zoo's page and the model's config call it; ExtremeNet is a checkpoint alone
    input, resizer   HEIGHTxWIDTH that the config resizes to, which is not always the one in the name. fixed_shape
                     stretches a photo to it; keep_aspect_ratio does not, and pads what is left over (800x1333: short
                     side 800 at most, long side 1333 at most)
    ms, map          milliseconds an image and COCO mAP of the boxes in percent, as the zoo's page states them
    second_map       the page's second number: mAP of `outputs`' keypoints or masks. (For the small CenterNet with
                     keypoints it has one number only, too high for that network's boxes, so it is kept here.)
    bytes, sha256    of the .tar.gz. The sizes are those in logs of downloads and in the list of another project
                     (FiftyOne) that downloads from the same addresses; sums are found nowhere
    batch, learning_rate   images a step, and the highest learning rate, of the config in the .tar.gz. Where only that
                     of the same network in upstream's configs/tf2 could be read, it is that one's; the two differ for
                     ssd_mobilenet_v2_320x320 (0.8 in the .tar.gz, 0.08 in configs/tf2 today)
    fine_tune_type   what fine_tune_checkpoint_type has to be, to train it on other classes. (CenterNet's configs call
                     it fine_tune; the OD API has since taken that name out, and detection does what it did.)
"""

import csv
from pathlib import Path
from typing import NamedTuple

HOME = "https://download.tensorflow.org/models/object_detection/tf2"
TFLITE_FAMILIES = ("SSD", "RetinaNet", "EfficientDet", "CenterNet")


class Model(NamedTuple):
    """One line of zoo.csv; numbers that are not known are None, texts are empty."""

    name: str
    release: str
    family: str
    input: str
    resizer: str
    ms: float | None
    map: float | None
    second_map: float | None
    outputs: str
    bytes: int | None
    sha256: str
    batch: int | None
    learning_rate: float | None
    fine_tune_type: str


def read_zoo(path: str | Path) -> dict[str, Model]:
    """The models of a file like zoo.csv, as a dict name -> `Model`."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for field in ("ms", "map", "second_map", "learning_rate"):
            row[field] = float(row[field]) if row[field] else None
        for field in ("bytes", "batch"):
            row[field] = int(row[field]) if row[field] else None
    return {row["name"]: Model(**row) for row in rows}


MODELS = read_zoo(Path(__file__).with_name("zoo.csv"))


def get_address(name: str, mirror: str = HOME) -> str:
    """The address of a model's .tar.gz in the zoo or in a copy of it. Raises KeyError if the zoo has no such model."""
    return f"{mirror.rstrip('/')}/{MODELS[name].release}/{name}.tar.gz"


def find_kin(family: str, extractor: str) -> list[Model]:
    """The models of the zoo with the network of a config: `family` is "ssd" and so on, `extractor` its type."""
    if family == "center_net":
        small = "mobilenet" in extractor
        return [one for one in MODELS.values() if one.family == "CenterNet" and ("mobilenet" in one.name) == small]
    stem = extractor.removesuffix("_keras").removesuffix("_bifpn").replace("ssd_efficientnet-b", "efficientdet_d")
    return [one for one in MODELS.values() if stem and one.name.startswith(stem) and one.batch]


def describe_tflite(model: Model) -> str:
    """Whether `model` can be a TFLite file, as `tfod.config.checks` decides it: "yes", "if resized" or "no".

    "if resized" needs a fixed_shape_resizer in its config in place of the keep_aspect_ratio_resizer.
    """
    if model.family not in TFLITE_FAMILIES:
        return "no"
    return "yes" if model.resizer == "fixed_shape" else "if resized"
