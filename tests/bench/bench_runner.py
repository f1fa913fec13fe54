"""Measures the time from the start of Python to the first photo's boxes, and memory, of detect.py, the runner without
TensorFlow, and of inference_main_v2.py with the same TFLite file.

    python tests/bench/bench_runner.py workspace/demo/exported_models/my_model workspace/demo/images/test

Each runs five times on one photo of the folder, in turn; the medians are printed. Memory is the process's peak.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="folder of an export with TFLite files")
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--runs", type=int, default=5, help="of each (default: 5)")
    return parser.parse_args()


def measure(command):
    """(seconds, peak memory in MB) of a process."""
    began = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.monotonic() - began, used.ru_maxrss * 1024 / 1e6


def main():
    args = parse_arguments()
    photo = next(path for path in sorted(args.photos.iterdir()) if path.suffix == ".jpg")
    model = args.export / "tflite/model_int8.tflite"
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room, "photos")
        folder.mkdir()
        (folder / photo.name).write_bytes(photo.read_bytes())
        scripts = ROOT / "scripts"
        commands = {
            "detect.py": [scripts / "tfod/export/runner/detect.py", folder, "-m", model],
            "inference_main_v2.py": [
                scripts / "inference_main_v2.py",
                "-m",
                model,
                "-l",
                args.export / "label_map.pbtxt",
            ]
            + ["-i", folder, "-o", Path(room, "found"), "--save", "json"],
        }
        taken = {name: [] for name in commands}
        for run in range(args.runs):
            commands["inference_main_v2.py"][8] = Path(room, f"found{run}")  # it would not do the same work twice
            for name, command in commands.items():
                taken[name].append(measure([sys.executable, *command]))
    for name, runs in taken.items():
        seconds, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name}: {seconds:.2f} s to the first photo's boxes, {memory:.0f} MB")


if __name__ == "__main__":
    main()
