"""Measures evaluation beside upstream's own, in rounds that alternate: the same checkpoint, photos and machine.

    python tests/bench/bench_eval.py -w workspace/raccoon -m models/my_model [--photos images]

The photos (by default the workspace's own) are packed into one record first. Two things are measured: the evaluation of
a model that is built, with its input, by upstream's eager_eval_loop and by ours: the first in a process, which makes
its graph, and a second one (for which upstream's makes it again); and the whole command, from its start to its end.
Every metric and loss has to be the same to 1e-6.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.config import pipeline
from tfod.model.checkpoints import list_checkpoint_files, require_checkpoint
from tfod.utils.console import format_table

ROOT = Path(__file__).resolve().parents[2]
FIRST, AGAIN, WHOLE = "a built model, the first time", "a built model, again", "the whole command"
WANTED = {FIRST: 2.5, AGAIN: 2.5, WHOLE: 2.0}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, help="folder that the config's paths start in")
    parser.add_argument("-m", "--model", required=True, help="folder of the model's checkpoints, from the workspace")
    parser.add_argument(
        "--photos", default="images", help="folder of labelled photos (default: the workspace's images)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    parser.add_argument("--loop", choices=["ours", "upstream"], help="measure only this, of a folder that is prepared")
    arguments = parser.parse_args()
    if not arguments.workspace and not arguments.loop:
        parser.error("give -w")
    return arguments


def prepare(arguments, room):
    """Makes room/model: the newest checkpoint, and a config that ends with it and names one record of all photos."""
    source = arguments.workspace / arguments.model
    config = pipeline.read_config(source / "pipeline.config")
    labels = arguments.workspace / config.eval_input_reader[0].label_map_path
    photos = arguments.workspace / arguments.photos
    words = ["-x", photos, "-l", labels, "-o", room / "photos.record"]
    subprocess.run([sys.executable, ROOT / "scripts/preprocessing/generate_tfrecord.py", *words], check=True)
    checkpoint = Path(require_checkpoint(source))
    model = room / "model"
    model.mkdir()
    for path in list_checkpoint_files(checkpoint):
        shutil.copy(path, model)
    (model / "checkpoint").write_text(f'model_checkpoint_path: "{checkpoint.name}"\n', encoding="utf-8")
    for reader in (config.train_input_reader, *config.eval_input_reader):
        reader.label_map_path = str(labels)
        reader.tf_record_input_reader.input_path[:] = [str(room / "photos.record")]
    config.train_config.num_steps = read_step(checkpoint)  # upstream waits for more until it has seen the last
    config.eval_config.batch_size = 1
    pipeline.write_config(model / "pipeline.config", config)
    return model


def read_step(checkpoint):
    from tfod.model import saving

    return saving.read_step(str(checkpoint))


# ---------------------------------------------------------------- a built model


def measure_loop(model_dir, whose):
    """In a process of its own: builds the model and its input, and prints what `clock` tells of two evaluations."""
    from object_detection.builders import model_builder

    from tfod.evaluation import evaluator

    config = pipeline.read_config(model_dir / "pipeline.config")
    model = model_builder.build(config.model, is_training=True)
    step = evaluator.restore_checkpoint(config, model, require_checkpoint(model_dir))
    if whose == "ours":
        _, evaluate = evaluator.build_evaluation(config, model_dir / "eval_ours", model=model)
        times = [clock(lambda: evaluate(step).metrics) for _ in range(2)]
    else:
        run_upstream = build_upstream(config, model, step, model_dir / "eval_upstream")
        times = [clock(run_upstream) for _ in range(2)]
    print(json.dumps(times))


def build_upstream(config, model, step, folder):
    """Upstream's evaluation of a model that is built, with its input."""
    import tensorflow as tf
    from object_detection import inputs, model_lib_v2
    from object_detection.utils import config_util

    configs = config_util.create_configs_from_pipeline_proto(config)
    reader = configs["eval_input_config"] = config.eval_input_reader[0]
    dataset = inputs.eval_input(config.eval_config, reader, config.model, model)
    writer = tf.summary.create_file_writer(str(folder))

    def run_upstream():
        with writer.as_default():
            number = tf.Variable(step, dtype=tf.int64)
            found = model_lib_v2.eager_eval_loop(model, configs, dataset, global_step=number)
        return {name: float(value) for name, value in found.items()}

    return run_upstream


def measure_loops(model_dir, rounds):
    """((upstream's, ours) of the first evaluation, (upstream's, ours) of the second), lists of so many rounds."""
    first, again = ([], []), ([], [])
    for _ in range(rounds):
        for place, whose in enumerate(("upstream", "ours")):
            _, _, output = run_command(["tests/bench/bench_eval.py", "--loop", whose, "-m", model_dir])
            times = json.loads(output.splitlines()[-1])
            first[place].append(times[0])
            again[place].append(times[1])
            compare(times[0][2], first[0][-1][2])
            compare(times[1][2], first[0][-1][2])
    return first, again


def clock(function):
    """(seconds, seconds of all cores, what it returns)."""
    began, busy = time.monotonic(), time.process_time()
    result = function()
    return time.monotonic() - began, time.process_time() - busy, result


def compare(ours, theirs):
    """Ends the measurement where a metric or loss differs."""
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    worst = max(abs(ours[name] - theirs[name]) / max(1, abs(theirs[name])) for name in ours)
    assert worst < 1e-6, worst
    print(f"{len(ours)} metrics and losses are upstream's, to {worst:.1e}", file=sys.stderr)


# ---------------------------------------------------------------- the whole command


def measure_commands(model_dir, rounds):
    """Seconds of the whole commands: (upstream's, ours)."""
    theirs, ours = [], []
    for number in range(rounds):
        output = model_dir.parent / f"evaluated_{number}"
        theirs.append(run_command(["tests/helpers/upstream_evaluation.py", model_dir]))
        ours.append(run_command(["scripts/evaluate.py", "-m", model_dir, "-o", output]))
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        compare(metrics, json.loads(theirs[-1][2].splitlines()[-1]))
    return theirs, ours


def run_command(words):
    """(seconds, seconds of all cores, its standard output) of a script, named from the repository's root."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, *map(str, [ROOT / words[0], *words[1:]])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def describe(times, place=0):
    values = [entry[place] for entry in times]
    return f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"


def list_rows(what, theirs, ours):
    """Two rows of the table: how long it takes, and how much work that is for all cores together."""
    rows = []
    for place, of in enumerate(("", ", work of all cores")):
        ratio = statistics.median(a[place] / b[place] for a, b in zip(theirs, ours, strict=True))
        wanted = f"{WANTED[what]:.1f}" if what in WANTED and not place else ""
        rows.append((what + of, describe(theirs, place), describe(ours, place), f"{ratio:.2f}", wanted))
    return rows


def main():
    arguments = parse_arguments()
    if arguments.loop:
        measure_loop(Path(arguments.model), arguments.loop)
        return
    arguments.workspace = arguments.workspace.resolve()
    with tempfile.TemporaryDirectory() as folder:
        model_dir = prepare(arguments, Path(folder))
        first, again = measure_loops(model_dir, arguments.rounds)
        rows = list_rows(FIRST, *first) + list_rows(AGAIN, *again)
        rows += list_rows(WHOLE, *measure_commands(model_dir, arguments.rounds))
    head = ("what", "upstream", "here", "times as fast", "at least")
    print(format_table(rows, head))


if __name__ == "__main__":
    main()
