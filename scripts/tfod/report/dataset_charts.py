"""Charts of a data set.

Each `draw_...` function takes `dataset_statistics.Statistics` and returns a matplotlib Figure, which can be saved
as PNG or SVG; `draw_charts` saves all of them.
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tfod.data.images import map_in_threads, read_image
from tfod.data.labelled_images import LabelledPhoto
from tfod.report.dataset_statistics import (
    MEDIUM,
    SMALL,
    Statistics,
    format_summary,
    measure,
    share_covered,
    share_sizes,
)
from tfod.utils.console import progress, say
from tfod.utils.drawing import draw_sheet, get_font
from tfod.utils.figures import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    make_figure,
    set_plain_ticks,
    show_empty,
    tidy,
)
from tfod.utils.files import fingerprint, is_current, mark_current, refuse_foreign, write_whole

MAKER = "check_dataset --plots"  # of the output, as its stamp says
SAMPLES = 8  # photos on a class's page
ROWS = 90  # classes in the bar chart, as many as COCO's label map has ids
GROUPED_ROWS = 25  # with more than these, the subsets' bars go end to end
POINTS = 5000  # boxes in the scatter chart: more would hide each other


def get_subset_colour(name: str) -> list[float]:
    """The fixed colour of a subset of the data: train, test, val, or another."""
    return {"train": BLUE, "test": ORANGE, "val": GREEN}.get(name, PURPLE)


def draw_boxes_per_class(statistics: Statistics) -> Figure:
    """Bars: the boxes of each class in each subset, the most frequent class on top; where there are too many classes
    for one chart, the middle is left out: the frequent and the rare ones matter."""
    names = sorted(statistics.names_to_ids, key=lambda name: -statistics.count(name))
    left_out = names[ROWS - 21 : -20] if len(names) > ROWS else []
    rows = [name for name in names if name not in set(left_out)]
    texts = [name if len(name) <= 28 else name[:27] + "…" for name in rows]
    counts = {subset: [one.counts[name] for name in rows] for subset, one in statistics.subsets.items()}
    if left_out:
        at = ROWS - 21
        texts.insert(at, f"… and {len(left_out)} more classes")
        for subset, one in statistics.subsets.items():
            counts[subset].insert(at, sum(one.counts[name] for name in left_out))
    total = sum(map(statistics.count, names))
    grouped = len(texts) <= GROUPED_ROWS
    height = 1.4 + len(texts) * (max(0.17 * len(counts), 0.24) if grouped else 0.19)
    subtitle = f"{total:,} boxes of {len(names)} {'class' if len(names) == 1 else 'classes'}"
    if names and not statistics.count(names[-1]):
        subtitle += f"; {sum(not statistics.count(name) for name in names)} of the label map have none"
    figure = make_figure(8, max(height, 2.6), "Boxes per class", subtitle)
    axes = figure.subplots()
    if not names:
        show_empty(axes, "The label map has no classes, and there are no boxes.")
        return figure
    size = 9 if grouped else 8
    draw = _draw_grouped_bars if grouped else _draw_stacked_bars
    longest = draw(axes, counts)
    axes.set_yticks(range(len(texts)), texts, fontsize=size, parse_math=False)  # a class may be named $x
    for label in axes.get_yticklabels():
        label.set_fontfamily(_find_families(label.get_text()))
    axes.set_ylim(len(texts) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * max(1, longest))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("boxes")
    tidy(axes, "x")
    figure.legend(loc="upper right", ncols=len(counts), frameon=False, fontsize=9)
    return figure


def _find_families(text):
    """The names of the fonts that matplotlib takes the letters of `text` from: its own, and one of another script."""
    from matplotlib import font_manager

    other = get_font(text, 16).path
    if all(font.fname != other for font in font_manager.fontManager.ttflist):
        font_manager.fontManager.addfont(other)
    return ["DejaVu Sans", font_manager.FontProperties(fname=other).get_name()]


def _draw_grouped_bars(axes, counts):
    """Bars side by side, each with its number; `counts`: dict subset -> list of ints. Returns the longest's length."""
    thick = min(0.8, 0.3 * len(counts)) / len(counts)
    for i, (subset, values) in enumerate(counts.items()):
        places = np.arange(len(values)) + (i - (len(counts) - 1) / 2) * thick
        bars = axes.barh(places, values, thick * 0.92, color=get_subset_colour(subset), label=subset)
        axes.bar_label(bars, [f"{value:,}" for value in values], padding=3, fontsize=7.5, color=INK)
    return max(map(max, counts.values()))


def _draw_stacked_bars(axes, counts):
    """Bars end to end, which take less room, with all subsets' numbers behind them."""
    ends = np.zeros(len(next(iter(counts.values()))))
    for subset, values in counts.items():
        bars = axes.barh(range(len(values)), values, 0.72, left=ends, color=get_subset_colour(subset), label=subset)
        ends = ends + values
    texts = [" + ".join(f"{value:,}" for value in row) for row in zip(*counts.values(), strict=True)]
    axes.bar_label(bars, texts, padding=3, fontsize=6.5, color=INK)
    return ends.max()


def draw_boxes_per_image(statistics: Statistics) -> Figure:
    """Bars: which share of each subset's images has how many boxes."""
    most = max(
        (int(subset.per_image.max()) for subset in statistics.subsets.values() if len(subset.per_image)), default=0
    )
    if most <= 14:
        edges = list(range(most + 2))
    else:
        edges = [edge for edge in (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500) if edge <= most] + [most + 1]
    labels = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in zip(edges, edges[1:], strict=False)]
    means = [
        f"{name} {subset.per_image.mean():.1f}" for name, subset in statistics.subsets.items() if len(subset.photos)
    ]
    subtitle = f"mean: {', '.join(means)}; most: {most}. Numbers on the bars count images." if means else ""
    figure = make_figure(8, 4, "Boxes per image", subtitle)
    axes = figure.subplots()
    if not means:
        show_empty(axes, "There are no images.")
        return figure
    thick = 0.8 / len(statistics.subsets)
    for i, (name, subset) in enumerate(statistics.subsets.items()):
        counts = np.histogram(subset.per_image, edges[:-1] + [edges[-1] - 0.5])[0]
        places = np.arange(len(labels)) + (i - (len(statistics.subsets) - 1) / 2) * thick
        shares = 100 * counts / max(len(subset.photos), 1)
        bars = axes.bar(places, shares, thick * 0.94, color=get_subset_colour(name), label=name)
        axes.bar_label(bars, [f"{c:,}" if c else "" for c in counts], padding=2, fontsize=7, color=INK)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, max(len(labels), 5) - 0.4)
    axes.set_xlabel("boxes in an image")
    axes.set_ylabel("% of the subset's images")
    tidy(axes, "y")
    figure.legend(loc="upper right", ncols=len(statistics.subsets), frameon=False, fontsize=9)
    return figure


def draw_box_centres(statistics: Statistics) -> Figure:
    """A heat map for each subset: where in the image the boxes' centres lie."""
    subsets = statistics.subsets
    subtitle = "centres, as shares of the image's width and height"
    figure = make_figure(max(4.4 * len(subsets), 5), 4.4, "Where boxes lie", subtitle)
    all_axes = figure.subplots(1, len(subsets), squeeze=False)[0]
    for axes, (name, subset) in zip(all_axes, subsets.items(), strict=True):
        if not len(subset.centres):
            show_empty(axes, f"{name}: no boxes")
            continue
        cells = int(np.clip(np.sqrt(len(subset.centres)) * 0.8, 5, 50))
        counts = np.histogram2d(subset.centres[:, 1], subset.centres[:, 0], cells, [[0, 1], [0, 1]])[0]
        image = axes.imshow(np.ma.masked_equal(counts, 0), cmap="viridis", extent=(0, 1, 1, 0), vmin=0)
        axes.set_facecolor(FAINT)  # no box at all is not the same as few
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.set_label("boxes in a cell", fontsize=9)
        bar.locator.set_params(integer=True)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
        axes.set_xticks([0, 0.5, 1], ["left", "middle", "right"])
        axes.set_yticks([0, 0.5, 1], ["top", "middle", "bottom"])
        tidy(axes, "both", f"{name}: {len(subset.centres):,} boxes, {cells} x {cells} cells")
        axes.grid(visible=False)
    return figure


def draw_samples(statistics: Statistics, name: str) -> Image.Image:
    """At most `SAMPLES` photos with boxes of the class `name`, picked evenly over all subsets, as one PIL image."""
    photos = [photo for subset in statistics.subsets.values() for photo in subset.photos]
    photos = [photo for photo in photos if any(box.name == name for box in photo.boxes)]
    number = min(len(photos), SAMPLES)
    chosen = [photos[i * len(photos) // number] for i in range(number)]
    loaded = [(photo.path, read_image(photo.path), photo.boxes) for photo in chosen]
    boxes = statistics.count(name)
    title = f"{name}: {boxes:,} {'box' if boxes == 1 else 'boxes'} in {len(photos):,} images"
    return draw_sheet(loaded, 4, 1440, title, statistics.names_to_ids)


def _save_samples(folder, statistics, name):
    """Saves the page of a class; returns 1, the number of pages."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:60]
    draw_samples(statistics, name).save(folder / f"class_{statistics.names_to_ids[name]:02d}_{plain}.png")
    return 1


def draw_figures(statistics: Statistics) -> dict[str, Figure]:
    """The dict file name (without suffix) -> Figure of all charts."""
    return {
        "boxes_per_class": draw_boxes_per_class(statistics),
        "boxes_per_image": draw_boxes_per_image(statistics),
        "box_sizes": draw_box_sizes(statistics),
        "box_centres": draw_box_centres(statistics),
    }


def draw_charts(
    folder: Path, subsets: dict[str, list[LabelledPhoto]], names_to_ids: dict[str, int], config=None
) -> None:
    """Writes the charts of a data set into `folder`, whole or not at all, and its numbers to standard output.

    subsets: dict name ("train", "test") -> list of LabelledPhoto
    names_to_ids: dict class name -> id
    config: TrainEvalPipelineConfig or None
    Raises InputError if `folder` holds anything that this function did not write.
    """
    folder = Path(folder)
    statistics = measure(subsets, names_to_ids, config)
    print(format_summary(statistics))
    photos = [photo for subset in subsets.values() for photo in subset]
    said = {name: [[str(photo.path), *map(str, photo.boxes)] for photo in subset] for name, subset in subsets.items()}
    settings = {"subsets": said, "classes": names_to_ids, "config": str(config)}
    state = fingerprint([photo.path for photo in photos], **settings)
    if is_current(folder, state, MAKER):
        say(f"{folder} is up to date ({len(photos)} images)")
        return
    refuse_foreign(folder, MAKER, "give a new folder with --plots")
    names = [name for name in statistics.names_to_ids if statistics.count(name)]
    with write_whole(folder, MAKER) as fresh:
        fresh.mkdir()
        for stem, figure in draw_figures(statistics).items():
            figure.savefig(fresh / f"{stem}.png")
        pages = map_in_threads(lambda name: _save_samples(fresh, statistics, name), progress(names, "drawing samples"))
        number = sum(pages)
    mark_current(folder, state, MAKER)
    print(f"Wrote {folder}: {4 + number} pictures")


def describe_coverage(statistics: Statistics) -> str:
    """One sentence: how many boxes the anchors reach, or why that is not known."""
    best_iou = statistics.join("best_iou")
    if statistics.threshold is None or best_iou is None:
        return f"No anchors: {statistics.note}."
    share = share_covered(best_iou, statistics.threshold)
    return f"An anchor reaches IoU ≥ {statistics.threshold:g}, the matcher's threshold, with {share:.1%} of the boxes."


def draw_box_sizes(statistics: Statistics) -> Figure:
    """Four charts of the boxes of all subsets: width and height, size, aspect ratio, and IoU with the best anchor."""
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
