"""Corrected copies of photos and XML files, for check_dataset.py --fix. The files themselves are never changed."""

import contextlib
import dataclasses
import math
import os
import shutil
from pathlib import Path

from lxml import etree

from tfod.data.checks import find_unknown_classes, look_at
from tfod.data.label_map import find_near_name
from tfod.data.tfrecord import encode_image
from tfod.data.voc import Box, clip_box, leads_out, parse_annotation, parse_xml, turn_box
from tfod.utils.console import Fault, InputError, find_hidden, make_printable, progress
from tfod.utils.files import mark_current, refuse_foreign, write_whole

MAKER = "check_dataset --fix"  # of the output, as its stamp says
EDGES = ("xmin", "ymin", "xmax", "ymax")
SAME_SHAPE = 0.01  # relative; two sizes of which one is the other, made larger or smaller


@dataclasses.dataclass
class Fix:
    """How one photo is corrected: names and bytes of the files to write (None: a copy as it is), and what changed."""

    look: object
    image_name: str
    encoded: bytes | None
    xml_name: str
    xml: bytes | None
    changes: list


def fix_photos(looks, faults, names_to_ids, folder, output):
    """Writes photo and XML file of all that can be corrected below `output`, in folders as those of `folder`.

    Prints what was changed, and which errors are left. Raises InputError if `output` is in use.
    """
    check_output(folder, output)
    fixes = [fix for look in progress(looks, "correcting") if (fix := make_fix(look, names_to_ids))]
    fixed = {str(path) for fix in fixes for path in (fix.look.image, fix.look.xml)}
    of_several = ("photo-on-two-sides", "image-without-xml")  # what a look at the one photo does not tell
    errors = [fault for fault in faults if fault.severity == "error"]
    left = [fault for fault in errors if fault.file not in fixed or fault.kind in of_several]
    if fixes:
        with write_whole(output, MAKER) as fresh:
            for fix in fixes:
                place = fresh / fix.look.image.parent.relative_to(folder)
                left += write_fix(fix, place, output / place.relative_to(fresh), names_to_ids)
        mark_current(output, None, MAKER)
    for fix in fixes:
        for path, what in fix.changes:
            print(f"{make_printable(path)}: {make_printable(what)}")
    for fault in left:
        print(f"left as it is: {fault}")
    changes = sum(len(fix.changes) for fix in fixes)
    where = f", in {output}; copy them over {folder} when they are as you want them" if fixes else ""
    print(f"{changes} corrections in {len(fixes)} photos and XML files{where}; {len(left)} errors left")


def check_output(folder, output):
    inner, outer = Path(os.path.realpath(output)), Path(os.path.realpath(folder))
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InputError(f"{output}: lies in {folder} or around it; give another folder for the corrected copies")
    refuse_foreign(output, MAKER, "give a new folder with --fix")


def make_fix(look, names_to_ids):
    """The Fix of a Look, or None if there is nothing that can be corrected."""
    if not look.stored:
        return None
    image, changes, encoded, image_name = look.image, [], None, look.image.name
    if not look.stored.is_plain:
        encoded, kind = encode_image(image, look.stored)
        right = (".jpg", ".jpeg") if kind == "jpeg" else (".png",)
        image_name = image.name if image.suffix.lower() in right else image.stem + right[0]
        why = "turned upright" if look.stored.orientation > 1 else f"was {look.stored.format}, {look.stored.mode}"
        renamed = f" as {image_name}, in place of {image.name}" if image_name != image.name else ""
        changes.append((image, f"{why}, encoded again{renamed}"))
    xml = None
    if look.xml:
        try:
            repaired = []
            root = parse_xml(look.xml, repaired=repaired)
        except InputError:
            return None
        in_xml = [fault.what for fault in repaired] + correct_annotation(root, look, image_name, names_to_ids)
        if in_xml:
            xml = etree.tostring(root, encoding="utf-8") + b"\n"
        changes += [(look.xml, what) for what in in_xml]
    xml_name = f"{image.stem}.xml"
    if look.xml and look.xml.stem != image.stem:
        changes.append((look.xml, f"named {xml_name}, as its image"))
    return Fix(look, image_name, encoded, xml_name, xml, changes) if changes else None


def write_fix(fix, place, final, names_to_ids):
    """Writes the files of a Fix into the folder `place`, that is to be `final`; the errors that they still have."""
    place.mkdir(parents=True, exist_ok=True)
    image, xml = place / fix.image_name, place / fix.xml_name if fix.look.xml else None
    for path, content, source in ((image, fix.encoded, fix.look.image), (xml, fix.xml, fix.look.xml)):
        if path and content is None:
            shutil.copyfile(source, path)
        elif path:
            path.write_bytes(content)
    look = look_at((fix.look.subset, image, xml))
    unknown = find_unknown_classes([look], names_to_ids, "the label map") if names_to_ids is not None else []
    left = [fault for fault in [*look.faults, *unknown] if fault.severity == "error"]
    return [Fault(fault.kind, final / Path(fault.file).name, fault.what) for fault in left]


def correct_annotation(root, look, image_name, names_to_ids):
    """Corrects the lxml tree of an XML file in place; a list of texts of what was changed."""
    annotation, _ = parse_annotation(look.xml, repair=True)
    if not annotation:
        return []
    changes = []
    place, how = choose_placing(annotation, look.stored)
    for element in root.findall("object"):
        changes += correct_name(element, names_to_ids)
        changes += correct_box(element, place, *look.stored.upright_size)
    if how:
        changes.append(how)
    changes += remove_duplicates(root)
    for tag, value in zip(("width", "height"), look.stored.upright_size, strict=True):
        said = root.findtext(f"size/{tag}")
        if said is not None and said.strip() and not _equals(said, value):
            root.find(f"size/{tag}").text = str(value)
            changes.append(f"<size/{tag}> {said.strip()!r} set to {value}")
    stems = {look.xml.stem, look.image.stem}
    tags = (("filename", (root.findtext("filename") or "").strip()), ("path", annotation.said_path))
    for tag, said in () if find_hidden(image_name) else tags:  # such a name XML may not be able to hold
        base = said.replace("\\", "/").rpartition("/")[2]
        wrong = tag == "filename" and (leads_out(said) or image_name != look.image.name)
        if said and (wrong or not stems & {base, Path(base).stem} or look.xml.stem != look.image.stem):
            root.find(tag).text = image_name
            changes.append(f"<{tag}> {said!r} set to {image_name!r}")
    return changes


def _equals(text, number):
    with contextlib.suppress(ValueError):
        return float(text) == number
    return False


def choose_placing(annotation, stored):
    """(a function Box -> Box that brings it to where it lies in the upright image, a text of what that is)."""
    upright = stored.upright_size
    said = (annotation.width or upright[0], annotation.height or upright[1])
    if said == upright or not annotation.boxes:
        return lambda box: box, ""
    if said == stored.size:
        how = "boxes turned with the photo, as they were drawn on the pixels as stored"
        return lambda box: turn_box(box, stored.orientation, *stored.size), how
    x, y = (is_side / said_side for is_side, said_side in zip(upright, said, strict=True))
    if min(x, y) <= 0 or abs(x / y - 1) > SAME_SHAPE:
        return lambda box: box, ""

    def scale(box):
        edges = {edge: getattr(box, edge) * (x if edge[0] == "x" else y) for edge in EDGES}
        return dataclasses.replace(box, **edges)

    return scale, f"boxes scaled by {x:.4g}, as the photo was since it was labelled; look at them"


def correct_name(element, names_to_ids):
    child = element.find("name")
    said = (child.text or "").strip() if child is not None else ""
    if not said or names_to_ids is None or said in names_to_ids:
        return []
    near, sure = find_near_name(said, names_to_ids)
    if not sure:
        return []
    child.text = near
    return [f"class {said!r} spelled {near!r}"]


def _read_edges(element):
    """The four edges of an <object>, or None if they are not all numbers."""
    try:
        edges = [float(element.findtext(f"bndbox/{edge}")) for edge in EDGES]
    except (TypeError, ValueError):
        return None
    return edges if all(map(math.isfinite, edges)) else None


def correct_box(element, place, width, height):
    edges = _read_edges(element)
    if not edges:
        return []
    changes = []
    name = (element.findtext("name") or "").strip()
    said = Box(name, *edges)
    box = Box(name, *(min(edges[i], edges[i + 2]) for i in (0, 1)), *(max(edges[i], edges[i + 2]) for i in (0, 1)))
    if box != said:
        changes.append(f"corners of box {said} sorted")
    placed = place(box)
    clipped = clip_box(placed, width, height)
    if clipped and clipped != placed:
        changes.append(f"box {placed} clipped to {clipped}")
    for edge in EDGES:
        value = getattr(clipped or placed, edge)
        if value != getattr(said, edge):
            element.find(f"bndbox/{edge}").text = f"{value:.10g}"
    return changes


def remove_duplicates(root):
    seen, changes = set(), []
    for element in root.findall("object"):
        edges = _read_edges(element)
        key = (
            edges
            and len(element.findall("bndbox")) == 1
            and (element.findtext("name").strip() if element.findtext("name") else "", *edges)
        )
        if key and key in seen:
            root.remove(element)
            changes.append(f"box {Box(*key)} removed, as it was there twice")
        elif key:
            seen.add(key)
    return changes
