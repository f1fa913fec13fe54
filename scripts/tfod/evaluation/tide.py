"""What is wrong with each detection, which objects nothing found, and what each kind of error costs.

The kinds and their costs are those of TIDE: D. Bolya, S. Foley, J. Hays, J. Hoffman, "TIDE: A General Toolbox for
Identifying Object Detection Errors", ECCV 2020, https://arxiv.org/abs/2008.08115. Detections are matched at an IoU of
0.5 by COCO's rules (`tfod.evaluation.matching`). One that found no truth is, the first that is true of:

- poorly placed: its largest IoU with a truth of its class is in [0.1, 0.5)
- wrong class: its largest IoU with a truth of another class is 0.5 at least
- duplicate: it has an IoU of 0.5 at least with a truth of its class, which a better detection has found
- background: its IoU with every truth is below 0.1
- both: what is left, an IoU in [0.1, 0.5) with a truth of another class: wrong class and poorly placed

A truth is missed if no detection is correct, poorly placed or of the wrong class there.

Two things differ from TIDE's program: a limit belongs to the kind above it (an IoU of 0.5 is never poorly placed), and
mAP is COCO's, a mean over the classes that have truths.
"""

from typing import NamedTuple

import numpy as np

from tfod.evaluation import matching

KINDS = ("correct", "wrong class", "poorly placed", "both", "duplicate", "background", "missed")
CORRECT, WRONG_CLASS, POORLY_PLACED, BOTH, DUPLICATE, BACKGROUND, MISSED = range(len(KINDS))
FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.1
DEFAULT_THRESHOLD = 0.5  # where nothing can be recommended
RECALLS = np.linspace(0, 1, 101)  # COCO's


class Errors(NamedTuple):
    """What every detection and every missed truth is.

    kind: int8 [D], index into `KINDS`; -1: not counted (beyond the 100 best of its image and class, in a crowd, or of a
    class that `names` does not have)
    truth: int64 [D], index of the truth it is compared with: the one it found, or the one with the largest IoU (of its
    class where it is poorly placed or a duplicate, else of another); -1 for background and for what is not counted
    missed: int64 [M], indexes of the missed truths
    iou: float64 [D], IoU with `truth`, 0 where there is none
    """

    kind: np.ndarray
    truth: np.ndarray
    missed: np.ndarray
    iou: np.ndarray


def find_errors(evaluated):
    """`Errors` of an `Evaluated`."""
    found, truths = evaluated.detections, evaluated.truths
    counted, known = matching.find_counted(evaluated)
    pairs = matching.find_pairs(evaluated, BACKGROUND_IOU)
    same = found.label[pairs.found] == truths.label[pairs.truth]
    near = matching.keep_pairs(pairs, same & (pairs.iou >= FOREGROUND_IOU))
    group = matching.group_by_class(evaluated)
    rows, match = matching.match_pairs(near, group, [FOREGROUND_IOU], truths.crowd[None], truths.crowd)

    matched = np.full(len(found.score), -1)
    matched[rows] = match[0, 0]
    in_crowd = np.append(truths.crowd, False)[matched]
    hit = matching.keep_pairs(near, matched[near.found] == near.truth)
    real = ~truths.crowd[pairs.truth]
    _, hit_iou = _find_best(hit, len(found.score))
    same_truth, same_iou = _find_best(matching.keep_pairs(pairs, same & real), len(found.score))
    other_truth, other_iou = _find_best(matching.keep_pairs(pairs, ~same & real), len(found.score))

    kind = np.full(len(found.score), BACKGROUND, np.int8)
    kind[other_iou >= BACKGROUND_IOU] = BOTH  # a later line outdoes an earlier one
    kind[same_iou >= FOREGROUND_IOU] = DUPLICATE
    kind[other_iou >= FOREGROUND_IOU] = WRONG_CLASS
    kind[(same_iou >= BACKGROUND_IOU) & (same_iou < FOREGROUND_IOU)] = POORLY_PLACED
    kind[matched >= 0] = CORRECT
    kind[in_crowd | ~counted] = -1

    cases = [kind == CORRECT, np.isin(kind, [POORLY_PLACED, DUPLICATE]), np.isin(kind, [WRONG_CLASS, BOTH])]
    truth = np.select(cases, [matched, same_truth, other_truth], -1)
    iou = np.select(cases, [hit_iou, same_iou, other_iou], 0.0)

    covered = np.isin(kind, [CORRECT, WRONG_CLASS, POORLY_PLACED])
    free = known & ~truths.crowd
    free[truth[covered]] = False
    return Errors(kind, truth, np.flatnonzero(free), iou)


def _find_best(pairs, number):
    """(int64 [number], float64 [number]): the truth with the largest IoU of each detection, and the IoU; -1 and 0."""
    truth, iou = np.full(number, -1), np.zeros(number)
    truth[pairs.found], iou[pairs.found] = pairs.truth, pairs.iou  # sorted by IoU: the last one stays
    return truth, iou


# ---------------------------------------------------------------- costs


def measure_costs(evaluated, errors):
    """dict kind -> mAP at IoU 0.50 (0 to 1) that would be gained if all errors of that kind were mended, one at a time.

    As TIDE does it: a detection that is poorly placed or of the wrong class becomes correct, if it is the best of all
    such detections of its truth and nothing found that one, and vanishes otherwise; both, duplicate and background
    vanish; missed truths are not asked for any more. A class with no truth left has an AP of 1: nothing is missed.
    All are 0 where there are no truths at all.
    """
    found, truths = evaluated.detections, evaluated.truths
    counts = count_truths(evaluated)
    asked = {number: count for number, count in counts.items() if count}
    right = errors.kind == CORRECT
    before = _measure_map(found.label, found.score, right, errors.kind >= 0, asked)
    best = _find_best_of_free(evaluated, errors)
    costs = {}
    for number, kind in enumerate(KINDS[1:], 1):
        mine = errors.kind == number
        mended = mine & best
        label = found.label.copy()
        label[mended] = truths.label[errors.truth[mended]]
        left = asked
        if number == MISSED:
            labels = truths.label[errors.missed]
            left = {one: count - int((labels == one).sum()) for one, count in asked.items()}
        after = _measure_map(label, found.score, right | mended, (errors.kind >= 0) & (~mine | mended), left)
        costs[kind] = after - before
    return costs


def count_truths(evaluated):
    """dict class id -> number of its truths, crowds not counted, for every class, sorted."""
    labels = evaluated.truths.label[~evaluated.truths.crowd]
    return {number: int((labels == number).sum()) for number in sorted(evaluated.names)}


def _find_best_of_free(evaluated, errors):
    """bool [D]: the detection that would find a truth that nothing found, were its class or its place right."""
    found = np.zeros(len(evaluated.truths.label), bool)
    found[errors.truth[errors.kind == CORRECT]] = True
    near = np.flatnonzero(np.isin(errors.kind, [WRONG_CLASS, POORLY_PLACED]))
    near = near[~found[errors.truth[near]]]
    _, first = np.unique(errors.truth[near], return_index=True)  # the best come first
    best = np.zeros(len(errors.kind), bool)
    best[near[first]] = True
    return best


def _measure_map(label, score, right, keep, asked):
    """Mean AP of the detections to `keep` over the classes of `asked`, dict class id -> number of truths."""
    order = np.flatnonzero(keep)
    order = order[np.lexsort((-score[order], label[order]))]
    edges = np.searchsorted(label[order], [[number, number + 1] for number in asked] or np.zeros((0, 2)))
    precisions = [
        measure_ap(right[order[start:stop]], count)
        for (start, stop), count in zip(edges.tolist(), asked.values(), strict=True)
    ]
    return float(np.mean(precisions)) if precisions else 0.0


def measure_ap(right, truths):
    """COCO's AP, a mean over 101 recalls, of detections sorted best first (bool [N], True where one is correct)."""
    if truths == 0:
        return 1.0
    correct = np.cumsum(right)
    precision = correct / (np.arange(1, len(right) + 1) + np.spacing(1))
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(correct / truths, RECALLS)
    return float(np.append(best_from_here, np.zeros(1))[np.minimum(places, len(right))].mean())


# ---------------------------------------------------------------- counts


def find_shown(evaluated, errors, thresholds):
    """bool [D]: the counted detections with the score of their class in `thresholds` (dict class id -> score)."""
    labels, number = np.unique(evaluated.detections.label, return_inverse=True)
    least = np.array([thresholds.get(one, DEFAULT_THRESHOLD) for one in labels.tolist()], np.float64)
    return (errors.kind >= 0) & (evaluated.detections.score >= least[number])


def find_missed(evaluated, errors, shown):
    """bool [T]: the truths (no crowd, of a known class) that no detection of `shown` (bool [D]) is correct for."""
    missed = matching.find_counted(evaluated)[1] & ~evaluated.truths.crowd
    missed[errors.truth[shown & (errors.kind == CORRECT)]] = False
    return missed


def count_kinds(evaluated, errors, thresholds):
    """dict kind -> count, of the detections with at least the score of their class in `thresholds`.

    Missed are here all truths without a correct detection, also where one is poorly placed or of the wrong class.
    """
    shown = find_shown(evaluated, errors, thresholds)
    counts = np.bincount(errors.kind[shown], minlength=len(KINDS))
    counts[MISSED] = find_missed(evaluated, errors, shown).sum()
    return dict(zip(KINDS, counts.tolist(), strict=True))
