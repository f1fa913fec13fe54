"""The report of a model: what its templates get (dicts, lists, texts), and the page made from that."""

import base64
import hashlib
import math
from pathlib import Path

import numpy as np

from tfod.evaluation import curves
from tfod.evaluation.metrics_files import COCO_ROWS
from tfod.evaluation.tide import CORRECT
from tfod.report import charts as report_charts
from tfod.report import data as report_data
from tfod.report import pictures as report_pictures
from tfod.report import wording
from tfod.report.analysis import CONFIG, LOG, Facts, describe_inputs
from tfod.report.wording import format_share
from tfod.training.log import read_log
from tfod.utils.environment import find_commit, list_versions
from tfod.utils.figures import PAGE_COLOURS, charting, make_svg

TEMPLATES = Path(__file__).parent / "templates"
TOP = 10  # images of the first screen
CURVES = 8  # classes with a chart of their own: the best and the worst of more
MATRIX = 12  # classes in the confusion matrix: those that are confused most, of more
ROWS = 1000  # images in the list


def collect(facts: Facts, check_path: Path, worst: int = 24, best: int = 12, crops: int = 24) -> dict:
    """Everything that the page says: a dict without any layout.

    check_path: what `make check` wrote, or where it would be
    worst, best, crops: numbers of pictures, and of crops of wrong boxes and of missed objects
    """
    errors = wording.describe_errors(facts)
    pictures, crops, faults, chosen = _collect_pictures(facts, worst, best, crops)
    with charting():
        rows, figures, notes = report_data.describe_data(facts)
        data = {"rows": rows, "notes": notes, "charts": _draw(figures), "check": report_data.read_check(check_path)}
        charts = _collect_charts(facts)
    return {
        "model": facts.folder.resolve().name,
        "summary": wording.summarize(facts),
        "errors": errors,
        "explanation": wording.explain_cost(facts, errors),
        "pictures": pictures,
        "chosen": chosen,
        "crops": crops,
        "unread": faults,
        "images": _list_images(facts, pictures),
        "left_out": max(0, len(facts.ranked) - ROWS),
        "coco": _list_coco(facts),
        "others": _list_other_metrics(facts),
        "classes": _list_classes(facts),
        "confusions": _list_confusions(facts),
        "mix_ups": wording.list_mix_ups(facts)[:20],
        "charts": charts,
        "data": data,
        "check_path": str(check_path),
        "run": _describe_run(facts),
    }


def render(contents: dict, page: str = "report.html") -> str:
    """The page, as HTML, of what `collect` returns. Users' text is escaped; the page asks the network for nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # the only script that may run
    template = environment.get_template(page)
    facts = [_describe_picture(picture) for picture in contents["pictures"]]
    more = {"facts": facts, "style": style, "script": script, "script_hash": f"sha256-{digest}"}
    return template.render(contents, colours=PAGE_COLOURS, **more) + "\n"


def _describe_picture(picture):
    """What the script needs to show a picture."""
    boxes = [(box["state"], box["text"]) for box in picture["boxes"]]
    return {name: picture[name] for name in ("name", "width", "height", "summary", "alt")} | {"boxes": boxes}


# ---------------------------------------------------------------- pictures


def _collect_pictures(facts, worst, best, crops):
    """(list of pictures, dict of crops, what can't be read, dict of the numbers of pictures for each place)."""
    bad, fine = report_pictures.choose_images(facts, worst, best)
    doubts = report_pictures.rank_doubts(facts)
    top = (bad + [index for index, *_ in doubts])[:TOP]
    doubts = {index: why for index, _, why in doubts}
    mistakes = report_pictures.choose_mistakes(facts, crops)
    wrong, missed = facts.evaluated.detections.image, facts.evaluated.ground_truth.image
    of_crops = [*wrong[mistakes["wrong"]].tolist(), *missed[mistakes["missed"]].tolist()]
    indexes = list(dict.fromkeys([*top, *bad, *fine, *of_crops]))
    uris, cut, faults = report_pictures.draw_pictures(facts, indexes, mistakes)
    pictures = []
    for number, index in enumerate(indexes):
        picture = report_pictures.describe_image(facts, index) | {"number": number, "uri": uris[index]}
        picture |= {"alt": report_pictures.make_alt_text(picture), "doubt": doubts.get(index, "")}
        pictures.append(picture)
    numbers = {index: number for number, index in enumerate(indexes)}
    chosen = {name: [numbers[index] for index in some] for name, some in (("top", top), ("worst", bad), ("best", fine))}
    return pictures, _list_crops(facts, mistakes, cut, numbers), faults, chosen


def _list_crops(facts, mistakes, cut, numbers):
    """dict wrong, missed: lists of crops; left: the number of each that are left out."""
    detections, ground_truth = facts.evaluated.detections, facts.evaluated.ground_truth
    sides = wording.measure_box_sides(facts)

    def describe(what, number, image, text):
        name = facts.evaluated.images[image].name
        return {"text": text, "crop": cut.get((what, number)), "number": numbers[image], "name": name}

    wrong = [
        describe("wrong", d, int(detections.image[d]), report_pictures.describe_detection(facts, d))
        for d in mistakes["wrong"]
    ]
    missed = []
    for t in mistakes["missed"]:
        text = f"{facts.get_name(ground_truth.label[t])}, {sides[t]:.0f} pixels at the model's input: "
        text += report_pictures.explain_missed(facts, t)
        missed.append(describe("missed", t, int(ground_truth.image[t]), text))
    left = {"wrong": int((facts.confident & (facts.errors.kind != CORRECT)).sum()) - len(wrong)}
    left["missed"] = int(facts.missed.sum()) - len(missed)
    return {"wrong": wrong, "missed": missed, "left": left}


def _list_images(facts, pictures):
    numbers = {picture["index"]: picture["number"] for picture in pictures}
    rows = []
    for index, badness, counts in facts.ranked[:ROWS]:
        missed, correct = counts["missed"], counts["correct"]
        wrong = sum(counts.values()) - missed - correct
        objects = int((facts.counted & (facts.evaluated.ground_truth.image == index)).sum())
        name = facts.evaluated.images[index].name
        row = {"name": name, "objects": objects, "found": correct, "missed": missed, "wrong": wrong, "badness": badness}
        rows.append(row | {"number": numbers.get(index)})
    return rows


# ---------------------------------------------------------------- tables


def _list_coco(facts):
    metrics = facts.report["metrics"]
    rows = []
    for title, _, iou, area, most, name in COCO_ROWS:
        if name in metrics:
            what = "objects" if area == "all" else f"{area} objects"
            value = metrics[name]
            rows.append((title, iou, area, most, format_share(value, 3) if value >= 0 else f"n/a (no {what})"))
    return rows


def _list_other_metrics(facts):
    shown = {row[-1] for row in COCO_ROWS}
    metrics = facts.report["metrics"].items()
    return [
        (name, "n/a" if value == -1 or math.isnan(value) else f"{value:.3f}")
        for name, value in metrics
        if name not in shown
    ]


def _list_classes(facts):
    rows = []
    for one in facts.report["classes"]:
        curve = facts.curves.get(one["id"])
        if curve is None:  # a label map that has changed since
            continue
        at_best = (curve.threshold if curve.objects else -1, curve.best_precision, curve.best_recall, curve.best_f1)
        cells = [(value, format_share(value)) for value in (*at_best, one["AP"], one["AP50"], one["AR"])]
        rows.append({"name": one["name"], "objects": one["truths"], "cells": cells})
    return rows


def _list_confusions(facts):
    """The confusion matrix as dict names, rows (name, total, list of (count, share of the row)), left_out."""
    matrix = curves.count_confusions(facts.evaluated, facts.thresholds, facts.errors)
    labels = sorted(facts.evaluated.names)
    keep = list(range(len(labels)))
    if len(keep) > MATRIX:
        mixed = matrix.copy()
        np.fill_diagonal(mixed, 0)
        worst = np.argsort(-(mixed[:-1, :-1].sum(0) + mixed[:-1, :-1].sum(1)), kind="stable")[:MATRIX]
        keep = sorted(worst.tolist())
    names = [facts.get_name(labels[i]) for i in keep]
    rows = []
    for i, name in zip([*keep, -1], [*names, "nothing labelled"], strict=True):
        counts, total = matrix[i, [*keep, -1]].tolist(), int(matrix[i].sum())
        cells = [(number, number / max(1, total)) for number in counts]
        rows.append({"name": name, "total": total, "cells": cells, "diagonal": len(rows) if i >= 0 else -1})
    return {"names": [*names, "nothing (missed)"], "rows": rows, "left_out": len(labels) - len(keep)}


# ---------------------------------------------------------------- charts and the rest


def _draw(figures):
    """A list of (title, SVG, what it shows) of a dict title -> (Figure, what it shows)."""
    items = enumerate(figures.items())
    return [
        (title, make_svg(figure, f"data{'abcdefgh'[i]}", f"Chart: {alt}"), alt) for i, (title, (figure, alt)) in items
    ]


def _collect_charts(facts):
    """dict training (list of (title, SVG)), classes (list of dicts), calibration and sizes (SVG), size_rows, error."""
    training = report_charts.draw_training(read_log(facts.folder / LOG)).items()
    calibration = curves.measure_calibration(facts.evaluated, errors=facts.errors)
    sizes = curves.measure_sizes(facts.evaluated, facts.errors, facts.thresholds, facts.get_scale)
    charts = []
    with_objects = [label for label, curve in facts.curves.items() if curve.objects]
    chosen = sorted(with_objects, key=lambda label: facts.curves[label].best_f1)
    if len(chosen) > CURVES:
        chosen = chosen[: CURVES // 2] + chosen[-CURVES // 2 :]
    for label in chosen:
        curve, name = facts.curves[label], facts.get_name(label)
        said = (
            f"at a score threshold of {curve.threshold:.2f}, precision is {curve.best_precision:.2f}, recall"
            f" {curve.best_recall:.2f}, F1 {curve.best_f1:.2f}"
        )
        svg = make_svg(report_charts.draw_class(curve), f"class{label}x", f"Curves of {name}: {said}.")
        charts.append({"name": name, "said": said, "svg": svg})
    what = "a bar for each tenth of the score, as high as the share of its detections that are correct"
    error = "" if math.isnan(calibration.error) else f"{calibration.error:.2f}"
    return {
        "training": [
            (title, make_svg(figure, f"training{i}x", f"Curves over the steps: {title}."))
            for i, (title, figure) in enumerate(training)
        ],
        "classes": charts,
        "classes_left_out": len(with_objects) - len(charts),
        "calibration": make_svg(report_charts.draw_calibration(calibration), "calibration", f"Calibration: {what}."),
        "calibration_error": error,
        "sizes": make_svg(
            report_charts.draw_sizes(sizes), "sizes", "Objects found and missed by size; the table says the same."
        ),
        "size_rows": [(report_charts.name_size(row), row.objects, row.found, row.missed) for row in sizes],
    }


def _describe_run(facts):
    """What is needed to make the model and this page again: files, settings, versions and commands."""
    report, config = facts.report, facts.folder / CONFIG
    return {
        "config": config.read_text(encoding="utf-8") if config.is_file() else "",
        "files": describe_inputs(facts.folder),
        "checkpoint": str(report.get("checkpoint", "")),
        "step": report.get("step"),
        "data": [str(path) for path in report.get("data", [])],
        "images": report["images"],
        "seed": report_data.read_settings(facts.folder).get("seed", ""),
        "versions": [("these scripts", find_commit().removeprefix("commit ")), *list_versions()],
        "train": report_data.describe_training(facts.config),
        "records": {
            side: [str(path) for path in paths] for side, paths in report_data.list_records(facts.config).items()
        },
    }
