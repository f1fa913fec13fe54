"""The loop over the training steps: what is done before and after each of them, and when it ends."""

import contextlib
import dataclasses
import math
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.model import saving
from tfod.training import best_checkpoint, log
from tfod.training.input import find_source_ids, refuse_records
from tfod.training.nan_retries import NonFiniteLoss
from tfod.training.plan import Outcome, Plan
from tfod.training.signals import note_signals
from tfod.utils.console import InputError, format_seconds, say, show_progress

SUMMARY_EVERY_N = 10  # steps between two rows of train_log.csv and points of TensorBoard's curves
IMAGES_EVERY_N = 100  # steps between two looks at training images in TensorBoard
RETRY_SECONDS = 60  # from a save that failed for good to the next one


@dataclasses.dataclass(kw_only=True)
class TrainLoop:
    """The steps of one training. `run` is all that others call.

    config:      TrainEvalPipelineConfig
    folder:      where this process writes; plan.model_dir for the chief
    strategy:    tf.distribute.Strategy
    batches:     yields (features, labels), dicts of tensors
    run_step:    takes a step: (features, labels, flags, write_images) -> (losses, flags added up over all workers)
    write:       writes a checkpoint's files, as tf.train.Checkpoint.write
    find_broken: the names of the model's variables whose norm is not finite
    get_rate:    the learning rate at this moment
    measure:     step -> metrics of the model as it is
    first:       the step that the model is at
    checkpoint:  the prefix of its newest checkpoint, or ""
    """

    config: object
    plan: Plan
    folder: Path
    strategy: object
    batches: Iterator
    run_step: Callable
    write: Callable
    find_broken: Callable
    get_rate: Callable
    measure: Callable | None = None
    first: int = 0
    checkpoint: str = ""

    def run(self) -> Outcome:
        """Takes the steps after `first`, each between its hooks."""
        self.before_training()
        ended_by = ""
        with note_signals() as self.caught, show_progress("training", self.last, self.first) as self.update:
            for step in range(self.first + 1, self.last + 1):
                self.step = step
                self.before_step()
                self.take_step()
                ended_by = self.after_step()
                if ended_by:
                    break
        return self.after_training(ended_by)

    # ------------------------------------------------------------ hooks

    def before_training(self):
        self.began = time.monotonic()
        self.step, self.last = self.first, self.config.train_config.num_steps
        self.alone = self.strategy.num_replicas_in_sync == 1
        self.log = log.TrainingLog(self.folder, self.config.train_config.batch_size)
        self.log.start(self.first)
        self.save_at = self.began + 60 * self.plan.checkpoint_every_minutes

    def before_step(self):
        """Gets a batch. Raises InputError where the records can't be read any more, after what was trained is saved."""
        import tensorflow as tf

        self.log.start_step()
        try:
            with self.name_errors():
                self.features, self.labels = next(self.batches)
        except tf.errors.OpError as error:
            done = self.step - 1
            # the workers tell each other whether all of them have a batch: no save of one alone
            if self.alone and done > self.first and not self.find_broken():
                self.save(done)
            refuse_records(self.config, saving.describe_failure(error))
        self.log.note_data()

    def take_step(self):
        """Takes the step, and tells all workers whether this one was asked to end, and whether it is time to save."""
        import tensorflow as tf

        self.shows_images = self.plan.record_summaries and self.step % IMAGES_EVERY_N == 0
        with tf.device("CPU:0"):
            flags = tf.constant([len(self.caught) > 0, time.monotonic() > self.save_at], tf.float32)
            write_images = tf.constant(self.shows_images)
        with self.name_errors():
            losses, flags = self.run_step(self.features, self.labels, flags, write_images)
            self.losses, self.flags = {name: float(loss) for name, loss in losses.items()}, flags.numpy()
        self.log.note_step()

    def after_step(self) -> str | int:
        """Log, evaluation and checkpoint, each where it is due. Returns what ends the training, as `Outcome` has it."""
        self.require_finite_losses()
        self.note()
        self.update(self.step, self.log.text)
        plan, is_last = self.plan, self.step == self.last
        # several workers act on what all of them know, at the same step
        stop, due = self.flags > 0
        stop = len(self.caught) > 0 if self.alone else stop
        measures = self.measure and (self.step % plan.eval_every_n == 0 or is_last) and not stop
        saves = is_last or stop or due or self.step % plan.checkpoint_every_n == 0
        if measures or saves:
            self.require_finite_weights()
        if measures and self.evaluate():
            self.save(self.step, final=True)
            return "patience"
        if saves:
            self.save(self.step, final=is_last or stop)
        return (self.caught or [signal.SIGTERM])[0] if stop else ""

    def after_training(self, ended_by) -> Outcome:
        self.log.draw()
        say(f"{self.step} of {self.last} steps; {format_seconds(time.monotonic() - self.began)}")
        return Outcome(self.checkpoint, self.step, ended_by)

    # ------------------------------------------------------------ log

    def note(self):
        if self.step == self.first + 1 and self.measure:
            best_checkpoint.require_loss(self.plan.best_metric, self.losses)
        if self.shows_images:
            images, boxes = (
                self.strategy.experimental_local_results(part)[0]
                for part in (self.features["image"], self.labels["groundtruth_boxes"])
            )
            log.write_images(images, boxes, self.step)
        if self.step % SUMMARY_EVERY_N == 0 or self.step in (self.first + 1, self.last):
            self.log.note(self.step, self.losses, float(self.get_rate()))

    # ------------------------------------------------------------ numbers that are not finite

    def require_finite_losses(self):
        if not all(map(math.isfinite, self.losses.values())):
            self.refuse("the loss is no longer a number")

    def require_finite_weights(self):
        """A gradient can break them though its loss is a number, and to go back to such weights would not help."""
        if broken := self.find_broken():
            others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            self.refuse(f"weights are not finite, those of {broken[0]}{others}")

    def refuse(self, what):
        hashes = self.strategy.experimental_local_results(self.features["hash"])
        numbers = [number for part in hashes for number in part.numpy()]
        parts = ", ".join(f"{name} {value:g}" for name, value in self.losses.items())
        images = ", ".join(find_source_ids(self.config, numbers))
        kept = f"the last good checkpoint is {self.checkpoint}" if self.checkpoint else "no checkpoint was written yet"
        raise NonFiniteLoss(
            f"step {self.step}: {what} ({parts}) on the images {images}; look at their boxes (make check), lower"
            f" learning_rate_base in {self.plan.config_path}, and start again; {kept}"
        )

    # ------------------------------------------------------------ evaluation

    def evaluate(self) -> bool:
        """Measures the model, and keeps it where it is the best so far. Returns whether the patience is over."""
        try:
            metrics = self.measure(self.step)
        except Exception:  # whatever keeps it from being measured: what was trained is not lost
            self.save(self.step)
            raise
        self.log.note_metrics(self.step, metrics)
        name = self.plan.best_metric
        if best_checkpoint.is_best(self.folder, name, self.step, metrics[name]):
            best_checkpoint.keep_best(self.write, self.folder, self.step, metrics, self.config)
            return False
        return best_checkpoint.is_patience_over(self.folder, self.plan)

    # ------------------------------------------------------------ checkpoints

    def save(self, step, final=False):
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

    # ------------------------------------------------------------ errors

    @contextlib.contextmanager
    def name_errors(self):
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
                "another worker of this training is gone, and no step can be taken without it; start all workers"
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
