"""Measures how long `make train` takes to the end of step 1, in two checkouts of this project in turn.

    python tests/bench/bench_start.py /tmp/before . --pretrained T.tar.gz --data ../shared/raccoon/images

T.tar.gz is a pretrained model in the zoo's layout. Photos, records and the model are there before the clock starts.
What is measured is `make train STEPS=1`, which makes the config, imports TensorFlow, builds the model, restores the
checkpoint, takes a step and saves. Prints each checkout's seconds, and the ratio of the medians.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path, nargs=2, help="the two checkouts, the former one first")
    parser.add_argument("--pretrained", type=Path, required=True, help="tarball of a pretrained model")
    parser.add_argument("--data", type=Path, required=True, help="folder of photos and XML files")
    parser.add_argument("--runs", type=int, default=5, help="of each checkout (default: 5)")
    return parser.parse_args()


def make(checkout, workspace, pretrained, *words):
    variables = [f"WORKSPACE={workspace}", f"PRETRAINED={pretrained.resolve()}", "STEPS=1", f"VENV={sys.prefix}"]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "scripts")}
    command = ["make", "-C", str(checkout), *words, *variables]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-1000:] + done.stderr[-3000:])


def main():
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as room:
        workspaces = [Path(room, name) for name in ("before", "after")]
        for checkout, workspace in zip(args.checkouts, workspaces, strict=True):
            shutil.copytree(args.data, workspace / "images")
            make(checkout, workspace, args.pretrained, "split", "tfrecord", "pretrained")
        seconds = ([], [])
        for _ in range(args.runs):
            for checkout, workspace, taken in zip(args.checkouts, workspaces, seconds, strict=True):
                shutil.rmtree(workspace / "models", ignore_errors=True)
                began = time.monotonic()
                make(checkout, workspace, args.pretrained, "train")
                taken.append(time.monotonic() - began)
        for checkout, taken in zip(args.checkouts, seconds, strict=True):
            print(f"{checkout}: median {statistics.median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})")
        print(f"ratio {statistics.median(seconds[1]) / statistics.median(seconds[0]):.2f}")


if __name__ == "__main__":
    main()
