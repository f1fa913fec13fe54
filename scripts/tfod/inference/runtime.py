"""An opened detector, and how photos are resized for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfod.utils.console import InputError

if TYPE_CHECKING:
    import numpy as np  # imported where used: `find_model` does without

OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


@dataclasses.dataclass
class Runtime:
    """An opened model; several threads may call it at once.

    run:    uint8 array [B, height, width, 3], RGB -> (boxes float [B, N, 4], `[ymin, xmin, ymax, xmax]` normalized;
            classes [B, N], ids of the label map; scores [B, N], best first; count [B], how many of N are detections)
    batch:  how many images B a call takes; None: any number
    labels: dict id -> name, as far as the model's own files tell
    sure:   False where `labels` are those of the label map that a pipeline.config names, which may be another by now
    """

    run: Callable[[np.ndarray], Any]
    batch: int | None
    labels: dict[int, str]
    sure: bool = True


def read_input(
    path: Path, kind: str, shape: list[int | None] | None, advice: str
) -> tuple[int | None, tuple[int, int] | None]:
    """(batch, (height, width)) that a model takes, each None where any will do; `shape` holds None for any number.

    Raises InputError, with `advice`, unless its input is photos: uint8 [batch, height, width, 3].
    """
    shape = shape or [None] * 4  # TensorFlow does not know every model's shape
    if kind != "uint8" or len(shape) != 4 or shape[3] not in (None, 3):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{path}: takes {kind} [{sizes}], not photos, uint8 [batch, height, width, 3]; {advice}")
    return shape[0], None if None in shape[1:3] else tuple(shape[1:3])


def fit_photos(images: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 images [B, height, width, 3] in the `size` (height, width) that a model takes; boxes, as shares of it, are
    the same."""
    import numpy as np

    if size is None or images.shape[1:3] == size:
        return images
    return np.stack([resize(image, *size).round().astype(np.uint8) for image in images])


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """A photo, uint8 [h, w, 3], resized, as float32: bilinear, bit for bit as the OD API's resizer does it.

    That is TensorFlow 1's kind: pixel i of the result lies at i * h / height, without half a pixel's offset, and
    nothing is smoothed before. Pillow and OpenCV know other kinds only.
    """
    import numpy as np

    def find_neighbours(size, wanted):
        places = np.arange(wanted, dtype=np.float32) * np.float32(size / wanted)
        lower = places.astype(np.intp)
        return lower, np.minimum(lower + 1, size - 1), places - lower.astype(np.float32)

    def find_columns(pixels):
        return (pixels[:, np.newaxis] * 3 + np.arange(3)).ravel()

    top, bottom, down = find_neighbours(image.shape[0], height)
    left, right, along = find_neighbours(image.shape[1], width)
    above, below = (image.take(rows, 0).reshape(height, -1).astype(np.float32) for rows in (top, bottom))
    rows = [(above.take(find_columns(pixels), 1), below.take(find_columns(pixels), 1)) for pixels in (left, right)]
    along = np.repeat(along, 3)
    upper = rows[0][0] + (rows[1][0] - rows[0][0]) * along
    lower = rows[0][1] + (rows[1][1] - rows[0][1]) * along
    return (upper + (lower - upper) * down[:, np.newaxis]).reshape(height, width, 3)
