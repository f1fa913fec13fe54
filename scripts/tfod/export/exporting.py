"""What the exports of a trained detector share: weights, photos to try it on, what it finds."""

import glob
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.config.pipeline import get_model
from tfod.data.images import list_images, read_workable
from tfod.data.label_map import read_names
from tfod.model import freezing
from tfod.model.tracing import trace_plainly
from tfod.utils.console import InputError, say

NMS_MODELS = {"ssd": "post_processing", "faster_rcnn": "second_stage_post_processing"}


def set_postprocessing(config, score_threshold=None, iou_threshold=None, max_detections=None, class_agnostic=None):
    """Sets what is not None in the post-processing of `config` (TrainEvalPipelineConfig).

    Raises InputError for a model without non-maximum suppression (CenterNet), which has a limit of detections only.
    """
    model, kind = get_model(config), config.model.WhichOneof("model")
    if kind not in NMS_MODELS:
        if (score_threshold, iou_threshold, class_agnostic) != (None, None, None):
            raise InputError(
                f"--score_threshold, --iou_threshold, --class_agnostic_nms: {kind} has no such step; omit them"
            )
        if max_detections is not None:
            model.object_center_params.max_box_predictions = max_detections
        return
    nms = getattr(model, NMS_MODELS[kind]).batch_non_max_suppression
    if score_threshold is not None:
        nms.score_threshold = score_threshold
    if iou_threshold is not None:
        nms.iou_threshold = iou_threshold
    if max_detections is not None:
        nms.max_detections_per_class = nms.max_total_detections = max_detections
    if class_agnostic is not None:
        nms.use_class_agnostic_nms = class_agnostic
        if class_agnostic:
            nms.use_combined_nms = False  # TensorFlow's combined op can't do it


def count_detections(config):
    """How many detections the model of `config` gives at most."""
    model, kind = get_model(config), config.model.WhichOneof("model")
    if kind in NMS_MODELS:
        return getattr(model, NMS_MODELS[kind]).batch_non_max_suppression.max_total_detections
    return model.object_center_params.max_box_predictions


def list_label_maps(config):
    """The paths of the label maps that `config` names, the training's first, relative to where the command runs, and
    that are there."""
    readers = [config.train_input_reader, *config.eval_input_reader]
    return [path for path in dict.fromkeys(Path(reader.label_map_path) for reader in readers) if path.is_file()]


def find_label_map(config):
    """The first of `list_label_maps`, or None."""
    return next(iter(list_label_maps(config)), None)


def read_class_names(config, export=None):
    """The classes as a dict id -> name: from label_map.pbtxt in the folder `export`, else from what `config` names.

    Without a label map they are called by their numbers.
    """
    beside = export and Path(export) / "label_map.pbtxt"
    path = beside if beside and beside.is_file() else find_label_map(config)
    if path:
        return read_names(path)
    return {number: str(number) for number in range(1, get_model(config).num_classes + 1)}


def restore_weights(config, model, checkpoint):
    """Gives the DetectionModel `model`, built from `config`, the weights of `checkpoint`, a prefix.

    Where `config` evaluates moving averages, and the checkpoint has them, they are the weights. Returns a function to
    call once all of the model's variables exist: it raises InputError if the checkpoint lacks one.
    """
    import tensorflow as tf

    if config.eval_config.use_moving_averages and _has_averages(checkpoint):
        from object_detection.builders import optimizer_builder

        run_model(model, tf.zeros([1, 64, 64, 3]))  # the averages belong to variables, which have to exist
        freezing.freeze_variables(model, config.train_config, checkpoint)
        optimizer, _ = optimizer_builder.build(config.train_config.optimizer, tf.Variable(0, dtype=tf.int64))
        optimizer.shadow_copy(model)
        status = tf.train.Checkpoint(model=model, optimizer=optimizer).restore(checkpoint).expect_partial()
        for weight in model.trainable_variables:  # of which shadow_copy keeps averages
            weight.assign(optimizer.get_slot(weight, "average"))
        say("the weights are the moving averages of the training's")
    else:
        status = tf.train.Checkpoint(model=model).restore(checkpoint).expect_partial()

    def check():
        try:
            status.assert_existing_objects_matched()
        except AssertionError as error:
            raise InputError(
                f"{checkpoint}: is not of this config's model ({error}); name the pipeline.config it was trained with"
            ) from error

    return check


def _has_averages(checkpoint):
    import tensorflow as tf

    return any("/average/" in name for name, _ in tf.train.list_variables(checkpoint))


def run_model(model, images, **side_inputs):
    """The detections of `model` (DetectionModel) in `images`, a float32 tensor [batch, height, width, 3], 0 to 255.

    A dict with detection_boxes [batch, N, 4] `[ymin, xmin, ymax, xmax]` normalized, detection_classes [batch, N] from 0
    and others, as upstream's postprocess gives it.
    """
    inputs, shapes = model.preprocess(images)
    return model.postprocess(model.predict(inputs, shapes, **side_inputs), shapes)


def make_reference(model):
    """`run(photo)` of the model itself: uint8 [height, width, 3] -> outputs of one photo, for `list_detections`."""
    import tensorflow as tf

    def run(image):
        found = run_model(model, image)
        return {**found, "detection_classes": tf.cast(found["detection_classes"], tf.float32) + 1}

    run = trace_plainly(run, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])
    return lambda photo: run(tf.cast(photo, tf.float32)[tf.newaxis])


def turn_off_tf32():
    """Has cards multiply in full float32, for a comparison: with TF32, as they do by default, boxes differ by more than
    what tells a faulty export from a sound one."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def list_detections(outputs, index=0):
    """One photo's (boxes [N, 4], classes [N] as ints, scores [N]) of a dict with upstream's detection_* tensors."""
    count = int(outputs["num_detections"][index])
    parts = (outputs[f"detection_{key}"][index][:count] for key in ("boxes", "classes", "scores"))
    boxes, classes, scores = (getattr(part, "numpy", lambda part=part: part)() for part in parts)
    return boxes, classes.astype(int), scores


def list_record_files(reader):
    """The record files that an input reader of a pipeline.config names and that are there."""
    return [Path(name) for pattern in reader.tf_record_input_reader.input_path for name in sorted(glob.glob(pattern))]


def read_record_photos(paths, keep=None):
    """Yields the photos in record files, or those with the numbers `keep`, from 0: uint8 arrays [height, width, 3]."""
    import tensorflow as tf

    feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    for number, record in enumerate(tf.data.TFRecordDataset([str(path) for path in paths])):
        if keep is not None and number not in keep:
            continue
        encoded = tf.io.parse_single_example(record, feature)["image/encoded"]
        yield tf.io.decode_image(encoded, 3, expand_animations=False).numpy()


def find_sample_photos(config, number, folder=None):
    """(list of `number` photos to try a model on, what they are): uint8 arrays [height, width, 3].

    They are those of `folder`, else the first of the evaluation records of `config`, else pictures made here.
    """
    import numpy as np

    if folder:
        paths = list_images(folder)[:number]
        if not paths:
            raise InputError(f"{folder}: holds no images; name a folder of photos")
        return [np.asarray(read_workable(path)[0]) for path in paths], f"photos of {folder}"
    records = [path for reader in config.eval_input_reader for path in list_record_files(reader)]
    photos = []
    for photo in read_record_photos(records) if records else ():
        photos.append(photo)
        if len(photos) == number:
            break
    if photos:
        return photos, f"photos of {', '.join(map(str, records))}"
    chance = np.random.default_rng(0)
    coarse = [chance.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(number)]
    return [
        picture.repeat(40, 0).repeat(40, 1) for picture in coarse
    ], "generated pictures (no evaluation records here)"
