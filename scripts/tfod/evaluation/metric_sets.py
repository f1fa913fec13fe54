"""The metrics of eval_config's metrics_set, by upstream's names.

COCO's are `metrics`', which equal upstream's. All others come from upstream's own evaluators, one image after
the other, and what they are given is what their documentation asks for. Upstream's evaluation gives them the padding,
too (up to max_number_of_boxes empty boxes an image, of class 1), and so its Pascal VOC and Open Images metrics are near
0 whatever the detector finds; where no image is padded, they are these.
"""

import contextlib
import copy
import io
import math

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.data.samples import Sample
from tfod.evaluation.metrics import measure_coco
from tfod.evaluation.results import Evaluated, Image, make_detections, make_truths

COCO = "coco_detection_metrics"


def list_metrics(eval_config, names):
    """The names of all metrics that are measured as `eval_config` says for classes `names` (dict id -> name), losses
    aside: those of an image with one object of each class."""
    label, none = np.array(sorted(names)), np.zeros(len(names), bool)
    box = np.tile(np.float32([0.1, 0.1, 0.5, 0.5]), (len(label), 1))
    image, found = np.zeros(len(label), int), make_detections(np.zeros(len(label)), label, box, np.ones(len(label)))
    evaluated = Evaluated(names, [Image("", 1, 1, "")], make_truths(image, label, box), found)
    return sorted(measure_sets(eval_config, evaluated, [Sample("", "", 0, b"", box, label, none, none, none, label)]))


def measure_sets(eval_config, evaluated, samples, coco=None):
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
    """Shows upstream's `evaluator` of the set `name` one image."""
    truths, found = evaluated.truths, evaluated.detections
    mine, theirs = (slice(*np.searchsorted(one.image, [index, index + 1])) for one in (truths, found))
    labelled = sample.labelled
    if labelled is None:  # the image does not say which classes it was looked through for
        labelled = np.array(sorted(evaluated.names) if eval_config.image_classes_field_map_empty_to_ones else (), int)
    truth = {
        "groundtruth_boxes": truths.box[mine].astype(np.float32),
        "groundtruth_classes": truths.label[mine],
        "groundtruth_is_crowd": truths.crowd[mine],
        "groundtruth_difficult": truths.difficult[mine],
        "groundtruth_group_of": sample.group_of,
    }
    if name.startswith("oid_challenge"):
        truth["groundtruth_image_classes"] = labelled.copy()  # it is changed there
    elif eval_config.skip_predictions_for_unlabeled_class:
        truth["groundtruth_labeled_classes"] = np.isin(np.arange(max(evaluated.names) + 1), labelled)
    evaluator.add_single_ground_truth_image_info(index, truth)
    detections = {
        "detection_boxes": found.box[theirs].astype(np.float32),
        "detection_classes": found.label[theirs],
        "detection_scores": found.score[theirs].astype(np.float32),
    }
    evaluator.add_single_detected_image_info(index, detections)
