"""Who made each file in inference's output folder, and which files are out of date.

Each kind of --save has a stamp of its own there, as `.images.stamp`, so that pictures and a JSON file may come one
after the other. XML files are known by what is in them (`is_proposal`): a person's is never touched.
"""

import filecmp
import hashlib
import itertools
import os
import re
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import find_hidden

MAKER = "inference_main_v2"  # of the results, as their stamps say
KINDS = ("images", "json", "csv", "coco", "voc", "crops", "video")  # of --save
TABLES = {"json": "detections.json", "csv": "detections.csv", "coco": "coco.json"}
PROPOSED = "<!-- proposed by a detector, nobody has looked at it yet: "
_NUMBERED = re.compile(r"_\d+\.jpg")  # how names of crops and video frames end


def sign_proposal(body: bytes) -> bytes:
    """The last line of an XML file of proposed boxes whose other lines are `body`."""
    return f"{PROPOSED}{hashlib.sha256(body).hexdigest()} -->\n".encode()


def is_proposal(path: str | Path) -> bool:
    """True if the XML file is as `write_proposal` wrote it: a person's change, however small, makes it the person's."""
    try:
        body, mark, rest = Path(path).read_bytes().rpartition(PROPOSED.encode())
    except OSError:
        return False
    return bool(mark) and mark + rest.strip() == sign_proposal(body).strip()


def is_same_photo(target: Path, path: Path) -> bool:
    """Whether the file `target` leads to `path`, or holds the same bytes."""
    try:
        return target.samefile(path) or filecmp.cmp(target, path, shallow=False)
    except OSError:
        return False


def choose_kinds(save: list[str] | None, photos: list, videos: list) -> list[str]:
    """The kinds to write: `save`, or without it pictures of photos, and videos of videos."""
    return save or ["images"] * bool(photos) + ["video"] * bool(videos)


def list_targets(kind: str, output: Path, photos: list, videos: list, frames: bool) -> tuple[list[Path], list[Path]]:
    """(files, folders of numbered images) that a run of this kind may write, as paths; those of XML are left out.

    frames: whether the frames of a video count as images, as they do when --save is given
    """
    folders = [video.name.with_suffix("") for video in videos] if frames else []
    if kind in TABLES:
        names, folders = [TABLES[kind]], []
    elif kind == "video":
        names, folders = [video.name.with_suffix(".mp4") for video in videos], []
    elif kind == "crops":
        names, folders = [], ["crops"]
    else:
        root = "voc" if kind == "voc" else ""
        names, folders = [Path(root, photo.name) for photo in photos], [Path(root, folder) for folder in folders]
    return [output / name for name in names], [output / folder for folder in folders]


def find_overwritten(words: list[str], sources: list, output: Path) -> list[str]:
    """The first input that a result would overwrite, as a list of one fault."""
    said = "is input and output, and images are never overwritten; name another -o"
    if output.is_dir() and any(Path(word).is_dir() and output.samefile(word) for word in words):
        return [f"{output}: {said}"]
    for source in sources:
        target = output / source.name
        if target.exists() and isinstance(source.path, Path) and target.samefile(source.path):
            return [f"{target}: {said}"]
    return []


def find_voc_faults(photos: list) -> list[str]:
    """Faults, texts: the photos whose labelImg XML files would have one name, or hold what XML can't."""
    faults = []
    for _, same in itertools.groupby(sorted(photo.name for photo in photos), lambda name: name.with_suffix("")):
        first, *others = same
        faults += [f"{first}: would have the same XML file as {other}; rename one" for other in others]
    what = "holds a character that can't be seen, in its name, which XML can't have; rename it"
    return faults + [f"{photo.path}: {what}" for photo in photos if find_hidden(photo.name.name)]


def find_foreign(output: Path, kinds: list[str], photos: list, videos: list, frames: bool) -> list[str]:
    """Faults, texts: the files that a run of these kinds would overwrite, and that inference did not make."""
    if os.path.lexists(output) and not output.is_dir():
        return [f"{output}: is a file, and results go into a folder; name another -o"]
    faults = []
    for kind in kinds:
        there, folders = list_targets(kind, output, photos, videos, frames)
        if kind == "voc":
            there, odd = _find_other_photos(output, photos)
            faults += odd
        there += [path for folder in folders for path in _list_numbered(folder)]
        faults += files.find_foreign(output / kind, MAKER, "name another folder with -o", there)
    return faults


def _find_other_photos(output, photos):
    """(files in voc/ that are not the photo of that name, faults where a person has labelled one of these)."""
    others, faults = [], []
    for photo in photos:
        target = output / "voc" / photo.name
        if not os.path.lexists(target) or is_same_photo(target, photo.path):
            continue
        xml = target.with_suffix(".xml")
        if not target.is_symlink():
            others.append(target)
        elif xml.exists() and not is_proposal(xml):
            what = f"was corrected, and its photo was another than {photo.path}"
            faults.append(f"{xml}: {what}; move it away, or name another folder with -o")
    return others, faults


def are_current(output: Path, kinds: list[str], fingerprint: files.Fingerprint) -> bool:
    """Whether all results of these kinds are there, untouched, and made from what `fingerprint` says."""
    return all(files.is_current(output / kind, fingerprint, MAKER) for kind in kinds)


def claim(output: Path, kinds: list[str], photos: list, videos: list, frames: bool) -> dict[str, set[Path]]:
    """Notes that a run of these kinds begins. Returns what former runs left: a dict kind -> set of paths."""
    former = {kind: set(filter(_is_ours, files.list_made(output / kind, MAKER))) for kind in kinds}
    for kind in kinds:
        there, folders = list_targets(kind, output, photos, videos, frames)
        if kind == "voc":
            there = [path for path in there if not os.path.lexists(path)]
        files.claim(output / kind, MAKER, sorted({*former[kind], *map(_locate, [*there, *folders])}))
    return former


def settle(
    output: Path,
    kinds: list[str],
    former: dict[str, set[Path]],
    written: dict[str, set[Path]],
    fingerprint: files.Fingerprint | None,
    mirrors: bool,
) -> int:
    """Notes what a run has written, and removes what is out of date. Returns how many files it removed.

    former:      what `claim` returned
    written:     a dict kind -> names that were written, relative to `output`
    fingerprint: what they were made from; None if that is never the same again, or something went wrong
    mirrors:     whether the results of former runs go: those of these kinds that were not written again, and of other
                 kinds those from other photos or another model
    """
    removed = 0
    for kind in kinds:
        ours = {_locate(output / name) for name in written[kind]}
        stale = former[kind] - ours
        if mirrors:
            stale, kept = _split_labelled(stale)
            ours |= set(filter(Path.exists, kept))  # a stamp of a link that leads nowhere would never be current
            removed += _remove(stale, output)
        else:
            ours |= stale
        files.mark_current(output / kind, fingerprint, MAKER, sorted(ours))
    for kind in set(KINDS) - set(kinds) if mirrors and fingerprint else ():
        made = set(filter(_is_ours, files.list_made(output / kind, MAKER)))
        if made and not files.has_same_inputs(output / kind, fingerprint, MAKER):
            removed += _remove(_split_labelled(made)[0], output)
            files.forget(output / kind)
    return removed


def _locate(path):
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links, as those in voc/


def _list_numbered(folder):
    return [path for path in folder.rglob("*.jpg") if _NUMBERED.search(path.name)]


def _is_ours(path):
    """Whether a file that a stamp names or claims is one of the kinds that inference writes, and not a person's XML."""
    if path.suffix.lower() == ".xml":
        return is_proposal(path)
    from tfod.data.images import IMAGE_SUFFIXES  # and Pillow, which `--help` does without

    return path.suffix.lower() in (*IMAGE_SUFFIXES, ".mp4", ".json", ".csv")


def _split_labelled(paths):
    """(set of the others, set of photos among the paths that have a person's XML file beside them)."""
    labelled = {path for path in paths if (xml := path.with_suffix(".xml")).exists() and not is_proposal(xml)}
    return paths - labelled, labelled


def _remove(paths, output):
    """Removes files below `output`, and the folders that they leave empty. Returns how many they were."""
    for path in paths:
        path.unlink(missing_ok=True)
    top = _locate(output)
    for folder in sorted({folder for path in paths for folder in path.parents if top in folder.parents}, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return len(paths)
