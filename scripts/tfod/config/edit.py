"""Fits a pipeline.config to the data and the task: classes, input size, detections, augmentation.

Everything here changes or reads `config`, a TrainEvalPipelineConfig, and needs no TensorFlow.
"""

from collections.abc import Collection

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf import text_format
from google.protobuf.message import Message
from object_detection.protos import train_pb2

from tfod.config.pipeline import get_model
from tfod.utils.console import InputError

# Task of CenterNet -> the feature of a record that it learns from.
CENTER_NET_TASKS = {
    "keypoint_estimation_task": "image/object/keypoint/x",
    "mask_estimation_task": "image/object/mask",
    "deepmac_mask_estimation": "image/object/mask",
    "densepose_estimation_task": "image/object/densepose/num",
    "track_estimation_task": "image/object/track/label",
    "temporal_offset_task": "image/object/track/label",
}

READER_SWITCHES = {
    "load_dense_pose": CENTER_NET_TASKS["densepose_estimation_task"],
    "load_track_id": CENTER_NET_TASKS["track_estimation_task"],
    "load_instance_masks": CENTER_NET_TASKS["mask_estimation_task"],
    "mask_type": CENTER_NET_TASKS["mask_estimation_task"],
}

METRICS_SETS = {  # name of --metrics -> upstream's metrics_set
    "coco": "coco_detection_metrics",
    "pascal": "pascal_voc_detection_metrics",
    "open_images": "oid_V2_detection_metrics",
}
NO_BACKBONE = "hourglass_"  # of CenterNet: nothing of it that a classification checkpoint could fill
_FLIP = "data_augmentation_options { random_horizontal_flip { } }"

# With a pad before it, a crop gives objects from half to twice their size.
_DEFAULT = """
data_augmentation_options { random_adjust_brightness { max_delta: 0.15 } }
data_augmentation_options { random_adjust_contrast { min_delta: 0.8 max_delta: 1.25 } }
data_augmentation_options { random_pad_image { } }
data_augmentation_options {
  random_crop_image {
    min_object_covered: 0.5 min_aspect_ratio: 0.6 max_aspect_ratio: 1.8 min_area: 0.25 max_area: 1.0 overlap_thresh: 0.3
  }
}
"""

# The hue changes by a fifth of its circle: not for classes that differ in nothing but their colour.
# random_patch_gaussian is left out: its patch is in pixels, whatever size a photo has.
_STRONG = """
data_augmentation_options { random_distort_color { } }
data_augmentation_options { random_rgb_to_gray { probability: 0.1 } }
data_augmentation_options { random_jpeg_quality { random_coef: 0.7 min_jpeg_quality: 40 max_jpeg_quality: 100 } }
data_augmentation_options { random_black_patches { max_black_patches: 5 probability: 0.3 size_to_image_ratio: 0.1 } }
data_augmentation_options { random_pad_image { } }
data_augmentation_options {
  random_crop_image {
    min_object_covered: 0.3 min_aspect_ratio: 0.5 max_aspect_ratio: 2.0 min_area: 0.1 max_area: 1.0 overlap_thresh: 0.3
  }
}
"""
AUGMENTATIONS = {"light": _FLIP, "default": _FLIP + _DEFAULT, "strong": _FLIP + _STRONG}


def drop_tasks(config, features: Collection[str]) -> list[str]:
    """Takes out the tasks (masks, keypoints ...) that the records have nothing for; returns what was taken out.

    `features` are the keys that the training records hold.
    """
    model, dropped = get_model(config), []
    family = config.model.WhichOneof("model")
    readers = [config.train_input_reader, *config.eval_input_reader]
    for name, key in READER_SWITCHES.items():
        if key not in features:
            for reader in readers:
                reader.ClearField(name)
    if family == "center_net":
        for task, key in CENTER_NET_TASKS.items():
            if key not in features and (model.HasField(task) if "keypoint" not in task else getattr(model, task)):
                model.ClearField(task)
                dropped.append(task)
    if CENTER_NET_TASKS["keypoint_estimation_task"] not in features:
        _clear_keypoints(config, readers)
    masks = None
    if family == "faster_rcnn":
        masks = model.second_stage_box_predictor.mask_rcnn_box_predictor
    if "image/object/mask" not in features:
        if masks is not None and masks.predict_instance_masks:
            masks.predict_instance_masks = False
            model.number_of_stages = 2  # the third one is the masks'
            dropped.append("predict_instance_masks")
        if family == "ssd" and model.HasField("mask_head_config"):
            model.ClearField("mask_head_config")
            dropped.append("mask_head_config")
        config.eval_config.ClearField("eval_instance_masks")
        kept = [name for name in config.eval_config.metrics_set if "mask" not in name and "segmentation" not in name]
        config.eval_config.metrics_set[:] = kept
    return dropped


def _clear_keypoints(config, readers):
    """Takes out whatever else belongs to keypoints; some of the zoo's detectors of boxes have such fields, too."""
    if config.model.WhichOneof("model") == "center_net":
        config.model.center_net.ClearField("keypoint_label_map_path")
        if config.model.center_net.HasField("object_center_params"):
            config.model.center_net.object_center_params.ClearField("keypoint_weights_for_center")
    for name in ("parameterized_metric", "keypoint_edge"):
        config.eval_config.ClearField(name)
    kept = [name for name in config.eval_config.metrics_set if "keypoint" not in name]
    config.eval_config.metrics_set[:] = kept
    for reader in readers:
        for name in ("num_keypoints", "use_keypoint_label_map", "keypoint_type_weight", "load_keypoint_depth_features"):
            reader.ClearField(name)
    for option in config.train_config.data_augmentation_options:
        for _, step in option.ListFields():
            for field, _ in step.ListFields():
                if field.name in ("keypoint_flip_permutation", "keypoint_rot_permutation"):
                    step.ClearField(field.name)


def set_num_classes(config, num_classes: int, label_map: str) -> None:
    """Sets the number of classes wherever it stands, and the label map of the keypoints' tasks."""
    model = get_model(config)
    model.num_classes = num_classes
    if config.model.WhichOneof("model") == "center_net" and model.keypoint_estimation_task:
        model.keypoint_label_map_path = label_map


def set_input_size(config, size: tuple[int, ...]) -> None:
    """Sets the size that photos are resized to; `size` are (width, height) in pixels, or (side,).

    Anchors follow by themselves: they are shares of the picture, or multiples of the strides. Raises InputError if
    the model's resizer can't be set so.
    """
    resizer = get_model(config).image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    given = "x".join(map(str, size))
    width, height = size[0], size[-1]
    if kind == "fixed_shape_resizer":
        resizer.fixed_shape_resizer.width, resizer.fixed_shape_resizer.height = width, height
    elif kind == "keep_aspect_ratio_resizer":
        keeping = resizer.keep_aspect_ratio_resizer
        if keeping.pad_to_max_dimension and width != height:
            raise InputError(
                f"--input_size {given}: this model keeps the aspect ratio and pads to a square; give one number"
            )
        if len(size) == 1 and not keeping.pad_to_max_dimension:  # 800 with the base's 800 to 1333 stays such a pair
            longer = round(width * keeping.max_dimension / keeping.min_dimension)
        else:
            longer = max(size)
        keeping.min_dimension, keeping.max_dimension = min(size), longer
    elif kind == "conditional_shape_resizer" and len(size) == 1:
        resizer.conditional_shape_resizer.size_threshold = width
    else:
        raise InputError(
            f"--input_size {given}: the model's {kind or 'image_resizer'} takes no such size; start from another base, "
            "or set model.*.image_resizer with --set"
        )
    for option in config.train_config.data_augmentation_options:
        if option.WhichOneof("preprocessing_step") == "random_scale_crop_and_pad_to_square":
            option.random_scale_crop_and_pad_to_square.output_size = max(width, height)


def find_size_faults(config) -> list[str]:
    """Why the model can't work at the size that photos are resized to: texts."""
    model = get_model(config)
    resizer = model.image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    if kind == "fixed_shape_resizer":
        sides = {"width": resizer.fixed_shape_resizer.width, "height": resizer.fixed_shape_resizer.height}
    elif kind == "keep_aspect_ratio_resizer":
        keeping = resizer.keep_aspect_ratio_resizer
        if keeping.min_dimension > keeping.max_dimension:
            return [f"min_dimension {keeping.min_dimension} is more than max_dimension {keeping.max_dimension}"]
        name = "max_dimension" if keeping.pad_to_max_dimension else "min_dimension"
        sides = {name: getattr(keeping, name)}
    elif kind is None:
        return ["image_resizer is not set; start from a config of scripts/configs"]
    else:
        return []
    least, levels, multiple, reason = _find_size_rule(config)
    faults = []
    for name, side in sides.items():
        if side < least:
            faults.append(f"image_resizer's {name} is {side}; this model needs {least} or more")
        # what is not padded has a side of any length, which can't be told here
        elif name != "min_dimension" and any(-(-side // 2**n) != 2 * -(-side // 2 ** (n + 1)) for n in levels):
            good = sorted({max(side // multiple, -(-least // multiple)) * multiple, -(-side // multiple) * multiple})
            faults.append(
                f"image_resizer's {name} is {side}, which can't be halved and doubled again to the same, as {reason} "
                f"does; make it {' or '.join(map(str, good))}, or another multiple of {multiple}"
            )
    return faults


def _find_size_rule(config):
    """(least side, levels that must be twice the next one, a number whose multiples do, what needs that).

    A map of level n is a 2**n-th of the side, rounded up.
    """
    family, extractor = config.model.WhichOneof("model"), get_model(config).feature_extractor
    if family == "center_net":
        last = 7 if extractor.type in ("hourglass_52", "hourglass_104") else 5
        return 2**last, range(last), 2**last, f"the backbone {extractor.type}"
    if family == "ssd" and "bifpn" in extractor.type:
        least, first, last, what = 129, extractor.bifpn.min_level, extractor.bifpn.max_level, "the BiFPN"
    elif family == "ssd" and "_fpn" in extractor.type and not extractor.use_explicit_padding:
        least = 33 if "mobilenet" in extractor.type else 129
        first, last, what = extractor.fpn.min_level, min(extractor.fpn.max_level, 5), "the FPN"
    else:
        return 33, (), 1, ""
    padded = extractor.pad_to_multiple % 2**last == 0  # then the photos are padded to what fits
    return least, () if padded else range(first, last), 2**last, what


def get_nms(config) -> Message | None:
    """The BatchNonMaxSuppression of the model's last stage, or None where a CenterNet has none."""
    family, model = config.model.WhichOneof("model"), get_model(config)
    if family == "faster_rcnn":
        return model.second_stage_post_processing.batch_non_max_suppression
    if family == "center_net" and not model.HasField("post_processing"):
        return None
    return model.post_processing.batch_non_max_suppression


def set_postprocessing(
    config,
    score_threshold: float | None = None,
    iou_threshold: float | None = None,
    max_detections: int | None = None,
    class_agnostic: bool | None = None,
) -> None:
    """Sets what is not None in the model's post-processing; thresholds are from 0 to 1.

    Raises InputError for a CenterNet without non-maximum suppression, which has a limit of detections only.
    """
    family, nms = config.model.WhichOneof("model"), get_nms(config)
    wanted = {"score_threshold": score_threshold, "iou_threshold": iou_threshold, "class_agnostic_nms": class_agnostic}
    flags = ", ".join(f"--{name}" for name, value in wanted.items() if value is not None)
    if nms is None and flags:
        raise InputError(f"{flags}: this CenterNet finds peaks and has no non-maximum suppression; leave it out")
    if family == "center_net" and max_detections is not None:
        config.model.center_net.object_center_params.max_box_predictions = max_detections
    if nms is None:
        return
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


def count_detections(config) -> int:
    """How many detections an image the model gives at most."""
    if config.model.WhichOneof("model") == "center_net":
        return config.model.center_net.object_center_params.max_box_predictions
    return get_nms(config).max_total_detections


def raise_detections(config, boxes: int) -> list[str]:
    """Lets the model find as many objects in an image as `boxes`. Returns the names of the limits that were raised."""
    family, model, raised = config.model.WhichOneof("model"), get_model(config), []
    limits = [(get_nms(config), name) for name in ("max_total_detections", "max_detections_per_class")]
    if family == "faster_rcnn":
        limits.append((model, "first_stage_max_proposals"))
    if family == "center_net":
        limits.append((model.object_center_params, "max_box_predictions"))
    for message, name in limits:
        if message is not None and getattr(message, name) < boxes:
            setattr(message, name, boxes)
            raised.append(name)
    return raised


def set_augmentation(train_config, name: str) -> None:
    """Puts the set `name` of AUGMENTATIONS in place of what `train_config` (TrainConfig) has."""
    wanted = text_format.Parse(AUGMENTATIONS[name], train_pb2.TrainConfig())
    del train_config.data_augmentation_options[:]
    train_config.data_augmentation_options.extend(wanted.data_augmentation_options)
