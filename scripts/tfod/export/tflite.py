"""Detectors as TFLite files: their conversion with 8 bit weights corrected, what they take and what they find."""

import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

MEAN_INPUTS = 16  # a mean over all places of so many photos


def suppresses_within_classes(config, asked: bool | None = None) -> bool:
    """Whether the TFLite file suppresses boxes within each class (`asked` if not None), as the SavedModel does.

    Its fast way suppresses across classes, which is what a class-agnostic SavedModel does.
    """
    if asked is not None or config.model.WhichOneof("model") != "ssd":
        return bool(asked)
    return not config.model.ssd.post_processing.batch_non_max_suppression.use_class_agnostic_nms


def convert(saved_model: str | Path, kind: str, read_inputs: Callable[[], Iterable[np.ndarray]]) -> bytes:
    """The bytes of a TFLite model: `kind` is "float32", "float16", "dynamic" or "int8".

    `saved_model` is what export_tflite_graph_tf2.py wrote. For int8, `read_inputs()` yields representative inputs,
    float32 [1, height, width, 3] as the model takes them; the int8 model's own input is uint8, its outputs are floats.
    """
    if kind == "float32":
        return _convert_to_float32(str(saved_model))
    model = _convert(saved_model, kind, read_inputs)
    if kind != "int8":
        return model

    inputs = itertools.islice(read_inputs(), MEAN_INPUTS)
    return correct_biases(model, _convert_to_float32(str(saved_model)), inputs)


@functools.cache
def _convert_to_float32(saved_model):
    return _convert(saved_model, "float32")


def _convert(saved_model, kind, read_inputs=None):
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.allow_custom_ops = True  # TFLite_Detection_PostProcess
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: ([inputs] for inputs in read_inputs())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


class Preprocessor(NamedTuple):
    """How a photo becomes a TFLite model's input.

    prepare:   takes uint8 [height, width, 3] RGB of any size and gives float32 [1, height, width, 3] of the model's
               size: pixels resized, and then (pixel - mean) / std
    mean, std: one float per channel
    """

    prepare: Callable[[np.ndarray], np.ndarray]
    mean: list[float]
    std: list[float]


def make_preprocessor(config, model) -> Preprocessor:
    """The `Preprocessor` of a TFLite model, which does as `model` (DetectionModel) itself does."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import image_resizer_builder

    from tfod.model.tracing import trace_plainly

    if config.model.WhichOneof("model") == "center_net":  # its TFLite model normalizes by itself
        resize = image_resizer_builder.build(config.model.center_net.image_resizer)
        return Preprocessor(
            lambda photo: resize(tf.cast(photo, tf.float32))[0][tf.newaxis].numpy(), [0.0] * 3, [1.0] * 3
        )

    signature = [tf.TensorSpec([None, None, 3], tf.float32)]
    run = trace_plainly(lambda photo: model.preprocess(photo[tf.newaxis])[0], input_signature=signature)

    def prepare(photo):
        return run(tf.cast(photo, tf.float32)).numpy()

    black, white = (prepare(np.full([8, 8, 3], value, np.uint8))[0, 0, 0] for value in (0, 255))
    std = 255 / (white - black)
    return Preprocessor(prepare, (-black * std).tolist(), std.tolist())


def quantize(inputs: np.ndarray, details: dict) -> np.ndarray:
    """Inputs in floats as a model takes them, of whose input the interpreter gave `details`: floats, uint8 or int8."""
    if details["dtype"] == np.float32:
        return inputs
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    # Where nothing was resized, a pixel lies half way between two steps: always up, as MediaPipe has it; np.round would
    # go to the even one, and make two neighbours one. Without a scale it takes the pixels.
    steps = np.floor(inputs / np.float32(scale or 1) + np.float32(0.501)) + zero
    return np.clip(steps, limits.min, limits.max).astype(details["dtype"])


def make_tflite_detector(
    model: str | Path, prepare: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """`detect(photo)` of a TFLite detector: uint8 [height, width, 3] -> (boxes, classes from 1, scores), best first.

    `model` is a file's path. It runs in one thread: see `inference.tflite_backend.count_sound_threads`. Boxes are cut
    off at the edges of the photo, as the SavedModel does by itself.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    targets = [detail["index"] for detail in interpreter.get_output_details()[:4]]

    def detect(photo):
        interpreter.set_tensor(source["index"], quantize(prepare(photo), source))
        interpreter.invoke()
        boxes, classes, scores, count = (interpreter.get_tensor(index)[0] for index in targets)
        boxes = np.clip(boxes[: int(count)], 0, 1)
        keep = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)
        return boxes[keep], classes[: int(count)][keep].astype(int) + 1, scores[: int(count)][keep]

    return detect


def make_anchor_reader(
    model: str | Path, prepare: Callable[[np.ndarray], np.ndarray], config
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """`read(photo)` of a TFLite SSD: what its anchors say before overlapping boxes are suppressed.

    `model` is a file's path and `config` its TrainEvalPipelineConfig. Gives upstream's raw_detection_boxes [1, A, 4]
    `[ymin, xmin, ymax, xmax]` normalized and raw_detection_scores [1, A, classes], with the background where the model
    has it as a class.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # they keep no tensors between the operators
    interpreter = Interpreter(
        str(model), num_threads=1, experimental_preserve_all_tensors=True, experimental_op_resolver_type=plain
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    graph = schema.Model.GetRootAsModel(Path(model).read_bytes(), 0).Subgraphs(0)
    suppression = graph.Operators(graph.OperatorsLength() - 1)
    coder = config.model.ssd.box_coder.faster_rcnn_box_coder
    places = np.array([coder.y_scale, coder.x_scale], np.float32)
    lengths = np.array([coder.height_scale, coder.width_scale], np.float32)

    def read(photo):
        interpreter.set_tensor(source["index"], prepare(photo))
        interpreter.invoke()
        codes, scores, anchors = (interpreter.get_tensor(int(index)) for index in suppression.InputsAsNumpy())
        middles = codes[..., :2] / places * anchors[:, 2:] + anchors[:, :2]
        halves = np.exp(codes[..., 2:] / lengths) * anchors[:, 2:] / 2
        boxes = np.concatenate([middles - halves, middles + halves], axis=-1)
        return {"raw_detection_boxes": boxes, "raw_detection_scores": scores}

    return read


def correct_biases(model: bytes, float_model: bytes, inputs: Iterable[np.ndarray]) -> bytes:
    """The int8 `model` with corrected biases. Both models are bytes, converted from the same SavedModel.

    `inputs` are representative inputs of the model in floats, arrays [1, height, width, 3].
    """
    rounded, exact = _find_convolutions(model), _find_convolutions(float_model)
    common = [name for name in rounded if name in exact]
    means = _measure_means(float_model, {name: exact[name].input for name in common}, inputs)
    corrections = {}  # of a bias, which the predictors of several feature maps may share
    for name in common:
        layer = rounded[name]
        error = layer.read_kernel() - exact[name].read_kernel()
        # a kernel is [channels out, height, width, channels in], a depthwise one [1, height, width, channels]
        axes = (0, 1, 2) if layer.is_depthwise else (1, 2, 3)
        corrections.setdefault(layer.bias_start, (layer.bias_scale, []))[1].append((error * means[name]).sum(axes))
    corrected = bytearray(model)
    for start, (scale, shifts) in corrections.items():
        shift = np.round(np.mean(shifts, axis=0) / scale).astype(np.int64)
        stop = start + 4 * len(shift)
        bias = np.frombuffer(model[start:stop], np.int32).astype(np.int64) - shift
        limits = np.iinfo(np.int32)
        corrected[start:stop] = bias.clip(limits.min, limits.max).astype(np.int32).tobytes()
    return bytes(corrected)


class _Convolution:
    """A convolution with a bias in a TFLite model: its tensors, and where the bias lies in the model's bytes."""

    def __init__(self, model, graph, operator, is_depthwise):
        self.is_depthwise, self.input = is_depthwise, operator.Inputs(0)
        self._model, self._kernel, bias = model, graph.Tensors(operator.Inputs(1)), graph.Tensors(operator.Inputs(2))
        table = model.Buffers(bias.Buffer())._tab
        self.bias_start = table.Vector(table.Offset(4))  # field 0 of a Buffer: its data
        self.bias_scale = bias.Quantization().ScaleAsNumpy() if bias.Quantization() else None

    def read_kernel(self):
        """The kernel as floats."""
        from ai_edge_litert import schema_py_generated as schema

        is_float = self._kernel.Type() == schema.TensorType.FLOAT32
        data = self._model.Buffers(self._kernel.Buffer()).DataAsNumpy().tobytes()
        kernel = np.frombuffer(data, np.float32 if is_float else np.int8).reshape(self._kernel.ShapeAsNumpy())
        if is_float:
            return kernel
        shape = [1] * kernel.ndim
        shape[self._kernel.Quantization().QuantizedDimension()] = -1
        return kernel * self._kernel.Quantization().ScaleAsNumpy().reshape(shape)


def _find_convolutions(data):
    """A dict: name of the output -> _Convolution, of those whose kernel and bias are constants, in floats or int8."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = {schema.BuiltinOperator.CONV_2D: False, schema.BuiltinOperator.DEPTHWISE_CONV_2D: True}
    known = (schema.TensorType.FLOAT32, schema.TensorType.INT8)
    model = schema.Model.GetRootAsModel(data, 0)
    graph, found = model.Subgraphs(0), {}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code not in kinds or operator.InputsLength() < 3 or operator.Inputs(2) < 0:
            continue
        kernel, bias = (graph.Tensors(operator.Inputs(place)) for place in (1, 2))
        if kernel.Type() in known and not any(model.Buffers(part.Buffer()).DataIsNone() for part in (kernel, bias)):
            name = graph.Tensors(operator.Outputs(0)).Name().decode()
            found[name] = _Convolution(model, graph, operator, kinds[code])
    return found


def _measure_means(model, tensors, inputs):
    """A dict name -> mean [channels], over images and places, of a tensor; `tensors` is a dict name -> index."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # without XNNPACK, which keeps what lies between the layers to itself
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=model, experimental_preserve_all_tensors=True, experimental_op_resolver_type=plain
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    sums, count = dict.fromkeys(tensors, 0.0), 0
    for array in inputs:
        interpreter.set_tensor(source["index"], array)
        interpreter.invoke()
        count += 1
        for name, index in tensors.items():
            sums[name] = sums[name] + interpreter.get_tensor(index).mean((0, 1, 2), dtype=np.float64)
    return {name: total / count for name, total in sums.items()}
