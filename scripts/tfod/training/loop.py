"""The loop over the training steps: what is done between them, and when it ends."""

import contextlib
import dataclasses
import math
import os
import re
import signal
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.config.pipeline import write_config
from tfod.evaluation import metrics_files
from tfod.model import saving
from tfod.training import log
from tfod.training.input import find_source_ids, refuse_records
from tfod.utils.console import InputError, format_seconds, say, show_progress

SUMMARY_EVERY_N = 10  # steps between two points of TensorBoard's curves and rows of train_log.csv
IMAGES_EVERY_N = 100  # steps between two looks at training images in TensorBoard
RETRY_SECONDS = 60  # from a save that failed for good to the next one


@dataclasses.dataclass
class Plan:
    """How a training is to go: what the flags of model_main_tf2.py say, under their names."""

    config_path: str
    model_dir: Path
    seed: int = 42
    checkpoint_every_n: int = 1000
    checkpoint_every_minutes: float = 10
    eval_every_n: int = 0
    best_metric: str = "DetectionBoxes_Precision/mAP"
    patience: int = 0
    record_summaries: bool = True
    jit_compile: bool = False


@dataclasses.dataclass
class Outcome:
    """How a training ended: its last checkpoint, the step of that, and what ended it: "", the number of a signal, or
    "patience"."""

    checkpoint: str
    step: int
    ended_by: object = ""


class NonFiniteLoss(InputError):
    """A loss is no longer a number, or the weights are none."""


class TrainLoop:
    """The steps of one training and what goes on between them. `run` is all that others call.

    config: TrainEvalPipelineConfig
    plan: Plan
    folder: where this process writes; plan.model_dir for the chief
    write: writes a checkpoint's files, as tf.train.Checkpoint.write
    find_broken: the names of the model's variables whose norm is not finite
    measure: step -> metrics of the model as it is, or None
    get_rate: the learning rate at this moment
    """

    def __init__(self, config, plan, folder, write, find_broken, measure, get_rate):
        self.config, self.plan, self.folder, self.write = config, plan, Path(folder), write
        self.find_broken, self.measure, self.get_rate = find_broken, measure, get_rate
        self.log = self.folder / "train_log.csv"
        self.checkpoint = ""  # the prefix of the newest one
        self.caught = []  # the signals that asked for an end
        self.save_at = time.monotonic() + 60 * plan.checkpoint_every_minutes

    def run(self, strategy, run_step, batches, first):
        """Takes the steps after `first`, and returns the Outcome.

        `run_step(features, labels, flags, write_images)` takes a step: (losses, flags added up over all workers).
        """
        import tensorflow as tf

        plan, train = self.plan, self.config.train_config
        last, began = train.num_steps, time.monotonic()
        alone = strategy.num_replicas_in_sync == 1
        log.start_log(self.log, first)
        clock = _Clock(train.batch_size)
        with self._catch_signals(), show_progress("training", last, first) as update:
            for step in range(first + 1, last + 1):
                clock.start()
                # the workers tell each other whether all of them have a batch
                with self._name_damage(step - 1 if alone and step - 1 > first else None), self._name_errors():
                    features, labels = next(batches)
                clock.note_data()
                images_due = plan.record_summaries and step % IMAGES_EVERY_N == 0
                with tf.device("CPU:0"):
                    flags = tf.constant([len(self.caught) > 0, time.monotonic() > self.save_at], tf.float32)
                    write_images = tf.constant(images_due)
                with self._name_errors():
                    losses, flags = run_step(features, labels, flags, write_images)
                    losses, flags = {name: float(loss) for name, loss in losses.items()}, flags.numpy()
                clock.note_step()
                if not all(map(math.isfinite, losses.values())):
                    self._refuse("the loss is no longer a number", losses, step, strategy, features)
                if step == first + 1:
                    self._require_metric(losses)
                if images_due:
                    _write_images(strategy, features, labels, step)
                if step % SUMMARY_EVERY_N == 0 or step in (first + 1, last):
                    self._note(step, losses, clock)
                update(step, clock.text)
                # several workers act on what all of them know, at the same step
                stop, due = (len(self.caught) > 0, flags[1] > 0) if alone else (flags[0] > 0, flags[1] > 0)
                ends = step == last or stop
                measured = self.measure and (step % plan.eval_every_n == 0 or step == last) and not stop
                saved = ends or due or step % plan.checkpoint_every_n == 0
                # a gradient can break them though its loss is a number: going back to such weights would be in vain
                if (measured or saved) and (broken := self.find_broken()):
                    others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
                    what = f"weights are no numbers or beyond all bounds, those of {broken[0]}{others}"
                    self._refuse(what, losses, step, strategy, features)
                if measured and self._evaluate(step):
                    self._save(step, final=True)
                    return self._end(step, "patience", began)
                if saved:
                    self._save(step, final=ends)
                if stop:
                    return self._end(step, self.caught[0] if self.caught else signal.SIGTERM, began)
        return self._end(last, "", began)

    @contextlib.contextmanager
    def _name_errors(self):
        """Raises InputError where the memory is too small for the block, another worker is gone, or XLA can't compile
        the step."""
        import tensorflow as tf

        try:
            yield
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            batch = self.config.train_config.batch_size
            advice = f"try {batch // 2} (BATCH={batch // 2})" if batch > 1 else "use a smaller model or input size"
            raise InputError(
                f"{self.plan.config_path}: a batch of {batch} images does not fit into the memory; {advice}; training"
                " goes on from the last checkpoint"
            ) from error
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            raise InputError(
                "another worker of this training is gone, and without it there is no step to take; start all workers"
                " again: training goes on from the last checkpoint"
            ) from error
        except tf.errors.InvalidArgumentError as error:
            unsupported = re.search(
                r"unsupported operations when trying to compile .* on XLA_\w+: (\w+)", error.message
            )
            if not unsupported:
                raise
            raise InputError(
                f"--jit_compile: XLA can't compile {unsupported[1]}, which a training step of the model of"
                f" {self.plan.config_path} takes; leave it out"
            ) from error

    @contextlib.contextmanager
    def _name_damage(self, step):
        """Raises InputError where the records can't be read any more, with the model saved as of `step`, if any."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            if step is not None and not self.find_broken():
                self._save(step, final=False)
            refuse_records(self.config, saving.describe_failure(error))

    def _refuse(self, what, losses, step, strategy, features):
        hashes = strategy.experimental_local_results(features["hash"])
        numbers = [number for part in hashes for number in part.numpy()]
        parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        images = ", ".join(find_source_ids(self.config, numbers))
        kept = f"the last good checkpoint is {self.checkpoint}" if self.checkpoint else "no checkpoint was written yet"
        raise NonFiniteLoss(
            f"step {step}: {what} ({parts}) on the images {images}; look at their boxes (make check), lower"
            f" learning_rate_base in {self.plan.config_path}, and start again; {kept}"
        )

    def _require_metric(self, losses):
        """Raises InputError where best/ is to be kept by a loss that the model does not have."""
        name = self.plan.best_metric
        if self.measure and name.startswith("Loss/") and name not in losses:
            raise InputError(f"--best_metric {name} is no loss of this model; give one of {', '.join(sorted(losses))}")

    def _note(self, step, losses, clock):
        """A row of train_log.csv, points of TensorBoard's curves, and the text of the progress line."""
        import tensorflow as tf

        rate = self.get_rate()
        values = {name: losses[theirs] for name, theirs in log.LOSSES.items() if theirs in losses}
        values.update(learning_rate=float(rate), **clock.read())
        clock.text = log.format_step(values)
        log.append_log(self.log, step, values)
        with tf.summary.record_if(True), _survive_full_disk():
            for name, value in losses.items():
                tf.summary.scalar(name, value, step=step)
            tf.summary.scalar("learning_rate", values["learning_rate"], step=step)
            tf.summary.scalar("steps_per_sec", 1 / values["step_seconds"], step=step)

    def _save(self, step, final):
        """Writes the checkpoint of `step`. One that fails ends the run only where it is the `final` one."""
        try:
            self.checkpoint = saving.save_with_retries(self.write, self.folder, step)
            self.save_at = time.monotonic() + 60 * self.plan.checkpoint_every_minutes
        except saving.SaveError as error:
            kept = f"{self.checkpoint} is kept" if self.checkpoint else "there is none yet"
            if final:
                raise InputError(
                    f"{self.folder}/ckpt-{step}: could not be written ({error}), {kept}; make room on its disk, and"
                    " start again: training goes on from there"
                ) from error
            say(f"WARNING: {self.folder}/ckpt-{step} could not be written ({error}), {kept}")
            say(f"WARNING: make room on its disk. Training goes on, and tries again in {RETRY_SECONDS} s")
            self.save_at = time.monotonic() + RETRY_SECONDS

    def _evaluate(self, step):
        """Measures the model, and keeps it where it is the best so far. Returns whether the patience is at its end."""
        try:
            metrics = self.measure(step)
        except Exception:  # whatever keeps it from being measured: what was trained is not lost
            self._save(step, final=False)
            raise
        name = self.plan.best_metric
        log.append_log(
            self.log, step, {key: metrics[theirs] for key, theirs in log.METRICS.items() if theirs in metrics}
        )
        best_step, best = read_best(self.folder, name)
        sign = -1 if name.startswith("Loss/") else 1
        better = best is None or best_step > step or sign * metrics[name] > sign * best
        say(f"step {step}: {name} {metrics[name]:.3f}" + (", the best so far" if better else f" (best {best:.3f})"))
        if better:
            self._keep_best(step, metrics)
        return not better and is_patience_over(self.folder, self.plan)

    def _keep_best(self, step, metrics):
        try:
            with saving.keep_best(self.write, self.folder, step) as fresh:
                metrics_files.write_metrics(fresh / "metrics.json", step, f"{self.folder}/best/ckpt-{step}", metrics)
                write_config(fresh / "pipeline.config", self.config)
        except (saving.SaveError, OSError) as error:
            say(f"WARNING: {self.folder}/best: step {step} could not be kept ({error}); make room on its disk")

    def _end(self, step, ended_by, began):
        try:
            log.draw_log(self.log, self.folder / "train_log.png")
        except OSError as error:
            say(f"warning: {self.folder}/train_log.png could not be drawn ({error.strerror})")
        say(f"{step} of {self.config.train_config.num_steps} steps; {format_seconds(time.monotonic() - began)}")
        return Outcome(self.checkpoint, step, ended_by)

    @contextlib.contextmanager
    def _catch_signals(self):
        """Notes the signals that ask for an end, so that the step is finished and saved; a second one ends at once."""

        def note(number, _):
            if self.caught:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self.caught.append(number)
            # straight to the system: Python may be within a print at this moment, and whoever reads may be gone
            with contextlib.suppress(OSError):
                text = f"{signal.Signals(number).name}: saving after this step; once more ends at once\n"
                os.write(2, (b"\n" if os.isatty(2) else b"") + text.encode())

        wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        # one that is ignored stays so: nohup asks for it
        former = {number: signal.getsignal(number) for number in wanted if signal.getsignal(number) != signal.SIG_IGN}
        for number in former:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class _Clock:
    """How long the steps took since the last reading, and how much of that was waiting for data."""

    def __init__(self, batch_size):
        self.batch_size, self.text = batch_size, ""
        self.steps, self.seconds, self.data_seconds = 0, 0.0, 0.0

    def start(self):
        self.started = time.monotonic()

    def note_data(self):
        self.data_seconds += time.monotonic() - self.started

    def note_step(self):
        self.steps += 1
        self.seconds += time.monotonic() - self.started

    def read(self):
        steps, seconds, data = self.steps, self.seconds, self.data_seconds
        self.steps, self.seconds, self.data_seconds = 0, 0.0, 0.0
        return {
            "images_per_second": steps * self.batch_size / seconds,
            "step_seconds": seconds / steps,
            "data_seconds": data / steps,
        }


def read_best(folder, name):
    """(step, value) of the metric `name` in `folder`/best, or (0, None) where there is nothing, or it is damaged."""
    path = Path(folder) / "best" / metrics_files.METRICS
    if not path.exists():
        return 0, None
    try:
        report = metrics_files.read_metrics(path)
        return int(report["step"]), float(report["metrics"][name])
    except (InputError, KeyError, TypeError, ValueError):
        say(f"warning: {path}: does not say how good the best is; the next evaluation makes it again")
        return 0, None


def is_patience_over(folder, plan):
    """Whether plan.patience evaluations came after the best one, as train_log.csv of `folder` has them."""
    if not plan.patience:
        return False
    best_step, best = read_best(folder, plan.best_metric)
    rows = log.read_log(Path(folder) / "train_log.csv")
    later = [row for row in rows if math.isfinite(row["mAP"]) and row["step"] > best_step]
    return best is not None and len(later) >= plan.patience


@contextlib.contextmanager
def _survive_full_disk():
    import tensorflow as tf

    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        say(f"warning: TensorBoard's curves could not be written ({saving.describe_failure(error)})")


def _write_images(strategy, features, labels, step, number=3):
    """Shows TensorBoard the first images of a batch, as the model sees them, with their boxes."""
    import tensorflow as tf

    images = strategy.experimental_local_results(features["image"])[0][:number]
    boxes = strategy.experimental_local_results(labels["groundtruth_boxes"])[0][:number]
    low = tf.reduce_min(images, axis=[1, 2, 3], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2, 3], keepdims=True)
    shown = tf.image.draw_bounding_boxes((images - low) / tf.maximum(high - low, 1e-6), boxes, [[1.0, 0.8, 0.0]])
    with tf.summary.record_if(True), _survive_full_disk():
        tf.summary.image("train_input_images", shown, step=step, max_outputs=number)
