#!/usr/bin/env python3
"""Measures every format of an exported detector on the test records, side by side: one table.

Each format runs in a process of its own, one after the other: SavedModel, TFLite and ONNX files in the export's folder.
The table is printed and kept there as benchmark.md and benchmark.json. Nothing else should run meanwhile.

    cd workspace/training_demo
    python ../../scripts/benchmark.py --export exported_models/my_model
"""

import itertools
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, format_table, make_parser, parse_count, parse_share, run, say
from tfod.utils.environment import describe_machine

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


MAKER = "benchmark"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--export", required=True, help="folder of the export")
    parser.add_argument("--pipeline_config_path", help="names the test records; without it that of the export")
    parser.add_argument("--batch", type=parse_count, default=8, help="N, images a call")
    parser.add_argument("--score", type=parse_share, default=0.3, help="score threshold of what is compared")
    parser.add_argument(
        "--measure", help="measure this one file or folder only, and print JSON; for the second process"
    )
    parser.add_argument("--output", help="with --measure: file for the detections")
    arguments = parser.parse_args()
    if bool(arguments.measure) != bool(arguments.output):
        parser.error("--measure and --output go together")
    return arguments


def find_formats(folder):
    """The models in the export's folder: a list of (name, path), the SavedModel first."""
    found = [("SavedModel", folder / "saved_model")]
    found += [(f"TFLite {path.stem.removeprefix('model_')}", path) for path in sorted(folder.glob("**/*.tflite"))]
    found += [("ONNX" if path.stem == "model" else f"ONNX {path.stem}", path) for path in sorted(folder.glob("*.onnx"))]
    return found


def find_samples(arguments):
    """The `Source` of the test records that the config names."""
    from tfod.config import pipeline
    from tfod.data import samples
    from tfod.model import trained_on

    path = Path(arguments.pipeline_config_path or Path(arguments.export) / "pipeline.config")
    config = pipeline.read_config(path)
    records = [record for reader in config.eval_input_reader for record in pipeline.list_record_files(reader)]
    if not records:
        raise InputError(f"{path}: its test records are not there, seen from {Path.cwd()}; `make tfrecord` makes them")
    trained_on.hold_label_map(arguments.export, *pipeline.list_label_maps(config))
    return samples.open_records(records, pipeline.read_class_names(config, Path(arguments.export)))


def read_photos(source):
    """Yields the test photos, uint8 [height, width, 3]."""
    from tfod.data.samples import decode_sample

    return map(decode_sample, source.read())


# ---------------------------------------------------------------- the second process


def measure(path, source, batch, output):
    """Runs one format, writes its detections to `output` and returns its times (s, ms) and memory (MB)."""
    import numpy as np

    began = time.perf_counter()
    from tfod.detector import Detector

    detector = Detector(path, score=0.0, max_boxes=1000, threads=1)
    report = {"load": time.perf_counter() - began}
    times, found = [], []
    for photo in read_photos(source):
        began = time.perf_counter()
        found += detector.detect([photo])
        times.append(1000 * (time.perf_counter() - began))
    report["first"], steady = times[0], times[1:] or times
    report["one_p50"], report["one_p95"] = (float(np.percentile(steady, share)) for share in (50, 95))
    arrays = {f"{part}_{i}": value for i, one in enumerate(found) for part, value in one._asdict().items()}
    np.savez(output, **arrays)
    report.update(measure_batches(Detector(path, score=0.0, max_boxes=1000), source, batch))
    report["memory"] = read_peak_memory()
    return report


def read_peak_memory():
    """The most memory that this process held at once, in MB; getrusage would count the process that started it, too."""
    if platform.system() == "Darwin":  # which counts each process by itself, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def measure_batches(detector, source, batch):
    """Milliseconds an image in calls of `batch` images, and images/s from the records to the detections."""
    import numpy as np

    detector.detect(
        list(itertools.islice(read_photos(source), batch))
    )  # warms up: the first call is slower, and is measured elsewhere
    times, images, photos, began = [], 0, [], time.perf_counter()

    def call():
        start = time.perf_counter()
        detector.detect(photos)
        times.append(1000 * (time.perf_counter() - start) / len(photos))

    for photo in read_photos(source):
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
        raise InputError(
            f"{path}: can't be measured ({lines[-1].removeprefix('error: ')}); make it again, or remove it"
        )
    report = json.loads(done.stdout.splitlines()[-1])
    with np.load(output) as arrays:
        count = sum(key.startswith("boxes_") for key in arrays)
        found = [tuple(arrays[f"{part}_{i}"] for part in ("boxes", "classes", "scores")) for i in range(count)]
    parts = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    report["megabytes"] = sum(part.stat().st_size for part in parts) / 1e6
    return {"name": name, "path": str(path), **report}, found


def measure_precision(results, names):
    """(mAP, mAP at an IoU of 0.50) as COCO defines them, -1 where there is nothing to find, of a list of `Result`."""
    from tfod.evaluation.evaluator import collect
    from tfod.evaluation.metrics import measure_coco

    metrics = measure_coco(collect(names, results)).metrics
    return tuple(metrics[f"DetectionBoxes_Precision/{name}"] for name in ("mAP", "mAP@.50IOU"))


def measure_formats(arguments, source):
    """(the table's rows, dicts with the keys of COLUMNS; number of photos): each format beside the SavedModel."""
    from tfod.data.samples import Result, decode_sample
    from tfod.export.parity import compare_detections

    samples, sizes = [], []
    for sample in source.read():
        sizes.append(decode_sample(sample).shape[1::-1])
        samples.append(sample._replace(example=b""))
    rows, expected = [], None
    with tempfile.TemporaryDirectory() as room:
        for name, path in find_formats(Path(arguments.export)):
            row, found = run_format(name, path, arguments, room)
            expected = expected or found
            agreement = compare_detections(expected, found, sizes, arguments.score, top=100)
            results = [Result(*pair, *parts, {}) for *pair, parts in zip(samples, sizes, found, strict=True)]
            row["map"], row["map50"] = measure_precision(results, source.names)
            row.update(box_mean=agreement.mean_box, box_largest=agreement.largest_box, missing=agreement.missing)
            rows.append(row)
    return rows, len(samples)


def main():
    arguments = parse_arguments()
    if arguments.measure:
        source = find_samples(arguments)
        print(json.dumps(measure(arguments.measure, source, arguments.batch, arguments.output)))
        return
    folder = Path(arguments.export)
    if not (folder / "saved_model" / "saved_model.pb").is_file():
        raise InputError(f"{folder}: holds no saved_model/; `make export` makes one")
    made = [folder / "benchmark.json", folder / "benchmark.md"]
    files.refuse_foreign(made[0], MAKER, "rename it", made)
    source = find_samples(arguments)
    rows, count = measure_formats(arguments, source)
    keys, headings, forms = zip(*COLUMNS, strict=True)
    cells = [[form.format(row[key]) for key, form in zip(keys, forms, strict=True)] for row in rows]
    table = format_table(cells, headings, markdown=True)
    machine = f"{describe_machine()}, Python {platform.python_version()}"
    notes = NOTES.format(score=arguments.score, batch=arguments.batch)
    data = f"{count} images of {', '.join(source.data)}"
    report = {"machine": machine, "data": data, "batch": arguments.batch, "score": arguments.score, "formats": rows}
    files.claim(made[0], MAKER, made)
    files.write_text(made[0], json.dumps(report, indent=2) + "\n")
    files.write_text(made[1], f"# Benchmark\n\n{data}; {machine}.\n\n{table}\n\n{notes}\n")
    files.mark_current(made[0], None, MAKER, made)
    print(f"{table}\n\n{data}; {machine}.\n{notes}")
    say(f"wrote {folder}/benchmark.md and {folder}/benchmark.json")


if __name__ == "__main__":
    run(main)
