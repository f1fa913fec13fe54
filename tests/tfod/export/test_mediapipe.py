"""Google's own runtime as the judge of our TFLite files: names, boxes and scores, in an environment of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from tfod.inference.backends import open_model

FOLDER = ROOT / "tests/mediapipe"


@pytest.fixture(scope="module")
def mediapipe(tmp_path_factory):
    """`mediapipe(model, photos)`: a list for each photo, of what `run_mediapipe.py` prints."""
    venv = tmp_path_factory.mktemp("mediapipe") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    install = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r"]
    subprocess.run([*install, FOLDER / "requirements.txt"], check=True)

    def run(model, photos):
        command = [venv / "bin/python", FOLDER / "run_mediapipe.py", model, *photos]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.long
def test_mediapipe_finds_what_we_find(tflite_files, mediapipe, tmp_path):
    """On photos of the model's own size: MediaPipe resizes in another way than the OD API trained the model."""
    workspace, _ = tflite_files
    photos = []
    for number, path in enumerate(sorted((workspace / "images").glob("*.jpg"))):
        photos.append(tmp_path / f"{number}.png")
        with Image.open(path) as photo:
            photo.convert("RGB").resize((96, 96)).save(photos[-1])
    for kind in ("float32", "float16", "dynamic", "int8"):
        model = workspace / f"exported_models/my_model/tflite/model_{kind}.tflite"
        runtime = open_model(model, 1)
        compared = 0
        for photo, theirs in zip(photos, mediapipe(model, photos), strict=True):
            theirs.sort(key=lambda one: -one[1])
            boxes, classes, scores, _ = (part[0] for part in runtime.run(np.asarray(Image.open(photo))[np.newaxis]))
            names = np.array([runtime.labels[int(number)] for number in classes])
            ymin, xmin, ymax, xmax = boxes.T * 96
            # a box that begins before the photo is moved to its edge by MediaPipe, and stays as wide, up to the other
            left, top = xmin.clip(0), ymin.clip(0)
            width, height = np.minimum(xmax - xmin, 96 - left), np.minimum(ymax - ymin, 96 - top)
            edges = np.stack([left, top, width, height], axis=1)
            assert len(theirs) >= 20
            for name, score, *box in theirs[:20]:
                # equal scores may come in another order, so the pair is the nearest of them
                alike = np.flatnonzero((np.abs(scores - score) < 0.001) & (names == name))
                assert len(alike), f"{kind}, {photo.name}: {name} {score} is not among ours"
                assert np.abs(edges[alike] - box).max(axis=1).min() <= 1.01  # it cuts off to whole pixels
                compared += 1
            assert [one[1] for one in theirs[:20]] == pytest.approx(np.sort(scores)[::-1][:20].tolist(), abs=0.001)
        assert compared == 20 * len(photos)
