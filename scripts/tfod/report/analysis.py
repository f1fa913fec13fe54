"""What a report knows about a model: read from the files of its folder, and measured."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tfod.config import pipeline
from tfod.evaluation import curves, matching, tide
from tfod.evaluation.metrics_files import METRICS_FILE, read_metrics
from tfod.evaluation.results import DETECTIONS, GROUND_TRUTH, Evaluated, read_evaluated
from tfod.utils.console import InputError
from tfod.utils.files import sha256

CONFIG, LOG = "pipeline.config", "train_log.csv"


@dataclasses.dataclass(frozen=True)
class Facts:
    """A model and its evaluation. T ground truth boxes, D detections, in the order of `evaluated`.

    folder:     Path of the model's folder
    report:     what metrics.json says, a dict
    config:     TrainEvalPipelineConfig, or None where the folder has no pipeline.config
    errors:     tfod.evaluation.tide.Errors
    costs, counts: dict kind -> mAP at IoU 0.50 that its errors cost; number at the thresholds
    curves:     dict class id -> tfod.evaluation.curves.Curve
    thresholds: dict class id -> recommended score
    ranked:     list of (index of an image, badness, dict kind -> count), worst first
    counted:    bool [T], False for crowds
    confident:  bool [D], with at least the score threshold of its class
    missed:     bool [T], counted, and without a correct detection among the confident ones
    seen:       float [T], the best score of a correct detection of it, confident or not; 0 where there is none
    """

    folder: Path
    report: dict
    config: object
    evaluated: Evaluated
    errors: tide.Errors
    costs: dict
    counts: dict
    curves: dict
    thresholds: dict
    ranked: list
    counted: np.ndarray
    confident: np.ndarray
    missed: np.ndarray
    seen: np.ndarray

    def get_name(self, label: int) -> str:
        """The name of a class id."""
        return self.evaluated.names.get(int(label), f"class {int(label)}")

    def get_scale(self, width: int, height: int) -> tuple[float, float]:
        """(x, y) factors by which the model resizes an image; (1, 1) where that is not known."""
        if self.config is None:
            return 1.0, 1.0
        try:
            return pipeline.get_input_scale(self.config, width, height)
        except ValueError:
            return 1.0, 1.0


def read_facts(folder: Path) -> Facts:
    """The `Facts` of a model's folder, as evaluate.py leaves it. Raises InputError, which says what is missing."""
    folder = Path(folder)
    missing = [name for name in (METRICS_FILE, GROUND_TRUTH, DETECTIONS) if not (folder / name).exists()]
    if missing:
        faults = [f"{folder / name}: is not there; `make eval` makes it" for name in missing]
        raise InputError(*faults)
    report = _read_metrics(folder / METRICS_FILE)
    evaluated = read_evaluated(folder)
    if report["images"] != len(evaluated.images):
        both = f"{report['images']} images there, {len(evaluated.images)} in {GROUND_TRUTH}"
        raise InputError(f"{folder / METRICS_FILE}: is of another evaluation ({both}); `make eval` makes them again")
    config = pipeline.read_config(folder / CONFIG) if (folder / CONFIG).is_file() else None
    if config is not None and not config.model.WhichOneof("model"):
        config = None
    return measure_facts(folder, report, config, evaluated)


def measure_facts(folder: Path, report: dict, config, evaluated: Evaluated) -> Facts:
    """`Facts` of an evaluation."""
    errors = tide.find_errors(evaluated)
    measured = curves.measure_curves(evaluated, errors)
    thresholds = {label: curve.threshold for label, curve in measured.items()}
    confident = tide.find_confident(evaluated, errors, thresholds)
    counted = matching.find_counted(evaluated)[1] & ~evaluated.ground_truth.crowd
    correct = errors.kind == tide.CORRECT
    seen = np.zeros(len(counted))
    seen[errors.target[correct]] = evaluated.detections.score[correct]
    return Facts(
        folder=Path(folder),
        report=report,
        config=config,
        evaluated=evaluated,
        errors=errors,
        costs=tide.measure_costs(evaluated, errors),
        counts=tide.count_kinds(evaluated, errors, thresholds),
        curves=measured,
        thresholds=thresholds,
        ranked=curves.rank_images(evaluated, errors, thresholds),
        counted=counted,
        confident=confident,
        missed=tide.find_missed(evaluated, errors, confident),
        seen=seen,
    )


def _read_metrics(path):
    report = read_metrics(path)
    try:
        if not isinstance(report["images"], int):
            raise TypeError("images is not a number")
        for one in report["classes"]:
            {name: one[name] for name in ("id", "name", "truths", "AP", "AP50", "AR")}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: is not what an evaluation writes today ({error!r}); `make eval` again") from None
    return report


def list_inputs(folder: Path, evaluated: Evaluated, others: Iterable[Path] = ()) -> list[Path]:
    """The files that a report is made of, for `files.fingerprint`: those of the model's folder that say what it
    finds, the photos (or the records they are in), and `others`."""
    folder = Path(folder)
    names = (METRICS_FILE, GROUND_TRUTH, DETECTIONS, CONFIG, LOG)
    photos = sorted({image.path for image in evaluated.images})
    return [folder / name for name in names] + photos + list(others)


def describe_inputs(folder: Path) -> list[tuple[str, str]]:
    """Rows (file name, first letters of its sha256) of the files of a model's folder that its report is made of."""
    names = (CONFIG, METRICS_FILE, GROUND_TRUTH, DETECTIONS, LOG)
    return [(name, sha256(Path(folder) / name)[:12]) for name in names if (Path(folder) / name).is_file()]
