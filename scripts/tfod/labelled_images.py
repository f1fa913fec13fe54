"""Images and their boxes, whatever the format that says so: what the annotations' readers and writers share."""

import dataclasses
from pathlib import Path

from tfod.console import InputError
from tfod.images import list_images

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


def walk_folders(folder):
    """Yields `folder` and all folders below it, sorted; hidden ones are left out."""
    yield folder
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from walk_folders(path)


def read_text(path):
    """The text of a file. Raises InputError if it is not there, or not in UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not in UTF-8; save it in that encoding") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the file that holds the annotations") from None
