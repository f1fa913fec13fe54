"""How long everything after the model's forward pass takes on 5,000 made-up images, and how much memory; one table.

    python tests/bench/bench_eval_metrics.py

Each image has 20 boxes of 80 classes and 100 detections: nine of ten boxes are found, some of them twice, in the wrong
place or as something else, and the rest is background. One process makes the data, writes and reads the files, and
measures everything that `make eval` and `make report` show. Peak memory is that of the whole process, numpy included.
"""

import os
import resource
import tempfile
import time

import numpy as np

from tfod.evaluation import curves, metrics, tide
from tfod.evaluation.results import (
    Evaluated,
    Image,
    make_detections,
    make_ground_truth,
    read_evaluated,
    write_evaluated,
)
from tfod.utils.console import make_parser, run, say

WANTED_SECONDS, WANTED_MEMORY = 60, 1000  # MB
WIDTH, HEIGHT = 640, 480


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=5000, help="number of images")
    parser.add_argument("--objects", type=int, default=20, help="boxes of each image")
    parser.add_argument("--found", type=int, default=100, help="detections in each image")
    parser.add_argument("--classes", type=int, default=80, help="number of classes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the made-up data")
    return parser.parse_args()


def make_up(images, objects, found, classes, seed):
    """An `Evaluated` with that many images, boxes and detections of each, and classes."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), objects)
    label = rng.integers(1, classes + 1, len(image))
    side = np.exp(rng.uniform(np.log(12), np.log(220), (len(image), 2)))
    corner = rng.uniform(0, 1, (len(image), 2)) * ([HEIGHT, WIDTH] - side)
    box = np.concatenate([corner, corner + side], 1)
    crowd = rng.random(len(image)) < 0.01

    hit = np.flatnonzero(rng.random(len(image)) < 0.9)
    again = hit[rng.random(len(hit)) < 0.15]
    source = np.concatenate([hit, again])
    moved = box[source] + rng.normal(0, 0.08, (len(source), 4)) * np.tile(side[source], 2)
    named = np.where(rng.random(len(source)) < 0.9, label[source], rng.integers(1, classes + 1, len(source)))
    sure = rng.beta(4, 2, len(source))

    rest = np.maximum(0, found - np.bincount(image[source], minlength=images))
    where = np.repeat(np.arange(images), rest)
    sizes = np.exp(rng.uniform(np.log(12), np.log(220), (len(where), 2)))
    start = rng.uniform(0, 1, (len(where), 2)) * ([HEIGHT, WIDTH] - sizes)
    background = np.concatenate([start, start + sizes], 1)
    boxes = np.concatenate([moved, background]).clip(0, [HEIGHT, WIDTH] * 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
    return Evaluated(
        {number: f"class {number}" for number in range(1, classes + 1)},
        [Image(f"{i}.jpg", WIDTH, HEIGHT, f"images/{i}.jpg") for i in range(images)],
        make_ground_truth(image, label, box, crowd),
        make_detections(
            np.concatenate([image[source], where]),
            np.concatenate([named, rng.integers(1, classes + 1, len(where))]),
            boxes,
            np.float32(np.concatenate([sure, rng.beta(1, 8, len(where))])),
        ),
    )


def measure_all(evaluated, folder):
    """Does everything, and returns rows (stage, seconds, peak MB until then)."""
    rows = []

    def stage(name, do, *arguments):
        began = time.perf_counter()
        result = do(*arguments)
        rows.append((name, time.perf_counter() - began, find_peak()))
        say(f"{name}: {rows[-1][1]:.1f} s")
        return result

    stage("write the JSON files", write_evaluated, folder, evaluated)
    evaluated = stage("read the JSON files", read_evaluated, folder)
    stage("COCO metrics", metrics.measure_coco, evaluated)
    errors = stage("error kinds", tide.find_errors, evaluated)
    stage("costs of the kinds", tide.measure_costs, evaluated, errors)
    found = stage("curves and thresholds", curves.measure_curves, evaluated, errors)
    thresholds = {number: curve.threshold for number, curve in found.items()}
    stage("counts of the kinds", tide.count_kinds, evaluated, errors, thresholds)
    stage("confusion matrix", curves.count_confusions, evaluated, thresholds, errors)
    stage("calibration", curves.measure_calibration, evaluated, 10, errors)
    stage("images worst first", curves.rank_images, evaluated, errors, thresholds)
    stage(
        "sizes", curves.measure_sizes, evaluated, errors, thresholds, lambda width, height: (320 / width, 320 / height)
    )
    return rows


def find_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    args = parse_arguments()
    evaluated = make_up(args.images, args.objects, args.found, args.classes, args.seed)
    objects, found = len(evaluated.ground_truth.label), len(evaluated.detections.label)
    print(f"{args.images} images, {objects} boxes, {found} detections, {args.classes} classes, seed {args.seed}")
    start = find_peak()
    with tempfile.TemporaryDirectory(prefix="bench_eval.") as folder:
        rows = measure_all(evaluated, folder)
    total = sum(seconds for _, seconds, _ in rows)
    print(f"{'':24}{'seconds':>8}{'peak MB':>9}")
    print(f"{'the data itself':24}{'':>8}{start:9.0f}")
    for name, seconds, peak in rows:
        print(f"{name:24}{seconds:8.2f}{peak:9.0f}")
    print(f"{'all':24}{total:8.2f}{find_peak():9.0f}   (wanted: {WANTED_SECONDS} s, {WANTED_MEMORY} MB)")
    print(f"load average of the machine: {os.getloadavg()[0]:.1f}, cores: {os.cpu_count()}")
    return int(total > WANTED_SECONDS or find_peak() > WANTED_MEMORY)


if __name__ == "__main__":
    run(main)
