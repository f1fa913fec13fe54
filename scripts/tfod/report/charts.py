"""The charts of an evaluation: matplotlib Figures, small enough for a phone, without titles, and as SVG for a page.

Figures are made without pyplot and its global state."""

import contextlib
import io
import math
import re
import warnings

import numpy as np
from markupsafe import Markup, escape

from tfod.training.log import LOSSES, METRICS
from tfod.utils.drawing import PALETTE

POINTS = 300  # of a curve: more can't be told apart
WIDE, HIGH = 4.8, 2.7  # inches
DOTS_PER_INCH = 150
BLUE, ORANGE, GREEN, PURPLE, RED = ([part / 255 for part in PALETTE[i]] for i in (4, 0, 2, 6, 5))
INK, FAINT = "0.25", "0.88"

# what chart_style draws with, and the page's own colours: a name of a CSS variable for each
COLOURS = {
    "#000000": "ink",
    "#404040": "soft",
    "#737373": "soft",
    "#e0e0e0": "line",
    "#ffffff": "paper",
    "#0072b2": "blue",
    "#e69f00": "orange",
    "#009e73": "green",
    "#cc79a7": "purple",
    "#d55e00": "red",
}


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


def get_side_colour(side):
    """The lasting colour of a side of the split."""
    return {"train": BLUE, "test": ORANGE, "val": GREEN}.get(side, PURPLE)


def make_figure(width, height, title, subtitle=""):
    """An empty Figure of `width` x `height` inches with a title, and a smaller line below it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    figure.suptitle(title + ("\n" if subtitle else ""), x=0.02, ha="left", fontsize=13, fontweight="bold")
    if subtitle:
        figure.text(0.02, 1 - 0.36 / height, subtitle, ha="left", va="top", fontsize=9, color=INK)
    return figure


def tidy(axes, grid, title=""):
    """Only the lines that a reader needs; `grid` is "x", "y" or "both"."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0 if grid != "both" else 3, labelsize=9)


def show_empty(axes, text):
    """An empty chart that says why it is empty."""
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=INK, transform=axes.transAxes, wrap=True)


def set_plain_ticks(axis, low, high):
    """Ticks at powers of two between `low` and `high`, written as numbers, on a logarithmic axis."""
    exponents = range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)
    step = -(-len(exponents) // 9) or 1
    ticks = [2.0**e for e in exponents if e % step == 0]
    axis.set_ticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    axis.set_ticks([], minor=True)


@contextlib.contextmanager
def charting():
    """Figures that are made and saved in this block take texts as they are (no mathematics in class names), keep these
    as texts in SVG, and get the same ids each time."""
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": "tfod", "text.parse_math": False, "font.size": 10}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has others
        yield


def make_svg(figure, name, alt):
    """A Figure as an <svg> element for a page, `Markup`. `name`, letters only, sets its ids apart from other charts'.

    `alt` is what it shows, for people who do not see it.
    """
    text = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=empty)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub("|".join(COLOURS), lambda found: f"var(--{COLOURS[found[0]]})", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # the page's own font
    svg = re.sub(r"\n\s*", "\n", svg)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    head = f'<svg class="chart" role="img" aria-label="{escape(alt)}" style="--wide: {float(size[1]):.0f}" {size[0]}>'
    return Markup(head + svg[svg.index(">") + 1 :])
