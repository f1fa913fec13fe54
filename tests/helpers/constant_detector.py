"""Detectors with the signature of our exports that find a dog (0.9) and a cat (0.4) in every image."""

import numpy as np

BOXES = [[0.1, 0.1, 0.6, 0.6], [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]]
FOUND = {
    "num_detections": np.float32([2]),
    "detection_boxes": np.float32([BOXES]),
    "detection_classes": np.float32([[2, 1, 1]]),
    "detection_scores": np.float32([[0.9, 0.4, 0.0]]),
}


def write_saved_model(folder):
    """Writes the detector as a SavedModel: the folder."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
        def __call__(self, input_tensor):
            return {name: tf.constant(value) for name, value in FOUND.items()}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.__call__.get_concrete_function())
    return folder


def write_onnx_model(path):
    """Writes the detector as ONNX, which starts without TensorFlow's long import: the path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    photo = helper.make_tensor_value_info("input_tensor", TensorProto.UINT8, [1, None, None, 3])
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in FOUND.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in FOUND.items()]
    graph = helper.make_graph(nodes, "detector", [photo], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
