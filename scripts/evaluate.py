#!/usr/bin/env python3
"""Measures a detector on labelled images: how good it is, class by class, and what is wrong where it is wrong.

The detector is a model_dir with checkpoints, an export, a SavedModel, or a TFLite or ONNX file; the images are records,
by default the test records that its pipeline.config names, or a folder of images with XML files. It prints COCO's
table, and writes metrics.json, per_class.csv, ground_truth.json and detections.json.

    cd workspace/training_demo
    python ../../scripts/evaluate.py -m models/my_model
    python ../../scripts/evaluate.py -m exported_models/my_model -i images/test -l annotations/label_map.pbtxt
"""

from pathlib import Path

from tfod.inference.backends import find_model
from tfod.model.checkpoints import choose_checkpoint, try_checkpoints
from tfod.utils.console import InputError, make_parser, run


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-m", "--model", required=True, type=Path, help="a model_dir, an export, or a SavedModel, .tflite or .onnx"
    )
    parser.add_argument(
        "--checkpoint", help="of a model_dir: latest, best, or a number, as 600 for ckpt-600 (default: latest)"
    )
    parser.add_argument(
        "--pipeline_config_path", type=Path, help="pipeline.config (default: the one in the model's folder)"
    )
    parser.add_argument(
        "-l", "--labels_path", type=Path, help="label map (default: the config's, then the model's own)"
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the results (default: that of the model)")
    parser.add_argument(
        "--batch", type=int, help="images a call, where the model takes several (default: what is good)"
    )

    # the images
    parser.add_argument("--records", nargs="+", type=Path, help="record files (default: the config's test records)")
    parser.add_argument("-i", "--image_dir", type=Path, help="folder of images, instead of records")
    parser.add_argument("-x", "--xml_dir", type=Path, help="folder of their XML files (default: image_dir)")
    parser.add_argument("--allow_unlabelled", action="store_true", help="images without XML are ones without objects")
    parser.add_argument("--sample_1_of_n", type=int, default=1, help="of records: take one image of so many")
    arguments = parser.parse_args()
    for name in ("batch", "sample_1_of_n"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; give 1 or more")
    if arguments.records and arguments.image_dir:
        parser.error("--records and --image_dir: give one of them")
    if not arguments.image_dir and (arguments.xml_dir or arguments.allow_unlabelled):
        parser.error("--xml_dir and --allow_unlabelled go with --image_dir")
    if arguments.image_dir and arguments.sample_1_of_n > 1:
        parser.error("--sample_1_of_n goes with records")
    word = arguments.checkpoint
    if word is not None and word not in ("latest", "best") and not word.isdecimal():
        parser.error(f"--checkpoint is {word}; give latest, best or a number")
    if word is not None and is_exported(arguments.model):
        parser.error(f"--checkpoint goes with a model_dir, and {arguments.model} is exported")
    return arguments


def is_exported(path):
    """Whether the model `path` is an export, or a file, and not a model_dir with checkpoints."""
    return path.is_file() or any((folder / "saved_model.pb").is_file() for folder in (path, path / "saved_model"))


def read_config(arguments):
    """The config and its path, or (None, None): an exported model can do without. Raises InputError."""
    from tfod.config import pipeline

    exported = is_exported(arguments.model)
    places = [arguments.model, *(arguments.model.parents if exported else ())][:4]
    beside = next((place / "pipeline.config" for place in places if (place / "pipeline.config").is_file()), None)
    path = arguments.pipeline_config_path or beside
    if path is None and not exported:
        path = arguments.model / "pipeline.config"
    return (pipeline.read_config(path), path) if path else (None, None)


def open_source(arguments, config, path):
    """The images to measure on. Raises InputError with all that is wrong with them."""
    from tfod.data import samples
    from tfod.evaluation import evaluator

    records, own_data = arguments.records or (), bool(arguments.records or arguments.image_dir)
    faults = [f"{path}: is not there; `make tfrecord` makes records" for path in records if not path.is_file()]
    if not own_data and not config:
        faults.append(f"{arguments.model}: has no pipeline.config that names records; give --records or --image_dir")
    if config:
        from tfod.config import checks

        if arguments.labels_path and config.eval_input_reader:
            config.eval_input_reader[0].label_map_path = str(arguments.labels_path)
        hold_label_map(arguments, config)
        purpose = checks.EXPORT_EVALUATION if is_exported(arguments.model) else checks.EVALUATION
        checks.refuse_faults(checks.check_config(config, path, purpose, own_data=own_data), *faults)
    elif faults:
        raise InputError(*faults)
    names = read_names(arguments, config)
    if arguments.image_dir:
        xml_dir = arguments.xml_dir or arguments.image_dir
        return samples.open_folder(arguments.image_dir, xml_dir, names, arguments.allow_unlabelled)
    if arguments.records:
        return samples.open_records(arguments.records, names, arguments.sample_1_of_n)
    if arguments.sample_1_of_n > 1:
        config.eval_input_reader[0].sample_1_of_n_examples = arguments.sample_1_of_n
    return evaluator.open_config_records(config)


def hold_label_map(arguments, config):
    """Raises InputError where the label map is not the one that the model of a model_dir was trained with."""
    from tfod.config import pipeline
    from tfod.model import trained_on

    if is_exported(arguments.model):  # its own files say what its classes are
        return
    maps = [arguments.labels_path] if arguments.labels_path else pipeline.list_label_maps(config)
    trained_on.hold_label_map(arguments.model, *maps)
    if maps and not arguments.labels_path:  # a model of before label maps were kept
        trained_on.keep_label_map(arguments.model, maps[0])


def read_names(arguments, config):
    """dict class id -> name: of --labels_path, else of the config, else of the model itself."""
    from tfod.config import pipeline
    from tfod.data import label_map
    from tfod.inference.backends import open_model

    path = arguments.labels_path or (config and pipeline.find_label_map(config))
    if path:
        return label_map.read_names(path)
    names = open_model(find_model(arguments.model)[1], 1).labels if is_exported(arguments.model) else {}
    if not names:
        raise InputError(f"{arguments.model}: does not say what its classes are; give --labels_path")
    return names


def choose_output(arguments):
    """The folder for the results: the model's own, and for a file one beside it."""
    if arguments.output:
        return arguments.output
    path = arguments.model
    if path.is_file():
        return path.with_name(f"{path.stem}_evaluation")
    return path.parent if path.name == "saved_model" else path


def main():
    arguments = parse_arguments()
    which, exported = arguments.checkpoint or "latest", is_exported(arguments.model)
    if exported:
        _, found = find_model(arguments.model)
    else:
        choose_checkpoint(arguments.model, which)  # says at once where there is none
    config, path = read_config(arguments)
    source = open_source(arguments, config, path)
    folder = choose_output(arguments)
    from tfod.evaluation import evaluator, metrics_files

    if arguments.output:
        metrics_files.refuse_other_files(folder)
    if exported:
        from object_detection.protos import eval_pb2

        eval_config = config.eval_config if config else eval_pb2.EvalConfig()
        report = evaluator.evaluate_export(found, folder, source, eval_config, arguments.batch)
    else:
        reports = evaluator.evaluate_checkpoints(
            config,
            try_checkpoints(arguments.model, which),
            folder,
            folder / "eval",
            source=source,
            batch=arguments.batch,
        )
        report = next(reports)
    print(metrics_files.format_metrics(report))


if __name__ == "__main__":
    run(main)
