"""Runs a SavedModel, or the checkpoint of a training, on TensorFlow."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tfod.inference.runtime import OUTPUTS, Runtime, fit_photos, read_input
from tfod.model.checkpoints import use_checkpoint
from tfod.utils.console import InputError, say

CALLS_ON_CARD = 3  # one computes, one is copied in, one out; more would only wait and take memory
SERVE_TAG, SIGNATURE = "serve", "serving_default"


def _import_tensorflow():
    """TensorFlow, without Keras, which a finished graph does not need and which takes a quarter of the import."""
    import tfod.compat  # noqa: F401 - a quiet start

    ours = "tensorflow" not in sys.modules and "tf_keras" not in sys.modules
    if ours:
        sys.modules["tf_keras"] = None  # TensorFlow works without it, and tf.keras can be imported later
    try:
        import tensorflow as tf
    finally:
        if ours:
            del sys.modules["tf_keras"]
    return tf


def _make_session(tf, graph_def, cores):
    """A session on `graph_def`. It computes in the calling thread: calls share nothing and don't wait for each other.

    With TensorFlow's own threads a call takes as long and uses more cores, for a network of this size.
    """
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=cores, inter_op_parallelism_threads=-1)
    config.gpu_options.allow_growth = os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"  # or TensorFlow warns
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    return tf.compat.v1.Session(graph=graph, config=config)


def limit_calls(run: Callable) -> Callable:
    """`run` where only the CPU computes; where a card does, `run` by at most `CALLS_ON_CARD` threads at a time."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return run
    free = threading.Semaphore(CALLS_ON_CARD)

    def wait_and_run(*arguments):
        with free:
            return run(*arguments)

    return wait_and_run


def open_saved_model(path: Path, cores: int, score: float) -> Runtime:
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
    batch, size = read_input(path, tf.as_dtype(inputs[0].dtype).name, shape, advice)
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
        needed = _prune_graph(tf, graph.graph_def, nodes)
        _raise_score_threshold(tf, needed, score)
        session = _make_session(tf, needed, cores)
        run = session.make_callable(outputs, feed_list=[inputs[0].name])
    except (tf.errors.OpError, ValueError, KeyError, TypeError) as error:  # an unknown op, a damaged
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
    return Runtime(lambda images: run(fit_photos(images, size)), batch, _read_labels(path.parent / "label_map.pbtxt"))


def open_checkpoints(path: Path, cores: int) -> Runtime:
    """Builds the model of pipeline.config and gives it the weights of the best checkpoint, else of the newest."""
    from tfod.config import checks, pipeline

    config = pipeline.read_config(path / "pipeline.config")
    checks.refuse_faults(checks.check_config(config, path / "pipeline.config", checks.INFERENCE))
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


# ---------------------------------------------------------------- the graph, made smaller and faster


def _prune_graph(tf, graph_def, nodes):
    """The part of `graph_def` that `nodes` (names) need: less than a third of an export's bytes, most are gradients."""
    part = tf.compat.v1.graph_util.extract_sub_graph(graph_def, nodes)
    library = {function.signature.name: function for function in graph_def.library.function}
    needed, found = {}, [part.node]
    while found:
        for node in found.pop():
            called = [node.op]
            for attribute in node.attr.values():
                called += [attribute.func.name, *(function.name for function in attribute.list.func)]
            for name in called:
                if name in library and name not in needed:
                    needed[name] = library[name]
                    found.append(library[name].node_def)
    part.library.function.extend(needed.values())
    return part


def _raise_score_threshold(tf, graph_def, score):
    """Raises the score threshold of a graph's last non-maximum suppression to `score`.

    The detections above it stay the same, since a box is suppressed by better ones only; but an export looks at
    thousands of boxes with next to no score, which takes a tenth of its time.
    """
    import numpy as np

    least = np.nextafter(np.float32(score), np.float32(0))  # the operation keeps what is greater
    for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
        by_name = {node.name: node for node in nodes}
        for node in nodes:
            # SecondStagePostprocessor's, too; the suppression of proposals has another name
            if node.op != "NonMaxSuppressionV5" or "Postprocessor/" not in node.name:
                continue
            threshold, sigma = (by_name.get(name.split(":")[0]) for name in node.input[4:6])
            if not (threshold and sigma and threshold.op == sigma.op == "Const"):
                continue
            now, soft = (tf.make_ndarray(constant.attr["value"].tensor) for constant in (threshold, sigma))
            if soft == 0 and now < least:  # soft suppression changes scores
                threshold.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(least, tf.float32))
