"""Converts boxes between labelImg's VOC XML, COCO JSON, YOLO txt and the CSV of generate_tfrecord.py -c.

LabelMe's, CVAT's, Label Studio's, Supervisely's and CreateML's own files and Open Images' CSV are read as well.
`import_dataset.py` (make import) finds out the format of a folder or zip and calls the same readers.

    python convert_annotations.py --from coco -a instances.json --to voc -i images -o images
    python convert_annotations.py --from voc --to yolo -i images/train -o labels/train -l annotations/label_map.pbtxt
    python convert_annotations.py --from yolo -a labels -l data.yaml --to voc -i images -o images

Boxes stay where they are, and images without boxes stay such; images in sub-folders are named by their path below the
image folder. What a format can't hold is said. The package globox knows the formats: MIT licence, maintained, 0.4 MB,
and it needs nothing that is not here anyway; Datumaro, which converts as well, needs other versions of pandas, Pillow
and OpenCV than TensorFlow's environment here has, and 180 MB more.
"""

import collections
import filecmp
from pathlib import Path, PurePosixPath

from tfod.data.format_readers import FOLDER_FORMATS, READERS
from tfod.data.formats import CLASSES_FILE, WRITERS, list_images_below, read_classes
from tfod.utils.console import InputError, find_hidden, make_parser, run, say
from tfod.utils.files import make_room

FOLDERS = ("voc", "yolo")  # the formats of which each image has a file of its own
LACKING = {  # what each format has no place for
    "voc": ("classes",),
    "coco": (),
    "yolo": ("flags",),
    "csv": ("classes", "flags", "negatives"),
}


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--from", dest="source", required=True, choices=READERS, help="format to read")
    parser.add_argument("--to", dest="target", required=True, choices=WRITERS, help="format to write")
    parser.add_argument("-i", "--image_dir", type=Path, required=True, help="folder of the images")
    parser.add_argument(
        "-a",
        "--annotations",
        type=Path,
        help="file to read, or, for voc, yolo, labelme and supervisely, the folder of the files (default: image_dir)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write; for voc and yolo a folder")
    parser.add_argument(
        "-l",
        "--labels",
        type=Path,
        help="the classes in their order: label map (.pbtxt), data.yaml, or a name a line; to read YOLO, the default is"
        f" {CLASSES_FILE} beside its files, otherwise the classes are in the file's order, or sorted",
    )
    parser.add_argument(
        "--allow_unlabelled",
        "--allow-unlabelled",
        action="store_true",
        help="take images of which nothing is said as images without boxes, which otherwise are left out",
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there and differ")
    args = parser.parse_args()
    if args.source == args.target:
        parser.error(f"--from and --to are both {args.source}")
    if args.annotations is None:
        if args.source not in FOLDER_FORMATS:
            parser.error(f"--from {args.source} needs -a, the file to read")
        args.annotations = args.image_dir
    return args


def find_labels(args):
    """(dict class name -> id or None, the file that says so)."""
    path = args.labels
    if path is None and args.source == "yolo":
        path = args.annotations / CLASSES_FILE
        if args.annotations.is_dir() and not path.is_file():
            raise InputError(f"{path}: is not there; name the classes' file with --labels")
    return (read_classes(path) if path else None), path


def order_classes(reading, names_to_ids, path):
    """The dict class name -> id of all classes, in their order; adds a fault for each that the file `path` lacks."""
    places = collections.defaultdict(list)
    for image in reading.images:
        for box in image.boxes:
            places[box.name].append(image.name)
    if names_to_ids is None:
        names = reading.classes
        if names is None:  # the order that generate_label_map.py gives them
            names = sorted(places, key=lambda name: (name.casefold(), name))
        names_to_ids = {name: number for number, name in enumerate(names, 1)}
    for name in places:
        if name not in names_to_ids:
            what = f"lacks the class {name!r} of {len(places[name])} boxes, first in {places[name][0]}; add it"
            reading.faults.append(f"{path}: {what}, or correct the boxes")
    for name in names_to_ids:
        if find_hidden(name):
            reading.faults.append(f"{path}: the class {name!r} holds a character that can't be seen; rename it")
    return names_to_ids


def find_name_faults(images, suffix):
    """A fault for each two images whose files of the target format would be one, and for names that XML can't hold."""
    owners, faults = {}, []
    for image in images:
        if suffix == ".xml" and find_hidden(image.name):
            faults.append(f"{image.name!r}: the name holds a character that can't be seen; rename the image")
        name = str(PurePosixPath(image.name).with_suffix(suffix))
        if name in owners:
            faults.append(f"{image.name}: its {suffix} file would be that of {owners[name]}, too; rename one of them")
        owners.setdefault(name, image.name)
    return faults


def find_losses(reading, names_to_ids, target):
    """Lines on what the format `target` can't hold of what was read."""
    boxes = [box for image in reading.images for box in image.boxes]
    losses = []
    if "flags" in LACKING[target]:
        for flag in ("difficult", "truncated"):
            if number := sum(getattr(box, flag) for box in boxes):
                losses.append(f"{target} can't say that boxes are {flag}: {number} were")
    empty = sum(not image.boxes for image in reading.images)
    if "negatives" in LACKING[target] and empty:
        losses.append(f"{target} can't name images without boxes: {empty}; read it with --allow_unlabelled")
    used = sorted({box.name for box in boxes}, key=lambda name: (name.casefold(), name))
    if "classes" in LACKING[target] and list(names_to_ids) != used:
        order = ", ".join(names_to_ids)
        losses.append(f"{target} can't hold the list of classes and its order; convert back with --labels: {order}")
    return losses


def install(fresh, output, force):
    """Moves the files of `fresh`, a file or a folder, to `output`, each whole. Returns how many there were to move.

    Raises InputError, and moves nothing, if another file of that name is there, unless `force`.
    """
    if not output.exists():
        fresh.replace(output)
        return sum(path.is_file() for path in output.rglob("*")) if output.is_dir() else 1
    files = [path for path in fresh.rglob("*") if path.is_file()] if fresh.is_dir() else [fresh]
    pairs = [(path, output / path.relative_to(fresh)) for path in sorted(files)]
    pairs = [pair for pair in pairs if not pair[1].is_file() or not filecmp.cmp(*pair, shallow=False)]
    others = [path for _, path in pairs if path.exists()]
    if others and not force:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(f"{others[0]}{more}: is there and differs; --force writes over it, or give another --output")
    for path, target in pairs:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return len(pairs)


def main():
    args = parse_arguments()
    images = list_images_below(args.image_dir)
    if not images:
        raise InputError(f"{args.image_dir}: there are no images in it; give the folder that holds them with -i")
    if args.output.exists() and args.output.is_dir() != (args.target in FOLDERS):
        kind = "folder" if args.target in FOLDERS else "file"
        raise InputError(f"{args.output}: is no {kind}, which {args.target} is written to; give another --output")
    names_to_ids, labels_path = find_labels(args)
    reading = READERS[args.source](args.annotations, images, list(names_to_ids or ()))
    if args.allow_unlabelled:
        reading.add_negatives(images)
    reading.images.sort(key=lambda image: image.name)
    names_to_ids = order_classes(reading, names_to_ids, labels_path or args.annotations)
    if args.target in FOLDERS:
        reading.faults += find_name_faults(reading.images, {"voc": ".xml", "yolo": ".txt"}[args.target])
    if not reading.images and not reading.faults:
        reading.faults.append(f"{args.annotations}: says nothing of any image in {args.image_dir}; give the right ones")
    if reading.faults:
        raise InputError(*reading.faults)
    for line in reading.list_losses(args.annotations):
        say(line)
    for note in reading.list_notes():
        say(note)
    if reading.unlabelled and not args.allow_unlabelled:
        said = f"{len(reading.unlabelled)} of {len(images)} images have no annotation and are left out"
        say(f"{args.image_dir}: {said}; --allow_unlabelled takes them as images without boxes")
    for loss in find_losses(reading, names_to_ids, args.target):
        say(loss)
    with make_room(args.output) as room:
        fresh = room / args.output.name
        WRITERS[args.target](fresh, reading.images, names_to_ids)
        changed = install(fresh, args.output, args.force)
    boxes = [box for image in reading.images for box in image.boxes]
    what = f"{len(reading.images)} images, {len(boxes)} boxes, {len(names_to_ids)} classes"
    if changed:
        print(f"Wrote {args.output}: {what}")
    else:
        say(f"{args.output} is up to date ({what})")


if __name__ == "__main__":
    run(main)
