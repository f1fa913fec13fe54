#!/usr/bin/env python3
"""Measures how much memory the scripts take with a photo of 169 megapixels, each in a process of its own.

python tests/bench/bench_large_photo.py -m exported_models/my_model/saved_model -l annotations/label_map.pbtxt
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tfod.data.voc import Box, write_annotation

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIDE = 13000


def write_photo(folder, name, side):
    """A JPEG of a gradient with a grid, `side` pixels wide and high, with its XML file: one box."""
    folder.mkdir(exist_ok=True)
    small = Image.linear_gradient("L").resize((side // 50, side // 50))
    photo = Image.merge("RGB", (small, small.rotate(90), small.rotate(180))).resize((side, side), Image.Resampling.BOX)
    photo.save(folder / name, quality=90)
    box = Box("cat", side // 10, side // 10, side // 2, side // 2)
    write_annotation((folder / name).with_suffix(".xml"), name, side, side, [box])


def measure(script, *words):
    """(exit code, seconds, peak of the largest of its processes in MB, the last line that it said)."""
    command = [sys.executable, SCRIPTS / script, *words]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().splitlines() or [""]
    return process.returncode, time.perf_counter() - began, usage.ru_maxrss / 1024, lines[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, type=Path, help="saved_model folder of an export")
    parser.add_argument("-l", "--labels", required=True, type=Path, help="its label map")
    parser.add_argument("--side", type=int, default=SIDE, help="width and height of the photo, pixels")
    parser.add_argument("--name", default="p.jpg", help="of the photo; its suffix says the format")
    parser.add_argument("--photos", type=int, default=2, help="how many such photos for --threads")
    arguments = parser.parse_args()
    model, labels = arguments.model.absolute(), arguments.labels.absolute()
    with tempfile.TemporaryDirectory() as place:
        one, several = Path(place, "one"), Path(place, "several")
        # in a process of its own: those that are started later would count the memory that this one has had
        writer = multiprocessing.Process(target=write_photo, args=(one, arguments.name, arguments.side))
        writer.start()
        writer.join()
        several.mkdir()
        for number in range(arguments.photos):
            (several / f"{number}{arguments.name}").hardlink_to(one / arguments.name)
        infer = ["-m", model, "-l", labels, "--score", 0.01, "--save", "images,json,crops"]
        for name, script, words in (
            ("infer, 1 thread", "inference_main_v2.py", [*infer, "-i", one, "-o", f"{place}/a", "--threads", 1]),
            ("infer, threads", "inference_main_v2.py", [*infer, "-i", several, "-o", f"{place}/b"]),
            ("check", "preprocessing/check_dataset.py", ["-i", one, "-l", labels]),
            ("tfrecord", "preprocessing/generate_tfrecord.py", ["-x", one, "-l", labels, "-o", f"{place}/a.record"]),
            ("evaluate", "evaluate.py", ["-m", model, "-l", labels, "-i", one, "-o", f"{place}/e"]),
        ):
            code, seconds, peak, line = measure(script, *words)
            print(f"{name:15} exit {code}  {seconds:6.1f} s  {peak:6.0f} MB  {line}", flush=True)


if __name__ == "__main__":
    main()
