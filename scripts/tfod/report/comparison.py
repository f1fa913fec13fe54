"""Several models side by side: what they measure on the same images, and whether a difference is real.

A difference between two models on twenty images may be chance. The images are resampled many times (`bootstrap`), the
same for every model: one that is better in nearly all resamples is better; otherwise the images can't tell.
"""

import math
from pathlib import Path

import numpy as np

from tfod.evaluation import bootstrap
from tfod.evaluation.metrics_files import METRICS_FILE
from tfod.evaluation.results import DETECTIONS, GROUND_TRUTH, Evaluated, make_detections
from tfod.evaluation.tide import CORRECT
from tfod.model.checkpoints import find_latest_checkpoint, list_checkpoint_files
from tfod.report import analysis
from tfod.report.analysis import Facts
from tfod.utils.console import InputError
from tfod.utils.files import parse_json, read_text

FEWEST = 6  # images with objects: with five, all favour the same one of two equal models once in 16 times

COMPARED = {  # metric: what it is
    "mAP": "COCO's: the mean over IoU 0.50 to 0.95",
    "AP50": "over all scores; a box fits from IoU 0.50",
    "AP75": "over all scores; a box fits from IoU 0.75",
    "AR": "share of the objects found with 100 boxes per image, IoU 0.50 to 0.95",
    "recall": "share of the objects that have a correct box, at the recommended scores",
    "precision": "share of the boxes that are correct, at the recommended scores",
    "F1": "recall and precision in one number, a mean over the classes",
}
NEAR = 0.05  # pixels by which boxes in records and in XML files may differ
NAMED = 3  # images in an error


def compare(models: list[Facts], resamples: int, seed: int) -> dict:
    """What compare.json holds, a dict, of what `read_evaluated_models` returns: see `_describe_model`.

    models: one dict for each; images, objects, seed, resamples: numbers; classes: dicts id, name, truths
    """
    first = models[0].evaluated
    counts = np.vstack(
        [
            np.ones((1, len(first.images)), np.int64),  # the first resample is the images themselves
            bootstrap.draw_resamples(len(first.images), resamples, seed),
        ]
    )
    measured = [_measure(one, counts) for one in models]
    there = len(np.unique(first.ground_truth.image[models[0].counted]))
    return {
        "images": len(first.images),
        "images_with_objects": there,
        "objects": int(models[0].counted.sum()),
        "seed": seed,
        "resamples": resamples,
        "classes": [
            {"id": label, "name": name, "truths": models[0].curves[label].objects}
            for label, name in sorted(first.names.items())
        ],
        "models": [
            {"name": name} | _describe_model(one, mine, measured[0] if number else None, there)
            for number, (name, one, mine) in enumerate(zip(name_models(models), models, measured, strict=True))
        ],
    }


def name_models(models: list[Facts]) -> list[str]:
    """Short names: those of the folders, or the whole paths where two folders have the same name."""
    names = [one.folder.name for one in models]
    return names if len(set(names)) == len(names) else [str(one.folder) for one in models]


def _measure(facts, counts):
    """(dict metric -> float64 [R], float64 [R, classes]): the metrics, and AP of each class, of resamples `counts`."""
    measured = bootstrap.measure_resamples(bootstrap.match_detections(facts.evaluated), counts)
    return bootstrap.summarize(measured) | _measure_at_thresholds(facts, counts), measured.precision.mean(axis=2)


def _measure_at_thresholds(facts, counts):
    """dict recall, precision, F1 at the recommended scores -> float64 [R]; NaN where there is nothing to measure."""
    labels, images = sorted(facts.evaluated.names), len(facts.evaluated.images)
    ground_truth, detections = facts.evaluated.ground_truth, facts.evaluated.detections

    def count(boxes, chosen):
        place = boxes.image[chosen] * len(labels) + np.searchsorted(labels, boxes.label[chosen])
        return counts @ np.bincount(place, minlength=images * len(labels)).reshape(images, len(labels))

    asked, drawn = count(ground_truth, facts.counted), count(detections, facts.confident)
    right = count(detections, facts.confident & (facts.errors.kind == CORRECT))
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(asked > 0, 2 * right / (asked + drawn), np.nan)
        return {
            "recall": right.sum(axis=1) / asked.sum(axis=1),
            "precision": right.sum(axis=1) / drawn.sum(axis=1),
            "F1": np.nansum(f1, axis=1) / (asked > 0).sum(axis=1),
        }


def _describe_model(facts, measured, first, images):
    """folder, checkpoint, step; metrics: dict name -> value, low, high; classes: the same of AP, by class id;
    and where there is a `first`: differences to it, of both, with a `verdict`."""
    metrics, by_class = measured
    described = {
        "folder": str(facts.folder),
        "checkpoint": facts.report.get("checkpoint"),
        "step": facts.report.get("step"),
        "metrics": {name: _summarize_interval(values) for name, values in metrics.items()},
        "classes": {
            label: _summarize_interval(by_class[:, k]) for k, label in enumerate(sorted(facts.evaluated.names))
        },
        "coco": {name: value for name, value in facts.report["metrics"].items() if name.startswith("Detection")},
    }
    if first is not None:
        described["differences"] = {
            name: _compare_with_zero(metrics[name] - first[0][name], images) for name in metrics
        }
        described["class_differences"] = {
            label: _compare_with_zero(by_class[:, k] - first[1][:, k], images)
            for k, label in enumerate(sorted(facts.evaluated.names))
        }
    return described


def _summarize_interval(values):
    """value, low and high of float64 [R], of which the first is the value itself; None where there is none."""
    low, high = bootstrap.find_percentile_interval(values[1:])
    numbers = {"value": float(values[0]), "low": low, "high": high}
    return {name: None if math.isnan(number) else round(number, 6) for name, number in numbers.items()}


def _compare_with_zero(differences, images):
    """As `_summarize_interval`, with `verdict`: better or worse than the first model, same, open (can't tell), few
    (images) or none (nothing was measured)."""
    one = _summarize_interval(differences)
    if None in one.values():
        return one | {"verdict": "none"}
    if not (one["value"] or one["low"] or one["high"]):
        return one | {"verdict": "same"}
    if images < FEWEST:
        return one | {"verdict": "few"}
    return one | {"verdict": "better" if one["low"] > 0 else "worse" if one["high"] < 0 else "open"}


def rank_disagreements(models: list[Facts]) -> list[tuple[int, int]]:
    """List of (index of an image, points), the greatest disagreement first, without images on which all agree.

    A point is an object that only some models find, or a wrong box that one model draws and another does not.
    """
    missed = np.array([one.missed for one in models])
    images = len(models[0].evaluated.images)
    split = missed.any(axis=0) & ~missed.all(axis=0)
    points = np.bincount(models[0].evaluated.ground_truth.image[split], minlength=images)
    wrong = [
        np.bincount(one.evaluated.detections.image[one.confident & (one.errors.kind != CORRECT)], minlength=images)
        for one in models
    ]
    points += np.ptp(wrong, axis=0)
    badness = [{index: value for index, value, _ in one.ranked} for one in models]
    spread = [np.ptp([one[index] for one in badness]) for index in range(images)]
    order = sorted(range(images), key=lambda index: (-points[index], -spread[index], index))
    return [(index, int(points[index])) for index in order if points[index]]


def read_evaluated_models(folders: list[Path]) -> list[Facts]:
    """A list of `Facts`, all with the images in the order of the first one's, and with its ground truth.

    Raises InputError with all faults: a model that is not there, not evaluated, or evaluated on other images.
    """
    faults, models = [], []
    for folder in folders:
        fault = _find_missing(folder)
        try:
            models += [] if fault else [analysis.read_facts(folder)]
        except InputError as error:
            faults += error.faults
        faults += [fault] if fault else []
    for one in models[1:]:
        faults += find_differences(models[0], one)
    faults += [
        f"{one.folder}: was evaluated on no image; {name_evaluation(one.folder)}"
        for one in models
        if not one.evaluated.images
    ]
    if faults:
        raise InputError(*faults)
    return models[:1] + [_adopt(models[0], one) for one in models[1:]]


def name_evaluation(folder: Path) -> str:
    """The command that evaluates the model of a folder."""
    folder = Path(folder)
    if folder.parent.name == "models":
        return f"make eval MODEL={folder.name}"
    return f"evaluate.py -m {folder}"


def _find_missing(folder):
    if not folder.is_dir():
        there = sorted(path.parent.name for path in folder.parent.glob("*/metrics.json"))
        return f"{folder}: is not there; " + (
            f"evaluated models here are {', '.join(there)}" if there else "no model here was evaluated"
        )
    missing = [name for name in (METRICS_FILE, GROUND_TRUTH, DETECTIONS) if not (folder / name).exists()]
    return f"{folder}: was not evaluated, it has no {missing[0]}; {name_evaluation(folder)}" if missing else None


def find_differences(first: Facts, other: Facts) -> list[str]:
    """The reasons why two models' evaluations can't be compared, as texts: other classes, images or boxes."""
    a, b = first.evaluated, other.evaluated
    faults = []
    classes = [
        f"class {label} is {_quote(a.names.get(label))} in {first.folder.name} and {_quote(b.names.get(label))} in"
        f" {other.folder.name}"
        for label in sorted(a.names.keys() | b.names.keys())
        if a.names.get(label) != b.names.get(label)
    ]
    if classes:
        what = f"{other.folder}: has another label map than {first.folder}: {_shorten(classes)}"
        faults.append(f"{what}; compare models of the same classes")
    places, others = _key_images(a), _key_images(b)
    parts = [
        f"{word} {_shorten([name for name, *_ in some])}"
        for word, some in (("lacks", places.keys() - others.keys()), ("also has", others.keys() - places.keys()))
        if some
    ]
    if not parts:
        changed = [key[0] for key in places if not _has_same_ground_truth(a, places[key], b, others[key])]
        parts = [f"other boxes are labelled in {_shorten(changed)}"] if changed else []
    if parts:
        what = f"{other.folder}: was evaluated on other images than {first.folder}: {'; '.join(parts)}"
        commands = f"{name_evaluation(first.folder)} and {name_evaluation(other.folder)}"
        faults.append(f"{what}; evaluate both on the same ones: {commands}")
    return faults


def _quote(name):
    return "not" if name is None else repr(name)


def _shorten(names):
    names = sorted(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _key_images(evaluated):
    """dict (name, width, height, which one of that name) -> index."""
    seen, keys = {}, {}
    for index, image in enumerate(evaluated.images):
        what = (image.name, image.width, image.height)
        seen[what] = seen.get(what, 0) + 1
        keys[(*what, seen[what])] = index
    return keys


def _has_same_ground_truth(a, index_a, b, index_b):
    both = []
    for one, index in ((a.ground_truth, index_a), (b.ground_truth, index_b)):
        mine = slice(*np.searchsorted(one.image, [index, index + 1]))
        both.append(np.column_stack([one.label[mine], one.crowd[mine], one.box[mine]]))
    if len(both[0]) != len(both[1]) or not len(both[0]):
        return len(both[0]) == len(both[1])
    near = np.abs(both[0][:, None] - both[1][None]).max(axis=2) < NEAR
    return bool(near.any(axis=0).all() and near.any(axis=1).all())


def _adopt(first, other):
    """`other` with the images and ground truth of `first`: the same ones, in another order."""
    places = _key_images(first.evaluated)
    moved = np.array([places[key] for key in _key_images(other.evaluated)], np.int64)
    theirs = other.evaluated.detections
    image = moved[theirs.image] if len(theirs.image) else theirs.image
    detections = make_detections(image, theirs.label, theirs.box, theirs.score)
    same = Evaluated(first.evaluated.names, first.evaluated.images, first.evaluated.ground_truth, detections)
    return analysis.measure_facts(other.folder, other.report, other.config, same)


def list_warnings(models: list[Facts]) -> list[str]:
    """What to keep in mind about the numbers, as texts."""
    warnings = []
    for one in models:
        newest, used = find_latest_checkpoint(one.folder), Path(str(one.report.get("checkpoint")))
        if newest and used.parent.name == one.folder.name and used.name != Path(newest).name:
            what = f"{one.folder}: {used.name} was evaluated, and {Path(newest).name} is the newest"
            warnings.append(f"{what}; {name_evaluation(one.folder)}")
    return warnings


# ---------------------------------------------------------------- speed and size


def read_costs(facts: Facts, exports: Path) -> dict:
    """What a model costs: evaluation (s an image, or None), checkpoint (MB, or None), and exported: one dict for each
    file of its export: format, megabytes, and where `make benchmark` measured it, ms (one image) and images_per_second.

    exports: folder of the exports; the model's has its own name there. `machine`: where it was measured, or None.
    """
    seconds, images = facts.report.get("seconds", {}).get("images"), facts.report["images"]
    files = list_checkpoint_files(Path(str(facts.report.get("checkpoint", ""))))
    export = Path(exports) / facts.folder.resolve().name
    measured = _read_benchmark(export / "benchmark.json")
    rows = []
    for name, path in _list_exported(export):
        one = measured["formats"].get(name, {})
        size = sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())
        row = {"format": name, "megabytes": round(size / 1e6, 3)}
        rows.append(row | {"ms": one.get("one_p50"), "images_per_second": one.get("throughput")})
    return {
        "evaluation": round(seconds / images, 4) if seconds and images else None,
        "checkpoint": round(sum(path.stat().st_size for path in files) / 1e6, 3) if files else None,
        "exported": rows,
        "machine": measured.get("machine") if rows else None,
    }


def list_cost_files(facts: Facts, exports: Path) -> list[Path]:
    """The files that `read_costs` looks at."""
    export = Path(exports) / facts.folder.resolve().name
    return [export / "benchmark.json", *(path for _, path in _list_exported(export))]


def _list_exported(export):
    """(format, path) of an export, named as in benchmark.json."""
    saved = [("SavedModel", export / "saved_model")] if (export / "saved_model").is_dir() else []
    lite = [(f"TFLite {path.stem.removeprefix('model_')}", path) for path in sorted(export.glob("**/*.tflite"))]
    return saved + lite + [("ONNX", path) for path in sorted(export.glob("model.onnx"))]


def _read_benchmark(path):
    try:
        if not path.exists():
            return {"formats": {}}
        report = parse_json(read_text(path))
        return {"machine": report["machine"], "formats": {row["name"]: row for row in report["formats"]}}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not what `make benchmark` writes ({error!r}); run it again, or remove the file"
        ) from None
