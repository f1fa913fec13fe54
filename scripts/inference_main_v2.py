#!/usr/bin/env python3
"""Runs an exported detector on images, and writes each with its detections drawn, under its own name.

    cd workspace/training_demo
    python inference_main_v2.py -m exported_models/my_model/saved_model -l annotations/label_map.pbtxt \\
        -i images/test -o inference_result/
"""

import time
from pathlib import Path

from tfod import files
from tfod.console import InputError, make_parser, progress, run, say


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-m", "--saved_model_path", required=True, help="the saved_model folder of an export")
    parser.add_argument("-l", "--labels_path", required=True, help="label map")
    parser.add_argument("-i", "--images_dir", required=True, help="folder of images")
    parser.add_argument("-o", "--output_dir", default="inference_result", help="folder for the annotated images")
    parser.add_argument("--score", type=float, default=0.5, help="draw detections of at least this score, 0 to 1")
    arguments = parser.parse_args()
    if not 0 <= arguments.score <= 1:
        parser.error(f"--score is {arguments.score}; give a number from 0 to 1")
    return arguments


def find_input(arguments):
    """The images to read and the label map as {id: name}; every fault of the arguments' files at once."""
    from tfod.images import list_images
    from tfod.label_map import read_label_map

    faults, images, names = [], [], {}
    model = Path(arguments.saved_model_path)
    if not (model / "saved_model.pb").exists():
        faults.append(f"{model}: holds no saved_model.pb; `make export` makes exported_models/NAME/saved_model")
    images_dir = Path(arguments.images_dir)
    if images_dir.is_dir():
        images = list_images(images_dir)
    if not images:
        faults.append(f"{images_dir}: holds no images; name a folder of photos")
    if images_dir.resolve() == Path(arguments.output_dir).resolve():
        faults.append(f"{images_dir}: is input and output, and images are never overwritten; name another -o")
    try:
        names = {number: name for name, number in read_label_map(arguments.labels_path).items()}
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(*faults)
    return images, names


def load_detector(saved_model_path):
    """A function: uint8 array [height, width, 3] -> boxes [N, 4], classes [N], scores [N] of one image.

    Boxes are float32 `[ymin, xmin, ymax, xmax]` normalized, classes the label map's ids, best score first.
    """
    import tfod.compat  # noqa: F401 - Keras 2, and a quiet start

    import tensorflow as tf

    model = tf.saved_model.load(str(saved_model_path))
    signature = model.signatures["serving_default"]
    (name, spec), *more = signature.structured_input_signature[1].items()
    if more or spec.dtype != tf.uint8:
        raise InputError(f"{saved_model_path}: takes no photo ({name}: {spec}); export with --input_type image_tensor")

    def detect(image):
        found = signature(**{name: tf.constant(image)[tf.newaxis]})
        count = int(found["num_detections"][0])
        boxes, classes, scores = (found[f"detection_{key}"][0, :count] for key in ("boxes", "classes", "scores"))
        return boxes.numpy(), classes.numpy().astype(int), scores.numpy()

    # keeps what the signature only refers to
    detect.model = model
    return detect


def annotate(path, output, detect, names, score_threshold):
    """Detects in the photo `path`, writes it annotated to `output`, and returns how many detections were drawn."""
    import numpy as np

    from tfod.drawing import draw_detections
    from tfod.images import read_image

    image = read_image(path)
    boxes, classes, scores = detect(np.asarray(image))
    keep = scores >= score_threshold
    labels = [names.get(number, f"class {number}") for number in classes[keep]]
    drawn = draw_detections(image, boxes[keep], labels, ids=classes[keep], scores=scores[keep])
    with files.write_whole(output) as fresh:
        drawn.save(fresh, quality=92)
    return len(labels)


def main():
    arguments = parse_arguments()
    images, names = find_input(arguments)
    model, output = Path(arguments.saved_model_path), Path(arguments.output_dir)
    fingerprint = files.fingerprint([model, arguments.labels_path, *images], score=arguments.score)
    if files.is_current(output, fingerprint):
        say(f"{output} is up to date: {len(images)} annotated images")
        return 0
    detect = load_detector(model)
    began, detections, faults = time.monotonic(), 0, []
    for path in progress(images, "detecting"):
        try:
            detections += annotate(path, output / path.name, detect, names, arguments.score)
        except InputError as error:
            faults += error.faults
    done = len(images) - len(faults)
    seconds = time.monotonic() - began
    print(
        f"Wrote {done} annotated images to {output}: {detections} detections of score {arguments.score} or more, "
        f"{seconds / max(done, 1):.3f} s an image"
    )
    if faults:
        raise InputError(*faults)
    files.mark_current(output, fingerprint)
    return 0


if __name__ == "__main__":
    run(main)
