#!/usr/bin/env python3
"""Removes what these scripts made in the folders (or at the files) that are given, as `make clean-...` does.

    python clean.py models/my_model

What anybody else put there, or changed since, stays and is named: notes beside a model, a pipeline.config that was
edited, records from elsewhere; copies of photos, too, since the originals may be gone (`partition_dataset.py --remove`
removes a split). Run it in the workspace.
"""

import json
import os
import re
from pathlib import Path

from tfod.utils.console import make_parser, run, say
from tfod.utils.files import FILE_MANAGERS, SHOWN, list_made_at, sha256

# what training writes, and only training: it keeps no stamps of these
TRAINED = re.compile(
    r"checkpoint|ckpt-\d+\.(index|data-\d{5}-of-\d{5})|events\.out\.tfevents\..+|train_log\.(csv|png)|trained_on\.json"
    r"|\.training\.lock"
)
OF_BEST = ("metrics.json", "pipeline.config")  # beside the checkpoint in a model's best/
COPIERS = ("partition_dataset", "check_dataset --fix")  # what they made may be the only copy of photos and labels
KEEPERS = (".gitkeep", ".gitignore")  # keep an empty folder in git; they stay, and are not mentioned


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("places", nargs="+", type=Path, metavar="PLACE", help="folder or file to clean")
    return parser.parse_args()


def list_files(place):
    """All files of a folder, or the file itself; links are not followed, and are files here."""
    if place.is_symlink() or not place.is_dir():
        return [place] if os.path.lexists(place) else []
    found = []
    for folder, folders, names in os.walk(place):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in (*names, *links)]
    return sorted(found)


def is_trained(path):
    """Whether training wrote the file, by its name and place."""
    return bool(TRAINED.fullmatch(path.name)) or (path.parent.name == "best" and path.name in OF_BEST)


def read_sums(path):
    """The files that a JSON file beside them knows with their sha256: dict path -> sum."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        sums = note["files"] if path.name == ".sample.json" else {"label_map.pbtxt": note["label_map.pbtxt"]}
        return {path.parent / name: checksum for name, checksum in sums.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # damaged, or written by an older version


def list_ours(place):
    """Those of `list_files` that these scripts made and nobody changed since, those that say so last."""
    there = list_files(place)
    notes = [path for path in there if path.name in (".sample.json", "trained_on.json")]
    sums = {path: checksum for note in notes for path, checksum in read_sums(note).items()}
    made = list_made_at(place, COPIERS)
    ours = [
        path
        for path in there
        if (Path(os.path.abspath(path)) in made and not path.is_dir())  # noqa: PTH100 - resolve() would follow links
        or not path.is_symlink()
        and (
            path in notes
            or is_trained(path)
            or path.name in FILE_MANAGERS
            or (path in sums and sha256(path) == sums[path])
        )
    ]
    return sorted(ours, key=lambda path: (path.name.endswith(".stamp") or path in notes, path))


def clean(place):
    """Removes the files of `list_ours` and the folders that are empty then. Says what it does and what stays."""
    ours = list_ours(place)
    stays = [path for path in list_files(place) if path not in set(ours) and path.name not in KEEPERS]
    if not ours and (stays or not place.is_dir()):
        print(f"nothing to remove: {place}")
    elif stays:
        print(f"removing {len(ours)} of the {len(ours) + len(stays)} files in {place}")
    else:
        print(f"removing {place}")
    for path in ours:
        path.unlink(missing_ok=True)
    if not stays:
        (place.parent / f".{place.name}.stamp").unlink(missing_ok=True)
    for path in stays[:SHOWN]:
        say(f"{path} stays: it is not what these scripts left there; remove it yourself if nobody needs it")
    if len(stays) > SHOWN:
        say(f"{place}: {len(stays) - SHOWN} more such files stay")
    if place.is_dir() and not place.is_symlink():
        for folder in [*sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True), place]:
            if not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()


def main():
    for place in parse_arguments().places:
        clean(place)


if __name__ == "__main__":
    run(main)
