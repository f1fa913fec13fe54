"""Makes TFRecord files of images and their labelImg XML files, as the OD API reads them.

    python generate_tfrecord.py -x images/train -l annotations/label_map.pbtxt -o annotations/train.record

Every image, XML file and class name is checked first; all faults are told at once, before anything is written. With
--faulty skip, or fix, the faulty photos are left out, or repaired; faulty.csv beside the records lists them.
"""

import dataclasses
import time
from pathlib import Path

from tfod.data import faulty
from tfod.data.formats import write_csv
from tfod.data.label_map import find_unknown_names, read_label_map
from tfod.data.labelled_images import ReadOptions, check_photos, find_set_turn, match_files, read_photos, shuffle_pairs
from tfod.data.tfrecord import list_shards, name_records, name_set, write_photo_records
from tfod.utils.console import InputError, join_few, make_parser, run, say
from tfod.utils.files import find_foreign, fingerprint, is_current, mark_current, write_whole
from tfod.utils.parallel import count_cores

MAKER = "generate_tfrecord"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-x", "--xml_dir", type=Path, required=True, help="folder of the XML files")
    parser.add_argument("-l", "--labels_path", type=Path, required=True, help="label map, a .pbtxt file")
    parser.add_argument("-o", "--output_path", type=Path, required=True, help="TFRecord file to write")
    parser.add_argument("-i", "--image_dir", type=Path, help="folder of the images (default: xml_dir)")
    parser.add_argument("-c", "--csv_path", type=Path, help="CSV file to write, too: one line a box, in pixels")
    parser.add_argument(
        "--num_shards",
        type=int,
        default=1,
        help="files to spread the records over: output_path-00000-of-00010 and so on",
    )
    parser.add_argument(
        "--order",
        choices=["shuffled", "sorted"],
        default="shuffled",
        # Training shuffles 2048 records at a time: of more, sorted ones would bring all cats before all dogs. The
        # test subset takes the same order, which no measure depends on, so that both are made in the same way.
        help="of the records; shuffled keeps what stands side by side in a large folder from standing so in a batch",
    )
    parser.add_argument("--seed", type=int, default=42, help="of the shuffled order")
    parser.add_argument(
        "--check",
        choices=["full", "headers"],
        default="full",
        help="what of the images is read first: every byte, or only their headers (after make check)",
    )
    parser.add_argument(
        "--allow_unlabelled", "--allow-unlabelled", action="store_true", help="take images without XML as negatives"
    )
    faulty.add_faulty_flag(parser, "list of what was left out or repaired (default: faulty.csv beside output_path)")
    parser.add_argument("--num_workers", type=int, help="processes (default: the cores)")
    args = parser.parse_args()
    if not 1 <= args.num_shards <= 99999:
        parser.error("--num_shards must be from 1 to 99999")
    if args.num_workers is not None and args.num_workers < 1:
        parser.error("--num_workers must be 1 or more")
    return args


def find_output_faults(args, number):
    """What is wrong with the files to write, for so many images."""
    faults = []
    for path in [*name_records(args.output_path, args.num_shards), args.csv_path]:
        if path and path.is_dir():
            faults.append(f"{path}: is a folder; give the name of the file to write")
    if args.num_shards > number:
        what = f"{args.num_shards} files are too many for {number} images; lower --num_shards"
        faults.append(f"{args.output_path}: {what}")
    return faults


def read_labels(path):
    """(dict class name -> id, {} without a sound label map; list of faults)."""
    try:
        return read_label_map(path), []
    except InputError as error:
        return {}, list(error.faults)


def refuse_faulty(args, pairs, left_out, checked, others):
    """Raises InputError with every fault, and says how to go on without the faulty photos, if there are `others`."""
    in_photos = dict.fromkeys(fault for faults in left_out.values() for fault in faults)
    in_photos = [fault for fault in in_photos if fault.kind != "class-unknown"]
    in_photos += find_unknown_names(args.labels_path, checked.names_to_ids, checked.unknown)
    advice = ""
    if in_photos and args.faulty == "stop":
        again = [pair for pair in pairs if pair[0] in checked.faulty]
        sound = check_photos(again, checked.names_to_ids, args.labels_path, ReadOptions(repair=True), 1).pairs
        advice = faulty.advise(len(left_out), len(left_out) + len(checked.pairs), len(sound), "tfrecord")
    raise InputError(*others, *in_photos, advice=advice)


def main():
    started = time.monotonic()
    args = parse_arguments()
    output, csv_path, workers = args.output_path, args.csv_path, args.num_workers or count_cores()

    # Which XML file belongs to which image, and whether there is anything to do.
    folder = args.image_dir or args.xml_dir
    pairs, unpaired = match_files(folder, args.xml_dir, args.allow_unlabelled)
    faults = find_output_faults(args, len(pairs))
    records = name_records(output, args.num_shards)
    inputs = [args.labels_path, *(path for pair in pairs for path in pair if path)]
    settings = {name: getattr(args, name) for name in ("num_shards", "order", "seed", "allow_unlabelled", "faulty")}
    state = fingerprint(inputs, **settings, unpaired=[path.name for path in unpaired])
    there = [path for path in [output, *list_shards(output)] if path.exists()]
    stands = there == records and is_current(output, state, MAKER)
    if not faults and stands and (not csv_path or is_current(csv_path, state, MAKER)):
        for path in filter(None, [output, csv_path]):
            say(f"{path} is up to date ({len(pairs)} images)")
        return

    # Every fault, before anything is written; or, with --faulty, the photos that are sound.
    faults += find_foreign(output, MAKER, "name another file with -o", there)
    if csv_path:
        faults += find_foreign(csv_path, MAKER, "name another file with -c")
    list_path = args.faulty_list or output.parent / faulty.NAME
    faulty.read_rows(list_path)  # another file of that name is not to be lost
    names_to_ids, more = read_labels(args.labels_path)
    reading = ReadOptions(
        args.check == "full" or args.faulty != "stop", args.faulty == "fix", find_set_turn(pairs, folder)
    )
    checked = check_photos(pairs, names_to_ids, args.labels_path, reading, workers)
    left_out = unpaired | checked.faulty
    if faults or more or (left_out and (args.faulty == "stop" or not checked.pairs)):
        refuse_faulty(args, pairs, left_out, checked, [*faults, *more])
    pairs = checked.pairs

    # The records, the table, and the list of what is not in them as it is in the files.
    ordered = pairs if args.order == "sorted" else shuffle_pairs(pairs, args.seed)
    reading = dataclasses.replace(reading, decode=reading.repair)
    write_photo_records(output, ordered, names_to_ids, reading, args.num_shards, workers, MAKER)
    if csv_path:
        with write_whole(csv_path, MAKER) as fresh:
            write_csv(fresh, read_photos(pairs, reading, workers, "writing the CSV file"), names_to_ids)
        mark_current(csv_path, state, MAKER)
    rows = faulty.list_rows(output.name, left_out, checked.repaired)
    faulty.note_rows(list_path, output.name, rows)
    faulty.say_rows(rows, len(pairs) + len(left_out), list_path)
    mark_current(output, state, MAKER, records)

    for other, name in names_to_ids.others.items():
        checked.boxes[name] += checked.boxes.pop(other, 0)
    classes = join_few((f"{name} {checked.boxes[name]}" for name in names_to_ids), most=12)
    megabytes = sum(path.stat().st_size for path in records) / 1e6
    files = f"{len(records)} file{'s' * (len(records) > 1)}"
    order = f"shuffled by seed {args.seed}" if args.order == "shuffled" else "sorted"
    say(
        f"{len(pairs)} images ({checked.negatives} negatives), {checked.boxes.total()} boxes ({classes}),"
        f" {megabytes:.1f} MB in {files}, {order}, {time.monotonic() - started:.1f} s"
    )
    print(f"Successfully created the TFRecord file: {name_set(output, args.num_shards)}")
    if csv_path:
        print(f"Successfully created the CSV file: {csv_path}")


if __name__ == "__main__":
    run(main)
