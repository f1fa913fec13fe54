"""The sample data set: the same bytes from the same seed, tight boxes, and nobody's files touched."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from make_sample_dataset import MANIFEST
from tfod.data.voc import read_annotation

SCRIPTS = Path(__file__).parents[2] / "scripts" / "preprocessing"


def make(*arguments):
    command = [sys.executable, SCRIPTS / "make_sample_dataset.py", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "images"
    done = make("-o", folder, "--number", 40)
    assert done.returncode == 0, done.stderr
    assert "seed 7" in done.stdout
    return folder


@pytest.fixture
def drawing(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)  # where python finds a script's own neighbours
    import make_sample_dataset

    return make_sample_dataset


def test_each_image_has_its_annotation(sample):
    images = sorted(sample.glob("*.jpg"))
    assert len(images) == 40
    classes = Counter()
    for path in images:
        annotation = read_annotation(path.with_suffix(".xml"))
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert (annotation.width, annotation.height) == image.size
        assert annotation.filename == path.name
        assert 1 <= len(annotation.boxes) <= 4
        classes.update(box.name for box in annotation.boxes)
        shorter = min(annotation.width, annotation.height)
        for box in annotation.boxes:
            assert 0 <= box.xmin < box.xmax <= annotation.width
            assert 0 <= box.ymin < box.ymax <= annotation.height
            assert min(box.xmax - box.xmin, box.ymax - box.ymin) >= 0.12 * shorter
    assert set(classes) == {"cat", "dog"}
    assert min(classes.values()) > 0.3 * sum(classes.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(sample, tmp_path):
    assert make("-o", tmp_path / "again", "--number", 40).returncode == 0
    assert read_bytes(tmp_path / "again") == read_bytes(sample)
    assert make("-o", tmp_path / "other", "--number", 2, "--seed", 8).returncode == 0
    assert (tmp_path / "other/sample-001.jpg").read_bytes() != (sample / "sample-001.jpg").read_bytes()


def test_an_image_does_not_depend_on_the_number_of_images(sample, tmp_path):
    assert make("-o", tmp_path / "few", "--number", 3).returncode == 0
    for name in ("sample-003.jpg", "sample-003.xml"):
        assert (tmp_path / "few" / name).read_bytes() == (sample / name).read_bytes()


def test_boxes_are_tight_around_what_is_drawn_on_the_background(drawing):
    """What differs between the image and its background alone is what was drawn: the boxes' union must be around it."""
    for seed in range(60):
        size = (320, 240)
        image, boxes = drawing.draw_image(random.Random(seed), size)
        background = drawing.draw_background(random.Random(seed), size)
        channels = ImageChops.difference(image, background).split()
        changed = ImageChops.lighter(ImageChops.lighter(*channels[:2]), channels[2]).point(lambda d: 255 * (d > 0))
        union = (
            min(box.xmin for box in boxes),
            min(box.ymin for box in boxes),
            max(box.xmax for box in boxes),
            max(box.ymax for box in boxes),
        )
        # the half transparent edge of an animal counts as changed, not as drawn: one pixel
        assert all(abs(a - b) <= 1 for a, b in zip(changed.getbbox(), union, strict=True)), seed


def test_no_animal_is_hidden_more_than_the_limit(drawing):
    overlaps = 0
    for seed in range(25):
        placed = drawing.place_animals(random.Random(seed), (240, 320))
        for whole, face in drawing.find_hidden(placed, (240, 320)):
            assert 0 <= whole <= drawing.MOST_HIDDEN
            assert 0 <= face <= drawing.MOST_HIDDEN
            overlaps += whole > 0.02
    assert overlaps >= 5  # and the data set does have overlaps


def test_size_scales_the_image(tmp_path):
    assert make("-o", tmp_path / "small", "-n", 5, "--size", 200).returncode == 0
    for path in (tmp_path / "small").glob("*.jpg"):
        with Image.open(path) as image:
            assert max(image.size) == 200


def test_a_second_run_does_nothing_and_says_so(sample):
    before = {path: path.stat().st_mtime_ns for path in sample.iterdir()}
    done = make("-o", sample, "--number", 40)
    assert done.returncode == 0
    assert "is up to date (40 images, seed 7)" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in sample.iterdir()} == before


def test_what_later_steps_add_leaves_it_up_to_date(tmp_path):
    folder = tmp_path / "images"
    make("-o", folder, "-n", 2)
    (folder / "train").mkdir()
    (folder / "split.json").write_text("{}")
    assert "is up to date" in make("-o", folder, "-n", 2).stderr


@pytest.mark.parametrize("spoil", ["change", "remove", "pipe", "[1]", "[" * 100_000, '{"files": [], "settings": {}}'])
def test_a_spoilt_sample_is_neither_up_to_date_nor_overwritten(tmp_path, spoil):
    folder = tmp_path / "images"
    make("-o", folder, "-n", 2)
    if spoil == "change":
        (folder / "sample-001.xml").write_text("<annotation/>")
    elif spoil == "remove":
        (folder / "sample-001.xml").unlink()
    else:
        (folder / MANIFEST).unlink()
        os.mkfifo(folder / MANIFEST) if spoil == "pipe" else (folder / MANIFEST).write_text(spoil)
    before = read_bytes(folder)
    done = make("-o", folder, "-n", 2)
    assert done.returncode == 1
    assert done.stderr == f"error: {folder}: holds files already; give a new or empty folder\n"
    assert read_bytes(folder) == before


def test_other_settings_are_refused(tmp_path):
    folder = tmp_path / "images"
    make("-o", folder, "-n", 2)
    done = make("-o", folder, "-n", 3)
    assert done.returncode == 1
    assert "holds another sample data set (number 2, size 320, seed 7); delete it or give another folder" in done.stderr


def test_a_folder_with_other_files_and_a_file_are_refused(tmp_path):
    photo = tmp_path / "images" / "photo.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"mine")
    done = make("-o", photo.parent, "-n", 1)
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds files already" in done.stderr
    assert read_bytes(photo.parent) == {"photo.jpg": b"mine"}
    done = make("-o", photo, "-n", 1)
    assert done.returncode == 1
    assert done.stderr == f"error: {photo}: is not a folder; give a new or empty folder\n"


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "images").mkdir()
    assert make("-o", tmp_path / "images", "-n", 1).returncode == 0
    assert (tmp_path / "images/sample-001.xml").exists()


@pytest.mark.parametrize("wrong", [["--number", "0"], ["--size", "100"], ["--size", "5000"]])
def test_a_wrong_call_ends_with_2(tmp_path, wrong):
    done = make("-o", tmp_path / "images", *wrong)
    assert done.returncode == 2
    assert f"{wrong[0]} must be" in done.stderr
    assert not (tmp_path / "images").exists()
