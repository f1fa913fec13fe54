"""The result of make compare as a page and as a table for the terminal."""

from matplotlib.figure import Figure

from tfod.evaluation.metrics_files import COCO_ROWS
from tfod.report import page
from tfod.report import pictures as report_pictures
from tfod.report.analysis import LOG, Facts
from tfod.report.comparison import COMPARED, rank_disagreements
from tfod.report.wording import count, format_share, join
from tfod.training.log import list_points, read_log
from tfod.utils.console import format_table
from tfod.utils.figures import (
    BLUE,
    GREEN,
    INK,
    LEGEND,
    ORANGE,
    PURPLE,
    RED,
    charting,
    make_figure,
    make_svg,
    show_empty,
    tidy,
)

LOOKS = [  # of the models: colour, line, marker
    (BLUE, "-", "o"),
    (ORANGE, "--", "s"),
    (GREEN, ":", "^"),
    (PURPLE, "-.", "D"),
    (RED, (0, (5, 1, 1, 1, 1, 1)), "v"),
]

VERDICTS = {  # verdict: (class of the page's style, word)
    "better": ("good", "better"),
    "worse": ("poor", "worse"),
    "same": ("unknown", "the same"),
    "open": ("unknown", "can't be told apart"),
    "few": ("unknown", "too few images"),
    "none": ("unknown", "nothing to measure"),
}

MAIN = ("mAP", "AP50", "recall", "precision")  # in the chart, and on a terminal
CURVES = {  # column of train_log.csv: title
    "mAP": "mAP on the test images, while training",
    "total_loss": "Total loss",
    "classification_loss": "Classification loss",
    "localization_loss": "Localization loss",
}


def render(models: list[Facts], comparison: dict, images: int) -> tuple[str, list[str]]:
    """(the page, a text; the faults of photos that can't be read): of `comparison.read_evaluated_models` and `compare`.

    images: how many images to show, those where the models disagree most
    """
    chosen = rank_disagreements(models)
    photos, pictures, rows, faults = _collect_pictures(models, comparison, chosen[:images])
    with charting():
        figures = [("Differences", draw_differences(comparison))] + draw_training(models, comparison)
        charts = [
            (title, make_svg(figure, f"chart{n}x", _describe(title))) for n, (title, figure) in enumerate(figures)
        ]
    contents = {
        "names": [one["name"] for one in comparison["models"]],
        "others": join([one["name"] for one in comparison["models"][1:]]),
        "comparison": comparison,
        "verdicts": _list_verdicts(comparison),
        "metrics": _list_metrics(comparison),
        "classes": _list_classes(comparison),
        "coco": _list_coco(comparison),
        "costs": _list_costs(comparison),
        "machines": sorted({one["costs"]["machine"] for one in comparison["models"]} - {None}),
        "photos": photos,
        "pictures": pictures,
        "rows": rows,
        "left_out": len(chosen) - len(rows),
        "unread": faults,
        "charts": charts,
    }
    return page.render(contents, "comparison.html"), faults


def _describe(title):
    if title == "Differences":
        return "Chart: differences to the first model with their 95 % intervals; the table says the same."
    return f"Chart: {title} over the training steps, a line for each model."


# ---------------------------------------------------------------- tables


def _list_verdicts(comparison):
    """dicts grade, word, text: one for each model but the first, by its mAP."""
    verdicts = []
    for number, one in enumerate(comparison["models"][1:], start=1):
        grade, word = VERDICTS[one["differences"]["mAP"]["verdict"]]
        verdicts.append({"grade": grade, "word": word, "text": describe_difference(comparison, number)})
    return verdicts


def _list_metrics(comparison):
    """Rows (name, what it is, list of cells)."""
    return [
        (name, what, [_make_cell(one, one["metrics"][name], name) for one in comparison["models"]])
        for name, what in COMPARED.items()
    ]


def _make_cell(model, value, name, differences="differences"):
    """A dict value, text, and for all models but the first difference, grade, word."""
    cell = {"value": "" if value["value"] is None else value["value"], "text": format_interval(value)}
    if differences in model:
        one = model[differences][name]
        grade, word = VERDICTS[one["verdict"]]
        shown = "" if one["verdict"] in ("same", "none") else format_interval(one, signed=True)
        cell |= {"difference": shown, "grade": grade, "word": word}
    return cell


def _list_classes(comparison):
    """Rows (class name, number of objects, list of cells of its AP)."""
    return [
        (
            one["name"],
            one["truths"],
            [
                _make_cell(model, model["classes"][one["id"]], one["id"], "class_differences")
                for model in comparison["models"]
            ],
        )
        for one in comparison["classes"]
    ]


def _list_coco(comparison):
    """Rows (title, IoU, area, boxes an image, list of texts), of the metrics that all have."""
    rows = []
    for title, _, iou, area, most, name in COCO_ROWS:
        values = [one["coco"].get(name) for one in comparison["models"]]
        if None not in values:
            rows.append((title, iou, area, most, [format_share(value, 3) for value in values]))
    return rows


def _list_costs(comparison):
    """Rows (what, list of texts): seconds, milliseconds and megabytes of the models."""
    costs = [one["costs"] for one in comparison["models"]]
    rows = [
        ("Evaluation, seconds an image", [_show(one["evaluation"], 3) for one in costs]),
        ("Checkpoint, MB", [_show(one["checkpoint"], 1) for one in costs]),
    ]
    by_format = [{row["format"]: row for row in one["exported"]} for one in costs]
    for name in dict.fromkeys(name for one in by_format for name in one):
        for key, what, digits in (
            ("megabytes", "MB", 1),
            ("ms", "milliseconds, one image", 1),
            ("images_per_second", "images a second", 1),
        ):
            values = [one.get(name, {}).get(key) for one in by_format]
            if any(value is not None for value in values):
                rows.append((f"{name}, {what}", [_show(value, digits) for value in values]))
    return rows


def _show(value, digits):
    return "n/a" if value is None else f"{value:,.{digits}f}"


# ---------------------------------------------------------------- pictures


def _collect_pictures(models, comparison, chosen):
    """(photos: dicts number, uri, width, height; pictures, one for each photo and model; rows; faults).

    Rows are dicts name, summary, pictures: an image, and its numbers in the list of pictures.
    """
    indexes = [index for index, _ in chosen]
    uris, _, faults = report_pictures.draw_pictures(models[0], indexes, {})
    photos, pictures, rows = [], [], []
    for number, (index, points) in enumerate(chosen):
        image = models[0].evaluated.images[index]
        photos.append({"number": number, "uri": uris[index], "width": image.width, "height": image.height})
        numbers = []
        for facts, one in zip(models, comparison["models"], strict=True):
            picture = report_pictures.describe_image(facts, index)
            picture |= {"number": len(pictures), "photo": number, "model": one["name"]}
            picture["name"] = f"{one['name']}, {image.name}"
            picture["alt"] = report_pictures.make_alt_text(picture)
            numbers.append(len(pictures))
            pictures.append(picture)
        rows.append({"name": image.name, "points": points, "pictures": numbers, "summary": _tell_split(models, index)})
    return photos, pictures, rows, faults


def _tell_split(models, index):
    """How many of an image's objects only some models find, in words."""
    there = models[0].counted & (models[0].evaluated.ground_truth.image == index)
    missed = [one.missed[there] for one in models]
    split = sum(len(set(column)) > 1 for column in zip(*missed, strict=True))
    return f"{count(split, 'object')} found by only some" if split else "other wrong boxes"


# ---------------------------------------------------------------- charts


def draw_differences(comparison: dict) -> Figure:
    """The differences to the first model with their intervals: a Figure with a line for each model and metric."""
    others = comparison["models"][1:]
    figure = make_figure(5.4, 0.7 + 1.25 * len(others))
    axes = figure.subplots()
    places = []
    for number, model in enumerate(others):
        top = number * (len(MAIN) + 1.6)
        axes.text(0.015, top - 0.9, model["name"], transform=axes.get_yaxis_transform(), va="center", fontweight="bold")
        for place, name in enumerate(MAIN, start=1):
            places.append(top + place - 1)
            one = model["differences"][name]
            if one["low"] is not None:
                colour = {"better": GREEN, "worse": RED}.get(one["verdict"], INK)
                axes.plot([one["low"], one["high"]], [places[-1]] * 2, color=colour, linewidth=2.4)
                axes.plot([one["value"]], [places[-1]], "o", color=colour, markersize=6)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(places, [*MAIN] * len(others))
    axes.set_ylim(places[-1] + 0.6, -1.4)
    furthest = max(0.02, *map(abs, axes.dataLim.intervalx)) * 1.05
    axes.set_xlim(-furthest, furthest)
    tidy(axes, "x", x=f"← worse \u2003 better than {comparison['models'][0]['name']} →")
    return figure


def draw_training(models: list[Facts], comparison: dict) -> list[tuple[str, Figure]]:
    """List of (title, Figure) of the models' train_log.csv: a line for each, and the evaluation's mAP at its step."""
    logs = [read_log(one.folder / LOG) for one in models]
    figures = []
    for column, title in CURVES.items():
        figure = make_figure(5.4, 2.9)
        axes = figure.subplots()
        for number, (rows, one) in enumerate(zip(logs, comparison["models"], strict=True)):
            colour, style, marker = LOOKS[number % len(LOOKS)]
            points = list_points(rows, column)
            end = one["metrics"]["mAP"]["value"] if column == "mAP" else None
            if points:
                axes.plot(*zip(*points, strict=True), linestyle=style, color=colour, linewidth=1.8, label=one["name"])
            if end is not None and one["step"] is not None:
                label = None if points else one["name"]
                axes.plot([one["step"]], [end], marker, color=colour, markersize=7, alpha=0.8, label=label)
        if not axes.lines:
            if column == "mAP":
                show_empty(axes, "No model was measured at a known step.")
                figures.append((title, figure))
            continue
        axes.set_ylim(0, 1.05 * axes.dataLim.y1 or 1)
        tidy(axes, "y", x="step")
        figure.legend(ncols=3, **LEGEND)
        figures.append((title, figure))
    return figures


def describe_difference(report: dict, number: int, metric: str = "mAP") -> str:
    """A sentence about model `number` (1 or more) against the first."""
    first, other = report["models"][0]["name"], report["models"][number]["name"]
    one = report["models"][number]["differences"][metric]
    where = f"on these {report['images']} images"
    if one["verdict"] == "none":
        return f"{other} and {first}: {metric} has nothing to measure {where}"
    if one["verdict"] == "same":
        return f"{other} and {first} have the same {metric} {where}"
    figures = f"{metric} {format_interval(one, signed=True)}"
    if one["verdict"] == "few":
        few = report["images_with_objects"]
        return f"{other} and {first} can't be told apart on {few} images with objects, which are too few: {figures}"
    if one["verdict"] == "open":
        return f"{other} and {first} can't be told apart {where}: {figures}"
    return f"{other} is {one['verdict']} than {first} {where}: {figures}"


def format_interval(one: dict, signed: bool = False, digits: int = 3) -> str:
    """A value with its interval: 0.531 [0.442, 0.619]."""
    if one["value"] is None:
        return "n/a"
    form = f"{'+' if signed else ''}.{digits}f"
    if one["low"] is None:
        return f"{one['value']:{form}}"
    return f"{one['value']:{form}} [{one['low']:{form}}, {one['high']:{form}}]"


def format_comparison(report: dict) -> str:
    """The comparison as text, for a terminal."""
    rows, differences, sentences = [], [], []
    for one in report["models"]:
        step = "" if one["step"] is None else f"{one['step']}"
        costs = one["costs"]
        size = next((row["megabytes"] for row in costs["exported"]), None)
        speed = "" if costs["evaluation"] is None else f"{costs['evaluation']:.3f}"
        figures = [format_interval(one["metrics"][name]) for name in MAIN]
        rows.append([one["name"], step, *figures, speed, "" if size is None else f"{size:.1f}"])
    lines = [
        f"{report['images']} images, {report['objects']} objects; [95 % intervals] of {report['resamples']:,} resamples"
        f" of the images, seed {report['seed']}",
        format_table(rows, ("model", "step", *MAIN, "s/image", "export MB")),
        "",
        f"against {report['models'][0]['name']}",
    ]
    for number, one in enumerate(report["models"][1:], start=1):
        differences.append([one["name"], *(_format_difference(one["differences"][name]) for name in MAIN)])
        sentences.append(describe_difference(report, number))
    return "\n".join([*lines, format_table(differences, ("", *MAIN)), "", *sentences])


def _format_difference(one):
    return "the same" if one["verdict"] == "same" else format_interval(one, signed=True)
