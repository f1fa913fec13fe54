"""Measures ways of training on the raccoon photos: mAP on the test photos after so many steps, each with several seeds.

    python tests/bench/bench_recipes.py --data raccoon/images --checkpoint mobilenet_v2.ckpt-1 -w /tmp/recipes

A seed means another split, other new weights and another order. What was trained is kept in the folder, and not trained
again: the command can be stopped, and goes on where it was. Prints the table of docs/recipes.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOMENTUM = "train_config.optimizer.momentum_optimizer"
RATE = f"{MOMENTUM}.learning_rate.cosine_decay_learning_rate"
SCHEDULE = (
    f"{MOMENTUM}.momentum_optimizer_value=0.9 {RATE}.learning_rate_base={{rate}} {RATE}.total_steps={{steps}}"
    f" {RATE}.warmup_learning_rate={{first}} {RATE}.warmup_steps={{warmup}}"
)
RECIPES = {  # name -> variables of make
    "default": {},
    "light": {"AUGMENT": "light"},
    "strong": {"AUGMENT": "strong"},
    "averages": {"EMA": "0.99"},
    "frozen backbone": {"FREEZE": "backbone"},
    "momentum 0.04": {"SET": SCHEDULE.format(rate=0.04, steps="{steps}", first=0.013, warmup="{warmup}")},
    "momentum 0.04, light": {
        "AUGMENT": "light",
        "SET": SCHEDULE.format(rate=0.04, steps="{steps}", first=0.013, warmup="{warmup}"),
    },
    "the zoo's schedule": {"SET": SCHEDULE.format(rate=0.08, steps=50000, first=0.026666, warmup=1000)},
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the raccoon photos and XML files")
    parser.add_argument("--checkpoint", type=Path, required=True, help="ImageNet backbone, without its suffix")
    parser.add_argument("-w", "--work", type=Path, required=True, help="folder for the workspaces")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="which (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--steps", type=int, default=600, help="default: 600")
    return parser.parse_args()


def train(args, recipe, seed):
    """Trains and measures: dict of metrics, by upstream's names."""
    workspace = args.work.resolve() / f"seed_{seed}"
    images = workspace / "images"
    if not images.exists():
        images.mkdir(parents=True)
        for path in [*args.data.glob("*.jpg"), *args.data.glob("*.xml")]:
            shutil.copy(path, images)
    name = recipe.replace(" ", "_").replace(",", "").replace("'", "")
    variables = {key: value.format(steps=args.steps, warmup=args.steps // 10) for key, value in RECIPES[recipe].items()}
    variables |= {
        "WORKSPACE": workspace,
        "MODEL": name,
        "SEED": seed,
        "STEPS": args.steps,
        "CHECKPOINT_EVERY": args.steps,
        "PRETRAINED": "",
        "FINE_TUNE_CHECKPOINT": args.checkpoint.resolve(),
        "FINE_TUNE_CHECKPOINT_TYPE": "classification",
    }
    command = ["make", "split", "tfrecord", "train", "eval", *(f"{key}={value}" for key, value in variables.items())]
    environment = os.environ | {"VENV": os.environ.get("VENV", sys.prefix)}
    with (args.work / f"{name}_{seed}.log").open("w") as log:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(Path(log.name).read_text()[-3000:])
    return json.loads((workspace / "models" / name / "metrics.json").read_text())["metrics"]


def main():
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    head = ["recipe", *(f"seed {seed}" for seed in args.seeds), "mean mAP", "mean AP50"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for recipe in args.recipes:
        found = [train(args, recipe, seed) for seed in args.seeds]
        values = [one["DetectionBoxes_Precision/mAP"] for one in found]
        halves = statistics.mean(one["DetectionBoxes_Precision/mAP@.50IOU"] for one in found)
        cells = [f"{value:.3f}" for value in [*values, statistics.mean(values), halves]]
        print(f"| {' | '.join([recipe, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
