"""Models that are to be compared: read from their folders, held to the same images, with what they cost."""

from pathlib import Path

import numpy as np

from tfod.evaluation.results import DETECTIONS, GROUND_TRUTH, Evaluated, make_detections
from tfod.model.checkpoints import find_latest_checkpoint, list_checkpoint_files
from tfod.report import analysis
from tfod.utils.console import InputError
from tfod.utils.reading import parse_json, read_text

NEAR = 0.05  # pixels by which boxes in records and in XML files may differ
SHOWN = 3  # names of images in an error


def read_models(folders):
    """A list of `report_facts.Facts`, all with the images in the order of the first one's, and with its ground truth.

    Raises InputError with all that is in the way: a model that is not there, not evaluated, or on other images.
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


def name_evaluation(folder):
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
    missing = [name for name in (analysis.METRICS, GROUND_TRUTH, DETECTIONS) if not (folder / name).exists()]
    return f"{folder}: was not evaluated, it has no {missing[0]}; {name_evaluation(folder)}" if missing else None


def find_differences(first, other):
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
        for word, some in (("lacks", places.keys() - others.keys()), ("has besides", others.keys() - places.keys()))
        if some
    ]
    if not parts:
        changed = [key[0] for key in places if not _has_same_truths(a, places[key], b, others[key])]
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
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _key_images(evaluated):
    """dict (name, width, height, which one of that name) -> index."""
    seen, keys = {}, {}
    for index, image in enumerate(evaluated.images):
        what = (image.name, image.width, image.height)
        seen[what] = seen.get(what, 0) + 1
        keys[(*what, seen[what])] = index
    return keys


def _has_same_truths(a, index_a, b, index_b):
    sides = []
    for one, index in ((a.truths, index_a), (b.truths, index_b)):
        mine = slice(*np.searchsorted(one.image, [index, index + 1]))
        sides.append(np.column_stack([one.label[mine], one.crowd[mine], one.box[mine]]))
    if len(sides[0]) != len(sides[1]) or not len(sides[0]):
        return len(sides[0]) == len(sides[1])
    near = np.abs(sides[0][:, None] - sides[1][None]).max(axis=2) < NEAR
    return bool(near.any(axis=0).all() and near.any(axis=1).all())


def _adopt(first, other):
    """`other` with the images and the ground truth of `first`, which are the same in another order."""
    places = _key_images(first.evaluated)
    moved = np.array([places[key] for key in _key_images(other.evaluated)], np.int64)
    found = other.evaluated.detections
    image = moved[found.image] if len(found.image) else found.image
    detections = make_detections(image, found.label, found.box, found.score)
    same = Evaluated(first.evaluated.names, first.evaluated.images, first.evaluated.truths, detections)
    return analysis.measure_facts(other.folder, other.report, other.config, same)


def list_warnings(models):
    """What a person should know of the numbers, as texts."""
    warnings = []
    for one in models:
        newest, used = find_latest_checkpoint(one.folder), Path(str(one.report.get("checkpoint")))
        if newest and used.parent.name == one.folder.name and used.name != Path(newest).name:
            what = f"{one.folder}: {used.name} was evaluated, and {Path(newest).name} is the newest"
            warnings.append(f"{what}; {name_evaluation(one.folder)}")
    return warnings


# ---------------------------------------------------------------- speed and size


def read_costs(facts, exports):
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


def list_cost_files(facts, exports):
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
            f"{path}: is not what `make benchmark` writes ({error!r}); make it again, or remove it"
        ) from None
