"""Annotations as labelImg writes them, one Pascal VOC XML file for each image.

Boxes here are in pixels, `xmin, ymin, xmax, ymax`, from the upper left corner of the upright image.
"""

import collections
import contextlib
import dataclasses
import math
from pathlib import Path
from unicodedata import normalize

from lxml import etree

from tfod.data.images import list_files
from tfod.data.xml_text import mend
from tfod.utils.console import Fault, InputError, find_hidden, join_few
from tfod.utils.files import read_bytes, write_whole

MOST_BYTES = 16 * 10**6  # of an XML file: 70,000 boxes as labelImg writes them; lxml takes 25 times that in memory
OVERHANG = 1.0  # pixels; labelling tools round a box at the border out of the image by up to this


@dataclasses.dataclass(frozen=True)
class Box:
    """A labelled bounding box, in pixels (floats). `difficult` and `truncated` are 0 or 1.

    `around` says that it is the upright box around a turned one or an outline: such a box may reach out of the image,
    and is cut at the border.
    """

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: int = 0
    truncated: int = 0
    pose: str = "Unspecified"
    around: bool = dataclasses.field(default=False, compare=False)

    def __str__(self):
        return f"{self.name!r} ({self.xmin:g}, {self.ymin:g}, {self.xmax:g}, {self.ymax:g})"


@dataclasses.dataclass(frozen=True)
class Annotation:
    """What an XML file says: `filename` of the image ("" if not said), its width and height in pixels (0 if not said,
    as some tools leave them), and a tuple of `Box`; then the `names` of all its boxes that have one, of faulty ones
    too, and the text of <path>."""

    path: Path
    filename: str
    width: int
    height: int
    boxes: tuple
    names: tuple = dataclasses.field(default=(), compare=False)
    said_path: str = dataclasses.field(default="", compare=False)


def read_annotation(path: Path, repair: bool = False) -> Annotation:
    """Reads a labelImg XML file; `repair`: see `parse_annotation`. Raises InputError with every error of the file."""
    annotation, faults = parse_annotation(path, repair)
    if errors := [fault for fault in faults if fault.severity == "error"]:
        raise InputError(*errors)
    return annotation


def parse_annotation(path: Path, repair: bool = False) -> tuple[Annotation | None, list[Fault]]:
    """(the Annotation with the boxes that are sound, or None if it can't be read at all; list of `Fault`).

    With `repair`, what can be put right without a guess is, and the severity of its Fault is "repaired", not "error".

    What other tools write is taken: several <bndbox> in an <object>, CVAT's rotation, roLabelImg's <robndbox> and
    outlines, as the upright box around them; a warning says so.
    """
    path = Path(path)
    faults = []
    try:
        root = parse_xml(path, repaired=faults if repair else None)
    except InputError as error:
        return None, list(error.faults)
    children = _get_children(root)
    if children.keys().isdisjoint(("object", "size", "filename")):
        what = "has neither <filename> nor <size> nor <object>; save it as Pascal VOC in labelImg"
        return None, [Fault("xml-not-voc", path, what)]
    filename = _read_text(children, "filename")
    if leads_out(filename):  # where the image was on another computer: its own name is what counts
        filename = get_base_name(filename)
    width, height = _read_size(children.get("size"), faults, path, repair)
    boxes, names = [], []
    for element in root.iterchildren("object"):
        boxes += _read_boxes(element, faults, path, repair)
        name = _read_text(_get_children(element), "name")
        if name and not find_hidden(name):
            names += [name] * max(1, len(element.findall("bndbox")))
    return Annotation(path, filename, width, height, tuple(boxes), tuple(names), _read_text(children, "path")), faults


def parse_xml(
    path: Path, tag: str = "annotation", most: int = MOST_BYTES, repaired: list[Fault] | None = None
) -> etree._Element:
    """The root <annotation>, or <`tag`>, of an XML file of up to `most` bytes. Raises InputError if it is none.

    With a list `repaired`, what is wrong with the text and can be mended without a guess is mended, and noted there.
    Entities are not expanded, and nothing but the file itself is read.
    """
    data = read_bytes(path, most).lstrip()  # a blank line before the declaration does no harm
    try:
        root = _parse(data)
    except etree.XMLSyntaxError as error:
        mended, what, advice = mend(data)
        root = None
        with contextlib.suppress(etree.XMLSyntaxError):
            root = _parse(mended) if what else None
        if root is None:
            what = f"is not XML ({' '.join(str(error.msg).split())})" if data else "is empty"
            again = "put back a copy of the file, or label the photo again"
            advice = f"correct that line in a text editor, which keeps the others; or {again}" if data else again
        if root is None or repaired is None:
            raise InputError(Fault("xml-not-xml", path, f"{what}; {advice}")) from None
        repaired.append(Fault("xml-not-xml", path, f"{what}; mended", "repaired"))
    if root.tag != tag:
        advice = "save it as Pascal VOC in labelImg" if tag == "annotation" else "export it again"
        what = f"is <{root.tag}>, not <{tag}>; {advice}"
        raise InputError(Fault("xml-not-voc", path, what))
    if (entity := next(root.iter(etree.Entity), None)) is not None:
        what = f"holds the entity {entity.text}, which is not expanded; write its text instead"
        raise InputError(Fault("xml-entity", path, what))
    return root


def _parse(data):
    # A new parser for every file: lxml's are not for several threads at a time.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    return etree.fromstring(data, parser)


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels as an XML file says, 0 if it does not. Raises InputError if it is not XML."""
    return tuple(_read_size(parse_xml(path, repaired=[]).find("size"), [], path, True))


def leads_out(filename):
    """Whether the text of a <filename> names a file outside the folder: absolute on any system, or by `..`."""
    parts = filename.replace("\\", "/").split("/")
    return ".." in parts or parts[0].endswith(":") or (len(parts) > 1 and not parts[0])


def get_base_name(text):
    """The name of a file without its folders, of any system, in Unicode's composed form (NFC)."""
    return normalize("NFC", text.replace("\\", "/").rpartition("/")[2])


def _get_children(element):
    """A dict tag -> child; of several with one tag, the first."""
    return {child.tag: child for child in reversed(element)}


def _read_text(children, tag):
    return (children[tag].text or "").strip() if tag in children else ""


def _read_size(element, faults, path, repair):
    """Width and height in pixels; 0 for what is not said, or with `repair` is not a number."""
    children = {} if element is None else _get_children(element)
    sizes, found = [], []
    for side in ("width", "height"):
        is_said = bool(_read_text(children, side))
        size = _read_number(children, side, element, "size-not-number", found, path) if is_said else 0
        sizes.append(int(size) if math.isfinite(size) else 0)
    for fault in found:
        what = fault.what.replace("correct it", "the image's own size is taken") if repair else fault.what
        faults.append(Fault(fault.kind, path, what, "repaired" if repair else "error"))
    return [0, 0] if found else sizes


def _read_number(children, tag, parent, kind, faults, path):
    """The number in the child `tag` of `parent`, a float; notes a fault and returns NaN if it is none."""
    text = _read_text(children, tag)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        place = f"line {children.get(tag, parent).sourceline}: <{parent.tag}/{tag}>"
        said = f"is {text!r}, not a number; correct it" if text else "is missing; draw the box again"
        faults.append(Fault(kind, path, f"{place} {said}"))
        return math.nan
    return number


_FLAGS = {"": 0, "0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1, "unspecified": 0}
_EDGES = "(xmin, ymin, xmax, ymax)"


def _read_boxes(element, faults, path, repair):
    """The list of Box of an <object>; an empty one, after noting what is wrong, if one of its boxes is not sound."""
    children, found = _get_children(element), []

    def note(kind, what, severity="error"):
        found.append(Fault(kind, path, f"line {element.sourceline}: {what}", severity))

    def note_repairable(kind, what, advice, repaired):
        note(kind, f"{what}; {repaired if repair else advice}", "repaired" if repair else "error")

    if not "".join(element.itertext()).strip():
        what = f"line {element.sourceline}: the <object> is empty; it is left out"
        faults.append(Fault("object-empty", path, what, "warning"))
        return []
    name = _read_text(children, "name")
    if not name:
        note("box-no-name", "the box has no <name>; give it its class")
    elif find_hidden(name):
        note("class-hidden", f"the class {name!r} holds a character that can't be seen; type its name again")
    flags = [_read_flag(children, flag, note_repairable) for flag in ("difficult", "truncated")]
    boxes = []
    for *edges, how in _read_edges(element, children, found, path):
        box = Box(name, *edges, *flags, _read_text(children, "pose") or "Unspecified", around=bool(how))
        # never so with a NaN, which has its own fault
        if box.xmin == box.xmax or box.ymin == box.ymax:
            note_repairable("box-no-area", f"box {box} {_EDGES} has no area", "draw it again", "it is left out")
            continue
        if box.xmin > box.xmax or box.ymin > box.ymax:
            what = f"box {box} {_EDGES} has its corners swapped"
            note_repairable("box-swapped", what, "draw it again", "they are sorted")
            box = sort_edges(box)
        elif how:
            kind = "box-outline" if "outline" in how else "box-turned"
            note(kind, f"{how}; the upright box around it is taken, {box} {_EDGES}", "warning")
        boxes.append(box)
    if len(boxes) > 1:
        note("box-several", f"the <object> has {len(boxes)} boxes; each is taken as a {name!r}", "warning")
    if not boxes and not any(fault.kind in ("box-not-number", "box-no-area") for fault in found):
        note("box-no-bndbox", f"{name!r} has no <bndbox>; draw its box in labelImg")
    faults.extend(found)
    return [] if any(fault.severity == "error" for fault in found) else boxes


def sort_edges(box: Box) -> Box:
    """The same box with the smaller x and y first."""
    (xmin, xmax), (ymin, ymax) = sorted((box.xmin, box.xmax)), sorted((box.ymin, box.ymax))
    return dataclasses.replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


def _read_flag(children, flag, note_repairable):
    """0 or 1. A share between them, as KITTI's, is 1: it says how much is cut off."""
    text = _read_text(children, flag).lower()
    if text in _FLAGS:
        return _FLAGS[text]
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        what = f"<{flag}> is {text!r}"
        note_repairable("box-flag", what, "it must be 0 or 1", "it is taken as 0, which training does not use")
        return 0
    return int(share > 0)


def _read_edges(element, children, faults, path):
    """Yields (xmin, ymin, xmax, ymax, how it lies: "" where upright) of each box of an <object>; notes faults."""

    def read(parent, *tags):
        its_children = _get_children(parent)
        return [_read_number(its_children, tag, parent, "box-not-number", faults, path) for tag in tags]

    degrees = _read_rotation(element)
    for bndbox in element.iterchildren("bndbox"):
        edges = read(bndbox, "xmin", "ymin", "xmax", "ymax")
        xmin, ymin, xmax, ymax = edges
        if degrees and xmin < xmax and ymin < ymax:
            middle = (xmin + xmax) / 2, (ymin + ymax) / 2
            edges = surround_turned(*middle, xmax - xmin, ymax - ymin, math.radians(degrees))
        yield *edges, f"the box is turned by {degrees:g} degrees" if degrees else ""
    if "bndbox" in children:
        return
    for turned in element.iterchildren("robndbox"):  # roLabelImg's
        *place, angle = read(turned, "cx", "cy", "w", "h", "angle")
        yield *surround_turned(*place, angle), f"the <robndbox> is turned by {math.degrees(angle):.4g} degrees"
    for outline in element.iterchildren("polygon", "segmentation"):
        points = [child for child in outline.iter() if isinstance(child.tag, str) and not len(child)]
        xs, ys = ([child for child in points if child.tag.lower().strip("0123456789") == axis] for axis in "xy")
        numbers = [
            [_read_number({child.tag: child}, child.tag, outline, "box-not-number", faults, path) for child in axis]
            for axis in (xs, ys)
        ]
        if all(numbers):
            yield *(pick(axis) for pick in (min, max) for axis in numbers), "it is an outline (polygon)"


def _read_rotation(element):
    """Degrees clockwise by which CVAT says that a box is turned around its middle."""
    for attribute in element.iterfind("attributes/attribute"):
        if (attribute.findtext("name") or "").strip() == "rotation":
            try:
                degrees = float(attribute.findtext("value") or 0)
            except ValueError:
                return 0.0
            return degrees if math.isfinite(degrees) else 0.0
    return 0.0


def surround_turned(x, y, width, height, angle):
    """(xmin, ymin, xmax, ymax) of the upright box around one of `width` x `height` whose middle is `x`, `y`, turned
    around that by `angle` radians."""
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    x_reach, y_reach = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    # what cos and sin leave of a right angle, of 6e-17, is no part of a pixel
    return tuple(round(edge, 6) for edge in (x - x_reach, y - y_reach, x + x_reach, y + y_reach))


def clip_boxes(annotation: Annotation, width: int, height: int, repair: bool = False) -> tuple[list[Box], list[Fault]]:
    """The boxes of an annotation, cut at the borders of an image of `width` x `height` pixels, and what was found.

    A box that hangs over by up to `OVERHANG` is a warning. One by more is an error and left out, or with `repair` cut,
    too. One of which nothing would be left is an error.
    """
    boxes, found = [], []
    for box in annotation.boxes:
        overhang = max(-box.xmin, -box.ymin, box.xmax - width, box.ymax - height)
        if overhang <= 0:
            boxes.append(box)
            continue
        clipped = clip_box(box, width, height)
        where = f"of the image of {width} x {height} pixels"
        if clipped and box.around:
            boxes.append(clipped)
        elif clipped and (repair or overhang <= OVERHANG):
            what = f"box {box} {_EDGES} reaches {overhang:.2g} pixels out {where}; it is cut at the border"
            kind, severity = ("box-overhangs", "warning") if overhang <= OVERHANG else ("box-outside", "repaired")
            found.append(Fault(kind, annotation.path, what, severity))
            boxes.append(clipped)
        else:
            what = f"box {box} {_EDGES} reaches out {where}; draw it again"
            found.append(Fault("box-outside", annotation.path, what))
    return boxes, found


def clip_box(box, width, height):
    """The part of a Box within an image of `width` x `height` pixels, or None if there is none."""
    xmin, xmax = (min(max(edge, 0.0), width) for edge in (box.xmin, box.xmax))
    ymin, ymax = (min(max(edge, 0.0), height) for edge in (box.ymin, box.ymax))
    if xmin >= xmax or ymin >= ymax:
        return None
    return dataclasses.replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


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
    """Writes what `format_annotation` makes, whole."""
    with write_whole(path) as fresh:
        fresh.write_bytes(format_annotation(image_filename, width, height, boxes))


def format_annotation(image_filename, width, height, boxes):
    """An annotation as the bytes of an XML file, as labelImg would write it.

    `boxes` are `Box` in pixels of an image of `width` x `height`.
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
    return etree.tostring(root, encoding="utf-8") + b"\n"


def _add(element, **children):
    for name, value in children.items():
        whole = isinstance(value, float) and value.is_integer()
        etree.SubElement(element, name).text = str(int(value) if whole else value)


def list_annotations(folder: Path, faults: list[Fault] | None = None) -> list[Path]:
    """The XML files right in `folder`, sorted; hidden ones are left out. Raises InputError as `list_images` does."""
    return list_files(folder, (".xml",), faults)


def fold_name(name):
    """`name` as those see it who can't tell a.JPG from a.jpg, or an e with an accent from an e and an accent."""
    return normalize("NFC", name).casefold()


def find_images_of(annotations, images):
    """Which of the image paths belong to each XML path: (dict XML -> list of images, list of faults).

    An XML file's own stem says so, where need be in other letters (`fold_name`); where no image has it, the XML's
    <filename>. <path> says nothing: it names a
    folder of the computer on which somebody labelled. An XML file without an image is a fault.
    """
    by_stem, by_fold, by_name = collections.defaultdict(list), collections.defaultdict(list), {}
    for image in images:
        by_stem[image.stem].append(image)
        by_fold[fold_name(image.stem)].append(image)
        by_name[fold_name(image.name)] = image
    found, faults = {}, []
    for path in annotations:
        its_images = by_stem.get(path.stem) or by_fold.get(fold_name(path.stem))
        if its_images:
            found[path] = its_images
            continue
        try:
            filename = _read_text(_get_children(parse_xml(path, repaired=[])), "filename")
        except InputError as error:
            faults.extend(error.faults)
            continue
        if image := by_name.get(fold_name(get_base_name(filename))):
            found[path] = [image]
        else:
            said = f", nor the one that its <filename> names, {filename!r}" if filename else ""
            what = f"there is no image of its name{said}; add the image, or take the XML file away"
            faults.append(Fault("xml-without-image", path, what))
    return found, faults


def pair_files(annotations: list[Path], images: list[Path]) -> tuple[list[tuple[Path, Path]], list[Fault]]:
    """The images that have an XML file: (list of (image path, XML path) sorted by image, list of faults).

    Faults are each XML file without an image or with two, and each image with two XML files.
    """
    found, faults = find_images_of(annotations, images)
    pairs, more = pair_images(found)
    return pairs, faults + more


def pair_images(found: dict[Path, list[Path]]) -> tuple[list[tuple[Path, Path]], list[Fault]]:
    """What `find_images_of` found as (list of (image path, XML path) sorted by image, list of faults)."""
    pairs, faults = {}, []
    # of two XML files that want one image, that of its own name comes first
    for xml, its_images in sorted(found.items(), key=lambda item: item[0].stem != item[1][0].stem):
        image = its_images[0]
        if len(its_images) > 1:
            names = join_few(image.name for image in its_images)
            what = f"belongs to {len(its_images)} images, {names}; rename or remove all but one"
            faults.append(Fault("xml-of-two-images", xml, what))
        elif image in pairs:
            what = f"{image.name} has another XML file, {pairs[image].name}; keep one of them"
            faults.append(Fault("image-with-two-xml", xml, what))
        else:
            pairs[image] = xml
    return sorted(pairs.items()), faults
