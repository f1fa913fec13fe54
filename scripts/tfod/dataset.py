"""Middle module: a labelled photo as the detector is to see it, checked: image and XML file put together."""

import dataclasses
from pathlib import Path

from tfod.console import Fault, InputError
from tfod.images import StoredImage, check_image
from tfod.voc import clip_boxes, read_annotation, turn_box


@dataclasses.dataclass(frozen=True)
class Photo:
    """A checked image: its file and its XML file (None if it is a negative that has none), how the image is stored,
    its size upright, and its boxes in that: `tfod.voc.Box` in pixels, none of which hangs over."""

    path: Path
    xml: Path | None
    stored: StoredImage
    width: int
    height: int
    boxes: list


def check_photo(image_path, xml_path, decode=True):
    """One photo: (Photo or None, the class names of its boxes, list of faults, list of warnings), of `Fault`.

    `xml_path` is None for an unlabelled photo that is taken as a negative. With `decode=False` the image's header is
    read, not its pixels.
    """
    faults, annotation, stored = [], None, None
    try:
        annotation = read_annotation(xml_path) if xml_path else None
    except InputError as error:
        faults.extend(error.faults)
    try:
        stored = check_image(image_path, decode)
    except InputError as error:
        faults.extend(error.faults)
    names = [box.name for box in annotation.boxes] if annotation else []
    if faults:
        return None, names, faults, []
    try:
        photo, warnings = place_boxes(image_path, stored, annotation)
    except InputError as error:
        return None, names, list(error.faults), []
    return photo, names, [], warnings


def place_boxes(path, stored, annotation):
    """(Photo with its boxes as they lie in the upright image, list of warnings).

    `annotation` is None for an unlabelled photo. Raises InputError if the boxes do not fit.
    """
    width, height = stored.upright_size
    if annotation is None:
        return Photo(path, None, stored, width, height, []), []
    said = (annotation.width or width, annotation.height or height)
    if said == (width, height):
        return Photo(path, annotation.path, stored, width, height, clip_boxes(annotation, width, height)), []
    if said != stored.size:
        what = f"<size> is {said[0]} x {said[1]}, but {path.name} has {width} x {height} pixels; label this image again"
        raise InputError(Fault("size-differs", annotation.path, what))
    # Labelled in a program that shows photos as stored, without the turn that the camera noted.
    boxes = [turn_box(box, stored.orientation, *stored.size) for box in clip_boxes(annotation, *stored.size)]
    return Photo(path, annotation.path, stored, width, height, boxes), []
