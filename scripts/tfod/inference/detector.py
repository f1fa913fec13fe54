"""A trained detector, in any of its formats."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfod.inference.backends import open_model
from tfod.utils.console import InputError
from tfod.utils.parallel import count_cores

if TYPE_CHECKING:
    import numpy as np

DEFAULT_SCORE, DEFAULT_MAX_BOXES, DEFAULT_IOU = 0.5, 100, 0.5


class Detections(NamedTuple):
    """What was found in one image, best first.

    boxes:   float32 array [N, 4], `[ymin, xmin, ymax, xmax]` normalized to 0..1 of the image's height and width
    classes: int array [N], ids of the label map, from 1
    scores:  float32 array [N], 0 to 1
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


class Detector:
    """A detector in any of its formats, ready to run. Threads may share it.

    path:           a saved_model folder or the export around it, a .tflite or .onnx file, or a model_dir with
                    pipeline.config and checkpoints
    labels:         a label map's path, or a dict id -> name; None: what the model's own files say. A label map must
                    not give classes other names than these files do; a dict may, as in another language
    score:          score threshold of detections, 0 to 1
    iou:            boxes that overlap a better one by more than this (intersection over union, 0 to 1) are left out,
                    beyond what the model itself leaves out; None: nothing is
    class_agnostic: so are those that overlap a better one of another class (with an `iou` of 0.5 if none is given)
    max_boxes:      detections an image, at most
    classes:        names or ids of the classes to find; None: all
    batch:          images a call of the model, where it takes several: those of one size go together; None: as many as
                    the model was exported for, one where that is any number
    threads:        images worked on at the same time, each with its share of the cores; None: one for each core

    Raises InputError where the model or the label map can't be used, or lacks one of `classes`.
    `names` is a dict id -> name; `batch` and `threads` say how it works.
    """

    def __init__(
        self,
        path: str | Path,
        labels: str | Path | dict[int, str] | None = None,
        score: float = DEFAULT_SCORE,
        iou: float | None = None,
        class_agnostic: bool = False,
        max_boxes: int = DEFAULT_MAX_BOXES,
        classes: Sequence[str | int] | None = None,
        batch: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.threads = threads or count_cores()
        self.score, self.max_boxes, self.class_agnostic = score, max_boxes, class_agnostic
        self.iou = DEFAULT_IOU if iou is None and class_agnostic else iou
        self._runtime = open_model(path, self.threads, score)
        fixed = self._runtime.batch
        if batch and fixed and batch != fixed:
            raise InputError(
                f"{path}: takes {fixed} image{'s' * (fixed > 1)} a call, not {batch}; export with --batch_size {batch}"
            )
        self.batch = batch or fixed or 1
        self.names = self._runtime.labels if labels is None else labels
        if not isinstance(self.names, dict):
            from tfod.data.label_map import read_names
            from tfod.model.trained_on import hold_names

            self.names = read_names(labels)
            if self._runtime.sure:
                hold_names(self._runtime.labels, self.names, path, labels)
        self._ids = find_ids(classes, self.names)
        self._pool = None

    def get_name(self, number: int) -> str:
        """The name of a class id; `class 7` where no label map names it."""
        return self.names.get(number, f"class {number}")

    def detect(self, images: Iterable[np.ndarray]) -> list[Detections]:
        """A list of `Detections`, one for each of `images`.

        images: list of uint8 arrays [height, width, 3], RGB and upright, of any sizes
        """
        images = list(images)
        for image in images:
            if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ValueError(f"an image is {image.dtype} {image.shape}; give uint8 [height, width, 3], RGB")
        batches = list(self._list_batches(images))
        if len(batches) > 1 and self.threads > 1:
            self._pool = self._pool or concurrent.futures.ThreadPoolExecutor(self.threads)
            results = self._pool.map(self._detect_batch, batches)
        else:
            results = map(self._detect_batch, batches)
        return list(itertools.chain.from_iterable(results))

    def _list_batches(self, images):
        """Lists of up to `batch` neighbours of one size."""
        for _, group in itertools.groupby(images, key=lambda image: image.shape):
            while some := list(itertools.islice(group, self.batch)):
                yield some

    def _detect_batch(self, images):
        import numpy as np

        size = self._runtime.batch or len(images)
        filled = images + images[-1:] * (size - len(images))  # the model takes no fewer
        given = images[0][np.newaxis] if size == 1 else np.stack(filled)
        found = self._runtime.run(given)
        return [self._choose(*(part[i] for part in found)) for i in range(len(images))]

    def _choose(self, boxes, classes, scores, count):
        import numpy as np

        count = int(np.asarray(count).item())  # some models keep a dimension for it
        boxes = np.clip(np.asarray(boxes[:count], np.float32), 0, 1)  # TFLite's may extend beyond the image
        scores = np.asarray(scores[:count], np.float32)
        classes = np.asarray(classes[:count]).round().astype(int)
        keep = np.flatnonzero(scores >= self.score)
        if self._ids is not None:
            keep = keep[np.isin(classes[keep], self._ids)]
        keep = keep[np.argsort(-scores[keep], kind="stable")]
        if self.iou is not None:
            groups = np.zeros_like(classes) if self.class_agnostic else classes
            keep = keep[suppress(boxes[keep], groups[keep], self.iou)]
        keep = keep[: self.max_boxes]
        return Detections(boxes[keep], classes[keep], scores[keep])


def suppress(boxes: np.ndarray, groups: np.ndarray, iou: float) -> np.ndarray:
    """Non-maximum suppression: the indices of the boxes that stay.

    boxes:  float [N, 4], `[ymin, xmin, ymax, xmax]`, best first
    groups: int [N]; boxes of different groups leave each other alone
    iou:    a box goes that overlaps a better one, which stays, by more than this
    """
    import numpy as np

    heights, widths = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).T
    areas, stays = heights * widths, np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not stays[i]:
            continue
        rest = slice(i + 1, None)
        upper = np.maximum(boxes[i, :2], boxes[rest, :2])
        lower = np.minimum(boxes[i, 2:], boxes[rest, 2:])
        shared = np.maximum(lower - upper, 0).prod(axis=1)
        union = areas[i] + areas[rest] - shared
        stays[rest] &= (shared <= iou * union) | (groups[rest] != groups[i])
    return np.flatnonzero(stays)


def find_ids(classes: Sequence[str | int] | None, names: dict[int, str]) -> list[int] | None:
    """The ids of `classes`, a list of names or ids (or texts of ids); None for None. `names` is a dict id -> name.

    Raises InputError for what is neither.
    """
    if classes is None:
        return None
    by_name = {name: number for number, name in names.items()}
    ids, faults = [], []
    for word in classes:
        if word in by_name:
            ids.append(by_name[word])
        elif str(word).isdecimal() and (int(word) in names or not names):
            ids.append(int(word))
        else:
            there = ", ".join(by_name) or "no names, only ids, without a label map"
            faults.append(f"{word}: is not a class of this detector; it has {there}")
    if faults:
        raise InputError(*faults)
    return ids
