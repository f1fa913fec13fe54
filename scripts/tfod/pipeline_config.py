"""Middle module: pipeline.config, read, checked and written as the parsed proto, never as text.

Paths in a pipeline.config are relative to the folder that a command runs in, as the OD API reads them; in this
project that is the workspace.
"""

import glob
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf import text_format
from google.protobuf.message import Message
from object_detection.protos import pipeline_pb2

from tfod import files
from tfod.console import InputError

PLACEHOLDER = "PATH_TO_BE_CONFIGURED"
# The fields of a learning rate schedule that count steps, and those that are rates. Rates grow with the batch
# (linear scaling rule, Goyal et al. 2017, arXiv:1706.02677), steps with the length of the training.
STEP_FIELDS = {"total_steps", "warmup_steps", "hold_base_rate_steps", "decay_steps", "burnin_steps", "step"}
RATE_FIELDS = {
    "learning_rate",
    "learning_rate_base",
    "warmup_learning_rate",
    "initial_learning_rate",
    "burnin_learning_rate",
    "min_learning_rate",
}


def read_config(path, override=""):
    """The TrainEvalPipelineConfig in the text file `path`, with the text proto `override` merged in."""
    config = pipeline_pb2.TrainEvalPipelineConfig()
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), config)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; `make config` makes a pipeline.config") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no pipeline.config: {error}; correct it, or make it anew") from error
    try:
        text_format.Merge(override, config)
    except text_format.ParseError as error:
        raise InputError(f"--config_override: {error}; give fields as a pipeline.config has them") from error
    return config


def write_config(path, config):
    """Writes `config` as text, whole."""
    files.write_text(path, text_format.MessageToString(config))


def get_model(config):
    """The message of the model's family: config.model.ssd, .faster_rcnn or .center_net."""
    return getattr(config.model, config.model.WhichOneof("model"))


def get_input_scale(config, width, height):
    """(x scale, y scale) by which the model's resizer changes a photo of `width` x `height` pixels.

    Raises ValueError for a resizer that is neither fixed nor keeps the aspect ratio.
    """
    resizer = get_model(config).image_resizer
    kind = resizer.WhichOneof("image_resizer_oneof")
    size = getattr(resizer, kind) if kind else None
    if kind == "fixed_shape_resizer":
        return size.width / width, size.height / height
    if kind == "keep_aspect_ratio_resizer":
        scale = min(size.min_dimension / min(width, height), size.max_dimension / max(width, height))
        return scale, scale
    raise ValueError(f"image_resizer is {kind}; only fixed_shape_resizer and keep_aspect_ratio_resizer are known here")


def scale_schedule(config, batch_size, num_steps):
    """Sets batch size and steps, and scales the learning rate and its schedule from those `config` was made for."""
    train = config.train_config
    rate_ratio = batch_size / train.batch_size
    step_ratio = num_steps / train.num_steps if train.num_steps else 1.0
    train.batch_size, train.num_steps = batch_size, num_steps
    _scale_rates(train.optimizer, rate_ratio, step_ratio)


def _scale_rates(message, rate_ratio, step_ratio):
    for field, value in message.ListFields():
        if field.name in STEP_FIELDS:
            setattr(message, field.name, round(value * step_ratio))
        elif field.name in RATE_FIELDS and isinstance(value, float):
            setattr(message, field.name, value * rate_ratio)
        elif isinstance(value, Message):
            _scale_rates(value, rate_ratio, step_ratio)
        elif field.is_repeated and field.message_type:
            for item in value:
                _scale_rates(item, rate_ratio, step_ratio)


def scale_learning_rates(optimizer, ratio):
    """Multiplies the learning rates of an optimizer's message by `ratio`."""
    _scale_rates(optimizer, ratio, 1)


def list_learning_rates(message):
    """The learning rates anywhere in a message of a config, as its optimizer."""
    rates = []
    for field, value in message.ListFields():
        if field.name in RATE_FIELDS and isinstance(value, float):
            rates.append(value)
        elif isinstance(value, Message):
            rates += list_learning_rates(value)
        elif field.is_repeated and field.message_type:
            rates += [rate for item in value for rate in list_learning_rates(item)]
    return rates


def find_faults(config, path, for_training=True):
    """What would stop a training or an evaluation with `config`: a list of `FILE: what; what to do`.

    Looks for placeholders, for files that are not there and for a model, batch or schedule that is not set. An
    evaluation (`for_training=False`) needs neither the training records nor the fine-tune checkpoint.
    """
    faults = []
    placeholders = _find_placeholders(config)
    if not for_training:
        placeholders = [name for name in placeholders if name.startswith("eval_input_reader")]
    faults += [f"{path}: {name} is still {PLACEHOLDER}; name the file, or `make config`" for name in placeholders]
    if config.model.WhichOneof("model") is None:
        faults.append(f"{path}: has no model; start from a config of scripts/configs or of a pretrained model")
    readers = [("eval_input_reader", reader) for reader in config.eval_input_reader]
    if not readers:
        faults.append(f"{path}: has no eval_input_reader; name the test records there")
    if for_training:
        readers.append(("train_input_reader", config.train_input_reader))
    missing = {}
    for name, reader in readers:
        missing[reader.label_map_path] = f"{name}'s label_map_path; `make label_map` makes the label map"
        for pattern in reader.tf_record_input_reader.input_path:
            missing[pattern] = f"{name}'s input_path; `make tfrecord` makes the records"
    for pattern, what in missing.items():
        if PLACEHOLDER not in pattern and not glob.glob(pattern):
            where = f"relative to {Path.cwd()}" if not Path(pattern).is_absolute() else "an absolute path"
            faults.append(f"{path}: {pattern or 'nothing'} ({where}) is not there, {what}")
    if for_training:
        faults += _find_training_faults(config.train_config, path)
    return faults


def _find_training_faults(train, path):
    faults = []
    checkpoint = train.fine_tune_checkpoint
    if checkpoint and PLACEHOLDER not in checkpoint and not Path(f"{checkpoint}.index").exists():
        faults.append(
            f"{path}: fine_tune_checkpoint {checkpoint} is not there (no {checkpoint}.index, seen from {Path.cwd()}); "
            "`make pretrained` downloads a model, and an empty fine_tune_checkpoint trains from scratch"
        )
    if train.batch_size < 1:
        faults.append(f"{path}: batch_size is {train.batch_size}; set it to 1 or more")
    if not train.optimizer.WhichOneof("optimizer"):
        faults.append(f"{path}: train_config has no optimizer; start from a config of scripts/configs")
    return faults


def _find_placeholders(message, prefix=""):
    """The dotted names of the text fields that still hold the placeholder."""
    found = []
    for field, value in message.ListFields():
        name = prefix + field.name
        items = value if field.is_repeated else [value]
        for item in items:
            if isinstance(item, Message):
                found += _find_placeholders(item, f"{name}.")
            elif isinstance(item, str) and PLACEHOLDER in item:
                found.append(name)
    return found
