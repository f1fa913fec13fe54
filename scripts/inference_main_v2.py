#!/usr/bin/env python3
"""Runs a detector on photos, videos or a camera, and writes what it finds: each photo annotated, under its own name.

    cd workspace/training_demo
    python inference_main_v2.py -m exported_models/my_model/saved_model -l annotations/label_map.pbtxt \\
        -i images/test -o inference_result/

-m also takes a .tflite or .onnx file or a folder of checkpoints, -i files, 'patterns*.jpg', videos and cameras.
"""

import os
import time
from pathlib import Path

from tfod.inference import output_folder
from tfod.utils import files
from tfod.utils.console import InputError, make_parser, parse_count, parse_share, run, say

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
    parser.add_argument("--score", type=parse_share, default=0.5, help="score threshold of detections, 0 to 1")
    parser.add_argument(
        "--iou",
        type=parse_share,
        help="leave out boxes that overlap a better one of their class by more than this, 0 to 1, beyond what the"
        " model itself leaves out",
    )
    parser.add_argument(
        "--class_agnostic", action="store_true", help="leave them out across classes, too; --iou is 0.5 if not given"
    )
    parser.add_argument("--max_boxes", type=parse_count, default=100, help="detections an image, at most")
    parser.add_argument("--classes", type=split, help="find only these: names or ids, as raccoon,cat")
    parser.add_argument(
        "--batch", type=parse_count, help="images a call of the model, if it was exported with --batch_size dynamic"
    )
    parser.add_argument(
        "--threads", type=parse_count, help="images worked on at a time; one for each core if not given"
    )
    parser.add_argument(
        "--save",
        type=split,
        help=f"what to write: {','.join(output_folder.KINDS)}; images for photos and video for videos if not given",
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.save or ()) - set(output_folder.KINDS))
    if unknown:
        parser.error(f"--save {','.join(unknown)}: choose from {','.join(output_folder.KINDS)}")
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
        if arguments.labels_path and files.is_file(arguments.labels_path):
            faults += find_label_map_faults(model if kind == "checkpoints" else model.parent, arguments.labels_path)
    except InputError as error:
        faults += error.faults
    labels_path = arguments.labels_path
    if labels_path and not os.path.lexists(labels_path):
        faults.append(f"{labels_path}: there is no such label map; `make label_map` makes one")
    elif labels_path and (oddity := files.find_oddity(labels_path)):
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
    if not (overwritten := output_folder.find_overwritten(words, [*photos, *videos], output)):
        kinds = output_folder.choose_kinds(arguments.save, photos, videos)
        overwritten = output_folder.find_foreign(output, kinds, photos, videos, bool(arguments.save))
    faults += overwritten
    if "voc" in (arguments.save or ()):
        faults += output_folder.find_voc_faults(photos)
    if faults:
        raise InputError(*faults)
    return photos, videos, odd


def find_label_map_faults(folder, path):
    """How the label map `path` is another than that of the model in `folder`, as texts."""
    from tfod.model import trained_on

    kept = trained_on.find_kept_map(folder)
    changed = kept and trained_on.list_changes(kept, path)[0]  # a class that was added changes no other's name
    return trained_on.compare_maps(kept, path, folder) if changed else []


def make_fingerprint(arguments, photos, videos):
    """The fingerprint of all that the results depend on; None for a camera, which never shows the same again."""
    if any(isinstance(video.path, int) for video in videos):
        return None
    from tfod.inference.backends import find_model

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
    kinds = output_folder.choose_kinds(arguments.save, photos, videos)
    fingerprint = make_fingerprint(arguments, photos, videos)
    if fingerprint and not odd and output_folder.are_current(output, kinds, fingerprint):
        what = ", ".join(arguments.save) if arguments.save else "annotated images"
        say(f"{output} is up to date: {what} of {len(photos)} photos and {len(videos)} videos")
        return 0
    from tfod.inference import predict, writers

    with files.make_room(output) as room:
        # Before any thread reads a photo: TensorFlow's import sets environment variables, and libjpeg, which reads one,
        # crashes where that happens at the same time.
        began = time.monotonic()
        detector = load_detector(arguments)
        loading = time.monotonic() - began
        former = output_folder.claim(output, kinds, photos, videos, bool(arguments.save))
        results = writers.Files(output, room, former.get("voc", ()))
        done = predict.infer(detector, photos, videos, results, arguments.save, arguments.batch or 1, arguments.threads)
        faults = [*odd, *done.faults]
        mirrors = not faults and any(Path(word).is_dir() for word in arguments.images_dir)
        made_from = None if faults else fingerprint
        removed = output_folder.settle(output, kinds, former, results.written, made_from, mirrors)
    print(predict.describe_totals(done, kinds, output, arguments.score, arguments.images_dir[0], loading))
    if removed:
        print(f"removed {removed} result{'s' * (removed > 1)} of former runs from {output}")
    if faults:
        raise InputError(*faults)
    return 0


def load_detector(arguments):
    from tfod.detector import Detector

    return Detector(
        arguments.saved_model_path,
        arguments.labels_path,
        score=arguments.score,
        iou=arguments.iou,
        class_agnostic=arguments.class_agnostic,
        max_boxes=arguments.max_boxes,
        classes=arguments.classes,
        batch=arguments.batch,
        threads=arguments.threads,
    )


if __name__ == "__main__":
    run(main)
