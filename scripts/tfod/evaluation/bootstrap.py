"""How certain a metric is: the same metric on many resamples of the test images (the bootstrap).

A resample draws as many images as there are: some several times, others not at all. What is right within an image does
not change, so detections are matched with objects once, and each resample only counts again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfod.evaluation import matching
from tfod.evaluation.results import Evaluated, to_coco_boxes

IOUS = np.linspace(0.5, 0.95, 10)  # COCO's
LARGEST = 1e10  # square pixels, where COCO's range of all sizes ends; it begins at 0
RECALLS = np.linspace(0, 1, 101)  # where COCO reads the precision off


class Matches(NamedTuple):
    """One class's counted detections, best first, of equal scores the earlier image's first.

    image: int64 [D], index into the list of images
    score: float64 [D]
    correct: bool [T, D], an object is found, at each of T IoUs
    ignored: bool [T, D], neither right nor wrong: in a crowd, or with an area below 0
    objects: int64 [images], the number of objects (no crowds) in each image
    """

    image: np.ndarray
    score: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


class ResampledMetrics(NamedTuple):
    """COCO's metrics of R resamples, NaN where a resample holds no object of the class.

    precision: float64 [R, classes, T], average precision at each of T IoUs; classes by their ids
    recall: float64 [R, classes, T], share of the objects that are found
    """

    precision: np.ndarray
    recall: np.ndarray


def match_detections(evaluated: Evaluated, ious: Sequence[float] = IOUS) -> dict[int, Matches]:
    """Dict class id -> `Matches` of an `Evaluated`, for every class of its label map, sorted."""
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    counted, known = matching.find_counted(evaluated)
    pairs = matching.find_pairs(evaluated, ious[0])
    pairs = matching.keep_pairs(pairs, detections.label[pairs.detection] == ground_truth.label[pairs.target])
    group = matching.group_by_class(evaluated)
    rows, match = matching.match_pairs(pairs, group, ious, ground_truth.crowd[None], ground_truth.crowd)
    target = np.full((len(ious), len(detections.score)), -1)
    target[:, rows] = match[:, 0]
    area = np.prod(to_coco_boxes(detections.box)[:, 2:], 1)
    ignored = np.where(target < 0, (area < 0) | (area > LARGEST), np.append(ground_truth.crowd, False)[target])
    correct = (target >= 0) & ~ignored
    real = known & ~ground_truth.crowd
    matches = {}
    for label in sorted(evaluated.names):
        mine = np.flatnonzero(counted & (detections.label == label))
        mine = mine[np.argsort(-detections.score[mine], kind="stable")]
        there = np.bincount(ground_truth.image[real & (ground_truth.label == label)], minlength=len(evaluated.images))
        matches[label] = Matches(
            detections.image[mine], detections.score[mine], correct[:, mine], ignored[:, mine], there
        )
    return matches


def draw_resamples(images: int, number: int, seed: int) -> np.ndarray:
    """int64 [number, images]: how many times each of the images is in each resample."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=number)


def measure_resamples(matches: dict[int, Matches], counts: np.ndarray) -> ResampledMetrics:
    """`ResampledMetrics` of what `match_detections` returns; `counts`, int [R, images]: how often each image is drawn.

    They equal what pycocotools measures on a data set in which the images are really repeated. (Where two detections of
    one image have exactly the same score, its copies are counted one detection after the other.)
    """
    labels = sorted(matches)
    shape = (len(counts), len(labels), len(matches[labels[0]].correct) if labels else 0)
    measured = ResampledMetrics(np.full(shape, np.nan), np.full(shape, np.nan))
    for number, label in enumerate(labels):
        rows = max(1, 400_000 // max(len(matches[label].score), len(RECALLS)))  # 3 MB an array: it stays in the cache
        for start in range(0, len(counts), rows):
            part = slice(start, start + rows)
            _measure_class(
                matches[label], counts[part], measured.precision[part, number], measured.recall[part, number]
            )
    return measured


def _measure_class(matches, counts, precision, recall):
    """Fills float64 [R, T] `precision` and `recall` for the class."""
    objects = counts @ matches.objects
    there = objects > 0
    weight = counts[:, matches.image]
    counted = np.cumsum(weight, axis=1)
    needed = _count_needed(objects)
    for number, (correct, ignored) in enumerate(zip(matches.correct, matches.ignored, strict=True)):
        hits = np.cumsum(weight[:, correct], axis=1)
        if ignored.any():
            counted_here = np.cumsum(weight * ~ignored, axis=1)[:, correct]
        else:
            counted_here = counted[:, correct]
        # Precision only has to be known where there is a hit: between two hits it falls, and recall stays.
        best = np.zeros((len(counts), hits.shape[1] + 1))  # the last column is for a recall that is never reached
        best[:, :-1] = np.maximum.accumulate((hits / (counted_here + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
        places = _search_rows(hits, needed)
        precision[there, number] = np.take_along_axis(best, places, axis=1).mean(axis=1)[there]
        last = hits[:, -1] if hits.shape[1] else np.zeros(len(counts))
        recall[there, number] = last[there] / objects[there]


def _count_needed(objects):
    """int64 [R, 101]: the least number of hits among `objects` (int [R]) objects for each of the recalls of RECALLS."""
    kinds, which = np.unique(objects, return_inverse=True)
    # divided as pycocotools does, for the same rounding
    rows = [np.searchsorted(np.arange(kind + 1) / max(kind, 1), RECALLS, side="left") for kind in kinds]
    return np.array(rows, np.int64).reshape(-1, len(RECALLS))[which]


def _search_rows(rising, wanted):
    """int64 [R, W]: the first places in each row of int `rising` [R, P] with `wanted` [R, W] or more, P for none."""
    length = rising.shape[1]
    step = max(rising.max(initial=0), wanted.max(initial=0)) + 1
    offsets = np.arange(len(rising))[:, None]
    places = np.searchsorted((rising + offsets * step).ravel(), (wanted + offsets * step).ravel(), side="left")
    return places.reshape(wanted.shape) - offsets * length


def summarize(measured: ResampledMetrics) -> dict[str, np.ndarray]:
    """Dict name -> float64 [R]: mAP, AP50, AP75 and AR (100 detections per image) over the classes with objects."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a resample may hold no object at all: NaN
        by_iou = np.nanmean(measured.precision, axis=1)
        return {
            "mAP": np.nanmean(measured.precision, axis=(1, 2)),
            "AP50": by_iou[:, 0],
            "AP75": by_iou[:, 5],
            "AR": np.nanmean(measured.recall, axis=(1, 2)),
        }


def find_percentile_interval(values: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """(low, high): the middle `share` of the values, NaN left out; NaN where nothing else is there."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
