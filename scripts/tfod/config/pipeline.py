"""Pipeline.config, read, checked and written as the parsed proto, never as text.

Paths in a pipeline.config are relative to the folder that a command runs in, as the OD API reads them; in this
project that is the workspace.
"""

import difflib
import os
import re

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf import text_format
from google.protobuf.message import Message
from object_detection.protos import pipeline_pb2

from tfod.utils import files
from tfod.utils.console import InputError
from tfod.utils.reading import read_text

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
    if not os.path.lexists(path):
        raise InputError(f"{path}: No such file or directory; `make config` makes a pipeline.config")
    text = read_text(path)
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise InputError(f"{path}: {_explain(error, text)}") from error
    try:
        text_format.Merge(override, config)
    except text_format.ParseError as error:
        raise InputError(f"--config_override: {error}; give fields as a pipeline.config has them") from error
    return config


def _explain(error, text):
    """What is wrong where a ParseError was raised, and what to write instead."""
    number = error.GetLine() or 1
    what = re.sub(r"^\d+:\d+ : ", "", str(error))
    line = (text.splitlines()[number - 1 : number] or [""])[0].strip()
    if found := re.fullmatch(r'Message type "([\w.]+)" should not have multiple "(\w+)" fields\.', what):
        message = found[1].rpartition(".")[2]
        where = "" if message == "TrainEvalPipelineConfig" else f" of {message}"
        return f"line {number}: {found[2]}{where} is there already, further up; leave out one of the two"
    if found := re.match(r'Field "(\w+)" is specified along with field "(\w+)"', what):
        return f"line {number}: {found[1]} can't stand beside {found[2]}, which is further up; leave out one of the two"
    if found := re.fullmatch(r'Message type "([\w.]+)" has no field named "(\w+)"\.?', what):
        fields = pipeline_pb2.DESCRIPTOR.pool.FindMessageTypeByName(found[1]).fields_by_name
        near = difflib.get_close_matches(found[2], fields, 1)
        advice = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(fields))}"
        return f"line {number}: {found[1].rpartition('.')[2]} has no field {found[2]}; {advice}"
    if "\\" in line:
        plain = re.sub(r"(['\"])([A-Za-z]):/", lambda m: f"{m[1]}/mnt/{m[2].lower()}/", line.replace("\\", "/"))
        return f"line {number}: a backslash begins an escape in a config, and paths take slashes; write {plain}"
    return f"is not a pipeline.config: line {number}: {what}; correct it, or make it again"


def write_config(path, config):
    """Writes `config` as text, whole."""
    files.write_text(path, text_format.MessageToString(config))


def get_model(config):
    """The message of the model's family: config.model.ssd, .faster_rcnn or .center_net."""
    return getattr(config.model, config.model.WhichOneof("model"))


def get_fine_tune_type(train_config):
    """The fine_tune_checkpoint_type, which older configs leave out, as upstream's config_util fills it in."""
    older = "detection" if train_config.from_detection_checkpoint else "classification"
    return train_config.fine_tune_checkpoint_type or older


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
