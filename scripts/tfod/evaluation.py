"""Top module: COCO metrics of a checkpoint, computed by the OD API and pycocotools."""

import contextlib
import copy
import io
import json
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod import files

# The rows of pycocotools' summary: title, IoU, area, detections an image, and upstream's name of the metric.
COCO_ROWS = [
    ("Average Precision", "AP", "0.50:0.95", "all", 100, "DetectionBoxes_Precision/mAP"),
    ("Average Precision", "AP", "0.50", "all", 100, "DetectionBoxes_Precision/mAP@.50IOU"),
    ("Average Precision", "AP", "0.75", "all", 100, "DetectionBoxes_Precision/mAP@.75IOU"),
    ("Average Precision", "AP", "0.50:0.95", "small", 100, "DetectionBoxes_Precision/mAP (small)"),
    ("Average Precision", "AP", "0.50:0.95", "medium", 100, "DetectionBoxes_Precision/mAP (medium)"),
    ("Average Precision", "AP", "0.50:0.95", "large", 100, "DetectionBoxes_Precision/mAP (large)"),
    ("Average Recall", "AR", "0.50:0.95", "all", 1, "DetectionBoxes_Recall/AR@1"),
    ("Average Recall", "AR", "0.50:0.95", "all", 10, "DetectionBoxes_Recall/AR@10"),
    ("Average Recall", "AR", "0.50:0.95", "all", 100, "DetectionBoxes_Recall/AR@100"),
    ("Average Recall", "AR", "0.50:0.95", "small", 100, "DetectionBoxes_Recall/AR@100 (small)"),
    ("Average Recall", "AR", "0.50:0.95", "medium", 100, "DetectionBoxes_Recall/AR@100 (medium)"),
    ("Average Recall", "AR", "0.50:0.95", "large", 100, "DetectionBoxes_Recall/AR@100 (large)"),
]


def build_evaluation(config, summary_dir, on_train_data=False):
    """Builds the model of `config` (TrainEvalPipelineConfig) once, and returns `evaluate(checkpoint)`.

    `evaluate` takes a checkpoint's prefix, goes over the evaluation records once (the training records with
    `on_train_data`), writes TensorBoard summaries to `summary_dir`, and returns (step, metrics): metrics has every
    metric and loss under upstream's names as floats, -1 where COCO has nothing to measure.
    """
    import tensorflow as tf
    from object_detection import inputs, model_lib_v2
    from object_detection.builders import model_builder, optimizer_builder

    eval_config = config.eval_config
    reader = copy.deepcopy(config.train_input_reader if on_train_data else config.eval_input_reader[0])
    reader.num_epochs, reader.shuffle = 1, False
    # upstream's evaluation builds the training model and switches it over, so that the losses can be computed
    model = model_builder.build(config.model, is_training=True, add_summaries=False)
    dataset = inputs.eval_input(
        eval_config=eval_config, eval_input_config=reader, model_config=config.model, model=model
    )
    global_step = tf.Variable(0, trainable=False, dtype=tf.int64)
    optimizer, _ = optimizer_builder.build(config.train_config.optimizer, global_step=global_step)
    if eval_config.use_moving_averages:
        model_lib_v2._ensure_model_is_built(model, dataset, eval_config.batch_size == 1)
        optimizer.shadow_copy(model)
    configs = {"train_config": config.train_config, "eval_config": eval_config, "eval_input_config": reader}
    writer = tf.summary.create_file_writer(str(Path(summary_dir) / reader.name))

    def evaluate(checkpoint):
        tf.train.Checkpoint(step=global_step, model=model, optimizer=optimizer).restore(checkpoint).expect_partial()
        if eval_config.use_moving_averages:
            optimizer.swap_weights()
        # pycocotools prints its progress and its table; ours is printed from the metrics
        with writer.as_default(), contextlib.redirect_stdout(io.StringIO()):
            metrics = model_lib_v2.eager_eval_loop(model, configs, dataset, global_step=global_step)
        writer.flush()
        return int(global_step), {name: float(value) for name, value in metrics.items()}

    return evaluate


def write_metrics(path, step, checkpoint, metrics):
    """Writes metrics.json: `step`, `checkpoint`, and `metrics`, every metric under upstream's name."""
    report = {"step": step, "checkpoint": checkpoint, "metrics": dict(sorted(metrics.items()))}
    files.write_text(path, json.dumps(report, indent=2) + "\n")


def read_metrics(path):
    """What `write_metrics` wrote: a dict with step, checkpoint and metrics."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def format_metrics(report):
    """The COCO table, as pycocotools prints it, and the losses, of what `read_metrics` returns."""
    metrics = report["metrics"]
    lines = [
        f" {title:<18} ({short}) @[ IoU={iou:<9} | area={area:>6s} | maxDets={count:>3d} ] = {metrics[name]:0.3f}"
        for title, short, iou, area, count, name in COCO_ROWS
        if name in metrics
    ]
    shown = {row[-1] for row in COCO_ROWS}
    lines += [f" {name} = {value:.3f}" for name, value in metrics.items() if name not in shown]
    return "\n".join([f"{report['checkpoint']} (step {report['step']}):", *lines])
