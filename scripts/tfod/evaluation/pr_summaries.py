"""Precision-recall curves for TensorBoard, in the format of its PR Curves page."""

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import numpy as np

from tfod.evaluation.bootstrap import match_detections

THRESHOLDS = np.linspace(0, 1, 201)  # the page takes them as evenly spaced from 0 to 1


def write_pr_curves(evaluated, step):
    """Writes a curve of each class that has objects in `Evaluated`, at an IoU of 0.50, to the current summary writer.

    Needs `with writer.as_default():` around it, as all of tf.summary does. The tags are `PR at IoU 0.50/CLASS`.
    """
    import tensorflow as tf
    from tensorboard.plugins.pr_curve import metadata

    about = "Precision over recall at score thresholds from 0 to 1. A detection is right at an IoU of 0.50 or more."
    for label, matches in match_detections(evaluated, [0.5]).items():
        if matches.truths.sum():
            name = f"PR at IoU 0.50/{evaluated.names[label]}"
            form = metadata.create_summary_metadata(name, about, len(THRESHOLDS))
            tf.summary.write(name, count_at_thresholds(matches), step, form)


def count_at_thresholds(matches):
    """float32 [6, thresholds] of one class's `Matches` at one IoU, over its detections of each threshold or more.

    The rows: true positives, false positives, true negatives (none in detection), missed objects, precision, recall.
    """
    right = matches.score[matches.correct[0]]
    wrong = matches.score[~(matches.correct[0] | matches.ignored[0])]
    # scores come best first; searchsorted wants them rising
    hits, false = (len(scores) - np.searchsorted(scores[::-1], THRESHOLDS, side="left") for scores in (right, wrong))
    total = matches.truths.sum()
    precision = hits / np.maximum(hits + false, 1)
    recall = hits / max(total, 1)
    return np.array([hits, false, 0 * hits, total - hits, precision, recall], np.float32)
