"""Made-up evaluations, for the tests: `Evaluated` of any number of images, with every case that metrics know."""

import numpy as np

from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth


def make_random(seed, images=12, classes=3, objects=4, ties=False):
    """Images of 100 x 100 pixels with up to `objects` objects each, detected well, badly, twice, or not at all.

    One object in ten is a crowd. The last class has objects in the first image only. With `ties`, many detections of
    different images have equal scores, and none of one image have.
    """
    random = np.random.default_rng(seed)
    ground_truth, detections = [], []
    for image in range(images):
        count = random.integers(0, objects + 1)
        scores = random.permutation(np.linspace(0.05, 0.95, 40)) if ties else random.random(1000)
        used = iter(scores.tolist())
        for _ in range(count):
            label = int(random.integers(1, max(2, classes + (image == 0))))
            corner, size = random.uniform(0, 60, 2), random.uniform(10, 40, 2)
            box = np.concatenate([corner, corner + size])
            ground_truth.append((image, label, box, random.random() < 0.1))
            for _ in range(random.choice([0, 1, 1, 2])):
                noise = random.normal(0, random.choice([0.2, 2, 5]), 4)
                shown = label if random.random() < 0.85 else int(random.integers(1, classes + 1))
                detections.append((image, shown, box + noise, next(used)))
        for _ in range(random.integers(0, 3)):
            corner = random.uniform(0, 60, 2)
            label = int(random.integers(1, classes + 1))
            detections.append((image, label, np.concatenate([corner, corner + 20]), next(used)))
    columns = list(zip(*ground_truth, strict=True)) or [[]] * 4
    names = {label: f"class {label}" for label in range(1, classes + 1)}
    photos = [Image(f"{image}.jpg", 100, 100, f"images/{image}.jpg") for image in range(images)]
    return Evaluated(
        names, photos, make_ground_truth(*columns), make_detections(*(zip(*detections, strict=True) or [[]] * 4))
    )


def repeat_images(one, counts):
    """The evaluation with image i in it `counts[i]` times."""
    chosen = np.repeat(np.arange(len(one.images)), counts)
    sides = []
    for part in (one.ground_truth, one.detections):
        rows = [np.flatnonzero(part.image == image) for image in chosen]
        image = np.repeat(np.arange(len(chosen)), list(map(len, rows)))
        row = np.concatenate([np.zeros(0, np.int64), *rows])
        sides.append(type(part)(image, *(column[row] for column in part[1:])))
    return Evaluated(one.names, [one.images[image] for image in chosen], *sides)
