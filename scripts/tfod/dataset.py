"""Middle module: a labelled photo as the detector is to see it, checked: image and XML file put together."""

import dataclasses
from pathlib import Path

from tfod.console import InputError
from tfod.images import StoredImage, check_image
from tfod.voc import clip_boxes, read_annotation, turn_box


@dataclasses.dataclass(frozen=True)
class Photo:
    """A checked image: its file, how that stores it, its size upright and its boxes in that, in pixels."""

    path: Path
    stored: StoredImage
    width: int
    height: int
    boxes: list


def check_photo(pair):
    """(image path, XML path) -> (Photo or None, the class names that the XML uses, list of faults)."""
    path, xml = pair
    faults = []
    annotation = stored = None
    try:
        annotation = read_annotation(xml)
    except InputError as error:
        faults.extend(error.faults)
    try:
        stored = check_image(path)
    except InputError as error:
        faults.extend(error.faults)
    names = [box.name for box in annotation.boxes] if annotation else []
    if faults:
        return None, names, faults
    try:
        return place_boxes(path, stored, annotation), names, []
    except InputError as error:
        return None, names, error.faults


def place_boxes(path, stored, annotation):
    """The Photo with its boxes as they lie in the upright image. Raises InputError if they do not fit."""
    width, height = stored.upright_size
    said = (annotation.width or width, annotation.height or height)
    if said == (width, height):
        return Photo(path, stored, width, height, clip_boxes(annotation, width, height))
    if said != stored.size:
        raise InputError(
            f"{annotation.path}: <size> is {said[0]} x {said[1]}, but {path.name} has {width} x {height} pixels;"
            f" label this image again"
        )
    # Labelled in a program that shows photos as stored, without the turn that the camera noted.
    boxes = [turn_box(box, stored.orientation, *stored.size) for box in clip_boxes(annotation, *stored.size)]
    return Photo(path, stored, width, height, boxes)
