"""Which detection finds which ground truth box, by COCO's rules, for all images and classes at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfod.evaluation.results import Evaluated, to_coco_boxes

MOST = 100  # detections of an image and class that COCO counts


class Pairs(NamedTuple):
    """P pairs of a detection and a ground truth box of one image, sorted by detection, IoU, object.

    detection, target: int64 [P], indexes of the detection and of the object
    iou: float64 [P], their IoU; with a crowd, the share of the detection that is inside of it
    """

    detection: np.ndarray
    target: np.ndarray
    iou: np.ndarray


def rank_in_groups(group: np.ndarray) -> np.ndarray:
    """int64 [N]: how many entries before it have the same number in `group`, int [N]."""
    order = np.argsort(group, kind="stable")
    ordered = np.asarray(group)[order]
    fresh = np.append(True, ordered[1:] != ordered[:-1]) if len(ordered) else np.zeros(0, bool)
    starts = np.flatnonzero(fresh)
    rank = np.empty(len(ordered), np.int64)
    rank[order] = np.arange(len(ordered)) - starts[np.cumsum(fresh) - 1]
    return rank


def group_by_class(evaluated: Evaluated) -> np.ndarray:
    """int64 [D]: a number for the image and class of each detection of an `Evaluated`."""
    detections = evaluated.detections
    labels, number = np.unique(detections.label, return_inverse=True)
    return detections.image * max(1, len(labels)) + number


def find_counted(evaluated: Evaluated) -> tuple[np.ndarray, np.ndarray]:
    """(bool [D], bool [T]): the detections and objects of an `Evaluated` that COCO looks at.

    Boxes of classes that `names` lacks are left out, as upstream does, and so are all but the 100 best detections of an
    image and class.
    """
    known = np.array(sorted(evaluated.names), np.int64)
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    counted = np.isin(detections.label, known) & (rank_in_groups(group_by_class(evaluated)) < MOST)
    return counted, np.isin(ground_truth.label, known)


def find_pairs(evaluated: Evaluated, least: float) -> Pairs:
    """`Pairs` of what `find_counted` leaves, of any class, with an IoU (pycocotools' own) of at least `least`."""
    from pycocotools import mask

    counted, known = (np.flatnonzero(one) for one in find_counted(evaluated))
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    detection_box, object_box = to_coco_boxes(detections.box[counted]), to_coco_boxes(ground_truth.box[known])
    crowd = ground_truth.crowd[known].astype(np.uint8)
    edges = np.arange(len(evaluated.images) + 1)
    detection_edges = np.searchsorted(detections.image[counted], edges).tolist()
    object_edges = np.searchsorted(ground_truth.image[known], edges).tolist()
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for i in range(len(evaluated.images)):
        (a, b), (c, d) = detection_edges[i : i + 2], object_edges[i : i + 2]
        if a < b and c < d:
            iou = mask.iou(detection_box[a:b], object_box[c:d], crowd[c:d])
            rows, columns = np.nonzero(iou >= least)
            parts.append((rows + a, columns + c, iou[rows, columns]))
    rows, columns, iou = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((columns, iou, rows))
    return Pairs(counted[rows[order]], known[columns[order]], iou[order])


def keep_pairs(pairs: Pairs, mask: np.ndarray) -> Pairs:
    """The `Pairs` where `mask`, bool [P], is True."""
    return Pairs(*(one[mask] for one in pairs))


def match_pairs(
    pairs: Pairs, group: np.ndarray, thresholds: Sequence[float], ignored: np.ndarray, crowd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """COCO's matching, for L IoU thresholds and A ways to ignore objects at once: (int64 [N], int32 [L, A, N]).

    The first are the N detections that occur in `pairs`; the second the object that each of them found, or -1.

    Detections of one `group` (int [D]) choose one after the other, in the order of their index. Each takes the object
    with the largest IoU, from the threshold on, that none took before; of equal ones the last. One that is `ignored`
    (bool [A, T]) is taken only where no other is left; one that is a `crowd` (bool [T]) may be taken again.
    """
    rows, row = np.unique(pairs.detection, return_inverse=True)
    rank = rank_in_groups(group[rows])
    order = np.argsort(rank[row], kind="stable")
    edges = np.searchsorted(rank[row][order], np.arange(rank.max(initial=-1) + 2))
    thresholds = np.asarray(thresholds, np.float64)[:, None, None]
    taken = np.zeros((len(thresholds), *ignored.shape), bool)
    match = np.full((len(thresholds), len(ignored), len(rows)), -1, np.int32)
    for start, stop in zip(edges[:-1], edges[1:], strict=True):  # the best of every group, the second best, ...
        some = order[start:stop]
        target, here, number = pairs.target[some], row[some], len(some)
        able = (pairs.iou[some] >= thresholds) & (crowd[target] | ~taken[:, :, target])
        # a pair's value is its place in the order of IoU; what is not ignored comes before all that is
        value = np.arange(number, dtype=np.int32) + np.where(ignored[:, target], 0, number).astype(np.int32)
        starts = np.flatnonzero(np.append(True, here[1:] != here[:-1]))
        best = np.maximum.reduceat(np.where(able, value, np.int32(-1)), starts, axis=2)
        choice = np.where(best < 0, -1, target[best % number])
        match[:, :, here[starts]] = choice
        level, way, place = np.nonzero(choice >= 0)
        taken[level, way, choice[level, way, place]] = True
    return rows, match
