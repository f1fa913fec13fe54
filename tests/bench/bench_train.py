"""Measures training beside upstream's own object_detection.model_main_tf2: same config, records and machine.

    python tests/bench/bench_train.py -w workspace/raccoon --config models/my_model/pipeline.config

Prints one table: seconds a step, what checkpoints cost, seconds from start to the end of the first step, seconds that
the input of a step takes where photos are large, and, with --measure quality, the seconds until mAP 0.50 on the test
photos. A ratio is the median of those of the turns or rounds.
Upstream runs with oneDNN on, as tfod.compat has it, and without its corrections that are for speed only; a step is
measured as TensorFlow starts it by itself, too, which has oneDNN on only for processors with AVX512_VNNI and later.
"""

import argparse
import csv
import functools
import io
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from PIL import Image

from tfod.config import pipeline, schedule
from tfod.data.tfrecord import read_records, write_records
from tfod.model.checkpoints import find_latest_checkpoint, list_checkpoints
from tfod.model.tracing import build_plainly
from tfod.training import input

ROOT = Path(__file__).resolve().parents[2]
HURRIED_STEPS, HURRIED_EMA = 400, 0.98  # of our training when seconds until mAP 0.50 count
STEP_LINE = re.compile(r"Step (\d+) per-step time")  # what upstream says
WARM_UP_STEPS = 30  # before steps are measured
# upstream's main, which takes 100 steps at a time unless it is told otherwise
UPSTREAM = """
import functools, os, sys
import tfod.compat
for name in ("object_detection.core.preprocessor", "object_detection.core.box_list"):
    del tfod.compat.CORRECTIONS[name]  # what is corrected for speed only
if {plain}:
    del os.environ["TF_ENABLE_ONEDNN_OPTS"]
import tensorflow as tf
from object_detection import model_lib_v2, model_main_tf2
tf.get_logger().setLevel("INFO")
model_lib_v2.LOG_EVERY = {steps}
model_lib_v2.train_loop = functools.partial(model_lib_v2.train_loop, num_steps_per_iteration={steps})
sys.argv = sys.argv[:1] + {arguments!r}
tf.compat.v1.app.run(model_main_tf2.main)
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-w", "--workspace", type=Path, required=True, help="folder that the config's paths start in")
    parser.add_argument("--config", required=True, help="pipeline.config to train, named from the workspace")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of the start and the input (default: 3)")
    parser.add_argument("--steps", type=int, default=100, help="steps to measure a step over (default: 100)")
    parser.add_argument(
        "--measure",
        nargs="+",
        default=["step", "start", "input"],
        choices=["step", "start", "input", "quality"],
        help="what to measure (default: step start input)",
    )
    parser.add_argument(
        "--quality_steps", type=int, default=1600, help="steps after which upstream is given up (default: 1600)"
    )
    return parser.parse_args()


def command_ours(config, model_dir, *words):
    script = ROOT / "scripts/model_main_tf2.py"
    return [sys.executable, script, "--norecord_summaries", *name_run(config, model_dir, words)]


def command_upstream(config, model_dir, steps_at_once, *words, plain=False):
    arguments = [*name_run(config, model_dir, words), "--record_summaries=false", "--alsologtostderr"]
    return [sys.executable, "-c", UPSTREAM.format(steps=steps_at_once, arguments=arguments, plain=plain)]


def name_run(config, model_dir, words):
    return [f"--model_dir={model_dir}", f"--pipeline_config_path={config}", *words]


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(command, watch=None):
    """Runs a command to its end: seconds. `watch(line, seconds)` gets what it says, and ends it by returning True."""
    began = time.monotonic()
    said = []
    process = start(command)
    for line in process.stdout:
        said.append(line)
        if watch and watch(line, time.monotonic() - began):
            process.terminate()
            process.communicate()
            return time.monotonic() - began
    if process.wait():
        raise SystemExit("".join(said[-30:]))
    return time.monotonic() - began


def wait_for_line(process, step):
    """Reads what upstream says until the end of `step`."""
    for line in process.stdout:
        if (found := STEP_LINE.search(line)) and int(found[1]) >= step:
            return
    raise SystemExit("upstream's training has ended; run it by itself to see why")


def wait_for_row(log, process, step):
    """Waits until our train_log.csv has a row of `step`."""
    while not log.exists() or not any(int(row["step"]) >= step for row in csv.DictReader(log.open(newline=""))):
        if process.poll() is not None:
            raise SystemExit(process.stdout.read())
        time.sleep(0.02)


def measure_start(config, room, rounds):
    """Seconds of a training of one step: (ours, upstream's), lists of so many rounds."""
    ours, theirs = [], []
    for number in range(rounds):
        theirs.append(run(command_upstream(config, room / f"start_u{number}", 1, "--num_train_steps=1")))
        ours.append(run(command_ours(config, room / f"start_o{number}", "--num_train_steps=1")))
    return ours, theirs


def measure_steps(config, room, steps):
    """Seconds a step of three trainings, a list for each: ours, upstream's, upstream's as TensorFlow starts it; and the
    share that saving at every 100 steps adds to ours.

    They take turns of 10 steps, each stopped while the others go on, so that what else the machine does falls on all.
    """
    words = ["--num_train_steps=100000"]
    model_dir = room / "steps_o"
    wait = functools.partial(wait_for_row, model_dir / "train_log.csv")
    commands = [(command_ours(config, model_dir, *words), wait)]
    for plain in (False, True):
        commands.append((command_upstream(config, room / f"steps_u{plain:d}", 10, *words, plain=plain), wait_for_line))
    trainings = []
    try:
        for command, wait in commands:
            process = start(command)
            trainings.append((process, wait))
            wait(process, WARM_UP_STEPS)
            process.send_signal(signal.SIGSTOP)
        seconds = [[] for _ in trainings]
        for step in range(WARM_UP_STEPS + 10, WARM_UP_STEPS + steps + 1, 10):
            for (process, wait), found in zip(trainings, seconds, strict=True):
                began = time.monotonic()
                process.send_signal(signal.SIGCONT)
                wait(process, step)
                process.send_signal(signal.SIGSTOP)
                found.append((time.monotonic() - began) / 10)
    finally:
        for process, _ in trainings:
            process.terminate()  # ours saves, and the cost of saving is measured with that
            process.send_signal(signal.SIGCONT)
            process.communicate()
    return *seconds, measure_saves(model_dir) / (100 * statistics.median(seconds[0]))


def measure_saves(model_dir):
    """Seconds that saving the newest checkpoint of `model_dir` takes, in this process."""
    import tensorflow as tf

    from tfod.model import saving

    newest = find_latest_checkpoint(model_dir)
    reader = tf.train.load_checkpoint(newest)
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    values = {re.sub(r"\W", "_", name): tf.Variable(reader.get_tensor(name)) for name in names}
    checkpoint = tf.train.Checkpoint(**values)
    seconds = []
    for step in range(5):
        began = time.monotonic()
        saving.save_checkpoint(checkpoint.write, model_dir / "saves", step)
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def measure_input(config, room, rounds, batches=4):
    """Seconds a batch of photos of 12 megapixels, without a training: (ours, upstream's), lists of so many rounds."""
    import tensorflow as tf
    from object_detection import inputs
    from object_detection.builders import model_builder

    config = pipeline.read_config(config)
    examples = [tf.train.Example.FromString(text) for text in read_records(input.list_train_records(config)[0])]
    for example in examples[:16]:
        features = example.features.feature
        (encoded,) = features["image/encoded"].bytes_list.value
        large = io.BytesIO()
        Image.open(io.BytesIO(encoded)).convert("RGB").resize((4000, 3000)).save(large, "JPEG", quality=90)
        features["image/encoded"].bytes_list.value[:] = [large.getvalue()]
        features["image/height"].int64_list.value[:] = [3000]
        features["image/width"].int64_list.value[:] = [4000]
    write_records(room / "large.record", [[example.SerializeToString()] for example in examples[:16]])
    reader = config.train_input_reader
    reader.tf_record_input_reader.input_path[:] = [str(room / "large.record")]
    reader.shuffle_buffer_size = 16  # upstream would keep 2,048 of them, which are several gigabytes
    tf.random.set_seed(1)
    model = model_builder.build(config.model, is_training=True)
    datasets = [
        build_plainly(input.build_train_input, config, model, 42),
        inputs.train_input(config.train_config, reader, config.model, model),
    ]
    found = [], []
    for _ in range(rounds):
        for dataset, seconds in zip(datasets, found, strict=True):
            began = time.monotonic()
            for _ in dataset.take(batches):
                pass
            seconds.append((time.monotonic() - began) / batches)
    return found


def measure_quality(config, room, last, wanted=0.5):
    """Seconds and steps until mAP `wanted`, start and evaluations included: (ours with a schedule of HURRIED_STEPS and
    averages, upstream's with the zoo's), each None where it was not reached; and the seconds that upstream took for all
    its steps, `last` at most."""
    hurried = pipeline.read_config(config)
    schedule.scale_schedule(hurried, hurried.train_config.batch_size, HURRIED_STEPS)
    hurried.train_config.optimizer.use_moving_average = hurried.eval_config.use_moving_averages = True
    hurried.train_config.optimizer.moving_average_decay = HURRIED_EMA
    pipeline.write_config(room / "hurried.config", hurried)
    ours = []

    def watch(line, seconds):
        found = re.search(r"step (\d+): DetectionBoxes_Precision/mAP ([\d.]+)", line)
        if found:
            print(f"here at step {found[1]}: mAP {found[2]}, {seconds:.0f} s", flush=True)
            if float(found[2]) >= wanted:
                ours.append((seconds, int(found[1])))
        return bool(ours)

    run(command_ours(room / "hurried.config", room / "quality_o", "--eval_every_n=50"), watch)
    zoo = pipeline.read_config(config)
    optimizer = zoo.train_config.optimizer
    optimizer.Clear()
    momentum = optimizer.momentum_optimizer
    momentum.momentum_optimizer_value = 0.9
    rate = momentum.learning_rate.cosine_decay_learning_rate
    rate.learning_rate_base, rate.warmup_learning_rate = 0.08, 0.026666
    rate.total_steps, rate.warmup_steps = 50000, 1000
    zoo.model.ssd.loss.localization_loss.weighted_smooth_l1.Clear()
    zoo.model.ssd.loss.localization_weight = 1
    pipeline.write_config(room / "zoo.config", zoo)
    reached = {}

    def watch_checkpoints(line, seconds):
        if found := STEP_LINE.search(line):
            reached[int(found[1])] = seconds

    words = [f"--num_train_steps={last}", "--checkpoint_every_n=200"]
    run(command_upstream(room / "zoo.config", room / "quality_u", 100, *words), watch_checkpoints)
    from tfod.evaluation import evaluator

    model, measure = evaluator.build_evaluation(zoo, room / "eval")
    spent = 0.0
    for prefix in list_checkpoints(room / "quality_u"):
        step = evaluator.restore_checkpoint(zoo, model, prefix)
        began = time.monotonic()
        value = measure(step).metrics["DetectionBoxes_Precision/mAP"]
        spent += time.monotonic() - began
        if step in reached:
            print(f"upstream's schedule at step {step}: mAP {value:.3f}, {reached[step] + spent:.0f} s", flush=True)
            if value >= wanted:
                return ours[0] if ours else None, (reached[step] + spent, step), reached[step] + spent
    return ours[0] if ours else None, None, max(reached.values()) + spent


def print_row(what, here, upstream="", ratio=None, bound=""):
    """A row of the table, at once: a measurement takes minutes, and the next may fail."""
    print(f"{what:42} {here:32} {upstream:32} {'' if ratio is None else f'{ratio:.2f}':7} {bound}".rstrip(), flush=True)


def print_seconds(what, ours, theirs, bound=""):
    texts = [f"{statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f})" for values in (ours, theirs)]
    print_row(what, *texts, statistics.median(mine / yours for mine, yours in zip(ours, theirs, strict=True)), bound)


def main():
    args = parse_arguments()
    config = args.config
    os.chdir(args.workspace)
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        print_row("what", "here", "upstream", bound="at most")
        if "step" in args.measure:
            ours, theirs, plain, cost = measure_steps(config, room, args.steps)
            print_seconds("a step", ours, theirs, "1.00, aim 0.85")
            print_seconds("a step, upstream as TensorFlow starts it", ours, plain)
            print_row("checkpoints every 100 steps", f"{100 * cost:.1f} % of the time", bound="5 %")
        if "start" in args.measure:
            print_seconds("start to the end of step 1", *measure_start(config, room, args.rounds), "0.60")
        if "input" in args.measure:
            print_seconds("the input of a step, photos of 12 MP", *measure_input(config, room, args.rounds))
        if "quality" in args.measure:
            ours, theirs, spent = measure_quality(config, room, args.quality_steps)
            mine = f"{ours[0]:.0f} s (step {ours[1]})" if ours else "not reached"
            yours = f"{theirs[0]:.0f} s (step {theirs[1]})" if theirs else f"not in {spent:.0f} s"
            print_row("until mAP 0.50", mine, yours, ours[0] / spent if ours else None, "0.35")


if __name__ == "__main__":
    main()
