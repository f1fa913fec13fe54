"""Runs one TFLite file on the photos beside it, as `make device` asks: a line of JSON for each photo, then one about
time and memory."""

import json
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()

import detect  # noqa: E402 - its import is part of the time to the first box
import numpy as np  # noqa: E402

run, labels = detect.open_detector(Path(sys.argv[1]), 0)
first = None
for path in sorted(Path("photos").iterdir()):
    pixels = np.asarray(detect.read_photo(path))
    began = time.perf_counter()
    boxes, classes, scores = run(pixels)
    milliseconds = 1000 * (time.perf_counter() - began)
    first = first or time.perf_counter() - BEGAN
    found = {"boxes": boxes.tolist(), "classes": (classes + 1).tolist(), "scores": scores.tolist()}
    print(json.dumps({"photo": path.name, "ms": milliseconds, **found}), flush=True)
status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
peak = next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM"))
print(json.dumps({"first_s": first, "peak_mb": peak}), flush=True)
