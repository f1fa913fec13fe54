"""Top module: the rules that a pipeline.config is held to, ours or not, before anything is built from it."""

import re
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod import checkpoints, model_config, pipeline_config, schedules
from tfod.console import InputError
from tfod.label_map import read_label_map
from tfod.pipeline_config import PLACEHOLDER, get_model

# What upstream's evaluation knows, of object_detection.eval_util, which would import TensorFlow.
METRICS_SETS = {
    "coco_detection_metrics",
    "coco_keypoint_metrics",
    "coco_mask_metrics",
    "coco_panoptic_metrics",
    "lvis_mask_metrics",
    "oid_challenge_detection_metrics",
    "oid_challenge_segmentation_metrics",
    "pascal_voc_detection_metrics",
    "weighted_pascal_voc_detection_metrics",
    "precision_at_recall_detection_metrics",
    "pascal_voc_instance_segmentation_metrics",
    "weighted_pascal_voc_instance_segmentation_metrics",
    "oid_V2_detection_metrics",
}
# The part of a detection checkpoint that only models of the family have.
FAMILY_PARTS = {
    "ssd": "model/_box_predictor/",
    "faster_rcnn": "model/_first_stage_box_predictor",
    "center_net": "model/_prediction_head_dict/",
}
FAMILY_NAMES = {"ssd": "an SSD", "faster_rcnn": "a Faster R-CNN", "center_net": "a CenterNet"}


def check_config(config, path, images=None):
    """All that is wrong with `config`: texts `FILE: what; what to do`.

    `images` is the number of training images, or None to count them in the records that the config names.
    """
    faults = pipeline_config.find_faults(config, path)
    family = config.model.WhichOneof("model")
    if family not in FAMILY_PARTS:
        return faults + ([f"{path}: {family} is not known here; take ssd, faster_rcnn or center_net"] if family else [])
    own = [*_find_class_faults(config), *model_config.find_size_faults(config), *_find_training_faults(config)]
    if images is None:
        images = _count_images(config, own)
    batch = config.train_config.batch_size
    if images is not None and batch > images:
        own.append(
            f"batch_size is {batch} and there {'is 1 image' if images == 1 else f'are {images} images'} to train on; "
            + (f"make it {images} or less (BATCH={images})" if images else "the records are empty: make tfrecord")
        )
    unknown = sorted(set(config.eval_config.metrics_set) - METRICS_SETS)
    if unknown:
        own.append(
            f"metrics_set {', '.join(unknown)} is not known; give coco_detection_metrics, or another of upstream's"
        )
    return faults + [f"{path}: {what}" for what in own] + find_checkpoint_faults(config, path)


def _count_images(config, faults):
    from tfod.shards import find_records_of
    from tfod.tfrecord import find_records

    images = 0
    for pattern in config.train_input_reader.tf_record_input_reader.input_path:
        if PLACEHOLDER in pattern:
            return None
        try:
            paths = find_records_of(pattern)
        except InputError:  # that it is not there is said already
            return None
        try:
            images += sum(1 for record in paths for _ in find_records(record))
        except InputError as error:
            faults += error.faults
            return None
    return images


def _find_class_faults(config):
    """The number of classes, wherever it stands, against the label maps."""
    model, faults = get_model(config), []
    readers = {"train_input_reader": config.train_input_reader}
    readers.update((f"eval_input_reader[{i}]", reader) for i, reader in enumerate(config.eval_input_reader))
    maps = {}
    for reader in readers.values():
        path = reader.label_map_path
        if path in maps or PLACEHOLDER in path or not Path(path).is_file():
            continue
        try:
            maps[path] = read_label_map(path)
        except InputError as error:
            faults += error.faults
    for path, names_to_ids in maps.items():
        most = max(names_to_ids.values())
        if most != model.num_classes:
            faults.append(f"num_classes is {model.num_classes}, and the highest id of {path} is {most}; make it {most}")
    if config.model.WhichOneof("model") == "center_net":
        faults += _find_task_faults(model)
    for option in config.train_config.data_augmentation_options:
        for name in ("drop_label_probabilistically", "remap_labels"):
            step = getattr(option, name)
            labels = [step.label] if name.startswith("drop") else [step.new_label, *step.original_labels]
            if option.HasField(name) and max(labels) > model.num_classes:
                faults.append(f"{name} names the class {max(labels)}, and there are {model.num_classes}; take it out")
    return faults


def _find_task_faults(model):
    """What of a CenterNet's tasks names a class that is not there."""
    faults = []
    if model.densepose_estimation_task.class_id >= max(model.num_classes, 1):
        faults.append(
            f"densepose_estimation_task's class_id is {model.densepose_estimation_task.class_id}, counted from 0, and "
            f"there are {model.num_classes} classes; correct it"
        )
    for number in model.deepmac_mask_estimation.allowed_masked_classes_ids:
        if number > model.num_classes:
            faults.append(f"allowed_masked_classes_ids has {number}, and there are {model.num_classes} classes")
    path = model.keypoint_label_map_path
    if model.keypoint_estimation_task and PLACEHOLDER not in path:
        if not Path(path).is_file():
            return [
                *faults,
                f"keypoint_label_map_path {path or 'nothing'} is not there; name a label map with keypoints",
            ]
        names = read_label_map(path)
        for task in model.keypoint_estimation_task:
            if task.keypoint_class_name not in names:
                faults.append(f"keypoint_class_name {task.keypoint_class_name!r} is not in {path}; add it there")
    return faults


def _find_training_faults(config):
    train, faults = config.train_config, []
    resizer = get_model(config).image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    padded = kind == "fixed_shape_resizer" or resizer.keep_aspect_ratio_resizer.pad_to_max_dimension
    if kind and not padded and train.batch_size > 1:
        faults.append(
            f"{kind} leaves photos in sizes of their own, and a batch of {train.batch_size} holds one size only; make "
            "batch_size 1, or image_resizer a keep_aspect_ratio_resizer with pad_to_max_dimension: true"
        )
    if train.optimizer.WhichOneof("optimizer"):
        faults += schedules.find_schedule_faults(train)
    for name in ("freeze_variables", "update_trainable_variables"):
        for pattern in getattr(train, name):
            try:
                re.compile(pattern)
            except re.error as error:
                faults.append(f"{name} {pattern!r} is no regular expression ({error}); correct it")
    extractor = get_model(config).feature_extractor.type
    if "^backbone/" in train.freeze_variables and extractor.startswith(model_config.NO_BACKBONE):
        faults.append(f"{extractor} is built without a backbone of its own that could be frozen; leave out --freeze")
    if "^backbone/" in train.freeze_variables and not train.fine_tune_checkpoint:
        faults.append(
            "the backbone is frozen, and there is no fine_tune_checkpoint that it could come from: it would stay as "
            "chance made it; name a checkpoint, or leave out --freeze"
        )
    if config.eval_config.use_moving_averages and not train.optimizer.use_moving_average:
        faults.append(
            "eval_config.use_moving_averages is true, and the optimizer's use_moving_average is false: there are none; "
            "give both (--ema), or neither (--ema 0)"
        )
    return faults


def find_checkpoint_faults(config, path):
    """A fine-tune checkpoint that is of another kind, family or number of classes than the config takes it for."""
    train, family = config.train_config, config.model.WhichOneof("model")
    checkpoint = train.fine_tune_checkpoint
    if not checkpoint or not Path(f"{checkpoint}.index").exists() or family not in FAMILY_PARTS:
        return []
    # as upstream's config_util.update_fine_tune_checkpoint_type has it
    kind = train.fine_tune_checkpoint_type or ("detection" if train.from_detection_checkpoint else "classification")
    if kind == "fine_tune":  # of CenterNet's older configs
        return [f"{path}: fine_tune_checkpoint_type is 'fine_tune', which is called detection now; make it detection"]
    if kind not in checkpoints.FINE_TUNE_TYPES:
        return [
            f"{path}: fine_tune_checkpoint_type is {kind!r}; make it one of {', '.join(checkpoints.FINE_TUNE_TYPES)}"
        ]
    extractor = get_model(config).feature_extractor.type
    if kind == "classification" and extractor.startswith(model_config.NO_BACKBONE):
        return [f"{path}: {extractor} takes no classification checkpoint; start from a detection one, or from scratch"]
    try:
        names = checkpoints.list_variables(checkpoint)
    except InputError as error:
        return list(error.faults)
    start = f"{path}: fine_tune_checkpoint_type is {kind}, and {checkpoint}"
    detector = any(name.startswith("model/") for name in names)
    classifier = any(name.startswith("feature_extractor/") for name in names)
    if kind == "classification" and not classifier:
        if detector:
            return [f"{start} is a detector's; make the type detection"]
        return [f"{start} has no feature_extractor; name a checkpoint of a classification model"]
    if kind != "classification" and not detector:
        if classifier:
            return [f"{start} is a classification model's; make the type classification"]
        return [f"{start} has no detection model; name a detector's checkpoint"]
    if kind == "classification":
        return []
    theirs = [name for name, part in FAMILY_PARTS.items() if any(key.startswith(part) for key in names)]
    if theirs and family not in theirs:
        return [
            f"{path}: {checkpoint} is of {FAMILY_NAMES[theirs[0]]}, and the config's model is {FAMILY_NAMES[family]}; "
            "name a checkpoint of the same network"
        ]
    origin = _find_origin(checkpoint)
    if origin is None or origin.WhichOneof("model") != family:
        return []
    ours, theirs = get_model(config), getattr(origin, family)
    if _describe_backbone(theirs) != _describe_backbone(ours):
        return [
            f"{path}: {checkpoint} is of a {_describe_backbone(theirs)}, and the config's feature_extractor is "
            f"{_describe_backbone(ours)}; name a checkpoint of the same network"
        ]
    if kind == "full" and theirs.num_classes != ours.num_classes:
        return [
            f"{start} has {theirs.num_classes} classes where the config has {ours.num_classes}: full takes the class "
            "layer, too; make the type detection"
        ]
    return []


def _find_origin(checkpoint):
    """The DetectionModel of a checkpoint, by the pipeline.config beside or above it; None if there is none."""
    for folder in (Path(checkpoint).parent, Path(checkpoint).parent.parent):
        if (folder / "pipeline.config").is_file():
            return pipeline_config.read_config(folder / "pipeline.config").model
    return None


def _describe_backbone(model):
    """A model's backbone as its config calls it, with how wide it is where that is not the usual."""
    extractor = model.feature_extractor
    width = getattr(extractor, "depth_multiplier", 1.0)  # Faster R-CNN has no such field
    return extractor.type + (f" of width {width:g}" if width != 1 else "")
