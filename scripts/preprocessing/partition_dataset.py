"""Splits a folder of images into a training and a test set: copies them into OUTPUT/train and OUTPUT/test.

    python partition_dataset.py -x -i images -r 0.1

The same images, ratio and seed give the same split on every computer. Copies of one photo, and images that share an
XML file, stay on one side. The split is noted in OUTPUT/split.json. The images themselves stay where they are.
"""

import argparse
import collections
import hashlib
import json
import math
import shutil
import unicodedata
from fractions import Fraction
from pathlib import Path

from tfod.console import InputError, make_parser, progress, run, say
from tfod.files import fingerprint, is_current, mark_current, sha256, write_text, write_whole
from tfod.images import list_images
from tfod.voc import find_images_of, list_annotations

SIDES = ("train", "test")
FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")  # what they leave in any folder that somebody looks into


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-i", "--imageDir", type=Path, default=Path(), help="folder of the images")
    parser.add_argument("-o", "--outputDir", type=Path, help="folder to make train/ and test/ in (default: imageDir)")
    parser.add_argument("-r", "--ratio", type=read_ratio, default="0.1", help="share of the images for the test set")
    parser.add_argument("-x", "--xml", action="store_true", help="copy the images' XML files, too")
    parser.add_argument("--seed", type=int, default=42, help="another number gives another split")
    return parser.parse_args()


def read_ratio(text):
    """The ratio as an exact fraction, so that 0.07 of 100 images are 7 and not, by rounding, 8."""
    try:
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < ratio < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1; 0.1 puts a tenth into the test set")
    return ratio


def find_annotations(folder, images):
    """The XML files of a folder: a dict XML path -> list of its images. Says how many images have none."""
    found, faults = find_images_of(list_annotations(folder), images)
    if faults:
        raise InputError(*faults)
    bare = len(set(images).difference(*found.values()))
    if bare:
        say(f"{bare} of {len(images)} images have no XML file; they are copied without one")
    return found


def group_images(images, annotations):
    """Lists of images that must stay together: the same bytes, the same stem or the same XML file."""
    leader = {image: image for image in images}

    def find_leader(image):
        while leader[image] != image:
            image = leader[image]
        return image

    def join(together):
        for image in together[1:]:
            first, second = sorted((find_leader(together[0]), find_leader(image)))
            leader[second] = first

    for alike in (lambda image: image.stem, _read_content(images)):
        classes = collections.defaultdict(list)
        for image in images:
            classes[alike(image)].append(image)
        for together in classes.values():
            join(together)
    for together in annotations.values():
        join(together)
    groups = collections.defaultdict(list)
    for image in images:
        groups[find_leader(image)].append(image)
    return list(groups.values())


def _read_content(images):
    """A function image -> what equals for images of the same bytes. Reads only files that share their size."""
    sizes = {image: image.stat().st_size for image in images}
    often = collections.Counter(sizes.values())
    return lambda image: sha256(image) if often[sizes[image]] > 1 else image


def choose_test_groups(groups, ratio, seed):
    """The groups for the test set: together `ratio` of the images, rounded up, or as near as whole groups come.

    Each group's place in the draw depends on its name and the seed only; adding photos moves few of the others.
    """
    number = sum(map(len, groups))

    def draw(group):
        name = unicodedata.normalize("NFC", group[0].name)  # macOS and Linux may write the same name in two ways
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    groups = sorted(groups, key=draw)
    # reachable[i]: the numbers of images that groups[i:] can add up to, as the set bits of an integer
    reachable = [1]
    for group in reversed(groups):
        reachable.insert(0, reachable[0] | reachable[0] << len(group))
    sums = [total for total in range(1, number) if reachable[0] >> total & 1]
    wanted = math.ceil(ratio * number)
    rest = min(sums, key=lambda total: (abs(total - wanted), total))
    chosen = []
    for i, group in enumerate(groups):
        if rest >= len(group) and reachable[i + 1] >> (rest - len(group)) & 1:
            chosen.append(group)
            rest -= len(group)
    return chosen


def split(images, annotations, ratio, seed):
    """A dict side -> sorted list of the image and XML paths to copy there."""
    groups = group_images(images, annotations)
    if len(groups) < 2:
        alike = "" if len(images) < 2 else " that are no copies of each other"
        raise InputError(f"{images[0].parent}: two images{alike} are needed at least for two sets; add images")
    test = {image for group in choose_test_groups(groups, ratio, seed) for image in group}
    files = {side: [image for image in images if (image in test) == (side == "test")] for side in SIDES}
    for xml, its_images in annotations.items():
        files["test" if its_images[0] in test else "train"].append(xml)
    return {side: sorted(paths) for side, paths in files.items()}


def check_former_files(folder, output, files):
    """Raises InputError for each file in the former train/ and test/ that would be lost: it came from elsewhere, or
    somebody worked on it there."""
    try:
        former = json.loads((output / "split.json").read_text(encoding="utf-8"))
        known = {name for side in SIDES for name in former[side]}
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    known |= {path.name for paths in files.values() for path in paths}
    faults = []
    for side in SIDES:
        for path in sorted((output / side).rglob("*")):
            if path.is_dir() or path.name in FILE_MANAGERS:
                continue
            source = folder / path.name
            if path.parent != output / side or (path.name not in known and not source.exists()):
                faults.append(f"{path}: is not from {folder} and would be lost; move it there, or elsewhere")
            elif source.exists() and path.stat().st_mtime_ns > source.stat().st_mtime_ns and not _equal(path, source):
                faults.append(f"{path}: was changed after the split and would be lost; copy it to {source} first")
    if faults:
        raise InputError(*faults)


def _equal(path, other):
    return path.read_bytes() == other.read_bytes()


def main():
    args = parse_arguments()
    folder = args.imageDir.resolve()
    output = (args.outputDir or args.imageDir).resolve()
    for side in SIDES:
        if folder.is_relative_to(output / side):
            raise InputError(f"{args.imageDir}: lies in the output folder {side}/; give the folder of all images")
    images = list_images(args.imageDir)
    if not images:
        raise InputError(f"{args.imageDir}: there are no images; give the folder that holds them with -i")
    annotations = find_annotations(args.imageDir, images) if args.xml else {}
    say(f"seed {args.seed}")

    made = [output / name for name in (*SIDES, "split.json")]
    state = fingerprint(
        [path.resolve() for path in [*images, *annotations]], ratio=str(args.ratio), seed=args.seed, xml=args.xml
    )
    if all(is_current(path, state) for path in made):
        say(f"{output}: train/ and test/ are up to date")
        return
    files = split(images, annotations, args.ratio, args.seed)
    check_former_files(args.imageDir, output, files)

    names = {side: [path.name for path in paths] for side, paths in files.items()}
    with write_whole(output / "train") as train, write_whole(output / "test") as test:
        train.mkdir()
        test.mkdir()
        copies = [(path, fresh) for side, fresh in zip(SIDES, (train, test), strict=True) for path in files[side]]
        for path, fresh in progress(copies, "copying"):
            shutil.copy2(path, fresh / path.name)
    note = {"seed": args.seed, "ratio": float(args.ratio), **names}
    write_text(output / "split.json", json.dumps(note, indent=1, ensure_ascii=False) + "\n")
    for path in made:
        mark_current(path, state)
    for side in SIDES:
        number = len(set(images).intersection(files[side]))
        print(f"{side}: {number} images in {output / side}")


if __name__ == "__main__":
    run(main)
