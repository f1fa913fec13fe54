"""Writes what a detector found: annotated images, JSON, CSV, COCO, labelImg's XML, crops, video.

What belongs to one image is written by functions that any thread may call; what grows with every image by objects
with `add`, called in order, and `close`. Boxes in the files are in pixels of the upright image.
"""

import collections
import csv
import dataclasses
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from tfod.data.csv_cells import write_class, write_path
from tfod.data.voc import Box, write_annotation
from tfod.inference.detector import Detections
from tfod.inference.output_folder import TABLES, is_proposal, is_same_photo, sign_proposal
from tfod.utils.console import InputError
from tfod.utils.drawing import draw_detections

JPEG_QUALITY = 92


@dataclasses.dataclass
class Prediction:
    """One image and what was found in it.

    path:   the file it came from, or a camera's name
    name:   relative path that its own result has
    image:  PIL image, RGB, upright, maybe smaller than width x height; None once the files that need it are written
    boxes:  float [N, 4], `[xmin, ymin, xmax, ymax]` pixels
    labels, classes, scores: N names, ids and floats from 0 to 1, best first
    frame, seconds: where in a video it is; None for a photo
    """

    path: Path
    name: Path
    image: Image.Image | None
    width: int
    height: int
    boxes: np.ndarray
    labels: list[str]
    classes: np.ndarray
    scores: np.ndarray
    frame: int | None = None
    seconds: float | None = None


def make_prediction(
    path: Path,
    name: Path,
    image: Image.Image,
    detections: Detections,
    get_name: Callable[[int], str],
    size: tuple[int, int] | None = None,
    frame: int | None = None,
    seconds: float | None = None,
) -> Prediction:
    """A `Prediction` of a PIL image and the `Detections` in it; `get_name` gives a class id's name.

    size: (width, height) that the photo has where `image` is smaller
    """
    width, height = size or image.size
    boxes = detections.boxes[:, [1, 0, 3, 2]] * [width, height, width, height]
    labels = [get_name(number) for number in detections.classes.tolist()]
    return Prediction(
        path, name, image, width, height, boxes, labels, detections.classes, detections.scores, frame, seconds
    )


class Files:
    """Puts files into the folder `output`, each of them whole: made in the temporary folder `room` beside it.

    written: a dict kind (as --save has it) -> set of the names that were written
    former:  set of the paths in voc/ that a former run has written
    """

    def __init__(self, output: Path, room: Path, former: Iterable[Path] = ()) -> None:
        self.output, self.room, self.former = Path(output), Path(room), former
        self.written = collections.defaultdict(set)

    def write(self, kind: str, name: str | Path, write: Callable[[Path], object]) -> None:
        """Calls `write(path)` with a temporary path, which then becomes `name`, a relative path."""
        target = self.output / name
        fresh = self.room / f"{threading.get_ident()}{target.suffix}"
        write(fresh)
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(target)
        self.written[kind].add(Path(name))


def draw(result: Prediction) -> Image.Image:
    """A PIL image: that of the result with its boxes."""
    boxes = result.boxes[:, [1, 0, 3, 2]] / [result.height, result.width, result.height, result.width]
    return draw_detections(result.image, boxes, result.labels, ids=result.classes, scores=result.scores)


def write_image(files: Files, result: Prediction, drawn: Image.Image) -> None:
    """Writes the annotated image `drawn` under the photo's own name."""
    files.write("images", result.name, lambda path: drawn.save(path, quality=JPEG_QUALITY))


def write_crops(files: Files, result: Prediction) -> None:
    """Writes what is in each box as an image of its own: crops/CLASS/NAME_1.jpg, the best first."""
    width, height = result.image.size
    boxes = result.boxes * ([width / result.width, height / result.height] * 2)
    for number, (label, box) in enumerate(zip(result.labels, boxes.tolist(), strict=True), 1):
        left, top = int(min(box[0], width - 1)), int(min(box[1], height - 1))
        right, bottom = max(left + 1, round(box[2])), max(top + 1, round(box[3]))
        crop = result.image.crop((left, top, min(right, width), min(bottom, height)))
        folder = re.sub(r"[^\w .,+-]", "_", label).strip(" .") or "_"
        name = Path("crops", folder, result.name.with_name(f"{result.name.name}_{number}.jpg"))
        files.write("crops", name, lambda path, crop=crop: crop.save(path, quality=JPEG_QUALITY))


# ---------------------------------------------------------------- labelImg's XML


def write_proposal(files: Files, result: Prediction, name: Path) -> bool:
    """Writes the boxes as labelImg's XML file `name`, unless a person's file is there. True if it was written.

    Where nothing was found no file is written: an empty one would mean that a person found nothing there.
    """
    target = files.output / name
    if target.exists() and not is_proposal(target):
        return False
    boxes = []
    for label, box in zip(result.labels, result.boxes.tolist(), strict=True):
        xmin, ymin, xmax, ymax = map(round, box)
        xmin, ymin = min(xmin, result.width - 1), min(ymin, result.height - 1)
        boxes.append(Box(label, xmin, ymin, max(xmax, xmin + 1), max(ymax, ymin + 1)))
    if not boxes:
        target.unlink(missing_ok=True)
        return False

    def write(path):
        write_annotation(path, result.name.name, result.width, result.height, boxes)
        body = path.read_bytes()
        path.write_bytes(body + sign_proposal(body))

    files.write("voc", name, write)
    return True


def write_voc(files: Files, result: Prediction) -> bool:
    """Writes voc/NAME.xml, and beside it a link to the photo (of a frame: the image), for labelImg to open.

    What a person put there stays: see `output_folder.find_foreign`. True if an XML file was written.
    """
    photo = Path("voc", result.name)
    target = files.output / photo
    if result.frame is not None:
        files.write("voc", photo, lambda path: result.image.save(path, quality=JPEG_QUALITY))
    elif target.is_symlink() and is_same_photo(target, result.path):
        files.written["voc"].add(photo)
    elif target.is_symlink() or not target.exists() or target.absolute() in files.former:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.unlink(missing_ok=True)
            target.symlink_to(os.path.relpath(result.path.resolve(), target.parent.resolve()))
            files.written["voc"].add(photo)
        except OSError:  # a file system without links
            files.write("voc", photo, lambda path: shutil.copyfile(result.path, path))
    return write_proposal(files, result, photo.with_suffix(".xml"))


# ---------------------------------------------------------------- one file for all images


class JsonWriter:
    """detections.json: one line for each image, with its boxes `[xmin, ymin, xmax, ymax]` in pixels."""

    def __init__(self, files: Files) -> None:
        self.files, self.fresh = files, files.room / "all.json"
        self.stream = self.fresh.open("w", encoding="utf-8")
        self.stream.write('{"box": "[xmin, ymin, xmax, ymax], pixels of the upright image", "images": [')
        self.comma = "\n"

    def add(self, result: Prediction) -> None:
        video = {} if result.frame is None else {"frame": result.frame, "seconds": round(result.seconds, 3)}
        size = {"width": result.width, "height": result.height}
        found = [
            {"class": label, "id": int(number), "score": round(float(score), 4), "box": [round(x, 2) for x in box]}
            for label, number, score, box in _list_boxes(result)
        ]
        line = {"file": str(result.path), **video, **size, "detections": found}
        self.stream.write(self.comma + json.dumps(line, ensure_ascii=False))
        self.comma = ",\n"

    def close(self, names: dict[int, str]) -> None:
        classes = json.dumps({str(number): name for number, name in names.items()}, ensure_ascii=False)
        self.stream.write(f'\n], "classes": {classes}}}\n')
        self.stream.close()
        self.files.write("json", TABLES["json"], self.fresh.replace)


class CsvWriter:
    """detections.csv: one row for each box; frame and seconds are empty for photos."""

    COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score", "frame", "seconds")

    def __init__(self, files: Files) -> None:
        self.files, self.fresh = files, files.room / "all.csv"
        self.stream = self.fresh.open("w", encoding="utf-8", newline="")
        self.rows = csv.writer(self.stream, lineterminator="\n")
        self.rows.writerow(self.COLUMNS)

    def add(self, result: Prediction) -> None:
        seconds = None if result.seconds is None else round(result.seconds, 3)
        for label, _, score, box in _list_boxes(result):
            edges = [round(x, 2) for x in box]
            row = [
                write_path(result.path),
                result.width,
                result.height,
                write_class(label),
                *edges,
                round(float(score), 4),
                result.frame,
                seconds,
            ]
            self.rows.writerow(row)

    def close(self, names: dict[int, str]) -> None:
        self.stream.close()
        self.files.write("csv", TABLES["csv"], self.fresh.replace)


class CocoWriter:
    """coco.json: a COCO data set, boxes as `[x, y, width, height]` in pixels, each annotation with its score."""

    def __init__(self, files: Files) -> None:
        self.files, self.unnamed = files, {}
        self.fresh, self.other = files.room / "all.coco.json", files.room / "annotations"
        self.stream = self.fresh.open("w", encoding="utf-8")
        self.annotations = self.other.open("w+", encoding="utf-8")  # kept apart: in the file they follow all images
        self.stream.write('{"images": [')
        self.images = self.boxes = 0

    def add(self, result: Prediction) -> None:
        self.images += 1
        image = {"id": self.images, "file_name": str(result.name), "width": result.width, "height": result.height}
        self.stream.write(("," if self.images > 1 else "") + "\n" + json.dumps(image, ensure_ascii=False))
        for label, number, score, (xmin, ymin, xmax, ymax) in _list_boxes(result):
            self.boxes += 1
            self.unnamed[int(number)] = label
            box = [round(x, 2) for x in (xmin, ymin, xmax - xmin, ymax - ymin)]
            annotation = {"id": self.boxes, "image_id": self.images, "category_id": int(number), "bbox": box}
            annotation |= {"area": round(box[2] * box[3], 2), "iscrowd": 0, "score": round(float(score), 4)}
            self.annotations.write(("," if self.boxes > 1 else "") + "\n" + json.dumps(annotation))

    def close(self, names: dict[int, str]) -> None:
        self.annotations.seek(0)
        self.stream.write('\n], "annotations": [')
        shutil.copyfileobj(self.annotations, self.stream)
        categories = [{"id": number, "name": name} for number, name in sorted({**self.unnamed, **names}.items())]
        self.stream.write(f'\n], "categories": {json.dumps(categories, ensure_ascii=False)}}}\n')
        self.annotations.close()
        self.stream.close()
        self.files.write("coco", TABLES["coco"], self.fresh.replace)


def _list_boxes(result):
    return zip(result.labels, result.classes, result.scores, result.boxes.tolist(), strict=True)


class VideoWriter:
    """NAME.mp4: the video with its boxes drawn, without sound."""

    def __init__(self, files: Files, name: Path, fps: float) -> None:
        self.files, self.name, self.fps = files, name, fps
        self.fresh, self.writer = files.room / "video.mp4", None

    def add(self, drawn: Image.Image) -> None:
        """Adds a frame, a PIL image."""
        import cv2

        if self.writer is None:
            fps = round(self.fps, 2)  # MPEG-4's denominator is at most 65,535, which rules out 66.667
            self.writer = cv2.VideoWriter(str(self.fresh), cv2.VideoWriter_fourcc(*"mp4v"), fps, drawn.size)
            if not self.writer.isOpened():
                raise InputError(f"{self.files.output / self.name}: this OpenCV can't write MP4; save images instead")
        self.writer.write(cv2.cvtColor(np.asarray(drawn), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self.writer:
            self.writer.release()
            self.files.write("video", self.name, self.fresh.replace)
