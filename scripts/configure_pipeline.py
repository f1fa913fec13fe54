#!/usr/bin/env python3
"""Makes a pipeline.config: a base config, fitted to the data, the steps and the batch.

The base is one of scripts/configs, or the pipeline.config of a pretrained model. Its learning rate and schedule
are scaled from the batch and the steps it was made for to those asked for here.

    cd workspace/training_demo
    python ../../scripts/configure_pipeline.py -o models/my_model/pipeline.config \\
        --base ../../scripts/configs/ssd_mobilenet_v2_fpnlite_320.config --num_steps 2000 --batch_size 8
"""

import glob
from pathlib import Path

from tfod import files
from tfod.console import InputError, make_parser, run, say


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-o", "--output", required=True, help="the pipeline.config to write")
    parser.add_argument("--base", required=True, help="config to start from, or folder of a pretrained model")
    parser.add_argument("-l", "--label_map", default="annotations/label_map.pbtxt", help="label map")
    parser.add_argument("--train_record", default="annotations/train.record", help="training records")
    parser.add_argument("--test_record", default="annotations/test.record", help="test records")
    parser.add_argument("--num_steps", type=int, default=2000, help="training steps")
    parser.add_argument("--batch_size", type=int, default=8, help="images a step")
    parser.add_argument(
        "--fine_tune_checkpoint",
        default="",
        help="checkpoint to start from, without its suffix (.../ckpt-0); with a pretrained model as base, its own",
    )
    parser.add_argument(
        "--fine_tune_checkpoint_type",
        default="detection",
        choices=["detection", "classification", "full"],
        help="what to take from it: the whole detector without its class layer, its backbone, or everything",
    )
    parser.add_argument("--force", action="store_true", help="write it even over one that was edited by hand")
    arguments = parser.parse_args()
    for name in ("num_steps", "batch_size"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is {getattr(arguments, name)}; give 1 or more")
    return arguments


def find_base(base, fine_tune_checkpoint):
    """The base config's path, and the checkpoint to start from: the one asked for, or the pretrained model's own."""
    base = Path(base)
    if not base.is_dir():
        return base, fine_tune_checkpoint
    if fine_tune_checkpoint:
        return base / "pipeline.config", fine_tune_checkpoint
    checkpoints = sorted((base / "checkpoint").glob("ckpt-*.index"))
    if not checkpoints:
        raise InputError(f"{base}/checkpoint: holds no ckpt-*.index; download the model anew, or name a config file")
    return base / "pipeline.config", str(checkpoints[-1].with_suffix(""))


def find_records(name, faults):
    """(what a config says of the set of records `name`: itself or its shards' pattern, its files); notes faults."""
    from tfod.shards import find_records_of

    try:
        paths = find_records_of(name)
    except InputError as error:
        if glob.glob(glob.escape(name) + "*"):  # that nothing is there at all, find_faults says
            faults += error.faults
        return name, []
    if len(paths) == 1 or glob.has_magic(name):
        return name, paths
    return f"{name}-?????-of-{len(paths):05d}", paths


def fit_readers(config, label_map, records):
    """Sets what both input readers read. `records` are (pattern, files) for training and for the test, in turn."""
    from tfod.tfrecord import count_boxes

    del config.eval_input_reader[1:]
    test_reader = config.eval_input_reader[0] if config.eval_input_reader else config.eval_input_reader.add()
    test_reader.shuffle, test_reader.num_epochs = False, 1
    for reader, (pattern, paths) in zip((config.train_input_reader, test_reader), records, strict=True):
        reader.label_map_path = label_map
        reader.tf_record_input_reader.input_path[:] = [pattern]
        reader.num_readers = max(len(paths), 1)
        # Both readers cut what an image has beyond this, without a word: training then takes objects for background.
        # (train_config has a field of this name, too, which nothing reads.)
        most = max((boxes for path in paths for boxes in count_boxes(path)), default=0)
        if most > reader.max_number_of_boxes:
            say(f"{pattern}: an image has {most} boxes; max_number_of_boxes is raised to that")
            reader.max_number_of_boxes = most


def fit_config(config, arguments, fine_tune_checkpoint, num_classes):
    """Changes `config` in place to what was asked for."""
    from tfod import pipeline_config

    train = config.train_config
    pipeline_config.get_model(config).num_classes = num_classes
    pipeline_config.scale_schedule(config, arguments.batch_size, arguments.num_steps)
    train.fine_tune_checkpoint = fine_tune_checkpoint
    train.fine_tune_checkpoint_type = arguments.fine_tune_checkpoint_type if fine_tune_checkpoint else ""
    train.fine_tune_checkpoint_version = (
        train.DESCRIPTOR.fields_by_name["fine_tune_checkpoint_version"].enum_type.values_by_name["V2"].number
    )
    # What only makes sense on the TPU pods that the zoo's models were trained on.
    train.use_bfloat16 = False
    train.sync_replicas = False
    train.replicas_to_aggregate = 1
    if not config.eval_config.metrics_set:
        config.eval_config.metrics_set.append("coco_detection_metrics")


def main():
    arguments = parse_arguments()
    from tfod import pipeline_config
    from tfod.checkpoints import find_latest_checkpoint
    from tfod.label_map import read_label_map

    base, fine_tune_checkpoint = find_base(arguments.base, arguments.fine_tune_checkpoint)
    config = pipeline_config.read_config(base)
    num_classes = max(read_label_map(arguments.label_map).values())
    fit_config(config, arguments, fine_tune_checkpoint, num_classes)
    faults = []
    records = [find_records(name, faults) for name in (arguments.train_record, arguments.test_record)]
    fit_readers(config, arguments.label_map, records)
    output = Path(arguments.output)
    former = pipeline_config.read_config(output) if output.exists() and not arguments.force else None
    edited = former is not None and former != config and not files.is_untouched(output)
    faults += pipeline_config.find_faults(former if edited else config, output)
    trained = find_latest_checkpoint(output.parent)
    if former is not None and trained:
        classes = pipeline_config.get_model(former).num_classes
        if classes != num_classes:
            faults.append(
                f"{output}: {trained} is of a model with {classes} classes, the label map has {num_classes}; give the "
                "new model another name (MODEL=), or remove the old one (make clean-model)"
            )
    if faults:
        raise InputError(*faults)
    if edited:
        say(f"{output} was edited by hand and is kept as it is; --force (make config FORCE=1) writes it anew")
        return
    if former == config:
        say(f"{output} is up to date")
        return
    if trained:
        say(f"{output}: changes, and its folder holds checkpoints: training goes on from them under the new config")
    pipeline_config.write_config(output, config)
    files.mark_current(output, None)
    start = f"from {fine_tune_checkpoint} ({arguments.fine_tune_checkpoint_type})" if fine_tune_checkpoint else "anew"
    print(
        f"Wrote {output}: {base.name}, {num_classes} class{'es' * (num_classes > 1)}, "
        f"{arguments.num_steps} steps of {arguments.batch_size} images, {start}"
    )


if __name__ == "__main__":
    run(main)
