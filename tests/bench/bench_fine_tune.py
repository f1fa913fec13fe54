"""Measures what a fine-tuning should take from a detector of other classes: mAP on the test photos, by type and steps.

    python tests/bench/bench_fine_tune.py --pretrain kangaroo --data raccoon/images \\
        --backbone mobilenet_v2.ckpt-1 -w /tmp/fine_tune

Trains a detector on the labelled photos of --pretrain, then fine-tunes it on those of --data: with each type of
fine_tune_checkpoint_type, each number of steps (each with the schedule of its own) and each seed, which means another
split, other new weights and another order. What was trained is kept in the folder, and not trained again: the command
can be stopped, and goes on where it was. Prints the table of docs/recipes.md.
"""

import argparse
import itertools
import json
import shutil
import statistics
import sys
from pathlib import Path

from bench_recipes import ROOT, run

MAP, AP50 = "DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP@.50IOU"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrain", type=Path, required=True, help="folder of the photos and XML files to begin with")
    parser.add_argument("--data", type=Path, required=True, help="folder of the photos and XML files to fine-tune on")
    parser.add_argument("--backbone", type=Path, required=True, help="ImageNet backbone, without its suffix")
    parser.add_argument("-w", "--work", type=Path, required=True, help="folder for the workspaces")
    parser.add_argument("--types", nargs="+", default=["detection", "except_class_head"], help="default: both")
    parser.add_argument("--steps", nargs="+", type=int, default=[100, 300, 600], help="default: 100 300 600")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--pretrain_steps", type=int, default=1000, help="default: 1000")
    parser.add_argument("--input_size", type=int, default=160, help="pixels; default: 160")
    return parser.parse_args()


def train(args, photos, workspace, name, seed, steps, checkpoint, kind):
    """Trains the model `name` in `workspace` on a copy of the folder `photos`, and returns the folder of the model."""
    images = workspace / "images"
    if not images.exists():
        images.mkdir(parents=True)
        for path in [*photos.glob("*.jpg"), *photos.glob("*.xml")]:
            shutil.copy(path, images)
    variables = {
        "WORKSPACE": workspace,
        "MODEL": name,
        "SEED": seed,
        "STEPS": steps,
        "CHECKPOINT_EVERY": steps,
        "INPUT_SIZE": args.input_size,
        "PRETRAINED": "",
        "FINE_TUNE_CHECKPOINT": checkpoint,
        "FINE_TUNE_CHECKPOINT_TYPE": kind,
        "VENV": sys.prefix,
    }
    words = [f"{key}={value}" for key, value in variables.items()]
    run(ROOT, args.work / f"{workspace.name}_{name}.log", "make", "split", "tfrecord", "train", "eval", *words)
    return workspace / "models" / name


def main():
    args = parse_arguments()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    steps, backbone = args.pretrain_steps, args.backbone.resolve()
    model = train(args, args.pretrain, work / "pretrain", "pretrained", 42, steps, backbone, "classification")
    checkpoint = model / f"ckpt-{steps}"
    print("| steps | type | " + " | ".join(f"seed {seed}" for seed in args.seeds) + " | mean mAP | mean AP50 |")
    print("|---|---|" + "---|" * (len(args.seeds) + 2), flush=True)
    for steps, kind in itertools.product(args.steps, args.types):
        found = []
        for seed in args.seeds:
            model = train(args, args.data, work / f"seed_{seed}", f"{kind}_{steps}", seed, steps, checkpoint, kind)
            found.append(json.loads((model / "metrics.json").read_text())["metrics"])
        values = [one[MAP] for one in found]
        means = [statistics.mean(values), statistics.mean(one[AP50] for one in found)]
        print(f"| {steps} | {kind} | " + " | ".join(f"{value:.3f}" for value in [*values, *means]) + " |", flush=True)


if __name__ == "__main__":
    main()
