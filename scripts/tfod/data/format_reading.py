"""What the readers of all formats share: what they found (`Reading`), photos by the names that tools give them, label
files and the photos that they are of, and numbers that become boxes."""

import collections
import dataclasses
import math
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from tfod.data.formats import LabelledImage
from tfod.data.images import check_image, map_in_threads
from tfod.data.labelled_images import place_boxes, scale_fractions
from tfod.data.voc import Annotation, Box, fold_name
from tfod.utils.console import Fault, InputError, join_few

EDGES = "(xmin, ymin, xmax, ymax)"


NOTES = 5  # lines of one kind that are said


NAMED = 3  # files that a line names before it counts the rest


TURNED = "turned boxes are taken as the upright boxes around them"


TURNED_OR_OUTLINED = "turned boxes or outlines of four corners are taken as the upright boxes around them"


OUTLINED = "outlines without a box are taken as the boxes around them"


NO_BOX = "points, lines and other marks without an area are left out"


# Folders that say what kind of file is in them, not which photos: labels/train/a.txt is of images/train/a.jpg.
ROLES = {
    "annotations",
    "annotation",
    "ann",
    "labels",
    "label",
    "xml",
    "xmls",
    "txt",
    "json",
    "jpegimages",
    "images",
    "image",
    "img",
    "imgs",
    "photos",
    "labeltxt",
    "labelimg",
}


SUBSET_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "trainval": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclasses.dataclass
class Reading:
    """What a reader found: images (list of LabelledImage), `classes` in their order (None: the format has none),
    `unlabelled` names of images that nothing is said of, `faults`, and `notes` on what can't be taken over.

    `counts` has how often a thing was lost or taken as another, (file or folder, what) -> number, `attributes` name ->
    boxes that have it, `subsets` image name -> "train", "val" or "test" where the file says so, and `kept` image name
    -> its XML file, where that says all of it as it is. `repair`: what can be put right without a guess is: boxes are
    cut at the border, and those without an area are left out.
    """

    images: list = dataclasses.field(default_factory=list)
    classes: list | None = None
    unlabelled: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    attributes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    subsets: dict = dataclasses.field(default_factory=dict)
    repair: bool = False
    kept: dict = dataclasses.field(default_factory=dict)

    def add_negatives(self, images):
        """Takes the unlabelled images as images without boxes; `images` is a dict name -> path."""
        names, self.unlabelled = self.unlabelled, []
        place_images(self, str, images, {name: (None, []) for name in names})

    def list_notes(self):
        """The notes to say: of one kind the first few, then how many more there are."""
        kinds = collections.defaultdict(list)
        for note in self.notes:
            kinds[getattr(note, "kind", "")].append(note)
        lines = []
        for notes in kinds.values():
            lines += notes[:NOTES]
            if len(notes) > NOTES:
                lines.append(f"... and {len(notes) - NOTES} lines more like these")
        return lines

    def list_losses(self, source):
        """Lines on what was lost or taken as another thing, one for each kind."""
        lines = [f"{place}: {number} {what}" for (place, what), number in self.counts.items() if number]
        if self.attributes:
            names = [f"{name} ({number})" for name, number in self.attributes.most_common()]
            lines.append(f"{source}: attributes of boxes have no place in labelImg's XML: {join_few(names, NAMED)}")
        return lines


# ---------------------------------------------------------------- photos


def find_subset(name, by_name=True):
    """The subset that the folders of a path name, as train/a.jpg or val2017/a.jpg, or (`by_name`) the words of its own
    name, as instances_test.json: "train", "val" or "test". None where none or two of them do."""
    path = PurePosixPath(name.replace("\\", "/"))
    for words in (path.parts[:-1], re.split(r"[\W_]+", path.stem) if by_name else ()):
        found = {SUBSET_NAMES.get(re.sub(r"(?<=[a-z])\d{4}$", "", word.lower())) for word in words} - {None}
        if len(found) == 1:
            return found.pop()
    return None


def _quote(text):
    """`text` as a line names it, which is never longer than a screen."""
    return repr(text if len(text) <= 100 else f"{text[:97]}...")


class Photos:
    """The images of a folder, a dict name ("a/b.jpg") -> path, to be found by what a tool calls them.

    `place` is the name of the file that speaks of them, seen from the same folder: of images of one name, that nearer
    to it is meant.
    """

    def __init__(self, images, place=""):
        self.images, self.place, self.missing, self.unclear = images, PurePosixPath(place), [], {}
        self.by_name, self.by_stem = collections.defaultdict(list), collections.defaultdict(list)
        for name in images:
            path = PurePosixPath(name)
            self.by_name[fold_name(path.name)].append(name)
            self.by_stem[fold_name(path.stem)].append(name)

    def find(self, said):
        """The name of the image that `said` names: a name with or without folders and suffix, a path of any system, or
        an address. None, and noted in `missing` or `unclear`, if that is none or several of them."""
        found = self.search(said)
        if len(found) == 1:
            return found[0]
        if found:
            self.unclear[said] = found
        else:
            self.missing.append(said)
        return None

    def search(self, said):
        """The names of the images that `said` may name."""
        said = said.strip().replace("\\", "/").removeprefix("./")
        if "?d=" in said:  # a file that Label Studio serves from a folder
            said = unquote(said.partition("?d=")[2].partition("&")[0])
        elif "://" in said:
            said = urlsplit(said).path
        for text in dict.fromkeys((said, unquote(said))):
            parts = [fold_name(part) for part in text.split("/") if part not in ("", ".", "..")]
            if not parts:
                continue
            # Label Studio puts eight figures in front of the name of a file that is uploaded
            bases = (parts[-1], re.sub(r"^[0-9a-f]{8}-", "", parts[-1]))
            for found in (table.get(base) for base in bases for table in (self.by_name, self.by_stem)):
                if found:
                    return self._choose(found, parts)
        return []

    def _choose(self, names, parts):
        """Those of `names` whose folders are most like the folders in `parts`, then nearest to `place`."""
        if len(names) == 1:
            return names
        subset = find_subset(str(self.place))

        def judge(name):
            folders = [fold_name(part) for part in PurePosixPath(name).parts]
            return (
                count_equal(reversed(folders[:-1]), reversed(parts[:-1])),
                subset is not None and find_subset(name, by_name=False) == subset,
                count_equal(PurePosixPath(name).parts, self.place.parts),
                -len(folders),
            )

        best = max(map(judge, names))
        return [name for name in names if judge(name) == best]

    def list_faults(self, source):
        """A fault for the images that were not found, and one for each name that several have."""
        faults = []
        names = [_quote(name) for name in dict.fromkeys(self.missing)]
        if len(names) == 1:
            what = "is not in the image folder; add it, or take it out of the file"
            faults.append(f"{source}: the image {names[0]} {what}")
        elif names:
            what = f"are not in the image folder: {join_few(names, NAMED)}; add them, or take them out of the file"
            faults.append(f"{source}: {len(names)} images {what}")
        if self.unclear:
            said, found = next(iter(self.unclear.items()))
            more = f" (and {len(self.unclear) - 1} more such names)" if len(self.unclear) > 1 else ""
            faults.append(f"{source}: {_quote(said)} may be {join_few(found, NAMED)}{more}; rename all but one")
        return faults


def find_place(source, images):
    """The name of the file `source` as those of `images` are, a dict name -> path: below one folder."""
    for name, path in images.items():
        folder = path.parents[len(PurePosixPath(name).parts) - 1]
        return source.relative_to(folder).as_posix() if source.is_relative_to(folder) else source.name
    return ""


def count_equal(some, others):
    """How many items two sequences have in common from their beginning."""
    number = 0
    for one, other in zip(some, others, strict=False):
        if one != other:
            break
        number += 1
    return number


def match_labels(files, images):
    """Which image each label file is of, by their stems and then by their folders: (dict file name -> image name,
    list of file names that have none, dict file name -> list of several image names).

    `files` and `images` are names below one folder, or below two that mirror each other. A file may also have the
    image's whole name and its own suffix behind that, as a.jpg.json.
    """
    photos = Photos(dict.fromkeys(images))
    pairs, lone, shared = {}, [], {}
    for file in files:
        path = PurePosixPath(file)
        stem = fold_name(path.stem)
        found = photos.by_name.get(stem) or photos.by_stem.get(stem, [])
        scores = {name: _compare_places(path, PurePosixPath(name)) for name in found}
        best = [name for name in found if scores[name] == max(scores.values())]
        if not best:
            lone.append(file)
        elif len(best) > 1:
            shared[file] = best
        else:
            pairs[file] = best[0]
    return pairs, lone, shared


def _compare_places(file, image):
    """How likely a label file and an image belong together, of those whose stems agree: a tuple that sorts."""
    one, other = ([part for part in map(fold_name, path.parts[:-1]) if part not in ROLES] for path in (file, image))
    same_stem = image.stem == file.stem or image.name == file.stem
    return one == other, file.parent == image.parent, count_equal(file.parts, image.parts), same_stem


# ---------------------------------------------------------------- boxes


def place_images(reading, source, images, labels):
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
        annotation, notes = Annotation(place, name, *(said or size), ()), []
        if callable(boxes):
            annotation = dataclasses.replace(annotation, boxes=tuple(boxes(size)))
        else:  # what is not worked out from fractions may be fractions itself
            annotation, notes = scale_fractions(dataclasses.replace(annotation, boxes=tuple(boxes)), stored)
        placed, found = place_boxes(images[name], stored, annotation, reading.repair)
        found = notes + found
        reading.faults += [fault for fault in found if fault.severity == "error"]
        reading.notes += [fault for fault in found if fault.severity != "error"]
        reading.images.append(LabelledImage(name, *size, placed))


def make_box(place, faults, name, create, numbers, **flags):
    """The Box of class `name` that `create(numbers)` makes, which calls globox; None, and a fault that begins with
    `place`, where it is none."""
    from globox import ParsingError

    try:
        found = create(numbers)  # globox asserts xmin <= xmax, which NaN is not, either
    except (TypeError, ValueError, OverflowError, AssertionError, KeyError, ParsingError):
        faults.append(f"{place} has no box of four numbers of which width and height are above 0; correct it")
        return None
    # globox goes on with what comes of arithmetic; 0.0001 pixels are less than a person draws, and hide its rounding
    edges = list(map(float, found.ltrb))
    edges = [round(edge, 4 if max(edges) > 1 else 8) for edge in edges]  # fractions become pixels later
    if not all(map(math.isfinite, edges)) or edges[0] >= edges[2] or edges[1] >= edges[3]:
        file, _, spot = place.partition(": ")
        what = f"{spot} has a box {tuple(edges)} {EDGES} without an area, or without an end; correct it"
        faults.append(Fault("box-no-area" if all(map(math.isfinite, edges)) else "box-not-number", file, what))
        return None
    return Box(name, *edges, **flags)


def create_from_corners(numbers):
    """globox's box of xmin, ymin, xmax, ymax."""
    from globox import BoundingBox

    return BoundingBox.create(label="", coords=tuple(map(float, numbers)))


def create_from_size(numbers):
    """globox's box of xmin, ymin, width, height."""
    from globox import BoundingBox, BoxFormat

    if not isinstance(numbers, list | tuple):
        raise TypeError
    return BoundingBox.create(label="", coords=tuple(map(float, numbers)), box_format=BoxFormat.LTWH)


def create_from_points(points):
    """globox's box around a list of (x, y)."""
    xs, ys = zip(*((float(x), float(y)) for x, y in points), strict=True)
    return create_from_corners((min(xs), min(ys), max(xs), max(ys)))
