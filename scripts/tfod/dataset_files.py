"""The photos and XML files of a workspace's image folder: which belong together, and on which side of the split."""

import dataclasses
import os
from pathlib import Path

from tfod.console import Fault, InputError
from tfod.images import IMAGE_SUFFIXES
from tfod.voc import find_images_of, pair

SIDES = ("train", "val", "test")
UNSPLIT = ""  # the name of the side of photos that are on none


@dataclasses.dataclass(frozen=True)
class Side:
    """The photos in one folder: (image path, XML path) of the labelled ones, the image paths of the others."""

    name: str
    pairs: list
    bare: list


def list_sides(folder):
    """(list of `Side`, list of `Fault`): train/, val/ and test/ below `folder` where they hold files.

    Photos right in `folder` that have no copy on a side, or another one, come as the side UNSPLIT. Where there is no
    split, that is the only side. Raises InputError if there is no such folder or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds photos and XML files")
    faults, sides, copies = [], [], {}
    for name in SIDES:
        files = _scan(folder / name, faults)
        copies |= {path.name: (name, state) for path, state in files.items()}
        if files:
            sides.append(_match(name, files, faults))
    raw = _scan(folder, faults)
    fresh = {path for path, state in raw.items() if path.name not in copies or copies[path.name][1] != state}
    if not sides:
        sides.append(_match(UNSPLIT, raw, faults))
    elif fresh:
        for path in sorted(fresh):
            side, _ = copies.get(path.name, (None, None))
            what = f"is not what {side}/{path.name} is any more" if side else "is not in the split"
            faults.append(Fault("not-in-split", path, f"{what}; make split", "warning"))
        sides.append(_match(UNSPLIT, raw, faults, fresh))
    if not any(side.pairs or side.bare for side in sides) and not faults:
        raise InputError(f"{folder}: there are no photos in it; copy photos and their XML files there")
    return sides, faults


def _scan(folder, faults):
    """A dict path -> (size in bytes, mtime in ns) of the images and XML files right in `folder`, sorted."""
    found = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or not entry.name.lower().endswith((*IMAGE_SUFFIXES, ".xml")):
                continue
            try:
                entry.name.encode()
            except UnicodeEncodeError:  # as unpacking an old archive leaves them; neither XML nor JSON can name them
                path = f"{folder}/{ascii(entry.name)}"
                faults.append(Fault("name-not-utf8", path, "the name is not in UTF-8; rename the file"))
                continue
            if entry.is_file():
                state = entry.stat()
                found[folder / entry.name] = state.st_size, state.st_mtime_ns
            else:
                what = "is a folder, a pipe or a broken link, not a file; it is left out: move it away, or mend it"
                faults.append(Fault("not-a-file", folder / entry.name, what, "warning"))
    return found


def _match(name, files, faults, wanted=None):
    """The Side of these files; of pairs without a file in the set `wanted`, if one is given, nothing is said."""
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
    pairs, more = pair(found)
    faults.extend(its_faults + more)
    return Side(name, pairs, bare)
