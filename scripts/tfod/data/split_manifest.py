"""The note of a split, split.json: its settings, and which file is in which subset, with its sha256.

    {"seed": 42, "ratio": 0.1, "stratify": true, "train": {"a.jpg": "<sha256>", "a.xml": "<sha256>"}, "test": {...}}

It holds neither folders nor times: the same photos and settings give the same bytes everywhere. Notes of former
versions had lists of names instead, without sums; they are read, too.
"""

import collections
import contextlib
import json
import os
import shutil
from pathlib import Path

from tfod.data.image_folders import OTHER_NAMES, find_sources, has_images
from tfod.data.images import list_images, map_in_threads
from tfod.data.split import SUBSETS, Group
from tfod.data.voc import find_images_of, list_annotations
from tfod.utils.console import InputError, progress, say
from tfod.utils.files import (
    FILE_MANAGERS,
    fingerprint,
    is_current,
    is_file,
    mark_current,
    parse_json,
    read_bytes,
    refuse_foreign,
    sha256,
    write_whole,
)

Files = dict[str, dict[str, str | None]]  # of each subset: the sha256 of each file name, None where it is not known


def read_former(note: Path, subsets: list[str], settings: dict, fresh: bool) -> Files:
    """The files of the former split, to which this one, with these `subsets` and `settings`, is to keep.

    With `fresh` another split is drawn, and what is wrong with the former one does not matter. Where there is no
    split.json, as after the tutorial's own script, the folders themselves say in which subset a photo is. Raises
    InputError if the former split was drawn in another way.
    """
    try:
        former_settings, former = read_manifest(note)
    except InputError:
        if not fresh or note.is_dir():
            raise
        return {}
    if former_settings is not None and not fresh:
        check_settings(note, former_settings, settings)
    if former_settings is not None or fresh:
        return former
    folders = {subset: note.parent / subset for subset in SUBSETS if (note.parent / subset).is_dir()}
    former = {subset: dict.fromkeys(path.name for path in folder.iterdir()) for subset, folder in folders.items()}
    if not former.get("train") or not former.get("test"):
        return {}
    if former.get("val") and "val" not in subsets:
        what = "holds photos, and this call has no --val; add it, or --fresh (make: FRESH=1) to draw a new split"
        raise InputError(f"{folders['val']}: {what}")
    say(f"{note}: there is none; each photo stays in the subset where it lies")
    return former


def check_settings(path: Path, former: dict, settings: dict) -> None:
    """Raises InputError if a former split, noted in `path`, was drawn in another way."""
    faults = []
    for name, flag in (("seed", "--seed"), ("ratio", "-r"), ("val_ratio", "--val"), ("group", "--group")):
        before, now = former.get(name), settings.get(name)
        if before != now:
            was, called = (f"without {flag}" if value is None else f"with {flag} {value}" for value in (before, now))
            faults.append(
                f"{path}: the split was drawn {was}, and this call is {called}; call it as before to keep each photo"
                f" in its subset, or add --fresh (make: FRESH=1) to draw a new split"
            )
    if faults:
        raise InputError(*faults)


def read_manifest(path: Path) -> tuple[dict | None, Files]:
    """(settings, files of each subset) of a split.json; (None, {}) if there is none.

    Raises InputError if it is not such a file.
    """
    if not os.path.lexists(path):
        return None, {}
    damaged = InputError(
        f"{path}: is not a note of a split, or is damaged; restore it, or draw a new split with --fresh"
    )
    content = read_bytes(path)
    try:
        note = parse_json(content)
        noted = {subset: note.pop(subset) for subset in SUBSETS if subset in note}
    except (ValueError, AttributeError, TypeError):
        raise damaged from None
    noted = {subset: dict.fromkeys(files) if _is_list(files) else files for subset, files in noted.items()}
    if not {"train", "test"} <= set(noted) or not {"seed", "ratio"} <= set(note):
        raise damaged
    for files in noted.values():
        if not isinstance(files, dict) or not all(map(_is_name, files)) or not all(map(_is_sum, files.values())):
            raise damaged
    return note, noted


def _is_list(files):
    return isinstance(files, list) and all(isinstance(name, str) for name in files)


def _is_name(name):
    return "/" not in name and name not in ("", ".", "..")


def _is_sum(value):
    return value is None or (isinstance(value, str) and len(value) == 64)


def format_manifest(settings: dict, files: dict[str, list[Path]], sums: dict[Path, str]) -> str:
    """The text of split.json. `files`: the paths in each subset; `sums`: their sha256."""
    noted = {subset: {path.name: sums[path] for path in paths} for subset, paths in files.items()}
    return json.dumps({**settings, **noted}, indent=1, ensure_ascii=False) + "\n"


def add_sums(paths) -> dict[Path, str]:
    """The sha256 of each of the files."""
    paths = list(paths)
    return dict(zip(paths, map_in_threads(sha256, paths), strict=True))


def find_former_subsets(former: Files, sums: dict[Path, str]) -> dict[Path, str]:
    """The subset in a former split of each file of `sums` that it knows.

    Known is the same name with the same bytes, else the same bytes (renamed), else the same name (edited).
    """
    by_both, by_sum, by_name = {}, {}, {}
    for subset, files in former.items():
        for name, checksum in files.items():
            by_both[name, checksum] = by_name[name] = subset
            if checksum:
                by_sum[checksum] = subset
    found = {}
    for path, checksum in sums.items():
        subset = by_both.get((path.name, checksum)) or by_sum.get(checksum) or by_name.get(path.name)
        if subset:
            found[path] = subset
    return found


def find_group_subsets(note: Path, groups: list[Group], known: dict[Path, str]) -> list[str | None]:
    """Each group's subset in the former split, or None for a group of new images only.

    `known`: the former subset of each image. Raises InputError with each group that has images in two of them.
    """
    subsets, faults = [], []
    for group in groups:
        members = {known[image]: image for image in reversed(group) if image in known}
        if len(members) > 1:
            places = " and ".join(f"{subset}/{image.name}" for subset, image in sorted(members.items()))
            faults.append(
                f"{note}: {places} now belong together (the same photo, name, XML file or scene); take one away,"
                f" or add --fresh (make: FRESH=1) to draw a new split"
            )
        subsets.append(next(iter(members), None))
    if faults:
        raise InputError(*faults)
    return subsets


def put_files(files: dict[str, list[Path]], output: Path, link: bool) -> None:
    """Makes the folders output/SUBSET of `files`, the paths in each subset, of copies or hard links."""
    with contextlib.ExitStack() as whole:
        places = {subset: whole.enter_context(write_whole(output / subset)) for subset in files}
        for place in places.values():
            place.mkdir()
        todo = [(path, places[subset] / path.name) for subset, paths in files.items() for path in paths]
        for path, fresh in progress(todo, "linking" if link else "copying"):
            if not link:
                shutil.copy2(path, fresh)
                continue
            try:
                os.link(path.resolve(), fresh)
            except OSError as error:
                raise InputError(
                    f"{path}: no hard link to it can be made in {output} ({error.strerror}); leave out --link to copy,"
                    f" or put both on one disk whose file system has hard links"
                ) from None


def take_ready_made(folder: Path, output: Path, maker: str) -> dict[str, int]:
    """A dict subset -> number of images of a split that came with the data, as Roboflow's train/, valid/ and test/.

    That is one without photos beside these folders, and without our split.json; {} if there is none. A copy of valid/
    is made as val/, or as test/ where there is no test/; `maker` is as in `write_whole`.
    """
    ready = [name for name in (*SUBSETS, *OTHER_NAMES) if (folder / name).is_dir() and has_images(folder / name)]
    if "train" not in ready or len(ready) < 2 or has_images(folder) or (output / "split.json").exists():
        return {}
    if os.path.realpath(folder) != os.path.realpath(output):
        return {}
    say(f"{folder}: holds a ready-made split, which is kept; there are no photos beside it to share out")
    for name in OTHER_NAMES.keys() & ready:
        source = [*list_images(folder / name), *list_annotations(folder / name)]
        state = fingerprint(source)
        is_test = "test" not in ready or is_current(output / "test", state, maker)
        target = "test" if is_test else OTHER_NAMES[name]
        if not is_current(output / target, state, maker):
            refuse_foreign(output / target, maker, f"rename it, as {folder / name} is to be copied there")
            put_files({target: source}, output, link=False)
            mark_current(output / target, state, maker)
        say(f"{output / target}: is a copy of {name}/")
        ready.append(target)
    return {subset: len(list_images(output / subset)) for subset in SUBSETS if subset in ready}


def remove_split(folder: Path, output: Path) -> None:
    """Removes the subsets' folders in `output` and split.json.

    Raises InputError where `folder`, which has the images, lacks what is in them.
    """
    note = output / "split.json"
    sources = find_sources(folder)
    sums = add_sums([*list_images(sources.images), *list_annotations(sources.annotations)])
    refuse_lost_files(folder, output, SUBSETS, read_former(note, [*SUBSETS], {}, fresh=True), sums)
    there = [path for path in (*(output / subset for subset in SUBSETS), note) if path.exists()]
    for path in there:
        print(f"removing {path}")
        path.unlink() if path == note else shutil.rmtree(path)
    for path in (note, *(output / subset for subset in SUBSETS)):  # the subsets' stamps are of former versions
        path.with_name(f".{path.name}.stamp").unlink(missing_ok=True)
    if not there:
        print(f"nothing to remove: there is no split in {output}")


def refuse_lost_files(folder: Path, output: Path, subsets, former: Files, sums: dict[Path, str]) -> None:
    """Raises InputError with each file in output/SUBSET that would be lost if it were replaced by copies from `folder`.

    No loss is what `folder` holds byte for byte, nor an XML file as a split has put it there where `folder` has another
    one of its name now: a correction. `former`: the files of split.json; `sums`: the sha256 of the files in `folder`.
    """
    faults, there = [], []
    for subset in subsets:
        for path in sorted((output / subset).rglob("*")):
            if path.is_dir() or path.name in FILE_MANAGERS:
                continue
            if path.parent == output / subset and is_file(path):
                there.append(path)
            else:
                faults.append(f"{path}: is not from {folder} and would be lost; move it there, or elsewhere")
    kept, sources = set(sums.values()), {path.name: path for path in sums}
    for path, checksum in add_sums(there).items():
        source, noted = sources.get(path.name, folder / path.name), former.get(path.parent.name, {})
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


def verify(folder: Path, output: Path, with_xml: bool) -> dict[str, int]:
    """A dict subset -> number of images of the split in `output`, made of the images in `folder`.

    Raises InputError with every difference between split.json, the subsets' folders and `folder`. `with_xml`: XML files
    that the split lacks are faults even if it has none at all.
    """
    note = output / "split.json"
    settings, noted = read_manifest(note)
    if settings is None:
        raise InputError(f"{note}: there is none; make the split first")
    with_xml = with_xml or any(name.lower().endswith(".xml") for files in noted.values() for name in files)
    faults = _find_doubles(note, noted)
    numbers = {}
    for subset, files in noted.items():
        numbers[subset] = _verify_subset(output / subset, files, folder, faults)
    _verify_sources(folder, noted, with_xml, faults)
    if faults:
        raise InputError(*faults)
    return numbers


def _find_doubles(note, noted):
    """Faults: names, and images by their bytes, that split.json has in two subsets."""
    by_name, by_sum = collections.defaultdict(list), collections.defaultdict(dict)
    for subset, files in noted.items():
        for name, checksum in files.items():
            by_name[name].append(subset)
            if checksum and not name.lower().endswith(".xml"):
                by_sum[checksum][subset] = f"{subset}/{name}"
    faults = [
        f"{note}: {name} is in two subsets, {' and '.join(both)}; draw a new split with --fresh"
        for name, both in by_name.items()
        if len(both) > 1
    ]
    return faults + [
        f"{note}: {' and '.join(places.values())} are the same photo; draw a new split with --fresh"
        for places in by_sum.values()
        if len(places) > 1 and len({place.split("/", 1)[1] for place in places.values()}) > 1
    ]


def _verify_subset(folder, files, source, faults):
    """The number of images in the folder of one subset; `faults` gets where it differs from `files`, name -> sha256.

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


def _verify_sources(folder, noted, with_xml, faults):
    """`faults` gets where the images' own folder differs from split.json."""
    sources = find_sources(folder)
    images = list_images(sources.images)
    annotations = list_annotations(sources.annotations) if with_xml else []
    known = {name: checksum for files in noted.values() for name, checksum in files.items()}
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
