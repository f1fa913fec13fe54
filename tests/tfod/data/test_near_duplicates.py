"""Copies of a photo are found whatever their size and compression; different photos are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tfod.data.checks import COLUMNS, ROWS, SAMPLED, find_near_duplicates, make_thumbnail
from tfod.data.images import read_image, read_small


def compress(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cut(image, share):
    width, height = image.size
    x, y = round(width * share), round(height * share)
    return image.crop((x, y, width - x, height - y))


COPIES = {  # name -> (what is done to the photo, least share of the copies that must be found)
    "itself": (lambda image: image, 1.0),
    "half the size": (lambda image: image.resize((image.width // 2, image.height // 2)), 1.0),
    "a third of the size": (lambda image: image.resize((image.width // 3, image.height // 3)), 1.0),
    "twice the size": (lambda image: image.resize((image.width * 2, image.height * 2)), 1.0),
    "JPEG of quality 30": (lambda image: compress(image, 30), 1.0),
    "JPEG of quality 10": (lambda image: compress(image, 10), 1.0),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.15), 1.0),
    "1 % cut off each side": (lambda image: cut(image, 0.01), 1.0),
    "2 % cut off each side": (lambda image: cut(image, 0.02), 0.95),
}


@pytest.fixture(scope="module")
def raccoons(raccoon_images):
    paths = sorted(raccoon_images.glob("*.jpg"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return {int(path.stem.rpartition("-")[2]): read_image(path) for path in paths}


def test_photos_that_were_decoded_smaller_look_the_same(raccoon_images, raccoons):
    small = [make_thumbnail(read_small(raccoon_images / f"raccoon-{number}.jpg", SAMPLED)[0]) for number in raccoons]
    found = find_near_duplicates(small, [make_thumbnail(image) for image in raccoons.values()])
    assert [i for i, near in found if i in near] == list(range(200))


@pytest.mark.parametrize("small", [False, True])
def test_different_raccoon_photos_are_told_apart(raccoon_images, raccoons, small):
    thumbnails = [make_thumbnail(image) for image in raccoons.values()]
    if small:
        paths = [raccoon_images / f"raccoon-{number}.jpg" for number in raccoons]
        thumbnails = [make_thumbnail(read_small(path, SAMPLED)[0]) for path in paths]
    numbers = list(raccoons)
    pairs = {
        (numbers[i], numbers[k])
        for i, near in find_near_duplicates(thumbnails, thumbnails)
        for k in near
        if numbers[i] < numbers[k]
    }
    # the same photo, at one size or two: nobody needs more than a look to see it
    assert pairs == {(65, 98), (83, 120), (52, 74), (11, 116), (50, 52), (50, 74), (21, 45), (51, 85)}


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_raccoon_photos_are_found(raccoons, name):
    change, least = COPIES[name]
    thumbnails = [make_thumbnail(image) for image in raccoons.values()]
    copies = [make_thumbnail(change(image)) for image in raccoons.values()]
    found = {i for i, near in find_near_duplicates(copies, thumbnails) if i in near}
    assert len(found) >= least * len(raccoons)


def test_the_best_comes_first_and_blocks_change_nothing():
    rng = np.random.default_rng(0)
    others = rng.integers(0, 256, (3000, ROWS * COLUMNS), dtype=np.uint8)
    near = np.clip(others[:50].astype(int) + rng.integers(-9, 10, others[:50].shape), 0, 255).astype(np.uint8)
    others = [*map(bytes, others), *map(bytes, near)]
    found = find_near_duplicates(list(map(bytes, near)), others)
    assert found == [(i, [3000 + i, i]) for i in range(50)]
    parts = [find_near_duplicates([bytes(row)], others) for row in near]
    assert [part[0][1] for part in parts] == [indices for _, indices in found]


def test_photos_of_one_colour_resemble_none():
    plain = make_thumbnail(Image.new("RGB", (50, 40), "red"))
    assert len(plain) == ROWS * COLUMNS
    assert find_near_duplicates([plain], [plain]) == []
    assert find_near_duplicates([], [plain]) == find_near_duplicates([plain], []) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 2)])
def test_any_size_has_a_thumbnail(size):
    assert len(make_thumbnail(Image.new("RGB", size))) == ROWS * COLUMNS
