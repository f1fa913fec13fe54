#!/usr/bin/env python3
"""Finds objects in photos, or in what a camera sees, with a TFLite file that `make tflite` made. Needs no TensorFlow.

    python3 -m venv venv && venv/bin/pip install --no-deps --require-hashes -r requirements.txt
    venv/bin/python detect.py photos              # a folder or files; prints a line of JSON for each photo
    venv/bin/python detect.py photos -o found     # and draws what it found: found/NAME
    venv/bin/python detect.py --camera 0          # with OpenCV (opencv-python-headless); Ctrl-C ends it

A box is [left, top, right, bottom] in pixels of the upright photo.
"""

import argparse
import json
import os
import sys
import time
import zipfile
from pathlib import Path

try:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image, ImageDraw, ImageFont, ImageOps
except ImportError as error:
    advice = "pip install --no-deps --require-hashes -r requirements.txt"
    sys.exit(f"error: {error.name}: can't be imported ({error}); {advice}")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FONTS = ("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf")  # for names beyond Latin letters
COLOURS = ["orange", "deepskyblue", "lime", "yellow", "violet", "tomato", "white", "aqua"]


class InputError(Exception):
    """The text `FILE: what is wrong; what to do`."""


def open_detector(path, threads):
    """(detect, class names); detect(photo), of uint8 [height, width, 3], RGB, gives, best first: boxes [N, 4], `[ymin,
    xmin, ymax, xmax]` from 0 to 1; classes [N], from 0; scores [N]."""
    try:
        with zipfile.ZipFile(path) as archive:  # at the end of the same file
            labels = archive.read("labels.txt").decode().split("\n")[:-1]
            mean, std = (np.float32(part) for part in json.loads(archive.read("normalization.json")))
        # with 2 threads or more, but fewer than classes, TFLite loses a class (TensorFlow issue 56058)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        model = Interpreter(str(path), num_threads=threads or (cores if len(labels) <= cores else 1))
        model.allocate_tensors()
    except (OSError, ValueError, RuntimeError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: can't be run ({error}); name a .tflite file that `make tflite` made") from error
    taken, given = model.get_input_details()[0], [part["index"] for part in model.get_output_details()]
    kind, (scale, zero) = taken["dtype"], taken["quantization"]

    def detect(photo):
        pixels = (resize(photo, *taken["shape"][1:3]) - mean) / std
        if kind != np.float32:
            # rounded, and always up where it lies half way between two steps, which np.round would not
            pixels = np.floor(pixels / np.float32(scale or 1) + np.float32(0.501)) + zero
            pixels = pixels.clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
        model.set_tensor(taken["index"], pixels[np.newaxis])
        model.invoke()
        boxes, classes, scores, count = (model.get_tensor(index)[0] for index in given[:4])
        best = np.argsort(-scores[: int(count)], kind="stable")
        return boxes[best].clip(0, 1), classes[best].astype(int), scores[best]

    return detect, labels


def resize(photo, height, width):
    """The photo in another size, float32, as the detector saw photos in training: bilinear, pixel i of the result lying
    at i * h / height of the photo. Pillow and OpenCV know other kinds only."""
    y = np.arange(height, dtype=np.float32) * np.float32(photo.shape[0] / height)
    x = np.arange(width, dtype=np.float32) * np.float32(photo.shape[1] / width)
    top, left = y.astype(int), x.astype(int)
    bottom, right = np.minimum(top + 1, photo.shape[0] - 1), np.minimum(left + 1, photo.shape[1] - 1)
    along, down = (x - np.float32(left))[:, np.newaxis], (y - np.float32(top))[:, np.newaxis, np.newaxis]
    upper, lower = (
        rows[:, left] + (rows[:, right] - rows[:, left]) * along
        for rows in (np.float32(photo[top]), np.float32(photo[bottom]))
    )
    return upper + (lower - upper) * down


def list_detections(boxes, classes, scores, labels, size, least):
    """What JSON says of the detections of the score `least` or more, in a photo of `size` (width, height) pixels."""
    edges = (boxes[:, [1, 0, 3, 2]] * np.float64(size * 2)).round(2).tolist()
    return [
        {"class": labels[number], "id": number + 1, "score": round(score, 6), "box": box}
        for box, number, score in zip(edges, classes.tolist(), scores.tolist(), strict=True)
        if score >= least
    ]


def list_photos(places):
    """The photos among `places`, and those right in the folders among them."""
    found = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        found += [p for p in inside if p == place or p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise InputError(f"{', '.join(map(str, places))}: holds no photos; name photos, or folders of photos")
    return found


def read_photo(path):
    """A photo as a Pillow image: RGB, upright."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):  # Pillow would make all but the darkest white
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # the decoders raise nearly anything
        raise InputError(f"{path}: can't be read as a photo ({error}); replace it with a sound copy") from error


def read_camera(number):
    """Yields (name, photo) of what a camera sees, until it ends."""
    try:
        import cv2
    except ImportError:
        raise InputError("--camera: needs OpenCV; pip install opencv-python-headless, or name photos") from None
    camera, count = cv2.VideoCapture(number), 0
    if not camera.isOpened():
        raise InputError(
            f"--camera {number}: can't be opened; is it connected, and may you use it (/dev/video{number})?"
        )
    while (frame := camera.read())[0]:
        count += 1
        yield Path(f"frame_{count:06}.jpg"), Image.fromarray(cv2.cvtColor(frame[1], cv2.COLOR_BGR2RGB))


def draw(photo, detections):
    """Draws boxes, class names and scores on a Pillow image."""
    pen, size = ImageDraw.Draw(photo), max(12, min(photo.size) // 26)
    for found in reversed(detections):
        text, font = f"{found['class']} {found['score']:.0%}", ImageFont.load_default(size)
        for name in () if text.isascii() else FONTS:
            try:
                font = ImageFont.truetype(name, size)
            except OSError:
                continue  # this system has not got that one
        colour = COLOURS[found["id"] % len(COLOURS)]
        left, top, right, bottom = found["box"]
        pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, size // 6))
        corner = (left, max(0, top - 1.3 * size))
        pen.rectangle(pen.textbbox(corner, text, font=font), fill=colour)
        pen.text(corner, text, fill="black", font=font)


def save(photo, path):
    """Saves a Pillow image whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        photo.save(fresh, quality=92)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def run(arguments):
    """Prints what is found in each photo, and returns the exit code."""
    models = [arguments.model] if arguments.model else sorted(Path(__file__).parent.glob("*.tflite"))
    if len(models) != 1:
        raise InputError(f"{Path(__file__).parent}: holds {len(models)} .tflite files; name one with -m")
    paths = [] if arguments.photos == [] else list_photos(arguments.photos)
    targets = [arguments.output / path.name for path in paths] if arguments.output else []
    if arguments.output and not paths:
        targets = sorted(arguments.output.glob("frame_*.jpg"))
    if there := [path for path in targets if path.exists() or targets.count(path) > 1]:
        raise InputError(f"{there[0]}: is there already, or two photos have this name; name another folder with -o")
    detect, labels = open_detector(models[0], arguments.threads)
    code = 0
    for name, photo in read_camera(arguments.camera) if not paths else ((path, None) for path in paths):
        try:
            photo = photo or read_photo(name)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1
            continue
        began = time.perf_counter()
        found = detect(np.asarray(photo))
        milliseconds = round(1000 * (time.perf_counter() - began), 2)
        detections = list_detections(*found, labels, photo.size, arguments.score)
        line = {"file": str(name), "width": photo.width, "height": photo.height, "ms": milliseconds}
        print(json.dumps({**line, "detections": detections}, ensure_ascii=False), flush=True)
        if arguments.output:
            draw(photo, detections)
            save(photo, arguments.output / name.name)
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path, help="photos, or folders of photos")
    parser.add_argument("-m", "--model", type=Path, help="the .tflite file; without it the one beside this script")
    parser.add_argument("-o", "--output", type=Path, help="folder for pictures with the boxes drawn on them")
    parser.add_argument("-s", "--score", type=float, default=0.5, help="least score of a detection (default: 0.5)")
    parser.add_argument("-t", "--threads", type=int, default=0, help="cores to use (default: as many as are safe)")
    parser.add_argument("--camera", type=int, help="number of a camera, from 0, instead of photos")
    arguments = parser.parse_args()
    if bool(arguments.photos) == (arguments.camera is not None):
        parser.error("name photos or folders of photos, or a --camera")
    try:
        return run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        place = error.filename or "standard output"
        print(f"error: {place}: {error.strerror}; check name, permissions and room there", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
