"""Makes a pipeline.config of a base: fitted to the data, the steps and the batch, and to what is asked for.

The steps that this takes are in `edit` and `schedule`; here is which of them, in which order, and what is said. Nothing
here needs TensorFlow, and nothing is written.
"""

import copy
import dataclasses
import glob
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from google.protobuf.message import Message

from tfod.config import edit, pipeline, schedule
from tfod.config.feature_extractors import FAMILIES
from tfod.config.paths import find_checkpoint_path_faults
from tfod.data.label_map import read_label_map
from tfod.data.tfrecord import count_boxes, find_records_of, name_set, parse_example, read_records
from tfod.model.checkpoints import EXCEPT_CLASS_HEAD, list_checkpoints
from tfod.utils.console import InputError, say

LOOKED_AT = 100  # examples that tell which features a set of records has


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is asked of a config; None and "" leave what the base has.

    base:       a config, or the folder of a pretrained model
    input_size: (width, height) in pixels that photos are resized to, or (side,)
    augment:    a name of edit.AUGMENTATIONS
    freeze:     "backbone" or "none"
    ema:        decay of the moving averages of the weights; 0: none are kept
    metrics:    a name of edit.METRICS_SETS
    set:        further fields, as `train_config.num_steps=100`
    """

    base: str
    label_map: str
    train_record: str
    test_record: str
    num_steps: int
    batch_size: int
    input_size: tuple[int, ...] | None = None
    augment: str | None = None
    freeze: str | None = None
    ema: float | None = None
    metrics: str | None = None
    iou_threshold: float | None = None
    score_threshold: float | None = None
    fine_tune_checkpoint: str = ""
    fine_tune_checkpoint_type: str = EXCEPT_CLASS_HEAD
    set: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A config that was made.

    base:        path of the config that it was made of, which is `base_config`
    num_classes: those of the label map
    images:      number of training images; None where there are no records
    faults:      why it can't be what was asked for, texts
    """

    base: Path
    base_config: Message
    config: Message
    num_classes: int
    images: int | None
    faults: list[str]


def fit_config(recipe: Recipe) -> Fitted:
    """Makes the config. Raises InputError where the base, the label map or a record can't be read."""
    base = Path(recipe.base)
    base = base / "pipeline.config" if base.is_dir() else base
    base_config = pipeline.read_config(base)
    if base_config.model.WhichOneof("model") not in FAMILIES:
        raise InputError(
            f"{base}: has no model of a known family; start from a config of scripts/configs or of the zoo"
        )
    config, faults = copy.deepcopy(base_config), []
    num_classes = max(read_label_map(recipe.label_map).values())
    records = [_find_records(name, faults) for name in (recipe.train_record, recipe.test_record)]
    features = _read_features(records[0][1])
    for task in edit.drop_tasks(config, features) if features else ():
        say(f"{recipe.base}: {task} is taken out: the records have boxes, and nothing for that")
    edit.set_num_classes(config, num_classes, recipe.label_map)
    if recipe.input_size:
        _note_faults(faults, edit.set_input_size, config, recipe.input_size)
    _note_faults(faults, edit.set_postprocessing, config, recipe.score_threshold, recipe.iou_threshold)
    _fit_training(config, recipe)
    start, kind = find_start(recipe, base, base_config)
    config.train_config.fine_tune_checkpoint, config.train_config.fine_tune_checkpoint_type = start, kind
    images = _fit_readers(config, recipe.label_map, records)
    _note_faults(faults, pipeline.set_fields, config, recipe.set)
    return Fitted(base, base_config, config, num_classes, images, faults)


def _note_faults(faults: list[str], change: Callable, *arguments: object) -> None:
    """Calls `change`, and adds the faults of its InputError to `faults`."""
    try:
        change(*arguments)
    except InputError as error:
        faults += error.faults


def find_start(recipe: Recipe, base: Path, base_config) -> tuple[str, str]:
    """(checkpoint to start from or "", its type): those asked for, else the pretrained model's own, else the base's.

    A checkpoint that the base names and that is not there is warned of: then new weights are trained.
    """
    if recipe.fine_tune_checkpoint:
        return recipe.fine_tune_checkpoint, recipe.fine_tune_checkpoint_type
    if Path(recipe.base).is_dir():
        there = list_checkpoints(Path(recipe.base) / "checkpoint")
        if not there:
            what = "holds no ckpt-*.index with its data; download the model again, or name a config file"
            raise InputError(f"{recipe.base}/checkpoint: {what}")
        return there[-1], recipe.fine_tune_checkpoint_type
    train = base_config.train_config
    if not train.fine_tune_checkpoint:
        return "", ""
    missing = find_checkpoint_path_faults(train.fine_tune_checkpoint)
    if not missing:
        return train.fine_tune_checkpoint, pipeline.get_fine_tune_type(train)
    say(f"warning: {base}: {missing[0]}")
    say("warning: so the training starts FROM SCRATCH, with new weights; --fine_tune_checkpoint names another start")
    return "", ""


def _find_records(name, faults):
    """(what a config says of the set of records `name`: itself or its shards' pattern, its files); notes faults."""
    try:
        paths = find_records_of(name)
    except InputError as error:
        if glob.glob(glob.escape(name) + "*"):  # that nothing is there at all, check_config says
            faults += error.faults
        return name, []
    return name if glob.has_magic(name) else name_set(name, len(paths)), paths


def _read_features(paths):
    """The keys of the features that the first examples of the records hold something for."""
    examples = ((path, data) for path in paths for data in read_records(path))
    keys = set()
    for path, data in itertools.islice(examples, LOOKED_AT):
        try:
            features = parse_example(data)
        except ValueError as error:
            raise InputError(f"{path}: {error}; make the records again") from error
        keys.update(key for key, values in features.items() if values)
    return keys


def _fit_readers(config, label_map, records):
    """Sets what both input readers read. `records` are (pattern, files) for training and for the test, in turn.

    Returns the number of training images.
    """
    del config.eval_input_reader[1:]
    test_reader = config.eval_input_reader[0] if config.eval_input_reader else config.eval_input_reader.add()
    test_reader.shuffle, test_reader.num_epochs = False, 1
    images = []
    for reader, (pattern, paths) in zip((config.train_input_reader, test_reader), records, strict=True):
        reader.label_map_path = label_map
        reader.tf_record_input_reader.input_path[:] = [pattern]
        reader.num_readers = max(len(paths), 1)
        boxes = [number for path in paths for number in count_boxes(path)]
        images.append(len(boxes) if paths else None)
        # Both readers cut what an image has beyond this, without a word: training then takes objects for background.
        # (train_config has a field of this name, too, which nothing reads.)
        most = max(boxes, default=0)
        raised = edit.raise_detections(config, most)
        if most > reader.max_number_of_boxes:
            reader.max_number_of_boxes = most
            raised.insert(0, "max_number_of_boxes")
        if raised:
            verb = "is" if len(raised) == 1 else "are"
            say(f"{pattern}: an image has {most} boxes; {', '.join(raised)} {verb} raised to that")
    return images[0]


def _fit_training(config, recipe):
    """Changes train_config and eval_config in place to what was asked for."""
    train = config.train_config
    schedule.fill_schedule(train.optimizer)
    schedule.scale_schedule(config, recipe.batch_size, recipe.num_steps)
    schedule.bound_schedule(train.optimizer, recipe.num_steps)
    versions = train.DESCRIPTOR.fields_by_name["fine_tune_checkpoint_version"].enum_type.values_by_name
    train.fine_tune_checkpoint_version = versions["V2"].number
    # What only makes sense on the TPU pods that the zoo's models were trained on.
    train.use_bfloat16 = False
    train.sync_replicas = False
    train.replicas_to_aggregate = 1
    if recipe.augment:
        edit.set_augmentation(train, recipe.augment)
    if recipe.freeze:
        train.freeze_variables[:] = ["^backbone/"] if recipe.freeze == "backbone" else []
    if recipe.ema is not None:
        train.optimizer.use_moving_average = config.eval_config.use_moving_averages = recipe.ema > 0
        if recipe.ema > 0:
            train.optimizer.moving_average_decay = recipe.ema
    if recipe.metrics:
        config.eval_config.metrics_set[:] = [edit.METRICS_SETS[recipe.metrics]]
    if not config.eval_config.metrics_set:
        config.eval_config.metrics_set.append(edit.METRICS_SETS["coco"])
