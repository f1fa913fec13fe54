"""A TFLite detector finds every class, whatever number of threads it is given."""

import tfod.compat  # noqa: F401 - before TensorFlow

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from object_detection import export_tflite_graph_lib_tf2 as upstream
from object_detection.protos import pipeline_pb2

from tfod.export import tflite_metadata
from tfod.inference.detector import Detector
from tfod.inference.tflite_backend import count_sound_threads

CLASSES = 5


@pytest.fixture(scope="module")
def five_classes(tmp_path_factory):
    """A TFLite detector that finds one object of each of five classes in every image."""
    import tensorflow as tf

    config = pipeline_pb2.TrainEvalPipelineConfig()
    ssd = config.model.ssd
    ssd.num_classes = CLASSES
    ssd.image_resizer.fixed_shape_resizer.height = ssd.image_resizer.fixed_shape_resizer.width = 8
    ssd.box_coder.faster_rcnn_box_coder.y_scale = 10
    ssd.post_processing.batch_non_max_suppression.score_threshold = 0.1
    ssd.post_processing.batch_non_max_suppression.iou_threshold = 0.6
    suppress = upstream.SSDModule(config, None, 10, True)._get_postprocess_fn(CLASSES, CLASSES)
    anchors = np.array([[0.1 + 0.2 * n, 0.5, 0.1, 0.1] for n in range(CLASSES)], np.float32)
    scores = np.eye(CLASSES, CLASSES + 1, 1, dtype=np.float32)[np.newaxis] * 0.9

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def find(self, image):
            nothing = tf.reduce_mean(image) * 0
            return suppress(tf.zeros([1, CLASSES, 4]) + nothing, scores + nothing, tf.constant(anchors))[::-1]

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.find.get_concrete_function()], module)
    converter.allow_custom_ops = True
    names = [f"class {number}" for number in range(1, CLASSES + 1)]
    data = tflite_metadata.write_metadata(converter.convert(), names, [0.0], [1.0], "five", "finds five")
    path = tmp_path_factory.mktemp("five") / "five.tflite"
    path.write_bytes(data)
    return path


def find_classes(path, threads):
    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.zeros([1, 8, 8, 3], np.float32))
    interpreter.invoke()
    _, classes, scores, _ = (interpreter.get_tensor(part["index"])[0] for part in interpreter.get_output_details())
    return sorted(classes[scores > 0.1].astype(int))


def test_no_number_of_threads_that_is_given_loses_a_class(five_classes):
    """TensorFlow's issue 56058: with fewer threads than classes, but more than one, a class is never found."""
    for cores in range(1, 9):
        threads = count_sound_threads(CLASSES, cores)
        assert threads in (1, cores)
        assert find_classes(five_classes, threads) == [0, 1, 2, 3, 4]
    # once this fails, ai-edge-litert is mended, and count_sound_threads can go
    assert find_classes(five_classes, 2) == [0, 1, 3, 4]


@pytest.mark.parametrize("threads", [1, 2])
def test_detector_finds_every_class(five_classes, threads, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4))
    (found,) = Detector(five_classes, threads=threads).detect([np.zeros([8, 8, 3], np.uint8)])
    assert sorted(found.classes) == [1, 2, 3, 4, 5]
