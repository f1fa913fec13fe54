"""What `convert_annotations.py` reads: VOC XML as labelImg's, COCO JSON, YOLO txt and the tutorial's CSV.

globox turns each format's numbers into boxes. What it does not do is done here: classes in their order, files in
sub-folders, difficult and truncated, and every fault of the input, named by its file. XML is read by `tfod.data.voc`,
since globox's parser expands entities and knows neither difficult nor truncated.

Each reader takes the file or folder to read, a dict image name -> path (`list_images_below`) and, for YOLO, the names
of the classes; it returns a `Reading`.
"""

import collections
import csv
import dataclasses
import functools
import io
import json
import math
from pathlib import PurePosixPath

from tfod.data.csv_cells import read_class
from tfod.data.formats import CLASSES_FILE, COLUMNS, LabelledImage, walk_folders
from tfod.data.images import check_image, list_files, map_in_threads
from tfod.data.labelled_images import check_photo, place_boxes
from tfod.data.voc import Annotation, Box, leads_out, list_annotations, pair_files
from tfod.utils.console import InputError, find_hidden
from tfod.utils.files import parse_json, read_bytes, read_text

EDGES = "(xmin, ymin, xmax, ymax)"


@dataclasses.dataclass
class Reading:
    """What a reader found: images (list of LabelledImage), `classes` in their order (None: the format has none),
    `unlabelled` names of images that nothing is said of, `faults`, and `notes` on what can't be taken over."""

    images: list = dataclasses.field(default_factory=list)
    classes: list | None = None
    unlabelled: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def add_negatives(self, images):
        """Takes the unlabelled images as images without boxes; `images` is a dict name -> path."""
        names, self.unlabelled = self.unlabelled, []
        _place(self, str, images, {name: (None, []) for name in names})


def read_voc(source, images, classes=None):
    """The Reading of the XML files in the folder `source`, and in the sub-folders that the image folder has, too."""
    reading, pairs = Reading(), []
    folders = collections.defaultdict(list)
    for name, path in images.items():
        folders[PurePosixPath(name).parent].append(path)
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder; give the one that holds the XML files with -a")
    for folder in walk_folders(source):
        folders[PurePosixPath(folder.relative_to(source))] += []
    for folder, paths in folders.items():
        xmls = list_annotations(source / folder) if (source / folder).is_dir() else []
        found, faults = pair_files(xmls, paths)
        pairs += found
        reading.faults += faults
    names, labelled = {path: name for name, path in images.items()}, {image for image, _ in pairs}
    reading.unlabelled = [name for name, path in images.items() if path not in labelled]
    for photo, _, faults, warnings in map_in_threads(lambda pair: check_photo(*pair, decode=False), pairs):
        reading.faults += faults
        reading.notes += [fault for fault in warnings if fault.kind == "box-overhangs"]
        if photo:
            reading.images.append(LabelledImage(names[photo.path], photo.width, photo.height, photo.boxes))
    return reading


def _place(reading, source, images, labels):
    """Adds to `reading` the images of `labels`, a dict name -> ((width, height) as is said of it or None, boxes).

    `boxes` is a list of Box, or a function of the image's upright size that makes it; `source` is a function of the
    name that says what a fault is named by.
    """

    def look(name):
        try:
            return check_image(images[name], decode=False), ()
        except InputError as error:
            return None, error.faults

    for (name, (said, boxes)), (stored, faults) in zip(labels.items(), map_in_threads(look, labels), strict=True):
        reading.faults += faults
        if not stored:
            continue
        size, place = stored.upright_size, source(name)
        if said and said not in (size, stored.size):
            what = f"is said to be {said[0]} x {said[1]}, but it has {size[0]} x {size[1]} pixels"
            reading.faults.append(f"{place}: {what}; correct it, or put the right image there")
            continue
        boxes = boxes(size) if callable(boxes) else boxes
        placed, found = place_boxes(images[name], stored, Annotation(place, name, *(said or size), tuple(boxes)))
        reading.faults += [fault for fault in found if fault.severity == "error"]
        reading.notes += [fault for fault in found if fault.severity == "warning"]
        reading.images.append(LabelledImage(name, *size, placed))


def _make_box(place, faults, name, create, numbers, **flags):
    """The Box of class `name` that `create(numbers)` makes, which calls globox; None, and a fault that begins with
    `place`, where it is none."""
    from globox import ParsingError

    try:
        found = create(numbers)  # globox asserts xmin <= xmax, which NaN is not, either
    except (TypeError, ValueError, OverflowError, AssertionError, ParsingError):
        faults.append(f"{place} has no box of four numbers of which width and height are above 0; correct it")
        return None
    # globox goes on with what comes of arithmetic; 0.0001 pixels are less than a person draws, and hide its rounding
    edges = [round(float(edge), 4) for edge in found.ltrb]
    if not all(map(math.isfinite, edges)) or edges[0] >= edges[2] or edges[1] >= edges[3]:
        faults.append(f"{place} has a box {tuple(edges)} {EDGES} without an area, or without an end; correct it")
        return None
    return Box(name, *edges, **flags)


def _create_from_coco(numbers):
    from globox import BoundingBox, BoxFormat

    if not isinstance(numbers, list):
        raise TypeError
    return BoundingBox.create(label="", coords=tuple(map(float, numbers)), box_format=BoxFormat.LTWH)


def _create_from_corners(numbers):
    from globox import BoundingBox

    return BoundingBox.create(label="", coords=tuple(map(float, numbers)))


def _create_from_yolo(line, size):
    from globox import BoundingBox

    return BoundingBox.from_yolo_v5(line, image_size=size)


def read_coco(source, images, classes=None):
    """The Reading of a COCO JSON file."""
    reading = Reading()
    content = _load_coco(source)
    faults = reading.faults
    categories, of_id = {}, {}
    for node in content["categories"]:
        number, name = node.get("id"), str(node.get("name") or "").strip()
        if not isinstance(number, int) or not name or number in categories or name in categories.values():
            faults.append(f"{source}: the category {node} has no id and name of its own; correct it")
        else:
            categories[number] = name
    reading.classes = [categories[number] for number in sorted(categories)]
    labels = {}
    for node in content["images"]:
        name = _clean(str(node.get("file_name") or ""))
        number, size = node.get("id"), (node.get("width"), node.get("height"))
        if not all(side is None or (isinstance(side, int | float) and side > 0) for side in size):
            faults.append(f"{source}: the image {name!r} is {size[0]!r} x {size[1]!r} pixels; correct its size")
            size = (None, None)
        if number is None or number in of_id or name in labels:
            faults.append(f"{source}: the image {name!r} has no id and file_name of its own; correct it")
        elif _is_there(name, images, source, faults):
            labels[name] = (size if None not in size else None), []
        of_id.setdefault(number, name)
    _read_coco_boxes(source, content["annotations"], of_id, categories, labels, reading)
    reading.unlabelled = [name for name in images if name not in labels]
    _place(reading, lambda name: f"{source}: {name}", images, dict(sorted(labels.items())))
    return reading


def _read_coco_boxes(source, nodes, of_id, categories, labels, reading):
    """Adds the boxes to `labels`, a dict image name -> (size, list of Box); notes what is no box."""
    crowds = outlines = 0
    for node in nodes:
        place = f"{source}: the annotation {node.get('id')}"
        name, label = of_id.get(node.get("image_id")), categories.get(node.get("category_id"))
        if name is None:
            what = f"is of the image {node.get('image_id')!r}, which the list of images lacks; correct it"
            reading.faults.append(f"{place} {what}")
        if label is None:
            what = f"is of the category {node.get('category_id')!r}, which the list of categories lacks; correct it"
            reading.faults.append(f"{place} {what}")
        said = node.get("attributes") if isinstance(node.get("attributes"), dict) else {}
        flags = {flag: int(bool(said.get(flag))) for flag in ("difficult", "truncated")}
        if node.get("iscrowd"):
            crowds += 1
            flags["difficult"] = 1
        elif node.get("segmentation"):
            outlines += 1
        pose = str(said.get("pose") or "Unspecified")
        if find_hidden(pose):
            reading.faults.append(f"{place} has the pose {pose!r}, with a character that can't be seen; correct it")
        box = _make_box(place, reading.faults, label, _create_from_coco, node.get("bbox"), **flags, pose=pose)
        if box and label and name in labels:
            labels[name][1].append(box)
    if crowds:
        reading.notes.append(f"{source}: {crowds} crowds (iscrowd) are taken as boxes that are difficult")
    if outlines:
        reading.notes.append(f"{source}: {outlines} outlines (segmentation) are left out: of them the boxes are taken")


def _load_coco(source):
    try:
        content = parse_json(read_bytes(source))
    except json.JSONDecodeError as error:
        what = f"is no JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        raise InputError(f"{source}: {what}; export it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{source}: is not in UTF-8; save it in that encoding") from None
    except ValueError:  # a number of thousands of digits, or lists in lists in lists
        raise InputError(f"{source}: is no COCO file, no program writes it like this; export it again") from None
    faults = []
    for table in ("images", "annotations", "categories"):
        rows = content.get(table) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            faults.append(f"{source}: has no list {table!r}; export it as COCO instances")
            continue
        for row in rows:
            for key in ("id", "image_id", "category_id"):
                if isinstance(row.get(key), list | dict):
                    faults.append(f"{source}: {table}: {key} is {row[key]!r}; it must be a number")
    if faults:
        raise InputError(*faults)
    return content


def _clean(name):
    return name.replace("\\", "/").removeprefix("./")


def _is_there(name, images, source, faults):
    if name in images:
        return True
    if leads_out(name):
        faults.append(f"{source}: the image {name!r} leads out of the image folder; correct its name")
    else:
        faults.append(f"{source}: the image {name!r} is not in the image folder; add it, or take it out of the file")
    return False


def read_yolo(source, images, classes):
    """The Reading of YOLO's txt files in the folder `source`; `classes` are the names, in their order."""
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder; give the one that holds the txt files with -a")
    reading, labels, owners = Reading(classes=classes), {}, {}
    for name, path in images.items():
        txt = source / PurePosixPath(name).with_suffix(".txt")
        if txt in owners:
            reading.faults.append(f"{txt}: belongs to two images, {owners[txt]} and {name}; rename one of them")
        elif txt.is_file():
            owners[txt] = path.name
            labels[name] = None, functools.partial(_read_yolo_file, txt, classes, reading.faults)
        else:
            reading.unlabelled.append(name)
    for path in [path for folder in walk_folders(source) for path in list_files(folder, (".txt",))]:
        if path not in owners and path != source / CLASSES_FILE:
            reading.faults.append(f"{path}: there is no image of its name; add the image, or take the file away")

    _place(reading, lambda name: source / PurePosixPath(name).with_suffix(".txt"), images, labels)
    return reading


def _read_yolo_file(txt, classes, faults, size):
    """The list of Box of one file, of an image of `size` (width, height)."""
    boxes = []
    try:
        lines = read_text(txt).split("\n")
    except InputError as error:
        faults.extend(error.faults)
        return boxes
    for number, line in enumerate(lines, 1):
        if not (values := line.split()):
            continue
        place = f"{txt}: line {number}"
        if len(values) != 5:
            what = f"has {len(values)} numbers; a box has 5: class, x and y of its centre, width, height"
            faults.append(f"{place} {what}")
        elif not values[0].isdecimal() or len(values[0]) > 9 or int(values[0]) >= len(classes):
            what = f"is of the class {values[0]}, but there are {len(classes)}, from 0 up; correct it, or the classes"
            faults.append(f"{place} {what}")
        else:
            name = classes[int(values[0])]
            boxes.append(_make_box(place, faults, name, functools.partial(_create_from_yolo, size=size), line))
    return [box for box in boxes if box]


def read_csv(source, images, classes=None):
    """The Reading of the tutorial's CSV: one line a box, and none for images without."""
    reading, labels = Reading(), {}
    rows = csv.reader(io.StringIO(read_text(source), newline=""))
    try:
        table = [(rows.line_num, row) for row in rows if row]
    except csv.Error as error:
        raise InputError(f"{source}: line {rows.line_num}: is no CSV ({error}); export it again") from None
    header = [cell.strip() for cell in table[0][1]] if table else []
    if set(COLUMNS) - set(header):
        raise InputError(f"{source}: has no column {', '.join(c for c in COLUMNS if c not in header)}; add it")
    for number, row in table[1:]:
        place = f"{source}: line {number}"
        if len(row) != len(header):
            reading.faults.append(f"{place} has {len(row)} cells, the header has {len(header)}; correct it")
            continue
        cells = dict(zip(header, row, strict=True))
        name, label = _clean(cells["filename"]), read_class(cells["class"].strip())
        if not label:
            reading.faults.append(f"{place} has no class; give the box its class")
        try:
            size = tuple(int(cells[side]) for side in ("width", "height"))
        except ValueError:
            reading.faults.append(f"{place}: width or height is no whole number; correct it")
            continue
        if name not in labels:
            labels[name] = (size, []) if _is_there(name, images, source, reading.faults) else None
        box = _make_box(place, reading.faults, label, _create_from_corners, [cells[edge] for edge in COLUMNS[4:]])
        if labels[name] and labels[name][0] != size:
            reading.faults.append(f"{place}: {name} has another size than in a line above; correct it")
        elif labels[name] and box:
            labels[name][1].append(box)
    reading.unlabelled = [name for name in images if name not in labels]
    _place(
        reading,
        lambda name: f"{source}: {name}",
        images,
        {name: found for name, found in sorted(labels.items()) if found},
    )
    return reading


READERS = {"voc": read_voc, "coco": read_coco, "yolo": read_yolo, "csv": read_csv}
