"""The metrics of an evaluation: COCO's, with pycocotools itself, and the OD API's other metric sets by their names.

pycocotools matches detections and ground truth in Python, one image, class, size and IoU threshold after the other, and
keeps a dict for each. Here `matching` does that part for all of them at once, in a tenth of time and memory; the
tests hold its matches against pycocotools'. Everything else is pycocotools'.
"""

import contextlib
import copy
import io
import math
from typing import NamedTuple

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.data.samples import Sample
from tfod.evaluation import matching
from tfod.evaluation.metrics_files import COCO_ROWS
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth, to_coco_boxes

NAMES = [row[-1] for row in COCO_ROWS]
COCO = "coco_detection_metrics"


class ClassResult(NamedTuple):
    """One class: `objects` boxes (crowds not counted) in `images` images; AP, AP at IoU 0.50 and AR with 100 detections
    an image, 0 to 1, or -1 where there are no objects."""

    id: int
    name: str
    objects: int
    images: int
    ap: float
    ap50: float
    ar: float


class CocoResult(NamedTuple):
    """`metrics`: dict upstream's name -> float, -1 where there is nothing; `classes`: list of `ClassResult` by id."""

    metrics: dict
    classes: list


def measure_coco(evaluated: Evaluated) -> CocoResult:
    """`CocoResult` of an `Evaluated`: what upstream's CocoDetectionEvaluator measures, and the same by class.

    As there, crowds count neither for nor against a detection, difficult boxes are like any other, a box's area is that
    of the box, and boxes of classes that `names` does not have are left out. Among equal scores of different images,
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
            # to pycocotools all images are one: what is beyond an image's limit is already left out
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
    ground_truth = evaluated.ground_truth
    classes = []
    for k, number in enumerate(params.catIds):
        mine = (ground_truth.label == number) & ~ground_truth.crowd
        values = precision[:, :, k].mean(), precision[0, :, k].mean(), recall[:, k].mean()
        count, images = int(mine.sum()), len(np.unique(ground_truth.image[mine]))
        classes.append(ClassResult(number, evaluated.names[number], count, images, *map(float, values)))
    return CocoResult(metrics, classes)


def _match(evaluated, params):
    """For every class and size: (rank, scores, matched, ignored, objects ignored) of `_cut`."""
    detections, ground_truth = evaluated.detections, evaluated.ground_truth
    counted, known = matching.find_counted(evaluated)
    low, high = (np.array(edge, np.float64)[:, None] for edge in zip(*params.areaRng, strict=True))
    object_area, detection_area = (np.prod(to_coco_boxes(one.box)[:, 2:], 1) for one in (ground_truth, detections))
    ignored = ground_truth.crowd | (object_area < low) | (object_area > high)
    outside = (detection_area < low) | (detection_area > high)
    pairs = matching.find_pairs(evaluated, params.iouThrs[0])
    pairs = matching.keep_pairs(pairs, detections.label[pairs.detection] == ground_truth.label[pairs.target])
    group = matching.group_by_class(evaluated)
    rows, match = matching.match_pairs(pairs, group, params.iouThrs, ignored, ground_truth.crowd)
    row = np.full(len(detections.score), -1)
    row[rows] = np.arange(len(rows))
    rank = matching.rank_in_groups(group)
    entries = []
    for number in params.catIds:
        mine = np.flatnonzero(counted & (detections.label == number))
        there = np.flatnonzero(known & (ground_truth.label == number))
        have = row[mine] >= 0
        for a in range(len(low)):
            chosen = np.full((len(params.iouThrs), len(mine)), -1)
            chosen[:, have] = match[:, a, row[mine][have]]
            matched = chosen >= 0
            passed = np.where(matched, np.append(ignored[a], False)[chosen], outside[a, mine])
            entries.append((rank[mine], detections.score[mine], matched, passed, ignored[a, there]))
    return entries


def _cut(rank, score, matched, passed, objects_passed, limit):
    """What pycocotools keeps of one image, with the `limit` best detections of each real one."""
    keep = (rank < limit) & ~passed.all(0)  # those that never count would only cost time
    return {
        "dtScores": score[keep],
        "dtMatches": matched[:, keep],
        "dtIgnore": passed[:, keep],
        "gtIgnore": objects_passed,
    }


def list_metrics(eval_config, names: dict[int, str]) -> list[str]:
    """The names of all metrics that are measured as `eval_config` says for classes `names` (dict id -> name), losses
    aside: those of an image with one object of each class."""
    label, none = np.array(sorted(names)), np.zeros(len(names), bool)
    box = np.tile(np.float32([0.1, 0.1, 0.5, 0.5]), (len(label), 1))
    image, detections = (
        np.zeros(len(label), int),
        make_detections(np.zeros(len(label)), label, box, np.ones(len(label))),
    )
    evaluated = Evaluated(names, [Image("", 1, 1, "")], make_ground_truth(image, label, box), detections)
    return sorted(measure_sets(eval_config, evaluated, [Sample("", "", 0, b"", box, label, none, none, none, label)]))


def measure_sets(
    eval_config, evaluated: Evaluated, samples: list[Sample], coco: CocoResult | None = None
) -> dict[str, float]:
    """The metrics of an `Evaluated`, dict upstream's name -> float, -1 where there is nothing to measure.

    COCO's are always among them: `coco` is their CocoResult, if it is at hand. `samples` has the `Sample` of every
    image. The sets are of `config_checks.BOX_METRICS`.
    """
    coco = coco or measure_coco(evaluated)
    metrics = dict(coco.metrics)
    if eval_config.include_metrics_per_category:  # what upstream's own evaluator can't do with today's pycocotools
        metrics.update({f"DetectionBoxes_PerformanceByCategory/mAP/{one.name}": one.ap for one in coco.classes})
    only_labelled = eval_config.skip_predictions_for_unlabeled_class
    names = [name for name in eval_config.metrics_set if name != COCO or only_labelled]
    if not names:
        return metrics
    from object_detection import eval_util

    plain = copy.deepcopy(eval_config)
    plain.include_metrics_per_category = False
    options = eval_util.evaluator_options_from_eval_config(plain)
    categories = [{"id": number, "name": name} for number, name in sorted(evaluated.names.items())]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and its table
        for name in names:
            evaluator = eval_util.EVAL_METRICS_CLASS_DICT[name](categories, **options.get(name, {}))
            for index, sample in enumerate(samples):
                _add_image(evaluator, name, eval_config, evaluated, index, sample)
            with np.errstate(invalid="ignore", divide="ignore"):  # a class without objects
                found = {str(key): float(value) for key, value in evaluator.evaluate().items()}
            metrics.update({key: value if math.isfinite(value) else -1.0 for key, value in found.items()})
    return metrics


def _add_image(evaluator, name, eval_config, evaluated, index, sample):
    """Gives one image to upstream's `evaluator` of the set `name`."""
    ground_truth, detections = evaluated.ground_truth, evaluated.detections
    mine, theirs = (slice(*np.searchsorted(one.image, [index, index + 1])) for one in (ground_truth, detections))
    labelled = sample.labelled
    if labelled is None:  # the image does not say which classes it was looked through for
        labelled = np.array(sorted(evaluated.names) if eval_config.image_classes_field_map_empty_to_ones else (), int)
    objects = {
        "groundtruth_boxes": ground_truth.box[mine].astype(np.float32),
        "groundtruth_classes": ground_truth.label[mine],
        "groundtruth_is_crowd": ground_truth.crowd[mine],
        "groundtruth_difficult": ground_truth.difficult[mine],
        "groundtruth_group_of": sample.group_of,
    }
    if name.startswith("oid_challenge"):
        objects["groundtruth_image_classes"] = labelled.copy()  # it is changed there
    elif eval_config.skip_predictions_for_unlabeled_class:
        objects["groundtruth_labeled_classes"] = np.isin(np.arange(max(evaluated.names) + 1), labelled)
    evaluator.add_single_ground_truth_image_info(index, objects)
    detections = {
        "detection_boxes": detections.box[theirs].astype(np.float32),
        "detection_classes": detections.label[theirs],
        "detection_scores": detections.score[theirs].astype(np.float32),
    }
    evaluator.add_single_detected_image_info(index, detections)
