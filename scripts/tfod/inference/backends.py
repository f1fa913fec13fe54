"""Opens a detector, whatever its format, on the library that runs it.

Only that library is imported: TensorFlow for a SavedModel or a folder of checkpoints, ai-edge-litert for TFLite,
onnxruntime for ONNX.
"""

import contextlib
import dataclasses
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tfod.inference.graphs import prune_graph, raise_least_score
from tfod.model.checkpoints import find_latest_checkpoint, use_checkpoint
from tfod.utils.console import InputError, say
from tfod.utils.parallel import count_cores

CALLS_ON_CARD = 3  # one computes, one comes, one goes; more would only take memory and wait
OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
SERVE_TAG, SIGNATURE = "serve", "serving_default"


@dataclasses.dataclass
class Runtime:
    """An opened model; several threads may call it at once.

    run:    uint8 array [B, height, width, 3], RGB -> (boxes float [B, N, 4], `[ymin, xmin, ymax, xmax]` normalized;
            classes [B, N], ids of the label map; scores [B, N], best first; count [B], how many of N are detections)
    batch:  how many images B a call takes; None: any number
    labels: dict id -> name, as far as the model's own files tell
    sure:   False where `labels` are those of the label map that a pipeline.config names, which may be another by now
    """

    run: Callable
    batch: int | None
    labels: dict
    sure: bool = True


def find_model(path):
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
    what = "is no detector" if path.is_file() else "holds no saved_model.pb" if path.is_dir() else "is not there"
    raise InputError(
        f"{path}: {what}; name a saved_model folder (`make export` makes exported_models/NAME/saved_model), a .tflite"
        " or .onnx file, or a folder with pipeline.config and checkpoints"
    )


def open_model(path, threads, score=0.0):
    """The `Runtime` of the detector at `path`, to be called by up to `threads` threads at once.

    The machine's cores are shared out among the threads. Detections below `score` need not be found. Raises InputError
    where it can't be opened.
    """
    kind, path = find_model(path)
    cores = max(1, count_cores() // threads)
    if kind == "saved_model":
        runtime = _open_saved_model(path, cores, score)
    else:
        openers = {"checkpoints": _open_checkpoints, "onnx": _open_onnx, "tflite": _open_tflite}
        runtime = openers[kind](path, cores)
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


def _read_input(path, kind, shape, advice):
    """(batch, (height, width)) that a model takes, each None where any will do; `shape` holds None for any number.

    Raises InputError, with `advice`, unless its input is photos: uint8 [batch, height, width, 3].
    """
    shape = shape or [None] * 4  # which TensorFlow does not know of every model
    if kind != "uint8" or len(shape) != 4 or shape[3] not in (None, 3):
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{path}: takes {kind} [{sizes}], not photos, uint8 [batch, height, width, 3]; {advice}")
    return shape[0], None if None in shape[1:3] else tuple(shape[1:3])


def _fit(images, size):
    """uint8 images [B, height, width, 3] in the `size` (height, width) that a model takes; boxes, as shares of it, are
    the same."""
    import numpy as np

    if size is None or images.shape[1:3] == size:
        return images
    return np.stack([resize(image, *size).round().astype(np.uint8) for image in images])


# ---------------------------------------------------------------- TensorFlow


def _import_tensorflow():
    """TensorFlow, without Keras, which a finished graph does not need and which takes a quarter of the import."""
    import tfod.compat  # noqa: F401 - a quiet start

    ours = "tensorflow" not in sys.modules and "tf_keras" not in sys.modules
    if ours:
        sys.modules["tf_keras"] = None  # TensorFlow goes on without it; who asks for tf.keras later still gets it
    try:
        import tensorflow as tf
    finally:
        if ours:
            del sys.modules["tf_keras"]
    return tf


def _make_session(tf, graph_def, cores):
    """A session on `graph_def`. It computes in the thread that calls it: two calls share nothing and wait for nothing.

    With TensorFlow's own threads one call takes as long and keeps more cores busy, for a network of this size.
    """
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=cores, inter_op_parallelism_threads=-1)
    config.gpu_options.allow_growth = os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"  # which it warns of otherwise
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    return tf.compat.v1.Session(graph=graph, config=config)


def limit_calls(run):
    """`run` where only the CPU computes; where a card does, `run` by at most `CALLS_ON_CARD` threads at a time."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return run
    free = threading.Semaphore(CALLS_ON_CARD)

    def wait_and_run(*arguments):
        with free:
            return run(*arguments)

    return wait_and_run


def _open_saved_model(path, cores, score):
    """Loads only what the signature needs: tf.saved_model.load would build every function of the model in Python."""
    tf = _import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise InputError(f"{path}: saved_model.pb can't be read ({error}); export again") from None
    graphs = [graph for graph in saved.meta_graphs if SERVE_TAG in graph.meta_info_def.tags]
    if not graphs or SIGNATURE not in graphs[0].signature_def:
        raise InputError(f"{path}: has no signature {SIGNATURE}; export with exporter_main_v2.py")
    graph, signature = graphs[0], graphs[0].signature_def[SIGNATURE]
    inputs = list(signature.inputs.values())
    if len(inputs) != 1 or inputs[0].dtype == tf.string.as_datatype_enum:
        takes = ", ".join(f"{name} ({tf.as_dtype(part.dtype).name})" for name, part in signature.inputs.items())
        raise InputError(f"{path}: takes {takes}, not a photo; export with --input_type image_tensor")
    shape = [size.size if size.size > 0 else None for size in inputs[0].tensor_shape.dim]
    advice = "export with --input_type image_tensor"
    batch, size = _read_input(path, tf.as_dtype(inputs[0].dtype).name, shape, advice)
    missing = [name for name in OUTPUTS if name not in signature.outputs]
    if missing:
        raise InputError(f"{path}: gives no {', '.join(missing)}; name the export of a detector")
    saver, outputs = graph.saver_def, [signature.outputs[name].name for name in OUTPUTS]
    empty = {node.name for node in graph.graph_def.node if node.op == "NoOp" and not node.input}
    has_init = "__saved_model_init_op" in graph.signature_def
    init = graph.signature_def["__saved_model_init_op"].outputs.values() if has_init else ()
    init = [part.name for part in init if part.name not in empty]  # a detector has nothing to do there
    nodes = [name.split(":")[0] for name in (*outputs, *init, saver.restore_op_name, saver.filename_tensor_name)]
    try:
        needed = prune_graph(tf, graph.graph_def, nodes)
        raise_least_score(tf, needed, score)
        session = _make_session(tf, needed, cores)
        run = session.make_callable(outputs, feed_list=[inputs[0].name])
    except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:  # an op that this TensorFlow has not, a torn
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path}: its graph can't be loaded ({reason}); export again") from error
    try:
        variables = str(path / "variables" / "variables")
        session.run(saver.restore_op_name, {saver.filename_tensor_name: variables})
        if init:
            session.run([session.graph.as_graph_element(name) for name in init])
    except tf.errors.OpError as error:
        raise InputError(f"{path}: its variables can't be loaded ({error.message}); export again") from None
    run = limit_calls(run)
    return Runtime(lambda images: run(_fit(images, size)), batch, _read_labels(path.parent / "label_map.pbtxt"))


def _open_checkpoints(path, cores):
    """Builds the model of pipeline.config and gives it the weights of the best checkpoint, else of the newest."""
    from tfod.config.pipeline import read_config

    config = read_config(path / "pipeline.config")
    return use_checkpoint(path, None, lambda checkpoint: _open_checkpoint(path, config, checkpoint, cores))


def _open_checkpoint(path, config, checkpoint, cores):
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import model_builder
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from tfod.model.weights import restore_weights, run_model

    model = model_builder.build(config.model, is_training=False)
    check = restore_weights(config, model, checkpoint)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
    def run(images):
        found = run_model(model, tf.cast(images, tf.float32))
        found["detection_classes"] = tf.cast(found["detection_classes"], tf.float32) + 1
        return [tf.cast(found[name], tf.float32) for name in OUTPUTS]

    frozen = convert_variables_to_constants_v2(run.get_concrete_function())
    check()
    say(f"the weights are those of {checkpoint}")
    session = _make_session(tf, frozen.graph.as_graph_def(), cores)
    run = session.make_callable([part.name for part in frozen.outputs], feed_list=[frozen.inputs[0].name])
    maps = [reader.label_map_path for reader in (config.train_input_reader, *config.eval_input_reader)]
    # as the config has it, from the folder that commands run in; models/NAME is two levels below the workspace
    places = [folder / name for name in maps if name for folder in (Path(), path.resolve().parents[1])]
    kept = _read_labels(path / "label_map.pbtxt")  # that of its training
    return Runtime(limit_calls(run), 1, kept or next(filter(None, map(_read_labels, places)), {}), bool(kept))


def _read_labels(path):
    from tfod.data.label_map import read_names

    return read_names(path) if path.is_file() else {}


# ---------------------------------------------------------------- ONNX


def import_onnxruntime():
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
    batch, size = _read_input(path, kind, shape, "`make onnx` makes a detector")
    if missing := [name for name in OUTPUTS if name not in outputs]:
        raise InputError(f"{path}: gives no {', '.join(missing)}; `make onnx` makes a detector")

    def run(images):
        return session.run(OUTPUTS, {inputs[0].name: _fit(images, size)})

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


# ---------------------------------------------------------------- TFLite


def _open_tflite(path, cores):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from tfod.export.tflite_metadata import NO_LABEL, read_metadata

    if path.read_bytes()[4:8] != b"TFL3":
        raise InputError(f"{path}: is not a TFLite model; `make tflite` makes one")
    with _name_damage(path):  # which only the interpreter looks for before it reads on
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

    # An interpreter is for one thread at a time. They are few, and made when wanted.
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
    """Raises InputError where TFLite can't do with the file `path` what the block does."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: can't be run ({error}); make it again with `make tflite`") from error


def count_sound_threads(classes, cores):
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
        if code.CustomCode() == b"TFLite_Detection_PostProcess":
            return graph.Operators(i).OutputsAsNumpy().tolist()
    outputs = interpreter.get_output_details()
    if ours and len(outputs) >= 4 and [len(part["shape"]) for part in outputs[:4]] == [3, 2, 2, 1]:
        return [part["index"] for part in outputs[:4]]
    given = ", ".join(part["name"] for part in outputs)
    raise InputError(
        f"{path}: is no detector with TFLite_Detection_PostProcess, it gives {given}; `make tflite` makes one"
    )


def _prepare(image, taken, mean, std):
    """The model's input [1, height, width, 3] for a photo, uint8 [height, width, 3]."""
    import numpy as np

    _, height, width, _ = taken["shape"]
    pixels = (resize(image, height, width) - np.float32(mean)) / np.float32(std)
    if taken["dtype"] != np.float32:
        scale, zero = taken["quantization"]
        scale = scale or 1  # not quantized: it takes the pixels
        limits = np.iinfo(taken["dtype"])
        # where nothing was resized, a pixel lies half way between two steps: always up, as MediaPipe has it; np.round
        # would go to the even one, and make two neighbours one
        steps = np.floor(pixels / np.float32(scale) + np.float32(0.501))
        pixels = np.clip(steps + zero, limits.min, limits.max).astype(taken["dtype"])
    return pixels[np.newaxis]


def resize(image, height, width):
    """A photo, uint8 [h, w, 3], in another size, as float32: bilinear, to the bit as the OD API's resizer does it.

    That is TensorFlow 1's kind: pixel i of the result lies at i * h / height, without half a pixel's offset, and
    nothing is smoothed before. Pillow and OpenCV know other kinds only.
    """
    import numpy as np

    def find_neighbours(size, wanted):
        places = np.arange(wanted, dtype=np.float32) * np.float32(size / wanted)
        lower = places.astype(np.intp)
        return lower, np.minimum(lower + 1, size - 1), places - lower.astype(np.float32)

    def find_columns(pixels):
        return (pixels[:, np.newaxis] * 3 + np.arange(3)).ravel()

    top, bottom, down = find_neighbours(image.shape[0], height)
    left, right, along = find_neighbours(image.shape[1], width)
    above, below = (image.take(rows, 0).reshape(height, -1).astype(np.float32) for rows in (top, bottom))
    rows = [(above.take(find_columns(pixels), 1), below.take(find_columns(pixels), 1)) for pixels in (left, right)]
    along = np.repeat(along, 3)
    upper = rows[0][0] + (rows[1][0] - rows[0][0]) * along
    lower = rows[0][1] + (rows[1][1] - rows[0][1]) * along
    return (upper + (lower - upper) * down[:, np.newaxis]).reshape(height, width, 3)
