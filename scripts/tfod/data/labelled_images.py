"""Labelled photos: which XML file belongs to which image, in which subset of the split, and both put together as the
detector will see them."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

from tfod.data.images import IMAGE_SUFFIXES, StoredImage, check_image, find_name_fault, list_names, map_in_threads
from tfod.data.label_map import find_unknown_names
from tfod.data.split import SUBSETS
from tfod.data.voc import (
    Box,
    clip_boxes,
    find_images_of,
    get_base_name,
    pair_files,
    pair_images,
    parse_annotation,
    turn_box,
)
from tfod.utils.console import Fault, InputError
from tfod.utils.files import find_oddity, is_file
from tfod.utils.parallel import map_chunks

UNSPLIT = ""  # the name of the subset of photos that are in none
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
    image_path: Path, xml_path: Path | None, decode: bool = True, warn: bool = True
) -> tuple[LabelledPhoto | None, tuple[str, ...], list[Fault], list[Fault]]:
    """One photo: (LabelledPhoto or None, the class names of its boxes, list of faults, list of warnings), of `Fault`.

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
        photo = stored and LabelledPhoto(image_path, None, stored, *stored.upright_size, [])
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
        photo = LabelledPhoto(image_path, annotation.path, stored, *stored.upright_size, boxes)
    return photo, annotation.names, faults, warnings


def place_boxes(path, stored, annotation):
    """(the boxes as they lie in the upright image, list of `Fault`); boxes that reach out of it are left out."""
    annotation, notes = scale_fractions(annotation, stored)
    boxes, faults = _place_pixels(path, stored, annotation)
    return boxes, notes + faults


def scale_fractions(annotation, stored):
    """(the Annotation with its boxes in pixels, a list with a warning where they were fractions of the image)."""
    edges = [edge for box in annotation.boxes for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
    if not edges or min(edges) < 0 or max(edges) > 1:
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


def _place_pixels(path, stored, annotation):
    """As `place_boxes`, of boxes in pixels."""
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
) -> tuple[list[tuple[Path, Path | None]], list[Fault]]:
    """(list of (image path, XML path, or None for a negative) sorted by image, list of faults).

    Raises InputError if a folder is not there, or empty.
    """
    images = [image_dir / name for name in list_names(image_dir, IMAGE_SUFFIXES)]
    annotations = [xml_dir / name for name in list_names(xml_dir, (".xml",))]
    if not annotations and not allow_unlabelled:
        raise InputError(f"{xml_dir}: there are no XML files; give the folder that holds them with -x")
    if not images:
        raise InputError(f"{image_dir}: there are no images; give the folder that holds them with -i")
    pairs, faults = pair_files(annotations, images)
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


@dataclasses.dataclass
class Totals:
    """What is in checked photos: their number, that of negatives, the boxes of each class, and every fault."""

    photos: int
    negatives: int
    boxes: collections.Counter
    faults: list[Fault]


def check_photos(
    pairs: list[tuple[Path, Path | None]],
    names_to_ids: dict[str, int],
    labels_path: Path,
    decode: bool,
    workers: int,
) -> Totals:
    """Looks at every photo and its XML file, in so many processes; see `check_photo`.

    A class that `names_to_ids`, the label map `labels_path`, lacks is a fault; {} knows no class, and none is one.
    """

    def check(chunk):
        checked = [check_photo(*pair, decode, warn=False) for pair in chunk]
        counts = collections.Counter(name for _, names, *_ in checked for name in names)
        unknown = [(name, pair[1]) for pair, (_, names, *_) in zip(chunk, checked, strict=True) for name in names]
        unknown = [(name, xml) for name, xml in unknown if name not in names_to_ids] if names_to_ids else []
        negatives = sum(not names for _, names, *_ in checked)
        return Totals(len(chunk), negatives, counts, [fault for *_, some, _ in checked for fault in some]), unknown

    totals, places = Totals(0, 0, collections.Counter(), []), collections.defaultdict(list)
    for part, unknown in map_chunks(check, pairs, workers, "checking", CHUNK):
        totals.photos += part.photos
        totals.negatives += part.negatives
        totals.boxes += part.boxes
        totals.faults += part.faults
        for name, xml in unknown:
            places[name].append(xml)
    if names_to_ids:
        totals.faults += find_unknown_names(labels_path, names_to_ids, places)
    return totals


def read_photos(pairs: list[tuple[Path, Path | None]], workers: int, what: str) -> Iterator[LabelledPhoto]:
    """Yields each photo as `read_photo` reads it, in their order; `what` names the work beside its progress."""
    for photos in map_chunks(lambda chunk: [read_photo(*pair) for pair in chunk], pairs, workers, what, CHUNK):
        yield from photos


def read_photo(image: Path, xml: Path | None) -> LabelledPhoto:
    """A photo that was checked before. Raises InputError if somebody changed its files since."""
    photo, _, faults, _ = check_photo(image, xml, decode=False, warn=False)
    if faults:
        raise InputError(*faults)
    return photo


# ---------------------------------------------------------------- the folder of a workspace


@dataclasses.dataclass(frozen=True)
class Subset:
    """The photos in one folder: (image path, XML path) of the labelled ones, the image paths of the others."""

    name: str
    pairs: list[tuple[Path, Path]]
    bare: list[Path]


def list_subsets(folder: Path) -> tuple[list[Subset], list[Fault]]:
    """train/, test/ and val/ below `folder` where they hold files, and what is wrong with these.

    Photos right in `folder` that have no copy in a subset, or another one, come as the subset UNSPLIT. Where there is
    no split, that is the only one. Raises InputError if there is no such folder or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds photos and XML files")
    if fault := find_name_fault(folder):
        raise InputError(fault)
    faults, subsets, copies = [], [], {}
    for name in SUBSETS:
        files = _scan(folder / name, faults)
        copies |= {path.name: (path, state) for path, state in files.items()}
        if files:
            subsets.append(_match(name, files, faults))
    raw = _scan(folder, faults)
    there = {path: (state, *copies[path.name]) for path, state in raw.items() if path.name in copies}
    same = map_in_threads(lambda path: _is_copy(path, *there[path]), there)
    fresh = set(raw).difference(path for path, is_copy in zip(there, same, strict=True) if is_copy)
    if not subsets:
        subsets.append(_match(UNSPLIT, raw, faults))
    elif fresh:
        for path in sorted(fresh):
            what = "is not in the split"
            if path in there:
                what = f"is not what {there[path][1].parent.name}/{path.name} is any more"
            faults.append(Fault("not-in-split", path, f"{what}; make split", "warning"))
        subsets.append(_match(UNSPLIT, raw, faults, fresh))
    if not any(subset.pairs or subset.bare for subset in subsets) and not faults:
        raise InputError(f"{folder}: there are no photos in it; copy photos and their XML files there")
    return subsets, faults


def _scan(folder, faults):
    """A dict path -> (size in bytes, mtime in ns) of the images and XML files right in `folder`, sorted."""
    found = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or not entry.name.lower().endswith((*IMAGE_SUFFIXES, ".xml")):
                continue
            if fault := find_name_fault(folder / entry.name):
                faults.append(fault)
                continue
            if is_file(entry.path):
                state = entry.stat()
                found[folder / entry.name] = state.st_size, state.st_mtime_ns
            elif os.path.isdir(entry.path):  # noqa: PTH112 - Path(path) takes longer
                what = "is a folder, and is left out; nothing to do if that is meant"
                faults.append(Fault("not-a-file", folder / entry.name, what, "warning"))
            else:
                faults.append(Fault("not-a-file", folder / entry.name, find_oddity(entry.path)))
    return found


def _is_copy(path, state, copy, its_state):
    """Whether a file of images/ and the one of its name in a subset hold the same; states are those of `_scan`.

    A photo of the same size and time is taken for the same; where a copy, an archive or git changed the times, the
    bytes tell. Those of XML files tell always: an archive may give all files one time, and XML files are corrected.
    """
    if state == its_state and path.suffix.lower() != ".xml":
        return True
    try:
        return state[0] == its_state[0] and path.read_bytes() == copy.read_bytes()
    except OSError:  # what can't be read gets its own fault when it is looked at
        return state == its_state


def _match(name, files, faults, wanted=None):
    """The Subset of these files; of pairs without a file in the set `wanted`, if one is given, nothing is said."""
    annotations = [path for path in files if path.suffix.lower() == ".xml"]
    images = [path for path in files if path.suffix.lower() != ".xml"]
    found, its_faults = find_images_of(annotations, images)
    if wanted is not None:
        named = {str(path) for path in wanted}
        its_faults = [fault for fault in its_faults if fault.file in named]
    labelled = {image for its_images in found.values() for image in its_images}
    bare = [image for image in images if image not in labelled and (wanted is None or image in wanted)]
    if wanted is not None:
        found = {xml: its_images for xml, its_images in found.items() if not wanted.isdisjoint([xml, *its_images])}
    pairs, more = pair_images(found)
    faults.extend(its_faults + more)
    return Subset(name, pairs, bare)
