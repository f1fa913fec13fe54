"""A detector's weights: restored from a checkpoint, taken from a fine-tune checkpoint part by part, or frozen."""

import collections
import contextlib
import re
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.model.checkpoints import EXCEPT_CLASS_HEAD, SUFFIX
from tfod.model.saving import describe_failure
from tfod.utils.console import InputError, say

SLOT = ".OPTIMIZER_SLOT"
CENTER_NET_HEADS = {"object_center": "center head", "box/scale": "size head", "box/offset": "offset head"}


def build_variables(model):
    """Makes the variables of `model` (DetectionModel), which it would not have before its first step.

    An empty image is enough for that; models of two stages have to finish it.
    """
    import tensorflow as tf

    model._is_training = False
    tf.keras.backend.set_learning_phase(False)
    inputs, shapes = model.preprocess(tf.zeros([1, 64, 64, 3]))
    predictions = model.predict(inputs, shapes)
    if hasattr(model, "_second_stage_batch_size"):  # Mask R-CNN's masks come with the post-processing
        model.postprocess(predictions, shapes)


def find_head_layers(model):
    """The layers that follow the feature extractor of a DetectionModel, a dict part -> layers or lists of layers."""
    if hasattr(model, "_prediction_head_dict"):  # CenterNet
        heads = model._prediction_head_dict
        return {CENTER_NET_HEADS.get(name, f"{name} head"): heads[name] for name in heads}
    if hasattr(model, "_mask_rcnn_box_predictor"):  # Faster R-CNN, Mask R-CNN
        predictor = model._mask_rcnn_box_predictor
        return {
            "RPN": [model._first_stage_box_predictor_first_conv, model._first_stage_box_predictor],
            "box head": predictor._box_prediction_head,
            "class head": predictor._class_prediction_head,
            "mask head": predictor._third_stage_heads,
        }
    predictor = model._box_predictor
    heads = predictor._prediction_heads
    if hasattr(predictor, "_box_prediction_head"):  # one predictor for all levels of the FPN
        tower = [predictor._base_tower_layers_for_heads, predictor._additional_projection_layers]
        box_head = predictor._box_prediction_head
    else:
        tower, box_head = predictor._shared_nets, heads["box_encodings"]
    return {
        "prediction tower": tower,
        "box head": box_head,
        "class head": heads["class_predictions_with_background"],
    }


def find_parts(model):
    """To which part of the detector each variable belongs: a dict id of the variable -> name of the part.

    `model` is a DetectionModel whose variables exist. What follows the backbone in the feature extractor is the FPN, or
    the extra layers of an SSD without one. An hourglass has no backbone: all of it is the feature extractor.
    """
    import tensorflow as tf

    parts = {}
    for part, layers in find_head_layers(model).items():
        for layer in tf.nest.flatten(layers):
            parts.update((id(variable), part) for variable in layer.variables)
    backbone = find_backbone(model)
    if backbone is not None:
        parts.update((id(variable), "backbone") for variable in backbone.variables)
    rest = "feature extractor" if backbone is None else "extra layers"
    for variable in model.variables:
        parts.setdefault(id(variable), "FPN" if "fpn" in variable.name.casefold() else rest)
    return parts


def list_weights(model) -> list:
    """All variables of a DetectionModel, each once: its weights, and the statistics of its batch normalization."""
    found = {id(v): v for v in model.variables}
    return list(found.values())


def find_backbone(model):
    """The backbone of a DetectionModel, as upstream restores it from a classification checkpoint, or None."""
    extractor = getattr(model, "_feature_extractor", None)
    for owner in (extractor, model):
        with contextlib.suppress(NotImplementedError):  # hourglasses have none
            backbone = getattr(owner, "classification_backbone", None)
            if backbone is not None:
                return backbone
    return None


def choose_objects(model, kind):
    """What of a DetectionModel the fine-tune checkpoint type `kind` restores: arguments of tf.train.Checkpoint.

    Raises ValueError for a type that is not known.
    """
    import tensorflow as tf

    if kind != EXCEPT_CLASS_HEAD:
        return model.restore_from_objects(fine_tune_checkpoint_type=kind)
    restored = model.restore_from_objects(fine_tune_checkpoint_type="detection")["model"]
    if hasattr(model, "_prediction_head_dict"):
        heads = model._prediction_head_dict
        restored._prediction_head_dict = {name: heads[name] for name in heads if name != "object_center"}
    elif hasattr(model, "_mask_rcnn_box_predictor"):
        restored._first_stage_box_predictor_first_conv = model._first_stage_box_predictor_first_conv
        restored._first_stage_box_predictor = model._first_stage_box_predictor
        box_head = model._mask_rcnn_box_predictor._box_prediction_head
        if box_head._share_box_across_classes:  # else it has four numbers for each class
            restored._mask_rcnn_box_predictor = tf.train.Checkpoint(_box_prediction_head=box_head)
    else:
        restored._box_predictor = _choose_predictor_layers(model._box_predictor)
    return {"model": restored}


def _choose_predictor_layers(predictor):
    """A tf.train.Checkpoint of the layers of an SSD's box predictor whose shapes do not depend on the classes."""
    import tensorflow as tf

    if hasattr(predictor, "_box_prediction_head"):
        return tf.train.Checkpoint(
            _base_tower_layers_for_heads=predictor._base_tower_layers_for_heads,
            _additional_projection_layers=predictor._additional_projection_layers,
            _box_prediction_head=predictor._box_prediction_head,
        )
    heads = {"box_encodings": predictor._prediction_heads["box_encodings"]}
    return tf.train.Checkpoint(_shared_nets=predictor._shared_nets, _prediction_heads=heads)


def restore_fine_tune_checkpoint(config, model, path):
    """Puts the fine-tune checkpoint into `model`, whose variables exist, and returns what it matched.

    A dict part -> (number of variables that were restored, number of them in all). Raises InputError, with `path` of
    the config, if the checkpoint does not fit or nothing of it was matched.
    """
    import tensorflow as tf
    from object_detection.utils import config_util, variables_helper

    train = config.train_config
    config_util.update_fine_tune_checkpoint_type(train)
    checkpoint, kind = train.fine_tune_checkpoint, train.fine_tune_checkpoint_type
    fault = f"{path}: fine_tune_checkpoint {checkpoint} does not fit this model as {kind!r}"
    advice = "name a checkpoint of the same network, or change fine_tune_checkpoint_type"
    variables = [v for v in list_weights(model) if v.dtype.is_floating]
    before = [v.numpy() for v in variables]
    # What is still NaN afterwards was not restored, whatever way the checkpoint names it.
    for variable in variables:
        variable.assign(tf.fill(variable.shape, tf.constant(float("nan"), variable.dtype)))
    try:
        variables_helper.ensure_checkpoint_supported(checkpoint, kind, str(Path(path).parent))
        objects = choose_objects(model, kind)
        tf.train.Checkpoint(**objects).restore(checkpoint).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, TypeError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise InputError(f"{fault} ({describe_failure(error)}); {advice}") from error
    parts = find_parts(model)
    matched = collections.defaultdict(lambda: [0, 0])
    for variable, value in zip(variables, before, strict=True):
        counts = matched[parts[id(variable)]]
        counts[1] += 1
        if bool(tf.reduce_all(tf.math.is_nan(variable))):
            variable.assign(value)
        else:
            counts[0] += 1
    if not any(restored for restored, _ in matched.values()):
        raise InputError(f"{fault} (nothing of it was matched); {advice}")
    order = dict.fromkeys(["backbone", "feature extractor", "FPN", "extra layers", *find_head_layers(model)])
    return {part: tuple(matched[part]) for part in order if part in matched}


def try_checkpoint(config, path):
    """Builds the model of `config` for `restore_fine_tune_checkpoint`, and returns and raises what that does."""
    from object_detection.builders import model_builder

    model = model_builder.build(config.model, is_training=True, add_summaries=False)
    build_variables(model)
    return restore_fine_tune_checkpoint(config, model, path)


def describe_matches(matched: dict) -> str:
    """One line of what `restore_fine_tune_checkpoint` returns: what was taken over, and what is new."""
    taken = [f"{part} {restored} of {number}" for part, (restored, number) in matched.items() if restored]
    new = [f"{part} {number}" for part, (restored, number) in matched.items() if not restored]
    return f"restored {', '.join(taken)}" + (f"; new weights: {', '.join(new)}" if new else "")


def find_misfits(shapes: dict, path) -> list[str]:
    """What keeps the checkpoint `path` from going on with a model: texts; `shapes` are those of the model's own.

    `shapes` is a dict name -> shape, as tf.train.list_variables names what a checkpoint holds. What the optimizer adds
    to the variables is left out: it comes with the first step.
    """
    import tensorflow as tf

    theirs = dict(tf.train.list_variables(path))
    ours = {name: shape for name, shape in shapes.items() if name.startswith(("model/", "step/")) and SLOT not in name}
    misfits = []
    for name, shape in ours.items():
        short = name.removesuffix(SUFFIX)
        if name not in theirs:
            misfits.append(f"{short} is not in the checkpoint")
        elif theirs[name] != shape:
            misfits.append(f"{short} has the shape {theirs[name]} in the checkpoint and {shape} in this model")
    more = [n for n in theirs if n.startswith("model/") and SLOT not in n and n not in ours]
    misfits += [f"{n.removesuffix(SUFFIX)} is only in the checkpoint" for n in more]
    return misfits


def freeze_variables(model, train_config, path) -> tuple[int, int]:
    """Takes from training what `train_config` (TrainConfig) says; returns (variables that train, those that do not).

    A variable is known as `part/name`, as `backbone/Conv1/kernel:0`, with the parts that the training's banner counts.
    What a pattern of freeze_variables is found in does not train, and neither does what none of
    update_trainable_variables is found in, where that has patterns. `model` is a DetectionModel whose variables exist;
    call this before the optimizer is built and a step is traced. A frozen layer's batch normalization keeps its
    averages, too. Raises InputError, with `path` of the config, if a pattern is found nowhere, if it is found in a part
    of a layer only, or if nothing is left to train.
    """
    parts = find_parts(model)
    names = {id(v): f"{parts[id(v)]}/{v.name}" for v in model.trainable_variables}
    patterns = [*train_config.freeze_variables, *train_config.update_trainable_variables]
    faults = [
        f"{path}: {pattern!r} of freeze_variables or update_trainable_variables is found in no variable, as "
        f"{next(iter(names.values()))} is one; correct it"
        for pattern in patterns
        if not any(re.search(pattern, name) for name in names.values())
    ]

    def is_frozen(variable):
        name = names[id(variable)]
        wanted = train_config.update_trainable_variables
        unwanted = wanted and not any(re.search(pattern, name) for pattern in wanted)
        return unwanted or any(re.search(pattern, name) for pattern in train_config.freeze_variables)

    for layer in model._flatten_layers(include_self=False):
        own = [v for v in layer.trainable_variables if id(v) in names]
        if own and all(map(is_frozen, own)):
            layer.trainable = False
    left = [names[id(v)] for v in model.trainable_variables if is_frozen(v)]
    if left:
        faults.append(f"{path}: {left[0]} can't be frozen without the rest of its layer; name the whole layer")
    if not model.trainable_variables:
        faults.append(f"{path}: nothing is left to train; freeze less (--freeze none)")
    if faults:
        raise InputError(*faults)
    trained = len(model.trainable_variables)
    return trained, len(names) - trained


def restore_weights(config, model, checkpoint):
    """Gives the DetectionModel `model`, built from `config`, the weights of `checkpoint`, a prefix.

    Where `config` evaluates moving averages, and the checkpoint has them, they are the weights. Returns a function to
    call once all of the model's variables exist: it raises InputError if the checkpoint lacks one.
    """
    import tensorflow as tf

    if config.eval_config.use_moving_averages and _has_averages(checkpoint):
        from object_detection.builders import optimizer_builder

        run_model(model, tf.zeros([1, 64, 64, 3]))  # the averages belong to variables, which have to exist
        freeze_variables(model, config.train_config, checkpoint)
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
