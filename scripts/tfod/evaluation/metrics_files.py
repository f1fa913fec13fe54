"""What an evaluation measured, as files beside the model and as text for people."""

import csv
import io
import json
import textwrap
from pathlib import Path

from tfod.data.csv_cells import write_class
from tfod.evaluation.results import DETECTIONS, GROUND_TRUTH, Evaluated, read_json, write_evaluated
from tfod.utils import files
from tfod.utils.console import InputError, format_table

MAKER = "evaluate"  # of the output, as its stamp says
METRICS_FILE, PER_CLASS_FILE = "metrics.json", "per_class.csv"
NAMES = (GROUND_TRUTH, DETECTIONS, PER_CLASS_FILE, METRICS_FILE)
# The rows of pycocotools' summary: title, IoU, area, detections an image, and upstream's name of the metric.
COCO_ROWS = [
    ("Average Precision", "AP", "0.50:0.95", "all", 100, "DetectionBoxes_Precision/mAP"),
    ("Average Precision", "AP", "0.50", "all", 100, "DetectionBoxes_Precision/mAP@.50IOU"),
    ("Average Precision", "AP", "0.75", "all", 100, "DetectionBoxes_Precision/mAP@.75IOU"),
    ("Average Precision", "AP", "0.50:0.95", "small", 100, "DetectionBoxes_Precision/mAP (small)"),
    ("Average Precision", "AP", "0.50:0.95", "medium", 100, "DetectionBoxes_Precision/mAP (medium)"),
    ("Average Precision", "AP", "0.50:0.95", "large", 100, "DetectionBoxes_Precision/mAP (large)"),
    ("Average Recall", "AR", "0.50:0.95", "all", 1, "DetectionBoxes_Recall/AR@1"),
    ("Average Recall", "AR", "0.50:0.95", "all", 10, "DetectionBoxes_Recall/AR@10"),
    ("Average Recall", "AR", "0.50:0.95", "all", 100, "DetectionBoxes_Recall/AR@100"),
    ("Average Recall", "AR", "0.50:0.95", "small", 100, "DetectionBoxes_Recall/AR@100 (small)"),
    ("Average Recall", "AR", "0.50:0.95", "medium", 100, "DetectionBoxes_Recall/AR@100 (medium)"),
    ("Average Recall", "AR", "0.50:0.95", "large", 100, "DetectionBoxes_Recall/AR@100 (large)"),
]
# What metrics.json calls the kinds of error of tide.KINDS that it has other names for; programs read them.
KINDS_IN_FILE = {"classification": "wrong class", "localization": "poorly placed"}
CLASS_COLUMNS = ("id", "name", "truths", "AP", "AP50", "AR", "threshold", "precision", "recall", "F1")


def write_metrics(path: Path, step: int | None, checkpoint: str, metrics: dict[str, float], **more) -> None:
    """Writes metrics.json: `step` (or None), `checkpoint`, `metrics`, every one under upstream's name, and `more`."""
    report = {"step": step, "checkpoint": checkpoint, "metrics": dict(sorted(metrics.items())), **more}
    files.write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def read_metrics(path: Path) -> dict:
    """What `write_metrics` wrote: a dict with step, checkpoint, metrics and more. Raises InputError where it is not."""
    report = read_json(path)
    try:
        sound = isinstance(report["checkpoint"], str) and isinstance(report["step"], int | None)
        sound = sound and all(isinstance(value, int | float) for value in report["metrics"].values())
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise InputError(f"{path}: is not what an evaluation writes today; `make eval` makes it again")
    return report


def is_measured(folder: Path, fingerprint: str) -> bool:
    """Whether `folder` has the files of `keep_measured`, of an evaluation with this fingerprint. Raises InputError
    where folders are in their places."""
    paths = [Path(folder) / name for name in NAMES]
    faults = [f"{path}: is a folder, in the place of a file; move it away" for path in paths if path.is_dir()]
    if faults:
        raise InputError(*faults)
    return files.is_current(Path(folder) / METRICS_FILE, fingerprint, MAKER)


def refuse_other_files(folder: Path) -> None:
    """Raises InputError where `keep_measured` would write over a file in `folder` that it did not write."""
    paths = [Path(folder) / name for name in NAMES]
    files.refuse_foreign(paths[-1], MAKER, "name another folder with -o", paths)


def keep_measured(folder: Path, fingerprint: str, evaluated: Evaluated, report: dict) -> None:
    """Writes metrics.json (`report`: what `write_metrics` takes), per_class.csv, ground_truth.json and detections.json.

    They are moved into place one after the other, once all are written.
    """
    folder = Path(folder)
    paths = [folder / name for name in NAMES]
    with files.make_room(folder / "evaluation") as room:
        write_evaluated(room, evaluated)
        files.write_text(room / PER_CLASS_FILE, format_csv(report["classes"]))
        write_metrics(room / METRICS_FILE, **report)
        files.claim(folder / METRICS_FILE, MAKER, paths)
        for path in paths:
            (room / path.name).replace(path)
    files.mark_current(folder / METRICS_FILE, fingerprint, MAKER, paths)


def format_csv(classes: list[dict]) -> str:
    """The rows of per_class.csv, of a report's classes; -1 where there is nothing to measure."""
    text = io.StringIO()
    table = csv.DictWriter(text, CLASS_COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows({**one, "name": write_class(one["name"])} for one in classes)
    return text.getvalue()


# ---------------------------------------------------------------- for people


def format_metrics(report: dict) -> str:
    """What `read_metrics` returns, as text: the COCO table as pycocotools prints it, classes, errors and losses."""
    metrics, step = report["metrics"], report["step"]
    counted = f", {report['images']} images of {', '.join(report['data'])}" if "images" in report else ""
    lines = [report["checkpoint"] + (f" (step {step})" if step is not None else "") + f"{counted}:"]
    for title, short, iou, area, count, name in COCO_ROWS:
        if name in metrics:
            nothing = f"n/a (no {'' if area == 'all' else area + ' '}objects)"
            value = nothing if metrics[name] == -1 else f"{metrics[name]:0.3f}"
            lines.append(f" {title:<18} ({short}) @[ IoU={iou:<9} | area={area:>6s} | maxDets={count:>3d} ] = {value}")
    if report.get("classes"):
        lines.append(textwrap.indent(_format_classes(report["classes"]), " "))
    if report.get("errors"):
        lines.append(textwrap.indent(_format_errors(report["errors"]), " "))
    shown = {row[-1] for row in COCO_ROWS}
    rest = {name: value for name, value in metrics.items() if name not in shown}
    lines += [f" {name} = {'n/a' if value == -1 else f'{value:.3f}'}" for name, value in rest.items()]
    return "\n".join(lines)


def _format_classes(classes):
    """The table of the classes; precision, recall and F1 are those at the threshold, the score with the best F1."""
    head = ("class", "objects", "AP", "AP50", "AR", "score at best F1", "precision", "recall", "F1")
    rows = []
    for one in classes:
        values = [one[key] for key in CLASS_COLUMNS[3:]]
        if not one["truths"]:
            values[3] = -1  # nothing is there to choose a score by
        rows.append((one["name"], str(one["truths"]), *("n/a" if value == -1 else f"{value:.3f}" for value in values)))
    return format_table(rows, head)


def _format_errors(errors):
    """A line for each kind; counted are the detections with the score at the best F1 of their class."""
    costs = ["" if one["cost"] is None else f"{one['cost']:.3f}" for one in errors]
    kinds = {name: kind for kind, name in KINDS_IN_FILE.items()}
    rows = [
        (kinds.get(one["kind"], one["kind"]), str(one["count"]), cost) for one, cost in zip(errors, costs, strict=True)
    ]
    return format_table(rows, ("kind", "count at these scores", "mAP@.50 it costs"))


def list_classes(result, curves: dict) -> list[dict]:
    """The classes of a report, dicts of `CLASS_COLUMNS`: of a CocoResult and what `curves.measure_curves` returns."""
    rows = []
    for one in result.classes:
        curve = curves[one.id]
        values = (one.id, one.name, one.objects, one.ap, one.ap50, one.ar, curve.threshold)
        values += (curve.best_precision, curve.best_recall, curve.best_f1)
        rows.append(dict(zip(CLASS_COLUMNS, values, strict=True)))
    return rows


def list_errors(counts: dict[str, int], costs: dict[str, float]) -> list[dict]:
    """The errors of a report, of what `tide.count_kinds` and `measure_costs` return; correct ones cost None."""
    return [
        {"kind": KINDS_IN_FILE.get(kind, kind), "count": count, "cost": costs.get(kind)}
        for kind, count in counts.items()
    ]
