"""The anchors of a pipeline.config as training meets them, and how well they fit labelled boxes."""

import dataclasses
import functools
import itertools

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.config.pipeline import get_input_scale, get_model
from tfod.utils.console import InputError

RPN_THRESHOLD = 0.7  # Faster R-CNN's first stage: no field of its config says it, upstream's target assigner does


@dataclasses.dataclass(frozen=True)
class AnchorGrid:
    """The anchors of one feature map, in pixels of the model's input: every shape stands at every crossing.

    xs:     float [columns], ys: float [rows], the centres, ascending
    shapes: float [K, 2], (width, height)
    """

    xs: np.ndarray
    ys: np.ndarray
    shapes: np.ndarray


def get_input_size(config, width: int, height: int) -> tuple[int, int]:
    """(width, height) of what the model sees of a photo of `width` x `height` pixels, padding included.

    Raises ValueError as `get_input_scale` does.
    """
    x_scale, y_scale = get_input_scale(config, width, height)
    resizer = get_model(config).image_resizer.keep_aspect_ratio_resizer
    if resizer.pad_to_max_dimension:
        return resizer.max_dimension, resizer.max_dimension
    return round(width * x_scale), round(height * y_scale)


def get_match_threshold(config) -> float | None:
    """The IoU from which an anchor counts as a match of a box in training; None for a family without anchors."""
    family = config.model.WhichOneof("model")
    if family == "ssd":
        return config.model.ssd.matcher.argmax_matcher.matched_threshold
    return RPN_THRESHOLD if family == "faster_rcnn" else None


def make_anchor_grids(config, width: int, height: int) -> list[AnchorGrid]:
    """The list of `AnchorGrid` for a model input of `width` x `height` pixels, from the OD API's own generator.

    Empty for a family without anchors, as CenterNet is. Raises InputError if the config's generator can't be built.
    """
    family = config.model.WhichOneof("model")
    if family not in ("ssd", "faster_rcnn"):
        return []
    try:
        return _make_grids(config.model.SerializeToString(), width, height)
    except ValueError as error:
        raise InputError(f"pipeline.config: its anchors can't be made ({error}); correct anchor_generator") from error


@functools.lru_cache(maxsize=4096)
def _make_grids(model_bytes, width, height):
    from object_detection.builders import anchor_generator_builder
    from object_detection.protos import model_pb2

    model = model_pb2.DetectionModel.FromString(model_bytes)
    if model.WhichOneof("model") == "faster_rcnn":
        proto = model.faster_rcnn.first_stage_anchor_generator
        stride = model.faster_rcnn.feature_extractor.first_stage_features_stride
        strides, padded = [stride], (width, height)
    else:
        proto, extractor = model.ssd.anchor_generator, model.ssd.feature_extractor
        strides = _get_ssd_strides(proto, extractor)
        multiple = max(extractor.pad_to_multiple, 1)
        padded = (-(-width // multiple) * multiple, -(-height // multiple) * multiple)
    generator = anchor_generator_builder.build(proto)
    maps = [(-(-padded[1] // stride), -(-padded[0] // stride)) for stride in strides]
    if proto.WhichOneof("anchor_generator_oneof") == "grid_anchor_generator":  # in pixels, whatever the input's size
        layers, unit = generator.generate(maps), (1, 1)
    else:
        layers = generator.generate(maps, im_height=height, im_width=width)
        chosen = getattr(proto, proto.WhichOneof("anchor_generator_oneof"))
        unit = (width, height) if getattr(chosen, "normalize_coordinates", True) else (1, 1)
    grids = []
    for (rows, columns), layer in zip(maps, layers, strict=True):
        ymin, xmin, ymax, xmax = np.moveaxis(layer.get().numpy().reshape(rows, columns, -1, 4), -1, 0)
        shapes = np.stack([(xmax - xmin)[0, 0] * unit[0], (ymax - ymin)[0, 0] * unit[1]], axis=1)
        xs, ys = (xmin + xmax)[0, :, 0] / 2 * unit[0], (ymin + ymax)[:, 0, 0] / 2 * unit[1]
        grids.append(AnchorGrid(xs, ys, shapes))
    return grids


def _get_ssd_strides(proto, extractor):
    """The strides of an SSD's feature maps, in pixels, from the finest to the coarsest."""
    kind = proto.WhichOneof("anchor_generator_oneof")
    if kind == "multiscale_anchor_generator":
        levels = proto.multiscale_anchor_generator
        return [2**level for level in range(levels.min_level, levels.max_level + 1)]
    if kind == "flexible_grid_anchor_generator":
        return [grid.height_stride for grid in proto.flexible_grid_anchor_generator.anchor_grid]
    pyramid = extractor.WhichOneof("feature_pyramid_oneof")
    first = getattr(extractor, pyramid).min_level if pyramid else 4  # MobileNet's first map has a stride of 16
    return [2 ** (first + layer) for layer in range(proto.ssd_anchor_generator.num_layers)]


def find_best_iou(boxes: np.ndarray, grids: list[AnchorGrid], window: tuple[int, int] | None = None) -> np.ndarray:
    """The IoU of each box with the anchor that fits it best, the anchors placed as they lie.

    boxes:  float [N, 4], `[xmin, ymin, xmax, ymax]` in pixels of the model's input
    window: (width, height) in pixels to leave out anchors that reach out of, as Faster R-CNN's training does
    Returns float [N], from 0 to 1.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    sizes, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    best = np.zeros(len(boxes))
    for grid, shape in itertools.chain.from_iterable(((grid, shape) for shape in grid.shapes) for grid in grids):
        # Of one shape's anchors the nearest in x and in y shares the most: no others need be looked at.
        shared = np.ones(len(boxes))
        for axis, lines in enumerate((grid.xs, grid.ys)):
            half = shape[axis] / 2
            if window:
                lines = lines[(lines >= half - 1e-3) & (lines <= window[axis] - half + 1e-3)]
            if not len(lines):
                shared[:] = 0
                break
            nearest = lines[np.searchsorted((lines[1:] + lines[:-1]) / 2, centres[:, axis])]
            overlap = half + sizes[:, axis] / 2 - np.abs(nearest - centres[:, axis])
            shared *= np.clip(overlap, 0, np.minimum(shape[axis], sizes[:, axis]))
        best = np.maximum(best, shared / (shape.prod() + sizes.prod(axis=1) - shared))
    return best
