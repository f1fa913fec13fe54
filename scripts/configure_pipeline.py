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
import dataclasses
import re
from pathlib import Path

from tfod.model.checkpoints import EXCEPT_CLASS_HEAD, FINE_TUNE_TYPES, find_latest_checkpoint
from tfod.utils import files
from tfod.utils.console import make_parser, parse_count, parse_share, run, say

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
    parser.add_argument("--num_steps", type=parse_count, default=2000, help="training steps")
    parser.add_argument("--batch_size", type=parse_count, default=8, help="images a step")
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
        type=parse_decay,
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
    return arguments


def parse_size(text):
    """(side,) or (width, height) in pixels."""
    match = re.fullmatch(r"([1-9]\d*)(?:[xX]([1-9]\d*))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size in pixels; give it as 320, or as 640x480")
    return tuple(int(side) for side in match.groups() if side)


def parse_decay(text):
    decay = parse_share(text)
    if decay == 1:
        raise argparse.ArgumentTypeError("1 would keep the first weights for good; give a number below 1")
    return decay


def main():
    arguments = parse_arguments()
    if arguments.check:
        check_file(arguments.check)
        return
    from tfod.config import checks, fit, pipeline
    from tfod.model import trained_on, training_lock

    names = [field.name for field in dataclasses.fields(fit.Recipe)]
    made = fit.fit_config(fit.Recipe(**{name: getattr(arguments, name) for name in names}))
    config, output = made.config, Path(arguments.output)
    former = pipeline.read_config(output) if output.exists() and not arguments.force else None
    edited = former is not None and former != config and not files.is_untouched(output, MAKER)
    trained = find_latest_checkpoint(output.parent)
    if trained:  # first: other faults may only follow from it
        trained_on.hold_label_map(output.parent, arguments.label_map)
    checked, images = (former, None) if edited else (config, made.images)
    found = checks.check_config(checked, output, *PURPOSES, images=images, resumes=trained is not None)
    faults = made.faults + (find_class_faults(former, made, output, trained) if former is not None and trained else [])
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
    print_summary(made, output)


def find_class_faults(former, made, output, trained):
    """Why the model beside `output`, trained with the config `former`, can't go on with the label map's classes."""
    from tfod.config.pipeline import get_model

    if not former.model.WhichOneof("model") or get_model(former).num_classes == made.num_classes:
        return []
    return [
        f"{output}: {trained} is of a model with {get_model(former).num_classes} classes, the label map has "
        f"{made.num_classes}; give the new model another name (MODEL=), or remove the old one (make clean-model)"
    ]


def print_summary(made, output):
    from tfod.config import pipeline

    print(f"Changed against {made.base}:")
    for line in pipeline.list_changes(made.base_config, made.config):
        print(f"  {line}")
    train = made.config.train_config
    checkpoint = train.fine_tune_checkpoint
    start = f"from {checkpoint} ({train.fine_tune_checkpoint_type})" if checkpoint else "from scratch"
    print(
        f"Wrote {output}: {made.base.name}, {made.num_classes} class{'es' * (made.num_classes > 1)}, "
        f"{train.num_steps} steps of {train.batch_size} images, {start}"
    )


def check_file(path):
    """Says all that is wrong with a pipeline.config, and how much of its checkpoint the model can take."""
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


if __name__ == "__main__":
    run(main)
