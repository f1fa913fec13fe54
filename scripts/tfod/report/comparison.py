"""Several models side by side: what they measure on the same images, and whether a difference is real.

A difference of two models on twenty images may be chance. The images are drawn again many times (`bootstrap`), the
same ones for every model: one that is better in nearly all draws is better; else the images can't tell.
"""

import math

import numpy as np

from tfod.evaluation import bootstrap
from tfod.evaluation.tide import CORRECT

FEWEST = 6  # images with objects: of five, all favour one of two equal models once in 16 times
METRICS = {  # name: what it is
    "mAP": "COCO's: a box is to fit ever better, IoU 0.50 to 0.95",
    "AP50": "over all scores; a box fits if IoU is 0.50",
    "AP75": "over all scores; a box fits if IoU is 0.75",
    "AR": "share of the objects found by 100 boxes an image, IoU 0.50 to 0.95",
    "recall": "share of the objects that have a correct box, at the recommended scores",
    "precision": "share of the boxes that are correct, at the recommended scores",
    "F1": "recall and precision in one number, a mean over the classes",
}


def compare(models, resamples, seed):
    """What compare.json holds, a dict, of what `read_models` returns: see `_describe_model`.

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
    there = len(np.unique(first.truths.image[models[0].counted]))
    return {
        "images": len(first.images),
        "images_with_objects": there,
        "objects": int(models[0].counted.sum()),
        "seed": seed,
        "resamples": resamples,
        "classes": [
            {"id": label, "name": name, "truths": models[0].curves[label].truths}
            for label, name in sorted(first.names.items())
        ],
        "models": [
            {"name": name} | _describe_model(one, mine, measured[0] if number else None, there)
            for number, (name, one, mine) in enumerate(zip(name_models(models), models, measured, strict=True))
        ],
    }


def name_models(models):
    """Short names: those of the folders, or the whole paths where two folders have the same name."""
    names = [one.folder.name for one in models]
    return names if len(set(names)) == len(names) else [str(one.folder) for one in models]


def _measure(facts, counts):
    """(dict metric -> float64 [R], float64 [R, classes]): the metrics, and AP of each class, of resamples `counts`."""
    measured = bootstrap.measure_resamples(bootstrap.match_detections(facts.evaluated), counts)
    return bootstrap.summarize(measured) | _measure_at_thresholds(facts, counts), measured.precision.mean(axis=2)


def _measure_at_thresholds(facts, counts):
    """recall, precision and F1 at the recommended scores: dict name -> float64 [R]; NaN where nothing is there."""
    labels, images = sorted(facts.evaluated.names), len(facts.evaluated.images)
    truths, found = facts.evaluated.truths, facts.evaluated.detections

    def count(boxes, chosen):
        place = boxes.image[chosen] * len(labels) + np.searchsorted(labels, boxes.label[chosen])
        return counts @ np.bincount(place, minlength=images * len(labels)).reshape(images, len(labels))

    asked, drawn = count(truths, facts.counted), count(found, facts.shown)
    right = count(found, facts.shown & (facts.errors.kind == CORRECT))
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
        "metrics": {name: _give_interval(values) for name, values in metrics.items()},
        "classes": {label: _give_interval(by_class[:, k]) for k, label in enumerate(sorted(facts.evaluated.names))},
        "coco": {name: value for name, value in facts.report["metrics"].items() if name.startswith("Detection")},
    }
    if first is not None:
        described["differences"] = {name: _judge(metrics[name] - first[0][name], images) for name in metrics}
        described["class_differences"] = {
            label: _judge(by_class[:, k] - first[1][:, k], images)
            for k, label in enumerate(sorted(facts.evaluated.names))
        }
    return described


def _give_interval(values):
    """value, low and high of float64 [R], whose first is the value itself; None where there is none."""
    low, high = bootstrap.find_interval(values[1:])
    numbers = {"value": float(values[0]), "low": low, "high": high}
    return {name: None if math.isnan(number) else round(number, 6) for name, number in numbers.items()}


def _judge(differences, images):
    """As `_give_interval`, with `verdict`: better or worse than the first, same, open (can't be told), few (images) or
    none (nothing was measured)."""
    one = _give_interval(differences)
    if None in one.values():
        return one | {"verdict": "none"}
    if not (one["value"] or one["low"] or one["high"]):
        return one | {"verdict": "same"}
    if images < FEWEST:
        return one | {"verdict": "few"}
    return one | {"verdict": "better" if one["low"] > 0 else "worse" if one["high"] < 0 else "open"}


def rank_disagreements(models):
    """List of (index of an image, points), the greatest disagreement first, without those where there is none.

    A point is an object that some models find and others miss, and every wrong box that one draws more than another.
    """
    missed = np.array([one.missed for one in models])
    images = len(models[0].evaluated.images)
    split = missed.any(axis=0) & ~missed.all(axis=0)
    points = np.bincount(models[0].evaluated.truths.image[split], minlength=images)
    wrong = [
        np.bincount(one.evaluated.detections.image[one.shown & (one.errors.kind != CORRECT)], minlength=images)
        for one in models
    ]
    points += np.ptp(wrong, axis=0)
    badness = [{index: value for index, value, _ in one.ranked} for one in models]
    spread = [np.ptp([one[index] for one in badness]) for index in range(images)]
    order = sorted(range(images), key=lambda index: (-points[index], -spread[index], index))
    return [(index, int(points[index])) for index in order if points[index]]
