"""How fast check_dataset.py finds out that 16,000 photos are sound, beside what decoding them alone takes.

    python tests/bench/bench_check.py ../shared/raccoon/images

The rival does nothing but read and decode every photo with Pillow, in as many processes, handed out by the same code.
It works out all pixels in colour, as a training does. The check sends every byte through the same decoder, but of JPEGs
it works out grey and smaller pictures (tests show that it finds the same damage); what decoding alone takes in that
manner is a row of its own.
The photos are hard links of the given ones under other names, each read, hashed and decoded as often as it is linked:
nothing in the check knows of inodes. All files are read once before the clock starts, so that no round waits for the
disk. Rounds of the two alternate; the figure is the median of their ratios.
"""

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tfod.data.checks import SAMPLED
from tfod.utils.console import InputError, make_parser, run, say
from tfod.utils.parallel import count_cores, map_in_processes

SCRIPT = Path(__file__).parents[2] / "scripts" / "preprocessing" / "check_dataset.py"
CHUNK = 16
WANTED = 1.3


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path, help="labelled photos to make links of")
    parser.add_argument("--photos", type=int, default=16000, help="number of photos to check")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of check and rival")
    return parser.parse_args()


def link_photos(folder, output, number):
    """Makes `output`/NAME_0000.jpg and .xml, ... as hard links (or copies, across disks) of the photos of a folder."""
    pairs = [(path, path.with_suffix(".xml")) for path in sorted(folder.glob("*.jpg"))]
    pairs = [(image, xml) for image, xml in pairs if xml.exists()]
    if not pairs:
        raise InputError(f"{folder}: has no .jpg files with XML files; give the folder of the raccoon photos")
    output.mkdir(parents=True)
    for i in range(number):
        for path in pairs[i % len(pairs)]:
            link = output / f"{path.stem}_{i // len(pairs):04d}{path.suffix}"
            try:
                link.hardlink_to(path)
            except OSError:
                link.write_bytes(path.read_bytes())


def decode_alone(folder, workers, least=None):
    """Seconds that reading and decoding all photos of the folder takes; with `least`, as the check decodes them."""
    started = time.perf_counter()
    paths = sorted(str(path) for path in folder.glob("*.jpg"))
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]

    def decode(number):
        for path in chunks[number]:
            image = Image.open(io.BytesIO(Path(path).read_bytes()))
            if least:
                image.draft("L", least)
            image.load()
        return len(chunks[number])

    assert sum(map_in_processes(decode, range(len(chunks)), workers)) == len(paths)
    return time.perf_counter() - started


def check(folder, workers, number):
    """Seconds that the script takes, its start included."""
    report = folder.parent / "check.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, SCRIPT, "-i", folder, "--input_size", "320x320", "--json", report]
    started = time.perf_counter()
    done = subprocess.run([*command, "--num_workers", str(workers)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    found = json.loads(report.read_text()) if report.exists() else {}
    if done.returncode or found.get("photos") != number or found["errors"]:
        raise InputError(f"{SCRIPT}: ended with {done.returncode}: {done.stderr[-500:]}; correct it first")
    return seconds


def measure(folder, number=16000, rounds=3):
    """Rows (what, seconds, ratio, wanted ratio) of the check on `number` photos made of those in `folder`."""
    workers = count_cores()
    with tempfile.TemporaryDirectory(prefix="bench_check.") as room:
        photos = Path(room) / "images"
        link_photos(Path(folder), photos, number)
        decode_alone(photos, workers)  # every file is in memory now
        rivals, drafts, checks = [], [], []
        for _ in range(rounds):
            rivals.append(decode_alone(photos, workers))
            drafts.append(decode_alone(photos, workers, SAMPLED))
            checks.append(check(photos, workers, number))
            say(f"decode alone {rivals[-1]:.2f} s, check {checks[-1]:.2f} s, ratio {checks[-1] / rivals[-1]:.3f}")
    ratios = [mine / rival for mine, rival in zip(checks, rivals, strict=True)]
    draft = statistics.median(mine / rival for mine, rival in zip(drafts, rivals, strict=True))
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    what = f"{number} photos, {workers} processes"
    return [
        (f"decode alone, {what}", statistics.median(rivals), 1.0, None),
        (f"decode alone in the check's manner, {what}", statistics.median(drafts), draft, None),
        (f"check_dataset.py, {what}, ratios {spread}", statistics.median(checks), statistics.median(ratios), WANTED),
    ]


def main():
    args = parse_arguments()
    rows = measure(args.folder, args.photos, args.rounds)
    for what, seconds, ratio, wanted in rows:
        print(f"{what}: {seconds:.2f} s, ratio {ratio:.3f}{f' (wanted: at most {wanted})' if wanted else ''}")
    return int(any(wanted and ratio > wanted for _, _, ratio, wanted in rows))


if __name__ == "__main__":
    run(main)
