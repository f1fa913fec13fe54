"""Makes TFRecord files of images and their labelImg XML files, as the OD API reads them.

    python generate_tfrecord.py -x images/train -l annotations/label_map.pbtxt -o annotations/train.record

Every image, XML file and class name is checked first; all faults are told at once, before anything is written.
"""

import collections
import contextlib
import csv
import time
from pathlib import Path

from tfod.data.csv_cells import write_class, write_path
from tfod.data.label_map import find_unknown_names, read_label_map
from tfod.data.labelled_images import check_photo, match_files, shuffle_pairs
from tfod.data.tfrecord import list_shards, make_photo_example, name_records, replace_records, write_examples
from tfod.utils.console import InputError, make_parser, run, say, show_progress
from tfod.utils.files import claim, find_foreign, fingerprint, is_current, mark_current, write_whole
from tfod.utils.parallel import count_cores, map_in_processes

MAKER = "generate_tfrecord"  # of the output, as its stamp says
CHUNK = 32  # photos that a worker checks between two messages


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
        # test side takes the same order, which no measure depends on, so that both are made in the same way.
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
    parser.add_argument("--num_workers", type=int, help="processes (default: the cores)")
    args = parser.parse_args()
    if not 1 <= args.num_shards <= 99999:
        parser.error("--num_shards must be from 1 to 99999")
    if args.num_workers is not None and args.num_workers < 1:
        parser.error("--num_workers must be 1 or more")
    return args


def map_photos(function, paths, workers, what):
    """Yields `function(list of pairs)` of each chunk of `paths`, a list of (image path, XML path)."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    done = 0
    with show_progress(what, len(paths)) as update:
        for chunk, result in zip(chunks, map_in_processes(function, chunks, workers), strict=True):
            yield result
            done += len(chunk)
            update(done)


def check_photos(paths, args, faults):
    """(dict class name -> id, boxes of each class, number of negatives). Raises InputError with every fault."""
    names_to_ids, faults = {}, list(faults)
    try:
        names_to_ids = read_label_map(args.labels_path)
    except InputError as error:
        faults += error.faults

    def check(pairs):
        checked = [check_photo(*pair, args.check == "full", warn=False) for pair in pairs]
        its_faults = [fault for _, _, some, _ in checked for fault in some]
        counts = collections.Counter(name for _, names, *_ in checked for name in names)
        unknown = [(name, pair[1]) for pair, (_, names, *_) in zip(pairs, checked, strict=True) for name in names]
        unknown = [(name, xml) for name, xml in unknown if name not in names_to_ids] if names_to_ids else []
        return its_faults, counts, unknown, sum(not names for _, names, *_ in checked)

    totals, negatives, places = collections.Counter(), 0, collections.defaultdict(list)
    for its_faults, counts, unknown, its_negatives in map_photos(check, paths, args.num_workers, "checking"):
        faults += its_faults
        totals += counts
        negatives += its_negatives
        for name, xml in unknown:
            places[name].append(xml)
    if names_to_ids:
        faults += find_unknown_names(args.labels_path, names_to_ids, places)
    if faults:
        raise InputError(*faults)
    return names_to_ids, totals, negatives


def read_photo(image, xml):
    """The Photo, checked before. Raises InputError if somebody changed its files since."""
    photo, _, faults, _ = check_photo(image, xml, decode=False, warn=False)
    if faults:
        raise InputError(*faults)
    return photo


def write_csv(path, paths, workers):
    """One line a box, as the tutorial's table of them: in pixels, whole numbers where they are whole."""

    def list_rows(pairs):
        photos = [read_photo(*pair) for pair in pairs]
        return [
            [write_path(photo.path.name), photo.width, photo.height, write_class(box.name)]
            + [f"{edge:.10g}" for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
            for photo in photos
            for box in photo.boxes
        ]

    with write_whole(path, MAKER) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        with contextlib.closing(map_photos(list_rows, paths, workers, "writing the CSV file")) as found:
            for rows in found:
                table.writerows(rows)


def write_records(output, paths, names_to_ids, args):
    def make(index):
        photo = read_photo(*paths[index])
        return make_photo_example(photo, names_to_ids)

    with replace_records(output, args.num_shards) as fresh, show_progress("writing", len(paths)) as update:
        write_examples(fresh, len(paths), make, args.num_workers, update)
        claim(output, MAKER, [*name_records(output, args.num_shards), output, *list_shards(output)])


def main():
    started = time.monotonic()
    args = parse_arguments()
    args.num_workers = args.num_workers or count_cores()
    output, csv_path = args.output_path, args.csv_path
    pairs, faults = match_files(args.image_dir or args.xml_dir, args.xml_dir, args.allow_unlabelled)
    records = name_records(output, args.num_shards)
    for path in filter(None, [*records, csv_path]):
        if path.is_dir():
            faults.append(f"{path}: is a folder; give the name of the file to write")
    if args.num_shards > len(pairs):
        faults.append(f"{output}: {args.num_shards} files are too many for {len(pairs)} images; lower --num_shards")

    settings = {name: getattr(args, name) for name in ("num_shards", "order", "seed", "allow_unlabelled")}
    inputs = [args.labels_path, *(path for pair in pairs for path in pair if path)]
    state = fingerprint(inputs, **settings)
    there = [path for path in [output, *list_shards(output)] if path.exists()]
    stands = there == records and is_current(output, state, MAKER)
    if not faults and stands and (not csv_path or is_current(csv_path, state, MAKER)):
        for path in filter(None, [output, csv_path]):
            say(f"{path} is up to date ({len(pairs)} images)")
        return

    faults += find_foreign(output, MAKER, "name another file with -o", there)
    if csv_path:
        faults += find_foreign(csv_path, MAKER, "name another file with -c")
    names_to_ids, boxes, negatives = check_photos(pairs, args, faults)
    write_records(output, pairs if args.order == "sorted" else shuffle_pairs(pairs, args.seed), names_to_ids, args)
    if csv_path:
        write_csv(csv_path, pairs, args.num_workers)
        mark_current(csv_path, state, MAKER)
    mark_current(output, state, MAKER, records)

    classes = ", ".join(f"{name} {boxes[name]}" for name in names_to_ids)
    megabytes = sum(path.stat().st_size for path in records) / 1e6
    files = f"{len(records)} file{'s' * (len(records) > 1)}"
    order = f"shuffled by seed {args.seed}" if args.order == "shuffled" else "sorted"
    say(
        f"{len(pairs)} images ({negatives} negatives), {boxes.total()} boxes ({classes}), {megabytes:.1f} MB"
        f" in {files}, {order}, {time.monotonic() - started:.1f} s"
    )
    shards = f"-?????-of-{args.num_shards:05d}" if args.num_shards > 1 else ""
    print(f"Successfully created the TFRecord file: {output}{shards}")
    if csv_path:
        print(f"Successfully created the CSV file: {csv_path}")


if __name__ == "__main__":
    run(main)
