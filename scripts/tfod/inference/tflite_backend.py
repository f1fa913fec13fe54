"""Runs a TFLite file on ai-edge-litert."""

import contextlib
import queue
from pathlib import Path

import numpy as np

from tfod.export.tflite import quantize
from tfod.export.tflite_metadata import DETECTION_OP, NO_LABEL, read_metadata
from tfod.inference.runtime import Runtime, resize
from tfod.utils.console import InputError, say


def open_tflite(path: Path, cores: int) -> Runtime:
    """The `Runtime` of the TFLite file `path`, which runs on `cores` cores a call."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if path.read_bytes()[4:8] != b"TFL3":
        raise InputError(f"{path}: is not a TFLite model; `make tflite` makes one")
    with _name_damage(path):  # only the interpreter verifies the file before it reads on
        Interpreter(str(path))
    try:
        metadata = read_metadata(path)
    except InputError as error:
        say(f"{error}; taken as MobileNet's: pixels from -1 to 1, classes by the label map")
        metadata = {"labels": [], "mean": [127.5], "std": [127.5]}

    threads = count_sound_threads(len(metadata["labels"]), cores)

    def make_interpreter():
        with _name_damage(path):
            interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=OpResolverType.AUTO)
            interpreter.allocate_tensors()
        return interpreter

    # An interpreter serves one thread at a time; more are made on demand.
    idle = queue.LifoQueue()
    idle.put(make_interpreter())
    interpreter = idle.queue[0]
    taken = _find_input(path, interpreter)
    places = _find_outputs(path, interpreter, bool(metadata["labels"]))

    def run(images):
        try:
            interpreter = idle.get_nowait()
        except queue.Empty:
            interpreter = make_interpreter()
        try:
            found = []
            for image in images:
                interpreter.set_tensor(taken["index"], _prepare(image, taken, metadata["mean"], metadata["std"]))
                interpreter.invoke()
                found.append([interpreter.get_tensor(place)[0] for place in places])
        finally:
            idle.put(interpreter)
        boxes, classes, scores, counts = zip(*found, strict=True)
        return boxes, [ids + 1 for ids in classes], scores, counts

    labels = {number: name for number, name in enumerate(metadata["labels"], 1) if name != NO_LABEL}
    return Runtime(run, None, labels)


@contextlib.contextmanager
def _name_damage(path):
    """Raises InputError where the block fails on the TFLite file `path`."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: can't be run ({error}); make it again with `make tflite`") from error


def count_sound_threads(classes: int, cores: int) -> int:
    """How many of `cores` threads a TFLite detector may have: with fewer than `classes`, but more than one, its
    suppression of overlapping boxes loses a class (https://github.com/tensorflow/tensorflow/issues/56058)."""
    return cores if 0 < classes <= cores else 1


def _find_input(path, interpreter):
    """What the interpreter says of the model's only input, photos of one size. Raises InputError for other models."""
    taken = interpreter.get_input_details()
    if len(taken) == 1 and taken[0]["dtype"].__name__ in ("float32", "uint8", "int8"):
        shape = taken[0].get("shape_signature", taken[0]["shape"]).tolist()
        if len(shape) == 4 and shape[3] == 3 and shape[0] in (1, -1) and min(shape[1:]) > 0:
            return taken[0]
    given = ", ".join(f"{part['name']} {part['dtype'].__name__} {part['shape'].tolist()}" for part in taken)
    raise InputError(
        f"{path}: takes {given or 'nothing'}, not one photo of a fixed size; `make tflite` makes a detector"
    )


def _find_outputs(path, interpreter, ours):
    """The tensor indices of boxes, classes, scores and count, whatever order the converter left them in.

    CenterNet has no detection op; `make tflite` (`ours`) puts its outputs into that order.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    for i in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(i).OpcodeIndex())
        if code.CustomCode() == DETECTION_OP:
            return graph.Operators(i).OutputsAsNumpy().tolist()
    outputs = interpreter.get_output_details()
    if ours and len(outputs) >= 4 and [len(part["shape"]) for part in outputs[:4]] == [3, 2, 2, 1]:
        return [part["index"] for part in outputs[:4]]
    given = ", ".join(part["name"] for part in outputs)
    raise InputError(
        f"{path}: is not a detector with TFLite_Detection_PostProcess, it gives {given}; `make tflite` makes one"
    )


def _prepare(image, taken, mean, std):
    """The model's input [1, height, width, 3] for a photo, uint8 [height, width, 3]."""
    _, height, width, _ = taken["shape"]
    pixels = (resize(image, height, width) - np.float32(mean)) / np.float32(std)
    return quantize(pixels, taken)[np.newaxis]
