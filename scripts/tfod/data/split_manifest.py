"""The note of a split, split.json: its settings, and which file went to which side, with its sha256.

    {"seed": 42, "ratio": 0.1, "stratify": true, "train": {"a.jpg": "<sha256>", "a.xml": "<sha256>"}, "test": {...}}

It holds neither folders nor times: the same photos and settings give the same bytes everywhere. Notes of before had
lists of names instead, without sums; they are read, too.
"""

import collections
import json
import os

from tfod.data.images import list_images, map_in_threads
from tfod.data.voc import find_images_of, list_annotations
from tfod.utils.console import InputError
from tfod.utils.files import FILE_MANAGERS, is_file, parse_json, read_bytes, sha256

SIDES = ("train", "test", "val")


def read_manifest(path):
    """(settings, dict side -> dict file name -> sha256 or None) of a split.json; (None, {}) if there is none.

    Raises InputError if it is no such file.
    """
    if not os.path.lexists(path):
        return None, {}
    damaged = InputError(f"{path}: is no note of a split, or is damaged; restore it, or draw a new split with --fresh")
    content = read_bytes(path)
    try:
        note = parse_json(content)
        sides = {side: note.pop(side) for side in SIDES if side in note}
    except (ValueError, AttributeError, TypeError):
        raise damaged from None
    sides = {side: dict.fromkeys(files) if _is_list(files) else files for side, files in sides.items()}
    if not {"train", "test"} <= set(sides) or not {"seed", "ratio"} <= set(note):
        raise damaged
    for files in sides.values():
        if not isinstance(files, dict) or not all(map(_is_name, files)) or not all(map(_is_sum, files.values())):
            raise damaged
    return note, sides


def _is_list(files):
    return isinstance(files, list) and all(isinstance(name, str) for name in files)


def _is_name(name):
    return "/" not in name and name not in ("", ".", "..")


def _is_sum(value):
    return value is None or (isinstance(value, str) and len(value) == 64)


def format_manifest(settings, files, sums):
    """The text of split.json. `files`: dict side -> list of paths; `sums`: dict path -> sha256."""
    sides = {side: {path.name: sums[path] for path in paths} for side, paths in files.items()}
    return json.dumps({**settings, **sides}, indent=1, ensure_ascii=False) + "\n"


def add_sums(paths):
    """A dict path -> sha256 of the files."""
    paths = list(paths)
    return dict(zip(paths, map_in_threads(sha256, paths), strict=True))


def find_former_sides(sides, sums):
    """A dict path -> its side in a former split, for the files of `sums` (path -> sha256) that it knows.

    Known is the same name with the same bytes, else the same bytes (renamed), else the same name (edited).
    """
    by_both, by_sum, by_name = {}, {}, {}
    for side, files in sides.items():
        for name, checksum in files.items():
            by_both[name, checksum] = by_name[name] = side
            if checksum:
                by_sum[checksum] = side
    found = {}
    for path, checksum in sums.items():
        side = by_both.get((path.name, checksum)) or by_sum.get(checksum) or by_name.get(path.name)
        if side:
            found[path] = side
    return found


def refuse_lost_files(folder, output, sides, former, sums):
    """Raises InputError with each file in output/SIDE that would be lost if it were replaced by copies from `folder`.

    No loss is what `folder` holds byte for byte, nor an XML file as a split has put it there where `folder` has another
    one of its name now: a correction. `former`: dict side -> dict file name -> sha256, of split.json; `sums`: dict path
    -> sha256 of the files in `folder`.
    """
    faults, there = [], []
    for side in sides:
        for path in sorted((output / side).rglob("*")):
            if path.is_dir() or path.name in FILE_MANAGERS:
                continue
            if path.parent == output / side and is_file(path):
                there.append(path)
            else:
                faults.append(f"{path}: is not from {folder} and would be lost; move it there, or elsewhere")
    kept = set(sums.values())
    for path, checksum in add_sums(there).items():
        source, noted = folder / path.name, former.get(path.parent.name, {})
        is_known = source.exists() and checksum == (noted.get(path.name) or sha256(source))
        if checksum in kept or (is_known and path.suffix.lower() == ".xml"):
            continue
        if is_known:
            what = f"is another photo than {source} is now, and would be lost; delete it if that one replaces it, or"
            faults.append(f"{path}: {what} move it to {folder} under another name")
        elif source.exists():
            faults.append(f"{path}: was changed after the split and would be lost; copy it to {source} first")
        elif path.name in noted:
            faults.append(
                f"{path}: is not in {folder} any more, and would be lost; move it back there, or delete it here, too"
            )
        else:
            faults.append(f"{path}: is not from {folder} and would be lost; move it there, or elsewhere")
    if faults:
        raise InputError(*faults)


def verify(folder, output, with_xml):
    """A dict side -> number of images of the split in `output`, made of the images in `folder`.

    Raises InputError with every difference between split.json, the sides' folders and `folder`. `with_xml`: XML files
    that the split lacks are faults even if it has none at all.
    """
    note = output / "split.json"
    settings, sides = read_manifest(note)
    if settings is None:
        raise InputError(f"{note}: there is none; make the split first")
    with_xml = with_xml or any(name.lower().endswith(".xml") for files in sides.values() for name in files)
    faults = _find_doubles(note, sides)
    numbers = {}
    for side, files in sides.items():
        numbers[side] = _verify_side(output / side, files, folder, faults)
    _verify_sources(folder, sides, with_xml, faults)
    if faults:
        raise InputError(*faults)
    return numbers


def _find_doubles(note, sides):
    """Faults: names, and images by their bytes, that split.json has on two sides."""
    by_name, by_sum = collections.defaultdict(list), collections.defaultdict(dict)
    for side, files in sides.items():
        for name, checksum in files.items():
            by_name[name].append(side)
            if checksum and not name.lower().endswith(".xml"):
                by_sum[checksum][side] = f"{side}/{name}"
    faults = [
        f"{note}: {name} is on two sides, {' and '.join(both)}; draw a new split with --fresh"
        for name, both in by_name.items()
        if len(both) > 1
    ]
    return faults + [
        f"{note}: {' and '.join(places.values())} are the same photo; draw a new split with --fresh"
        for places in by_sum.values()
        if len(places) > 1 and len({place.split("/", 1)[1] for place in places.values()}) > 1
    ]


def _verify_side(folder, files, source, faults):
    """The number of images in the folder of one side; `faults` gets where it differs from `files`, name -> sha256.

    `source` is the images' own folder.
    """
    if not folder.is_dir():
        faults.append(f"{folder}: there is no such folder; run the split again")
        return 0
    there = {path.name: path for path in sorted(folder.iterdir()) if path.name not in FILE_MANAGERS}
    sums = add_sums(path for path in there.values() if path.name in files and path.is_file())
    for name, checksum in files.items():
        if name not in there:
            faults.append(f"{folder / name}: is missing; run the split again")
        elif checksum and sums.get(there[name]) != checksum:
            faults.append(f"{folder / name}: was changed after the split; take it away and run the split again")
    for name, path in there.items():
        if name not in files:
            faults.append(f"{path}: is not in split.json; take it away, and add photos to {source}")
    images = list_images(folder)
    if any(path.suffix.lower() == ".xml" for path in there.values()):
        faults.extend(find_images_of(list_annotations(folder), images)[1])
    return len(images)


def _verify_sources(folder, sides, with_xml, faults):
    """`faults` gets where the images' own folder differs from split.json."""
    images = list_images(folder)
    annotations = list_annotations(folder) if with_xml else []
    known = {name: checksum for files in sides.values() for name, checksum in files.items()}
    sums = add_sums([*images, *annotations])
    for path, checksum in sums.items():
        if path.name not in known:
            faults.append(f"{path}: is not in split.json; run the split again to share it out")
        elif known[path.name] not in (None, checksum):
            faults.append(f"{path}: was changed after the split; run the split again")
    names = {path.name for path in sums}
    lost = [name for name in known if name not in names]
    faults.extend(
        f"{folder / name}: is missing, but in split.json; put it back, or run the split again" for name in lost
    )
    faults.extend(find_images_of(annotations, images)[1])
