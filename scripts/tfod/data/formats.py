"""Labelled images in any format, and how each format is written: labelImg's XML, COCO JSON, YOLO txt, the tutorial's
CSV."""

import collections
import csv
import dataclasses
import io
import json
import os
from pathlib import Path, PurePosixPath

from tfod.data.csv_cells import write_class, write_path
from tfod.data.images import find_name_fault, list_files, list_images
from tfod.data.voc import format_annotation
from tfod.utils.console import InputError
from tfod.utils.files import read_text

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


def list_below(root, suffixes):
    """A dict name below the folder `root` -> path of the files in it and its sub-folders with one of the suffixes."""
    paths = [path for folder in walk_folders(root) for path in list_files(folder, suffixes)]
    return {path.relative_to(root).as_posix(): path for path in paths}


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


def read_classes(path):
    """The dict class name -> id of a label map (.pbtxt), a data.yaml or a file of names, in the order of the ids."""
    if path.suffix.lower() == ".pbtxt":
        from tfod.data.label_map import read_label_map

        return dict(sorted(read_label_map(path).items(), key=lambda item: item[1]))
    text = read_text(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        names = _read_yaml_names(path, text)
    else:
        names = text.rstrip().split("\n") if text.strip() else []
    names = [str(name).strip() for name in names]
    faults = [f"{path}: class {number} has no name; give it one" for number, name in enumerate(names) if not name]
    twice = [name for name, count in collections.Counter(names).items() if name and count > 1]
    faults += [f"{path}: the name {name!r} is there twice; remove one" for name in twice]
    if not names:
        faults.append(f"{path}: holds no class; write their names there, one a line")
    if faults:
        raise InputError(*faults)
    return {name: number for number, name in enumerate(names, 1)}


def _read_yaml_names(path, text):
    """The names of a YOLO data.yaml: its `names`, a list, or a mapping from 0 up."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no YAML ({' '.join(str(error).split())}); correct it") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise InputError(f"{path}: has no `names`, a list or a mapping from 0 up; add it")
    return names


def write_voc(output, images, names_to_ids):
    """An XML file for each image, in the same sub-folders, below the new folder `output`."""
    for image in images:
        text = format_annotation(PurePosixPath(image.name).name, image.width, image.height, image.boxes)
        _write(output / PurePosixPath(image.name).with_suffix(".xml"), text)


def write_yolo(output, images, names_to_ids):
    """A txt file for each image, as `write_voc`, and the names of the classes, in the order of their ids."""
    indices = {name: index for index, name in enumerate(names_to_ids)}
    for image in images:
        text = _to_globox(image).to_yolo_v5(label_to_id=indices)
        _write(output / PurePosixPath(image.name).with_suffix(".txt"), (text + "\n" if text else "").encode())
    _write(output / CLASSES_FILE, "".join(f"{name}\n" for name in names_to_ids).encode())


def write_coco(output, images, names_to_ids):
    """One JSON file. Ids begin at 1: COCO's own evaluation takes an annotation's id of 0 for none."""
    from globox import AnnotationSet

    image_ids = {image.name: number for number, image in enumerate(images, 1)}
    content = AnnotationSet(map(_to_globox, images)).to_coco(label_to_id=names_to_ids, imageid_to_id=image_ids)
    boxes = [box for image in images for box in image.boxes]
    for number, (node, box) in enumerate(zip(content["annotations"], boxes, strict=True), 1):
        node["id"] = number
        node["bbox"], node["area"] = [round(value, 4) for value in node["bbox"]], round(node["area"], 4)
        # where CVAT and Datumaro put them, too
        node["attributes"] = {"difficult": bool(box.difficult), "truncated": bool(box.truncated)}
        if box.pose != "Unspecified":
            node["attributes"]["pose"] = box.pose
    _write(output, (json.dumps(content, ensure_ascii=False) + "\n").encode())


def write_csv(output, images, names_to_ids):
    """One line a box, as generate_tfrecord.py -c writes it."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for image in images:
        for box in image.boxes:
            edges = [f"{edge:.10g}" for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
            table.writerow([write_path(image.name), image.width, image.height, write_class(box.name), *edges])
    _write(output, text.getvalue().encode())


def _to_globox(image):
    from globox import Annotation, BoundingBox

    boxes = [BoundingBox.create(label=b.name, coords=(b.xmin, b.ymin, b.xmax, b.ymax)) for b in image.boxes]
    return Annotation(image.name, (image.width, image.height), boxes)


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


WRITERS = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "csv": write_csv}
