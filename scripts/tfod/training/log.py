"""What a training says of itself: its banner, a line every few seconds, train_log.csv and train_log.png."""

import contextlib
import csv
import io
import math
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.config import schedule
from tfod.config.pipeline import list_record_files
from tfod.data.faulty import describe_records
from tfod.model import saving
from tfod.utils import files
from tfod.utils.console import say
from tfod.utils.environment import find_commit, list_versions
from tfod.utils.figures import BLUE, GREEN, ORANGE, POINTS, RED, make_figure, show_empty, tidy
from tfod.utils.files import is_file

NAME, PICTURE = "train_log.csv", "train_log.png"
LOSSES = {  # the columns of train_log.csv, and upstream's names for what is in them
    "total_loss": "Loss/total_loss",
    "classification_loss": "Loss/classification_loss",
    "localization_loss": "Loss/localization_loss",
    "regularization_loss": "Loss/regularization_loss",
}
METRICS = {"mAP": "DetectionBoxes_Precision/mAP", "mAP50": "DetectionBoxes_Precision/mAP@.50IOU"}
COLUMNS = ["step", *LOSSES, "learning_rate", "images_per_second", "step_seconds", "data_seconds", *METRICS]
PANELS = {  # title: columns
    "Losses": LOSSES,
    "Learning rate": ["learning_rate"],
    "mAP on the test images, while training": METRICS,
}


def describe_run(config, seed: int, images: int, strategy) -> list[str]:
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
        *describe_records(list_record_files(config.train_input_reader)),
    ]


def format_step(values: dict) -> str:
    """The values of a step, a dict of floats by the names of COLUMNS, as the line for the person who watches."""
    parts = [f"{name.removesuffix('_loss')} {values[name]:.3f}" for name in LOSSES if name in values]
    return (
        f"loss {', '.join(parts)}; learning rate {values['learning_rate']:.2g};"
        f" {values['images_per_second']:.1f} images/s ({values['step_seconds']:.3f} s a step,"
        f" {values['data_seconds']:.3f} s of it data)"
    )


class TrainingLog:
    """The log of a training while it runs: train_log.csv in `folder`, TensorBoard's curves, the progress line's `text`.

    It has a clock, too: how long the steps took since the last note, and how much of that was waiting for data.
    """

    def __init__(self, folder, batch_size: int):
        self.path, self.batch_size, self.text = Path(folder) / NAME, batch_size, ""
        self._reset_clock()

    def start(self, step: int):
        """Makes the file ready for what comes after `step`."""
        start_log(self.path, step)

    def start_step(self):
        self.started = time.monotonic()

    def note_data(self):
        """The batch of the step is there."""
        self.data_seconds += time.monotonic() - self.started

    def note_step(self):
        """The step was taken."""
        self.steps += 1
        self.seconds += time.monotonic() - self.started

    def note(self, step: int, losses: dict, rate: float):
        """Notes `losses` (by upstream's names) and the learning rate of `step`, and the clock's times since before."""
        import tensorflow as tf

        values = {name: losses[theirs] for name, theirs in LOSSES.items() if theirs in losses}
        values.update(
            learning_rate=rate,
            images_per_second=self.steps * self.batch_size / self.seconds,
            step_seconds=self.seconds / self.steps,
            data_seconds=self.data_seconds / self.steps,
        )
        self._reset_clock()
        self.text = format_step(values)
        append_log(self.path, step, values)
        with tf.summary.record_if(True), survive_full_disk():
            for name, value in losses.items():
                tf.summary.scalar(name, value, step=step)
            tf.summary.scalar("learning_rate", rate, step=step)
            tf.summary.scalar("steps_per_sec", 1 / values["step_seconds"], step=step)

    def note_metrics(self, step: int, metrics: dict):
        """Notes of an evaluation's `metrics` (by upstream's names) those that have a column."""
        found = {name: metrics[theirs] for name, theirs in METRICS.items() if theirs in metrics}
        append_log(self.path, step, found)

    def draw(self):
        """Draws train_log.png beside the file. What keeps it from being written is said."""
        picture = self.path.with_name(PICTURE)
        try:
            draw_log(self.path, picture)
        except OSError as error:
            say(f"warning: {picture} could not be drawn ({error.strerror})")

    def _reset_clock(self):
        self.steps, self.seconds, self.data_seconds = 0, 0.0, 0.0


@contextlib.contextmanager
def survive_full_disk():
    """Says where TensorBoard's curves can't be written in the block, which stops no training."""
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        say(f"warning: TensorBoard's curves could not be written ({saving.describe_failure(error)})")


def write_images(images, boxes, step: int, number=3):
    """Shows TensorBoard the first `number` images of a batch, as the model sees them, with their boxes.

    images: float32 [batch, height, width, channels], of any range
    boxes:  float32 [batch, N, 4], `[ymin, xmin, ymax, xmax]` normalized
    """
    import tensorflow as tf

    images, boxes = images[:number], boxes[:number]
    low = tf.reduce_min(images, axis=[1, 2, 3], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2, 3], keepdims=True)
    shown = tf.image.draw_bounding_boxes((images - low) / tf.maximum(high - low, 1e-6), boxes, [[1.0, 0.8, 0.0]])
    with tf.summary.record_if(True), survive_full_disk():
        tf.summary.image("train_input_images", shown, step=step, max_outputs=number)


def start_log(path, step: int):
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


def append_log(path, step: int, values: dict):
    """Adds a row: `values` is a dict of floats by the names of COLUMNS. A full disk is said, and stops nothing."""
    if Path(path).exists() and not is_file(path):  # start_log has said so
        return
    row, line = {"step": step, **{name: f"{values[name]:.6g}" for name in COLUMNS if name in values}}, io.StringIO()
    csv.DictWriter(line, COLUMNS, restval="", lineterminator="\n").writerow(row)
    try:
        with Path(path).open("a+b") as file:
            file.seek(max(file.tell() - 1, 0))
            # after half a row, as of a full disk: no number ends in a question mark, 0.45 is not half of 0.4523
            end = b"" if file.read(1) in (b"\n", b"") else b"?\n"
            file.write(end + line.getvalue().encode())
    except OSError as error:
        say(f"warning: {path}: step {step} could not be noted ({error.strerror})")


def read_log(path) -> list[dict]:
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


def write_hyperparameters(config, seed: int):
    """Notes for TensorBoard's HPARAMS what tells one run from another. `config` is a TrainEvalPipelineConfig."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    train = config.train_config
    kind = train.optimizer.WhichOneof("optimizer")
    rates = schedule.list_learning_rates(train.optimizer)
    with tf.summary.record_if(True):
        api.hparams(
            {
                "batch_size": train.batch_size,
                "num_steps": train.num_steps,
                "optimizer": kind.removesuffix("_optimizer"),
                "learning_rate": max(rates, default=0.0),
                "moving_average": train.optimizer.use_moving_average,
                "augmentations": len(train.data_augmentation_options),
                "fine_tune_checkpoint_type": train.fine_tune_checkpoint_type or "none",
                "seed": seed,
            }
        )


def list_points(rows: list[dict], column: str) -> list[tuple[float, float]]:
    """Pairs (step, value) of a column of `read_log`'s rows, without NaN; at most `POINTS`, evenly over the steps."""
    points = [(row["step"], row[column]) for row in rows if math.isfinite(row[column])]
    return points[:: -(-len(points) // POINTS) or 1]


def draw_columns(axes, rows: list[dict], columns, title: str = "") -> bool:
    """Draws columns of `read_log`'s rows over the steps, and returns whether there is anything to see."""
    for name, colour, style in zip(columns, (BLUE, ORANGE, GREEN, RED), ("-", "--", ":", "-."), strict=False):
        points = list_points(rows, name)
        if points:
            label, marker = name.replace("_", " ").replace(" loss", ""), "o" if len(points) < 20 else ""
            axes.plot(*zip(*points, strict=True), style, color=colour, marker=marker, markersize=4, label=label)
    tidy(axes, "y", title, x="step")
    if not axes.lines:
        return False
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.yaxis.get_offset_text().set_fontsize(9)
    return True


def draw_log(path, picture):
    """Draws train_log.csv as curves of the losses, the learning rate and mAP over the steps: a PNG file."""
    rows = read_log(path)
    figure = make_figure(9, 9)
    for axes, (title, columns) in zip(figure.subplots(len(PANELS), 1), PANELS.items(), strict=True):
        if draw_columns(axes, rows, columns, title):
            axes.legend(frameon=False)
        else:
            show_empty(axes, "nothing measured (--eval_every_n)")
    with files.write_whole(picture) as fresh:
        figure.savefig(fresh, dpi=100)
