"""The image and XML files of two folders put together, in memory that takes few bytes a photo."""

import array
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from tfod.console import Fault, InputError
from tfod.images import IMAGE_SUFFIXES, list_names
from tfod.voc import find_pairs


class Names(Sequence):
    """File names as one text and the places where they end: a quarter of the memory of a list of texts."""

    def __init__(self, names):
        self.text = "".join(names)
        self.ends = array.array("L", itertools.accumulate(map(len, names)))

    def __len__(self):
        return len(self.ends)

    def __getitem__(self, index):
        if index >= len(self.ends):
            raise IndexError
        return self.text[self.ends[index - 1] if index else 0 : self.ends[index]]


class PhotoPairs(Sequence):
    """A sequence of (image path, XML path, or None for a negative without one).

    Only the images' names are held, and those of XML files that are not named as their image: as paths, the files of
    16,000 photos would take 20 MB.
    """

    def __init__(self, image_dir, xml_dir, images, unusual, order=None):
        self.image_dir, self.xml_dir, self.images, self.unusual = Path(image_dir), Path(xml_dir), images, unusual
        self.order = order or range(len(images))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[self.order[index]]
        xml = self.unusual[image] if image in self.unusual else _name_xml(image)
        return self.image_dir / image, xml and self.xml_dir / xml

    def shuffle(self, seed):
        """The same pairs in a random order, in which a photo's place depends on nothing but its name and the seed:
        photos that come later do not change the order of the others."""

        def draw(index):
            return hashlib.sha256(f"{seed} {self.images[index]}".encode()).digest()[:8]

        order = array.array("L", sorted(range(len(self.images)), key=draw))
        return PhotoPairs(self.image_dir, self.xml_dir, self.images, self.unusual, order)


def match_files(image_dir, xml_dir, allow_unlabelled):
    """(PhotoPairs sorted by image, list of faults). Raises InputError if a folder is not there, or empty."""
    images, annotations = Names(list_names(image_dir, IMAGE_SUFFIXES)), Names(list_names(xml_dir, (".xml",)))
    if not annotations and not allow_unlabelled:
        raise InputError(f"{xml_dir}: there are no XML files; give the folder that holds them with -x")
    if not images:
        raise InputError(f"{image_dir}: there are no images; give the folder that holds them with -i")
    unusual, faults = _find_negatives(images, annotations), []
    if unusual is None:
        pairs, faults = find_pairs([xml_dir / name for name in annotations], [image_dir / name for name in images])
        found = {image.name: xml.name for image, xml in pairs}
        unusual = {image: found.get(image) for image in images if found.get(image) != _name_xml(image)}
    if not allow_unlabelled:
        named = {fault.file for fault in faults if isinstance(fault, Fault)}
        what = "has no XML file; label it, or take all such images as negatives with --allow_unlabelled"
        for image, xml in unusual.items():
            if xml is None and str(xml_dir / _name_xml(image)) not in named:  # its XML file's fault says it all
                faults.append(Fault("image-without-xml", image_dir / image, what))
    return PhotoPairs(image_dir, xml_dir, images, unusual), faults


def _find_negatives(images, annotations):
    """A dict of the images without an XML file, each with None, if all XML files are named as one image each; else
    None. Goes through both sorted lists side by side, since this is where most memory would be taken."""
    negatives, last = {}, ""
    rest = iter(annotations)
    annotation = next(rest, None)
    for image in images:
        expected = _name_xml(image)
        if expected <= last:  # a.jpg and a.png; or x.k.jpg, which comes after x.jpg, and x.k.xml before x.xml
            return None
        if expected == annotation:
            annotation = next(rest, None)
        else:
            negatives[image] = None
        last = expected
    return negatives if annotation is None else None


def _name_xml(image):
    return f"{image.rpartition('.')[0]}.xml"
