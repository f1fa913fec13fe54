"""Which detection finds which ground truth box, by COCO's rules, for all images and classes at once."""

from typing import NamedTuple

import numpy as np

from tfod.evaluation.results import to_coco_boxes

MOST = 100  # detections of an image and class that COCO counts


class Pairs(NamedTuple):
    """P pairs of a detection and a ground truth box of one image, sorted by detection, IoU, truth.

    found, truth: int64 [P], indexes of the detection and of the truth
    iou: float64 [P], their IoU; with a crowd, the share of the detection that is inside of it
    """

    found: np.ndarray
    truth: np.ndarray
    iou: np.ndarray


def rank_in_groups(group):
    """int64 [N]: how many entries before it have the same number in `group`, int [N]."""
    order = np.argsort(group, kind="stable")
    ordered = np.asarray(group)[order]
    fresh = np.append(True, ordered[1:] != ordered[:-1]) if len(ordered) else np.zeros(0, bool)
    starts = np.flatnonzero(fresh)
    rank = np.empty(len(ordered), np.int64)
    rank[order] = np.arange(len(ordered)) - starts[np.cumsum(fresh) - 1]
    return rank


def group_by_class(evaluated):
    """int64 [D]: a number for the image and class of each detection of an `Evaluated`."""
    found = evaluated.detections
    labels, number = np.unique(found.label, return_inverse=True)
    return found.image * max(1, len(labels)) + number


def find_counted(evaluated):
    """(bool [D], bool [T]): the detections and truths of an `Evaluated` that COCO looks at.

    What is of a class that `names` does not have is left out, as upstream does, and so are all but the 100 best
    detections of an image and class.
    """
    known = np.array(sorted(evaluated.names), np.int64)
    found, truths = evaluated.detections, evaluated.truths
    counted = np.isin(found.label, known) & (rank_in_groups(group_by_class(evaluated)) < MOST)
    return counted, np.isin(truths.label, known)


def find_pairs(evaluated, least):
    """`Pairs` of what `find_counted` leaves, of any class, with an IoU (as pycocotools has it) of `least` at least."""
    from pycocotools import mask

    counted, known = (np.flatnonzero(one) for one in find_counted(evaluated))
    found, truths = evaluated.detections, evaluated.truths
    found_box, truth_box = to_coco_boxes(found.box[counted]), to_coco_boxes(truths.box[known])
    crowd = truths.crowd[known].astype(np.uint8)
    edges = np.arange(len(evaluated.images) + 1)
    found_edges = np.searchsorted(found.image[counted], edges).tolist()
    truth_edges = np.searchsorted(truths.image[known], edges).tolist()
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for i in range(len(evaluated.images)):
        (a, b), (c, d) = found_edges[i : i + 2], truth_edges[i : i + 2]
        if a < b and c < d:
            iou = mask.iou(found_box[a:b], truth_box[c:d], crowd[c:d])
            rows, columns = np.nonzero(iou >= least)
            parts.append((rows + a, columns + c, iou[rows, columns]))
    rows, columns, iou = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((columns, iou, rows))
    return Pairs(counted[rows[order]], known[columns[order]], iou[order])


def keep_pairs(pairs, mask):
    """The `Pairs` where `mask`, bool [P], is True."""
    return Pairs(*(one[mask] for one in pairs))


def match_pairs(pairs, group, thresholds, ignored, crowd):
    """COCO's matching, for L IoU thresholds and A ways to ignore truths at once: (int64 [N], int32 [L, A, N]).

    The first are the N detections that occur in `pairs`; the second the truth that each of them found, or -1.

    Detections of one `group` (int [D]) choose one after the other, in the order of their index. Each takes the truth
    with the largest IoU, from the threshold on, that none took before; of equal ones the last. One that is `ignored`
    (bool [A, T]) is taken only where no other is left; one that is a `crowd` (bool [T]) may be taken again.
    """
    rows, row = np.unique(pairs.found, return_inverse=True)
    rank = rank_in_groups(group[rows])
    order = np.argsort(rank[row], kind="stable")
    edges = np.searchsorted(rank[row][order], np.arange(rank.max(initial=-1) + 2))
    thresholds = np.asarray(thresholds, np.float64)[:, None, None]
    taken = np.zeros((len(thresholds), *ignored.shape), bool)
    match = np.full((len(thresholds), len(ignored), len(rows)), -1, np.int32)
    for start, stop in zip(edges[:-1], edges[1:], strict=True):  # the best of every group, the second best, ...
        some = order[start:stop]
        truth, here, number = pairs.truth[some], row[some], len(some)
        able = (pairs.iou[some] >= thresholds) & (crowd[truth] | ~taken[:, :, truth])
        # a pair's value is its place in the order of IoU; what is not ignored comes before all that is
        value = np.arange(number, dtype=np.int32) + np.where(ignored[:, truth], 0, number).astype(np.int32)
        starts = np.flatnonzero(np.append(True, here[1:] != here[:-1]))
        best = np.maximum.reduceat(np.where(able, value, np.int32(-1)), starts, axis=2)
        choice = np.where(best < 0, -1, truth[best % number])
        match[:, :, here[starts]] = choice
        level, way, place = np.nonzero(choice >= 0)
        taken[level, way, choice[level, way, place]] = True
    return rows, match
