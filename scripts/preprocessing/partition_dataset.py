"""Splits a folder of images into a training and a test set: copies them into OUTPUT/train and OUTPUT/test.

    python partition_dataset.py -x -i images -r 0.1

The same images, settings and seed give the same split on every computer. Copies of one photo, images that share an
XML file, and (with --group) frames of one scene stay on one side. With -x, every class gets its share of each side.
The images themselves stay where they are.

OUTPUT/split.json notes which file went where. A later run keeps to it: new photos are shared out so that the ratio
holds again, and no photo of before changes sides, under a new name neither. --fresh draws a new split.
"""

import argparse
import collections
import contextlib
import math
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path

from tfod.data.images import list_images
from tfod.data.split import REST, group_images, share_out
from tfod.data.split_manifest import (
    SIDES,
    add_sums,
    find_former_sides,
    format_manifest,
    read_manifest,
    refuse_lost_files,
    verify,
)
from tfod.data.voc import find_images_of, list_annotations, read_annotation
from tfod.utils.console import InputError, add_flag, make_parser, progress, run, say
from tfod.utils.files import fingerprint, is_current, mark_current, write_text, write_whole

MAKER = "partition_dataset"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-i", "--imageDir", type=Path, default=Path(), help="folder of the images")
    parser.add_argument("-o", "--outputDir", type=Path, help="folder to make train/ and test/ in (default: imageDir)")
    parser.add_argument("-r", "--ratio", type=read_ratio, default="0.1", help="share of the images for the test set")
    parser.add_argument("-x", "--xml", action="store_true", help="copy the images' XML files, too")
    parser.add_argument("--seed", type=int, default=42, help="another number gives another split")
    parser.add_argument("--val", type=read_ratio, metavar="RATIO", help="share of the images for a third set, val/")
    add_flag(parser, "stratify", None, "share out each class, by the rarest one in each image (default: as -x)")
    parser.add_argument(
        "--group",
        type=read_pattern,
        metavar="REGEX",
        help="keep together the images for which this finds the same text in the file name: its first (group), if it"
        r" has one. '^(.+)_\d+' takes park_001.jpg and park_002.jpg as one scene",
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="hard links instead of copies: no disk space, but what you edit in train/ or test/ is the photo itself",
    )
    todo = parser.add_mutually_exclusive_group()
    todo.add_argument(
        "--fresh",
        action="store_true",
        help="draw a new split of all images, whatever OUTPUT/split.json says; then train again, too",
    )
    todo.add_argument("--remove", action="store_true", help="remove the split, if images/ holds all that is in it")
    todo.add_argument("--verify", action="store_true", help="only look whether the split is as OUTPUT/split.json says")
    args = parser.parse_args()
    if args.val and args.ratio + args.val >= 1:
        parser.error(f"--ratio and --val take {float(args.ratio + args.val):g} of the images; leave some for train/")
    if args.stratify and not args.xml:
        parser.error("--stratify needs -x: the XML files name the classes")
    if args.stratify is None:
        args.stratify = args.xml
    return args


def read_ratio(text):
    """The ratio as an exact fraction, so that 0.07 of 100 images are 7 and not, by rounding, 8."""
    try:
        ratio = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < ratio < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1; 0.1 puts a tenth into the set")
    return ratio


def read_pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def find_annotations(folder, images):
    """The XML files of a folder: a dict XML path -> list of its images. Says how many images have none."""
    found, faults = find_images_of(list_annotations(folder), images)
    if faults:
        raise InputError(*faults)
    bare = len(set(images).difference(*found.values()))
    if bare:
        say(f"{bare} of {len(images)} images have no XML file; they are copied without one")
    return found


def find_together(images, sums, annotations, pattern):
    """Lists of images that must stay on one side: the same bytes, stem, XML file, or scene in the file name."""
    alike = collections.defaultdict(list)
    for image in images:
        alike["bytes", sums[image]].append(image)
        alike["stem", image.stem].append(image)
        match = pattern and pattern.search(image.name)
        scene = match and match[1 if pattern.groups else 0]
        if scene:
            alike["scene", scene].append(image)
        elif pattern:
            alike["no scene", ""].append(image)
    lone = alike.pop(("no scene", ""), [])
    if len(lone) == len(images):
        raise InputError(f"{lone[0]}: --group {pattern.pattern} finds no scene in this or any other name; correct it")
    if lone:
        say(f"--group finds no scene in {len(lone)} of {len(images)} names, first {lone[0].name}; each is its own")
    return [*alike.values(), *annotations.values()]


def read_classes(annotations):
    """A dict image -> set of the class names in its XML file. What can't be read has none: `make check` names it."""
    classes, broken = collections.defaultdict(set), 0
    for xml, its_images in annotations.items():
        try:
            names = {box.name for box in read_annotation(xml).boxes}
        except InputError:
            names = set()
            broken += 1
        for image in its_images:
            classes[image] |= names
    if broken:
        say(
            f"warning: {broken} XML files have faults; their images are shared out as if without boxes (see make check)"
        )
    return classes


def read_former(note, fresh, sides):
    """(settings or None, dict side -> dict file name -> sha256 or None) of the former split; with `fresh` a damaged
    note counts as none.

    Where there is none, as after the tutorial's own script, the folders themselves say on which side a photo is.
    """
    try:
        settings, former = read_manifest(note)
    except InputError:
        if not fresh or note.is_dir():
            raise
        return None, {}
    if settings is not None or fresh:
        return settings, former
    folders = {side: note.parent / side for side in SIDES if (note.parent / side).is_dir()}
    former = {side: dict.fromkeys(path.name for path in folder.iterdir()) for side, folder in folders.items()}
    if not former.get("train") or not former.get("test"):
        return None, {}
    if former.get("val") and "val" not in sides:
        what = "holds photos, and this call has no --val; add it, or --fresh (make: FRESH=1) to draw a new split"
        raise InputError(f"{folders['val']}: {what}")
    say(f"{note}: there is none; each photo stays on the side where it lies")
    return None, former


def list_settings(args):
    """What decides where a photo goes, as split.json notes it."""
    return {
        "seed": args.seed,
        "ratio": float(args.ratio),
        **({"val_ratio": float(args.val)} if args.val else {}),
        **({"group": args.group.pattern} if args.group else {}),
        "stratify": args.stratify,
    }


def check_settings(path, former, settings):
    """Raises InputError if a former split, noted in `path`, was drawn in another way."""
    faults = []
    for name, flag in (("seed", "--seed"), ("ratio", "-r"), ("val_ratio", "--val"), ("group", "--group")):
        before, now = former.get(name), settings.get(name)
        if before != now:
            was, called = (f"without {flag}" if value is None else f"with {flag} {value}" for value in (before, now))
            faults.append(
                f"{path}: the split was drawn {was}, and this call is {called}; call it as before to keep each photo"
                f" on its side, or add --fresh (make: FRESH=1) to draw a new split"
            )
    if faults:
        raise InputError(*faults)


def find_sides(note, groups, former):
    """Each group's side in the former split, or None for a group of new images only.

    `former`: dict image -> side. Raises InputError with each group that has images on two sides.
    """
    sides, faults = [], []
    for group in groups:
        members = {former[image]: image for image in reversed(group) if image in former}
        if len(members) > 1:
            places = " and ".join(f"{side}/{image.name}" for side, image in sorted(members.items()))
            faults.append(
                f"{note}: {places} now belong together (the same photo, name, XML file or scene); take one away,"
                f" or add --fresh (make: FRESH=1) to draw a new split"
            )
        sides.append(next(iter(members), None))
    if faults:
        raise InputError(*faults)
    return sides


def split(images, annotations, groups, former_sides, ratios, seed, classes):
    """A dict side -> sorted list of the image and XML paths to put there."""
    shares = share_out(groups, former_sides, ratios, seed, classes)
    place = {image: side for side, its_groups in shares.items() for group in its_groups for image in group}
    missing = [side for side in shares if not shares[side]]
    if missing:
        folder = images[0].parent
        if any(former_sides):
            what = f"no image is left for {', '.join(missing)}; add images, or draw a new split with --fresh"
        else:
            number = {2: "two", 3: "three"}[len(shares)]
            alike = "" if len(images) < len(shares) else " that do not belong together"
            what = f"{number} images{alike} are needed at least for {number} sets; add images"
        raise InputError(f"{folder}: {what}")
    for side, ratio in ratios.items():
        number, wanted = sum(map(len, shares[side])), math.ceil(ratio * len(images))
        if number != wanted:
            why = "groups stay whole, and each set needs one"
            if any(former_sides):
                why = "no photo changes sides (--fresh draws a new split)"
            say(f"{side}: {number} images instead of {wanted}, since {why}")
    files = {side: [] for side in SIDES if side in shares}
    for image in images:
        files[place[image]].append(image)
    for xml, its_images in annotations.items():
        files[place[its_images[0]]].append(xml)
    return {side: sorted(paths) for side, paths in files.items()}


def say_missing_classes(files, classes):
    """Says which classes are not on both sides, train and test: they can't be learned, or not be measured."""
    counts = {side: collections.Counter(n for path in files[side] for n in classes.get(path, ())) for side in files}
    lacking = []
    for name in sorted(set().union(*counts.values())):
        number = sum(counter[name] for counter in counts.values())
        absent = [side for side in ("train", "test") if not counts[side][name]]
        if absent:
            lacking.append(f"{name} ({number} {'image' if number == 1 else 'images'}) is not in {' or '.join(absent)}")
    if lacking:
        say(f"warning: {'; '.join(lacking)}")


def put_files(files, output, link):
    """Makes the folders output/SIDE of `files`, dict side -> list of paths, of copies or hard links."""
    with contextlib.ExitStack() as whole:
        places = {side: whole.enter_context(write_whole(output / side)) for side in files}
        for place in places.values():
            place.mkdir()
        todo = [(path, places[side] / path.name) for side, paths in files.items() for path in paths]
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


def remove_split(folder, output, former):
    """Removes the sides' folders in `output` and split.json. Raises InputError where `folder` lacks what is in them."""
    sums = add_sums([*list_images(folder), *list_annotations(folder)])
    refuse_lost_files(folder, output, SIDES, former, sums)
    note = output / "split.json"
    there = [path for path in (*(output / side for side in SIDES), note) if path.exists()]
    for path in there:
        print(f"removing {path}")
        path.unlink() if path == note else shutil.rmtree(path)
    for path in (note, *(output / side for side in SIDES)):  # stamps of the sides are of before
        path.with_name(f".{path.name}.stamp").unlink(missing_ok=True)
    if not there:
        print(f"nothing to remove: there is no split in {output}")


def main():
    args = parse_arguments()
    output = Path(os.path.realpath(args.outputDir or args.imageDir))  # resolve() raises at a link that leads to itself
    if os.path.lexists(output) and not output.is_dir():
        raise InputError(f"{args.outputDir or args.imageDir}: is not a folder; give the name of one")
    note = output / "split.json"
    if args.verify:
        numbers = verify(args.imageDir, output, args.xml)
        print(f"verified: {', '.join(f'{number} {side}' for side, number in numbers.items())}")
        return

    if args.remove:
        remove_split(args.imageDir, output, read_former(note, True, SIDES)[1])
        return
    ratios = {"test": args.ratio} | ({"val": args.val} if args.val else {})
    sides = [side for side in SIDES if side in (REST, *ratios)]
    former_settings, former = read_former(note, args.fresh, sides)
    stale = [side for side in former if side not in sides]  # a former val/
    for side in (*sides, *stale):
        if Path(os.path.realpath(args.imageDir)).is_relative_to(output / side):
            raise InputError(f"{args.imageDir}: lies in the output folder {side}/; give the folder of all images")
    images = list_images(args.imageDir)
    if not images:
        raise InputError(f"{args.imageDir}: there are no images; give the folder that holds them with -i")
    annotations = find_annotations(args.imageDir, images) if args.xml else {}
    say(f"seed {args.seed}")

    settings = list_settings(args)
    if former_settings is not None and not args.fresh:
        check_settings(note, former_settings, settings)
    made = [*(output / side for side in sides), note]
    state = fingerprint([*images, *annotations], **settings, xml=args.xml, link=args.link)
    current = is_current(note, state, MAKER)
    up_to_date = f"{output}: {', '.join(f'{side}/' for side in sides[:-1])} and {sides[-1]}/ are up to date"
    if current and not args.fresh:
        say(up_to_date)
        return

    sums = add_sums([*images, *annotations])
    groups = group_images(images, find_together(images, sums, annotations, args.group))
    known = {} if args.fresh else find_former_sides(former, {image: sums[image] for image in images})
    classes = read_classes(annotations) if args.stratify else {}
    files = split(images, annotations, groups, find_sides(note, groups, known), ratios, args.seed, classes)
    text = format_manifest(settings, files, sums)
    if current and text == note.read_text(encoding="utf-8"):
        say(up_to_date)
        return
    refuse_lost_files(args.imageDir, output, [*sides, *stale], former, sums)
    if 0 < len(known) < len(images):
        say(f"{len(images) - len(known)} new images are shared out, the others stay on their sides")

    put_files(files, output, args.link)
    for side in stale:
        if (output / side).exists():
            shutil.rmtree(output / side)
            say(f"{output / side}: removed, since this split has no --val")
    # Last, so that after a kill between two folders the former note still knows each photo's side, and a re-run mends.
    write_text(note, text)
    mark_current(note, state, MAKER, made)
    say_missing_classes(files, classes)
    for side in sides:
        number = len(set(images).intersection(files[side]))
        print(f"{side}: {number} images in {output / side}")


if __name__ == "__main__":
    run(main)
