"""Evaluated models, made up, for tests: folders as evaluate.py leaves them, without a training."""

import numpy as np
from conftest import draw_photo

from tfod.evaluation.curves import measure_curves
from tfod.evaluation.metrics import measure_coco
from tfod.evaluation.metrics_files import keep_measured, list_classes
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth
from tfod.utils import files

SIZE = (96, 64)  # pixels of the photos: width, height


def make_photos(folder, images):
    """Saves photos, each with one bright box, and returns an `Evaluated` that finds nothing in them.

    Odd ones are of class 1, cat, even ones of class 2, dog.
    """
    folder.mkdir(parents=True, exist_ok=True)
    photos, box = [], []
    for number in range(images):
        path = folder / f"photo {number}.jpg"
        draw_photo(number, SIZE).save(path)
        left, top = 8 + number * 5 % 40, 8 + number * 3 % 24
        photos.append(Image(path.name, *SIZE, str(path)))
        box.append([top, left, top + 21, left + 31])
    label = [1 if number % 2 else 2 for number in range(images)]
    return Evaluated({1: "cat", 2: "dog"}, photos, make_ground_truth(range(images), label, box), make_detections())


def detect(empty, seed, noise=0.5, missed=0.0, wrong=0.0):
    """Detections for `make_photos`: `noise` is in pixels, `missed` and `wrong` are shares of the images."""
    random = np.random.default_rng(seed)
    rows = []
    for image, label, box in zip(*empty.ground_truth[:3], strict=True):
        if random.random() >= missed:
            rows.append((image, label, box + random.normal(0, noise, 4), random.uniform(0.5, 1)))
        if random.random() < wrong:
            rows.append((image, label, [40, 70, 62, 94], random.uniform(0.3, 0.9)))
    detections = make_detections(*zip(*rows, strict=True)) if rows else make_detections()
    return Evaluated(empty.names, empty.images, empty.ground_truth, detections)


def write_model(folder, evaluated, step=600, **more):
    """Writes what an evaluation leaves in a model's folder, and returns that."""
    result = measure_coco(evaluated)
    report = {
        "step": step,
        "checkpoint": f"models/{folder.name}/ckpt-{step}",
        "metrics": result.metrics,
        "data": ["images/test"],
        "images": len(evaluated.images),
        "seconds": {"images": 2.0},
        "classes": list_classes(result, measure_curves(evaluated)),
        "errors": [],
    }
    folder.mkdir(parents=True, exist_ok=True)
    keep_measured(folder, files.fingerprint([], made="up"), evaluated, report | more)
    return folder
