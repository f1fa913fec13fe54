"""What an evaluation found, as arrays: the images, their ground truth, and a detector's detections.

Two files in COCO's own formats store it: ground_truth.json (a data set) and detections.json (a list of results), which
pycocotools and other tools also read. Boxes in them are `[x, y, width, height]` in pixels.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from tfod.data import tfrecord
from tfod.data.images import decode_image, read_workable
from tfod.utils.console import InputError
from tfod.utils.files import is_file, parse_json, write_text

GROUND_TRUTH, DETECTIONS = "ground_truth.json", "detections.json"


class Image(NamedTuple):
    """An image of the evaluation. `path` is a photo, or a TFRecord file of which it is record `number` (from 0)."""

    name: str
    width: int
    height: int
    path: str
    number: int = -1


class GroundTruth(NamedTuple):
    """T ground truth boxes, sorted by image.

    image: int64 [T], index into the list of images
    label: int64 [T], class id
    box: float64 [T, 4], `[ymin, xmin, ymax, xmax]` in pixels of the upright image
    crowd: bool [T], a box around many objects (Open Images: group of), which COCO does not count
    difficult: bool [T], which Pascal VOC does not count
    """

    image: np.ndarray
    label: np.ndarray
    box: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray


class DetectedBoxes(NamedTuple):
    """D detections, sorted by image, best first within one; as `GroundTruth`, and `score`: float64 [D], 0 to 1."""

    image: np.ndarray
    label: np.ndarray
    box: np.ndarray
    score: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What an evaluation found in its images; `names` is a dict class id -> name."""

    names: dict[int, str]
    images: list[Image]
    ground_truth: GroundTruth
    detections: DetectedBoxes


def make_ground_truth(image=(), label=(), box=(), crowd=None, difficult=None) -> GroundTruth:
    """`GroundTruth` of anything that numpy takes; crowd and difficult are False by default."""
    image = np.asarray(image, np.int64)
    flags = [np.zeros(len(image), bool) if one is None else np.asarray(one, bool) for one in (crowd, difficult)]
    return GroundTruth(image, np.asarray(label, np.int64), np.asarray(box, np.float64).reshape(-1, 4), *flags)


def make_detections(image=(), label=(), box=(), score=()) -> DetectedBoxes:
    """`DetectedBoxes` of anything that numpy takes, sorted."""
    image, score = np.asarray(image, np.int64), np.asarray(score, np.float64)
    order = np.lexsort((-score, image))
    box = np.asarray(box, np.float64).reshape(-1, 4)
    return DetectedBoxes(image[order], np.asarray(label, np.int64)[order], box[order], score[order])


def write_evaluated(folder: Path, evaluated: Evaluated) -> None:
    """Writes ground_truth.json and detections.json into `folder`; image ids count from 1."""
    folder = Path(folder)
    ground_truth, detections = evaluated.ground_truth, evaluated.detections
    data = {
        "info": {"description": "bbox: [x, y, width, height] in pixels of the upright image"},
        "images": [
            {"id": i, "file_name": one.name, "width": one.width, "height": one.height, "path": one.path}
            | ({"record": one.number} if one.number >= 0 else {})
            for i, one in enumerate(evaluated.images, 1)
        ],
        "annotations": [
            {"id": i, "image_id": image + 1, "category_id": label, "bbox": box, "area": box[2] * box[3]}
            | {"iscrowd": int(crowd), "difficult": int(difficult)}
            for i, (image, label, box, crowd, difficult) in enumerate(
                zip(
                    ground_truth.image.tolist(),
                    ground_truth.label.tolist(),
                    to_coco_boxes(ground_truth.box).tolist(),
                    *ground_truth[3:],
                    strict=True,
                ),
                1,
            )
        ],
        "categories": [{"id": number, "name": name} for number, name in sorted(evaluated.names.items())],
    }
    results = (  # not a list: half a million dicts are 200 MB
        {"image_id": image + 1, "category_id": label, "bbox": box, "score": score}
        for image, label, box, score in zip(
            detections.image.tolist(),
            detections.label.tolist(),
            to_coco_boxes(detections.box).tolist(),
            detections.score.tolist(),
            strict=True,
        )
    )
    write_text(folder / GROUND_TRUTH, json.dumps(data, ensure_ascii=False) + "\n")
    write_text(folder / DETECTIONS, "[" + ",\n".join(map(json.dumps, results)) + "]\n")


def to_coco_boxes(box: np.ndarray) -> np.ndarray:
    """Boxes float64 [N, 4], `[ymin, xmin, ymax, xmax]`, as `[x, y, width, height]`."""
    ymin, xmin, ymax, xmax = box.T
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], 1)


def read_evaluated(folder: Path) -> Evaluated:
    """What `write_evaluated` wrote, as `Evaluated`. Raises InputError where it is missing or something else."""
    folder = Path(folder)
    data, results = (read_json(folder / name) for name in (GROUND_TRUTH, DETECTIONS))
    try:
        numbers = {image["id"]: index for index, image in enumerate(data["images"])}
        images = [
            Image(one["file_name"], one["width"], one["height"], one["path"], one.get("record", -1))
            for one in data["images"]
        ]
        ground_truth = sorted(data["annotations"], key=lambda one: numbers[one["image_id"]])
        return Evaluated(
            {one["id"]: one["name"] for one in data["categories"]},
            images,
            make_ground_truth(
                *_read_columns(ground_truth, numbers),
                [one["iscrowd"] for one in ground_truth],
                [one.get("difficult", 0) for one in ground_truth],
            ),
            make_detections(*_read_columns(results, numbers), [one["score"] for one in results]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = f"{folder}: {GROUND_TRUTH} and {DETECTIONS} do not belong together ({error!r}); `make eval` makes them"
        raise InputError(what) from None


def _read_columns(entries, numbers):
    box = np.array([one["bbox"] for one in entries], np.float64).reshape(-1, 4)
    x, y, width, height = box.T
    box = np.stack([y, x, y + height, x + width], 1)
    return [numbers[one["image_id"]] for one in entries], [one["category_id"] for one in entries], box


def read_json(path: Path):
    """What a JSON file of an evaluation holds. Raises InputError where it can't be read."""
    path = Path(path)
    if path.exists() and not is_file(path):
        raise InputError(f"{path}: is not a file; move it away, and `make eval` makes one")
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}); `make eval` makes it again") from None


def load_photo(image: Image) -> PIL.Image.Image:
    """The pixels of an `Image`, as a PIL image, RGB, upright. Raises InputError where it is gone."""
    if image.number < 0:
        return read_workable(image.path)[0]
    try:
        with Path(image.path).open("rb") as file:
            for number, start, stop in tfrecord.find_records(image.path):
                if number == image.number:
                    features = tfrecord.parse_example(tfrecord.read_record(file, image.path, number, start, stop))
                    return decode_image(image.name, features["image/encoded"][0])[0]
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{image.path}: record {image.number + 1} can't be read ({error}); make eval again") from None
    raise InputError(f"{image.path}: no longer has a record {image.number + 1}; make eval again")
