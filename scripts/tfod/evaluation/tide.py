"""What is wrong with each detection, which objects were missed, and what each kind of error costs.

The kinds and their costs are those of TIDE: D. Bolya, S. Foley, J. Hays, J. Hoffman, "TIDE: A General Toolbox for
Identifying Object Detection Errors", ECCV 2020, https://arxiv.org/abs/2008.08115. Detections are matched at an IoU of
0.5 by COCO's rules (`tfod.evaluation.matching`). One that matches no object is of the first kind that holds:

- localization: its largest IoU with an object of its class is in [0.1, 0.5)
- classification: its largest IoU with an object of another class is at least 0.5
- duplicate: its IoU with an object of its class is at least 0.5, but a better detection has matched that object
- background: its IoU with every object is below 0.1
- both: the rest, with an IoU in [0.1, 0.5) with an object of another class

An object is missed if no detection of it is correct, or a classification or localization error.

Two things differ from TIDE's program: a limit belongs to the kind above it (an IoU of 0.5 is never a localization
error), and mAP is COCO's, a mean over the classes that have objects.
"""

from typing import NamedTuple

import numpy as np

from tfod.evaluation import matching
from tfod.evaluation.results import Evaluated

KINDS = ("correct", "classification", "localization", "both", "duplicate", "background", "missed")
CORRECT, CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))
FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.1
DEFAULT_THRESHOLD = 0.5  # where nothing can be recomfixed
RECALLS = np.linspace(0, 1, 101)  # COCO's


class Errors(NamedTuple):
    """What every detection and every missed object is.

    kind: int8 [D], index into `KINDS`; -1: not counted (beyond the 100 best of its image and class, in a crowd, or of a
    class that `names` does not have)
    target: int64 [D], index of the ground truth box it is compared with: its match, or the one with the largest
    IoU (of its class for localization and duplicate, else of another); -1 for background and what is not counted
    missed: int64 [M], indexes of the missed objects
    iou: float64 [D], IoU with `target`, 0 where there is none
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray
    iou: np.ndarray


def find_errors(evaluated: Evaluated) -> Errors:
    """`Errors` of an `Evaluated`."""
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    counted, known = matching.find_counted(evaluated)
    pairs = matching.find_pairs(evaluated, BACKGROUND_IOU)
    same = detections.label[pairs.detection] == ground_truth.label[pairs.target]
    near = matching.keep_pairs(pairs, same & (pairs.iou >= FOREGROUND_IOU))
    group = matching.group_by_class(evaluated)
    rows, match = matching.match_pairs(near, group, [FOREGROUND_IOU], ground_truth.crowd[None], ground_truth.crowd)

    matched = np.full(len(detections.score), -1)
    matched[rows] = match[0, 0]
    in_crowd = np.append(ground_truth.crowd, False)[matched]
    hit = matching.keep_pairs(near, matched[near.detection] == near.target)
    real = ~ground_truth.crowd[pairs.target]
    _, hit_iou = _find_best(hit, len(detections.score))
    same_target, same_iou = _find_best(matching.keep_pairs(pairs, same & real), len(detections.score))
    other_target, other_iou = _find_best(matching.keep_pairs(pairs, ~same & real), len(detections.score))

    kind = np.full(len(detections.score), BACKGROUND, np.int8)
    kind[other_iou >= BACKGROUND_IOU] = BOTH  # a later line outdoes an earlier one
    kind[same_iou >= FOREGROUND_IOU] = DUPLICATE
    kind[other_iou >= FOREGROUND_IOU] = CLASSIFICATION
    kind[(same_iou >= BACKGROUND_IOU) & (same_iou < FOREGROUND_IOU)] = LOCALIZATION
    kind[matched >= 0] = CORRECT
    kind[in_crowd | ~counted] = -1

    cases = [kind == CORRECT, np.isin(kind, [LOCALIZATION, DUPLICATE]), np.isin(kind, [CLASSIFICATION, BOTH])]
    target = np.select(cases, [matched, same_target, other_target], -1)
    iou = np.select(cases, [hit_iou, same_iou, other_iou], 0.0)

    covered = np.isin(kind, [CORRECT, CLASSIFICATION, LOCALIZATION])
    free = known & ~ground_truth.crowd
    free[target[covered]] = False
    return Errors(kind, target, np.flatnonzero(free), iou)


def _find_best(pairs, number):
    """(int64 [number], float64 [number]): the object with the largest IoU of each detection, and the IoU; -1 and 0."""
    target, iou = np.full(number, -1), np.zeros(number)
    target[pairs.detection], iou[pairs.detection] = pairs.target, pairs.iou  # sorted by IoU: the last one stays
    return target, iou


# ---------------------------------------------------------------- costs


def measure_costs(evaluated: Evaluated, errors: Errors) -> dict[str, float]:
    """dict kind -> mAP at IoU 0.50 (0 to 1) that fixing all errors of that kind, and no others, would gain.

    As TIDE does it: the best classification or localization error of an object that nothing else has matched becomes
    correct, and the others vanish; both, duplicate and background vanish; missed objects are no longer counted. A class
    with no objects left has an AP of 1. All costs are 0 where there are no objects at all.
    """
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    counts = count_objects(evaluated)
    asked = {number: count for number, count in counts.items() if count}
    right = errors.kind == CORRECT
    before = _measure_map(detections.label, detections.score, right, errors.kind >= 0, asked)
    best = _find_best_of_unmatched(evaluated, errors)
    costs = {}
    for number, kind in enumerate(KINDS[1:], 1):
        mine = errors.kind == number
        fixed = mine & best
        label = detections.label.copy()
        label[fixed] = ground_truth.label[errors.target[fixed]]
        left = asked
        if number == MISSED:
            labels = ground_truth.label[errors.missed]
            left = {one: count - int((labels == one).sum()) for one, count in asked.items()}
        after = _measure_map(label, detections.score, right | fixed, (errors.kind >= 0) & (~mine | fixed), left)
        costs[kind] = after - before
    return costs


def count_objects(evaluated: Evaluated) -> dict[int, int]:
    """dict class id -> number of its objects, crowds not counted, for every class, sorted."""
    labels = evaluated.ground_truth.label[~evaluated.ground_truth.crowd]
    return {number: int((labels == number).sum()) for number in sorted(evaluated.names)}


def _find_best_of_unmatched(evaluated, errors):
    """bool [D]: the detections that would match an object that nothing matched, were their class or location right."""
    found = np.zeros(len(evaluated.ground_truth.label), bool)
    found[errors.target[errors.kind == CORRECT]] = True
    near = np.flatnonzero(np.isin(errors.kind, [CLASSIFICATION, LOCALIZATION]))
    near = near[~found[errors.target[near]]]
    _, first = np.unique(errors.target[near], return_index=True)  # the best come first
    best = np.zeros(len(errors.kind), bool)
    best[near[first]] = True
    return best


def _measure_map(label, score, right, keep, asked):
    """Mean AP of the detections to `keep` over the classes of `asked`, dict class id -> number of objects."""
    order = np.flatnonzero(keep)
    order = order[np.lexsort((-score[order], label[order]))]
    edges = np.searchsorted(label[order], [[number, number + 1] for number in asked] or np.zeros((0, 2)))
    precisions = [
        measure_ap(right[order[start:stop]], count)
        for (start, stop), count in zip(edges.tolist(), asked.values(), strict=True)
    ]
    return float(np.mean(precisions)) if precisions else 0.0


def measure_ap(right: np.ndarray, objects: int) -> float:
    """COCO's AP, a mean over 101 recalls, of detections sorted best first (bool [N], True where one is correct)."""
    if objects == 0:
        return 1.0
    correct = np.cumsum(right)
    precision = correct / (np.arange(1, len(right) + 1) + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(correct / objects, RECALLS)
    return float(np.append(best_from_here, np.zeros(1))[np.minimum(places, len(right))].mean())


# ---------------------------------------------------------------- counts


def find_confident(evaluated: Evaluated, errors: Errors, thresholds: dict[int, float]) -> np.ndarray:
    """bool [D]: the counted detections with at least the score threshold of their class (dict class id -> score)."""
    labels, number = np.unique(evaluated.detections.label, return_inverse=True)
    least = np.array([thresholds.get(one, DEFAULT_THRESHOLD) for one in labels.tolist()], np.float64)
    return (errors.kind >= 0) & (evaluated.detections.score >= least[number])


def find_missed(evaluated: Evaluated, errors: Errors, confident: np.ndarray) -> np.ndarray:
    """bool [T]: the objects (no crowds, of known classes) without a correct detection among `confident`, bool [D]."""
    missed = matching.find_counted(evaluated)[1] & ~evaluated.ground_truth.crowd
    missed[errors.target[confident & (errors.kind == CORRECT)]] = False
    return missed


def count_kinds(evaluated: Evaluated, errors: Errors, thresholds: dict[int, float]) -> dict[str, int]:
    """dict kind -> count, of the detections with at least the score of their class in `thresholds`.

    Missed are here all objects without a correct detection, also those with a classification or localization error.
    """
    confident = find_confident(evaluated, errors, thresholds)
    counts = np.bincount(errors.kind[confident], minlength=len(KINDS))
    counts[MISSED] = find_missed(evaluated, errors, confident).sum()
    return dict(zip(KINDS, counts.tolist(), strict=True))
