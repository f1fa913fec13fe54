"""Labelled photos: which XML file belongs to which image, and both put together as the detector will see them."""

import collections
import dataclasses
import hashlib
from pathlib import Path
from unicodedata import normalize

from tfod.data.images import IMAGE_SUFFIXES, StoredImage, check_image, list_names
from tfod.data.voc import Box, clip_boxes, find_pairs, parse_annotation, turn_box
from tfod.utils.console import Fault, InputError


@dataclasses.dataclass(frozen=True)
class Photo:
    """A checked image: its file and its XML file (None if it is a negative that has none), how the image is stored,
    its size upright, and its boxes in that: `tfod.data.voc.Box` in pixels, none of which hangs over."""

    path: Path
    xml: Path | None
    stored: StoredImage
    width: int
    height: int
    boxes: list


def check_photo(image_path, xml_path, decode=True, warn=True):
    """One photo: (Photo or None, the class names of its boxes, list of faults, list of warnings), of `Fault`.

    `xml_path` is None for an unlabelled photo that is taken as a negative. With `decode=False` the image's header is
    read, not its pixels; with `warn=False` nothing is looked for that is a warning only.
    """
    stored, faults = None, []
    try:
        stored = check_image(image_path, decode)
    except InputError as error:
        faults.extend(error.faults)
    photo, names, more, warnings = check_labels(image_path, stored, xml_path, warn)
    return (None if faults else photo), names, faults + more, warnings


def check_labels(image_path, stored, xml_path, warn=True):
    """As `check_photo`, of an image that was read: its `StoredImage`, or None if it can't be decoded."""
    if xml_path is None:
        photo = stored and Photo(image_path, None, stored, *stored.upright_size, [])
        return photo, (), [], _find_exif_warnings(image_path, stored)
    annotation, found = parse_annotation(xml_path)
    if not annotation:
        return None, (), found, []
    boxes = []
    if stored:
        boxes, more = place_boxes(image_path, stored, annotation)
        found = found + more
    if warn:
        found = found + _find_exif_warnings(image_path, stored)
        found = found + _find_name_warnings(image_path, annotation) + _find_duplicates(annotation)
    faults = [fault for fault in found if fault.severity == "error"]
    warnings = [fault for fault in found if fault.severity == "warning"]
    photo = None
    if stored and not faults:
        photo = Photo(image_path, annotation.path, stored, *stored.upright_size, boxes)
    return photo, annotation.names, faults, warnings


def place_boxes(path, stored, annotation):
    """(the boxes as they lie in the upright image, list of `Fault`); boxes that reach out of it are left out."""
    width, height = stored.upright_size
    said = (annotation.width or width, annotation.height or height)
    if said == (width, height):
        return clip_boxes(annotation, width, height)
    if said != stored.size:
        what = f"<size> is {said[0]} x {said[1]}, but {path.name} has {width} x {height} pixels; label this image again"
        return [], [Fault("size-differs", annotation.path, what)]
    # Labelled in a program that shows photos as stored, without the turn that the camera noted.
    boxes, faults = clip_boxes(annotation, *stored.size)
    return [turn_box(box, stored.orientation, *stored.size) for box in boxes], faults


def _find_exif_warnings(path, stored):
    if not stored or stored.orientation == 1:
        return []
    what = f"EXIF says that it is to be turned (orientation {stored.orientation}); the records get it upright"
    return [Fault("exif-turned", path, what, "warning")]


def _find_name_warnings(image_path, annotation):
    """Where <filename> or <path> tells of another image. The XML's own name wins, then <filename>; never <path>."""
    own, image = _get_stem(annotation.path.name), normalize("NFC", image_path.name)
    filename, said_path = _get_base_name(annotation.filename), _get_base_name(annotation.said_path)
    warnings = []
    if filename and own not in (filename, _get_stem(filename)):
        used = "which is used, for no image has the XML's own name" if filename == image else f"but {image} is used"
        what = f"<filename> names {filename!r}, {used}; give image and XML file one name"
        warnings.append(Fault("filename-differs", annotation.path, what, "warning"))
    if said_path and {own, _get_stem(filename)}.isdisjoint((said_path, _get_stem(said_path))):
        what = f"<path> names {said_path!r}, but {image} is used; nothing to do if that is the image"
        warnings.append(Fault("path-differs", annotation.path, what, "warning"))
    return warnings


def _get_base_name(text):
    return normalize("NFC", text.replace("\\", "/").rpartition("/")[2])


def _get_stem(name):
    """A file's name without its suffix, however the file system writes umlauts."""
    stem, _, _ = normalize("NFC", name).rpartition(".")
    return stem if stem else normalize("NFC", name)


def _find_duplicates(annotation):
    counts = collections.Counter((box.name, box.xmin, box.ymin, box.xmax, box.ymax) for box in annotation.boxes)
    warnings = []
    for key, number in counts.items():
        if number > 1:
            what = f"box {Box(*key)} (xmin, ymin, xmax, ymax) is there {number} times; remove all but one"
            warnings.append(Fault("box-duplicate", annotation.path, what, "warning"))
    return warnings


def match_files(image_dir, xml_dir, allow_unlabelled):
    """(list of (image path, XML path, or None for a negative) sorted by image, list of faults).

    Raises InputError if a folder is not there, or empty.
    """
    images = [image_dir / name for name in list_names(image_dir, IMAGE_SUFFIXES)]
    annotations = [xml_dir / name for name in list_names(xml_dir, (".xml",))]
    if not annotations and not allow_unlabelled:
        raise InputError(f"{xml_dir}: there are no XML files; give the folder that holds them with -x")
    if not images:
        raise InputError(f"{image_dir}: there are no images; give the folder that holds them with -i")
    pairs, faults = find_pairs(annotations, images)
    found = dict(pairs)
    if not allow_unlabelled:
        named = {fault.file for fault in faults if isinstance(fault, Fault)}
        what = "has no XML file; label it, or take all such images as negatives with --allow_unlabelled"
        for image in images:
            if image not in found and str(xml_dir / f"{image.stem}.xml") not in named:  # its XML's fault says it all
                faults.append(Fault("image-without-xml", image, what))
    return [(image, found.get(image)) for image in images], faults


def shuffle_pairs(pairs, seed):
    """The pairs in a random order, in which a photo's place depends on nothing but its name and the seed: photos that
    come later do not change the order of the others."""
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair[0].name}".encode()).digest())
