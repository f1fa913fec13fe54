"""Curves, thresholds and tables that describe how a detector behaves.

Detections are matched as in `tfod.evaluation.tide`: at an IoU of 0.5, by COCO's rules. `errors` is always what its
`find_errors` returns, and is computed where it is not given. `thresholds` is a dict class id -> score threshold.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfod.evaluation import matching
from tfod.evaluation.results import Evaluated, to_coco_boxes
from tfod.evaluation.tide import (
    CORRECT,
    DEFAULT_THRESHOLD,
    FOREGROUND_IOU,
    KINDS,
    MISSED,
    Errors,
    count_objects,
    find_confident,
    find_errors,
    find_missed,
)

SIZE_EDGES = (0, 8, 16, 32, 64, 96, 128, 192, 256, np.inf)  # pixels; COCO's small ends at 32, its medium at 96


class Curve(NamedTuple):
    """One class.

    precision, recall, score, f1: float64 [N], of its N counted detections, best first: their values with
    all detections down to that one, 0 to 1; detections with equal scores share their values

    threshold: the score with the best F1
    best_precision, best_recall, best_f1: the values at the threshold
    objects: number of its objects, crowds not counted

    Where no score gives an F1 above 0, the threshold is `DEFAULT_THRESHOLD`, and the three are 0, or -1 for a class
    without objects, of which also `recall` and `f1` are -1.
    """

    precision: np.ndarray
    recall: np.ndarray
    score: np.ndarray
    f1: np.ndarray
    threshold: float
    best_precision: float
    best_recall: float
    best_f1: float
    objects: int


class Calibration(NamedTuple):
    """edges: float64 [B + 1], limits of the bins of scores; mean_score and share_correct: float64 [B], nan in a bin
    without detections; count: int64 [B]; error: the mean distance of the two, each detection counting one (the expected
    calibration error), nan where there are no detections."""

    edges: np.ndarray
    mean_score: np.ndarray
    share_correct: np.ndarray
    count: np.ndarray
    error: float


class SizeRow(NamedTuple):
    """Objects with a side (root of the area) from `low` to below `high` pixels, and how many of them are found."""

    low: float
    high: float
    objects: int
    found: int
    missed: int


def measure_curves(evaluated: Evaluated, errors: Errors | None = None) -> dict[int, Curve]:
    """dict class id -> `Curve`, for every class, sorted."""
    errors = errors or find_errors(evaluated)
    detections = evaluated.detections
    order = np.flatnonzero(errors.kind >= 0)
    order = order[np.lexsort((-detections.score[order], detections.label[order]))]
    curves = {}
    for number, objects in count_objects(evaluated).items():
        mine = order[slice(*np.searchsorted(detections.label[order], [number, number + 1]))]
        curves[number] = _measure_curve(detections.score[mine], errors.kind[mine] == CORRECT, objects)
    return curves


def _measure_curve(score, right, objects):
    last = np.searchsorted(-score, -score, side="right") - 1  # no threshold comes between equal scores
    correct, taken = np.cumsum(right)[last], last + 1.0
    precision = correct / taken
    if objects == 0:
        none = np.full(len(score), -1.0)
        return Curve(precision, none, score, none, DEFAULT_THRESHOLD, -1.0, -1.0, -1.0, 0)
    recall, f1 = correct / objects, 2 * correct / (taken + objects)
    if not right.any():
        return Curve(precision, recall, score, f1, DEFAULT_THRESHOLD, 0.0, 0.0, 0.0, objects)
    best = int(f1.argmax())
    values = (float(one[best]) for one in (score, precision, recall, f1))
    return Curve(precision, recall, score, f1, *values, objects)


def count_confusions(evaluated: Evaluated, thresholds: dict[int, float], errors: Errors | None = None) -> np.ndarray:
    """int64 [C + 1, C + 1]: how many objects of each class were detected as which class.

    Rows are the objects' classes, sorted by id, and background; columns the detections' classes, and missed.

    Every object is in one cell of its row, every detection with the score of its class in one of its column: a correct
    one with its object; then, best first, one with the object of another class that it has the largest IoU with, 0.5 at
    least, of those that are left. The rest are detections of background (also duplicates and localization errors), and
    missed objects.
    """
    errors = errors or find_errors(evaluated)
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    confident = find_confident(evaluated, errors, thresholds)
    missed = find_missed(evaluated, errors, confident)
    partner = np.where(confident & (errors.kind == CORRECT), errors.target, -1)
    pairs = matching.find_pairs(evaluated, FOREGROUND_IOU)
    pairs = matching.keep_pairs(pairs, missed[pairs.target] & (confident & (partner < 0))[pairs.detection])
    none = np.zeros(len(ground_truth.label), bool)
    rows, match = matching.match_pairs(pairs, detections.image, [FOREGROUND_IOU], none[None], none)
    partner[rows] = match[0, 0]
    left = missed.copy()
    left[partner[partner >= 0]] = False

    classes = np.array(sorted(evaluated.names), np.int64)
    count = len(classes) + 1
    row = np.append(np.searchsorted(classes, ground_truth.label), count - 1)
    column = np.searchsorted(classes, detections.label)
    cells = np.concatenate([(row[partner] * count + column)[confident], row[:-1][left] * count + count - 1])
    return np.bincount(cells, minlength=count * count).reshape(count, count)


def measure_calibration(evaluated: Evaluated, bins: int = 10, errors: Errors | None = None) -> Calibration:
    """`Calibration` in `bins` bins of the same width: what share of the detections with a score is correct?"""
    errors = errors or find_errors(evaluated)
    counted = errors.kind >= 0
    score, right = evaluated.detections.score[counted], errors.kind[counted] == CORRECT
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the nan that is wanted
        means = [np.bincount(place, weights=one, minlength=bins) / count for one in (score, right)]
        error = np.nansum(count * np.abs(means[0] - means[1])) / np.float64(len(score))
    return Calibration(edges, *means, count, float(error))


def rank_images(evaluated: Evaluated, errors: Errors, thresholds: dict[int, float]) -> list[tuple[int, float, dict]]:
    """List of (index of the image, badness, dict kind -> count), worst first; of equal ones, the first image first.

    Badness is the number of missed objects plus the scores of the wrong detections: an error that the detector is sure
    of is worse. A localization or classification error counts twice: its object is missed, too. The counts are
    those of `count_kinds`.
    """
    images, kinds = len(evaluated.images), len(KINDS)
    detections = evaluated.detections
    confident = find_confident(evaluated, errors, thresholds)
    missed = np.bincount(evaluated.ground_truth.image[find_missed(evaluated, errors, confident)], minlength=images)
    counts = np.bincount(detections.image[confident] * kinds + errors.kind[confident], minlength=images * kinds)
    counts = counts.reshape(images, kinds)
    counts[:, MISSED] = missed
    wrong = confident & (errors.kind != CORRECT)
    badness = missed + np.bincount(detections.image[wrong], weights=detections.score[wrong], minlength=images)
    order = np.argsort(-badness, kind="stable")
    rows = zip(order.tolist(), badness[order].tolist(), counts[order].tolist(), strict=True)
    return [(index, value, dict(zip(KINDS, row, strict=True))) for index, value, row in rows]


def measure_sizes(
    evaluated: Evaluated, errors: Errors, thresholds: dict[int, float], scale: Callable[[int, int], tuple[float, float]]
) -> list[SizeRow]:
    """List of `SizeRow`, from the smallest to the largest objects (no crowds), at the size that the model sees.

    `scale(width, height)` gives the (x, y) factors by which the model changes an image of that size.
    """
    ground_truth, images = evaluated.ground_truth, evaluated.images
    missed = find_missed(evaluated, errors, find_confident(evaluated, errors, thresholds))
    real = matching.find_counted(evaluated)[1] & ~ground_truth.crowd
    factors = {size: scale(*size) for size in {(image.width, image.height) for image in images}}
    factor = np.array([np.prod(factors[image.width, image.height]) for image in images], np.float64)
    area = np.prod(to_coco_boxes(ground_truth.box)[:, 2:], 1) * factor[ground_truth.image]
    place = np.searchsorted(SIZE_EDGES, np.sqrt(np.maximum(area, 0)), side="right") - 1
    total, lost = (np.bincount(place[mask], minlength=len(SIZE_EDGES) - 1) for mask in (real, real & missed))
    there = np.flatnonzero(total)
    if not len(there):
        return []
    return [
        SizeRow(SIZE_EDGES[i], SIZE_EDGES[i + 1], int(total[i]), int(total[i] - lost[i]), int(lost[i]))
        for i in range(there[0], there[-1] + 1)
    ]
