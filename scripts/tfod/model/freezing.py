"""Variables that a training leaves as they are, as train_config names them.

Upstream reads `freeze_variables` and `update_trainable_variables` in its TensorFlow 1 loop only.
"""

import re

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.model.fine_tuning import find_parts
from tfod.utils.console import InputError


def freeze_variables(model, train_config, path):
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
