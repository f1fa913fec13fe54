"""Middle module: which detection is right at which IoU, as COCO pairs detections with ground truth."""

import contextlib
import io
from typing import NamedTuple

import numpy as np

COCO_IOUS = np.linspace(0.5, 0.95, 10)


class Matches(NamedTuple):
    """One class's detections, best first, equal scores in the order of the images, at most 100 of an image.

    image: int64 [D], index into the list of images
    score: float64 [D]
    correct: bool [T, D], paired with an object at each of T IoUs
    ignored: bool [T, D], paired with a crowd, and not counted
    truths: int64 [images], the number of objects (without crowds) in each image
    """

    image: np.ndarray
    score: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


def match_detections(evaluated, ious=COCO_IOUS):
    """Dict class id -> `Matches` of `Evaluated`, by pycocotools itself, for every class of the label map."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = _run_pycocotools(evaluated, ious)
    count = len(evaluated.images)
    found = {}
    for number, label in enumerate(sorted(evaluated.names)):
        entries = coco.evalImgs[number * count : (number + 1) * count]
        entries = [(image, one) for image, one in enumerate(entries) if one is not None]
        image = np.array([image for image, one in entries for _ in one["dtScores"]], np.int64)
        score = np.array([score for _, one in entries for score in one["dtScores"]], np.float64)
        nothing = np.zeros((len(ious), 0), bool)
        correct = np.concatenate([nothing, *(one["dtMatches"] > 0 for _, one in entries)], axis=1)
        ignored = np.concatenate([nothing, *(one["dtIgnore"].astype(bool) for _, one in entries)], axis=1)
        truths = np.zeros(count, np.int64)
        for index, one in entries:
            truths[index] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
        order = np.argsort(-score, kind="stable")
        correct &= ~ignored
        found[label] = Matches(image[order], score[order], correct[:, order], ignored[:, order], truths)
    return found


def _run_pycocotools(evaluated, ious):
    """pycocotools' COCOeval of one area, all, after its evaluate()."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = [{"id": index} for index in range(len(evaluated.images))]
    categories = [{"id": label} for label in evaluated.names]
    sides = []
    for boxes in (evaluated.truths, evaluated.detections):
        extents = boxes.box[:, 2:] - boxes.box[:, :2]
        corners = np.concatenate([boxes.box[:, 1::-1], extents[:, ::-1]], axis=1).tolist()
        columns = zip(boxes.image.tolist(), boxes.label.tolist(), corners, extents.prod(axis=1).tolist(), strict=True)
        side = COCO()
        side.dataset = {"images": images, "categories": categories}
        side.dataset["annotations"] = [
            {"id": number, "image_id": image, "category_id": label, "bbox": box, "area": area, "iscrowd": 0}
            for number, (image, label, box, area) in enumerate(columns, start=1)
        ]
        sides.append(side)
    truths, found = sides
    for one, crowd in zip(truths.dataset["annotations"], evaluated.truths.crowd.tolist(), strict=True):
        one["iscrowd"] = int(crowd)
    for one, score in zip(found.dataset["annotations"], evaluated.detections.score.tolist(), strict=True):
        one["score"] = score
    for side in sides:
        side.createIndex()
    coco = COCOeval(truths, found, "bbox")
    coco.params.iouThrs = np.asarray(ious)
    coco.params.areaRng, coco.params.areaRngLbl = coco.params.areaRng[:1], ["all"]
    coco.params.imgIds, coco.params.catIds = list(range(len(images))), sorted(evaluated.names)
    coco.evaluate()
    return coco
