"""Reads TFRecord files back, checks every example as training will see it, and prints what they hold.

    python inspect_tfrecord.py -l annotations/label_map.pbtxt annotations/train.record annotations/test.record

A set of shards is named without its numbers, as annotations/train.record, or by a pattern. Looked at are the
checksums, the image's pixels and size, the boxes and the classes; all faults are told at once. With --draw the first
images are drawn with their boxes.
"""

import collections
import hashlib
import math
import time
from pathlib import Path

from tfod.data.images import decode_image
from tfod.data.label_map import read_label_map
from tfod.data.tfrecord import find_records, find_records_of, parse_example, read_record, read_records
from tfod.utils.console import InputError, make_parser, make_printable, run, say, show_progress
from tfod.utils.drawing import draw_detections
from tfod.utils.files import find_foreign, mark_current, write_whole
from tfod.utils.parallel import count_cores, map_in_processes

MAKER = "inspect_tfrecord"  # of the output, as its stamp says
CHUNK = 16  # records that a worker checks between two messages
EDGES = ("ymin", "xmin", "ymax", "xmax")
REQUIRED = ("image/encoded", "image/format", "image/height", "image/width")


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("records", nargs="+", help="TFRecord files, sets of shards or patterns")
    parser.add_argument("-l", "--labels_path", type=Path, required=True, help="label map, a .pbtxt file")
    parser.add_argument("--draw", type=int, default=0, metavar="N", help="draw the first N images of each set")
    parser.add_argument("-o", "--output", type=Path, help="folder to write the drawn images into, whole")
    parser.add_argument("--num_workers", type=int, help="processes (default: the cores)")
    args = parser.parse_args()
    if args.num_workers is not None and args.num_workers < 1:
        parser.error("--num_workers must be 1 or more")
    if args.draw < 0 or (args.draw > 0) != bool(args.output):
        parser.error("--draw N and -o FOLDER go together")
    return args


def get_boxes(features):
    """The boxes of an example, a list of `[ymin, xmin, ymax, xmax]` normalized."""
    return list(zip(*(features.get(f"image/object/bbox/{edge}", []) for edge in EDGES), strict=True))


def get_texts(features, key):
    return [value.decode(errors="replace") for value in features.get(key, [])]


def check_image_of(features):
    """A list of what is wrong with the image of an example."""
    missing = [key for key in REQUIRED if len(features.get(key, [])) != 1]
    if missing:
        return [f"{key} is missing" for key in missing]
    (encoded,), (kind,), (height,), (width,) = (features[key] for key in REQUIRED)
    try:
        _, stored = decode_image("image/encoded", encoded)
    except InputError as error:
        return [fault.partition(";")[0] for fault in error.faults]
    wrong = []
    if {"MPO": "JPEG"}.get(stored.format, stored.format).lower() != kind.decode(errors="replace"):
        wrong.append(f"image/format is {kind.decode(errors='replace')!r}, but image/encoded is {stored.format}")
    if stored.size != (width, height):
        wrong.append(
            f"image/width and height are {width} x {height}, but the image has {stored.size[0]} x {stored.size[1]}"
        )
    if stored.orientation != 1:
        wrong.append(f"the image is to be turned (EXIF orientation {stored.orientation}), which TensorFlow does not do")
    if features.get("image/key/sha256", [b""])[0] not in (b"", hashlib.sha256(encoded).hexdigest().encode()):
        wrong.append("image/key/sha256 is not that of image/encoded")
    return wrong


def check_boxes_of(features, names_to_ids):
    """A list of what is wrong with the boxes and classes of an example."""
    keys = [f"image/object/{key}" for key in (*(f"bbox/{edge}" for edge in EDGES), "class/label", "class/text")]
    keys += [f"image/object/{key}" for key in ("difficult", "truncated", "view") if features.get(f"image/object/{key}")]
    lengths = [len(features.get(key, [])) for key in keys]
    if len(set(lengths)) > 1:
        return [", ".join(f"{key} has {length} values" for key, length in zip(keys, lengths, strict=True))]
    wrong = []
    names = get_texts(features, "image/object/class/text")
    labels = features.get("image/object/class/label", [])
    ids_to_names = {number: name for name, number in names_to_ids.items()}
    for number, (box, name, label) in enumerate(zip(get_boxes(features), names, labels, strict=True), start=1):
        ymin, xmin, ymax, xmax = box
        place = f"box {number} ({', '.join(f'{edge:.4g}' for edge in box)})"
        if not all(math.isfinite(edge) and 0 <= edge <= 1 for edge in box):
            wrong.append(f"{place} is not within 0 to 1 (ymin, xmin, ymax, xmax)")
        elif ymin >= ymax or xmin >= xmax:
            wrong.append(f"{place} has no area (ymin, xmin, ymax, xmax)")
        if label not in ids_to_names:
            wrong.append(f"{place} has the class id {label}, which the label map lacks")
        elif name not in names_to_ids or names_to_ids[name] != label:
            wrong.append(f"{place} is {name!r} with the id {label}, which is {ids_to_names[label]!r} in the label map")
    return wrong


def cut_file(path, faults):
    """Yields (path, list of records as `find_records` has them) of each chunk; notes a fault at a broken frame."""
    chunk = []
    try:
        for record in find_records(path):
            chunk.append(record)
            if len(chunk) == CHUNK:
                yield path, chunk
                chunk = []
    except InputError as error:
        faults += error.faults
    if chunk:
        yield path, chunk


def inspect(paths, names_to_ids, workers):
    """(Counter of images, negatives, bytes and difficult boxes, Counter of boxes by class, list of faults)."""

    def check(task):
        path, records = task
        totals, classes, faults = collections.Counter(), collections.Counter(), []
        with path.open("rb") as file:
            for number, start, stop in records:
                totals.update(images=1, bytes=stop - start + 16)
                try:
                    features = parse_example(read_record(file, path, number, start, stop))
                except InputError as error:
                    faults += error.faults
                    continue
                except ValueError as error:
                    faults.append(f"{path}: record {number + 1}, at byte {start - 12}: {error}; make the records again")
                    continue
                name = ", ".join(get_texts(features, "image/filename"))
                for wrong in check_image_of(features) + check_boxes_of(features, names_to_ids):
                    faults.append(f"{path}: record {number + 1} ({name}): {wrong}; make the records again")
                names = get_texts(features, "image/object/class/text")
                classes.update(names)
                totals.update(negatives=not names, difficult=sum(features.get("image/object/difficult", [])))
        return totals, classes, faults

    faults, totals, classes = [], collections.Counter(), collections.Counter()
    chunks = (chunk for path in paths for chunk in cut_file(path, faults))
    results = map_in_processes(check, chunks, workers)
    with show_progress("inspecting", sum(path.stat().st_size for path in paths)) as update:
        for its_totals, its_classes, its_faults in results:
            totals.update(its_totals)
            classes.update(its_classes)
            faults += its_faults
            update(totals["bytes"])
    return totals, classes, faults


def draw_images(folder, paths, number):
    """Draws the first images of a set of records into `folder`, named by the file, the record and the image."""
    for path in paths:
        for position, record in enumerate(read_records(path), start=1):
            if number == 0:
                return
            number -= 1
            features = parse_example(record)
            image, _ = decode_image(path, features["image/encoded"][0])
            names, ids = get_texts(features, "image/object/class/text"), features.get("image/object/class/label", [])
            said = Path("".join(get_texts(features, "image/filename")[:1])).name
            picture = draw_detections(image, get_boxes(features), names, ids)
            picture.save(folder / f"{path.name}_{position:05d}_{Path(said).stem}.jpg", quality=90)


def format_totals(name, paths, totals, classes, names_to_ids):
    names = [*names_to_ids, *sorted(set(classes) - set(names_to_ids))]
    return (
        f"{name}: {totals['images']} images ({totals['negatives']} negatives), {classes.total()} boxes"
        f" ({', '.join(f'{make_printable(each)} {classes[each]}' for each in names)}; {totals['difficult']} difficult),"
        f" {totals['bytes'] / 1e6:.1f} MB in {len(paths)} file{'s' * (len(paths) != 1)}"
    )


def main():
    started = time.monotonic()
    args = parse_arguments()
    names_to_ids, sets, faults = {}, {}, []
    try:
        names_to_ids = read_label_map(args.labels_path)
    except InputError as error:
        faults += error.faults
    for name in args.records:
        try:
            sets[name] = find_records_of(name)
        except InputError as error:
            faults += error.faults
    if args.output:
        faults += find_foreign(args.output, MAKER, "name a new folder with -o")
    if faults:
        raise InputError(*faults)
    lines, images = [], 0
    for name, paths in sets.items():
        totals, classes, its_faults = inspect(paths, names_to_ids, args.num_workers or count_cores())
        lines.append(format_totals(name, paths, totals, classes, names_to_ids))
        images += totals["images"]
        faults += its_faults
        if not totals["images"] and not its_faults:
            faults.append(f"{name}: holds no record; make the records again")
    print("\n".join(lines))
    if faults:
        raise InputError(*faults)
    if args.draw:
        with write_whole(args.output, MAKER) as fresh:
            fresh.mkdir()
            for paths in sets.values():
                draw_images(fresh, paths, args.draw)
            number = len(list(fresh.iterdir()))
        mark_current(args.output, None, MAKER)
        print(f"Wrote {args.output}: {number} images with their boxes")
    say(f"{images} examples are sound, {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    run(main)
