"""A data set in numbers: boxes per class, their sizes at the model's input, and how many of
them the model's anchors reach."""

import collections
import dataclasses

import numpy as np

from tfod.data.labelled_images import LabelledPhoto
from tfod.utils.console import format_table

SMALL, MEDIUM = 32**2, 96**2  # COCO's limits of the area, in pixels


@dataclasses.dataclass(frozen=True)
class Subset:
    """One subset of the data: train, test or val.

    photos:  list of tfod.data.labelled_images.LabelledPhoto
    counts:  Counter class name -> boxes
    per_image: int [images], the number of boxes in each
    sizes:   float [N, 2], (width, height) of each box, in pixels as `Statistics.unit` says
    centres: float [N, 2], (x, y) of each box, as shares of the photo's width and height
    best_iou: float [N], IoU of each box with its best anchor; None where the model has no anchors, or is not known
    """

    photos: list
    counts: collections.Counter
    per_image: np.ndarray
    sizes: np.ndarray
    centres: np.ndarray
    best_iou: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Statistics:
    """A data set's numbers.

    subsets:     dict name -> Subset
    names_to_ids: dict class name -> id, those of the label map first, then what else the boxes name
    unit:      what the sizes are measured in, a text
    anchors:   float [K, 2], (width, height) of the anchors' different shapes, or None
    threshold: the IoU from which an anchor matches a box, or None
    note:      a sentence that says why there are no anchors, or ""
    """

    subsets: dict[str, Subset]
    names_to_ids: dict
    unit: str
    anchors: np.ndarray | None
    threshold: float | None
    note: str

    def join(self, field: str) -> np.ndarray | None:
        """The arrays `field` of all subsets in one; None where the subsets have none."""
        arrays = [getattr(subset, field) for subset in self.subsets.values()]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    def count(self, name: str) -> int:
        return sum(subset.counts[name] for subset in self.subsets.values())


def measure(subsets: dict[str, list[LabelledPhoto]], names_to_ids: dict[str, int], config=None) -> Statistics:
    """The `Statistics` of a data set.

    subsets: dict name ("train", "test") -> list of LabelledPhoto; {} is one subset without photos
    names_to_ids: dict class name -> id
    config: TrainEvalPipelineConfig of the model that is to learn it, or None: sizes are in the photos' pixels then
    """
    unit, note = "in the photos' pixels", "no pipeline.config was given, so its anchors are not known"
    threshold = None
    if config is not None:
        unit, note = _describe_input(config)
        if note:
            config = None
        else:
            from tfod.report.anchors import get_match_threshold

            threshold = get_match_threshold(config)
            if threshold is None:
                note = f"{_FAMILIES[config.model.WhichOneof('model')]} has no anchors"
    shapes = set()
    subsets = subsets or {"images": []}
    measured = {
        name: _measure_subset(photos, config, threshold is not None, shapes) for name, photos in subsets.items()
    }
    names_to_ids = dict(names_to_ids)
    for subset in measured.values():
        for name in sorted(subset.counts):
            names_to_ids.setdefault(name, max(names_to_ids.values(), default=0) + 1)
    anchors = np.array(sorted(shapes)) if shapes else None
    return Statistics(measured, names_to_ids, unit, anchors, threshold, note)


_FAMILIES = {"ssd": "SSD", "faster_rcnn": "Faster R-CNN", "center_net": "CenterNet"}


def _describe_input(config):
    """(unit, note): what sizes at the model's input are called; a note if the resizer is not supported here."""
    from tfod.config.pipeline import get_input_scale, get_model

    try:
        get_input_scale(config, 1, 1)
    except ValueError as error:
        return "in the photos' pixels", f"sizes at the model's input are not known: {error}"
    resizer = get_model(config).image_resizer
    if resizer.WhichOneof("image_resizer_oneof") == "fixed_shape_resizer":
        size = resizer.fixed_shape_resizer
        return f"in pixels at the model's input, {size.width} x {size.height}", ""
    size = resizer.keep_aspect_ratio_resizer
    low, high = size.min_dimension, size.max_dimension
    return f"in pixels at the model's input, {low if low == high else f'{low} to {high}'}", ""


def _measure_subset(photos, config, has_anchors, shapes):
    """The `Subset` of a list of LabelledPhoto; adds the anchors' (width, height) to the set `shapes`."""
    edges, centres, groups = [], [], collections.defaultdict(list)
    for photo in photos:
        scale = (1, 1)
        if config is not None:
            from tfod.config.pipeline import get_input_scale
            from tfod.report.anchors import get_input_size

            scale = get_input_scale(config, photo.width, photo.height)
            if has_anchors:
                start, group = len(edges), groups[get_input_size(config, photo.width, photo.height)]
                group.extend(range(start, start + len(photo.boxes)))
        for box in photo.boxes:
            edges.append((box.xmin * scale[0], box.ymin * scale[1], box.xmax * scale[0], box.ymax * scale[1]))
            centres.append(((box.xmin + box.xmax) / 2 / photo.width, (box.ymin + box.ymax) / 2 / photo.height))
    edges = np.array(edges, float).reshape(-1, 4)
    best_iou = _fit_anchors(edges, groups, config, shapes) if has_anchors else None
    return Subset(
        list(photos),
        collections.Counter(box.name for photo in photos for box in photo.boxes),
        np.array([len(photo.boxes) for photo in photos], int),
        edges[:, 2:] - edges[:, :2],
        np.array(centres, float).reshape(-1, 2),
        best_iou,
    )


def _fit_anchors(edges, groups, config, shapes):
    """float [N]: the best anchor's IoU of each box. `groups` is a dict input size -> indices of its boxes."""
    from tfod.report.anchors import find_best_iou, make_anchor_grids

    best_iou = np.zeros(len(edges))
    faster_rcnn = config.model.WhichOneof("model") == "faster_rcnn"
    prune = faster_rcnn and not config.model.faster_rcnn.clip_anchors_to_image
    for size, indices in groups.items():
        grids = make_anchor_grids(config, *size)
        shapes.update(tuple(shape) for grid in grids for shape in grid.shapes.round(2).tolist())
        best_iou[indices] = find_best_iou(edges[indices], grids, size if prune else None)
    return best_iou


def share_sizes(sizes: np.ndarray) -> tuple[float, float, float]:
    """The shares of boxes that are small, medium and large by COCO's limits: three floats, from 0 to 1."""
    areas = sizes.prod(axis=1)
    total = max(len(areas), 1)
    small, large = (areas < SMALL).sum(), (areas >= MEDIUM).sum()
    return small / total, (len(areas) - small - large) / total, large / total


def share_covered(best_iou: np.ndarray, threshold: float) -> float:
    """The share of boxes whose best anchor reaches the threshold, from 0 to 1; 0 where there are no boxes."""
    return float((best_iou >= threshold).mean()) if len(best_iou) else 0.0


def list_rows(statistics: Statistics) -> list[tuple[str, ...]]:
    """The numbers as rows of texts: a label, and a cell for each subset; first the names of the subsets."""
    subsets = statistics.subsets.values()
    rows = [("", *statistics.subsets)]
    rows.append(("images", *(f"{len(subset.photos):,}" for subset in subsets)))
    rows.append(("images without boxes", *(f"{(subset.per_image == 0).sum():,}" for subset in subsets)))
    rows.append(("boxes", *(f"{len(subset.sizes):,}" for subset in subsets)))
    for name in statistics.names_to_ids:
        rows.append((f"  {name}", *(f"{subset.counts[name]:,}" for subset in subsets)))
    medians = [np.median(subset.sizes, axis=0) if len(subset.sizes) else None for subset in subsets]
    rows.append(("median size", *("-" if m is None else f"{m[0]:.0f} x {m[1]:.0f}" for m in medians)))
    shares = [share_sizes(subset.sizes) if len(subset.sizes) else None for subset in subsets]
    labels = ("small (area < 32 x 32)", "medium", "large (area from 96 x 96)")
    for i, label in enumerate(labels):
        rows.append((label, *("-" if share is None else f"{share[i]:.1%}" for share in shares)))
    if statistics.threshold is not None:
        covered = [
            f"{share_covered(subset.best_iou, statistics.threshold):.1%}" if len(subset.sizes) else "-"
            for subset in subsets
        ]
        rows.append((f"reached by an anchor (IoU >= {statistics.threshold:g})", *covered))
    return rows


def format_summary(statistics: Statistics) -> str:
    """The numbers as a table of plain text: a row for each, a column for each subset."""
    header, *rows = list_rows(statistics)
    return f"{format_table(rows, header)}\n{describe_units(statistics)}"


def describe_units(statistics: Statistics) -> str:
    """What the sizes are measured in, and why there are no anchors, where there are none."""
    return f"Sizes are {statistics.unit}." + (f" No anchors: {statistics.note}." if statistics.note else "")
