"""Imports exports of labelling tools and holds the boxes against those that other libraries read: the table of
docs/formats.md.

    python3 -m venv /tmp/readers && /tmp/readers/bin/pip install supervision fiftyone labelformat
    python tests/bench/bench_import.py --theirs /tmp/readers/bin/python

The exports are those of tests/helpers/tool_exports.py, made here as each tool's documentation describes them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests"), str(ROOT / "tests/helpers")]

from tool_exports import EXPORTS  # noqa: E402

from tfod.data.voc import read_annotation  # noqa: E402

NEAR = 0.5  # pixels; a box of which no edge is further away is the same


def import_ours(export, output):
    """A dict photo -> list of (class, xmin, ymin, xmax, ymax) of an export, by import_dataset.py."""
    script = ROOT / "scripts/preprocessing/import_dataset.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([sys.executable, script, export, "-o", output], check=True, capture_output=True, env=environment)
    return {
        path.stem: [(b.name, b.xmin, b.ymin, b.xmax, b.ymax) for b in read_annotation(path).boxes]
        for path in output.rglob("*.xml")
    }


def is_same(ours, theirs):
    """Whether two dicts photo -> list of (class, edges) hold the same boxes; photos without boxes do not count."""
    ours, theirs = (
        {photo: sorted(map(tuple, boxes)) for photo, boxes in one.items() if boxes} for one in (ours, theirs)
    )
    return ours.keys() == theirs.keys() and all(
        len(ours[photo]) == len(theirs[photo])
        and all(
            one[0] == other[0] and max(abs(a - b) for a, b in zip(one[1:], other[1:], strict=True)) <= NEAR
            for one, other in zip(ours[photo], theirs[photo], strict=True)
        )
        for photo in ours
    )


def describe(ours, theirs):
    """A cell of the table."""
    if isinstance(theirs, str):
        return "-" if theirs.startswith("has no reader") else theirs
    if is_same(ours, theirs):
        return "equal"
    numbers = [sum(map(len, one.values())) for one in (theirs, ours)]
    if numbers[0] != numbers[1]:
        return f"{numbers[0]} boxes for {numbers[1]}"
    pairs = [
        (one, other)
        for photo in ours
        for one, other in zip(sorted(ours[photo]), sorted(map(tuple, theirs.get(photo, ()))), strict=False)
    ]
    if len(pairs) < numbers[1] or any(one[0] != other[0] for one, other in pairs):
        return "other classes or photos"
    most = max(abs(a - b) for one, other in pairs for a, b in zip(one[1:], other[1:], strict=True))
    return f"up to {most:.1f} pixels away"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theirs", type=Path, required=True, help="python of an environment that has the libraries")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        exports, copies = Path(room, "exports"), Path(room, "copies")
        expected = {name: make(exports / name) for name, make in EXPORTS.items()}
        shutil.copytree(exports, copies)  # some of them write into what they read
        reader = Path(__file__).with_name("import_readers.py")
        environment = {**os.environ, "PYTHONPATH": "", "FIFTYONE_DO_NOT_TRACK": "true", "HOME": room}
        done = subprocess.run(
            [arguments.theirs, reader, copies], check=True, capture_output=True, text=True, env=environment
        )
        print(done.stderr, file=sys.stderr)
        theirs = json.loads(done.stdout.splitlines()[-1])
        print(f"| export | ours | {' | '.join(theirs)} |")
        print(f"|---|---|{'---|' * len(theirs)}")
        for name in EXPORTS:
            ours = import_ours(exports / name, Path(room, "images", name))
            right = "as made" if is_same(ours, expected[name].boxes) else "WRONG"
            cells = [describe(ours, found[name]) for found in theirs.values()]
            boxes = sum(map(len, ours.values()))
            print(f"| {name} | {right}, {boxes} boxes | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
