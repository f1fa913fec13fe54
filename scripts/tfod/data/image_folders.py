"""The photos and XML files of a workspace's image folder: which belong together, and on which side of the split."""

import dataclasses
import os
from pathlib import Path

from tfod.data.images import IMAGE_SUFFIXES, find_name_fault, map_in_threads
from tfod.data.voc import find_images_of, pair
from tfod.utils.console import Fault, InputError
from tfod.utils.files import find_oddity, is_file

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
    if fault := find_name_fault(folder):
        raise InputError(fault)
    faults, sides, copies = [], [], {}
    for name in SIDES:
        files = _scan(folder / name, faults)
        copies |= {path.name: (path, state) for path, state in files.items()}
        if files:
            sides.append(_match(name, files, faults))
    raw = _scan(folder, faults)
    there = {path: (state, *copies[path.name]) for path, state in raw.items() if path.name in copies}
    same = map_in_threads(lambda path: _is_copy(path, *there[path]), there)
    fresh = set(raw).difference(path for path, is_copy in zip(there, same, strict=True) if is_copy)
    if not sides:
        sides.append(_match(UNSPLIT, raw, faults))
    elif fresh:
        for path in sorted(fresh):
            what = "is not in the split"
            if path in there:
                what = f"is not what {there[path][1].parent.name}/{path.name} is any more"
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
    """Whether a file of images/ and the one of its name on a side hold the same; states are those of `_scan`.

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
