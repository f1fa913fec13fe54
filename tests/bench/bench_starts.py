#!/usr/bin/env python3
"""Starts inference again and again, and counts how the runs end: a crash in one of thirty is seen only so.

python tests/bench/bench_starts.py -m exported_models/my_model/saved_model -i images/test --runs 200
"""

import argparse
import collections
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "inference_main_v2.py"


def start_often(model, photos, runs, say=lambda _: None):
    """(Counter of exit codes, negative for signals; seconds of each run; what the bad ones said) of `runs` runs."""
    codes, seconds, said = collections.Counter(), [], []
    with tempfile.TemporaryDirectory() as place:
        for number in range(runs):
            words = ["-m", model, "-i", photos, "-o", f"{place}/{number}", "--save", "images,json"]
            began = time.perf_counter()
            done = subprocess.run(
                list(map(str, (sys.executable, SCRIPT, *words))), capture_output=True, text=True, check=False
            )
            seconds.append(time.perf_counter() - began)
            codes[done.returncode] += 1
            if done.returncode:
                said.append(done.stderr)
            say(f"{number + 1} of {runs}: {dict(codes)}")
    return codes, seconds, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True, help="saved_model folder of an export")
    parser.add_argument("-i", "--images", required=True, help="folder of photos; 180 crashed most often")
    parser.add_argument("--runs", type=int, default=200, help="how many starts")
    arguments = parser.parse_args()
    codes, seconds, said = start_often(arguments.model, arguments.images, arguments.runs, print)
    print(*said, sep="\n")
    print(f"{arguments.runs} starts, {sum(seconds) / len(seconds):.1f} s each: exit codes {dict(codes)}")
    return 1 if set(codes) - {0} else 0


if __name__ == "__main__":
    sys.exit(main())
