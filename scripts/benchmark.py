#!/usr/bin/env python3
"""Measures every format of an exported detector on the test records, side by side: one table.

Each format runs in a process of its own, one after the other: SavedModel, TFLite and ONNX files in the export's folder.
The table is printed and kept there as benchmark.md and benchmark.json. Nothing else should run meanwhile.

    cd workspace/training_demo
    python ../../scripts/benchmark.py --export exported_models/my_model
"""

import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tfod import files
from tfod.console import InputError, make_parser, run, say

COLUMNS = [  # key, heading, how it is written
    ("name", "format", "{}"),
    ("map", "mAP", "{:.3f}"),
    ("map50", "mAP .50", "{:.3f}"),
    ("box_mean", "box px, mean", "{:.2f}"),
    ("box_largest", "largest", "{:.2f}"),
    ("missing", "unpaired", "{}"),
    ("megabytes", "MB", "{:.1f}"),
    ("load", "load s", "{:.1f}"),
    ("first", "first ms", "{:.0f}"),
    ("one_p50", "1: p50 ms", "{:.1f}"),
    ("one_p95", "p95", "{:.1f}"),
    ("many_p50", "N: p50 ms", "{:.1f}"),
    ("many_p95", "p95", "{:.1f}"),
    ("throughput", "images/s", "{:.1f}"),
    ("memory", "peak MB", "{:.0f}"),
]
NOTES = """\
mAP: COCO's, IoU 0.50:0.95, and at 0.50. box px: by how many pixels of the photo a corner lies away from the
SavedModel's, of detections with a score of {score} or more; unpaired: such detections that only one of the two has.
first ms: the first call; 1: milliseconds an image, one image a call on all cores; N: the same with {batch} images a
call; images/s: reading, decoding and detecting, {batch} at a time; peak MB: memory of the whole process."""


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--export", required=True, help="folder of the export")
    parser.add_argument("--pipeline_config_path", help="names the test records; without it that of the export")
    parser.add_argument("--batch", type=int, default=8, help="N, images a call")
    parser.add_argument("--score", type=float, default=0.3, help="least score of the detections that are compared")
    parser.add_argument(
        "--measure", help="measure this one file or folder only, and print JSON; for the second process"
    )
    parser.add_argument("--output", help="with --measure: file for the detections")
    arguments = parser.parse_args()
    if arguments.batch < 1:
        parser.error(f"--batch is {arguments.batch}; give 1 or more")
    if bool(arguments.measure) != bool(arguments.output):
        parser.error("--measure and --output go together")
    return arguments


def find_formats(folder):
    """The models in the export's folder: a list of (name, path), the SavedModel first."""
    found = [("SavedModel", folder / "saved_model")]
    found += [(f"TFLite {path.stem.removeprefix('model_')}", path) for path in sorted(folder.glob("**/*.tflite"))]
    found += [("ONNX" if path.stem == "model" else f"ONNX {path.stem}", path) for path in sorted(folder.glob("*.onnx"))]
    return found


def find_records(arguments):
    """The test records that the config names."""
    from tfod import exporting, pipeline_config

    path = Path(arguments.pipeline_config_path or Path(arguments.export) / "pipeline.config")
    config = pipeline_config.read_config(path)
    records = [record for reader in config.eval_input_reader for record in exporting.list_record_files(reader)]
    if not records:
        raise InputError(f"{path}: its test records are not there, seen from {Path.cwd()}; `make tfrecord` makes them")
    return records, exporting.read_class_names(config, Path(arguments.export))


def read_examples(records):
    """Yields (photo, boxes, classes) of each test image: uint8 [height, width, 3], float [N, 4], int [N].

    Boxes are `[ymin, xmin, ymax, xmax]` in pixels.
    """
    import io

    import numpy as np
    from PIL import Image

    from tfod import tfrecord

    sides = ("ymin", "xmin", "ymax", "xmax")
    for path in records:
        for data in tfrecord.read_records(path):
            features = tfrecord.parse_example(data)
            with Image.open(io.BytesIO(features["image/encoded"][0])) as image:
                photo = np.asarray(image.convert("RGB"))
            boxes = np.array([features.get(f"image/object/bbox/{side}", []) for side in sides], np.float32).T
            height, width = photo.shape[:2]
            boxes = boxes.reshape(-1, 4) * np.array([height, width, height, width], np.float32)
            yield photo, boxes, np.array(features.get("image/object/class/label", []), np.int64)


# ---------------------------------------------------------------- the second process


def measure(path, records, batch, output):
    """Runs one format, writes its detections to `output` and returns its times (s, ms) and memory (MB)."""
    import numpy as np

    began = time.perf_counter()
    from tfod.detector import Detector

    detector = Detector(path, score=0.0, max_boxes=1000, threads=1)
    report = {"load": time.perf_counter() - began}
    times, found = [], []
    for photo, _, _ in read_examples(records):
        began = time.perf_counter()
        found += detector.detect([photo])
        times.append(1000 * (time.perf_counter() - began))
    report["first"], steady = times[0], times[1:] or times
    report["one_p50"], report["one_p95"] = (float(np.percentile(steady, share)) for share in (50, 95))
    arrays = {f"{part}_{i}": value for i, one in enumerate(found) for part, value in one._asdict().items()}
    np.savez(output, **arrays)
    report.update(measure_batches(Detector(path, score=0.0, max_boxes=1000), records, batch))
    report["memory"] = read_peak_memory()
    return report


def read_peak_memory():
    """The most memory that this process held at once, in MB; getrusage would count the process that started it, too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def measure_batches(detector, records, batch):
    """Milliseconds an image in calls of `batch` images, and images/s from the records to the detections."""
    import numpy as np

    examples = itertools.islice(read_examples(records), batch)
    detector.detect([photo for photo, _, _ in examples])  # the first call is slower, and was measured before
    times, images, photos, began = [], 0, [], time.perf_counter()

    def call():
        start = time.perf_counter()
        detector.detect(photos)
        times.append(1000 * (time.perf_counter() - start) / len(photos))

    for photo, _, _ in read_examples(records):
        photos.append(photo)
        images += 1
        if len(photos) == batch:
            call()
            photos.clear()
    if photos:
        call()
    p50, p95 = (float(np.percentile(times, share)) for share in (50, 95))
    return {"many_p50": p50, "many_p95": p95, "throughput": images / (time.perf_counter() - began)}


# ---------------------------------------------------------------- the first process


def run_format(name, path, arguments, room):
    """(report, detections) of one format, measured in a process of its own."""
    import numpy as np

    say(f"measuring {name}")
    output = Path(room) / "detections.npz"
    command = [sys.executable, __file__, "--export", arguments.export, "--batch", arguments.batch]
    command += ["--measure", path, "--output", output]
    if arguments.pipeline_config_path:
        command += ["--pipeline_config_path", arguments.pipeline_config_path]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"{path}: can't be measured ({lines[-1].removeprefix('error: ')}); make it anew, or remove it")
    report = json.loads(done.stdout.splitlines()[-1])
    with np.load(output) as arrays:
        count = sum(key.startswith("boxes_") for key in arrays)
        found = [tuple(arrays[f"{part}_{i}"] for part in ("boxes", "classes", "scores")) for i in range(count)]
    parts = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    report["megabytes"] = sum(part.stat().st_size for part in parts) / 1e6
    return {"name": name, "path": str(path), **report}, found


def measure_precision(truth, found, names):
    """(mAP, mAP at an IoU of 0.50) as COCO defines them, -1 where there is nothing to find.

    `truth` is a list of (size, boxes in pixels, classes), `found` of (boxes normalized, classes, scores).
    """
    import contextlib
    import io

    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import numpy as np
    from object_detection.metrics.coco_evaluation import CocoDetectionEvaluator

    evaluator = CocoDetectionEvaluator([{"id": number, "name": name} for number, name in names.items()])
    for index, (((width, height), boxes, classes), detections) in enumerate(zip(truth, found, strict=True)):
        scale = np.array([height, width, height, width], np.float32)
        real = {"groundtruth_boxes": boxes, "groundtruth_classes": classes}
        evaluator.add_single_ground_truth_image_info(str(index), real)
        keys = ("detection_boxes", "detection_classes", "detection_scores")
        parts = (detections[0] * scale, detections[1], detections[2])
        evaluator.add_single_detected_image_info(str(index), dict(zip(keys, parts, strict=True)))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and its table
        metrics = evaluator.evaluate()
    return tuple(float(metrics[f"DetectionBoxes_Precision/{name}"]) for name in ("mAP", "mAP@.50IOU"))


def format_table(rows):
    """The table in Markdown, its columns aligned."""
    cells = [[heading for _, heading, _ in COLUMNS]]
    cells += [[text.format(row[key]) for key, _, text in COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in cells]
    ruler = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], ruler, *lines[1:]])


def describe_machine():
    """Processor, cores that may be used, and Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def main():
    arguments = parse_arguments()
    folder = Path(arguments.export)
    if not arguments.measure and not (folder / "saved_model" / "saved_model.pb").is_file():
        raise InputError(f"{folder}: holds no saved_model/; `make export` makes one")
    records, names = find_records(arguments)
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, records, arguments.batch, arguments.output)))
        return
    from tfod.agreement import compare_detections

    truth = [(photo.shape[1::-1], boxes, classes) for photo, boxes, classes in read_examples(records)]
    rows, expected = [], None
    with tempfile.TemporaryDirectory() as room:
        for name, path in find_formats(folder):
            row, found = run_format(name, path, arguments, room)
            expected = expected or found
            agreement = compare_detections(expected, found, [size for size, _, _ in truth], arguments.score, top=100)
            row["map"], row["map50"] = measure_precision(truth, found, names)
            row.update(box_mean=agreement.mean_box, box_largest=agreement.largest_box, missing=agreement.missing)
            rows.append(row)
    table, machine = format_table(rows), describe_machine()
    notes = NOTES.format(score=arguments.score, batch=arguments.batch)
    data = f"{len(truth)} images of {', '.join(map(str, records))}"
    report = {"machine": machine, "data": data, "batch": arguments.batch, "score": arguments.score, "formats": rows}
    files.write_text(folder / "benchmark.json", json.dumps(report, indent=2) + "\n")
    files.write_text(folder / "benchmark.md", f"# Benchmark\n\n{data}; {machine}.\n\n{table}\n\n{notes}\n")
    print(f"{table}\n\n{data}; {machine}.\n{notes}")
    say(f"wrote {folder}/benchmark.md and {folder}/benchmark.json")


if __name__ == "__main__":
    run(main)
