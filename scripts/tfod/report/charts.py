"""The charts of an evaluation: matplotlib Figures, small enough for a phone, without titles."""

import math

import numpy as np
from matplotlib.figure import Figure

from tfod.evaluation.curves import Calibration, Curve, SizeRow
from tfod.training.log import PANELS, draw_columns
from tfod.utils.figures import BLUE, GREEN, INK, LEGEND, ORANGE, POINTS, RED, make_figure, show_empty, tidy

WIDTH, HEIGHT = 4.8, 2.7  # inches


def _thin(*values):
    """At most `POINTS` indexes of arrays of one length, close together where these change, with the first and last."""
    way = sum(np.abs(np.diff(one)) / (np.ptp(one) or 1) for one in map(np.asarray, values))
    way = np.append(0, np.cumsum(way + 1e-9))
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], POINTS)))


def draw_class(curve: Curve) -> Figure:
    """Precision over recall, and precision, recall and F1 over the score threshold, of one class."""
    figure = make_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    for axes, name in ((left, "recall"), (right, "score threshold")):
        axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        tidy(axes, "both", x=name)
    left.set_ylabel("precision", fontsize=10, color=INK)
    if not len(curve.score) or not curve.objects:
        for axes in (left, right):
            show_empty(axes, "No detections." if curve.objects else "No objects.")
        return figure
    at = _thin(curve.score, curve.precision, curve.recall)
    recall, precision = np.append(0, curve.recall[at]), np.append(curve.precision[0], curve.precision[at])
    left.plot(recall, precision, color=BLUE, linewidth=1.8)
    left.plot([curve.best_recall], [curve.best_precision], "o", color=RED, markersize=7)
    for name, values, colour, style in (
        ("F1", curve.f1, BLUE, "-"),
        ("precision", curve.precision, GREEN, "--"),
        ("recall", curve.recall, ORANGE, ":"),
    ):
        right.plot(curve.score[at], values[at], style, color=colour, linewidth=1.8, label=name)
    right.axvline(curve.threshold, color=RED, linewidth=1.2)
    right.plot([curve.threshold], [curve.best_f1], "o", color=RED, markersize=7)
    figure.legend(*right.get_legend_handles_labels(), ncols=3, **LEGEND)
    return figure


def draw_training(rows: list[dict]) -> dict[str, Figure]:
    """Title -> Figure, of what `log.read_log` returns; without the panels of which nothing was logged."""
    figures = {}
    for title, columns in PANELS.items():
        figure = make_figure(WIDTH, HEIGHT)
        axes = figure.subplots()
        if draw_columns(axes, rows, columns):
            figures[title] = figure
            if len(axes.lines) > 1:
                figure.legend(ncols=2, **LEGEND)
    return figures


def draw_calibration(calibration: Calibration) -> Figure:
    """The share of correct detections over the score: a bar for each bin, with its number of detections."""
    figure = make_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.5, 1])
    tidy(axes, "both", x="score", y="share that is correct")
    filled = calibration.count > 0
    if not filled.any():
        show_empty(axes, "No detections.")
        return figure
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.2, label="perfect calibration")
    width = np.diff(calibration.edges)[filled]
    heights = calibration.share_correct[filled]
    bars = axes.bar(calibration.edges[:-1][filled], heights, 0.92 * width, align="edge", color=BLUE)
    axes.bar_label(bars, [f"{number:,}" for number in calibration.count[filled]], padding=2, fontsize=8.5, color=INK)
    figure.legend(**LEGEND)
    return figure


def draw_sizes(rows: list[SizeRow]) -> Figure:
    """Bars of the objects found and missed, by the length of their side at the model's input."""
    figure = make_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    tidy(axes, "y", x="side at the model's input, pixels", y="objects")
    if not rows:
        show_empty(axes, "No objects.")
        return figure
    places, found = range(len(rows)), [row.found for row in rows]
    axes.bar(places, found, 0.8, color=BLUE, label="found")
    missed = {"color": ORANGE, "hatch": "//", "edgecolor": "white", "linewidth": 0, "label": "missed"}
    axes.bar(places, [row.missed for row in rows], 0.8, bottom=found, **missed)
    axes.set_xticks(places, [name_size(row) for row in rows], fontsize=9)
    axes.set_xlim(-0.6, max(len(rows), 4) - 0.4)
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(ncols=2, **LEGEND)
    return figure


def name_size(row: SizeRow) -> str:
    """The range of sides of a row: 32-64, or 256+."""
    return f"{row.low:g}+" if math.isinf(row.high) else f"{row.low:g}-{row.high:g}"
