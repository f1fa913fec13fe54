"""Opens a detector, whatever its format, on the library that runs it.

Only that library is imported: TensorFlow for a SavedModel or a folder of checkpoints (`tensorflow_backend`),
ai-edge-litert for TFLite (`tflite_backend`), onnxruntime for ONNX.
"""

import dataclasses
import json
import os
from pathlib import Path
from types import ModuleType

from tfod.inference.runtime import OUTPUTS, Runtime, fit_photos, read_input
from tfod.model.checkpoints import find_latest_checkpoint
from tfod.utils.console import InputError, say
from tfod.utils.parallel import count_cores


def find_model(path: str | Path) -> tuple[str, Path]:
    """(kind, path of what to open): of "saved_model", "checkpoints", "tflite" or "onnx". Imports nothing slow.

    Raises InputError where there is no detector.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() in (".tflite", ".onnx"):
        return path.suffix.lower()[1:], path
    for folder in (path, path / "saved_model"):
        if (folder / "saved_model.pb").is_file():
            return "saved_model", folder
    if (path / "pipeline.config").is_file() and (find_latest_checkpoint(path) or find_latest_checkpoint(path / "best")):
        return "checkpoints", path
    what = "is not a detector" if path.is_file() else "holds no saved_model.pb" if path.is_dir() else "is not there"
    raise InputError(
        f"{path}: {what}; name a saved_model folder (`make export` makes exported_models/NAME/saved_model), a .tflite"
        " or .onnx file, or a folder with pipeline.config and checkpoints"
    )


def open_model(path: str | Path, threads: int, score: float = 0.0) -> Runtime:
    """The `Runtime` of the detector at `path`, to be called by up to `threads` threads at once.

    The machine's cores are shared out among the threads. Detections below `score` need not be found. Raises InputError
    where it can't be opened.
    """
    kind, path = find_model(path)
    cores = max(1, count_cores() // threads)
    if kind == "onnx":
        runtime = _open_onnx(path, cores)
    elif kind == "tflite":
        from tfod.inference.tflite_backend import open_tflite

        runtime = open_tflite(path, cores)
    else:
        from tfod.inference import tensorflow_backend

        if kind == "saved_model":
            runtime = tensorflow_backend.open_saved_model(path, cores, score)
        else:
            runtime = tensorflow_backend.open_checkpoints(path, cores)
    return dataclasses.replace(runtime, run=_name_failures(path, runtime.run))


def _name_failures(path, run):
    """`run`, with an InputError where the library fails or what comes out is not a detector's."""
    import numpy as np

    def call(images):
        size = f"{images.shape[2]} x {images.shape[1]}"
        try:
            found = run(images)
        except Exception as error:  # onnxruntime's have no class of their own
            reason = str(error).strip().partition("\n")[0]
            said = f"{path}: fails on an image of {size} ({reason})"
            raise InputError(f"{said}; export it again, or name another model") from error
        shapes = [np.shape(part) for part in found]
        rows = shapes[2]
        if shapes[:3] != [(*rows, 4), rows, rows] or len(rows) != 2 or {rows[0], np.size(found[3])} != {len(images)}:
            given = ", ".join(f"{name} {list(shape)}" for name, shape in zip(OUTPUTS, shapes, strict=True))
            raise InputError(f"{path}: gives {given}, which are not a detector's; name another model")
        return found

    return call


# ---------------------------------------------------------------- ONNX


def import_onnxruntime() -> ModuleType:
    """The module onnxruntime, which since 1.29 tells its maker about each process and model unless it is asked not to,
    before it is imported."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _open_onnx(path, cores):
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores, 1
    options.log_severity_level = 3  # errors; the conversion leaves shapes open, which it would warn of
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # its exceptions have no common class of their own
        reason = str(error).strip().partition("\n")[0]
        said = f"is not an ONNX model that onnxruntime can run ({reason})"
        raise InputError(f"{path}: {said}; make it again with `make onnx`") from error
    inputs, outputs = session.get_inputs(), {part.name for part in session.get_outputs()}
    if len(inputs) != 1:
        takes = ", ".join(part.name for part in inputs) or "nothing"
        raise InputError(f"{path}: takes {takes}, not photos alone; `make onnx` makes a detector")
    shape = [size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape]
    kind = inputs[0].type.removeprefix("tensor(").removesuffix(")")
    batch, size = read_input(path, kind, shape, "`make onnx` makes a detector")
    if missing := [name for name in OUTPUTS if name not in outputs]:
        raise InputError(f"{path}: gives no {', '.join(missing)}; `make onnx` makes a detector")

    def run(images):
        return session.run(OUTPUTS, {inputs[0].name: fit_photos(images, size)})

    return Runtime(run, batch, _read_onnx_labels(path, session.get_modelmeta().custom_metadata_map.get("labels")))


def _read_onnx_labels(path, text):
    """A dict id -> name of the metadata that `convert_onnx.py` writes; without, and after a word, of anything else."""
    try:
        labels = json.loads(text or "{}")
        if not all(isinstance(name, str) for name in labels.values()):
            raise TypeError
        return {int(number): name for number, name in labels.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        wanted = 'the JSON of an object, as {"1": "raccoon"}'
        say(f"{path}: its metadata 'labels' is not {wanted}; without a label map, classes are called by their numbers")
        return {}
