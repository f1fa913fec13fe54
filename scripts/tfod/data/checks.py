"""What only a look at all photos together tells: class names, both sides of the split, sizes at the model's input."""

import collections
import dataclasses
import hashlib
from pathlib import Path

from tfod.data.image_folders import SIDES, UNSPLIT
from tfod.data.images import StoredImage, read_image, read_small
from tfod.data.label_map import find_near_name
from tfod.data.near_duplicates import SAMPLED, find_near_duplicates, make_thumbnail
from tfod.data.photos import Photo, check_labels
from tfod.utils.console import Fault, InputError
from tfod.utils.files import sha256

SMALL_BOX = 8  # pixels a side at the model's input; below that, anchors and features see next to nothing
FEW_BOXES = 10  # of a class
MANY_BOXES = 100  # in one image: what the OD API keeps of them unless max_number_of_boxes says more


@dataclasses.dataclass(frozen=True)
class Look:
    """What one photo's files are: `faults` of them, the names of its classes, and the thumbnail of its pixels (None if
    they can't be decoded)."""

    side: str
    image: Path
    xml: Path | None
    photo: Photo | None
    stored: StoredImage | None
    names: tuple
    faults: list
    thumbnail: bytes | None


def look_at(job):
    """(side, image path, XML path or None) -> the `Look`; the image is decoded to its last byte."""
    side, image_path, xml_path = job
    stored = thumbnail = None
    faults = []
    try:
        image, stored = read_small(image_path, SAMPLED)
        thumbnail = make_thumbnail(image)
    except InputError as error:
        faults.extend(error.faults)
    photo, names, more, warnings = check_labels(image_path, stored, xml_path)
    return Look(side, image_path, xml_path, photo, stored, names, [*faults, *more, *warnings], thumbnail)


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
    """Photos that are on two sides of the split: errors if pixel for pixel the same, warnings if nearly."""
    sides = {side: [look for look in looks if look.side == side and look.thumbnail] for side in SIDES}
    faults, earlier = [], []
    for side in SIDES:
        others = _Group(earlier)
        rest = []
        for look in sides[side]:
            if same := others.find_same(look):
                what = f"is the same photo as {_name_first(same)}; remove one of them, or make split"
                faults.append(Fault("photo-on-two-sides", look.image, what))
            else:
                rest.append(look)
        for i, near in find_near_duplicates([look.thumbnail for look in rest], [look.thumbnail for look in earlier]):
            what = f"looks nearly as {_name_first([earlier[k] for k in near])}; keep such photos on one side"
            faults.append(Fault("near-duplicate", rest[i].image, what, "warning"))
        earlier = earlier + sides[side]
    return faults


def _name_first(looks):
    more = f" and {len(looks) - 1} more" if looks[1:] else ""
    return f"{looks[0].side}/{looks[0].image.name}{more}"


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
    """Warnings of one Photo: boxes that the model's input makes tiny, and more boxes than upstream keeps.

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
    """A dict class name -> Counter of side -> boxes, sorted by name."""
    counts = collections.defaultdict(collections.Counter)
    for look in looks:
        for name in look.names:
            counts[name][look.side] += 1
    return dict(sorted(counts.items()))


def find_imbalances(looks, counts, names_to_ids, folder):
    """Warnings of the data set as a whole: rare classes, classes on one side only, negatives, flags."""
    warnings = []

    def warn(kind, file, what):
        warnings.append(Fault(kind, file, what, "warning"))

    used = [side for side in SIDES if any(look.side == side for look in looks)]
    for name in sorted({*counts, *(names_to_ids or {})}):
        number = counts.get(name, collections.Counter())
        if number.total() < FEW_BOXES:
            boxes = f"{number.total()} {'box' if number.total() == 1 else 'boxes'}"
            warn("class-few-boxes", folder, f"the class {name!r} has {boxes}; label {FEW_BOXES} or more")
        its_sides = [side for side in used if number[side]]
        if len(its_sides) == 1 and len(used) > 1:
            what = f"the class {name!r} is in {its_sides[0]}/ only; make split with more photos of it"
            warn("class-on-one-side", folder, what)
    for side in [*used, UNSPLIT]:
        photos = [look.photo for look in looks if look.side == side and look.photo]
        boxes = [box for photo in photos for box in photo.boxes]
        place = Path(folder, side)
        if negatives := sum(not photo.boxes for photo in photos):
            what = f"{negatives} of {len(photos)} photos have no box; they teach what is no object"
            warn("negatives", place, f"{what}: label them if something is left out")
        for flag in ("difficult", "truncated"):
            if number := sum(getattr(box, flag) for box in boxes):
                what = f"{number} of {len(boxes)} boxes are marked {flag}; nothing to do if that is meant"
                warn(flag, place, what)
    return warnings
