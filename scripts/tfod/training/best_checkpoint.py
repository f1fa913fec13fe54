"""The best checkpoint of a training, kept in best/ by one metric, and the end where none better comes (`patience`)."""

import math
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.config.pipeline import write_config
from tfod.data import label_map
from tfod.evaluation import metrics, metrics_files
from tfod.model import saving
from tfod.training import log
from tfod.utils.console import InputError, say


def require_metric(config, name: str):
    """Raises InputError where --best_metric `name` is not among what `config` (TrainEvalPipelineConfig) measures.

    Losses are the model's to know: see `require_loss`.
    """
    known = metrics.list_metrics(config.eval_config, label_map.read_names(config.eval_input_reader[0].label_map_path))
    if name not in known and not is_loss(name):
        raise InputError(f"--best_metric {name} is not measured; give one of {', '.join(known)}, or a loss: Loss/...")


def require_loss(name: str, losses):
    """Raises InputError where --best_metric `name` is a loss that the model, which has these `losses`, has not."""
    if is_loss(name) and name not in losses:
        raise InputError(f"--best_metric {name} is not a loss of this model; give one of {', '.join(sorted(losses))}")


def is_loss(name: str) -> bool:
    """Whether less of the metric `name` is better."""
    return name.startswith("Loss/")


def is_best(folder, name: str, step: int, value: float) -> bool:
    """Whether `value` of the metric `name` at `step` is better than that of `folder`/best. Says both."""
    best_step, best = read_best(folder, name)
    sign = -1 if is_loss(name) else 1
    better = best is None or best_step > step or sign * value > sign * best
    say(f"step {step}: {name} {value:.3f}" + (", the best so far" if better else f" (best {best:.3f})"))
    return better


def keep_best(write, folder, step: int, values: dict, config):
    """Keeps the model of `step` as `folder`/best: its checkpoint, which `write` writes, its metrics and its config.

    What keeps it from being written is said, and stops no training.
    """
    try:
        with saving.keep_best(write, folder, step) as fresh:
            metrics_files.write_metrics(fresh / "metrics.json", step, f"{folder}/best/ckpt-{step}", values)
            write_config(fresh / "pipeline.config", config)
    except (saving.SaveError, OSError) as error:
        say(f"WARNING: {folder}/best: step {step} could not be kept ({error}); make room on its disk")


def read_best(folder, name: str) -> tuple[int, float | None]:
    """(step, value) of the metric `name` in `folder`/best, or (0, None) where there is nothing, or it is damaged."""
    path = Path(folder) / "best" / "metrics.json"
    if not path.exists():
        return 0, None
    try:
        report = metrics_files.read_metrics(path)
        return int(report["step"]), float(report["metrics"][name])
    except (InputError, KeyError, TypeError, ValueError):
        say(f"warning: {path}: does not say how good the best is; the next evaluation makes it again")
        return 0, None


def is_patience_over(folder, plan) -> bool:
    """Whether `plan.patience` evaluations came after the best one, as train_log.csv of `folder` has them."""
    if not plan.patience:
        return False
    best_step, best = read_best(folder, plan.best_metric)
    rows = log.read_log(Path(folder) / log.NAME)
    later = [row for row in rows if math.isfinite(row["mAP"]) and row["step"] > best_step]
    return best is not None and len(later) >= plan.patience
