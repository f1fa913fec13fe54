"""What only a look at all photos together tells: class names, copies of a photo in both subsets, sizes at the model's
input, balance; and the report of all faults, as text for a person and as JSON for programs."""

import collections
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tfod.data.image_folders import UNSPLIT
from tfod.data.images import StoredImage, read_image, read_small
from tfod.data.label_map import find_near_name
from tfod.data.labelled_images import LabelledPhoto, ReadOptions, check_labels, check_photo, note_cut
from tfod.data.split import SUBSETS
from tfod.utils.console import Fault, InputError, join_few, make_printable
from tfod.utils.files import parse_json, read_text, sha256, write_text

SMALL_BOX = 8  # pixels a side at the model's input; below that, anchors and features see next to nothing
FEW_BOXES = 10  # of a class
MANY_BOXES = 100  # in one image: what the OD API keeps of them unless max_number_of_boxes says more
ROWS, COLUMNS = 16, 17
SAMPLES = 8  # a side of the square of pixels whose mean is a pixel of the thumbnail: as good as all, in half the time
SAMPLED = COLUMNS * SAMPLES, ROWS * SAMPLES  # width and height that a photo should have at least

# Measured on the 200 raccoon photos: copies at half and a third of the size, as JPEG of quality 10 to 30, brighter, and
# with 1 % cut off at every side differ in up to 52 bits and correlate by 0.96 or more; with 2 % cut off 99 % of them
# lie within these limits. Different photos differ in 76 bits or more (127 on average, standard deviation 10) and
# correlate by 0.80 at most. The four pairs between are one photo at two sizes, or two frames of one scene.
MOST_BITS = 60
LEAST_CORRELATION = 0.9
SHOWN = 5  # files of one kind, unless all are asked for

KINDS = {
    "xml-not-xml": "files that are no XML",
    "xml-not-voc": "XML files that are not labelImg annotations",
    "xml-entity": "XML files with entities",
    "file-not-read": "files that can't be read",
    "name-not-utf8": "file names that are not in UTF-8",
    "image-not-read": "files that are not images, or of an unknown kind",
    "image-damaged": "damaged images",
    "image-too-large": "images of too many pixels",
    "xml-without-image": "XML files without an image",
    "image-without-xml": "images without an XML file",
    "xml-of-two-images": "XML files of two images",
    "image-with-two-xml": "images with two XML files",
    "size-differs": "<size> that is not the image's",
    "size-not-number": "<size> that is not a number",
    "box-no-name": "boxes without a class",
    "class-hidden": "class names with characters that can't be seen",
    "box-no-bndbox": "objects without a box",
    "box-not-number": "coordinates that are not numbers",
    "box-flag": "flags other than 0 and 1",
    "box-swapped": "boxes with swapped corners",
    "box-no-area": "boxes without area",
    "box-outside": "boxes that reach out of the image",
    "class-unknown": "classes that the label map lacks",
    "label-map": "faults of the label map",
    "photo-on-two-sides": "photos in two subsets of the split",
    "near-duplicate": "nearly the same photo in two subsets of the split",
    "not-in-split": "files that are not in the split",
    "not-a-file": "names of images that are not files",
    "class-spelling": "classes that are perhaps one",
    "class-few-boxes": "classes with few boxes",
    "class-on-one-side": "classes in one subset only",
    "object-empty": "objects with nothing in them",
    "box-turned": "boxes that are turned",
    "box-outline": "objects that have an outline only",
    "box-fractions": "boxes in fractions of the image",
    "exif-unclear": "photos that the camera turned, and whose size does not tell how they were labelled",
    "box-several": "objects with several boxes",
    "left-aside": "files that are not taken",
    "exif-turned": "photos that the camera turned",
    "filename-differs": "<filename> of another image",
    "path-differs": "<path> of another image",
    "box-overhangs": "boxes that hang over by up to a pixel",
    "box-duplicate": "boxes that are there twice",
    "box-small": "boxes that the model sees as tiny",
    "boxes-many": "photos with very many boxes",
    "negatives": "photos without boxes",
    "difficult": "boxes marked difficult",
    "truncated": "boxes marked truncated",
}


@dataclasses.dataclass(frozen=True)
class Look:
    """What one photo's files are: `faults` of them, the names of its classes, and the thumbnail of its pixels (None if
    they can't be decoded)."""

    subset: str
    image: Path
    xml: Path | None
    photo: LabelledPhoto | None
    stored: StoredImage | None
    names: tuple
    faults: list
    thumbnail: bytes | None


def look_at(job: tuple[str, Path, Path | None], reading: ReadOptions = ReadOptions()) -> Look:  # noqa: B008
    """(subset, image path, XML path or None) -> the `Look`; the image is decoded to its last byte."""
    subset, image_path, xml_path = job
    stored = thumbnail = None
    faults = []
    try:
        image, stored = read_small(image_path, SAMPLED, reading.repair)
        thumbnail = make_thumbnail(image)
    except InputError as error:
        faults.extend(error.faults)
    if stored and stored.is_cut:
        faults.append(note_cut(image_path))
    labels = check_labels(image_path, stored, xml_path, True, reading.repair, reading.as_stored)
    photo, names, more, others = labels
    return Look(subset, image_path, xml_path, photo, stored, names, [*faults, *more, *others], thumbnail)


def find_unknown_classes(looks, names_to_ids, labels_path):
    """A fault for each class in each XML file that the label map lacks."""
    faults = []
    for look in looks:
        for name, number in collections.Counter(look.names).items():
            if name not in names_to_ids:
                near, _ = find_near_name(name, names_to_ids)
                hint = f"did you mean {near}? " if near else ""
                boxes = f"of {number} {'box' if number == 1 else 'boxes'} is not in {labels_path}"
                what = f"the class {name!r} {boxes}; {hint}correct the XML, or add the class to the label map"
                faults.append(Fault("class-unknown", look.xml, what))
    return faults


def find_spellings(looks, folder):
    """A warning for each two class names that look like one, typed in two ways."""
    counts = collections.Counter(name for look in looks for name in look.names)
    warnings = []
    for name, number in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        others = {other for other in counts if (counts[other], other) > (number, name)}
        near, sure = find_near_name(name, others)
        typed_twice = sure and (
            number < FEW_BOXES or "".join(name.split()).casefold() == "".join(near.split()).casefold()
        )
        if typed_twice:
            what = (
                f"has the classes {name!r} ({number}) and {near!r} ({counts[near]}); if they are one, correct the XML"
            )
            warnings.append(Fault("class-spelling", folder, what, "warning"))
    return warnings


def find_copies(looks):
    """Photos that are in two subsets of the split: errors if pixel for pixel the same, warnings if nearly."""
    subsets = {name: [look for look in looks if look.subset == name and look.thumbnail] for name in SUBSETS}
    faults, earlier = [], []
    for subset in SUBSETS:
        others = _Group(earlier)
        rest = []
        for look in subsets[subset]:
            if same := others.find_same(look):
                place = look.image.parent.parent
                what = f"is the same photo as {_name_first(same)}; remove one of them, from its subset and from {place}"
                faults.append(Fault("photo-on-two-sides", look.image, what))
            else:
                rest.append(look)
        for i, near in find_near_duplicates([look.thumbnail for look in rest], [look.thumbnail for look in earlier]):
            what = f"looks nearly as {_name_first([earlier[k] for k in near])}; keep such photos in one subset"
            faults.append(Fault("near-duplicate", rest[i].image, what, "warning"))
        earlier = earlier + subsets[subset]
    return faults


def _name_first(looks):
    more = f" and {len(looks) - 1} more" if looks[1:] else ""
    return f"{looks[0].subset}/{looks[0].image.name}{more}"


class _Group:
    """Photos to find the same pixels in. Only files that share size and thumbnail are decoded once more."""

    def __init__(self, looks):
        self.alike = collections.defaultdict(list)
        for look in looks:
            self.alike[self._key(look)].append(look)
        self.pixels = {}

    @staticmethod
    def _key(look):
        return look.stored.upright_size, look.thumbnail

    def find_same(self, look):
        alike = self.alike.get(self._key(look), [])
        return [other for other in alike if self._hash_pixels(other) == self._hash_pixels(look)]

    def _hash_pixels(self, look):
        file = sha256(look.image)  # copies of one file are decoded once
        if file not in self.pixels:
            self.pixels[file] = hashlib.sha256(read_image(look.image).tobytes()).digest()
        return self.pixels[file]


def check_sizes(photo, get_scale):
    """Warnings of one LabelledPhoto: boxes that the model's input makes tiny, and more boxes than upstream keeps.

    `get_scale(width, height)` gives (x scale, y scale) of the model's resizer; None if that is not known.
    """
    warnings = []
    if len(photo.boxes) > MANY_BOXES:
        what = f"has {len(photo.boxes)} boxes, more than upstream's {MANY_BOXES}; make config sets max_number_of_boxes"
        warnings.append(Fault("boxes-many", photo.xml, f"{what} from the records", "warning"))
    if not get_scale or not photo.boxes:
        return warnings
    x, y = get_scale(photo.width, photo.height)
    sizes = [((box.xmax - box.xmin) * x, (box.ymax - box.ymin) * y, box) for box in photo.boxes]
    small = [size for size in sizes if min(size[:2]) < SMALL_BOX]
    if small:
        width, height, box = min(small, key=lambda size: min(size[:2]))
        what = f"{len(small)} of {len(sizes)} boxes are under {SMALL_BOX} pixels a side at the model's input"
        what += f" ({box.name!r}: {width:.1f} x {height:.1f}); take a model of larger input, or cut the photo up"
        warnings.append(Fault("box-small", photo.xml, what, "warning"))
    return warnings


def count_boxes(looks):
    """A dict class name -> Counter of subset -> boxes, sorted by name."""
    counts = collections.defaultdict(collections.Counter)
    for look in looks:
        for name in look.names:
            counts[name][look.subset] += 1
    return dict(sorted(counts.items()))


def find_faulty_photos(looks: list[Look], faults: list[Fault], severity: str = "error") -> dict[Path, list[Fault]]:
    """The errors of each photo that FAULTY=skip leaves out, by its image; of a file without an image, by itself.

    `faults` are those of the photos, too. A label map's faults are none of a photo; neither are two copies of a photo
    in two subsets, of which each is sound.
    """
    images = {str(path): look.image for look in looks for path in (look.image, look.xml) if path}
    found = collections.defaultdict(list)
    for fault in faults:
        if fault.severity == severity and fault.kind not in ("label-map", "photo-on-two-sides"):
            found[images.get(fault.file, Path(fault.file))].append(fault)
    return dict(found)


def count_repairable(looks: list[Look], faulty: dict[Path, list[Fault]]) -> int:
    """How many of the faulty photos FAULTY=fix would repair."""
    repairable = 0
    for look in looks:
        kinds = {fault.kind for fault in faulty.get(look.image, ())}
        if kinds and kinds.isdisjoint(("class-unknown", "image-without-xml", "xml-of-two-images")):
            _, _, errors, _ = check_photo(look.image, look.xml, warn=False, repair=True)
            repairable += not errors
    return repairable


def find_imbalances(looks, counts, names_to_ids, folder):
    """Warnings of the data set as a whole: rare classes, classes in one subset only, negatives, flags."""
    warnings = []

    def warn(kind, file, what):
        warnings.append(Fault(kind, file, what, "warning"))

    used = [subset for subset in SUBSETS if any(look.subset == subset for look in looks)]
    others = getattr(names_to_ids, "others", {})  # a class that is labelled by its other name is no rare one
    unused = {name for other, name in others.items() if other in counts and name not in counts}
    for name in sorted({*counts, *(names_to_ids or {})} - unused):
        number = counts.get(name, collections.Counter())
        if number.total() < FEW_BOXES:
            boxes = f"{number.total()} {'box' if number.total() == 1 else 'boxes'}"
            warn("class-few-boxes", folder, f"the class {name!r} has {boxes}; label {FEW_BOXES} or more")
        its_subsets = [subset for subset in used if number[subset]]
        if len(its_subsets) == 1 and len(used) > 1:
            what = f"the class {name!r} is in {its_subsets[0]}/ only; make split with more photos of it"
            warn("class-on-one-side", folder, what)
    for subset in [*used, UNSPLIT]:
        photos = [look.photo for look in looks if look.subset == subset and look.photo]
        boxes = [box for photo in photos for box in photo.boxes]
        place = Path(folder, subset)
        if negatives := sum(not photo.boxes for photo in photos):
            what = f"{negatives} of {len(photos)} photos have no box; they teach what is not an object"
            warn("negatives", place, f"{what}: label them if something is left out")
        for flag in ("difficult", "truncated"):
            if number := sum(getattr(box, flag) for box in boxes):
                what = f"{number} of {len(boxes)} boxes are marked {flag}; nothing to do if that is meant"
                warn(flag, place, what)
    return warnings


def make_thumbnail(image):
    """The thumbnail of an RGB PIL image, upright: bytes of ROWS x COLUMNS grey levels."""
    sampled = image.resize(SAMPLED, Image.Resampling.NEAREST)
    return sampled.reduce(SAMPLES).convert("L").tobytes()


def find_near_duplicates(thumbnails, others):
    """Which photos of `others` each of `thumbnails` resembles: a list of (index, list of indices), best first.

    Both are lists of what `make_thumbnail` returns. Photos that resemble none are left out.
    """
    if not thumbnails or not others:
        return []
    hashes, grey = _prepare(thumbnails)
    other_hashes, other_grey = _prepare(others)
    found = []
    rows = max(1, 2**22 // len(others))  # rows at a time, so that the table stays within some tens of megabytes
    for start in range(0, len(thumbnails), rows):
        part = hashes[start : start + rows]
        bits = np.zeros((len(part), len(others)), np.uint16)
        for word in range(part.shape[1]):
            bits += np.bitwise_count(part[:, word, None] ^ other_hashes[None, :, word])
        for row in np.flatnonzero((bits <= MOST_BITS).any(axis=1)):
            near = np.flatnonzero(bits[row] <= MOST_BITS)
            near = near[other_grey[near] @ grey[start + row] >= LEAST_CORRELATION]
            if len(near):
                best = np.argsort(bits[row, near], kind="stable")
                found.append((int(start + row), near[best].tolist()))
    return found


def _prepare(thumbnails):
    """(hashes: uint64 of shape (n, 4); grey levels of mean 0 and length 1: float32 of shape (n, 272))."""
    levels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, ROWS, COLUMNS)
    bits = levels[:, :, 1:] > levels[:, :, :-1]
    hashes = np.packbits(bits.reshape(len(levels), -1), axis=1).view(np.uint64)
    grey = levels.reshape(len(levels), -1).astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    length = np.linalg.norm(grey, axis=1, keepdims=True)
    return hashes, grey / np.maximum(length, 1e-6)  # a photo of one colour resembles none


def make_report(looks, faults, counts):
    """The report as what json can write. `counts` is a dict class -> dict subset -> boxes.

    It has the numbers of `photos` that were looked at, of those with errors (`faulty_photos`), of these the ones that
    FAULTY=fix repairs (`repairable_photos`), and of photos that were `repaired`.
    """
    faulty = find_faulty_photos(looks, faults)
    repaired = find_faulty_photos(looks, faults, "repaired")
    order = list(KINDS)
    faults = sorted(faults, key=lambda fault: (fault.severity, order.index(fault.kind), fault))
    return {
        "photos": len(looks),
        "boxes": sum(sum(subsets.values()) for subsets in counts.values()),
        "classes": {name: dict(subsets) for name, subsets in counts.items()},
        "errors": sum(fault.severity == "error" for fault in faults),
        "faulty_photos": len(faulty),
        "repairable_photos": count_repairable(looks, faulty),
        "repaired_photos": len(set(repaired) - set(faulty)),
        "warnings": sum(fault.severity == "warning" for fault in faults),
        "faults": [
            {
                "kind": fault.kind,
                "severity": fault.severity,
                "file": make_printable(fault.file),
                "text": fault.what,
            }
            for fault in faults
        ],
    }


def write_report(path, report, maker):
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n", maker)


def read_report(path):
    return parse_json(read_text(path))


def print_report(report, json_path=None, show_all=False):
    """Errors before warnings, grouped by kind; then one line that sums up."""
    groups = collections.defaultdict(list)
    for entry in report["faults"]:
        fault = Fault(entry["kind"], entry["file"], entry["text"], entry["severity"])
        groups[entry["severity"], entry["kind"]].append(fault)
    for (severity, kind), faults in groups.items():
        print(f"{severity} {kind} ({KINDS[kind]}): {len(faults)}")
        shown = faults if show_all else faults[:SHOWN]
        for fault in shown:
            print(f"  {fault}")
        if rest := len(faults) - len(shown):
            print(f"  and {rest} more: --all shows them{f', {json_path} has them' if json_path else ''}")
    print_summary(report)


def print_summary(report):
    classes = join_few((f"{name} {sum(subsets.values())}" for name, subsets in report["classes"].items()), most=12)
    found = ", ".join(_count(report[what], what.removesuffix("s")) for what in ("photos", "boxes"))
    wrong = ", ".join(_count(report[what], what.removesuffix("s")) for what in ("errors", "warnings"))
    print(f"{found} ({classes}); {wrong}" if classes else f"{found}; {wrong}")


def _count(number, word):
    plural = {"boxe": ("box", "boxes")}.get(word, (word, f"{word}s"))
    return f"{number} {plural[number != 1]}"
