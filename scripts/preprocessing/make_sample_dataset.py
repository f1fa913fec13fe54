"""Draws a sample data set to try everything with: cats and dogs, as JPEG images with labelImg-style XML files.

The animals come in many colours, sizes, tilts and overlaps, on busy backgrounds, 1 to 4 in an image. Each box is
tight around what can be seen of its animal. The same seed gives the same bytes.

    python scripts/preprocessing/make_sample_dataset.py -o images
"""

import json
import random
from pathlib import Path

from PIL import Image, ImageChops

from tfod.data.synthetic import draw_animal, draw_background
from tfod.data.voc import Box, write_annotation
from tfod.utils.console import InputError, make_parser, progress, run, say
from tfod.utils.files import parse_json, read_bytes, sha256, write_whole

SHAPES = [(1, 1), (1, 0.75), (0.75, 1), (1, 0.625)]  # width and height, as parts of --size
LENGTHS = {1: (0.5, 0.9), 2: (0.45, 0.65), 3: (0.38, 0.5), 4: (0.34, 0.44)}  # by animals; of the shorter side
MOST_HIDDEN = 0.2  # of an animal's pixels, and of its face's, behind others or outside of the image
OVERHANG = 0.05  # of an animal's width and height may be outside of the image
MANIFEST = ".sample.json"  # in the folder: what was drawn there


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="new folder for the data set")
    parser.add_argument("-n", "--number", type=int, default=300, help="images to draw")
    parser.add_argument("--size", type=int, default=320, help="longer side of the images, in pixels")
    parser.add_argument("--seed", type=int, default=7, help="another seed draws other images")
    arguments = parser.parse_args()
    if arguments.number < 1:
        parser.error("--number must be 1 or more")
    if not 160 <= arguments.size <= 2048:
        parser.error("--size must be from 160 to 2048 pixels")
    return arguments


def find_shape(animal):
    """The drawn pixels of an RGBA image: a mask ("L", 0 or 255)."""
    return animal.getchannel("A").point(lambda alpha: 255 * (alpha >= 64))


def find_visible(placed, size):
    """Of each animal in `placed`, later ones over earlier ones: the mask of what can be seen of it."""
    masks = []
    for _, animal, _, corner in placed:
        mask = Image.new("L", size)
        mask.paste(find_shape(animal), corner)
        masks = [*(ImageChops.subtract(former, mask) for former in masks), mask]
    return masks


def count_pixels(mask):
    return mask.histogram()[255]


def find_hidden(placed, size):
    """The part, 0 to 1, that cannot be seen, of each animal in `placed` and of each one's face."""
    hidden = []
    for (_, animal, face, corner), mask in zip(placed, find_visible(placed, size), strict=True):
        there = Image.new("L", size)
        there.paste(face, corner)
        seen_face = count_pixels(ImageChops.darker(mask, there)) / count_pixels(face)
        hidden.append((1 - count_pixels(mask) / count_pixels(find_shape(animal)), 1 - seen_face))
    return hidden


def place_animals(rng, size):
    """Animals for an image of `size`, none too much hidden: (kind, RGBA image, face, left upper corner) for each."""
    width, height = size
    wanted = rng.choices(list(LENGTHS), [3, 4, 2, 1])[0]
    placed = []
    for _ in range(60):
        kind = rng.choice(["cat", "dog"])
        animal, face = draw_animal(rng, kind, rng.uniform(*LENGTHS[wanted]) * min(size))
        x = round(rng.uniform(-OVERHANG * animal.width, width - (1 - OVERHANG) * animal.width))
        y = round(rng.uniform(-OVERHANG * animal.height, height - (1 - OVERHANG) * animal.height))
        tried = [*placed, (kind, animal, face, (x, y))]
        if all(max(parts) <= MOST_HIDDEN for parts in find_hidden(tried, size)):
            placed = tried
        if len(placed) == wanted:
            break
    return placed


def draw_image(rng, size):
    """An RGB image of `size` (width, height) pixels and its boxes, tight around what can be seen."""
    width, height = size
    image = draw_background(rng, size)
    placed = place_animals(rng, size)
    for _, animal, _, corner in placed:
        image.paste(animal, corner, animal)
    boxes = []
    for (kind, *_), mask in zip(placed, find_visible(placed, size), strict=True):
        xmin, ymin, xmax, ymax = mask.getbbox()
        cut = xmin == 0 or ymin == 0 or xmax == width or ymax == height
        boxes.append(Box(kind, xmin, ymin, xmax, ymax, truncated=int(cut)))
    return image, boxes


def draw_dataset(folder, number, size, seed):
    """Draws `number` images and their XML files into the new folder, and the manifest that names them all."""
    digits = max(3, len(str(number)))
    folder.mkdir()
    for i in progress(range(1, number + 1), "drawing"):
        rng = random.Random(f"{seed}/{i}")  # each image its own: the fifth is the same whatever --number is
        width, height = (round(size * part) for part in rng.choice(SHAPES))
        image, boxes = draw_image(rng, (width, height))
        path = folder / f"sample-{i:0{digits}}.jpg"
        image.save(path, quality=90)
        write_annotation(path.with_suffix(".xml"), path.name, width, height, boxes)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    manifest = {"settings": {"number": number, "size": size, "seed": seed}, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def read_settings(folder):
    """The settings that the folder was drawn with, or None if it is not, or no longer, what this script drew."""
    try:
        manifest = parse_json(read_bytes(folder / MANIFEST))
        files, settings = manifest["files"], manifest["settings"]
    except (InputError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(files, dict) or not isinstance(settings, dict):
        return None
    whole = all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in files.items())
    return settings if whole else None


def main():
    arguments = parse_arguments()
    folder = arguments.output
    settings = {"number": arguments.number, "size": arguments.size, "seed": arguments.seed}
    there = read_settings(folder)
    if there == settings:
        say(f"{folder} is up to date ({arguments.number} images, seed {arguments.seed})")
        return
    if there:
        what = "holds another sample data set (" + ", ".join(f"{key} {value}" for key, value in there.items()) + ")"
        raise InputError(f"{folder}: {what}; delete it or give another folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds files already; give a new or empty folder")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give a new or empty folder")
    with write_whole(folder) as fresh:
        draw_dataset(fresh, **settings)
    print(f"Drew {arguments.number} images of cats and dogs into {folder} (seed {arguments.seed})")


if __name__ == "__main__":
    run(main)
