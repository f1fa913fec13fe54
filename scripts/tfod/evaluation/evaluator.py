"""What a detector is worth: checkpoints and exports measured on labelled images."""

import collections
import copy
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.config import pipeline
from tfod.data.label_map import read_names
from tfod.data.samples import Result, decode_sample, open_records
from tfod.evaluation import curves, tide
from tfod.evaluation import metrics as coco_metrics
from tfod.evaluation.metrics import measure_coco
from tfod.evaluation.metrics_files import (
    METRICS_FILE,
    is_measured,
    keep_measured,
    list_classes,
    list_errors,
    read_metrics,
)
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth
from tfod.model import saving, trained_on, weights
from tfod.model.checkpoints import leave_out, list_checkpoint_files
from tfod.utils import files
from tfod.utils.console import InputError, say, show_progress

CLASS_AGNOSTIC = {1: "object"}  # as upstream names what a model finds that tells no classes apart
PHOTOS = 32  # that are in memory at a time for an exported detector


class Evaluation(NamedTuple):
    """`evaluated`: Evaluated; `samples`: the `Sample` of each image; `metrics`: dict upstream's name -> float, -1 where
    there is nothing to measure; `seconds`: dict of what took how long."""

    evaluated: Evaluated
    samples: list
    metrics: dict
    seconds: dict


# ---------------------------------------------------------------- checkpoints


def build_evaluation(config, summary_dir, on_train_data=False, model=None, source=None, batch=None):
    """Builds the evaluation of `config` (TrainEvalPipelineConfig) once: returns (model, `evaluate`).

    `evaluate(step)` goes once over `source` (`samples.Source`; None: the evaluation records of `config`, or the
    training records with `on_train_data`), writes TensorBoard's summaries to `summary_dir`, and returns `Evaluation`:
    every metric and loss of upstream's evaluation with a batch of one image. It measures what the DetectionModel
    `model` holds at that moment; without one, a new model is built, and `restore_checkpoint` fills it. `batch` images
    are a call of the model, where it takes several; None: as many as is good.
    """
    import tensorflow as tf
    from object_detection.builders import model_builder

    from tfod.evaluation import summaries
    from tfod.evaluation.forward import Forward

    reader = copy.deepcopy(get_reader(config, on_train_data))
    source = source or open_config_records(config, on_train_data)
    if model is None:
        # the training's model, as upstream's evaluation builds it: another one has no losses
        model = model_builder.build(config.model, is_training=True, add_summaries=False)
    forward = Forward(config, model, reader, batch)
    writer = tf.summary.create_file_writer(str(Path(summary_dir) / reader.name))

    def evaluate(step):
        began = time.monotonic()
        results = []
        with show_progress("evaluating", source.count) as update:
            for result in forward.run(source):
                results.append(result)
                if len(results) % 16 == 0:  # they come a batch at a time: each alone would upset the time that is left
                    update(len(results))
        results.sort(key=lambda result: result.key)  # as upstream's: of detections with equal scores, the first counts
        seconds = {"images": time.monotonic() - began}
        evaluated = collect(source.names, results)
        samples = [result.sample for result in results]
        metrics = coco_metrics.measure_sets(config.eval_config, evaluated, samples)
        metrics.update(_average_losses(config, model, results))
        summaries.write_summaries(writer, step, metrics, evaluated, config.eval_config)
        seconds["metrics"] = time.monotonic() - began - seconds["images"]
        return Evaluation(evaluated, samples, metrics, seconds)

    return model, evaluate


def get_reader(config, on_train_data=False):
    """The input_reader_pb2.InputReader of the training or the evaluation records."""
    return config.train_input_reader if on_train_data else config.eval_input_reader[0]


def open_config_records(config, on_train_data=False):
    """The `Source` of the records that `config` names. Raises InputError where they are not as they should be."""
    reader = get_reader(config, on_train_data)
    if reader.input_type != reader.DESCRIPTOR.fields_by_name["input_type"].default_value:
        raise InputError("input_type: only records of single images can be evaluated; leave it out")
    if reader.expand_labels_hierarchy:
        raise InputError("expand_labels_hierarchy: can't be evaluated; write the wider classes into the records")
    records, names = pipeline.list_record_files(reader), read_names(reader.label_map_path)
    return open_records(records, names, max(reader.sample_1_of_n_examples, 1))


def _average_losses(config, model, results):
    """The mean of each loss over the images, and the losses that are the same for all; as floats."""
    import tensorflow as tf

    sums = collections.Counter()
    for result in results:
        sums.update(result.losses)
    losses = {name: value / len(results) for name, value in sums.items()}
    if config.train_config.add_regularization_loss and (parts := model.regularization_losses()):
        losses["Loss/regularization_loss"] = float(tf.add_n([tf.cast(part, tf.float32) for part in parts]))
    losses["Loss/total_loss"] = sum(losses.values())
    return losses


def restore_checkpoint(config, model, checkpoint):
    """Puts the weights of `checkpoint`, or its moving averages where `config` evaluates these, into the DetectionModel
    `model`, and returns the checkpoint's step. Raises InputError if it is of another model."""
    weights.build_variables(model)
    try:
        weights.restore_weights(config, model, checkpoint)()
    except ValueError as error:  # a variable of another shape
        what = f"is not of this config's model ({error}); name the pipeline.config it was trained with"
        raise InputError(f"{checkpoint}: {what}") from error
    return saving.read_step(checkpoint)


def evaluate_checkpoints(config, checkpoints, folder, summary_dir, on_train_data=False, source=None, batch=None):
    """Measures each of the `checkpoints` (prefixes) that `folder` has not the results of, and writes them there.

    Yields the report of each as soon as it is there. One that is damaged or was removed is named and left out.
    The rest is as in `build_evaluation`, which builds the model once.
    """
    folder, model = Path(folder), None
    source = source or open_config_records(config, on_train_data)
    for checkpoint in checkpoints:
        fingerprint = files.fingerprint(
            [*list_checkpoint_files(checkpoint), *source.files],
            config=config.SerializeToString(deterministic=True).hex(),
            names=source.names,
            count=source.count,
        )
        if is_measured(folder, fingerprint):
            say(f"{folder / METRICS_FILE} is up to date")
        else:
            say(f"evaluating {checkpoint} on {', '.join(source.data)}")
            began = time.monotonic()
            if model is None:
                model, evaluate = build_evaluation(config, summary_dir, on_train_data, source=source, batch=batch)
            try:
                step = restore_checkpoint(config, model, checkpoint)
            except Exception:
                if not leave_out(checkpoint):
                    raise
                continue
            built = {"build": time.monotonic() - began}
            measured = evaluate(step)
            measured.seconds.update(built)
            keep(folder, fingerprint, step, checkpoint, measured, source)
        yield read_report(folder)


# ---------------------------------------------------------------- exports


def evaluate_export(path, folder, source, eval_config, batch=None):
    """Measures the detector at `path` (an export, a SavedModel, a TFLite or ONNX file), and writes that to `folder`.

    Returns the report. Its own post-processing counts, and there are no losses. Raises InputError if it can't be
    opened, or names its classes otherwise than `source`.
    """
    from tfod.inference.detector import Detector

    fingerprint = files.fingerprint(
        [path, *source.files],
        config=eval_config.SerializeToString(deterministic=True).hex(),
        names=source.names,
        count=source.count,
    )
    if is_measured(folder, fingerprint):
        say(f"{Path(folder) / METRICS_FILE} is up to date")
        return read_report(folder)
    say(f"evaluating {path} on {', '.join(source.data)}")
    began = time.monotonic()
    detector = Detector(path, score=0.0, max_boxes=100, batch=batch)
    trained_on.hold_names(detector.names, source.names, path)
    seconds, began = {"build": time.monotonic() - began}, time.monotonic()
    results = list(detect(detector, source))
    seconds["images"] = time.monotonic() - began
    evaluated = collect(source.names, results)
    samples = [result.sample for result in results]
    metrics = coco_metrics.measure_sets(eval_config, evaluated, samples)
    seconds["metrics"] = time.monotonic() - began - seconds["images"]
    keep(folder, fingerprint, None, str(path), Evaluation(evaluated, samples, metrics, seconds), source)
    return read_report(folder)


def detect(detector, source):
    """Yields a `Result` of each sample: what a `Detector` finds in it."""
    with show_progress("evaluating", source.count) as update:
        samples, done = source.read(), 0
        while some := list(itertools.islice(samples, PHOTOS)):
            photos = [decode_sample(sample) for sample in some]
            for sample, photo, found in zip(some, photos, detector.detect(photos), strict=True):
                size = (photo.shape[1], photo.shape[0])
                yield Result(sample._replace(example=b""), size, found.boxes, found.classes, found.scores, {})
            done += len(some)
            update(done)


# ---------------------------------------------------------------- both


def collect(names, results):
    """The `Evaluated` of a list of `Result`; boxes become pixels as upstream makes them, in float32."""
    if results and results[0].label is None:
        names = CLASS_AGNOSTIC
    images, real, found = [], collections.defaultdict(list), collections.defaultdict(list)
    for index, (sample, (width, height), box, label, score, *_) in enumerate(results):
        images.append(Image(sample.name, width, height, sample.path, sample.number))
        scale = np.array([height, width, height, width], np.float32)
        mine = sample.label if label is not None else np.ones_like(sample.label)
        columns = (np.full(len(mine), index), mine, sample.box * scale, sample.crowd, sample.difficult)
        for key, column in zip(("image", "label", "box", "crowd", "difficult"), columns, strict=True):
            real[key].append(column)
        label = np.ones(len(score), np.int64) if label is None else label
        for key, column in zip(
            ("image", "label", "box", "score"), (np.full(len(score), index), label, box * scale, score), strict=True
        ):
            found[key].append(column)
    real, found = ({key: np.concatenate(parts) for key, parts in one.items()} for one in (real, found))
    return Evaluated(names, images, make_ground_truth(**real), make_detections(**found))


def keep(folder, fingerprint, step, checkpoint, measured, source):
    """Writes the files of an evaluation into `folder`: `measured`, and what follows from it for classes and errors."""
    evaluated = measured.evaluated
    errors = tide.find_errors(evaluated)
    measured_curves = curves.measure_curves(evaluated, errors)
    thresholds = {number: curve.threshold for number, curve in measured_curves.items()}
    counts = tide.count_kinds(evaluated, errors, thresholds)
    report = {
        "step": step,
        "checkpoint": checkpoint,
        "metrics": measured.metrics,
        "data": source.data,
        "images": len(evaluated.images),
        "seconds": {name: round(value, 3) for name, value in measured.seconds.items()},
        "classes": list_classes(measure_coco(evaluated), measured_curves),
        "errors": list_errors(counts, tide.measure_costs(evaluated, errors)),
    }
    keep_measured(folder, fingerprint, evaluated, report)


def read_report(folder):
    """What `keep` wrote into `folder`: the report, a dict."""
    return read_metrics(Path(folder) / METRICS_FILE)
