"""Pipeline.config, read, changed field by field (`--set`), compared and written as the parsed proto, never as text.

Paths in a pipeline.config are relative to the folder that a command runs in, as the OD API reads them; in this
project that is the workspace.
"""

import difflib
import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf import text_format
from google.protobuf.message import Message
from object_detection.protos import pipeline_pb2

from tfod.data.label_map import read_names
from tfod.utils import files
from tfod.utils.console import InputError
from tfod.utils.files import read_text

PLACEHOLDER = "PATH_TO_BE_CONFIGURED"
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def read_config(path: str | Path, override: str = "") -> pipeline_pb2.TrainEvalPipelineConfig:
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


def write_config(path: str | Path, config) -> None:
    """Writes `config` as text, whole."""
    files.write_text(path, text_format.MessageToString(config))


def get_model(config) -> Message:
    """The message of the model's family: config.model.ssd, .faster_rcnn or .center_net."""
    return getattr(config.model, config.model.WhichOneof("model"))


def get_fine_tune_type(train_config) -> str:
    """The fine_tune_checkpoint_type, which older configs leave out, as upstream's config_util fills it in."""
    older = "detection" if train_config.from_detection_checkpoint else "classification"
    return train_config.fine_tune_checkpoint_type or older


def get_input_scale(config, width: int, height: int) -> tuple[float, float]:
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


def set_fields(config, assignments: Iterable[str]) -> None:
    """Sets fields of `config` from texts `path.to.field=value`, in turn, each typed as the proto says.

    A message is given as text (`{random_rotation90 {}}`), a list of plain values with commas (`1.0,2.0`). A member of
    a oneof takes the place of the one that was there. Raises InputError with a fault for each that can't be set.
    """
    faults = []
    for assignment in assignments:
        try:
            _set_field(config, assignment)
        except ValueError as error:
            faults.append(f"--set {assignment}: {error}")
    if faults:
        raise InputError(*faults)


def _set_field(config, assignment):
    path, sign, text = assignment.partition("=")
    if not sign:
        raise ValueError("has no =; give it as path.to.field=value")
    message, walked = config, ""
    *parents, last = path.strip().split(".")
    for part in parents:
        field, index = _find_field(message, part, walked)
        if field.message_type is None:
            raise ValueError(f"{walked}{part} is a plain value and has no fields of its own")
        value = getattr(message, field.name)
        message = _get_entry(value, index, walked + part) if field.is_repeated else value
        walked += f"{part}."
    field, index = _find_field(message, last, walked)
    values = getattr(message, field.name)
    if not field.is_repeated:
        if field.message_type is None:
            _assign(message, field, _parse(field, text))
        else:
            _parse_message(values, text)
            values.SetInParent()
    elif field.message_type is not None:
        if index is None:
            raise ValueError(f"{path} is a list; give the place of one entry, as {path}[0]")
        _parse_message(_get_entry(values, index, path), text)
    elif index is None:
        parsed = [_parse(field, word) for word in re.split(r"\s*,\s*", text.strip(" []")) if word]
        _replace(values, parsed, path)
    else:
        parsed = list(values)
        if index > len(parsed):
            raise ValueError(f"{path}: the list has {len(parsed)} entries, and the next is [{len(parsed)}]")
        parsed[index : index + 1] = [_parse(field, text)]
        _replace(values, parsed, path)


def _find_field(message, part, walked):
    """(the field's descriptor, index or None) for one part of a path."""
    match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", part)
    if not match:
        raise ValueError(f"{part!r} is not the name of a field; give it as path.to.field or path.to.list[0]")
    name, index = match.group(1), match.group(2)
    fields = message.DESCRIPTOR.fields_by_name
    if name not in fields:
        near = difflib.get_close_matches(name, fields, 1)
        where = walked.rstrip(".") or "a pipeline.config"
        hint = f"did you mean {walked}{near[0]}?" if near else f"it has {', '.join(sorted(fields))}"
        raise ValueError(f"{where} has no field {name}; {hint}")
    if index is not None and not fields[name].is_repeated:
        raise ValueError(f"{walked}{name} is not a list; leave out [{index}]")
    if _is_map(fields[name]):
        raise ValueError(f"{walked}{name} is a map, which --set can't set; edit the base config")
    return fields[name], None if index is None else int(index)


def _is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _get_entry(values, index, path):
    if index is None:
        raise ValueError(f"{path} is a list; give the place of one entry, as {path}[0]")
    if index == len(values):
        return values.add()
    if index > len(values):
        raise ValueError(f"{path}: the list has {len(values)} entries, and the next is [{len(values)}]")
    return values[index]


def _parse(field, text):
    """The value of a plain field that `text` means. Raises ValueError if it means none."""
    text = text.strip()
    if field.enum_type is not None:
        values = field.enum_type.values_by_name
        names = {name.casefold(): name for name in values}
        if text.casefold() not in names:
            near = difflib.get_close_matches(text.casefold(), names, 1)
            hint = f"did you mean {names[near[0]]}? " if near else ""
            raise ValueError(f"{text!r} is none of {', '.join(values)}; {hint}".rstrip("; "))
        return values[names[text.casefold()]].number
    if field.cpp_type == field.CPPTYPE_BOOL:
        if text.casefold() not in _WORDS:
            raise ValueError(f"{text!r} is neither true nor false")
        return _WORDS[text.casefold()]
    if field.cpp_type == field.CPPTYPE_STRING:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    whole = field.cpp_type not in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE)
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a {'whole ' * whole}number") from None


def _parse_message(message, text):
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError(f"{message.DESCRIPTOR.name} is a message; set a field of it, or give it as {{field: value}}")
    fresh = type(message)()
    try:
        text_format.Parse(text[1:-1], fresh)
    except text_format.ParseError as error:
        raise ValueError(str(error)) from error
    message.CopyFrom(fresh)


def _assign(message, field, value):
    try:
        setattr(message, field.name, value)
    except (ValueError, TypeError) as error:  # out of its range
        raise ValueError(f"{value!r} does not fit: {error}") from error


def _replace(values, parsed, path):
    try:
        values[:] = parsed
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


# ---------------------------------------------------------------- what changed


def list_changes(before, after) -> list[str]:
    """How `after` differs from `before`, both TrainEvalPipelineConfigs: texts `path: old -> new`.

    A field that is not set counts as its default, and "none" stands for what is not there at all.
    """
    old, new = _flatten(before), _flatten(after)
    lines = {}
    for path in old | new:
        order, _, default = (old.get(path) or new.get(path))[:3]
        parent = path.rpartition(".")[0]
        texts = [side[path][1] if path in side else default if parent in side else "none" for side in (old, new)]
        if texts[0] != texts[1] and default is not None:
            lines[path] = (order, f"{path}: {texts[0]} -> {texts[1]}")
    return [text for _, text in sorted(lines.values())]


def _flatten(message, path="", order=()):
    """A dict: dotted name -> (what sorts it, its value, its default) of the fields that are set, all below `message`.

    The default is None for a message with fields, whose text is not compared: those of its fields are. One of several
    entries that can each be of another kind, as those of data_augmentation_options, is one value.
    """
    flat = {path: (order, "", None)}
    for field, value in message.ListFields():
        if _is_map(field):
            kind = field.message_type.fields_by_name["value"]
            for index, key in enumerate(sorted(value)):
                text = " ".join(str(value[key]).split()) if kind.message_type else _format(kind, value[key])
                flat[f"{path}.{field.name}[{key}]"] = ((*order, field.number, index), text, "none")
            continue
        for index, item in enumerate(value) if field.is_repeated else [(0, value)]:
            name = f"{path}.{field.name}".lstrip(".") + (f"[{index}]" if field.is_repeated else "")
            place = (*order, field.number, index)
            if not isinstance(item, Message):
                default = "none" if field.is_repeated else _format(field, field.default_value)
                flat[name] = (place, _format(field, item), default)
            elif field.is_repeated and any(
                len(one.fields) == len(item.DESCRIPTOR.fields) for one in item.DESCRIPTOR.oneofs
            ):
                flat[name] = (place, text_format.MessageToString(item, as_one_line=True), "none")
            elif item.ListFields():
                flat.update(_flatten(item, name, place))
            else:
                flat[name] = (place, "{}", "none")
    return flat


def _format(field, value):
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if value != "" else '""'


def list_label_maps(config) -> list[Path]:
    """The paths of the label maps that `config` names, the training's first, relative to where the command runs, and
    that are there."""
    readers = [config.train_input_reader, *config.eval_input_reader]
    return [path for path in dict.fromkeys(Path(reader.label_map_path) for reader in readers) if path.is_file()]


def find_label_map(config) -> Path | None:
    """The first of `list_label_maps`, or None."""
    return next(iter(list_label_maps(config)), None)


def read_class_names(config, export: str | Path | None = None) -> dict[int, str]:
    """The classes as a dict id -> name: from label_map.pbtxt in the folder `export`, else from what `config` names.

    Without a label map they are called by their numbers.
    """
    beside = export and Path(export) / "label_map.pbtxt"
    path = beside if beside and beside.is_file() else find_label_map(config)
    if path:
        return read_names(path)
    return {number: str(number) for number in range(1, get_model(config).num_classes + 1)}


def list_record_files(reader) -> list[Path]:
    """The record files that an input reader of a pipeline.config names and that are there."""
    return [Path(name) for pattern in reader.tf_record_input_reader.input_path for name in sorted(glob.glob(pattern))]
