#!/usr/bin/env python3
"""Makes TFLite files of what export_tflite_graph_tf2.py exported, with metadata, and compares each with the checkpoint.

    model_float32.tflite   the model as it is; held to half a pixel and 0.001 of score
    model_float16.tflite   half the size
    model_dynamic.tflite   weights in 8 bits, arithmetic in floats where the processor likes that better
    model_int8.tflite      all in 8 bits, input uint8; its ranges are measured on training photos

Beside them come detect.py, which runs them without TensorFlow, its requirements.txt, and labels.txt.

    cd workspace/training_demo
    python ../../scripts/convert_tflite.py --saved_model_dir exported_models/my_model/tflite/saved_model \\
        --pipeline_config_path exported_models/my_model/pipeline.config \\
        --trained_checkpoint_dir exported_models/my_model/checkpoint --output_directory exported_models/my_model/tflite
"""

from pathlib import Path
from typing import NamedTuple

from tfod.model.checkpoints import choose_checkpoint, list_checkpoint_files, use_checkpoint
from tfod.utils import files
from tfod.utils.console import InputError, make_parser, parse_count, run, say

MAKER = "convert_tflite"  # of the output, as its stamp says
FORMATS = ["float32", "float16", "dynamic", "int8"]


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--saved_model_dir", required=True, help="what export_tflite_graph_tf2.py wrote")
    parser.add_argument("--pipeline_config_path", required=True, help="pipeline.config of the model")
    parser.add_argument("--trained_checkpoint_dir", required=True, help="folder of the checkpoint, to compare with")
    parser.add_argument("--output_directory", required=True, help="folder for the files")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, help="which files to make")
    group = parser.add_argument_group("training photos for int8's ranges")
    group.add_argument("--representative_images", help="folder of photos; without it the training records")
    group.add_argument(
        "--representative_number", type=parse_count, default=100, help="number of photos, drawn at random"
    )
    group.add_argument("--seed", type=int, default=42, help="seed of the drawing")
    group = parser.add_argument_group("photos to compare on")
    group.add_argument("--sample_images", help="folder of photos; without it the evaluation records")
    group.add_argument("--samples", type=parse_count, default=5, help="number of photos")
    return parser.parse_args()


class Tools(NamedTuple):
    """What each format needs.

    preprocessor: a `tflite.Preprocessor`, which makes the model's input of a photo
    names:        dict class id -> name
    photos:       the sample photos, uint8 [height, width, 3], and `source`, where they are from
    outputs:      what the checkpoint gives for each of them, and `expected`, its detections (boxes, classes, scores)
    """

    preprocessor: tuple
    names: dict
    photos: list
    source: str
    outputs: list
    expected: list


def find_input(arguments):
    """(config, files or folders that int8's photos come from); every fault of the arguments at once."""
    from tfod.config import checks, pipeline

    faults, sources = [], []
    choose_checkpoint(arguments.trained_checkpoint_dir)
    path, folder = arguments.pipeline_config_path, arguments.trained_checkpoint_dir
    config = checks.read_checked_config(path, folder, checks.EXPORT, checks.TFLITE)
    if not (Path(arguments.saved_model_dir) / "saved_model.pb").is_file():
        faults.append(f"{arguments.saved_model_dir}: holds no saved_model.pb; run export_tflite_graph_tf2.py first")
    if "int8" in arguments.formats:
        folder = arguments.representative_images
        sources = [Path(folder)] if folder else pipeline.list_record_files(config.train_input_reader)
        if folder and not Path(folder).is_dir():
            faults.append(f"{folder}: there is no such folder; name one of training photos")
        if not sources:
            faults.append(
                f"{arguments.pipeline_config_path}: its training records are not there, and int8 needs photos; "
                "name a folder with --representative_images, or leave int8 out of --formats"
            )
    if faults:
        raise InputError(*faults)
    return config, sources


def main():
    arguments = parse_arguments()
    paths = {kind: Path(arguments.output_directory) / f"model_{kind}.tflite" for kind in arguments.formats}
    advice = "name another folder with --output_directory"
    if faults := [fault for path in paths.values() for fault in files.find_foreign(path, MAKER, advice)]:
        raise InputError(*faults)
    config, sources = find_input(arguments)
    use_checkpoint(
        arguments.trained_checkpoint_dir,
        None,
        lambda checkpoint: make_files(config, checkpoint, sources, paths, arguments),
    )
    from tfod.export.bundle import write_runner

    write_runner(arguments.output_directory, next(iter(paths.values())), MAKER)


def make_files(config, checkpoint, sources, paths, arguments):
    """Makes the files that are not up to date. Raises InputError, or TensorFlow's error of a damaged checkpoint."""
    inputs = [*sorted(Path(arguments.saved_model_dir).glob("**/*")), *list_checkpoint_files(checkpoint)]
    settings = {"config": config.SerializeToString(deterministic=True).hex(), "samples": arguments.samples}
    calibration = [arguments.representative_number, arguments.seed]
    fingerprints = {
        kind: files.fingerprint(inputs + sources, **settings, calibration=calibration)
        if kind == "int8"
        else files.fingerprint(inputs, **settings)
        for kind in arguments.formats
    }
    todo = [kind for kind, path in paths.items() if not files.is_current(path, fingerprints[kind], MAKER)]
    for kind in set(paths) - set(todo):
        say(f"{paths[kind]} is up to date")
    if not todo:
        return
    from tfod.export.parity import ALLOWED

    tools = prepare_tools(config, checkpoint, arguments)
    for kind in todo:
        say(f"making {paths[kind]}" + (f", seed {arguments.seed}" if kind == "int8" else ""))
        with files.write_whole(paths[kind], MAKER) as fresh:
            fresh.write_bytes(convert(kind, config, tools, arguments))
            agreement, which = compare(kind, fresh, config, tools)
            if kind == "float32" and not agreement.holds():
                raise InputError(
                    f"{paths[kind]}: differs from {checkpoint}: {agreement}; allowed are {ALLOWED}, so it "
                    "was not kept; was the SavedModel exported from this checkpoint, with these thresholds?"
                )
        files.mark_current(paths[kind], fingerprints[kind], MAKER)
        size = paths[kind].stat().st_size / 1e6
        print(
            f"{paths[kind]}: {size:.2f} MB; {which} on {len(tools.photos)} {tools.source}: {agreement}",
            flush=True,
        )


def prepare_tools(config, checkpoint, arguments):
    """The `Tools`: the model is built, and the checkpoint's detections are found."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import model_builder

    from tfod.config import pipeline
    from tfod.export import parity, tflite
    from tfod.model import weights

    tf.get_logger().setLevel("ERROR")
    model = model_builder.build(config.model, is_training=False)
    check_weights = weights.restore_weights(config, model, checkpoint)
    parity.turn_off_tf32()
    reference = parity.make_reference(model)
    photos, source = parity.find_sample_photos(config, arguments.samples, arguments.sample_images)
    outputs = [reference(photo) for photo in photos]
    found = [parity.list_detections(found) for found in outputs]
    expected = [(boxes.clip(0, 1), *rest) for boxes, *rest in found]  # CenterNet's may extend beyond the photo
    check_weights()
    names = pipeline.read_class_names(config, Path(arguments.pipeline_config_path).parent)
    return Tools(tflite.make_preprocessor(config, model), names, photos, source, outputs, expected)


def convert(kind, config, tools, arguments):
    """The bytes of the TFLite file of one of FORMATS, with metadata."""
    from tfod.export import tflite, tflite_metadata

    def read_inputs():
        photos = find_training_photos(config, arguments)
        return (tools.preprocessor.prepare(photo) for photo in photos)

    model = tflite.convert(arguments.saved_model_dir, kind, read_inputs)
    labels = tflite_metadata.list_labels(tools.names)
    text = f"Detects {', '.join(sorted(tools.names.values()))}. {config.model.WhichOneof('model')}, {kind}."
    return tflite_metadata.write_metadata(
        model, labels, tools.preprocessor.mean, tools.preprocessor.std, "ObjectDetector", text
    )


def find_training_photos(config, arguments):
    """Yields the photos that int8's ranges are measured on, drawn at random: uint8 arrays [height, width, 3]."""
    import numpy as np

    from tfod.config import pipeline
    from tfod.data import images, tfrecord
    from tfod.export import parity

    chance = np.random.default_rng(arguments.seed)
    if arguments.representative_images:
        paths = images.list_images(arguments.representative_images)
        drawn = sorted(chance.permutation(len(paths))[: arguments.representative_number])
        yield from (np.asarray(images.read_image(paths[index])) for index in drawn)
        return
    paths = pipeline.list_record_files(config.train_input_reader)
    drawn = chance.permutation(sum(map(tfrecord.count_records, paths)))[: arguments.representative_number]
    yield from parity.read_record_photos(paths, set(drawn.tolist()))


def compare(kind, path, config, tools):
    """The `Agreement` of the TFLite file with the checkpoint on the sample photos, and what was compared, in words.

    Rounded models are compared on detections of a fair score; below that the order of the boxes changes.
    """
    from tfod.export import parity, tflite
    from tfod.export.parity import SURE, compare_detections, compare_formats

    detect = tflite.make_tflite_detector(path, tools.preprocessor.prepare)
    found = [detect(photo) for photo in tools.photos]
    sizes = [photo.shape[1::-1] for photo in tools.photos]
    if kind != "float32":
        return compare_detections(tools.expected, found, sizes, SURE), f"detections of score {SURE} or more"
    family = config.model.WhichOneof("model")
    agreement = compare_formats(tools.expected, found, sizes, family)
    if family != "ssd":
        return agreement, "all detections"
    read = tflite.make_anchor_reader(path, tools.preprocessor.prepare, config)
    for photo, outputs in zip(tools.photos, tools.outputs, strict=True):
        parity.compare_anchors(outputs, read(photo), 0, photo, agreement)
    return agreement, "all detections and the best anchors"


if __name__ == "__main__":
    run(main)
