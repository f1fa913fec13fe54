import contextlib
import io
import json

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
from object_detection.core import standard_fields
from object_detection.metrics import coco_evaluation

from tfod.evaluation import metrics_files
from tfod.evaluation.tide import KINDS


def measure(shift):
    """COCO metrics of one image with two objects, found `shift` pixels beside: (metrics, what pycocotools printed)."""
    truth, found = standard_fields.InputDataFields, standard_fields.DetectionResultFields
    boxes = np.array([[20.0, 20.0, 70.0, 80.0], [5.0, 5.0, 25.0, 25.0]], np.float32)  # [ymin, xmin, ymax, xmax] pixels
    evaluator = coco_evaluation.CocoDetectionEvaluator([{"id": 1, "name": "object"}])
    evaluator.add_single_ground_truth_image_info(
        "image", {truth.groundtruth_boxes: boxes, truth.groundtruth_classes: np.array([1, 1])}
    )
    evaluator.add_single_detected_image_info(
        "image",
        {
            found.detection_boxes: boxes + shift,
            found.detection_scores: np.array([0.9, 0.8], np.float32),
            found.detection_classes: np.array([1, 1]),
        },
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        metrics = evaluator.evaluate()
    return metrics, printed.getvalue()


def test_table_is_pycocotools_own():
    metrics, printed = measure(shift=4)
    report = {"step": 7, "checkpoint": "models/m/ckpt-7", "metrics": metrics | {"Loss/total_loss": 0.25}}
    theirs = [line for line in printed.splitlines() if "@[ IoU=" in line]
    assert len(theirs) == 12
    title, *ours = metrics_files.format_metrics(report).splitlines()
    assert title == "models/m/ckpt-7 (step 7):"
    assert [line for line in theirs if line.endswith(" = -1.000")]
    shown = [
        line.replace(" = -1.000", f" = n/a (no {'medium' if 'medium' in line else 'large'} objects)") for line in theirs
    ]
    assert ours == [*shown, " Loss/total_loss = 0.250"]
    assert len({line[-5:] for line in ours}) > 3  # the rows do differ


def test_metrics_file_is_read_back_as_written(tmp_path):
    metrics, _ = measure(shift=0)
    path = tmp_path / "models/m/metrics.json"
    metrics_files.write_metrics(path, 7, "models/m/ckpt-7", metrics)
    assert metrics_files.read_metrics(path) == {"step": 7, "checkpoint": "models/m/ckpt-7", "metrics": metrics}
    assert json.loads(path.read_text())["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"] == 1.0


def test_kinds_have_tides_names_on_the_console_and_keep_theirs_in_the_file():
    errors = metrics_files.list_errors(dict.fromkeys(KINDS, 3), dict.fromkeys(KINDS[1:], 0.125))
    names = ["correct", "wrong class", "poorly placed", "both", "duplicate", "background", "missed"]
    assert [one["kind"] for one in errors] == names
    report = {"step": None, "checkpoint": "m", "metrics": {}, "errors": errors}
    _, _, *rows = metrics_files.format_metrics(report).splitlines()
    assert [row.split() for row in rows] == [["correct", "3"], *([kind, "3", "0.125"] for kind in KINDS[1:])]
