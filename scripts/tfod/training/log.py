"""What a training says of itself: its banner, a line every few seconds, train_log.csv and train_log.png."""

import contextlib
import csv
import errno
import io
import math
import os
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.utils import files
from tfod.utils.console import say
from tfod.utils.environment import find_commit, list_versions
from tfod.utils.files import is_file

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
        f"{', '.join(map(' '.join, list_versions(('tensorflow',))))}, {find_commit()}",
        f"seed {seed}; devices {', '.join(devices)}" + (f"; {replicas} replicas" if replicas > 1 else ""),
        f"{images} training images; batches of {train.batch_size}; {train.num_steps} steps, which are"
        f" {epochs:.1f} epochs",
    ]


def format_step(values):
    """The values of a step, a dict of floats by the names of COLUMNS, as the line for the person who watches."""
    parts = [f"{name.removesuffix('_loss')} {values[name]:.3f}" for name in LOSSES if name in values]
    return (
        f"loss {', '.join(parts)}; learning rate {values['learning_rate']:.2g};"
        f" {values['images_per_second']:.1f} images/s ({values['step_seconds']:.3f} s a step,"
        f" {values['data_seconds']:.3f} s of it data)"
    )


def start_log(path, step):
    """Makes train_log.csv ready for what comes after `step`: rows of later steps are of a training that was lost.

    What keeps it from being written is said, and stops no training.
    """
    path = Path(path)
    if path.exists() and not is_file(path):
        say(f"warning: {path}: is not a file, so the steps are not noted; move it away, and the next training makes it")
        return
    rows = [row for row in read_log(path) if row["step"] <= step]
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if math.isnan(row[name]) else f"{row[name]:.10g}" for name in COLUMNS} for row in rows)
    try:
        files.write_text(path, table.getvalue())
    except OSError as error:
        say(f"warning: {path}: could not be written ({error.strerror})")


def append_log(path, step, values):
    """Adds a row: `values` is a dict of floats by the names of COLUMNS. A full disk is said, and stops nothing.

    A row that the disk takes in part only is taken back; one after a half row begins on a line of its own.
    """
    if Path(path).exists() and not is_file(path):  # start_log has said so
        return
    row, line = {"step": step, **{name: f"{values[name]:.6g}" for name in COLUMNS if name in values}}, io.StringIO()
    csv.DictWriter(line, COLUMNS, restval="", lineterminator="\n").writerow(row)
    try:
        with Path(path).open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            # no number ends in a question mark: half of 0.4523 shall not become 0.45 by a line end
            text = (b"" if file.read(1) in (b"\n", b"") else b"?\n") + line.getvalue().encode()
            try:
                if file.write(text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                with contextlib.suppress(OSError):  # what is said below is why
                    file.truncate(size)
                raise
    except OSError as error:
        say(f"warning: {path}: step {step} could not be noted ({error.strerror})")


def read_log(path):
    """The rows of train_log.csv, dicts of floats with NaN where there is nothing; an empty list where there is none.

    A row counts if it is whole: ends with a line end, and has a number or nothing in every column. Others are said.
    """
    path = Path(path)
    if not path.exists():
        return []
    if not is_file(path):
        say(f"warning: {path}: is not a file, and is left out")
        return []
    try:
        *lines, rest = path.read_bytes().decode(errors="replace").split("\n")
    except OSError as error:
        say(f"warning: {path}: can't be read ({error.strerror})")
        return []
    header = lines[0].rstrip("\r").split(",") if lines else COLUMNS
    known = header[0] == "step" and set(header) <= set(COLUMNS)
    rows = [_read_row(line, header if known else COLUMNS) for line in lines[1:]]
    damaged = rows.count(None) + bool(rest) + (not known)
    if damaged:
        say(f"warning: {path}: {damaged} line{'s are' if damaged > 1 else ' is'} not whole, and left out")
    return [row for row in rows if row]


def _read_row(line, header):
    cells = line.rstrip("\r").split(",")
    try:
        found = {name: float(cell or "nan") for name, cell in zip(header, cells, strict=True)}
    except ValueError:  # half of a row, or none
        return None
    return {name: found.get(name, math.nan) for name in COLUMNS} if math.isfinite(found["step"]) else None


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
