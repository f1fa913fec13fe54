"""Holds the page of `make web` against the Python interpreter on every test photo, and measures both.

    make bench-web WORKSPACE=workspace/demo

Chromium runs headless, its fake camera shows the test photos. Prints the largest differences of boxes and scores, mAP
of both, milliseconds a photo (the best of its runs, of which the median), frames a second of the camera, the time to
the first detection, and the folder's size. The interpreter is ai-edge-litert's in one thread, as `Detector` uses it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "helpers")]

import numpy as np
from conftest import ROOT
from PIL import Image, ImageOps
from web_page import compare, detect_photos, measure_map, open_web

from tfod.data import samples
from tfod.data.images import list_images
from tfod.detector import Detector

STATUS = "document.getElementById('status').textContent"
FORMATS = ["int8", "float32"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--export", type=Path, required=True, help="exported_models/NAME, with its TFLite files")
    parser.add_argument("--photos", type=Path, required=True, help="folder of test photos and their XML files")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-web", help="environment of what the page runs on")
    parser.add_argument("--formats", nargs="+", default=FORMATS, help=f"TFLite files to measure ({' '.join(FORMATS)})")
    parser.add_argument("--runs", type=int, default=5, help="times that each photo is measured (default: 5)")
    return parser.parse_args()


def measure_python(path, pixels, runs):
    """(what `Detector` finds in each photo, its milliseconds a photo)."""
    detector = Detector(path, score=0.0, max_boxes=1000, threads=1)
    found, times = [], []
    for _ in range(runs):
        for photo in pixels:
            began = time.perf_counter()
            found += detector.detect([photo])
            times.append(1000 * (time.perf_counter() - began))
    return found[: len(pixels)], summarize(times, runs)


def summarize(times, runs):
    """The median over the photos of the best of each one's runs; `times` goes through the photos once a run."""
    return float(np.median(np.reshape(times, [runs, -1]).min(0)))


def measure_page(folder, photos, runs):
    """(what the page finds, its milliseconds a photo, (milliseconds until it is ready, and from the camera's button to
    its first boxes), the camera's status)."""
    with tempfile.TemporaryDirectory() as room, open_web(folder, room, camera=photos[:6]) as page:
        ready = page.evaluate("performance.now()")
        found = [parts for parts, _ in detect_photos(page, photos)]
        times = []
        for _ in range(runs):
            for _ in detect_photos(page, photos):
                times.append(float(page.evaluate(STATUS).split()[0]))
        began = page.evaluate("performance.now()")
        page.evaluate("document.getElementById('camera').click()")
        page.wait_for("app.getShown().file === null")
        first = page.evaluate("performance.now()") - began
        time.sleep(6)
        status = page.evaluate(STATUS)
        assert page.messages == [], page.messages
        assert all(url.removeprefix("blob:").startswith(page.origin) for url in page.requests), page.requests
    return found, summarize(times, runs), (ready, first), status


def main():
    args = parse_arguments()
    photos = list_images(args.photos)
    pixels = [np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB")) for path in photos]
    for kind in args.formats:
        model = args.export / "tflite" / f"model_{kind}.tflite"
        with tempfile.TemporaryDirectory() as room:
            folder = Path(room) / "web"
            words = ["--export", args.export, "--format", kind, "--venv", args.venv, "-o", folder]
            subprocess.run([sys.executable, ROOT / "scripts/export_web.py", *words], check=True, capture_output=True)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
            expected, python = measure_python(model, pixels, args.runs)
            found, browser, (ready, first), status = measure_page(folder, photos, args.runs)
        names = Detector(model, threads=1).names
        source = samples.open_folder(args.photos, args.photos, names)
        worst = [compare(*pair, photo.shape[1::-1]) for *pair, photo in zip(found, expected, pixels, strict=True)]
        edges, scores = map(max, zip(*worst, strict=True))
        ours = measure_map(source, [tuple(parts) for parts in expected])
        theirs = measure_map(source, [tuple(parts) for parts in found])
        print(f"{kind}: {len(photos)} photos; boxes differ by at most {edges:.4f} pixels, scores by {scores:.5f}")
        print(f"  mAP, mAP .50: Python {ours[0]:.4f} {ours[1]:.4f}, page {theirs[0]:.4f} {theirs[1]:.4f}")
        print(f"  ms a photo: Python {python:.1f}, page {browser:.1f}, {browser / python:.2f} times; camera: {status}")
        print(f"  page ready after {ready / 1000:.2f} s; camera's first boxes {first / 1000:.2f} s after its button")
        print(f"  folder: {size:.1f} MB")


if __name__ == "__main__":
    main()
