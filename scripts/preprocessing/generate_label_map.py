"""Makes the label map, which gives every class an id, from the class names in labelImg's XML files.

    python generate_label_map.py -x images -o annotations/label_map.pbtxt

The ids run from 1 in alphabetical order. A label map that is there already is kept, and checked against the XML files.
"""

import collections
from pathlib import Path

from tfod.data import faulty
from tfod.data.images import find_name_fault
from tfod.data.label_map import LabelMap, find_unknown_names, number_classes, read_label_map, write_label_map
from tfod.data.voc import read_annotation
from tfod.utils.console import Fault, InputError, make_parser, run, say
from tfod.utils.files import find_oddity, mark_current, sha256

MAKER = "generate_label_map"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-x", "--xml_dir", type=Path, default=Path("images"), help="folder below which the XML files are"
    )
    parser.add_argument(
        "-o", "--output_path", type=Path, default=Path("annotations/label_map.pbtxt"), help="label map to write"
    )
    parser.add_argument("--force", action="store_true", help="write it again; a model trained before needs the old ids")
    faulty.add_faulty_flag(parser)
    return parser.parse_args()


def find_annotations(folder, skip):
    """The XML files below `folder`, sorted; of copies, as images/train/ holds them of images/, only the first."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that holds the XML files with -x")
    found, faults = {}, []
    for path in sorted(folder.rglob("*"), key=lambda path: (len(path.parts), path)):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() != ".xml" or hidden or path.is_dir():
            continue
        if odd := find_oddity(path):
            faults.append(Fault("not-a-file", path, odd))
        elif fault := find_name_fault(path):
            faults.append(fault)
        else:
            found.setdefault((path.name, sha256(path)), path)
    if faults and not skip:
        raise InputError(*faults)
    if not found:
        raise InputError(f"{folder}: there are no XML files in it; label the images in labelImg first")
    return list(found.values())


def find_boxes(paths, repair):
    """(dict class name -> list of the XML paths of its boxes, list of faults)."""
    places, faults = collections.defaultdict(list), []
    for path in paths:
        try:
            for box in read_annotation(path, repair).boxes:
                places[box.name].append(path)
        except InputError as error:
            faults.extend(error.faults)
    return places, faults


def is_label_map(path):
    try:
        return bool(read_label_map(path))
    except InputError:
        return False


def main():
    args = parse_arguments()
    paths = find_annotations(args.xml_dir, args.faulty != "stop")
    places, faults = find_boxes(paths, args.faulty == "fix")
    new = args.force or not args.output_path.exists()
    if not new:
        names_to_ids = read_label_map(args.output_path)
        faults.extend(find_unknown_names(args.output_path, names_to_ids, places))
    if faults and args.faulty != "stop":
        say(f"warning: {len(faults)} faults in XML files or class names; the photos are left out of the records")
        faults = []
    if not places and not faults:
        faults.append(f"{args.xml_dir}: none of its {len(paths)} XML files has a box; label the images first")
    if args.force and args.output_path.exists() and not is_label_map(args.output_path):
        faults.append(f"{args.output_path}: is there and is not a label map; name another file with -o, or remove it")
    if faults:
        raise InputError(*faults)

    if new:
        names_to_ids = LabelMap(number_classes(places))
        write_label_map(args.output_path, names_to_ids)
        mark_current(args.output_path, None, MAKER)
    else:
        say(f"{args.output_path} is up to date (--force writes it again)")
    for other, name in names_to_ids.others.items():
        places[name] += places[other]
    for name, number in names_to_ids.items():
        boxes = len(places[name])
        print(f"{number:4d}  {name}  {boxes} {'box' if boxes == 1 else 'boxes'}")
        if not boxes:
            say(f"warning: {args.output_path}: the class {name!r} has no boxes in {args.xml_dir}")
    if new:
        print(f"Successfully created the label map: {args.output_path}")


if __name__ == "__main__":
    run(main)
