"""Splits a folder of images into subsets for training and testing: copies them into OUTPUT/train and OUTPUT/test.

    python partition_dataset.py -x -i images -r 0.1

The same images, settings and seed give the same split on every computer. Copies of one photo, images that share an
XML file, and (with --group) frames of one scene stay in one subset. With -x, every class gets its share of each subset.
The images themselves stay where they are.

OUTPUT/split.json notes which file went where. A later run keeps to it: new photos are shared out so that the ratio
holds again, and no photo of before changes subsets, under a new name neither. --fresh draws a new split.
"""

import argparse
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path

from tfod.data import faulty, split, split_manifest
from tfod.data.image_folders import find_files, find_listed
from tfod.utils.console import InputError, add_flag, make_parser, run, say
from tfod.utils.files import fingerprint, is_current, mark_current, write_text

MAKER = "partition_dataset"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-i", "--imageDir", type=Path, default=Path(), help="folder of the images")
    parser.add_argument("-o", "--outputDir", type=Path, help="folder to make train/ and test/ in (default: imageDir)")
    parser.add_argument("-r", "--ratio", type=read_ratio, default="0.1", help="share of the images for testing, test/")
    parser.add_argument("-x", "--xml", action="store_true", help="copy the images' XML files, too")
    parser.add_argument("--seed", type=int, default=42, help="another number gives another split")
    parser.add_argument("--val", type=read_ratio, metavar="RATIO", help="share of the images for a third subset, val/")
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
    faulty.add_faulty_flag(parser, "list of what was left out (default: faulty.csv in outputDir)")
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
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1; 0.1 puts a tenth into the subset")
    return ratio


def read_pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from None


def list_settings(args):
    """What decides where a photo goes, as split.json notes it."""
    settings = {"seed": args.seed, "ratio": float(args.ratio), "stratify": args.stratify}
    settings |= {"val_ratio": float(args.val)} if args.val else {}
    return settings | ({"group": args.group.pattern} if args.group else {})


def refuse_outputs_around(folder, outputs):
    for output in outputs:
        if Path(os.path.realpath(folder)).is_relative_to(output):
            raise InputError(f"{folder}: lies in the output folder {output.name}/; give the folder of all images")


def make_split(args, folder, output):
    """Shares out what is not shared out yet, and copies all images of `folder` into their subsets in `output`."""
    # What there is: the former split, the images and their XML files.
    note = output / "split.json"
    ratios = {"test": args.ratio} | ({"val": args.val} if args.val else {})
    subsets = [subset for subset in split.SUBSETS if subset in (split.REST, *ratios)]
    settings = list_settings(args)
    former = split_manifest.read_former(note, subsets, settings, args.fresh)
    stale = [subset for subset in former if subset not in subsets]  # a former val/
    refuse_outputs_around(folder, [output / subset for subset in (*subsets, *stale)])
    images, annotations, left_out = find_files(folder, args.xml, args.faulty)
    say(f"seed {args.seed}")
    rows = faulty.list_rows("split", left_out, {})
    list_path = args.faulty_list or output / faulty.NAME
    faulty.read_rows(list_path)  # another file of that name is not to be lost
    faulty.say_rows(rows, len(images) + len(left_out), list_path)
    state = fingerprint([*images, *annotations], **settings, xml=args.xml, link=args.link)
    current = is_current(note, state, MAKER)
    up_to_date = f"{output}: {', '.join(f'{subset}/' for subset in subsets[:-1])} and {subsets[-1]}/ are up to date"
    if current and not args.fresh:
        faulty.note_rows(list_path, "split", rows)
        say(up_to_date)
        return

    # Where each image goes: what belongs together, then where it was, then by the draw.
    sums = split_manifest.add_sums([*images, *annotations])
    groups = split.group_images(images, split.find_together(images, sums, annotations, args.group))
    known = split_manifest.find_former_subsets(former, {image: sums[image] for image in images})
    known = {} if args.fresh else find_listed(folder, images, subsets) | known
    classes = split.read_classes(annotations, args.faulty == "fix") if args.stratify else {}
    shares = split.share_out(groups, split_manifest.find_group_subsets(note, groups, known), ratios, args.seed, classes)
    split.check_shares(shares, ratios, bool(known), folder)
    files = split.list_subset_files(shares, annotations)
    text = split_manifest.format_manifest(settings, files, sums)
    if current and text == note.read_text(encoding="utf-8"):
        say(up_to_date)
        return

    # Copies, and the note of them.
    split_manifest.refuse_lost_files(folder, output, [*subsets, *stale], former, sums)
    if 0 < len(known) < len(images):
        say(f"{len(images) - len(known)} new images are shared out, the others stay in their subsets")
    split_manifest.put_files(files, output, args.link)
    for subset in stale:
        if (output / subset).exists():
            shutil.rmtree(output / subset)
            say(f"{output / subset}: removed, since this split has no --val")
    faulty.note_rows(list_path, "split", rows)
    # Last, so that after a kill between two folders the former note still knows each photo's subset; a re-run mends.
    write_text(note, text)
    mark_current(note, state, MAKER, [*(output / subset for subset in subsets), note])
    split.say_missing_classes(files, classes)
    for subset in subsets:
        print(f"{subset}: {sum(map(len, shares[subset]))} images in {output / subset}")


def main():
    args = parse_arguments()
    folder = args.imageDir
    output = Path(os.path.realpath(args.outputDir or folder))  # resolve() raises at a link that leads to itself
    if os.path.lexists(output) and not output.is_dir():
        raise InputError(f"{args.outputDir or folder}: is not a folder; give the name of one")
    if args.verify:
        numbers = split_manifest.verify(folder, output, args.xml)
        print(f"verified: {', '.join(f'{number} {subset}' for subset, number in numbers.items())}")
        return
    if args.remove:
        split_manifest.remove_split(folder, output)
        return

    if ready := split_manifest.take_ready_made(folder, output, MAKER):
        for subset, number in ready.items():
            print(f"{subset}: {number} images in {output / subset}")
        return
    make_split(args, folder, output)


if __name__ == "__main__":
    run(main)
