"""A detector as a SavedModel: what it takes, and the folder that it is exported to."""

import fnmatch
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError

MAKER = "exporter_main_v2"  # of an export, as its stamp says
LAYOUT = ("saved_model", "checkpoint", "pipeline.config", "label_map.pbtxt", "labels.txt", "README.md")
MADE_OF_IT = ("export_tflite_graph_tf2", "convert_tflite", "convert_onnx", "export_web", "bundle", "benchmark")
MADE_OF_IT += ("evaluate", "report", "inference_main_v2")  # whose results go with the export that they were made of
UNSTAMPED = (  # what an export holds that was made before there were stamps, or by upstream's script
    *LAYOUT[2:], "checkpoint/checkpoint", "checkpoint/ckpt-*", "tflite/model_*.tflite", "model.onnx", "benchmark.*",
    *(f"{folder}saved_model/{name}" for folder in ("", "tflite/") for name in ("*.pb", "variables/variables.*")),
)  # fmt: skip
MODEL_SUFFIXES = (".tflite", ".onnx")  # others' would be taken for the new model's


def make_module(
    model, input_type: str, batch_size: int | str | None = None, side_inputs: tuple[str, str, str] | None = None
):
    """Upstream's tf.Module around `model` (DetectionModel), whose `__call__` is a tf.function with one input signature.

    input_type:  as the exporter's flag has it
    batch_size:  images a call, or "dynamic"; None: upstream's, one for image_tensor and any number for the other types
    side_inputs: shapes, types and names, as the exporter's flags have them; None: the model takes none
    """
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection import exporter_lib_v2

    combined = exporter_lib_v2._combine_side_inputs(*side_inputs) if side_inputs else ()
    make = exporter_lib_v2.DETECTION_MODULE_MAP[input_type]
    module = make(model, side_inputs is not None, list(combined))
    if batch_size:
        (spec,) = module.__call__.input_signature
        batch = None if batch_size == "dynamic" else batch_size
        spec = tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype, spec.name or "input_tensor")
        module.__call__ = tf.function(module.__call__.python_function, input_signature=[spec])
    return module


def save(module, folder: str | Path, function: Callable) -> None:
    """Writes `module` as a SavedModel whose one signature is the concrete `function`.

    tf-keras would trace every layer of the model once more, in training and in inference, which nobody calls: it takes
    most of the time, and nearly half of the file.
    """
    import tensorflow as tf
    from tf_keras.src.saving.legacy.saved_model.utils import keras_option_scope  # what save_traces=False sets

    with keras_option_scope(save_traces=False):
        tf.saved_model.save(module, str(folder), signatures=function)


def describe_batch(module) -> str:
    """How many images a call of the module takes, as text: "1", "8" or "any number"."""
    number = module.__call__.input_signature[0].shape[0]
    return "any number" if number is None else str(number)


# ---------------------------------------------------------------- the folder


def refuse_other(output: Path) -> None:
    """Raises InputError if the output folder is something else than a former export, or empty."""
    is_empty = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    if not is_empty and not (output / "saved_model").is_dir():
        raise InputError(f"{output}: is there and holds no export, so it is not overwritten; name another folder")


def list_kept(output: Path, overwrite: bool) -> list[Path]:
    """The files of the output folder that others put there, and that stay beside the new export.

    Raises InputError if the folder holds what is not to be replaced: no export, one without `overwrite`, or a file of
    an export that a person has changed.
    """
    refuse_other(output)
    if not (output / "saved_model").is_dir():
        return []
    if not overwrite:
        raise InputError(f"{output}: is there and holds another export; name another folder, or give --overwrite")
    stamp = output / "saved_model"
    foreign = files.list_foreign(stamp, MAKER, [output], MADE_OF_IT)
    if not files.list_made(stamp, MAKER):
        foreign = [path for path in foreign if not _is_unstamped(path, path.relative_to(output).as_posix())]
    lost = [path for path in foreign if path.relative_to(output).parts[0] in LAYOUT or path.suffix in MODEL_SUFFIXES]
    if lost:
        files.refuse_foreign(stamp, MAKER, "name another folder with --output_directory", lost)
    return foreign


def _is_unstamped(path, name):
    """Whether a file of an export without stamp, `name` in its folder, is of the export."""
    ours = any(fnmatch.fnmatchcase(name, pattern) for pattern in UNSTAMPED)
    return ours and (name != "README.md" or b"\n## How to call it\n" in path.read_bytes())


def keep_files(kept: Iterable[Path], output: Path, fresh: Path) -> None:
    """Copies the files `kept` of the folder `output` into `fresh`, which takes its place."""
    for path in kept:
        copy = fresh / path.relative_to(output)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
