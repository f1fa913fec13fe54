"""Middle module: annotations as labelImg writes them, one Pascal VOC XML file for each image.

Boxes here are in pixels, `xmin, ymin, xmax, ymax`, from the upper left corner of the upright image.
"""

import collections
import dataclasses
import math
from pathlib import Path

from lxml import etree

from tfod.console import InputError
from tfod.files import write_whole
from tfod.images import list_files, list_images

OVERHANG = 1.0  # pixels; labelling tools round a box at the border out of the image by up to this


@dataclasses.dataclass(frozen=True)
class Box:
    """A labelled bounding box, in pixels (floats). `difficult` and `truncated` are 0 or 1."""

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: int = 0
    truncated: int = 0
    pose: str = "Unspecified"

    def __str__(self):
        return f"{self.name!r} ({self.xmin:g}, {self.ymin:g}, {self.xmax:g}, {self.ymax:g})"


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What an XML file says: `filename` of the image ("" if not said), its width and height in pixels (0 if not
    said, as some tools leave them), and a tuple of `Box`."""

    path: Path
    filename: str
    width: int
    height: int
    boxes: tuple


def read_annotation(path):
    """Reads a labelImg XML file. Raises InputError with every fault of the file."""
    path = Path(path)
    root = _parse(path)
    faults = []
    width = _read_number(root, "size/width", faults, path, default=0)
    height = _read_number(root, "size/height", faults, path, default=0)
    boxes = [_read_box(element, faults, path) for element in root.findall("object")]
    if faults:
        raise InputError(*faults)
    return Annotation(path, _read_text(root, "filename"), int(width), int(height), tuple(boxes))


def _parse(path):
    # A new parser for every file: lxml's are not for several threads at a time.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    try:
        root = etree.fromstring(path.read_bytes(), parser)
    except etree.XMLSyntaxError as error:
        raise InputError(f"{path}: is not XML ({error.msg}); label the image again") from error
    if root.tag != "annotation":
        raise InputError(f"{path}: is <{root.tag}>, not <annotation>; save it as Pascal VOC in labelImg")
    return root


def _read_text(element, name):
    return (element.findtext(name) or "").strip()


def _read_number(element, name, faults, path, default=None):
    """The number in the child `name`, a float; notes a fault and returns NaN if it is none."""
    text = _read_text(element, name)
    if not text and default is not None:
        return default
    child = element.find(name)
    line = (element if child is None else child).sourceline
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        faults.append(f"{path}: line {line}: <{name}> is {text!r}, not a number; correct it")
        return math.nan
    return number


_FLAGS = {"": 0, "0": 0, "1": 1, "false": 0, "true": 1, "unspecified": 0}


def _read_box(element, faults, path):
    place = f"{path}: line {element.sourceline}"
    name = _read_text(element, "name")
    if not name:
        faults.append(f"{place}: the box has no <name>; give it its class")
    if element.find("bndbox") is None:
        faults.append(f"{place}: {name!r} has no <bndbox>; draw its box in labelImg")
        return None
    flags = []
    for flag in ("difficult", "truncated"):
        text = _read_text(element, flag)
        if text.lower() not in _FLAGS:
            faults.append(f"{place}: <{flag}> is {text!r}; it must be 0 or 1")
        flags.append(_FLAGS.get(text.lower(), 0))
    edges = [_read_number(element, f"bndbox/{edge}", faults, path) for edge in ("xmin", "ymin", "xmax", "ymax")]
    box = Box(name, *edges, *flags, _read_text(element, "pose") or "Unspecified")
    if box.xmin >= box.xmax or box.ymin >= box.ymax:  # never so with a NaN, which has its own fault
        faults.append(f"{place}: box {box} has no area (xmin, ymin, xmax, ymax); draw it again")
    return box


def clip_boxes(annotation, width, height):
    """The boxes of an annotation, cut at the borders of an image of `width` x `height` pixels; a list of `Box`.

    Raises InputError with a fault for every box that hangs over by more than `OVERHANG`, or of which nothing is left.
    """
    boxes, faults = [], []
    for box in annotation.boxes:
        overhang = max(-box.xmin, -box.ymin, box.xmax - width, box.ymax - height)
        clipped = dataclasses.replace(
            box,
            xmin=min(max(box.xmin, 0.0), width),
            ymin=min(max(box.ymin, 0.0), height),
            xmax=min(max(box.xmax, 0.0), width),
            ymax=min(max(box.ymax, 0.0), height),
        )
        if overhang > OVERHANG or clipped.xmin >= clipped.xmax or clipped.ymin >= clipped.ymax:
            faults.append(
                f"{annotation.path}: box {box} (xmin, ymin, xmax, ymax) reaches out of the image of {width} x {height}"
                f" pixels; draw it again"
            )
        boxes.append(clipped)
    if faults:
        raise InputError(*faults)
    return boxes


def turn_box(box, orientation, width, height):
    """A box drawn on the pixels as stored, `width` x `height`, where it lies in the upright image.

    `orientation` is EXIF's, 1 to 8.
    """
    xmin, ymin, xmax, ymax = box.xmin, box.ymin, box.xmax, box.ymax
    if orientation in (2, 3, 7, 8):  # the stored x axis runs backwards in the upright image
        xmin, xmax = width - xmax, width - xmin
    if orientation in (3, 4, 6, 7):  # so does the stored y axis
        ymin, ymax = height - ymax, height - ymin
    if orientation >= 5:  # the axes change places
        xmin, ymin, xmax, ymax = ymin, xmin, ymax, xmax
    return dataclasses.replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


def write_annotation(path, image_filename, width, height, boxes):
    """Writes an annotation whole, as labelImg would: `boxes` are `Box` in pixels of an image of `width` x `height`.

    The image is named relative to the XML file, so that the bytes do not depend on where the two lie.
    """
    root = etree.Element("annotation")
    etree.SubElement(root, "folder")
    _add(root, filename=image_filename, path=image_filename)
    _add(etree.SubElement(root, "source"), database="Unknown")
    _add(etree.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=0)
    for box in boxes:
        element = etree.SubElement(root, "object")
        _add(element, name=box.name, pose=box.pose, truncated=box.truncated, difficult=box.difficult)
        edges = {"xmin": box.xmin, "ymin": box.ymin, "xmax": box.xmax, "ymax": box.ymax}
        _add(etree.SubElement(element, "bndbox"), **edges)
    etree.indent(root, "\t")
    with write_whole(path) as fresh:
        fresh.write_bytes(etree.tostring(root, encoding="utf-8") + b"\n")


def _add(element, **children):
    for name, value in children.items():
        whole = isinstance(value, float) and value.is_integer()
        etree.SubElement(element, name).text = str(int(value) if whole else value)


def list_annotations(folder):
    """The XML files right in `folder`, sorted; hidden ones are left out. Raises InputError as `list_images` does."""
    return list_files(folder, (".xml",))


def find_images_of(annotations, images):
    """Which of the image paths belong to each XML path: (dict XML -> list of images, list of faults).

    An XML file's own stem says so; where no image has it, the XML's <filename>. <path> says nothing: it names a
    folder of the computer on which somebody labelled. An XML file without an image is a fault.
    """
    by_stem, by_name = collections.defaultdict(list), {}
    for image in images:
        by_stem[image.stem].append(image)
        by_name[image.name] = image
    found, faults = {}, []
    for path in annotations:
        if path.stem in by_stem:
            found[path] = by_stem[path.stem]
            continue
        try:
            filename = _read_text(_parse(path), "filename")
        except InputError as error:
            faults.extend(error.faults)
            continue
        if filename in by_name:
            found[path] = [by_name[filename]]
        else:
            said = f", nor the one that its <filename> names, {filename!r}" if filename else ""
            faults.append(f"{path}: there is no image of its name{said}; add the image, or take the XML file away")
    return found, faults


def find_pairs(annotations, images):
    """The images that have an XML file: (list of (image path, XML path) sorted by image, list of faults).

    Faults are each XML file without an image or with two, and each image with two XML files.
    """
    found, faults = find_images_of(annotations, images)
    pairs = {}
    for xml, its_images in found.items():
        image = its_images[0]
        if len(its_images) > 1:
            names = ", ".join(image.name for image in its_images)
            faults.append(f"{xml}: belongs to {len(its_images)} images, {names}; rename or remove all but one")
        elif image in pairs:
            faults.append(f"{xml}: {image.name} has another XML file, {pairs[image].name}; keep one of them")
        else:
            pairs[image] = xml
    return sorted(pairs.items()), faults


def pair_images_with_annotations(image_dir, xml_dir):
    """`find_pairs` of two folders (or one): the list of (image path, XML path). Raises InputError with every fault."""
    pairs, faults = find_pairs(list_annotations(xml_dir), list_images(image_dir))
    if faults:
        raise InputError(*faults)
    return pairs
