"""The chart of box sizes, and of the anchors that are to reach them."""

import numpy as np

from tfod.report.chart_style import BLUE, INK, RED, make_figure, set_plain_ticks, show_empty, tidy
from tfod.report.dataset_statistics import MEDIUM, SMALL, share_covered, share_sizes

POINTS = 5000  # boxes in the scatter chart: more would hide each other


def describe_coverage(statistics):
    """One sentence: how many boxes the anchors reach, or why that is not known."""
    best_iou = statistics.join("best_iou")
    if statistics.threshold is None or best_iou is None:
        return f"No anchors: {statistics.note}."
    share = share_covered(best_iou, statistics.threshold)
    return f"An anchor reaches IoU ≥ {statistics.threshold:g}, the matcher's threshold, with {share:.1%} of the boxes."


def draw_box_sizes(statistics):
    """Four charts of the boxes of all sides: width and height, size, aspect ratio, and IoU with the best anchor."""
    sizes, best_iou, anchors = statistics.join("sizes"), statistics.join("best_iou"), statistics.anchors
    title = "Box sizes and anchors" if best_iou is not None else "Box sizes"
    subtitle = f"{describe_coverage(statistics)} Sizes are {statistics.unit}."
    figure = make_figure(11, 8.4, title, subtitle)
    plane, areas, ratios, fit = figure.subplots(2, 2).flat
    if not len(sizes):
        for axes in (plane, areas, ratios, fit):
            show_empty(axes, "There are no boxes.")
        return figure
    sizes = np.maximum(sizes, 1e-3)
    _draw_plane(plane, sizes, best_iou, anchors, statistics.threshold)
    _draw_areas(areas, sizes, anchors)
    _draw_ratios(ratios, sizes, anchors)
    if best_iou is None:
        show_empty(fit, describe_coverage(statistics))
        return figure
    edges = np.linspace(0, 1, 41)
    counts = np.histogram(best_iou, edges)[0]
    colours = [BLUE if edge >= statistics.threshold - 1e-9 else RED for edge in edges[:-1]]
    fit.bar(edges[:-1], counts, 0.023, align="edge", color=colours)
    fit.axvline(statistics.threshold, color=INK, linewidth=1)
    fit.set(xlabel="IoU", ylabel="boxes", xlim=(0, 1))
    fit.text(statistics.threshold, 1, " match →", transform=fit.get_xaxis_transform(), va="top", fontsize=8, color=INK)
    fit.yaxis.get_major_locator().set_params(integer=True)
    tidy(fit, "y", "IoU with the best anchor, placed as the anchors lie")
    return figure


def _draw_plane(axes, sizes, best_iou, anchors, threshold):
    """Width and height of boxes and anchors, on logarithmic axes, with COCO's limits of small and large."""
    shown = np.unique(np.linspace(0, len(sizes) - 1, POINTS).astype(int))
    points, size = sizes[shown], float(np.clip(600 / np.sqrt(len(shown)), 4, 30))
    reached = np.ones(len(shown), bool) if best_iou is None else best_iou[shown] >= threshold
    everything = np.concatenate([sizes, anchors]) if anchors is not None else sizes
    low, high = everything.min() / 1.3, everything.max() * 1.3
    line = np.array([low, high])
    for area, name in ((SMALL, "32²"), (MEDIUM, "96²")):
        axes.plot(line, area / line, color="0.6", linewidth=1, linestyle=(0, (4, 3)))
        if low < area**0.5 < high:
            place = (area / high * 1.02, high) if area / high > low else (low, area / low)
            axes.annotate(name, place, (9, -8), textcoords="offset points", fontsize=8, color="0.45")
    style = {"s": size, "linewidths": 0, "alpha": 0.45 if len(shown) > 200 else 0.7}
    label = "boxes" if best_iou is None else "boxes that an anchor reaches"
    axes.scatter(*points[reached].T, color=BLUE, marker="o", label=label, **style)
    if not reached.all():
        axes.scatter(*points[~reached].T, color=RED, marker="D", label="boxes out of reach", **style)
    if anchors is not None:
        axes.scatter(*anchors.T, color="black", marker="+", s=45, linewidths=1.1, label="anchors")
    axes.set(xscale="log", yscale="log", xlim=line, ylim=line, xlabel="width", ylabel="height")
    some = f" ({len(shown):,} of {len(sizes):,} boxes)" if len(shown) < len(sizes) else ""
    for axis in (axes.xaxis, axes.yaxis):
        set_plain_ticks(axis, low, high)
    axes.set_aspect("equal")
    axes.figure.legend(loc="upper right", ncols=3, frameon=False, fontsize=9)
    tidy(axes, "both", f"Width and height{some}")


def _draw_histogram(axes, values, marks, low, high, title):
    """A histogram on a logarithmic x axis; `marks` are the anchors' values, as ticks above the axis."""
    bins = np.geomspace(low, high, int(np.clip(2 * len(values) ** 0.5, 12, 48)) + 1)
    axes.hist(values, bins, color=BLUE, rwidth=0.94)
    axes.set(xscale="log", xlim=(low, high), ylabel="boxes")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if marks is not None:
        axes.plot(marks, np.full(len(marks), 0.035), "|", color="black", ms=12, mew=1.4,
                  transform=axes.get_xaxis_transform(), label="anchors")  # fmt: skip
        axes.legend(loc="upper right", fontsize=8, frameon=False)
    set_plain_ticks(axes.xaxis, low, high)
    tidy(axes, "y", title)


def _draw_areas(axes, sizes, anchors):
    values = np.sqrt(sizes.prod(axis=1))
    marks = None if anchors is None else np.unique(np.sqrt(anchors.prod(axis=1)).round(1))
    everything = np.concatenate([values, marks]) if marks is not None else values
    small, medium, large = share_sizes(sizes)
    title = f"Size: {small:.0%} small (< 32²), {medium:.0%} medium, {large:.0%} large (≥ 96²)"
    _draw_histogram(axes, values, marks, everything.min() / 1.2, everything.max() * 1.2, title)
    for area in (SMALL, MEDIUM):
        axes.axvline(area**0.5, color="0.6", linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlabel("square root of the area")


def _draw_ratios(axes, sizes, anchors):
    values = sizes[:, 0] / sizes[:, 1]
    marks = None if anchors is None else np.unique((anchors[:, 0] / anchors[:, 1]).round(2))
    reach = max(4.6, 1.2 * np.maximum(values, 1 / values).max())
    _draw_histogram(axes, values, marks, 1 / reach, reach, "Aspect ratio")
    axes.set_xlabel("width / height")
