"""Images and their boxes, whatever the format that says so: what the annotations' readers and writers share."""

import dataclasses
import os
from pathlib import Path

from tfod.data.images import find_name_fault, list_images
from tfod.utils.console import InputError

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
CLASSES_FILE = "classes.txt"  # as labelImg names it beside YOLO's files


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image by its path below the image folder ("a/b.jpg"), its size upright in pixels, and its boxes in these."""

    name: str
    width: int
    height: int
    boxes: list


def list_images_below(folder):
    """A dict name below `folder` ("a/b.jpg") -> path of every image in it and its sub-folders; hidden ones are not."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds the images with -i")
    return {path.relative_to(folder).as_posix(): path for below in walk_folders(folder) for path in list_images(below)}


def walk_folders(folder, above=()):
    """Yields `folder` and all folders below it, sorted; hidden ones are left out.

    Raises InputError at a link that leads back to a folder that it lies in: nobody gets to the end of those.
    """
    real = os.path.realpath(folder)
    if real in above:
        raise InputError(f"{folder}: is a link back to {real}, in which it lies; take it away")
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            if fault := find_name_fault(path):
                raise InputError(fault)
            yield from walk_folders(path, (*above, real))
