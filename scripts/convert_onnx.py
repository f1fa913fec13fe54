#!/usr/bin/env python3
"""Makes an ONNX file of an exported detector's SavedModel, and compares the two.

The file has the SavedModel's input and outputs, and in its metadata the class names as JSON, labels: {"1": "raccoon"}.

    cd workspace/training_demo
    python ../../scripts/convert_onnx.py --saved_model_dir exported_models/my_model/saved_model \\
        --output exported_models/my_model/model.onnx
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, find_disk_error, make_parser, parse_count, run, say

MAKER = "convert_onnx"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--saved_model_dir", required=True, help="the saved_model folder of an export")
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument(
        "--pipeline_config_path", help="pipeline.config; without it the one beside the saved_model folder"
    )
    parser.add_argument("--opset", type=int, default=17, help="version of ONNX's operators")
    parser.add_argument("--sample_images", help="folder of photos to compare on; without it the evaluation records")
    parser.add_argument("--samples", type=parse_count, default=5, help="number of photos to compare on")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    folder, output = Path(arguments.saved_model_dir), Path(arguments.output)
    files.refuse_foreign(output, MAKER, "name another file with --output")
    if not (folder / "saved_model.pb").is_file():
        raise InputError(f"{folder}: holds no saved_model.pb; `make export` makes exported_models/NAME/saved_model")
    config_path = Path(arguments.pipeline_config_path or folder.parent / "pipeline.config")
    from tfod.config import checks, pipeline
    from tfod.export import parity

    config = checks.read_checked_config(config_path, folder.parent, checks.EXPORT)
    names = pipeline.read_class_names(config, folder.parent)
    fingerprint = files.fingerprint([folder], opset=arguments.opset, names=sorted(names.items()))
    if files.is_current(output, fingerprint, MAKER):
        say(f"{output} is up to date")
        return
    say(f"converting {folder} to {output}")
    with files.write_whole(output, MAKER) as fresh:
        convert(folder, fresh, arguments.opset)
        write_labels(fresh, names)
        photos, source = parity.find_sample_photos(config, arguments.samples, arguments.sample_images)
        agreement = compare(folder, fresh, photos, config)
        if not agreement.holds():
            raise InputError(
                f"{output}: differs from {folder} on {source}: {agreement}; allowed are {parity.ALLOWED}, so it was "
                "not kept; try another --opset"
            )
    files.mark_current(output, fingerprint, MAKER)
    size = output.stat().st_size / 1e6
    print(f"{output}: {size:.2f} MB; compared with the SavedModel on {len(photos)} {source}: {agreement}")


def convert(folder, output, opset):
    """Writes the SavedModel in `folder` as ONNX, in a process of its own: tf2onnx sets up TensorFlow to its liking."""
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--output", output, "--opset", opset]
    command += ["--tag", "serve", "--signature_def", "serving_default"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode or not output.is_file():
        lines = done.stderr.strip().splitlines() or ["no message"]
        if number := find_disk_error(lines[-1]):
            raise OSError(number, os.strerror(number), str(output))
        raise InputError(f"{folder}: tf2onnx can't convert it ({lines[-1]}); try another --opset")


def write_labels(path, names):
    """Puts the class names, a dict id -> name, into the ONNX file's metadata."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {"labels": json.dumps(names, ensure_ascii=False)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def compare(folder, path, photos, config):
    """The `Agreement` of the ONNX file with the SavedModel on `photos`: of what they find, and of an SSD's anchors."""
    from tfod.detector import Detector
    from tfod.export.parity import compare_formats, turn_off_tf32

    turn_off_tf32()
    expected, found = (Detector(model, score=0.0, max_boxes=1000).detect(photos) for model in (folder, path))
    family = config.model.WhichOneof("model")
    agreement = compare_formats(expected, found, [photo.shape[1::-1] for photo in photos], family)
    if family == "ssd":
        add_anchors(folder, path, photos, agreement)
    return agreement


def add_anchors(folder, path, photos, agreement):
    """Adds to the `Agreement` what the best anchors of an SSD say before overlapping boxes are suppressed."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import numpy as np
    import tensorflow as tf

    from tfod.export import parity
    from tfod.inference.backends import import_onnxruntime

    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    model = tf.saved_model.load(str(folder))
    batch = taken.shape[0] if isinstance(taken.shape[0], int) else 1
    for photo in photos:
        images = np.stack([photo] * batch)
        found = dict(zip(names, session.run(names, {taken.name: images}), strict=True))
        expected = model.signatures["serving_default"](tf.constant(images))
        parity.compare_anchors(expected, found, 0, photo, agreement)


if __name__ == "__main__":
    run(main)
