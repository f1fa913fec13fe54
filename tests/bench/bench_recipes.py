"""Measures ways of training on the raccoon photos: mAP on the test photos after so many steps, each with several seeds.

    python tests/bench/bench_recipes.py --data raccoon/images --checkpoint mobilenet_v2.ckpt-1 -w /tmp/recipes

A seed means another split, other new weights and another order. What was trained is kept in the folder, and not trained
again: the command can be stopped, and goes on where it was. Prints the table of docs/recipes.md.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from tfod.config import pipeline

ROOT = Path(__file__).resolve().parents[2]
EMA = 0.99  # decay of the averages; 0.999 looks back over more steps than such a training has


def describe_momentum(rate, total, warmup):
    """What SET takes for momentum 0.9 and a cosine of `total` steps, the first `warmup` of which rise to `rate`."""
    momentum = "train_config.optimizer.momentum_optimizer"
    cosine = f"{momentum}.learning_rate.cosine_decay_learning_rate"
    return (
        f"{momentum}.momentum_optimizer_value=0.9 {cosine}.learning_rate_base={rate} {cosine}.total_steps={total}"
        f" {cosine}.warmup_learning_rate={rate / 3:.6f} {cosine}.warmup_steps={warmup}"
    )


def list_recipes(steps):
    """Name of a recipe -> variables of make. The default is what make does by itself; the others have the zoo's loss of
    boxes, and differ in one thing more."""
    zoo = "model.ssd.loss.localization_weight=1 model.ssd.loss.localization_loss.weighted_smooth_l1.delta=1"
    return {
        "default": {},
        "zoo's box loss": {"SET": zoo, "EMA": EMA},
        "averages": {"SET": zoo, "EMA": EMA},
        "frozen backbone": {"SET": zoo, "FREEZE": "backbone"},
        "light": {"SET": zoo, "AUGMENT": "light"},
        "strong": {"SET": zoo, "AUGMENT": "strong"},
        "momentum 0.04": {"SET": f"{zoo} {describe_momentum(0.04, steps, steps // 10)}"},
        "zoo's schedule": {"SET": f"{zoo} {describe_momentum(0.08, 50000, 1000)}"},
    }


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the raccoon photos and XML files")
    parser.add_argument("--checkpoint", type=Path, required=True, help="ImageNet backbone, without its suffix")
    parser.add_argument("-w", "--work", type=Path, required=True, help="folder for the workspaces")
    parser.add_argument(
        "--recipes", nargs="+", default=list(list_recipes(1)), choices=list_recipes(1), help="which (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--steps", type=int, default=600, help="default: 600")
    return parser.parse_args()


def measure(args, recipe, seed):
    """Trains and measures: dict of metrics, by upstream's names.

    Averages change nothing of the training that they are taken of: of one training, "zoo's box loss" is the weights,
    and "averages" their averages.
    """
    workspace = args.work.resolve() / f"seed_{seed}"
    images = workspace / "images"
    if not images.exists():
        images.mkdir(parents=True)
        for path in [*args.data.glob("*.jpg"), *args.data.glob("*.xml")]:
            shutil.copy(path, images)
    variables = list_recipes(args.steps)[recipe]
    name = re.sub(r"\W+", "_", "zoo's box loss" if recipe == "averages" else recipe) + f"_{args.steps}"
    variables |= {
        "WORKSPACE": workspace,
        "MODEL": name,
        "SEED": seed,
        "STEPS": args.steps,
        "CHECKPOINT_EVERY": args.steps,
        "PRETRAINED": "",
        "FINE_TUNE_CHECKPOINT": args.checkpoint.resolve(),
        "FINE_TUNE_CHECKPOINT_TYPE": "classification",
        "VENV": sys.prefix,
    }
    command = ["make", "split", "tfrecord", "train", *(f"{key}={value}" for key, value in variables.items())]
    run(ROOT, args.work / f"{name}_{seed}.log", *command)
    model = workspace / "models" / name
    config = pipeline.read_config(model / "pipeline.config")
    config.eval_config.use_moving_averages = recipe == "averages"
    results = model / re.sub(r"\W+", "_", recipe)
    results.mkdir(exist_ok=True)
    pipeline.write_config(results / "pipeline.config", config)
    words = ["--model", model, "--pipeline_config_path", results / "pipeline.config", "--output", results]
    run(workspace, results / "evaluate.log", sys.executable, ROOT / "scripts/evaluate.py", *words)
    return json.loads((results / "metrics.json").read_text())["metrics"]


def run(folder, log, *command):
    with log.open("w") as file:
        done = subprocess.run(list(map(str, command)), cwd=folder, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(log.read_text()[-3000:])


def main():
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    head = ["recipe", *(f"seed {seed}" for seed in args.seeds), "mean mAP", "mean AP50"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for recipe in args.recipes:
        found = [measure(args, recipe, seed) for seed in args.seeds]
        values = [one["DetectionBoxes_Precision/mAP"] for one in found]
        halves = statistics.mean(one["DetectionBoxes_Precision/mAP@.50IOU"] for one in found)
        cells = [f"{value:.3f}" for value in [*values, statistics.mean(values), halves]]
        print(f"| {' | '.join([recipe, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
