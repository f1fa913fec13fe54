"""The labelled images that a detector is measured on, from record files or from a folder with XML files.

Both give the same: examples as records hold them, and their ground truth, read without TensorFlow.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfod.data import tfrecord
from tfod.data.images import decode_image, list_images
from tfod.data.labelled_images import check_photo, find_set_turn
from tfod.data.voc import list_annotations, pair_files
from tfod.utils.console import InputError, show_progress

EDGES = ("ymin", "xmin", "ymax", "xmax")


class Sample(NamedTuple):
    """An image and its N objects.

    name, path, number: as in `tfod.evaluation.results.Image`
    example: bytes, a serialized tf.train.Example
    box: float32 [N, 4], `[ymin, xmin, ymax, xmax]` normalized
    label: int64 [N], class ids
    crowd, group_of, difficult: bool [N]
    labelled: int64 array of the classes that the image was looked through for, or None where it does not say
    """

    name: str
    path: str
    number: int
    example: bytes
    box: np.ndarray
    label: np.ndarray
    crowd: np.ndarray
    group_of: np.ndarray
    difficult: np.ndarray
    labelled: np.ndarray | None


class Result(NamedTuple):
    """One image: `size` (width, height) in pixels, and what was found in it, best first.

    box: float32 [N, 4], `[ymin, xmin, ymax, xmax]` normalized
    label: int64 [N], class ids; None from a model that tells no classes apart
    score: float32 [N]
    losses: dict upstream's name -> float
    key: upstream's number of the image, a hash of its name, by which it puts images in order; 0 where nobody asked
    """

    sample: Sample
    size: tuple
    box: np.ndarray
    label: np.ndarray | None
    score: np.ndarray
    losses: dict
    key: int = 0


@dataclasses.dataclass(frozen=True)
class Source:
    """Where samples come from.

    names: dict class id -> name
    count: how many samples there are
    data: the record files, or the folder, as texts
    files: all that the samples depend on
    read: a function without arguments that yields every `Sample`; raises InputError at a faulty one
    """

    names: dict
    count: int
    data: list
    files: list
    read: Callable


def open_records(paths, names, one_of=1):
    """The `Source` of record files, in their order; `one_of` 5 takes one image of five.

    Raises InputError where there are no records in them, or a file is broken.
    """
    count = -(-sum(map(tfrecord.count_records, paths)) // one_of)
    if not count:
        raise InputError(f"{', '.join(map(str, paths))}: holds no images; `make tfrecord` makes the records again")
    ids = {name: number for number, name in names.items()}

    def read():
        everything = ((path, *entry) for path in paths for entry in enumerate(tfrecord.read_records(path)))
        for path, number, example in itertools.islice(everything, None, None, one_of):
            yield _read_sample(example, str(path), number, ids, f"{path}: record {number + 1}")

    return Source(names, count, [str(path) for path in paths], list(paths), read)


def open_folder(image_dir, xml_dir, names, allow_unlabelled=False):
    """The `Source` of the images in a folder, each with its XML file in `xml_dir`, sorted.

    An image without one is a fault, or, if `allow_unlabelled`, one without objects. Raises InputError with all faults.
    """
    ids = {name: number for number, name in names.items()}
    images = list_images(image_dir)
    pairs, faults = pair_files(list_annotations(xml_dir), images)
    xmls = dict(pairs)
    if not images:
        faults.append(f"{image_dir}: there are no images; give the folder that holds them")
    elif not pairs and not allow_unlabelled:
        faults.append(f"{xml_dir}: there are no XML files of these images; label them, or give the folder of the XML")
    elif not allow_unlabelled:
        what = "has no XML file; label it, or take such images as ones without objects with --allow_unlabelled"
        faults += [f"{image}: {what}" for image in images if image not in xmls]
    if faults:
        raise InputError(*faults)
    photos, as_stored = [], find_set_turn(pairs, Path(image_dir))
    for image in images:
        found = check_photo(image, xmls.get(image), decode=False, warn=False, as_stored=as_stored)
        photo, its_names, its_faults, _ = found
        photos.append(photo)
        faults += its_faults
        unknown = sorted(set(its_names) - set(ids))
        faults += [f"{xmls[image]}: the class {name!r} is {_not_known(ids)}" for name in unknown]
    if faults:
        raise InputError(*faults)

    def read():
        for photo in photos:
            yield _read_sample(tfrecord.make_photo_example(photo, ids), str(photo.path), -1, ids, photo.path)

    files = [*images, *(xml for xml in xmls.values() if xml)]
    return Source(names, len(images), [str(image_dir)], files, read)


def _not_known(ids):
    return f"not in the label map, which has {', '.join(ids)}; name the label map that these were made with"


def _read_sample(example, path, number, ids, place):
    """The `Sample` of a serialized example; `place` is what its faults call it."""
    try:
        features = tfrecord.parse_example(example)
    except ValueError as error:
        raise InputError(f"{place}: {error}; make the records again") from error
    sides = [features.get(f"image/object/bbox/{side}", []) for side in EDGES]
    if len({len(side) for side in sides}) > 1:
        raise InputError(f"{place}: its boxes lack a side; make the records again")
    box = np.array(sides, np.float32).T.reshape(-1, 4)
    label = _read_labels(features, "image/object/class", ids, place)
    if len(label) != len(box):
        raise InputError(f"{place}: has {len(box)} boxes and {len(label)} classes; make the records again")
    flags = []
    for key in ("is_crowd", "group_of", "difficult"):
        values = features.get(f"image/object/{key}", [])
        flags.append(np.array(values, bool) if len(values) == len(box) else np.zeros(len(box), bool))
    keep = ~np.isnan(box).any(1)  # as upstream: a box that is not a number is not a box
    if not (box[keep, 2:] >= box[keep, :2]).all():
        raise InputError(f"{place}: a box ends before it begins; make the records again")
    labelled = None
    if features.get("image/class/label") or features.get("image/class/text"):
        labelled = np.array(_read_labels(features, "image/class", ids, place), np.int64)
    name = (features.get("image/filename") or features.get("image/source_id") or [b""])[0].decode(errors="replace")
    name = name or f"{Path(path).name} {number + 1}"
    return Sample(name, path, number, example, box[keep], label[keep], *(flag[keep] for flag in flags), labelled)


def _read_labels(features, key, ids, place):
    """Class ids, int64: of the names in the record where it has some, else of the numbers in it."""
    numbers, texts = features.get(f"{key}/label", []), features.get(f"{key}/text", [])
    known = set(ids.values())
    labels = []
    for text, number in itertools.zip_longest(texts, numbers):
        name = text.decode(errors="replace") if text else None
        label = ids.get(name, number if number in known else None)
        if label is None:
            raise InputError(f"{place}: the class {name or number!r} is {_not_known(ids)}")
        labels.append(label)
    return np.array(labels, np.int64)


def decode_sample(sample):
    """The photo of a `Sample`: uint8 [height, width, 3], RGB. Raises InputError where it can't be decoded."""
    encoded = tfrecord.parse_example(sample.example).get("image/encoded")
    place = sample.path if sample.number < 0 else f"{sample.path}: record {sample.number + 1}"
    if not encoded:
        raise InputError(f"{place}: holds no image; make the records again")
    return np.asarray(decode_image(place, encoded[0])[0])


def refuse_samples(source, reason):
    """Raises InputError with all samples of `source` that are faulty, after TensorFlow could not read one for a
    `reason` that does not say which."""
    faults = []
    try:
        with show_progress("looking for the fault", source.count) as update:
            for number, sample in enumerate(source.read()):
                try:
                    decode_sample(sample)
                except InputError as error:
                    faults += error.faults
                update(number + 1)
    except InputError as error:
        faults += error.faults
    raise InputError(*(faults or [f"{', '.join(source.data)}: can't be read ({reason}); make the records again"]))
