"""Makes a TFRecord file of images and their labelImg XML files, as the OD API reads it.

    python generate_tfrecord.py -x images/train -l annotations/label_map.pbtxt -o annotations/train.record

Every image, XML file and class name is checked first; all faults are told at once.
"""

import collections
import csv
import time
from pathlib import Path

from tfod.console import InputError, make_parser, progress, run, say
from tfod.dataset import check_photo
from tfod.files import fingerprint, is_current, mark_current, write_whole
from tfod.images import list_images, map_in_threads
from tfod.label_map import find_unknown_names, read_label_map
from tfod.voc import find_pairs, list_annotations


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-x", "--xml_dir", type=Path, required=True, help="folder of the XML files")
    parser.add_argument("-l", "--labels_path", type=Path, required=True, help="label map, a .pbtxt file")
    parser.add_argument("-o", "--output_path", type=Path, required=True, help="TFRecord file to write")
    parser.add_argument("-i", "--image_dir", type=Path, help="folder of the images (default: xml_dir)")
    parser.add_argument("-c", "--csv_path", type=Path, help="CSV file to write, too: one line a box, in pixels")
    return parser.parse_args()


def check_photos(pairs, labels_path, faults):
    """The list of Photo and the dict class name -> id. Raises InputError with `faults` and those of every file."""
    photos, places = [], collections.defaultdict(list)
    checked = map_in_threads(lambda pair: check_photo(*pair), progress(pairs, "checking"))
    for (_, xml), (photo, names, its_faults, _) in zip(pairs, checked, strict=True):
        photos.append(photo)
        faults.extend(its_faults)
        for name in names:
            places[name].append(xml)
    names_to_ids = {}
    try:
        names_to_ids = read_label_map(labels_path)
        faults.extend(find_unknown_names(labels_path, names_to_ids, places))
    except InputError as error:
        faults.extend(error.faults)
    if faults:
        raise InputError(*faults)
    return photos, names_to_ids


def make_examples(photos, names_to_ids):
    """An iterator over the serialized tf.train.Example of each Photo."""
    from tfod.tfrecord import encode_image, make_example

    def make(photo):
        encoded, image_format = encode_image(photo.path, photo.stored)
        size = photo.width, photo.height
        return make_example(photo.path.name, encoded, image_format, *size, photo.boxes, names_to_ids)

    return map_in_threads(make, progress(photos, "writing"))


def write_csv(path, photos):
    """One line a box, as the tutorial's table of them: in pixels, whole numbers where they are whole."""
    with write_whole(path) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"])
        for photo in photos:
            for box in photo.boxes:
                edges = [f"{edge:.10g}" for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
                table.writerow([photo.path.name, photo.width, photo.height, box.name, *edges])


def main():
    from tfod.tfrecord import write_records

    started = time.monotonic()
    args = parse_arguments()
    image_dir = args.image_dir or args.xml_dir
    images, annotations = list_images(image_dir), list_annotations(args.xml_dir)
    if not annotations:
        raise InputError(f"{args.xml_dir}: there are no XML files; give the folder that holds them with -x")
    pairs, faults = find_pairs(annotations, images)
    bare = len(images) - len(pairs)
    if bare and not faults:
        say(f"{image_dir}: {bare} of {len(images)} images have no XML file and are left out")

    outputs = [path for path in (args.output_path, args.csv_path) if path]
    for path in outputs:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of the file to write")
    state = fingerprint([args.labels_path, *annotations, *images])
    if not faults and all(is_current(path, state) for path in outputs):
        for path in outputs:
            say(f"{path} is up to date ({len(pairs)} images)")
        return
    photos, names_to_ids = check_photos(pairs, args.labels_path, faults)
    write_records(args.output_path, make_examples(photos, names_to_ids))
    if args.csv_path:
        write_csv(args.csv_path, photos)
    for path in outputs:
        mark_current(path, state)

    counts = collections.Counter(box.name for photo in photos for box in photo.boxes)
    classes = ", ".join(f"{name} {counts[name]}" for name in names_to_ids)
    megabytes = args.output_path.stat().st_size / 1e6
    seconds = time.monotonic() - started
    say(f"{len(photos)} images, {counts.total()} boxes ({classes}), {megabytes:.1f} MB, {seconds:.1f} s")
    print(f"Successfully created the TFRecord file: {args.output_path}")
    if args.csv_path:
        print(f"Successfully created the CSV file: {args.csv_path}")


if __name__ == "__main__":
    run(main)
