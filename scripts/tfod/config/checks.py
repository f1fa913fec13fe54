"""Checks a pipeline.config, ours or not, before anything is built from it."""

import re
from pathlib import Path
from typing import NamedTuple

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf.message import Message

from tfod.config import edit, pipeline, schedule, zoo
from tfod.config.feature_extractors import FAMILIES, find_extractor_faults
from tfod.config.paths import find_checkpoint_path_faults, find_file_faults
from tfod.config.pipeline import PLACEHOLDER, get_model
from tfod.data.label_map import read_label_map
from tfod.model import checkpoints, trained_on
from tfod.utils.console import InputError, say

# Purposes: a config is checked for what is done with it.
TRAINING = "training"
EVALUATION = "evaluation"
TRAIN_DATA_EVALUATION = "evaluation on the training records"
EXPORT = "export"
TFLITE = "TFLite"  # beside EXPORT
INFERENCE = "inference"  # from checkpoints; the label map may be the model's own
EXPORT_EVALUATION = "evaluation of an export"  # its model is built already

# Those of upstream's metrics (object_detection.eval_util, which would import TensorFlow) that are of boxes.
BOX_METRICS = (
    "coco_detection_metrics",
    "oid_V2_detection_metrics",
    "oid_challenge_detection_metrics",
    "pascal_voc_detection_metrics",
    "precision_at_recall_detection_metrics",
    "weighted_pascal_voc_detection_metrics",
)
# The part of a detection checkpoint that only models of the family have.
FAMILY_PARTS = {
    "ssd": "model/_box_predictor/",
    "faster_rcnn": "model/_first_stage_box_predictor",
    "center_net": "model/_prediction_head_dict/",
}
FAR = 4  # times the learning rate that fits the batch: more than this is warned of


class Findings(NamedTuple):
    """What is wrong with a config: texts `FILE: what; what to do`.

    `faults` would fail, or give wrong results without a word; `warnings` are unwise, and upstream takes them.
    """

    faults: list[str]
    warnings: list[str]


def read_checked_config(path: str | Path, folder: str | Path, *purposes: str, override: str = "") -> Message:
    """The config of the file `path`, with the text proto `override` merged in, of the trained model in `folder`.

    Raises InputError if its label map is not the model's, or with all that `check_config` finds for these purposes.
    """
    config = pipeline.read_config(path, override)
    trained_on.hold_label_map(folder, *pipeline.list_label_maps(config)[:1])
    refuse_faults(check_config(config, path, *purposes))
    return config


def check_config(
    config, path: str | Path, *purposes: str, images: int | None = None, own_data: bool = False, resumes: bool = False
) -> Findings:
    """All that is wrong with `config` (TrainEvalPipelineConfig of the file `path`) for these purposes alone.

    purposes: TRAINING, EVALUATION and so on. A training says as warnings what its evaluation would refuse.
    images: the number of training images; None counts them in the records that the config names
    own_data: the images to evaluate on come from elsewhere, and the config need not name any
    resumes: the training goes on from a checkpoint of its own, and takes nothing from fine_tune_checkpoint
    """
    faults, warnings = [], []
    family = config.model.WhichOneof("model")
    if set(purposes) != {EXPORT_EVALUATION}:
        faults += _find_model_faults(config, family)
    if TFLITE in purposes and family in FAMILIES:
        faults += _find_tflite_faults(get_model(config), family)
    faults += [] if own_data else _find_data_faults(config, purposes)
    if family in FAMILIES:
        for found, more in (_check_classes(config, purposes), _check_averages(config, purposes)):
            faults += found
            warnings += more
        if TRAINING in purposes:
            found, more = _check_training(config, images)
            faults += found
            warnings += more
    if TRAINING in purposes and not resumes:
        faults += _find_checkpoint_faults(config)
    if any("evaluation" in purpose for purpose in purposes):
        faults += _find_metrics_faults(config.eval_config)
    elif TRAINING in purposes:
        both = (TRAINING, EVALUATION)
        later = [*_find_data_faults(config, both), *_find_metrics_faults(config.eval_config)]
        later += _check_classes(config, both)[0] if family in FAMILIES else []
        warnings += [f"{what} (evaluation needs that)" for what in later if what not in faults]
    return Findings(*([f"{path}: {what}" for what in dict.fromkeys(found)] for found in (faults, warnings)))


def refuse_faults(findings: Findings, *more: str) -> None:
    """Says the warnings, and raises InputError with the faults and `more`, if any."""
    for warning in findings.warnings:
        say(f"warning: {warning}")
    if findings.faults or more:
        raise InputError(*findings.faults, *more)


# ---------------------------------------------------------------- the model


def _find_model_faults(config, family):
    if family is None:
        return ["has no model; start from a config of scripts/configs or of a pretrained model"]
    if family not in FAMILIES:
        return [f"{family} is not known here; take ssd, faster_rcnn or center_net"]
    model = get_model(config)
    faults = [*find_extractor_faults(family, model.feature_extractor), *edit.find_size_faults(config)]
    return faults + (_find_task_faults(model) if family == "center_net" else [])


def _find_task_faults(model):
    """The tasks of a CenterNet that name a class which does not exist."""
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
    if model.keypoint_estimation_task:
        missing = find_file_faults("keypoint_label_map_path", path, "name a label map with keypoints")
        if missing:
            return faults + missing
        try:
            names = read_label_map(path)
        except InputError as error:
            return [*faults, *error.faults]
        for task in model.keypoint_estimation_task:
            if task.keypoint_class_name not in names:
                faults.append(f"keypoint_class_name {task.keypoint_class_name!r} is not in {path}; add it there")
    return faults


def _find_tflite_faults(model, family):
    """Why the OD API can't make a TFLite file of the model, by its name."""
    if family == "faster_rcnn":
        masks = model.second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks
        return [
            f"{'Mask' if masks else 'Faster'} R-CNN can't be a TFLite file, only SSD and CenterNet can; train one of "
            "these, or use `make onnx`"
        ]
    name, resizer = model.feature_extractor.type, model.image_resizer.WhichOneof("image_resizer_oneof")
    faults = []
    if resizer != "fixed_shape_resizer":
        faults.append(
            f"{name} with a {resizer} can't be a TFLite file, whose input has one size (EfficientDet is such a model); "
            "train with a fixed_shape_resizer, or use `make onnx`"
        )
    if family == "ssd":
        if model.box_coder.WhichOneof("box_coder_oneof") != "faster_rcnn_box_coder":
            faults.append("TFLite decodes a faster_rcnn_box_coder's boxes only; train with one")
        if model.post_processing.batch_non_max_suppression.soft_nms_sigma:
            faults.append("TFLite has no soft NMS; set soft_nms_sigma to 0 with --config_override")
        if model.HasField("mask_head_config"):
            faults.append(f"{name} with a mask head can't be a TFLite file; train without it, or use `make onnx`")
    return faults


# ---------------------------------------------------------------- data and classes


def _list_readers(config, purposes):
    """The names and messages of the input readers that are read for these purposes."""
    readers = []
    if {TRAINING, TRAIN_DATA_EVALUATION, EXPORT} & set(purposes):
        readers.append(("train_input_reader", config.train_input_reader))
    if {EVALUATION, EXPORT_EVALUATION, EXPORT} & set(purposes):
        several = len(config.eval_input_reader) > 1
        for index, reader in enumerate(config.eval_input_reader):
            readers.append((f"eval_input_reader[{index}]" if several else "eval_input_reader", reader))
    return readers


def _find_data_faults(config, purposes):
    """Label maps and records that are not there. An export needs neither."""
    faults, seen = [], set()
    if {EVALUATION, EXPORT_EVALUATION} & set(purposes) and not config.eval_input_reader:
        faults.append("has no eval_input_reader; name the test records there")
    for name, reader in _list_readers(config, set(purposes) - {EXPORT}):
        files = [("label_map_path", reader.label_map_path, "`make label_map` makes the label map")]
        for pattern in reader.tf_record_input_reader.input_path or [""]:
            files.append(("input_path", pattern, "`make tfrecord` makes the records"))
        for field, value, advice in files:
            if value not in seen or not value or PLACEHOLDER in value:
                faults += find_file_faults(f"{name}.{field}", value, advice)
            seen.add(value)
    return faults


def _check_classes(config, purposes):
    """(faults, warnings) of the number of classes against the label maps."""
    number, faults, warnings = get_model(config).num_classes, [], []
    paths = dict.fromkeys(reader.label_map_path for _, reader in _list_readers(config, purposes))
    for path in paths:
        if PLACEHOLDER in path or not Path(path).is_file():
            continue
        try:
            most = max(read_label_map(path).values())
        except InputError as error:
            faults += error.faults
            continue
        what = f"num_classes is {number}, and the highest id of {path} is {most}"
        if most == number or set(purposes) == {EXPORT_EVALUATION}:
            continue
        if TRAINING in purposes:
            faults.append(f"{what}; make it {most}")
        elif most > number:
            faults.append(f"{what}; name the label map that the model was trained with, or train again")
        else:
            warnings.append(f"{what}; the classes above it have no names")
    return faults, warnings


def _find_metrics_faults(eval_config):
    what = f"is not measured here, only metrics of boxes are; give one of {', '.join(BOX_METRICS)}"
    return [f"metrics_set {name} {what}" for name in eval_config.metrics_set if name not in BOX_METRICS]


def _check_averages(config, purposes):
    """(faults, warnings) where moving averages are asked for and not kept."""
    kept = config.train_config.optimizer.use_moving_average or set(purposes) == {EXPORT_EVALUATION}
    if kept or not config.eval_config.use_moving_averages:
        return [], []
    what = "eval_config.use_moving_averages is true, and the optimizer's use_moving_average is false: there are none; "
    if TRAINING in purposes:
        return [f"{what}give both (--ema), or neither (--ema 0)"], []
    return [], [f"{what}the weights themselves are taken"]


def _count_images(config):
    """(number of training images or None, faults) of the records that `config` names."""
    from tfod.data.tfrecord import count_records, find_records_of

    images = 0
    for pattern in config.train_input_reader.tf_record_input_reader.input_path:
        if PLACEHOLDER in pattern:
            return None, []
        try:
            paths = find_records_of(pattern)
        except InputError:  # missing records are a fault of _find_data_faults
            return None, []
        try:
            images += sum(map(count_records, paths))
        except InputError as error:
            return None, list(error.faults)
    return images, []


# ---------------------------------------------------------------- training


def _check_training(config, images):
    """(faults, warnings) of train_config. `images` is the number of training images, or None to count them."""
    train, faults, warnings = config.train_config, _find_option_faults(config), []
    if images is None:
        images, more = _count_images(config)
        faults += more
    batch = train.batch_size
    if batch < 1:
        faults.append(f"batch_size is {batch}; set it to 1 or more")
    if images is not None and batch > images:
        faults.append(
            f"batch_size is {batch} and there {'is 1 image' if images == 1 else f'are {images} images'} to train on; "
            + (f"make it {images} or less (BATCH={images})" if images else "the records are empty: make tfrecord")
        )
    if not train.optimizer.WhichOneof("optimizer"):
        faults.append("train_config has no optimizer; start from a config of scripts/configs")
        return faults, warnings
    found = schedule.find_schedule_faults(train)
    if not found:
        warnings += [*schedule.find_schedule_warnings(train), *_find_rate_warnings(config)]
    return faults + found, warnings


def _find_option_faults(config):
    train, model, faults = config.train_config, get_model(config), []
    resizer = model.image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    padded = kind == "fixed_shape_resizer" or resizer.keep_aspect_ratio_resizer.pad_to_max_dimension
    if kind and not padded and train.batch_size > 1:
        faults.append(
            f"{kind} leaves photos in sizes of their own, and a batch of {train.batch_size} holds one size only; make "
            "batch_size 1, or image_resizer a keep_aspect_ratio_resizer with pad_to_max_dimension: true"
        )
    for option in train.data_augmentation_options:
        for name in ("drop_label_probabilistically", "remap_labels"):
            step = getattr(option, name)
            labels = [step.label] if name.startswith("drop") else [step.new_label, *step.original_labels]
            if option.HasField(name) and max(labels) > model.num_classes:
                faults.append(f"{name} names the class {max(labels)}, and there are {model.num_classes}; take it out")
    for name in ("freeze_variables", "update_trainable_variables"):
        for pattern in getattr(train, name):
            try:
                re.compile(pattern)
            except re.error as error:
                faults.append(f"{name} {pattern!r} is not a regular expression ({error}); correct it")
    extractor = model.feature_extractor.type
    if "^backbone/" in train.freeze_variables and extractor.startswith(edit.NO_BACKBONE):
        faults.append(f"{extractor} is built without a backbone of its own that could be frozen; leave out --freeze")
    if "^backbone/" in train.freeze_variables and not train.fine_tune_checkpoint:
        faults.append(
            "the backbone is frozen, and there is no fine_tune_checkpoint that it could come from: it would stay "
            "random; name a checkpoint, or leave out --freeze"
        )
    return faults


def _find_rate_warnings(config):
    """Warns of a learning rate that suits a much larger batch, judged by the zoo's own training of the same network.

    Rates go with the batch (Goyal et al. 2017, arXiv:1706.02677), Adam's with its square root (Malladi et al. 2022,
    arXiv:2205.10287).
    """
    train, family = config.train_config, config.model.WhichOneof("model")
    optimizer, power = ("adam_optimizer", 0.5) if family == "center_net" else ("momentum_optimizer", 1)
    kin = zoo.find_kin(family, get_model(config).feature_extractor.type)
    if not kin or train.batch_size < 1 or train.optimizer.WhichOneof("optimizer") != optimizer:
        return []
    rate = max(schedule.list_learning_rates(train.optimizer), default=0)
    model = max(kin, key=lambda model: model.learning_rate / model.batch**power)
    fitting = model.learning_rate * (train.batch_size / model.batch) ** power
    if rate <= 1.001 * FAR * fitting:  # a rate is a float32
        return []
    return [
        f"the learning rate {rate:g} is too high for batch_size {train.batch_size}, and the loss may become NaN: the "
        f"zoo trains this network with {model.learning_rate:g} and {model.batch} images a step; divide the rates by "
        f"{rate / fitting:.3g}, as `make config` does with the zoo's own config"
    ]


# ---------------------------------------------------------------- the checkpoint to start from


def _find_checkpoint_faults(config):
    """Faults of the fine-tune checkpoint: missing, or not of the type, family or class count that the config says."""
    train, family = config.train_config, config.model.WhichOneof("model")
    checkpoint = train.fine_tune_checkpoint
    if not checkpoint:
        return []
    missing = find_checkpoint_path_faults(checkpoint)
    if missing or family not in FAMILY_PARTS:
        return missing
    kind = pipeline.get_fine_tune_type(train)
    if kind == "fine_tune":  # of CenterNet's older configs
        return ["fine_tune_checkpoint_type is 'fine_tune', which is called detection now; make it detection"]
    if kind not in checkpoints.FINE_TUNE_TYPES:
        return [f"fine_tune_checkpoint_type is {kind!r}; make it one of {', '.join(checkpoints.FINE_TUNE_TYPES)}"]
    extractor = get_model(config).feature_extractor.type
    if kind == "classification" and extractor.startswith(edit.NO_BACKBONE):
        return [f"{extractor} takes no classification checkpoint; start from a detection one, or from scratch"]
    origin = _find_origin(checkpoint)
    if origin is None or kind == "classification":
        found, faults = _look_into(checkpoint, kind)
    else:  # as with each of the zoo's models: TensorFlow, which reads checkpoints, need not be imported
        found, faults = origin.WhichOneof("model"), []
    if faults or kind == "classification":
        return faults
    advice = "name a checkpoint of the same network"
    if found and found != family:
        return [f"{checkpoint} is of {FAMILIES[found]}, and the config's model is {FAMILIES[family]}; {advice}"]
    if origin is None:
        return []
    ours, theirs = get_model(config), getattr(origin, family)
    if _describe_backbone(theirs) != _describe_backbone(ours):
        what = f"is of a {_describe_backbone(theirs)}, and the config's feature_extractor is {_describe_backbone(ours)}"
        return [f"{checkpoint} {what}; {advice}"]
    if kind == "full" and theirs.num_classes != ours.num_classes:
        return [
            f"fine_tune_checkpoint_type is full, and {checkpoint} has {theirs.num_classes} classes where the config "
            f"has {ours.num_classes}: full takes the class layer, too; make the type except_class_head"
        ]
    return []


def _look_into(checkpoint, kind):
    """(family of the detector whose checkpoint it is, or None; why it can't be taken as `kind`), by its variables."""
    try:
        names = checkpoints.list_variables(checkpoint)
    except InputError as error:
        return None, list(error.faults)
    if not names:
        what = "is a checkpoint of TensorFlow 1, which no model of TensorFlow 2 can start from"
        return None, [f"{checkpoint} {what}; take one of the TF2 zoo (make models)"]
    detector = any(name.startswith("model/") for name in names)
    classifier = any(name.startswith("feature_extractor/") for name in names)
    what = None
    if kind == "classification" and not classifier:
        what = "has no feature_extractor; name a checkpoint of a classification model"
        if detector:
            what = f"is a detector's; make the type {checkpoints.EXCEPT_CLASS_HEAD}"
    elif kind != "classification" and not detector:
        what = "has no detection model; name a detector's checkpoint"
        if classifier:
            what = "is a classification model's; make the type classification"
    if what:
        return None, [f"fine_tune_checkpoint_type is {kind}, and {checkpoint} {what}"]
    families = [name for name, part in FAMILY_PARTS.items() if any(key.startswith(part) for key in names)]
    return (families or [None])[0], []


def _find_origin(checkpoint):
    """The DetectionModel of a checkpoint, by the pipeline.config beside or above it; None if there is none."""
    for folder in (Path(checkpoint).parent, Path(checkpoint).parent.parent):
        if (folder / "pipeline.config").is_file():
            try:
                origin = pipeline.read_config(folder / "pipeline.config").model
            except InputError:  # only a hint: it is not the config that is checked
                return None
            return origin if origin.WhichOneof("model") in FAMILIES else None
    return None


def _describe_backbone(model):
    """A model's backbone as its config calls it, with how wide it is where that is not the usual."""
    extractor = model.feature_extractor
    width = getattr(extractor, "depth_multiplier", 1.0)  # Faster R-CNN has no such field
    return extractor.type + (f" of width {width:g}" if width != 1 else "")
