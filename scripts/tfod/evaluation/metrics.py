"""COCO's metrics of an `Evaluated`, with IoUs, curves and averages of pycocotools itself.

pycocotools matches detections and ground truth in Python, one image, class, size and IoU threshold after the other, and
keeps a dict for each. Here `matching` does that part for all of them at once, in a tenth of time and memory; the
tests hold its matches against pycocotools'. Everything else is pycocotools'.
"""

import contextlib
import io
from typing import NamedTuple

import numpy as np

from tfod.evaluation import matching
from tfod.evaluation.metrics_files import COCO_ROWS
from tfod.evaluation.results import to_coco_boxes

NAMES = [row[-1] for row in COCO_ROWS]


class ClassResult(NamedTuple):
    """One class: `truths` boxes (crowds not counted) in `images` images; AP, AP at IoU 0.50 and AR with 100 detections
    an image, 0 to 1, or -1 where there are no truths."""

    id: int
    name: str
    truths: int
    images: int
    ap: float
    ap50: float
    ar: float


class CocoResult(NamedTuple):
    """`metrics`: dict upstream's name -> float, -1 where there is nothing; `classes`: list of `ClassResult` by id."""

    metrics: dict
    classes: list


def measure_coco(evaluated):
    """`CocoResult` of an `Evaluated`: what upstream's CocoDetectionEvaluator measures, and the same by class.

    As there, crowds count neither for nor against a detection, difficult boxes are like any other, a box's area is that
    of the box, and what is of a class that `names` does not have is left out. Among equal scores of different images,
    the earlier image comes first.
    """
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(iouType="bbox")
    params = evaluation.params
    limits = params.maxDets
    params.imgIds, params.catIds = [0], sorted(evaluated.names)
    entries = _match(evaluated, params)
    tables = []
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and its table
        for limit in limits:
            # all images are one to pycocotools: what is beyond the limit of an image is not in it any more
            evaluation.evalImgs = [_cut(*entry, limit) for entry in entries]
            params.maxDets = [len(evaluated.detections.score) + 1]
            evaluation._paramsEval = params
            evaluation.accumulate()
            tables.append(evaluation.eval)
        params.maxDets = limits
        evaluation.eval = {key: np.concatenate([one[key] for one in tables], -1) for key in ("precision", "recall")}
        evaluation.summarize()
    metrics = dict(zip(NAMES, evaluation.stats.tolist(), strict=True))
    # of all sizes, with 100 detections: [IoU threshold, recall, class] and [IoU threshold, class]
    precision, recall = evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
    truths = evaluated.truths
    classes = []
    for k, number in enumerate(params.catIds):
        mine = (truths.label == number) & ~truths.crowd
        values = precision[:, :, k].mean(), precision[0, :, k].mean(), recall[:, k].mean()
        count, images = int(mine.sum()), len(np.unique(truths.image[mine]))
        classes.append(ClassResult(number, evaluated.names[number], count, images, *map(float, values)))
    return CocoResult(metrics, classes)


def _match(evaluated, params):
    """For every class and size: (rank, scores, matched, ignored, truths ignored) of `_cut`."""
    found, truths = evaluated.detections, evaluated.truths
    counted, known = matching.find_counted(evaluated)
    low, high = (np.array(edge, np.float64)[:, None] for edge in zip(*params.areaRng, strict=True))
    truth_area, found_area = (np.prod(to_coco_boxes(one.box)[:, 2:], 1) for one in (truths, found))
    ignored = truths.crowd | (truth_area < low) | (truth_area > high)
    outside = (found_area < low) | (found_area > high)
    pairs = matching.find_pairs(evaluated, params.iouThrs[0])
    pairs = matching.keep_pairs(pairs, found.label[pairs.found] == truths.label[pairs.truth])
    group = matching.group_by_class(evaluated)
    rows, match = matching.match_pairs(pairs, group, params.iouThrs, ignored, truths.crowd)
    row = np.full(len(found.score), -1)
    row[rows] = np.arange(len(rows))
    rank = matching.rank_in_groups(group)
    entries = []
    for number in params.catIds:
        mine = np.flatnonzero(counted & (found.label == number))
        there = np.flatnonzero(known & (truths.label == number))
        have = row[mine] >= 0
        for a in range(len(low)):
            chosen = np.full((len(params.iouThrs), len(mine)), -1)
            chosen[:, have] = match[:, a, row[mine][have]]
            matched = chosen >= 0
            passed = np.where(matched, np.append(ignored[a], False)[chosen], outside[a, mine])
            entries.append((rank[mine], found.score[mine], matched, passed, ignored[a, there]))
    return entries


def _cut(rank, score, matched, passed, truths_passed, limit):
    """What pycocotools keeps of one image, with the `limit` best detections of each real one."""
    keep = (rank < limit) & ~passed.all(0)  # pycocotools walks over those that never count, for nothing
    return {
        "dtScores": score[keep],
        "dtMatches": matched[:, keep],
        "dtIgnore": passed[:, keep],
        "gtIgnore": truths_passed,
    }
