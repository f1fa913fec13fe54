"""Top module: the start of a training: a model with all its variables, and the weights it takes from elsewhere."""

import collections
import contextlib
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.checkpoint_index import SUFFIX
from tfod.console import InputError
from tfod.saving import describe_failure

SLOT = ".OPTIMIZER_SLOT"


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


def name_part(variable, backbone):
    """To which part of the detector a variable belongs; `backbone` are the ids of the backbone's variables."""
    name = variable.name.casefold()
    if id(variable) in backbone:
        return "backbone"
    if "classhead" in name or "classpredictor" in name:
        return "class head"
    if "boxhead" in name or "boxencoding" in name or "boxpredictor_" in name:
        return "box head"
    if "predictor" in name or "predictiontower" in name:
        return "prediction tower"
    return "FPN" if "fpn" in name else "other layers"


def list_variables(model):
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
    variables = [v for v in list_variables(model) if v.dtype.is_floating]
    before = [v.numpy() for v in variables]
    # What is still NaN afterwards was not restored, whatever way the checkpoint names it.
    for variable in variables:
        variable.assign(tf.fill(variable.shape, tf.constant(float("nan"), variable.dtype)))
    try:
        variables_helper.ensure_checkpoint_supported(checkpoint, kind, str(Path(path).parent))
        objects = model.restore_from_objects(fine_tune_checkpoint_type=kind)
        tf.train.Checkpoint(**objects).restore(checkpoint).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, TypeError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise InputError(f"{fault} ({describe_failure(error)}); {advice}") from error
    backbone = find_backbone(model)
    ids = {id(v) for v in backbone.variables} if backbone is not None else set()
    matched = collections.defaultdict(lambda: [0, 0])
    for variable, value in zip(variables, before, strict=True):
        counts = matched[name_part(variable, ids)]
        counts[1] += 1
        if bool(tf.reduce_all(tf.math.is_nan(variable))):
            variable.assign(value)
        else:
            counts[0] += 1
    if not any(restored for restored, _ in matched.values()):
        raise InputError(f"{fault} (nothing of it was matched); {advice}")
    return {part: tuple(counts) for part, counts in sorted(matched.items())}


def try_checkpoint(config, path):
    """Builds the model of `config` for `restore_fine_tune_checkpoint`, and returns and raises what that does."""
    from object_detection.builders import model_builder

    model = model_builder.build(config.model, is_training=True, add_summaries=False)
    build_variables(model)
    return restore_fine_tune_checkpoint(config, model, path)


def describe_matches(matched):
    """One line of what `restore_fine_tune_checkpoint` returns."""
    return ", ".join(f"{part} {restored} of {number}" for part, (restored, number) in matched.items())


def find_misfits(shapes, path):
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
