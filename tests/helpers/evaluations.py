"""Small evaluations for the tests: named ones, drawn ones, and what pycocotools, called directly, says of them."""

import contextlib
import io

import numpy as np
from hypothesis import strategies

from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth

NAMES = {1: "cat", 2: "dog", 5: "emu"}


def make(ground_truth=(), detections=(), images=1, names=None):
    """`Evaluated` of ground truth, rows (image, class, box, [crowd, [difficult]]), and detections, rows (image, class,
    box, score); a box is `[ymin, xmin, ymax, xmax]`, or an x alone: then it is 10 by 10 pixels, at y = 0."""
    ground_truth = sorted(((*row, False, False)[:5] for row in ground_truth), key=lambda row: row[0])
    columns = [[row[i] for row in ground_truth] for i in range(5)]
    columns[2] = [to_box(box) for box in columns[2]]
    detections = list(detections)
    found_columns = [[row[i] for row in detections] for i in range(4)]
    found_columns[2] = [to_box(box) for box in found_columns[2]]
    photos = [Image(f"{i}.jpg", 640, 480, f"images/{i}.jpg") for i in range(images)]
    return Evaluated(names or NAMES, photos, make_ground_truth(*columns), make_detections(*found_columns))


def to_box(box):
    return [0, box, 10, box + 10] if isinstance(box, (int, float)) else box


_BIG, _SMALL = [0, 0, 200, 200], [0, 0, 100, 100]
CASES = {
    "no images": make(images=0),
    "nothing in the images": make(images=3),
    "no detections": make([(0, 1, 0), (1, 2, 0)], images=2),
    "no ground truth": make(detections=[(0, 1, 0, 0.9), (1, 2, 50, 0.8)], images=2),
    "one class absent": make([(0, 1, 0)], [(0, 1, 2, 0.9), (0, 2, 0, 0.8)]),
    "crowd": make(
        [(0, 1, _BIG, True), (0, 1, 0), (1, 1, _SMALL, True)],
        [(0, 1, 2, 0.9), (0, 1, 50, 0.8), (0, 1, 100, 0.7), (0, 2, 50, 0.6), (1, 1, 500, 0.5)],
        images=2,
    ),
    "difficult": make([(0, 1, 0, False, True), (0, 1, 50, False, True)], [(0, 1, 0, 0.9), (0, 1, 300, 0.95)]),
    "perfect": make(
        [(0, 1, 0), (0, 2, 50), (1, 5, _BIG)], [(0, 1, 0, 1), (0, 2, 50, 0.4), (1, 5, _BIG, 0.7)], images=2
    ),
    "duplicated": make(
        [(0, 1, 0), (0, 1, 50)], [(0, 1, 0, 0.9), (0, 1, 0, 0.8), (0, 1, 50, 0.7), (0, 1, 51, 0.6)], images=2
    ),
    "more than 100 detections": make(
        [(0, 1, 20 * i) for i in range(130)], [(0, 1, 20 * i + i % 3, 1 - i / 200) for i in range(130)]
    ),
    "equal scores": make(
        [(0, 1, 0), (1, 1, 0), (1, 1, 4)], [(0, 1, 30, 0.5), (0, 1, 0, 0.5), (1, 1, 2, 0.5), (1, 1, 1, 0.5)], images=2
    ),
    "a class without a name": make([(0, 1, 0), (0, 9, 50)], [(0, 1, 0, 0.5), (0, 9, 50, 0.9), (0, 7, 0, 0.9)]),
    "sizes": make(
        [(0, 1, [0, 0, side, side]) for side in (16, 32, 64, 96, 200)],
        [(0, 1, [0, 0, side, side * 0.87], 0.5 + side / 1000) for side in (16, 32, 64, 96, 200)],
    ),
}


@strategies.composite
def evaluations(draw):
    """An `Evaluated` with few places and scores, so that boxes and scores are often equal."""
    images = draw(strategies.integers(1, 3))
    edges = strategies.sampled_from([0, 4, 8, 10, 20, 40, 100])
    sizes = strategies.sampled_from([1, 5, 10, 20, 50])
    box = strategies.tuples(edges, edges, sizes, sizes).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
    image, label = strategies.integers(0, images - 1), strategies.sampled_from([1, 1, 1, 2, 5, 9])
    rare = strategies.integers(0, 4).map(lambda number: number == 0)
    score = strategies.integers(0, 10).map(lambda number: number / 10)
    ground_truth = draw(strategies.lists(strategies.tuples(image, label, box, rare, rare), max_size=12))
    detections = draw(strategies.lists(strategies.tuples(image, label, box, score), max_size=20))
    return make(ground_truth, detections, images)


def run_pycocotools(evaluated, classes=None):
    """A COCOeval of pycocotools that has done everything, of dicts as COCO's files have them; ids count from 1."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ground_truth, detections = evaluated.ground_truth, evaluated.detections
    with contextlib.redirect_stdout(io.StringIO()):
        data, results = COCO(), COCO()
        frame = {
            "images": [{"id": i + 1} for i in range(len(evaluated.images))],
            "categories": [{"id": number, "name": name} for number, name in evaluated.names.items()],
        }
        data.dataset = frame | {"annotations": _list_boxes(ground_truth, iscrowd=ground_truth.crowd.astype(int))}
        results.dataset = frame | {"annotations": _list_boxes(detections, score=detections.score)}
        data.createIndex()
        results.createIndex()
        evaluation = COCOeval(data, results, "bbox")
        evaluation.params.catIds = classes or evaluation.params.catIds
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _list_boxes(boxes, **more):
    (key, values), entries = more.popitem(), []
    for i, (image, label, (top, left, bottom, right)) in enumerate(
        zip(boxes.image.tolist(), boxes.label.tolist(), boxes.box.tolist(), strict=True)
    ):
        width, height = right - left, bottom - top
        entry = {"id": i + 1, "image_id": image + 1, "category_id": label, key: values[i].item()}
        entries.append({"iscrowd": 0} | entry | {"bbox": [left, top, width, height], "area": width * height})
    return entries


def match_by_pycocotools(evaluated):
    """What pycocotools matches at an IoU of 0.5, of any size: (int64 [D] object or -1, bool [D] counted)."""
    evaluation = run_pycocotools(evaluated)
    target = np.full(len(evaluated.detections.score), -1)
    counted = np.zeros(len(target), bool)
    for entry in evaluation.evalImgs:
        if entry and entry["aRng"] == evaluation.params.areaRng[0]:
            rows = np.array(entry["dtIds"], int) - 1
            target[rows] = entry["dtMatches"][0].astype(int) - 1
            counted[rows] = ~entry["dtIgnore"][0]
    target[~counted] = -1
    return target, counted
