#!/usr/bin/env python3
"""Measures the TFLite files of an export on a board, over ssh, and adds the board to the table of `make benchmark`.

    cd workspace/training_demo
    python ../../scripts/device.py --host pi@raspberrypi.local --export exported_models/my_model

The board needs a 64-bit Linux and Python 3.10 to 3.14, and neither pip nor the internet: what the runner needs comes
from here. All test photos run there, one at a time. Nothing stays on the board.
"""

import json
import re
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, format_table, make_parser, run, say

MAKER = "benchmark"  # whose files these are, as their stamps say


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--host", required=True, help="the board, as ssh knows it: pi@raspberrypi.local")
    parser.add_argument("--export", required=True, help="folder of the export, with TFLite files and a benchmark")
    parser.add_argument("--ssh_config", help="file for ssh -F, with a port or a key; without it ssh's own")
    return parser.parse_args()


def read_benchmark(export):
    """(benchmark.json as a dict, benchmark.md as a text), and the TFLite files that they tell of."""
    places = export / "benchmark.json", export / "benchmark.md"
    if not all(map(Path.is_file, places)):
        raise InputError(f"{places[0]}: is not there; `make benchmark` makes it, and this adds the board to it")
    files.refuse_foreign(places[0], MAKER, "make it again with `make benchmark`", places)
    report = json.loads(places[0].read_text(encoding="utf-8"))
    rows = [row for row in report["formats"] if row["path"].endswith(".tflite")]
    if not rows:
        raise InputError(f"{places[0]}: tells of no TFLite files; `make tflite benchmark` makes them")
    models = [export / "tflite" / Path(row["path"]).name for row in rows]
    for model, row in zip(models, rows, strict=True):
        if not model.is_file() or abs(model.stat().st_size / 1e6 - row["megabytes"]) > 1e-6:
            raise InputError(f"{model}: is not the file that {places[0]} tells of; run `make benchmark` again")
    return report, places[1].read_text(encoding="utf-8"), models


def summarize(measured, samples, names):
    """The figures of one TFLite file, a dict: mAP, milliseconds, seconds to the first box, and MB.

    samples: dict photo's name -> (`Sample`, (width, height) in pixels)
    """
    import numpy as np

    from tfod.data.samples import Result
    from tfod.evaluation.evaluator import collect
    from tfod.evaluation.metrics import measure_coco

    results = []
    for name, sample in samples.items():
        boxes, classes, scores = (np.array(part) for part in measured.found[name])
        results.append(Result(*sample, np.float32(boxes).reshape(-1, 4), np.int64(classes), np.float32(scores), {}))
    metrics = measure_coco(collect(names, results)).metrics
    p50, p95 = np.percentile(measured.times[1:] or measured.times, [50, 95]).tolist()
    figures = {"map": metrics["DetectionBoxes_Precision/mAP"], "p50": p50, "p95": p95}
    return {**figures, "first": measured.first, "memory": measured.peak}


def add_columns(table, host, figures):
    """The lines of a Markdown table with a board's columns at their end, in the place of those it had before.

    figures: dict row's name -> what `summarize` returns
    """
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table]
    kept = [i for i, heading in enumerate(rows[0]) if not heading.startswith(f"{host}: ")]
    rows = [[row[i] for i in kept] for row in rows]
    columns = {"mAP": ("map", "{:.3f}"), "p50 ms": ("p50", "{:.1f}"), "p95 ms": ("p95", "{:.1f}")}
    columns["peak MB"] = ("memory", "{:.0f}")
    rows[0] += [f"{host}: {heading}" for heading in columns]
    for row in rows[2:]:
        found = figures.get(row[0])
        row += [text.format(found[key]) if found else "" for key, text in columns.values()]
    return format_table(rows[2:], rows[0], markdown=True).splitlines()


def describe_states(states):
    """Temperature and throttling from the first state to the last, in words."""
    degrees = [state["celsius"] for state in states if state["celsius"] is not None]
    said = f"{degrees[0]:.0f} °C before and {max(degrees):.0f} °C at most" if degrees else "no temperature is told"
    flags = {state["throttled"] for state in states if state["throttled"]}
    if not flags:
        return (
            f"{said}, nor whether it was throttled" if not degrees else f"{said}; whether it was throttled is not told"
        )
    bad = sorted(flags - {"0x0"})
    return f"{said}; " + (f"throttled ({', '.join(bad)}, of vcgencmd get_throttled)" if bad else "not throttled")


def add_board(page, host, figures, said):
    """The Markdown `page` with a board's columns in its table and, at its end, a line of what `said` is."""
    lines = [line for line in page.splitlines() if not line.startswith(f"{host}: ")]
    places = [number for number, line in enumerate(lines) if line.startswith("|")]
    lines[places[0] : places[-1] + 1] = add_columns(lines[places[0] : places[-1] + 1], host, figures)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).rstrip() + f"\n\n{host}: {said}.\n")


def main():
    arguments = parse_arguments()
    from tfod.export import bundle, device

    host, export = arguments.host, Path(arguments.export)
    device.require_host(host)
    report, page, models = read_benchmark(export)
    source = bundle.find_test_records(export)
    from tfod.data.samples import decode_sample

    photos = list(bundle.read_photos(source))
    pairs = ((sample._replace(example=b""), decode_sample(sample).shape[1::-1]) for sample in source.read())
    samples = {name: pair for (name, _), pair in zip(photos, pairs, strict=True)}
    board, measured, states = device.measure(host, models, photos, arguments.ssh_config)
    figures = {
        f"TFLite {Path(one.name).stem.removeprefix('model_')}": summarize(one, samples, source.names)
        for one in measured
    }
    said = f"{device.describe(board)}; {describe_states(states)}"
    page = add_board(page, host, figures, said)
    report.setdefault("boards", {})[host] = {"board": board, "states": states, "formats": figures}
    made = [export / "benchmark.json", export / "benchmark.md"]
    files.claim(made[0], MAKER, made)
    files.write_text(made[0], json.dumps(report, indent=2) + "\n")
    files.write_text(made[1], page)
    files.mark_current(made[0], None, MAKER, made)
    print("\n".join(line for line in page.splitlines() if line.startswith(("|", f"{host}: "))))
    say(f"wrote {made[1]} and {made[0]}")


if __name__ == "__main__":
    run(main)
