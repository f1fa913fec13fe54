"""Readers of annotations: VOC XML as labelImg's, COCO JSON, YOLO txt and CSV here, labelling tools' own formats in
`tfod.data.format_tool_readers`.

globox turns each format's numbers into boxes. What it does not do is done here: classes in their order, files in
sub-folders, difficult and truncated, turned boxes, and every fault of the input, named by its file. XML is read by
`tfod.data.voc`, since globox's parser expands entities and knows neither difficult nor truncated.

Each reader takes the file or folder to read, a dict image name -> path (`list_images_below`) and, for YOLO, the names
of the classes; it returns a `Reading`.
"""

import collections
import csv
import functools
import io
import math
import re

from tfod.data.csv_cells import read_class
from tfod.data.format_reading import (
    OUTLINED,
    TURNED,
    TURNED_OR_OUTLINED,
    Photos,
    Reading,
    create_from_corners,
    create_from_points,
    create_from_size,
    find_place,
    make_box,
    match_labels,
    place_images,
)
from tfod.data.format_tool_readers import TOOL_READERS, load_json, read_openimages
from tfod.data.formats import CLASSES_FILE, COLUMNS, list_below, read_classes
from tfod.data.images import map_in_threads
from tfod.data.voc import parse_annotation, surround_turned
from tfod.utils.console import Fault, InputError, find_hidden
from tfod.utils.files import read_bytes, read_text

FLAGS = ("difficult", "truncated")
DOTA_NOTES = ("imagesource:", "gsd:")  # how the first lines of DOTA's files begin


def _list_labels(source, suffix):
    """As `list_below` for a folder that a person named: raises InputError if there is no such folder."""
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder; give the one that holds the {suffix[1:]} files with -a")
    return list_below(source, (suffix,))


# ---------------------------------------------------------------- Pascal VOC


def read_voc(source, images, classes=None, files=None, repair=False):
    """The Reading of the XML files below the folder `source`, or of `files`, a dict name -> path.

    An XML file is of the image of its name, in the folder that mirrors its own or in VOC's JPEGImages/ beside
    Annotations/; where there is none, of the image that its <filename> names.
    """
    reading, labels, owners, plain = Reading(repair=repair), {}, {}, {}
    files = _list_labels(source, ".xml") if files is None else files
    pairs, lone, shared = match_labels(files, images)
    for name, several in shared.items():
        what = f"belongs to {len(several)} images, {', '.join(several)}; rename or remove all but one"
        reading.faults.append(Fault("xml-of-two-images", files[name], what))
    found = map_in_threads(lambda path: parse_annotation(path, repair), files.values())
    parsed = dict(zip(files, found, strict=True))
    photos = Photos(images)
    for name in lone:
        filename = parsed[name][0].filename if parsed[name][0] else ""
        found = photos.search(filename) if filename else []
        if len(found) == 1:
            pairs[name] = found[0]
        elif parsed[name][0]:
            said = f", nor the one that its <filename> names, {filename!r}" if filename else ""
            what = f"there is no image of its name{said}; add the image, or take the XML file away"
            reading.faults.append(Fault("xml-without-image", files[name], what))
    for name, (annotation, faults) in parsed.items():
        reading.faults += [fault for fault in faults if fault.severity == "error"]
        reading.notes += [fault for fault in faults if fault.severity != "error"]
        if annotation is None or name not in pairs:
            continue
        image = pairs[name]
        if image in owners:
            what = f"{image} has another XML file, {owners[image]}; keep one of them"
            reading.faults.append(Fault("image-with-two-xml", files[name], what))
            continue
        owners[image] = files[name]
        size = annotation.width, annotation.height
        labels[image] = size if all(size) else None, annotation.boxes
        plain[image] = not faults
    named = {image for several in shared.values() for image in several}
    reading.unlabelled = [name for name in images if name not in owners and name not in named]
    place_images(reading, owners.get, images, labels)
    for image in reading.images:
        if plain[image.name] and image.boxes == list(labels[image.name][1]):
            reading.kept[image.name] = owners[image.name]
    return reading


# ---------------------------------------------------------------- COCO


def read_coco(source, images, classes=None, repair=False):
    """The Reading of a COCO JSON file."""
    reading = Reading(repair=repair)
    content = _load_coco(source)
    faults, photos = reading.faults, Photos(images, find_place(source, images))
    used = {node.get("category_id") for node in content["annotations"]}
    categories = _read_categories(source, content["categories"], used, reading)
    reading.classes = list(dict.fromkeys(categories[number] for number in sorted(categories, key=str_number)))
    labels, of_id = {}, {}
    for node in content["images"]:
        said = str(node.get("file_name") or "")
        number, size = node.get("id"), (node.get("width"), node.get("height"))
        if not all(side is None or (isinstance(side, int | float) and side > 0) for side in size):
            faults.append(f"{source}: the image {said!r} is {size[0]!r} x {size[1]!r} pixels; correct its size")
            size = (None, None)
        name = photos.find(said) if said else None
        if number is None or number in of_id or name in labels or not said:
            faults.append(f"{source}: the image {said!r} has no id and file_name of its own; correct it")
        elif name:
            labels[name] = (size if None not in size else None), []
        of_id.setdefault(number, name)
    faults += photos.list_faults(source)
    _read_coco_boxes(source, content["annotations"], of_id, categories, labels, reading)
    reading.unlabelled = [name for name in images if name not in labels]
    place_images(reading, lambda name: f"{source}: {name}", images, dict(sorted(labels.items())))
    return reading


def str_number(number):
    """A key that sorts ids: numbers, then texts."""
    return (0, number, "") if isinstance(number, int | float) else (1, 0, str(number))


def _read_categories(source, nodes, used, reading):
    """A dict id -> name; categories that no annotation is of matter only where nothing is wrong with them."""
    categories = {}
    for node in nodes:
        number, name = node.get("id"), str(node.get("name") or "").strip()
        is_named = number is not None and name and categories.get(number, name) == name
        if number in used and not is_named:
            reading.faults.append(f"{source}: the category {node} has no id and name of its own; correct it")
        elif is_named:
            categories[number] = name
    wanted = collections.Counter(categories[number] for number in categories if number in used)
    for name, number in wanted.items():
        if number > 1:
            reading.counts[source, f"categories are called {name!r}, and are taken as one class"] += number
    return {number: name for number, name in categories.items() if number in used or not wanted[name]}


def _read_coco_boxes(source, nodes, of_id, categories, labels, reading):
    """Adds the boxes to `labels`, a dict image name -> (size, list of Box); counts what is not a box."""
    for node in nodes:
        place = f"{source}: the annotation {node.get('id')}"
        label = categories.get(node.get("category_id"))
        if node.get("image_id") not in of_id:
            what = f"is of the image {node.get('image_id')!r}, which the list of images lacks; correct it"
            reading.faults.append(f"{place} {what}")
        if label is None:
            what = f"is of the category {node.get('category_id')!r}, which the list of categories lacks; correct it"
            reading.faults.append(f"{place} {what}")
        said = node.get("attributes") if isinstance(node.get("attributes"), dict) else {}
        flags = {flag: int(bool(said.get(flag))) for flag in FLAGS}
        flags["pose"] = str(said.get("pose") or "Unspecified")
        if find_hidden(flags["pose"]):
            what = f"has the pose {flags['pose']!r}, with a character that can't be seen; correct it"
            reading.faults.append(f"{place} {what}")
        reading.attributes.update(name for name in said if name not in (*FLAGS, "pose", "rotation") and said[name])
        if node.get("iscrowd"):
            flags["difficult"] = 1
            reading.counts[source, "crowds (iscrowd) are taken as boxes that are difficult"] += 1
        box = _read_coco_box(source, place, node, said, label, flags, reading)
        name = of_id.get(node.get("image_id"))
        if box and label and name in labels:
            labels[name][1].append(box)


def _read_coco_box(source, place, node, said, label, flags, reading):
    """The Box of an annotation; None, and a fault, where there is none."""
    numbers, outline = node.get("bbox"), node.get("segmentation")
    if outline and (not numbers or (isinstance(numbers, list) and numbers[2:] == [0, 0])):
        reading.counts[source, OUTLINED] += 1
        create = create_from_size if isinstance(outline, dict) else create_from_points
        try:
            points = _read_outline(outline)
        except (TypeError, ValueError, IndexError, KeyError):
            reading.faults.append(f"{place} has no box, and an outline that can't be read; correct it")
            return None
        return make_box(place, reading.faults, label, create, points, **flags, around=True)
    if outline and not node.get("iscrowd"):
        reading.counts[source, "outlines (segmentation) are left out: of them the boxes are taken"] += 1
    box = make_box(place, reading.faults, label, create_from_size, numbers, **flags)
    rotation = said.get("rotation")
    if box and isinstance(rotation, int | float) and math.isfinite(rotation) and rotation % 360:
        reading.counts[source, TURNED] += 1
        middle, size = ((box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2), numbers[2:]
        turned = surround_turned(*middle, *map(float, size), math.radians(rotation))
        return make_box(place, reading.faults, label, create_from_corners, turned, **flags, around=True)
    return box


def _read_outline(outline):
    """What `make_box` makes a box of: a list of points, or of a mask (RLE) its xmin, ymin, width, height."""
    if isinstance(outline, dict):
        from pycocotools import mask

        height, width = outline["size"]
        if isinstance(outline["counts"], list):
            outline = mask.frPyObjects(outline, int(height), int(width))
        return [float(number) for number in mask.toBbox(outline)]
    flat = [part for part in outline if isinstance(part, list)] or [outline]
    return [point for part in flat for point in zip(part[::2], part[1::2], strict=True)]


def _load_coco(source):
    content = load_json(source)
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


# ---------------------------------------------------------------- YOLO


def read_yolo(source, images, classes, files=None, has_keypoints=False, repair=False):
    """The Reading of YOLO's txt files below the folder `source`, or of `files`, a dict name -> path.

    `classes` are the names, in their order. What is not upright is taken as the box around it: turned boxes (four
    corners) and outlines. `has_keypoints`: five numbers a line are the box, the others keypoints.
    """
    reading, labels, owners = Reading(classes=classes, repair=repair), {}, {}
    strict = files is None
    files = _list_labels(source, ".txt") if strict else files
    pairs, lone, shared = match_labels(files, images)
    for name, several in shared.items():
        what = f"belongs to two images, {' and '.join(several[:2])}; rename one of them"
        reading.faults.append(f"{files[name]}: {what}")
    for name in lone:
        if files[name] != source / CLASSES_FILE:
            what = "there is no image of its name; add the image, or take the file away"
            reading.faults.append(f"{files[name]}: {what}")
    for name, image in pairs.items():
        if files[name] == source / CLASSES_FILE and strict:
            continue
        if image in owners:
            reading.faults.append(f"{files[name]}: {image} has another file, {owners[image]}; keep one of them")
            continue
        owners[image] = files[name]
        labels[image] = None, functools.partial(_read_yolo_file, source, files[name], classes, reading, has_keypoints)
    reading.unlabelled = [name for name in images if name not in labels]
    place_images(reading, owners.get, images, labels)
    return reading


def _read_yolo_file(source, txt, classes, reading, has_keypoints, size):
    """The list of Box of one file, of an image of `size` (width, height)."""
    try:
        lines = read_text(txt).split("\n")
    except InputError as error:
        reading.faults.extend(error.faults)
        return []
    boxes = []
    for number, line in enumerate(lines, 1):
        if (values := line.split()) and not values[0].startswith(DOTA_NOTES):
            boxes.append(
                _read_yolo_line(source, f"{txt}: line {number}", values, classes, reading, has_keypoints, size)
            )
    return [box for box in boxes if box]


def _read_yolo_line(source, place, values, classes, reading, has_keypoints, size):
    """The Box of one line, or None, after noting why: class, x and y of the middle, width and height, in fractions of
    the image; or class and corners; or, as DOTA has it, four corners in pixels, the class's name and its difficulty."""
    from globox import BoundingBox

    if len(values) == 10 and not _is_number(values[8]):
        reading.counts[source, TURNED] += 1
        points = list(zip(values[:8:2], values[1:8:2], strict=True))
        hard = int(values[9] not in ("0", "0.0"))
        return make_box(place, reading.faults, values[8], create_from_points, points, difficult=hard, around=True)
    if len(values) < 5:
        what = f"has {len(values)} numbers; a box has 5: class, x and y of its centre, width, height"
        reading.faults.append(f"{place} {what}")
        return None
    number = float(values[0]) if _is_number(values[0]) else -1.0
    if not number.is_integer() or not 0 <= number < len(classes):
        what = f"is of the class {values[0]}, but there are {len(classes)}, from 0 up; correct it, or the classes"
        reading.faults.append(f"{place} {what}")
        return None
    name = classes[int(number)]
    if len(values) >= 7 and len(values) % 2 and not has_keypoints:
        reading.counts[source, TURNED_OR_OUTLINED if len(values) == 9 else OUTLINED] += 1
        create = functools.partial(BoundingBox.from_yolo_seg, image_size=size)
        return make_box(place, reading.faults, name, create, " ".join(values), around=True)
    if len(values) > 5:
        what = "confidences are left out" if len(values) == 6 else "boxes have keypoints, which are left out"
        reading.counts[source, what] += 1
    create = functools.partial(BoundingBox.from_yolo_v5, image_size=size)
    return make_box(place, reading.faults, name, create, " ".join(values[:5]))


def read_keras(source, images, classes=None, repair=False):
    """The Reading of the txt file of YOLOv3 for Keras and YOLOv4 for PyTorch, which _classes.txt beside it belongs to.

    A line is an image's name, then xmin,ymin,xmax,ymax,class for each box, in pixels.
    """
    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    reading.classes = list(read_classes(source.with_name(source.name.replace("annotations", "classes"))))
    for number, line in enumerate(read_text(source).splitlines(), 1):
        said, *regions = re.split(r"\s+(?=[-\d.]+(?:,[-\d.]+){4}(?:\s|$))", line.strip())
        name = photos.find(said) if said else None
        for region in regions:
            *edges, label = region.split(",")
            if not label.isdecimal() or int(label) >= len(reading.classes):
                what = f"is of the class {label}, but there are {len(reading.classes)}, from 0 up; correct it"
                reading.faults.append(f"{source}: line {number} {what}")
                continue
            place = f"{source}: line {number}"
            box = make_box(place, reading.faults, reading.classes[int(label)], create_from_corners, edges)
            if name and box:
                labels.setdefault(name, (None, []))[1].append(box)
        if name:
            labels.setdefault(name, (None, []))
    reading.faults += photos.list_faults(source)
    reading.unlabelled = [name for name in images if name not in labels]
    place_images(reading, lambda name: f"{source}: {name}", images, dict(sorted(labels.items())))
    return reading


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# ---------------------------------------------------------------- CSV

ALIASES = {  # what others call the tutorial's columns
    "filename": ("image", "image_id", "imageid", "image_name", "img", "path", "file", "file_name", "image_path"),
    "class": ("label", "name", "class_name", "label_name", "category", "object"),
    "width": ("image_width", "img_width"),
    "height": ("image_height", "img_height"),
    **{edge: (f"{edge[0]}_{edge[1:]}", f"{edge[0]}{1 if edge[1:] == 'min' else 2}") for edge in COLUMNS[4:]},
}
RETINANET = ("filename", "xmin", "ymin", "xmax", "ymax", "class")  # its CSV has no header


def read_csv(source, images, classes=None, repair=False):
    """The Reading of the tutorial's CSV, and of others like it: one line a box, and none for images without.

    Cells may be parted by commas, semicolons or tabs. Columns may have other names (`ALIASES`), and coordinates may be
    fractions. A file with Open Images' columns is read as such.
    """
    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    header, table, comma = read_table(source)
    if {"ImageID", "LabelName", "XMin"} <= set(header):
        return read_openimages(source, images, repair=repair)
    header = [name_column(cell) for cell in header]
    needed = [column for column in COLUMNS if column not in ("width", "height")]
    if missing := [column for column in needed if column not in header]:
        raise InputError(f"{source}: has no column {', '.join(missing)}; add it")
    for number, row in table:
        place = f"{source}: line {number}"
        if len(row) != len(header):
            reading.faults.append(f"{place} has {len(row)} cells, the header has {len(header)}; correct it")
            continue
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        label, edges = read_class(cells["class"]), [cells[edge].replace(comma, ".") for edge in COLUMNS[4:]]
        try:
            size = tuple(int(float(cells.get(side) or 0)) for side in ("width", "height"))
        except (ValueError, OverflowError):
            reading.faults.append(f"{place}: width or height is not a whole number; correct it")
            continue
        name = photos.find(cells["filename"])
        if name and labels.setdefault(name, (size if all(size) else None, []))[0] not in (None, size):
            reading.faults.append(f"{place}: {name} has another size than in a line above; correct it")
            continue
        if not label and not any(edges):  # a photo without an object
            continue
        if not label:
            reading.faults.append(f"{place} has no class; give the box its class")
        box = make_box(place, reading.faults, label, create_from_corners, edges)
        if name and box:
            labels[name][1].append(box)
    reading.faults += photos.list_faults(source)
    reading.unlabelled = [name for name in images if name not in labels]
    place_images(reading, lambda name: f"{source}: {name}", images, dict(sorted(labels.items())))
    return reading


def read_table(source):
    """(header, list of (line number, cells), the mark that stands for a decimal point) of a CSV file."""
    data = read_bytes(source)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what Excel calls Unicode text
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(f"{source}: is not in UTF-8; save it in that encoding") from None
    else:
        text = read_text(source)
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        table = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{source}: line {rows.line_num}: is no CSV ({error}); export it again") from None
    cells = table[0][1] if table else []
    comma = "," if mark == ";" else "."
    if len(cells) == len(RETINANET) and all(_is_number(cell) or not any(cells[1:]) for cell in cells[1:5]):
        return list(RETINANET), table, comma
    return [cell.strip() for cell in cells], table[1:], comma


def name_column(cell):
    """The tutorial's name of a column."""
    folded = cell.lower().replace(" ", "_")
    return next((name for name, others in ALIASES.items() if folded == name or folded in others), cell)


READERS = {"voc": read_voc, "coco": read_coco, "yolo": read_yolo, "csv": read_csv, "keras": read_keras, **TOOL_READERS}
FOLDER_FORMATS = ("voc", "yolo", "labelme", "supervisely")  # of which each image has a file of its own
