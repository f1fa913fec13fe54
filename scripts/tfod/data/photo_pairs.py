"""The image and XML files of two folders put together."""

import hashlib

from tfod.data.images import IMAGE_SUFFIXES, list_names
from tfod.data.voc import find_pairs
from tfod.utils.console import Fault, InputError


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
