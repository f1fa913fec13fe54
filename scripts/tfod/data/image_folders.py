"""The photos and XML files of a workspace's image folder: where they lie, and in which subset of the split they are."""

import dataclasses
import os
from pathlib import Path

from tfod.data import faulty
from tfod.data.images import IMAGE_SUFFIXES, OTHER_SUFFIXES, find_name_fault, list_images, map_in_threads
from tfod.data.split import REST, SUBSETS
from tfod.data.voc import find_images_of, list_annotations, pair_images
from tfod.utils.console import Fault, InputError, say
from tfod.utils.files import find_oddity, is_file, read_text

SHOWN = 5  # files that are not taken and named before the rest is counted
UNSPLIT = ""  # the name of the subset of photos that are in none
VOC_IMAGES, VOC_XML, VOC_LISTS = "JPEGImages", "Annotations", "ImageSets/Main"  # Pascal VOC's own folders
OTHER_NAMES = {"valid": "val"}  # how Roboflow calls a subset


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where the images and XML files of a folder lie: right in it, or in Pascal VOC's folders below it. `subsets` is
    what its ImageSets say of each image's stem; {} if there are none, or only one list."""

    images: Path
    annotations: Path
    subsets: dict[str, str] = dataclasses.field(default_factory=dict)


def find_sources(folder: Path) -> Sources:
    """Where the photos of a folder are."""
    if not (folder / VOC_IMAGES).is_dir() or not (folder / VOC_XML).is_dir() or has_images(folder):
        return Sources(folder, folder)
    subsets = {}
    for subset in SUBSETS:
        path = folder / VOC_LISTS / f"{subset}.txt"
        lines = read_text(path).splitlines() if path.is_file() else []
        subsets |= dict.fromkeys((line.split()[0] for line in lines if line.strip()), subset)
    if "test" not in subsets.values():  # VOC's own sets of 2012 have train and val only
        subsets = {stem: "test" if subset == "val" else subset for stem, subset in subsets.items()}
    return Sources(folder / VOC_IMAGES, folder / VOC_XML, subsets if len(set(subsets.values())) > 1 else {})


def has_images(folder: Path) -> bool:
    """Whether there are images right in `folder`."""
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(IMAGE_SUFFIXES) and is_file(entry.path) for entry in entries)


def find_files(
    folder: Path, with_xml: bool, mode: str
) -> tuple[list[Path], dict[Path, list[Path]], dict[Path, list[Fault]]]:
    """What is to be split: (the images, dict XML path -> list of its images, dict file that is left out -> its faults).

    Raises InputError with all faults unless the `mode`, --faulty, is to leave such files out.
    """
    odd, sources = [], find_sources(folder)
    images = list_images(sources.images, odd)
    xmls = list_annotations(sources.annotations, odd) if with_xml else []
    annotations, faults = find_images_of(xmls, images)
    aside = find_left_aside(folder)
    for fault in aside[:SHOWN]:
        say(f"warning: {fault}")
    left_out = {}
    for fault in [*odd, *faults]:
        left_out.setdefault(Path(fault.file), []).append(fault)
    if left_out and mode == "stop":
        advice = faulty.advise(len(left_out), len(images) + len(left_out), 0, "split")
        raise InputError(*odd, *faults, advice=advice)
    if not images:
        what = "put photos into it, or name their folder with -i (by hand)"
        what = "those in its sub-folders are not taken: see the warnings above" if aside else what
        raise InputError(f"{folder}: there are no images; {what}")
    if with_xml and (bare := len(set(images).difference(*annotations.values()))):
        say(f"{bare} of {len(images)} images have no XML file; they are copied without one")
    return images, annotations, left_out


def find_listed(folder: Path, images: list[Path], subsets: list[str]) -> dict[Path, str]:
    """The subset of each image that Pascal VOC's lists name. One that this split lacks, as val, goes to train."""
    of_stem = find_sources(folder).subsets
    listed = {image: of_stem[image.stem] for image in images if image.stem in of_stem}
    if listed:
        say(f"{len(listed)} of {len(images)} images go where {folder / VOC_LISTS} says")
    return {image: subset if subset in subsets else REST for image, subset in listed.items()}


def find_left_aside(folder: Path) -> list[Fault]:
    """Warnings of photos in `folder` that no script takes: those in sub-folders, and those of unknown formats."""
    if not folder.is_dir():
        return []
    found, known = [], (*SUBSETS, VOC_IMAGES, VOC_XML, "ImageSets")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in OTHER_SUFFIXES and path.is_file():
            kind = path.suffix[1:].upper()
            what = f"is a {kind} file, which is not taken; save it as JPEG, and its XML file with it"
            found.append(Fault("left-aside", path, what, "warning"))
        elif path.is_dir() and path.name not in known:
            number = sum(below.suffix.lower() in IMAGE_SUFFIXES for below in path.rglob("*"))
            if number and not _is_copied(path):
                what = f"holds {number} {'photo' if number == 1 else 'photos'}, which are not taken"
                to = "make split takes such a ready-made split" if path.name in OTHER_NAMES else ""
                to = to or f"move them and their XML files into {folder} itself, under names of their own"
                found.append(Fault("left-aside", path, f"{what}; {to}", "warning"))
    return found


@dataclasses.dataclass(frozen=True)
class Subset:
    """The photos in one folder: (image path, XML path) of the labelled ones, the image paths of the others."""

    name: str
    pairs: list[tuple[Path, Path]]
    bare: list[Path]


def list_subsets(folder: Path) -> tuple[list[Subset], list[Fault]]:
    """train/, test/ and val/ below `folder` where they hold files, and what is wrong with these.

    Photos right in `folder` that have no copy in a subset, or another one, come as the subset UNSPLIT. Where there is
    no split, that is the only one. Raises InputError if there is no such folder or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds photos and XML files")
    if fault := find_name_fault(folder):
        raise InputError(fault)
    faults, subsets, copies = find_left_aside(folder), [], {}
    for name in SUBSETS:
        files = _scan(folder / name, faults)
        copies |= {path.name: (path, state) for path, state in files.items()}
        if files:
            subsets.append(_match(name, files, faults))
    raw = _scan(folder, faults)
    there = {path: (state, *copies[path.name]) for path, state in raw.items() if path.name in copies}
    same = map_in_threads(lambda path: _is_copy(path, *there[path]), there)
    fresh = set(raw).difference(path for path, is_copy in zip(there, same, strict=True) if is_copy)
    if not subsets:
        subsets.append(_match(UNSPLIT, raw, faults))
    elif fresh:
        for path in sorted(fresh):
            what = "is not in the split"
            if path in there:
                what = f"is not what {there[path][1].parent.name}/{path.name} is any more"
            faults.append(Fault("not-in-split", path, f"{what}; make split", "warning"))
        subsets.append(_match(UNSPLIT, raw, faults, fresh))
        wrong = {fault.file for fault in faults if fault.severity == "error"}  # for them, a split is no remedy
        faults = [fault for fault in faults if fault.kind != "not-in-split" or fault.file not in wrong]
    if not any(subset.pairs or subset.bare for subset in subsets) and not faults:
        where = "" if find_sources(folder).images == folder else f" itself; make split takes those of {VOC_IMAGES}/"
        raise InputError(f"{folder}: there are no photos in it{where or '; copy photos and their XML files there'}")
    return subsets, faults


def _is_copied(folder):
    """Whether `make split` has taken the photos of a subset of another name, as valid/, already."""
    if folder.name not in OTHER_NAMES:
        return False
    targets = (folder.with_name(name) for name in (OTHER_NAMES[folder.name], "test"))
    return any(
        {path.name for path in folder.iterdir()} <= {path.name for path in target.glob("*")} for target in targets
    )


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
    """Whether a file of images/ and the one of its name in a subset hold the same; states are those of `_scan`.

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
    """The Subset of these files; of pairs without a file in the set `wanted`, if one is given, nothing is said."""
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
    pairs, more = pair_images(found)
    faults.extend(its_faults + more)
    return Subset(name, pairs, bare)
