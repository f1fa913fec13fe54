#!/usr/bin/env python3
"""Makes a pipeline.config: a base config, fitted to the data, the steps and the batch; or checks one.

The base is one of scripts/configs, or the pipeline.config of a pretrained model. Its learning rate and schedule
are scaled from the batch and the steps it was made for to those asked for here. What changed is printed.

    cd workspace/training_demo
    python ../../scripts/configure_pipeline.py -o models/my_model/pipeline.config \\
        --base ../../scripts/configs/ssd_mobilenet_v2_fpnlite_320.config --num_steps 2000 --batch_size 8
    python ../../scripts/configure_pipeline.py --check models/my_model/pipeline.config
"""

import argparse
import copy
import glob
import itertools
import re
from pathlib import Path

from tfod.model.checkpoints import EXCEPT_CLASS_HEAD, FINE_TUNE_TYPES, find_latest_checkpoint, list_checkpoints
from tfod.utils import files
from tfod.utils.console import InputError, make_parser, run, say

MAKER = "configure_pipeline"  # of the output, as its stamp says
PURPOSES = ("training", "evaluation")  # that a config is made for, by the names of tfod.config.checks


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-o", "--output", help="the pipeline.config to write")
    parser.add_argument("--base", help="config to start from, or folder of a pretrained model")
    parser.add_argument("--check", metavar="FILE", help="only list all that is wrong with this pipeline.config")
    parser.add_argument("-l", "--label_map", default="annotations/label_map.pbtxt", help="label map")
    parser.add_argument("--train_record", default="annotations/train.record", help="training records")
    parser.add_argument("--test_record", default="annotations/test.record", help="test records")
    parser.add_argument("--num_steps", type=int, default=2000, help="training steps")
    parser.add_argument("--batch_size", type=int, default=8, help="images a step")
    parser.add_argument(
        "--input_size", type=parse_size, metavar="N or WxH", help="pixels that photos are resized to; else the base's"
    )
    parser.add_argument(
        "--augment",
        choices=["light", "default", "strong"],
        help="vary training images by flips; by light, place and size, too; by much more; else as the base has it",
    )
    parser.add_argument(
        "--freeze", choices=["backbone", "none"], help="what keeps the checkpoint's weights; else as the base has it"
    )
    parser.add_argument(
        "--ema",
        type=parse_share,
        nargs="?",
        const=0.999,
        metavar="DECAY",
        help="evaluate and export moving averages of the weights (DECAY 0.999); 0: none; else as the base has it",
    )
    parser.add_argument("--metrics", choices=["coco", "pascal", "open_images"], help="what evaluation measures")
    parser.add_argument("--iou_threshold", type=parse_share, help="boxes of one class that overlap more are one object")
    parser.add_argument("--score_threshold", type=parse_share, help="detections of a lower score are dropped")
    parser.add_argument(
        "--fine_tune_checkpoint",
        default="",
        help="checkpoint to start from, without its suffix (.../ckpt-0); with a pretrained model as base, its own",
    )
    parser.add_argument(
        "--fine_tune_checkpoint_type",
        default=EXCEPT_CLASS_HEAD,
        choices=FINE_TUNE_TYPES,
        help="what to take from it: " + "; ".join(f"{name}: {what}" for name, what in FINE_TUNE_TYPES.items()),
    )
    parser.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH=VALUE",
        help="any other fields, as train_config.gradient_clipping_by_norm=10; may be given several times",
    )
    parser.add_argument("--force", action="store_true", help="write it even over one that was edited by hand")
    arguments = parser.parse_args()
    if not arguments.check and not (arguments.output and arguments.base):
        parser.error("give --output and --base, or --check")
    for name in ("num_steps", "batch_size"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is {getattr(arguments, name)}; give 1 or more")
    return arguments


def parse_size(text):
    """(side,) or (width, height) in pixels."""
    match = re.fullmatch(r"([1-9]\d*)(?:[xX]([1-9]\d*))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size in pixels; give it as 320, or as 640x480")
    return tuple(int(side) for side in match.groups() if side)


def parse_share(text):
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to below 1")
    return number


def find_start(base, base_config, arguments):
    """(checkpoint to start from or "", its type): those asked for, else the pretrained model's own, else the base's.

    A checkpoint that the base names and that is not there is warned of: then new weights are trained.
    """
    from tfod.config.paths import find_checkpoint_path_faults
    from tfod.config.pipeline import get_fine_tune_type

    if arguments.fine_tune_checkpoint:
        return arguments.fine_tune_checkpoint, arguments.fine_tune_checkpoint_type
    if Path(arguments.base).is_dir():
        return find_pretrained(Path(arguments.base)), arguments.fine_tune_checkpoint_type
    train = base_config.train_config
    if not train.fine_tune_checkpoint:
        return "", ""
    missing = find_checkpoint_path_faults(train.fine_tune_checkpoint)
    if not missing:
        return train.fine_tune_checkpoint, get_fine_tune_type(train)
    say(f"warning: {base}: {missing[0]}")
    say("warning: so the training starts FROM SCRATCH, with new weights; --fine_tune_checkpoint names another start")
    return "", ""


def find_pretrained(base):
    """The newest checkpoint in the folder of a pretrained model."""
    there = list_checkpoints(base / "checkpoint")
    if not there:
        raise InputError(
            f"{base}/checkpoint: holds no ckpt-*.index with its data; download the model again, or name a config file"
        )
    return there[-1]


def find_records(name, faults):
    """(what a config says of the set of records `name`: itself or its shards' pattern, its files); notes faults."""
    from tfod.data.tfrecord import find_records_of

    try:
        paths = find_records_of(name)
    except InputError as error:
        if glob.glob(glob.escape(name) + "*"):  # that nothing is there at all, check_config says
            faults += error.faults
        return name, []
    if len(paths) == 1 or glob.has_magic(name):
        return name, paths
    return f"{name}-?????-of-{len(paths):05d}", paths


def read_features(paths):
    """The keys of the features that the first 100 examples of the records hold something for."""
    from tfod.data.tfrecord import parse_example, read_records

    examples = ((path, data) for path in paths for data in read_records(path))
    keys = set()
    for path, data in itertools.islice(examples, 100):
        try:
            features = parse_example(data)
        except ValueError as error:
            raise InputError(f"{path}: {error}; make the records again") from error
        keys.update(key for key, values in features.items() if values)
    return keys


def fit_readers(config, label_map, records):
    """Sets what both input readers read. `records` are (pattern, files) for training and for the test, in turn.

    Returns the number of training images.
    """
    from tfod.config import edit
    from tfod.data.tfrecord import count_boxes

    del config.eval_input_reader[1:]
    test_reader = config.eval_input_reader[0] if config.eval_input_reader else config.eval_input_reader.add()
    test_reader.shuffle, test_reader.num_epochs = False, 1
    images = []
    for reader, (pattern, paths) in zip((config.train_input_reader, test_reader), records, strict=True):
        reader.label_map_path = label_map
        reader.tf_record_input_reader.input_path[:] = [pattern]
        reader.num_readers = max(len(paths), 1)
        boxes = [number for path in paths for number in count_boxes(path)]
        images.append(len(boxes) if paths else None)
        # Both readers cut what an image has beyond this, without a word: training then takes objects for background.
        # (train_config has a field of this name, too, which nothing reads.)
        most = max(boxes, default=0)
        raised = edit.raise_detections(config, most)
        if most > reader.max_number_of_boxes:
            reader.max_number_of_boxes = most
            raised.insert(0, "max_number_of_boxes")
        if raised:
            verb = "is" if len(raised) == 1 else "are"
            say(f"{pattern}: an image has {most} boxes; {', '.join(raised)} {verb} raised to that")
    return images[0]


def fit_model(config, arguments, num_classes, features):
    """Changes config.model in place to what was asked for; `features` are the keys that the records have."""
    from tfod.config import edit

    if features:
        for task in edit.drop_tasks(config, features):
            say(f"{arguments.base}: {task} is taken out: the records have boxes, and nothing for that")
    edit.set_num_classes(config, num_classes, arguments.label_map)
    faults = []
    for change in (
        lambda: arguments.input_size and edit.set_input_size(config, arguments.input_size),
        lambda: edit.set_thresholds(config, arguments.iou_threshold, arguments.score_threshold),
    ):
        try:
            change()
        except InputError as error:
            faults += error.faults
    return faults


def fit_training(config, arguments, fine_tune_checkpoint, fine_tune_type):
    """Changes train_config and eval_config in place to what was asked for."""
    from tfod.config import edit, schedule

    train = config.train_config
    schedule.fill_schedule(train.optimizer)
    schedule.scale_schedule(config, arguments.batch_size, arguments.num_steps)
    schedule.bound_schedule(train.optimizer, arguments.num_steps)
    train.fine_tune_checkpoint = fine_tune_checkpoint
    train.fine_tune_checkpoint_type = fine_tune_type
    train.fine_tune_checkpoint_version = (
        train.DESCRIPTOR.fields_by_name["fine_tune_checkpoint_version"].enum_type.values_by_name["V2"].number
    )
    # What only makes sense on the TPU pods that the zoo's models were trained on.
    train.use_bfloat16 = False
    train.sync_replicas = False
    train.replicas_to_aggregate = 1
    if arguments.augment:
        edit.set_augmentation(train, arguments.augment)
    if arguments.freeze:
        train.freeze_variables[:] = ["^backbone/"] if arguments.freeze == "backbone" else []
    if arguments.ema is not None:
        train.optimizer.use_moving_average = config.eval_config.use_moving_averages = arguments.ema > 0
        if arguments.ema > 0:
            train.optimizer.moving_average_decay = arguments.ema
    if arguments.metrics:
        config.eval_config.metrics_set[:] = [edit.METRICS[arguments.metrics]]
    if not config.eval_config.metrics_set:
        config.eval_config.metrics_set.append("coco_detection_metrics")


def check_file(path):
    from tfod.config import checks, pipeline

    config = pipeline.read_config(path)
    resumes = find_latest_checkpoint(Path(path).parent) is not None
    found = checks.check_config(config, path, *PURPOSES, resumes=resumes)
    checks.refuse_faults(found)
    if config.train_config.fine_tune_checkpoint and not resumes:
        from tfod.model import weights

        say("building the model, to hold the checkpoint's tensors to its own")
        print(f"{path}: from the checkpoint: {weights.describe_matches(weights.try_checkpoint(config, path))}")
    warned = f", and {len(found.warnings)} warning{'s' * (len(found.warnings) > 1)} above" if found.warnings else ""
    print(f"{path}: nothing wrong{warned}")


def make_config(arguments, base):
    """(base config, config made of it, classes, training images, faults): what was asked for; nothing is written."""
    from tfod.config import pipeline
    from tfod.data.label_map import read_label_map

    base_config = pipeline.read_config(base)
    if base_config.model.WhichOneof("model") not in ("ssd", "faster_rcnn", "center_net"):
        raise InputError(
            f"{base}: has no model of a known family; start from a config of scripts/configs or of the zoo"
        )
    config = copy.deepcopy(base_config)
    num_classes = max(read_label_map(arguments.label_map).values())
    faults = []
    records = [find_records(name, faults) for name in (arguments.train_record, arguments.test_record)]
    faults += fit_model(config, arguments, num_classes, read_features(records[0][1]))
    fit_training(config, arguments, *find_start(base, base_config, arguments))
    images = fit_readers(config, arguments.label_map, records)
    try:
        pipeline.set_fields(config, arguments.set)
    except InputError as error:
        faults += error.faults
    return base_config, config, num_classes, images, faults


def main():
    arguments = parse_arguments()
    if arguments.check:
        check_file(arguments.check)
        return
    from tfod.config import checks, pipeline
    from tfod.model import trained_on, training_lock

    base = Path(arguments.base)
    base = base / "pipeline.config" if base.is_dir() else base
    base_config, config, num_classes, images, faults = make_config(arguments, base)
    output = Path(arguments.output)
    former = pipeline.read_config(output) if output.exists() and not arguments.force else None
    edited = former is not None and former != config and not files.is_untouched(output, MAKER)
    trained = find_latest_checkpoint(output.parent)
    if trained:  # first: other faults may only follow from it
        trained_on.hold_label_map(output.parent, arguments.label_map)
    checked, images = (former, None) if edited else (config, images)
    found = checks.check_config(checked, output, *PURPOSES, images=images, resumes=trained is not None)
    if former is not None and trained and former.model.WhichOneof("model"):
        classes = pipeline.get_model(former).num_classes
        if classes != num_classes:
            faults.append(
                f"{output}: {trained} is of a model with {classes} classes, the label map has {num_classes}; give the "
                "new model another name (MODEL=), or remove the old one (make clean-model)"
            )
    checks.refuse_faults(found, *(fault for fault in dict.fromkeys(faults) if fault not in found.faults))
    if edited:
        say(f"{output} was edited by hand and is kept as it is; --force (make config FORCE=1) writes it again")
        return
    if former == config:
        say(f"{output} is up to date")
        return
    if trained:
        say(f"{output}: changes, and its folder holds checkpoints: training goes on from them under the new config")
    with training_lock.lock_folder(output.parent):  # not under a training that runs
        pipeline.write_config(output, config)
        files.mark_current(output, None, MAKER)
    print(f"Changed against {base}:")
    for line in pipeline.list_changes(base_config, config):
        print(f"  {line}")
    train = config.train_config
    checkpoint = train.fine_tune_checkpoint
    start = f"from {checkpoint} ({train.fine_tune_checkpoint_type})" if checkpoint else "from scratch"
    print(
        f"Wrote {output}: {base.name}, {num_classes} class{'es' * (num_classes > 1)}, "
        f"{train.num_steps} steps of {train.batch_size} images, {start}"
    )


if __name__ == "__main__":
    run(main)
