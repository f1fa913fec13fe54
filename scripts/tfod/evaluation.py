"""Top module: COCO metrics of a checkpoint, computed by the OD API and pycocotools."""

import collections
import contextlib
import copy
import io
import json
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod import exporting, files, fine_tuning, saving

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


def build_evaluation(config, summary_dir, on_train_data=False, model=None):
    """Builds the evaluation of `config` (TrainEvalPipelineConfig) once: returns (model, `evaluate`).

    `evaluate(step)` goes once over the evaluation records (the training records with `on_train_data`), writes
    TensorBoard summaries to `summary_dir`, and returns the metrics: every metric and loss of upstream's evaluation
    under upstream's names as floats, -1 where COCO has nothing to measure. It measures what the DetectionModel `model`
    holds at that moment; without one, a new model is built, and `restore_checkpoint` fills it.
    """
    import tensorflow as tf
    from object_detection import eval_util, inputs
    from object_detection.builders import model_builder
    from object_detection.utils import label_map_util

    eval_config = config.eval_config
    reader = copy.deepcopy(config.train_input_reader if on_train_data else config.eval_input_reader[0])
    reader.num_epochs, reader.shuffle = 1, False
    if model is None:
        # the training's model, as upstream's evaluation builds it: another one has no losses
        model = model_builder.build(config.model, is_training=True, add_summaries=False)
    dataset = inputs.eval_input(
        eval_config=eval_config, eval_input_config=reader, model_config=config.model, model=model
    )
    classes = label_map_util.create_category_index_from_labelmap(reader.label_map_path)
    options = eval_util.evaluator_options_from_eval_config(eval_config)
    measure = _trace_measuring(config, model)
    writer = tf.summary.create_file_writer(str(Path(summary_dir) / reader.name))

    def evaluate(step):
        model._is_training = False
        tf.keras.backend.set_learning_phase(False)
        evaluators, losses = [], collections.defaultdict(list)
        with writer.as_default(step):
            for number, batch in enumerate(dataset):
                its_losses, found, class_agnostic = measure(*batch)
                index = label_map_util.create_class_agnostic_category_index() if class_agnostic else classes
                evaluators = evaluators or eval_util.get_evaluators(eval_config, list(index.values()), options)
                if number < eval_config.num_visualizations:
                    _draw_side_by_side(found, index, eval_config, number)
                for evaluator in evaluators:
                    evaluator.add_eval_dict(found)
                for name, loss in its_losses.items():
                    losses[name].append(float(loss))
            metrics = {}
            with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and its table
                for evaluator in evaluators:
                    metrics.update({str(name): float(value) for name, value in evaluator.evaluate().items()})
            metrics.update({name: sum(values) / len(values) for name, values in losses.items()})
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
        writer.flush()
        return metrics

    return model, evaluate


def _trace_measuring(config, model):
    """A function of a batch of the evaluation input: (losses, what upstream's evaluators take, class agnostic)."""
    import tensorflow as tf
    from object_detection import model_lib, model_lib_v2
    from object_detection.core import standard_fields

    boxes = standard_fields.InputDataFields.groundtruth_boxes
    facts = {}

    @tf.function
    def measure(features, labels):
        # training records come padded to a fixed number of boxes
        unpad = labels[boxes].shape[1] is not None and config.eval_config.batch_size == 1
        losses, predictions = model_lib_v2._compute_losses_and_predictions_dicts(
            model,
            features,
            model_lib.unstack_batch(labels, unpad_groundtruth_tensors=unpad),
            training_step=None,
            add_regularization_loss=config.train_config.add_regularization_loss,
        )
        shapes = features[standard_fields.InputDataFields.true_image_shape]
        detections = model.postprocess(predictions, shapes)
        found, facts["class_agnostic"] = model_lib_v2.prepare_eval_dict(detections, dict(labels), features)
        return losses, found

    return lambda features, labels: (*measure(features, labels), facts["class_agnostic"])


def _draw_side_by_side(found, index, eval_config, number):
    """Writes the detections in an image, and beside them what is there, for TensorBoard."""
    import tensorflow as tf
    from object_detection.utils import visualization_utils

    pictures = visualization_utils.draw_side_by_side_evaluation_image(
        found,
        category_index=index,
        max_boxes_to_draw=eval_config.max_num_boxes_to_visualize,
        min_score_thresh=eval_config.min_score_threshold,
        use_normalized_coordinates=False,
    )
    for place, picture in enumerate(pictures):
        tf.summary.image(f"eval_side_by_side_{number}_{place}", picture)


def restore_checkpoint(config, model, checkpoint):
    """Puts the weights of `checkpoint`, or its moving averages where `config` evaluates these, into the DetectionModel
    `model`, and returns the checkpoint's step. Raises InputError if it is of another model."""
    fine_tuning.build_variables(model)
    exporting.restore_weights(config, model, checkpoint)()
    return saving.read_step(checkpoint)


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
