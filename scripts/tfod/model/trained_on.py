"""What a model was trained on, kept with it, and held against what is there today.

In the model's folder stand label_map.pbtxt, a copy of the label map that it was trained with, and trained_on.json,
which knows every training photo by what is in it: records that were written again, in another order or place, hold the
same photos.
"""

import hashlib
import json
import shutil
import struct
import unicodedata
from pathlib import Path

from tfod.data.label_map import read_label_map, read_names
from tfod.data.tfrecord import parse_example, read_records
from tfod.model.checkpoints import find_latest_checkpoint
from tfod.utils import files
from tfod.utils.console import InputError, say
from tfod.utils.files import parse_json, read_text

LABEL_MAP, NOTE = "label_map.pbtxt", "trained_on.json"
SHOWN = 5  # classes in an error
BOX_FIELDS = ("xmin", "ymin", "xmax", "ymax")

# ---------------------------------------------------------------- classes


def find_kept_map(folder) -> Path | None:
    """The label map that is kept with the model in `folder`: a model_dir, its best/, or the checkpoint/ of an export.

    None where there is none.
    """
    folder = Path(folder)
    places = [folder, folder.parent] if folder.name in ("best", "checkpoint") else [folder]
    return next((place / LABEL_MAP for place in places if (place / LABEL_MAP).is_file()), None)


def hold_label_map(folder, *given):
    """Raises InputError where one of the label maps `given` (paths) says other classes than the one that is kept with
    the model in `folder`."""
    kept = find_kept_map(folder)
    faults = [fault for path in dict.fromkeys(given) if kept for fault in compare_maps(kept, path, folder)]
    if faults:
        raise InputError(*faults)


def keep_label_map(folder, given, starts=False):
    """As `hold_label_map`; keeps a copy of the label map `given` in the model's `folder` where there is none.

    `starts`: the training begins, so that a copy that is there is of one that came to nothing, and is replaced. Raises
    InputError where that is not our copy.
    """
    folder, given = Path(folder), Path(given)
    kept = folder / LABEL_MAP
    if kept.exists():
        if not starts:
            hold_label_map(folder, given)
            return
        if not any(list_changes(kept, given)):
            return
        if _read_note(folder).get(LABEL_MAP) != files.sha256(kept):
            raise InputError(
                f"{kept}: a copy of {given} is to be kept there, and it is another label map, which training did not"
                " write; move it away, or give another --model_dir (MODEL=)"
            )
    try:
        with files.write_whole(kept) as fresh:
            shutil.copyfile(given, fresh)
    except OSError as error:
        say(f"warning: {kept}: the label map could not be kept there ({error.strerror})")


def compare_maps(kept, given, model, path=None):
    """Faults, texts: how the classes of the label map `given` differ from those that the `model` was trained with.

    `kept` and `given` are paths of label maps, or dicts id -> name. A class is the same where its name or its
    display_name is, in whatever form Unicode writes it.
    """
    changes, added = list_changes(kept, given)
    what = "; ".join(changes[:SHOWN]) + (f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")
    path = path or given
    copy = f" ({kept} is a copy of it)" if isinstance(kept, str | Path) else ""
    back = f"put back the label map of its training{copy}"
    if changes:
        new = f"train a new model with it{' and the new ' + ', '.join(added) if added else ''}: MODEL=another_name"
        return [f"{path}: is not what {model} was trained with: {what}; {back}, or {new}"]
    if added:
        new = "that takes a new training: MODEL=another_name"
        return [f"{path}: has {', '.join(added)}, which {model} was not trained to find; {new}; or {back}"]
    return []


def hold_names(kept, given, model, path="label map"):
    """As `hold_label_map`, for a model whose own files say its classes: `kept` and `given` are dicts id -> name.

    Classes that only `given` has change no name of what the model finds: they are said.
    """
    changes, added = list_changes(kept, given) if kept else ([], [])
    if changes:
        raise InputError(*compare_maps(kept, given, model, path))
    if added:
        say(f"warning: {path}: has {', '.join(added)}, which {model} was not trained to find")


def list_changes(kept, given):
    """(how classes of the label map `kept` are others in `given`, the classes that only `given` has), as texts."""
    before, now = _read_forms(kept), _read_forms(given)
    changes = []
    for number, (name, *others) in sorted(before.items()):
        if number not in now:
            changes.append(f"id {number} was {name!r} and is not there")
        elif not {name, *others} & set(now[number]):
            changes.append(f"id {number} was {name!r} and is {now[number][0]!r}")
    return changes, [f"id {number} {now[number][0]!r}" for number in sorted(now.keys() - before.keys())]


def _read_forms(label_map):
    """dict class id -> its names, the one that is shown first, in Unicode's composed form."""
    if isinstance(label_map, dict):
        names = {number: [name] for number, name in label_map.items()}
    else:
        names = {number: [name] for number, name in read_names(label_map).items()}
        classes = read_label_map(label_map)
        for name in (*classes, *classes.others):
            names[classes[name]].append(name)
    return {number: [unicodedata.normalize("NFC", one).strip() for one in some] for number, some in names.items()}


# ---------------------------------------------------------------- photos


def list_photos(records) -> dict | None:
    """The photos of TFRecord files: a dict, short sum of the image -> short sum of its boxes and their classes.

    None where a file is not one of labelled images; what is wrong with it, the training says.
    """
    found = {}
    try:
        for record in records:
            for example in read_records(record):
                features = parse_example(example)
                found.setdefault(_sum_image(features), []).append(_sum_boxes(features))
    except (InputError, OSError, ValueError, struct.error):
        return None
    return {photo: hashlib.sha256("".join(sorted(boxes)).encode()).hexdigest()[:8] for photo, boxes in found.items()}


def _sum_image(features):
    known = (features.get("image/key/sha256") or [b""])[0]  # as generate_tfrecord.py notes it
    encoded = (features.get("image/encoded") or [b""])[0]
    return (known.decode(errors="replace") if len(known) == 64 else hashlib.sha256(encoded).hexdigest())[:16]


def _sum_boxes(features):
    """The sum of the boxes with their classes, in whatever order."""
    edges = zip(*(features.get(f"image/object/bbox/{name}", ()) for name in BOX_FIELDS), strict=False)
    classes = features.get("image/object/class/text") or features.get("image/object/class/label", ())
    boxes = sorted(repr(name).encode() + struct.pack("<4f", *box) for name, box in zip(classes, edges, strict=False))
    return hashlib.sha256(b"".join(boxes)).hexdigest()


def describe_changes(before: dict, now: dict) -> str:
    """How the photos `now` differ from those `before`, of `list_photos`, as text; "" where they don't."""
    shared = before.keys() & now.keys()
    numbers = {
        "new": len(now.keys() - shared),
        "gone": len(before.keys() - shared),
        "with other boxes": sum(before[photo] != now[photo] for photo in shared),
    }
    parts = [f"{number:,} photo{'s' * (number > 1)} {what}" for what, number in numbers.items() if number]
    return ", ".join(parts)


def find_changes(folder, photos) -> str:
    """How `photos` (of `list_photos`) differ from those that the model in `folder` was trained on, as text.

    "" where they don't, and where that is not known.
    """
    before = _read_note(folder).get("photos")
    return describe_changes(before, photos) if before and photos is not None else ""


def note_training(folder, photos):
    """Notes in the model's `folder` what it is trained on from now on: its label map and `photos`, of `list_photos`."""
    folder = Path(folder)
    kept = folder / LABEL_MAP
    note = {LABEL_MAP: files.sha256(kept) if kept.is_file() else None, "photos": photos}
    try:
        files.write_text(folder / NOTE, json.dumps(note, indent=0) + "\n")
    except OSError as error:
        say(f"warning: {folder / NOTE}: could not be written ({error.strerror})")


def _read_note(folder):
    """What `note_training` wrote, a dict; empty where there is nothing, or nothing that can be read."""
    path = Path(folder) / NOTE
    if not path.exists():
        return {}
    try:
        note = parse_json(read_text(path))
        if not all(isinstance(key, str) and isinstance(value, str) for key, value in (note["photos"] or {}).items()):
            raise TypeError("photos")
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        say(f"warning: {path}: is damaged, so what the model was trained on is not known; training makes it again")
        return {}
    return note


def is_trained(folder) -> bool:
    """Whether the model's `folder` holds a checkpoint, in best/ at least."""
    return bool(find_latest_checkpoint(folder) or find_latest_checkpoint(Path(folder) / "best"))
