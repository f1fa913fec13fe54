"""The charts of an evaluation: matplotlib Figures, small enough for a phone, without titles."""

import math

import numpy as np

from tfod.report.chart_style import BLUE, GREEN, INK, ORANGE, RED, show_empty, tidy
from tfod.training.log import LOSSES, METRICS

POINTS = 300  # of a curve: more can't be told apart
WIDE, HIGH = 4.8, 2.7  # inches


def _make_figure(columns=1, wide=WIDE, high=HIGH):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, high), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _thin(*values):
    """At most `POINTS` indexes of arrays of one length, close together where these change, with the first and last."""
    way = sum(np.abs(np.diff(one)) / (np.ptp(one) or 1) for one in map(np.asarray, values))
    way = np.append(0, np.cumsum(way + 1e-9))
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], POINTS)))


def _label(axes, x, y):
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)


def draw_class(curve):
    """Precision over recall, and precision, recall and F1 over the score, of a class's `curves.Curve`."""
    figure, (left, right) = _make_figure(2)
    for axes in (left, right):
        axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        tidy(axes, "both")
    _label(left, "recall", "precision")
    _label(right, "least score", "")
    if not len(curve.score) or not curve.truths:
        for axes in (left, right):
            show_empty(axes, "No detection." if curve.truths else "No object.")
        return figure
    at = _thin(curve.score, curve.precision, curve.recall)
    recall, precision = np.append(0, curve.recall[at]), np.append(curve.precision[0], curve.precision[at])
    left.plot(recall, precision, color=BLUE, linewidth=1.8)
    left.plot([curve.best_recall], [curve.best_precision], "o", color=RED, markersize=7)
    drawn = (
        ("F1", curve.f1, BLUE, "-"),
        ("precision", curve.precision, GREEN, "--"),
        ("recall", curve.recall, ORANGE, ":"),
    )
    for name, values, colour, style in drawn:
        right.plot(curve.score[at], values[at], style, color=colour, linewidth=1.8, label=name)
    right.axvline(curve.threshold, color=RED, linewidth=1.2)
    right.plot([curve.threshold], [curve.best_f1], "o", color=RED, markersize=7)
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=9.5)
    return figure


def draw_training(rows):
    """Dict title -> Figure of train_log.csv's rows: losses, learning rate, and mAP where it was measured."""
    panels = {"Losses": LOSSES, "Learning rate": ["learning_rate"], "mAP on the test images, while training": METRICS}
    figures = {}
    for title, names in panels.items():
        figure, (axes,) = _make_figure()
        for name, colour, style in zip(names, (BLUE, ORANGE, GREEN, RED), ("-", "--", ":", "-."), strict=False):
            points = [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]
            points = points[:: -(-len(points) // POINTS) or 1]
            if points:
                marker = "o" if len(points) < 20 else ""
                label = name.replace("_", " ").replace(" loss", "")
                axes.plot(*zip(*points, strict=True), style, color=colour, marker=marker, markersize=4, label=label)
        if not axes.lines:
            continue
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="plain" if title != "Learning rate" else "sci", scilimits=(-3, 4))
        axes.yaxis.get_offset_text().set_fontsize(9)
        tidy(axes, "y")
        _label(axes, "step", "")
        if len(axes.lines) > 1:
            figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9.5)
        figures[title] = figure
    return figures


def draw_calibration(calibration):
    """The share of correct detections over the score: a bar for each bin, with its number of detections."""
    figure, (axes,) = _make_figure()
    axes.set(xlim=(0, 1), ylim=(0, 1.04), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[0, 0.5, 1])
    tidy(axes, "both")
    _label(axes, "score", "share that is correct")
    there = calibration.count > 0
    if not there.any():
        show_empty(axes, "No detection.")
        return figure
    axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1.2, label="as sure as it is right")
    width = np.diff(calibration.edges)[there]
    heights = calibration.share_correct[there]
    bars = axes.bar(calibration.edges[:-1][there], heights, 0.92 * width, align="edge", color=BLUE)
    axes.bar_label(bars, [f"{number:,}" for number in calibration.count[there]], padding=2, fontsize=8.5, color=INK)
    figure.legend(loc="outside upper right", frameon=False, fontsize=9.5)
    return figure


def draw_sizes(rows):
    """Bars of the objects found and missed, by their side at the model's input; `rows` are `curves.SizeRow`."""
    figure, (axes,) = _make_figure()
    tidy(axes, "y")
    _label(axes, "side at the model's input, pixels", "objects")
    if not rows:
        show_empty(axes, "No object.")
        return figure
    places = range(len(rows))
    axes.bar(places, [row.found for row in rows], 0.8, color=BLUE, label="found")
    bottom = [row.found for row in rows]
    missed = [row.missed for row in rows]
    axes.bar(
        places, missed, 0.8, bottom=bottom, color=ORANGE, hatch="//", edgecolor="white", linewidth=0, label="missed"
    )
    axes.set_xticks(places, [name_size(row) for row in rows], fontsize=9)
    axes.set_xlim(-0.6, max(len(rows), 4) - 0.4)
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9.5)
    return figure


def name_size(row):
    """The sides that a `SizeRow` counts, as text."""
    return f"{row.low:g}+" if math.isinf(row.high) else f"{row.low:g}-{row.high:g}"
