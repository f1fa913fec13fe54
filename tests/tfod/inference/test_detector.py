"""The detector as a class: one answer whatever the format, batch or thread, and what is left out of it."""

import os
import shutil
import subprocess
import sys

import tfod.compat  # noqa: F401 - before TensorFlow

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tfod.data.images import list_images, read_image
from tfod.export.parity import compare_detections
from tfod.inference import tensorflow_backend
from tfod.inference.backends import find_model, open_model
from tfod.inference.detector import Detector, find_ids, suppress
from tfod.inference.runtime import resize
from tfod.utils.console import InputError


@pytest.fixture(scope="module")
def formats(tflite_files, onnx_file):
    """A dict format -> path of one detector, and eight photos of several sizes to try it on."""
    workspace, _ = tflite_files
    export = workspace / "exported_models/my_model"
    photos = [np.asarray(read_image(path)) for path in list_images(workspace / "images")[:8]]
    photos[1] = np.ascontiguousarray(photos[1][:100])
    photos[4] = photos[4].repeat(2, 0).repeat(2, 1)
    paths = {
        "SavedModel": export / "saved_model",
        "export": export,
        "checkpoints": workspace / "models/my_model",
        "ONNX": export / "model.onnx",
        "TFLite": next((export / "tflite").glob("*float32*.tflite")),
    }
    return paths, photos


def list_sizes(photos):
    return [photo.shape[1::-1] for photo in photos]


@pytest.fixture(scope="module")
def found_plainly(formats):
    """What the SavedModel finds when called the plain way, one photo a call, without our code."""
    import tensorflow as tf

    saved_model, photos = formats[0]["SavedModel"], formats[1]
    model = tf.saved_model.load(str(saved_model))
    found = []
    for photo in photos:
        outputs = model.signatures["serving_default"](tf.constant(photo[np.newaxis]))
        parts = [outputs[f"detection_{key}"][0].numpy() for key in ("boxes", "classes", "scores")]
        count = int(outputs["num_detections"][0])
        found.append((parts[0][:count], parts[1][:count].astype(int), parts[2][:count]))
    return found


@pytest.mark.parametrize("kind", ["SavedModel", "export", "checkpoints", "ONNX", "TFLite"])
def test_every_format_finds_what_the_plain_call_finds(formats, found_plainly, kind):
    paths, photos = formats
    detector = Detector(paths[kind], score=0.0)
    assert detector.names == {1: "cat", 2: "dog"}
    found = detector.detect(photos)
    agreement = compare_detections(found_plainly, found, list_sizes(photos))
    assert agreement.holds(pixels=0.5, score=1e-3), agreement
    if kind == "SavedModel":
        assert agreement.largest_box < 1e-2 and agreement.largest_score < 1e-5


def test_batches_and_threads_change_nothing(formats):
    paths, photos = formats
    single = Detector(paths["export"], score=0.0, threads=1).detect(photos)
    for settings in ({"batch": 3}, {"threads": 3}, {"batch": 2, "threads": 2}):
        found = Detector(paths["export"], score=0.0, **settings).detect(photos)
        assert compare_detections(single, found, list_sizes(photos)).holds(pixels=0.01, score=1e-4)
    assert Detector(paths["export"]).detect([]) == []


def test_calls_of_a_saved_model_are_limited_where_a_card_computes(formats, monkeypatch):
    limited = []
    monkeypatch.setattr(tensorflow_backend, "limit_calls", lambda run: limited.append(run) or (lambda images: 1 / 0))
    with pytest.raises(InputError, match="division by zero"):  # what limit_calls really does: test_nvidia.py
        open_model(formats[0]["SavedModel"], 1).run(np.zeros((1, 8, 8, 3), np.uint8))
    assert len(limited) == 1


def test_results_are_as_documented(formats):
    paths, photos = formats
    for boxes, classes, scores in Detector(paths["TFLite"], score=0.001).detect(photos):
        assert boxes.dtype == scores.dtype == np.float32 and classes.dtype.kind == "i"
        assert boxes.shape == (len(scores), 4) and len(classes) == len(scores)
        assert ((boxes >= 0) & (boxes <= 1)).all() and (scores >= 0.001).all()
        assert (np.diff(scores) <= 0).all()


def test_score_classes_boxes_and_iou_leave_out_what_they_say(formats):
    paths, photos = formats
    all_found = Detector(paths["ONNX"], score=0.0).detect(photos)
    sure = float(np.median(np.concatenate([result.scores for result in all_found])))
    number = np.concatenate([result.classes for result in all_found])[0]
    name = {1: "cat", 2: "dog"}[number]
    some = Detector(paths["ONNX"], score=sure, classes=[name], max_boxes=2).detect(photos)
    assert any(len(result.scores) == 2 for result in some)
    for every, chosen in zip(all_found, some, strict=True):
        keep = (every.classes == number) & (every.scores >= sure)
        np.testing.assert_array_equal(every.boxes[keep][:2], chosen.boxes)
    apart = Detector(paths["ONNX"], score=0.0, class_agnostic=True).detect(photos)
    assert sum(len(result.scores) for result in apart) < sum(len(result.scores) for result in all_found)
    for boxes, _, _ in apart:
        assert len(suppress(boxes, np.zeros(len(boxes)), 0.5)) == len(boxes)


def test_a_score_threshold_changes_no_detection_above_it(formats):
    """The SavedModel's suppression is then told not to look at the others."""
    paths, photos = formats
    everything = Detector(paths["SavedModel"], score=0.0).detect(photos)
    least = float(np.median(np.concatenate([one.scores for one in everything])))
    chosen = Detector(paths["SavedModel"], score=least).detect(photos)
    assert 0 < sum(len(one.scores) for one in chosen) < sum(len(one.scores) for one in everything)
    for one, other in zip(everything, chosen, strict=True):
        keep = one.scores >= least
        assert np.array_equal(one.boxes[keep], other.boxes)
        assert np.array_equal(one.scores[keep], other.scores)


def test_files_that_are_no_detector_are_named(formats, tmp_path):
    paths, _ = formats
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "export").mkdir()
    (tmp_path / "broken/saved_model").mkdir(parents=True)
    (tmp_path / "broken/saved_model/saved_model.pb").write_bytes(b"\xff" * 30)
    shutil.copytree(paths["SavedModel"], tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare/variables")
    for name, message in {
        "none": "is not there; name a saved_model folder",
        "export": "holds no saved_model.pb; name",
        "text.tflite": "is not a TFLite model; `make tflite` makes one",
        "text.onnx": "is not an ONNX model that onnxruntime can run",
        "broken": "saved_model.pb can't be read",
        "bare": "its variables can't be loaded",
    }.items():
        with pytest.raises(InputError, match=name) as raised:
            Detector(tmp_path / name)
        assert message in str(raised.value)


def test_model_that_takes_no_photo_is_refused(tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="encoded")])
        def __call__(self, encoded):
            return {"number": tf.size(encoded)}

    model = Model()
    tf.saved_model.save(model, str(tmp_path), signatures=model.__call__.get_concrete_function())
    with pytest.raises(InputError, match="takes encoded .string., not a photo; export with --input_type image_tensor"):
        Detector(tmp_path)


def test_saved_model_without_a_signature_is_refused(tmp_path):
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(InputError, match="has no signature serving_default; export with exporter_main_v2.py"):
        Detector(tmp_path)


def test_damaged_tflite_file_is_named(tmp_path, tflite_files):
    sound = (tflite_files[0] / "exported_models/my_model/tflite/model_float32.tflite").read_bytes()
    for content in (bytes(4) + b"TFL3", sound[: len(sound) // 2]):
        path = tmp_path / "damaged.tflite"
        path.write_bytes(content)
        with pytest.raises(InputError, match="damaged.tflite: can't be run .*; make it again with `make tflite`"):
            open_model(path, 1)


def test_one_fixed_batch_is_filled_and_another_is_refused(tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([3, None, None, 3], tf.uint8, name="input_tensor")])
        def __call__(self, input_tensor):
            level = tf.reduce_mean(tf.cast(input_tensor, tf.float32), [1, 2, 3]) / 255
            return {
                "num_detections": tf.ones([3]),
                "detection_boxes": tf.zeros([3, 1, 4]),
                "detection_classes": tf.ones([3, 1]),
                "detection_scores": level[:, tf.newaxis],
            }

    model = Model()
    tf.saved_model.save(model, str(tmp_path), signatures=model.__call__.get_concrete_function())
    detector = Detector(tmp_path, score=0.0)
    assert detector.batch == 3 and detector.get_name(1) == "class 1"
    levels = [10, 20, 30, 40, 50]
    found = detector.detect([np.full((8 + level // 30, 9, 3), level, np.uint8) for level in levels])
    np.testing.assert_allclose([result.scores[0] * 255 for result in found], levels, rtol=1e-5)
    with pytest.raises(InputError, match="takes 3 images a call, not 2; export with --batch_size 2"):
        Detector(tmp_path, batch=2)


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_an_error_of_the_caller(formats, image):
    with pytest.raises(ValueError, match="give uint8 .height, width, 3., RGB"):
        Detector(formats[0]["TFLite"]).detect([image])


def test_only_the_library_that_is_needed_is_imported(formats, tmp_path):
    import subprocess
    import sys

    for kind in ("TFLite", "ONNX"):
        code = f"import sys, tfod.inference.detector\ntfod.inference.detector.Detector({str(formats[0][kind])!r})\n"
        code += "print('tensorflow' in sys.modules, 'tf_keras' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False False\n"


@given(
    image=arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_photos_are_resized_to_the_bit_as_in_training(image, size):
    import tensorflow as tf

    expected = tf.compat.v1.image.resize_bilinear(image[np.newaxis].astype(np.float32), size).numpy()[0]
    np.testing.assert_allclose(resize(image, *size), expected, atol=1e-4)


unit = st.floats(0, 1, width=32)


@given(corners=st.lists(st.tuples(unit, unit, unit, unit), max_size=12), iou=st.floats(0, 1), seed=st.integers(0, 9))
def test_suppression_keeps_the_best_and_leaves_no_two_that_overlap(corners, iou, seed):
    corners = np.array(corners, np.float32).reshape(-1, 4)
    boxes = np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)
    groups = np.random.default_rng(seed).integers(0, 2, len(boxes))
    stays = suppress(boxes, groups, iou)

    def overlap(one, other):
        shared = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
        union = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared
        return shared / union if union else 0

    assert not len(boxes) or stays[0] == 0
    for i in range(len(boxes)):
        better = [j for j in stays if j < i and groups[j] == groups[i]]
        worst = max((overlap(boxes[i], boxes[j]) for j in better), default=0)
        assert worst <= iou + 1e-5 if i in stays else worst >= iou - 1e-5


def test_classes_are_names_or_ids():
    names = {1: "cat", 2: "dog"}
    assert find_ids(None, names) is None
    assert find_ids(["dog", "1"], names) == [2, 1]
    assert find_ids([7], {}) == [7]
    with pytest.raises(InputError, match="cow: is not a class of this detector; it has cat, dog") as raised:
        find_ids(["cow", 3], names)
    assert len(raised.value.faults) == 2


def test_a_folder_of_checkpoints_is_a_model_only_with_both_of_its_parts(tmp_path):
    (tmp_path / "pipeline.config").write_text("")
    with pytest.raises(InputError, match="holds no saved_model.pb"):
        find_model(tmp_path)
    for name in ("ckpt-5.index", "ckpt-5.data-00000-of-00001"):
        (tmp_path / name).touch()
    assert find_model(tmp_path) == ("checkpoints", tmp_path)


def test_tflite_files_of_other_tools_are_refused(tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)])
        def __call__(self, image):
            return tf.reduce_mean(image, [1, 2])

    model = Model()
    function = model.__call__.get_concrete_function()
    path = tmp_path / "other.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert())
    with pytest.raises(InputError, match="is not a detector with TFLite_Detection_PostProcess"):
        open_model(path, 1)


def test_onnxruntime_tells_its_maker_nothing(onnx_model, tmp_path):
    """Of its own accord it notes an id of the computer, and events to be sent, below the home folder."""
    code = "import sys, numpy; from tfod.detector import Detector\n"
    code += "Detector(sys.argv[1]).detect([numpy.zeros((8, 8, 3), 'uint8')])"
    for disable, noted in (("1", False), ("0", True)):
        home = tmp_path / disable
        home.mkdir()
        environment = {**os.environ, "HOME": str(home), "ORT_DISABLE_TELEMETRY": disable}
        environment.pop("CI", None)  # where nobody's computer is, it notes nothing anyhow
        if disable == "1":
            del environment["ORT_DISABLE_TELEMETRY"]  # which is what we set
        subprocess.run([sys.executable, "-c", code, onnx_model], env=environment, check=True)
        assert any(home.rglob("*onnxruntime*")) == noted


def test_an_int8_model_of_the_photos_size_takes_its_own_pixels():
    """Each lies half way between two steps of (pixel - 127.5) / 127.5: none of them may become its neighbour."""
    from tfod.inference.tflite_backend import _prepare

    photo = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    taken = {"shape": [1, 16, 16, 3], "dtype": np.uint8, "quantization": (0.007843137718737125, 127)}
    assert np.array_equal(_prepare(photo, taken, [127.5], [127.5])[0], photo)
