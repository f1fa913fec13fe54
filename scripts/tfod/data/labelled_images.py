"""Labelled photos: which XML file belongs to which image, and both put together as the detector will see them."""

import collections
import dataclasses
import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

from tfod.data.images import StoredImage, check_image, list_images, map_in_threads
from tfod.data.split import SUBSETS
from tfod.data.voc import (
    Annotation,
    Box,
    clip_boxes,
    get_base_name,
    list_annotations,
    pair_files,
    parse_annotation,
    read_size,
    turn_box,
)
from tfod.utils.console import Fault, InputError
from tfod.utils.parallel import map_chunks

CHUNK = 32  # photos that a process checks between two messages


@dataclasses.dataclass(frozen=True)
class LabelledPhoto:
    """A checked image: its file and its XML file (None if it is a negative that has none), how the image is stored,
    its size upright, and its boxes in that: `tfod.data.voc.Box` in pixels, none of which hangs over."""

    path: Path
    xml: Path | None
    stored: StoredImage
    width: int
    height: int
    boxes: list[Box]

    @property
    def name(self) -> str:
        return self.path.name


def check_photo(
    image_path: Path,
    xml_path: Path | None,
    decode: bool = True,
    warn: bool = True,
    repair: bool = False,
    as_stored: bool = False,
) -> tuple[LabelledPhoto | None, tuple[str, ...], list[Fault], list[Fault]]:
    """One photo: (LabelledPhoto or None, the class names of its boxes, faults that are errors, the other faults).

    `xml_path` is None for an unlabelled photo that is taken as a negative. With `decode=False` the image's header is
    read, not its pixels; with `warn=False` nothing is looked for that is a warning only. With `repair`, what can be put
    right without guessing is. `as_stored`: see `place_boxes`.
    """
    stored, faults, others = None, [], []
    try:
        stored = check_image(image_path, decode, repair)
    except InputError as error:
        faults.extend(error.faults)
    if stored and stored.is_cut:
        others.append(note_cut(image_path))
    photo, names, more, more_others = check_labels(image_path, stored, xml_path, warn, repair, as_stored)
    return (None if faults else photo), names, faults + more, others + more_others


def note_cut(path: Path) -> Fault:
    """The Fault of a damaged image that was decoded as far as it goes."""
    return Fault("image-damaged", path, "is cut off or damaged near its end; decoded as far as it goes", "repaired")


def check_labels(
    image_path: Path,
    stored: StoredImage | None,
    xml_path: Path | None,
    warn: bool = True,
    repair: bool = False,
    as_stored: bool = False,
) -> tuple[LabelledPhoto | None, tuple[str, ...], list[Fault], list[Fault]]:
    """As `check_photo`, of an image that was read: its `StoredImage`, or None if it can't be decoded."""
    if xml_path is None:
        photo = stored and LabelledPhoto(image_path, None, stored, *stored.upright_size, [])
        return photo, (), [], _find_exif_warnings(image_path, stored)
    annotation, found = parse_annotation(xml_path, repair)
    if not annotation:
        return None, (), found, []
    boxes = []
    if stored:
        scaled, notes = scale_fractions(annotation, stored)
        boxes, more = place_boxes(image_path, stored, scaled, repair, as_stored)
        found = found + notes + more
    if warn:
        found = found + _find_exif_warnings(image_path, stored)
        found = found + _find_name_warnings(image_path, annotation) + _find_duplicates(annotation)
    faults = [fault for fault in found if fault.severity == "error"]
    others = [fault for fault in found if fault.severity != "error"]
    photo = None
    if stored and not faults:
        photo = LabelledPhoto(image_path, annotation.path, stored, *stored.upright_size, boxes)
    return photo, annotation.names, faults, others


def place_boxes(
    path: Path, stored: StoredImage, annotation: Annotation, repair: bool = False, as_stored: bool = False
) -> tuple[list[Box], list[Fault]]:
    """The boxes as they lie in the upright image, and what was found; boxes that reach out of it are left out.

    <size> says whether the boxes were drawn on the pixels as stored, without the turn that EXIF asks for. Where it
    can't, as in a photo that was turned by 180 degrees or is square, `as_stored` says so: see `find_set_turn`.
    """
    width, height = stored.upright_size
    said = (annotation.width or width, annotation.height or height)
    if said not in (stored.upright_size, stored.size):
        what = f"<size> is {said[0]} x {said[1]}, but {path.name} has {width} x {height} pixels; if it was made smaller"
        what += " or larger after it was labelled, check_dataset.py --fix FOLDER scales the boxes, in a copy; else put"
        return [], [Fault("size-differs", annotation.path, f"{what} back the photo that was labelled")]
    turned, found = said != stored.upright_size, []
    if stored.orientation > 1 and stored.size == stored.upright_size and annotation.boxes:
        turned = as_stored
        how = "as the photos of this set whose size tells" if as_stored else "as viewers show it"
        what = f"EXIF turns it (orientation {stored.orientation}), and <size> can't tell whether it was labelled turned"
        taken = "on the pixels as stored" if as_stored else "upright"
        found.append(Fault("exif-unclear", annotation.path, f"{what}; the boxes are taken {taken}, {how}", "warning"))
    boxes, more = clip_boxes(annotation, *(stored.size if turned else stored.upright_size), repair)
    if turned:
        boxes = [turn_box(box, stored.orientation, *stored.size) for box in boxes]
    return boxes, found + more


def scale_fractions(annotation: Annotation, stored: StoredImage) -> tuple[Annotation, list[Fault]]:
    """(the Annotation with its boxes in pixels, a list with a warning where they were fractions of the image)."""
    edges = [edge for box in annotation.boxes for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
    if not edges or min(edges) < 0 or max(edges) > 1 or all(edge in (0, 1) for edge in edges):
        return annotation, []
    width, height = (annotation.width, annotation.height) if annotation.width else stored.upright_size
    boxes = [
        dataclasses.replace(
            box, xmin=box.xmin * width, ymin=box.ymin * height, xmax=box.xmax * width, ymax=box.ymax * height
        )
        for box in annotation.boxes
    ]
    what = f"the coordinates are fractions from 0 to 1; they are taken times {width} x {height} pixels"
    note = Fault("box-fractions", annotation.path, what, "warning")
    return dataclasses.replace(annotation, boxes=tuple(boxes)), [note]


def find_set_turn(pairs: list[tuple[Path, Path | None]], folder: Path | None = None) -> bool:
    """Whether photos that EXIF turns, and whose size does not tell, were labelled on the pixels as stored.

    That is as the photos of the set were whose size tells, if as many of them as not were. `pairs`: (image path, XML
    path) of the set; of a subset in `folder`, the set has the photos of the subsets beside it, too.
    """
    turns = collections.Counter(map_in_threads(_find_turn, pairs))
    if not turns["unclear"]:
        return False
    if folder and folder.name in SUBSETS:
        for other in (folder.with_name(name) for name in SUBSETS if name != folder.name):
            if other.is_dir():
                more, _ = pair_files(list_annotations(other, []), list_images(other, []))
                turns.update(map_in_threads(_find_turn, more))
    return turns["stored"] > 0 and turns["stored"] >= turns["upright"]


def _find_turn(pair):
    """ "stored" or "upright", as <size> tells, or "unclear", of a photo that EXIF turns; "" for all others."""
    image, xml = pair
    try:
        with image.open("rb") as file:
            head = file.read(65536) if xml else b""
        if not any(word in head for word in (b"Exif\0", b"eXIf", b"EXIF", b"xap/1.0")):
            return ""
        stored = check_image(image, decode=False)
        if stored.orientation == 1:
            return ""
        said = read_size(xml) if stored.size != stored.upright_size else None
    except (InputError, OSError):  # a fault that is named where the photo is checked
        return ""
    return {stored.size: "stored", stored.upright_size: "upright"}.get(said, "unclear")


def _find_exif_warnings(path, stored):
    if not stored or stored.orientation == 1:
        return []
    what = f"EXIF says that it is to be turned (orientation {stored.orientation}); the records get it upright"
    return [Fault("exif-turned", path, what, "warning")]


def _find_name_warnings(image_path, annotation):
    """Where <filename> or <path> tells of another image. The XML's own name wins, then <filename>; never <path>."""
    own, image = _get_stem(annotation.path.name), normalize("NFC", image_path.name)
    filename, said_path = get_base_name(annotation.filename), get_base_name(annotation.said_path)
    warnings = []
    if filename and own not in (filename, _get_stem(filename)):
        used = "which is used, for no image has the XML's own name" if filename == image else f"but {image} is used"
        what = f"<filename> names {filename!r}, {used}; give image and XML file one name"
        warnings.append(Fault("filename-differs", annotation.path, what, "warning"))
    if said_path and {own, _get_stem(filename)}.isdisjoint((said_path, _get_stem(said_path))):
        what = f"<path> names {said_path!r}, but {image} is used; nothing to do if that is the image"
        warnings.append(Fault("path-differs", annotation.path, what, "warning"))
    return warnings


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


def match_files(
    image_dir: Path, xml_dir: Path, allow_unlabelled: bool
) -> tuple[list[tuple[Path, Path | None]], dict[Path, list[Fault]]]:
    """(the (image path, XML path, or None for a negative) sorted by image, what is wrong with each other file).

    An image is in one of the two. Raises InputError if a folder is not there, or empty.
    """
    for folder in (image_dir, xml_dir):
        if not folder.is_dir() and folder.name in SUBSETS:
            what = "there is no such folder; make split makes it (by hand: partition_dataset.py)"
            raise InputError(f"{folder}: {what}")
    odd = []
    images = list_images(image_dir, odd)
    annotations = list_annotations(xml_dir, odd)
    if not annotations and not allow_unlabelled:
        raise InputError(
            f"{xml_dir}: there are no XML files; label its photos, or name the folder that holds them (by hand: -x)"
        )
    if not images:
        raise InputError(
            f"{image_dir}: there are no images; put photos there, or name the folder that holds them (by hand: -i)"
        )
    pairs, faults = pair_files(annotations, images)
    found, wrong = dict(pairs), collections.defaultdict(list)
    of_stem = collections.defaultdict(list)
    for image in images:
        of_stem[image.stem].append(image)
    for fault in [*odd, *faults]:
        path = Path(fault.file)  # an XML file stands for the images that are to have no other
        its_images = of_stem[path.stem] if path.suffix.lower() == ".xml" else []
        for place in [image for image in its_images if image not in found] or [path]:
            wrong[place].append(fault)
    for image in images:
        if image not in found and image not in wrong and not allow_unlabelled:
            wrong[image].append(note_unlabelled(image))
    return [(image, found.get(image)) for image in images if image not in wrong], dict(wrong)


def note_unlabelled(image: Path) -> Fault:
    """The Fault of an image without an XML file, with the ways on."""
    folders = [image.parent, image.parent.with_name("labels")]
    if image.parent.name in SUBSETS:  # of a copy, the labels may be beside the photo itself
        folders += [image.parent.parent, image.parent.parent.with_name("labels")]
    others = (folder / f"{image.stem}{suffix}" for folder in folders for suffix in (".txt", ".json"))
    if other := next((path for path in others if path.is_file()), None):
        tool = "yolo" if other.suffix == ".txt" else "labelme"
        place = shlex.quote(os.path.realpath(other.parent))  # make looks from the repository's root
        what = f"has no XML file, but {other}, as other tools write; make import FROM={place} brings such labels in"
        what += f" (by hand: convert_annotations.py --from {tool} --to voc)"
    else:
        what = "has no XML file; label it, take all such images as negatives with ALLOW_UNLABELLED=1"
        what += " (--allow_unlabelled), or leave them out with FAULTY=skip (--faulty skip)"
    return Fault("image-without-xml", image, what)


def shuffle_pairs(pairs, seed):
    """The pairs in a random order, in which a photo's place depends on nothing but its name and the seed: photos that
    come later do not change the order of the others."""
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair[0].name}".encode()).digest())


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How photos are read: whether every byte is decoded, what can be is repaired, and photos whose size does not tell
    were labelled as stored; see `check_photo`."""

    decode: bool = True
    repair: bool = False
    as_stored: bool = False


@dataclasses.dataclass
class Checked:
    """What was found: the sound pairs, the faults of each other photo, what was repaired in the sound ones, their boxes
    of each class and how many are negatives; of classes that the label map, `names_to_ids`, lacks, the XML file of each
    box."""

    pairs: list[tuple[Path, Path | None]] = dataclasses.field(default_factory=list)
    faulty: dict[Path, list[Fault]] = dataclasses.field(default_factory=dict)
    repaired: dict[Path, list[Fault]] = dataclasses.field(default_factory=dict)
    boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    negatives: int = 0
    names_to_ids: dict[str, int] = dataclasses.field(default_factory=dict)
    unknown: dict[str, list[Path]] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))


def check_photos(
    pairs: list[tuple[Path, Path | None]],
    names_to_ids: dict[str, int],
    labels_path: Path,
    reading: ReadOptions,
    workers: int,
) -> Checked:
    """Looks at every photo and its XML file, in so many processes; see `check_photo`.

    A class that `names_to_ids`, the label map `labels_path`, lacks is a fault; {} knows no class, and none is one.
    """

    def check(chunk):
        return [check_photo(*pair, reading.decode, False, reading.repair, reading.as_stored) for pair in chunk]

    checked = Checked(names_to_ids=names_to_ids)
    found = (one for chunk in map_chunks(check, pairs, workers, "checking", CHUNK) for one in chunk)
    for (image, xml), (photo, names, faults, others) in zip(pairs, found, strict=True):
        unknown = [name for name in names if name not in names_to_ids] if names_to_ids else []
        for name in unknown:
            checked.unknown[name].append(xml)
        what = f"has the class {{}}, which is not in {labels_path}; correct the XML, or add the class to the label map"
        if faults := [*faults, *(Fault("class-unknown", xml, what.format(repr(name))) for name in unknown)]:
            checked.faulty[image] = faults
            continue
        checked.pairs.append((image, xml))
        checked.boxes.update(box.name for box in photo.boxes)
        checked.negatives += not photo.boxes
        if repairs := [fault for fault in others if fault.severity == "repaired"]:
            checked.repaired[image] = repairs
    return checked


def read_photos(
    pairs: list[tuple[Path, Path | None]], reading: ReadOptions, workers: int, what: str
) -> Iterator[LabelledPhoto]:
    """Yields each photo as `read_photo` reads it, in their order; `what` names the work beside its progress."""

    def read(chunk):
        return [read_photo(*pair, reading) for pair in chunk]

    for photos in map_chunks(read, pairs, workers, what, CHUNK):
        yield from photos


def read_photo(image: Path, xml: Path | None, reading: ReadOptions = ReadOptions(decode=False)) -> LabelledPhoto:  # noqa: B008
    """A photo that was checked before. Raises InputError if somebody changed its files since."""
    photo, _, faults, _ = check_photo(image, xml, reading.decode, False, reading.repair, reading.as_stored)
    if faults:
        raise InputError(*faults)
    return photo
