"""Takes back what rounding a TFLite model's weights to 8 bits does to the mean of each channel.

Rounded weights give sums that are off by their errors times the inputs. What that is on average is known, from the mean
inputs of the model in floats, and goes into the bias (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", arXiv:1906.04721, with measured means). MobileNetV2 gains most of what it had lost.
"""

import numpy as np


def correct_biases(model, float_model, inputs):
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
