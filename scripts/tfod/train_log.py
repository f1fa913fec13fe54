"""Top module: what a training says of itself: its banner, a line every few seconds, train_log.csv and train_log.png."""

import csv
import io
import math
import platform
import subprocess
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod import files
from tfod.console import say

LOSSES = {  # the columns of train_log.csv, and upstream's names for what is in them
    "total_loss": "Loss/total_loss",
    "classification_loss": "Loss/classification_loss",
    "localization_loss": "Loss/localization_loss",
    "regularization_loss": "Loss/regularization_loss",
}
METRICS = {"mAP": "DetectionBoxes_Precision/mAP", "mAP50": "DetectionBoxes_Precision/mAP@.50IOU"}
COLUMNS = ["step", *LOSSES, "learning_rate", "images_per_second", "step_seconds", "data_seconds", *METRICS]


def describe_run(config, seed, images, strategy):
    """The lines of the banner: what trains what, on what, from where."""
    import tensorflow as tf

    train = config.train_config
    devices = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    epochs = train.num_steps * train.batch_size / max(images, 1)
    replicas = strategy.num_replicas_in_sync
    return [
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, {find_commit()}",
        f"seed {seed}; devices {', '.join(devices)}" + (f"; {replicas} replicas" if replicas > 1 else ""),
        f"{images} training images; batches of {train.batch_size}; {train.num_steps} steps, which are"
        f" {epochs:.1f} epochs",
    ]


def find_commit():
    """The commit of these scripts, with a + where files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        found = ""
    return f"commit {found}" if found else "no git commit"


def format_step(values):
    """The values of a step, a dict of floats by the names of COLUMNS, as the line for the person who watches."""
    parts = [f"{name.removesuffix('_loss')} {values[name]:.3f}" for name in LOSSES if name in values]
    return (
        f"loss {', '.join(parts)}; learning rate {values['learning_rate']:.2g};"
        f" {values['images_per_second']:.1f} images/s ({values['step_seconds']:.3f} s a step,"
        f" {values['data_seconds']:.3f} s of it data)"
    )


def start_log(path, step):
    """Makes train_log.csv ready for what comes after `step`: rows of later steps are of a training that was lost."""
    rows = [row for row in read_log(path) if row["step"] <= step]
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if math.isnan(row[name]) else f"{row[name]:.10g}" for name in COLUMNS} for row in rows)
    files.write_text(path, table.getvalue())


def append_log(path, step, values):
    """Adds a row: `values` is a dict of floats by the names of COLUMNS. A full disk is said, and stops nothing."""
    row = {"step": step, **{name: f"{values[name]:.6g}" for name in COLUMNS if name in values}}
    try:
        with Path(path).open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n").writerow(row)
    except OSError as error:
        say(f"warning: {path}: step {step} could not be noted ({error.strerror})")


def read_log(path):
    """The rows of train_log.csv, dicts of floats with NaN where there is nothing; an empty list where there is none."""
    if not Path(path).exists():
        return []
    rows = []
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({name: float(row.get(name) or "nan") for name in COLUMNS})
            except ValueError:  # a line that was half written when the training was killed
                continue
    return [row for row in rows if not math.isnan(row["step"])]


def draw_log(path, picture):
    """Draws train_log.csv as curves of the losses, the learning rate and mAP over the steps: a PNG file."""
    from matplotlib.figure import Figure

    rows = read_log(path)
    figure = Figure(figsize=(9, 9), layout="constrained")
    panels = [("loss", LOSSES), ("learning rate", ["learning_rate"]), ("mAP on the test images", METRICS)]
    for number, (title, names) in enumerate(panels):
        axes = figure.add_subplot(3, 1, number + 1)
        for name in names:
            points = [(row["step"], row[name]) for row in rows if math.isfinite(row[name])]
            if points:
                marker = "o" if len(points) < 40 else ""
                axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=name.replace("_", " "))
        if axes.has_data():
            axes.legend(frameon=False)
        else:
            axes.text(0.5, 0.5, "nothing measured (--eval_every_n)", transform=axes.transAxes, ha="center")
        axes.set_title(title, loc="left")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    axes.set_xlabel("step")
    with files.write_whole(picture) as fresh:
        figure.savefig(fresh, dpi=100)
