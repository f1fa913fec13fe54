#!/usr/bin/env python3
"""Runs a detector on photos, videos or a camera, and writes what it finds: each photo annotated, under its own name.

    cd workspace/training_demo
    python inference_main_v2.py -m exported_models/my_model/saved_model -l annotations/label_map.pbtxt \\
        -i images/test -o inference_result/

-m also takes a .tflite or .onnx file or a folder of checkpoints, -i files, 'patterns*.jpg', videos and cameras.
"""

import itertools
import os
from pathlib import Path

from tfod.utils.console import InputError, find_hidden, make_parser, run, say
from tfod.utils.files import find_oddity, is_file

SAVE_KINDS = ("images", "json", "csv", "coco", "voc", "crops", "video")
OPTIONS = ("score", "iou", "class_agnostic", "max_boxes", "classes", "batch")  # that the results depend on


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-m",
        "--saved_model_path",
        required=True,
        help="the saved_model folder of an export, a .tflite or .onnx file, or a folder with pipeline.config and"
        " checkpoints",
    )
    parser.add_argument("-l", "--labels_path", help="label map; without it, the model's own files say the names")
    parser.add_argument(
        "-i",
        "--images_dir",
        required=True,
        nargs="+",
        help="folder of images, or files, patterns in quotes, videos, or the number of a camera",
    )
    parser.add_argument(
        "-o",
        "--output_dir",
        default="inference_result",
        help="folder for the results; if -i names a folder, results of former runs that this one does not make are"
        " removed, those of other kinds (--save) only if they are from other photos or another model",
    )
    parser.add_argument("--recursive", action="store_true", help="take the images in the folders below, too")
    parser.add_argument("--unlabelled", action="store_true", help="take only images without an XML file beside them")
    parser.add_argument("--score", type=float, default=0.5, help="draw detections of at least this score, 0 to 1")
    parser.add_argument(
        "--iou",
        type=float,
        help="leave out boxes that overlap a better one of their class by more than this, 0 to 1, beyond what the"
        " model itself leaves out",
    )
    parser.add_argument(
        "--class_agnostic", action="store_true", help="leave them out across classes, too; --iou is 0.5 if not given"
    )
    parser.add_argument("--max_boxes", type=int, default=100, help="at most so many detections an image")
    parser.add_argument("--classes", type=split, help="find only these: names or ids, as raccoon,cat")
    parser.add_argument(
        "--batch", type=int, help="images a call of the model, if it was exported with --batch_size dynamic"
    )
    parser.add_argument("--threads", type=int, help="images worked on at a time; one for each core if not given")
    parser.add_argument(
        "--save",
        type=split,
        help=f"what to write: {','.join(SAVE_KINDS)}; images for photos and video for videos if not given",
    )
    arguments = parser.parse_args()
    for name in ("score", "iou"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value <= 1:
            parser.error(f"--{name} is {value}; give a number from 0 to 1")
    for name in ("max_boxes", "batch", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; give 1 or more")
    unknown = sorted(set(arguments.save or ()) - set(SAVE_KINDS))
    if unknown:
        parser.error(f"--save {','.join(unknown)}: choose from {','.join(SAVE_KINDS)}")
    return arguments


def split(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def find_input(arguments):
    """(photos, videos, faults of single photos); every fault of the arguments' files at once."""
    from tfod.inference.backends import find_model
    from tfod.inference.sources import find_sources

    output, faults = Path(arguments.output_dir), []
    photos = videos = odd = ()
    try:
        kind, model = find_model(arguments.saved_model_path)
        if arguments.labels_path and is_file(arguments.labels_path):
            faults += find_label_map_faults(model if kind == "checkpoints" else model.parent, arguments.labels_path)
    except InputError as error:
        faults += error.faults
    labels_path = arguments.labels_path
    if labels_path and not os.path.lexists(labels_path):
        faults.append(f"{labels_path}: there is no such label map; `make label_map` makes one")
    elif labels_path and (oddity := find_oddity(labels_path)):
        faults.append(f"{labels_path}: {oddity}")
    words = arguments.images_dir
    try:
        photos, videos, odd = find_sources(words, arguments.recursive, output)
        if arguments.unlabelled:
            photos = [photo for photo in photos if not photo.path.with_suffix(".xml").exists()]
        elif not (photos or videos or odd):
            faults.append(f"{' '.join(words)}: holds no images; name a folder of photos")
    except InputError as error:
        faults += error.faults
    if not (overwritten := find_overwritten(words, [*photos, *videos], output)):
        from tfod.inference import results

        kinds = results.choose_kinds(arguments.save, photos, videos)
        overwritten = results.find_foreign(output, kinds, photos, videos, bool(arguments.save))
    faults += overwritten
    if "voc" in (arguments.save or ()):
        for _, same in itertools.groupby(sorted(photo.name for photo in photos), lambda name: name.with_suffix("")):
            first, *others = same
            faults += [f"{first}: would have the same XML file as {other}; rename one" for other in others]
        what = "holds a character that can't be seen, in its name, which XML can't have; rename it"
        faults += [f"{photo.path}: {what}" for photo in photos if find_hidden(photo.name.name)]
    if faults:
        raise InputError(*faults)
    return photos, videos, odd


def find_label_map_faults(folder, path):
    """How the label map `path` is another than that of the model in `folder`, as texts."""
    from tfod.model import trained_on

    kept = trained_on.find_kept_map(folder)
    changed = kept and trained_on.list_changes(kept, path)[0]  # a class that was added changes no other's name
    return trained_on.compare_maps(kept, path, folder) if changed else []


def find_overwritten(words, sources, output):
    """The first thing that a result would be written over, as a list of one fault."""
    said = "is input and output, and images are never overwritten; name another -o"
    if output.is_dir() and any(Path(word).is_dir() and output.samefile(word) for word in words):
        return [f"{output}: {said}"]
    for source in sources:
        target = output / source.name
        if target.exists() and isinstance(source.path, Path) and target.samefile(source.path):
            return [f"{target}: {said}"]
    return []


def make_fingerprint(arguments, photos, videos):
    """The fingerprint of all that the results depend on; None for a camera, which never shows the same again."""
    if any(isinstance(video.path, int) for video in videos):
        return None
    from tfod.inference.backends import find_model
    from tfod.utils import files

    model = find_model(arguments.saved_model_path)[1]
    labels = arguments.labels_path or model.parent / "label_map.pbtxt"
    inputs = [model, labels, *(source.path for source in (*photos, *videos))]
    options = {name: getattr(arguments, name) for name in OPTIONS}
    options["names"] = [str(source.name) for source in (*photos, *videos)]
    return files.fingerprint(inputs, frames=bool(videos and arguments.save), **options)


def main():
    arguments = parse_arguments()
    photos, videos, odd = find_input(arguments)
    output = Path(arguments.output_dir)
    if not (photos or videos or odd):
        say("every image has an XML file: there is nothing to label")
        return 0
    from tfod.inference import results
    from tfod.utils import files

    fingerprint = make_fingerprint(arguments, photos, videos)
    save = results.choose_kinds(arguments.save, photos, videos)
    if fingerprint and not odd and results.are_current(output, save, fingerprint):
        kinds = ", ".join(arguments.save) if arguments.save else "annotated images"
        say(f"{output} is up to date: {kinds} of {len(photos)} photos and {len(videos)} videos")
        return 0
    from tfod.inference import predict

    try:
        with files.make_room(output) as room:
            done, former, written = predict.infer(arguments, photos, videos, output, room)
            faults = [*odd, *done.faults]
            mirrors = not faults and any(Path(word).is_dir() for word in arguments.images_dir)
            removed = results.settle(output, save, former, written, None if faults else fingerprint, mirrors)
    except OSError as error:
        what = f"{error.filename or output}: {error.strerror or error}"
        raise InputError(f"{what}; free some space, or check your permissions there") from error
    print(done.describe(arguments, output))
    if removed:
        print(f"removed {removed} result{'s' * (removed > 1)} of former runs from {output}")
    if faults:
        raise InputError(*faults)
    return 0


if __name__ == "__main__":
    run(main)
