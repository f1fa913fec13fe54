"""tfod.compat: what it refuses, what it leaves alone, and that each correction reaches the code that runs."""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys

from tfod.compat import CORRECTIONS

import numpy as np
import pytest
from google.protobuf import text_format


def run_python(code, **environment):
    """Runs `code` in a second Python, as another user's script would; stdout and stderr are texts."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TF_")} | environment
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def refuse_import(code="import tfod.compat", **environment):
    """What a script says whose main() runs `code` and is refused: one line for each fault, and no traceback."""
    done = run_python(f"from tfod.utils.console import run\ndef main():\n  {code}\nrun(main)", **environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


# ---------------------------------------------------------------- what it imports and refuses


def test_protos_come_without_slow_packages():
    code = (
        "import sys, tfod.compat; from object_detection.protos import pipeline_pb2;"
        "print([name for name in ('tensorflow', 'numpy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    assert run_python(code).stdout == "[]\n"


def test_training_code_comes_without_drawing_packages():
    code = (
        "import sys, tfod.compat; from object_detection import model_lib_v2, exporter_lib_v2; import logging;"
        "print([name for name in ('matplotlib', 'cv2') if name in sys.modules], logging.getLogger().handlers)"
    )
    done = run_python(code)
    assert done.stdout.startswith("[] ")
    assert "StreamHandler" not in done.stdout  # lvis would set up the root logger
    assert [line for line in done.stderr.splitlines() if not NOISE.fullmatch(line)] == []


def test_another_version_is_refused(tmp_path):
    metadata = tmp_path / "tf_models_research_object_detection-2.11.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: tf-models-research-object-detection\nVersion: 2.11.0\n")
    assert refuse_import(PYTHONPATH=str(tmp_path)) == (
        "error: tf-models-research-object-detection: version 2.8.0.post1 is needed, found: 2.11.0; run: make install\n"
    )


def test_another_text_is_refused(tmp_path):
    package = tmp_path / "lvis" / "__init__.py"
    package.parent.mkdir()
    package.write_text("VERSION = 2\n")
    error = refuse_import("import tfod.compat, lvis", PYTHONPATH=str(tmp_path))
    assert str(package) in error
    assert "the text to correct is not there" in error
    assert "make install" in error


@pytest.mark.parametrize("first", ["tensorflow", "object_detection.protos.eval_pb2", "lvis"])
def test_an_earlier_import_is_refused(first, tmp_path):
    # Stands for what was imported uncorrected: the real *_pb2 modules do not even import then.
    module = tmp_path.joinpath(*first.split(".")).with_suffix(".py")
    module.parent.mkdir(parents=True, exist_ok=True)
    for folder in module.relative_to(tmp_path).parents[:-1]:
        (tmp_path / folder / "__init__.py").touch()
    module.write_text("_tf_uses_legacy_keras = False\n")
    error = refuse_import(f"import {first}, tfod.compat", PYTHONPATH=str(tmp_path))
    assert f"{first}: was imported before tfod.compat" in error
    assert "import tfod.compat first" in error


def test_tensorflow_may_come_first_with_keras_2():
    code = (
        "import tensorflow as tf, tfod.compat; from object_detection import model_lib_v2;"
        "print(tf.keras.layers.Dense.__module__)"
    )
    assert run_python(code, TF_USE_LEGACY_KERAS="1").stdout.startswith("tf_keras.")


# ---------------------------------------------------------------- standard error


# what TensorFlow says while it is imported, before anybody can set a level: INFO lines, and one that explains them
NOISE = re.compile(r"(WARNING: All log messages before absl::InitializeLog\(\) is called|I0000 .*\w+\.cc:\d+\]) .*")


def test_tensorflow_says_a_few_lines_and_no_error():
    lines = run_python("import tfod.compat, tensorflow as tf; tf.constant(1) + 1").stderr.splitlines()
    assert len(lines) <= 6
    assert [line for line in lines if not NOISE.fullmatch(line)] == []


def test_where_a_card_may_be_its_errors_are_seen(tmp_path):
    """As with a driver that does not work; a folder stands for the driver's device."""
    code = f"from tfod.utils import nvidia; nvidia.DEVICES = [{str(tmp_path)!r}]; import tfod.compat, tensorflow as tf;"
    said = run_python(f"{code} tf.constant(1) + 1", CUDA_VISIBLE_DEVICES="0").stderr
    assert "failed call to cuInit" in said


# ---------------------------------------------------------------- the corrections


@pytest.mark.parametrize("name", sorted(CORRECTIONS))
def test_module_is_corrected_and_shows_its_corrected_source(name):
    """inspect is where AutoGraph reads a function's source, while it traces."""
    module = importlib.import_module(name)
    source = "".join(inspect.findsource(module.__loader__.get_code(name))[0])
    for old, new in CORRECTIONS[name]:
        assert old not in source
        assert new in source
    functions = [
        member for _, member in inspect.getmembers(module, inspect.isfunction) if member.__module__ == module.__name__
    ]
    for function in functions:
        assert inspect.getsource(function) in source


def test_autograph_traces_the_corrected_source():
    import tensorflow as tf
    from object_detection.utils import dataset_util

    assert "for v in" in tf.autograph.to_code(dataset_util.int64_list_feature)


def test_native_resize_is_there():
    import tensorflow as tf
    from object_detection.utils import bifpn_utils

    (layer,) = bifpn_utils.create_upsample_feature_map_ops(scale=2, use_native_resize_op=True, name="up")
    resized = tf.function(layer)(tf.reshape(tf.range(4.0), (1, 2, 2, 1)))
    assert resized[0, :, :, 0].numpy().tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_every_proto_imports():
    from object_detection import protos

    names = [module.name for module in pkgutil.iter_modules(protos.__path__) if module.name.endswith("_pb2")]
    assert len(names) == 34
    for name in names:
        assert importlib.import_module(f"object_detection.protos.{name}").DESCRIPTOR.message_types_by_name


def test_config_survives_its_text_format():
    from object_detection.protos import pipeline_pb2, preprocessor_pb2

    config = pipeline_pb2.TrainEvalPipelineConfig()
    config.model.ssd.num_classes = 3
    config.model.ssd.anchor_generator.ssd_anchor_generator.aspect_ratios.extend([1, 0.5])
    config.train_config.data_augmentation_options.add().random_horizontal_flip.keypoint_flip_permutation.append(1)
    config.train_config.data_augmentation_options.add().resize_image.method = preprocessor_pb2.ResizeImage.BICUBIC
    text = text_format.MessageToString(config)
    assert "method: BICUBIC" in text
    assert text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()) == config
    assert config.train_config.batch_size == 32  # the proto2 default of upstream's schema
    assert config.model.WhichOneof("model") == "ssd"


def test_keras_is_keras_2():
    import tensorflow as tf

    assert tf.keras.layers.Dense.__module__.startswith("tf_keras.")


def test_estimator_has_modes_and_refuses_the_rest():
    from tensorflow.compat.v1 import estimator

    assert (estimator.ModeKeys.TRAIN, estimator.ModeKeys.EVAL, estimator.ModeKeys.PREDICT) == ("train", "eval", "infer")
    with pytest.raises(NotImplementedError, match="no estimators"):
        _ = estimator.Estimator


def test_rgb_to_lab_knows_the_primaries():
    import tensorflow_io as tfio

    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    lab = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]  # CIE L*a*b* of sRGB, white D65
    np.testing.assert_allclose(tfio.experimental.color.rgb_to_lab(rgb), lab, atol=0.05)


def test_int64_features_take_true_and_false():
    from object_detection.utils import dataset_util

    assert dataset_util.int64_list_feature([True, 2, np.int64(3)]).int64_list.value == [1, 2, 3]


@pytest.mark.parametrize("dtype", [bool, float])
def test_precision_and_recall(dtype):
    from object_detection.utils import metrics

    labels = np.array([True, False, True], dtype)
    precision, recall = metrics.compute_precision_recall(np.array([0.9, 0.8, 0.7]), labels, num_gt=2)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [0.5, 0.5, 1])
    np.testing.assert_allclose(metrics.compute_average_precision(precision, recall), 0.5 + 0.5 * 2 / 3)


@pytest.mark.parametrize("labels", [[], ["raccoon: 87%"], ["raccoon: 87%", "id 7"]])
def test_boxes_are_drawn_with_their_labels(labels):
    from object_detection.utils import visualization_utils

    image = np.zeros((200, 300, 3), np.uint8)
    visualization_utils.draw_bounding_box_on_image_array(
        image, 0.5, 0.25, 0.9, 0.75, color="red", thickness=2, display_str_list=labels
    )
    red = (image == [255, 0, 0]).all(axis=2)
    assert red[100:180, 75].all()  # the left edge: x = 0.25 * 300, y from 0.5 * 200 to 0.9 * 200
    assert not red[115:165, 90:210].any()  # nothing inside
    # Each label is a red plate above the box with black letters on it.
    above = red[:97]
    assert above.any() == bool(labels)
    rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
    assert len(rows) >= 8 * len(labels)
    if labels:
        assert 40 < len(columns) < 100
        assert not above[rows[0] : rows[-1], columns[0] : columns[-1]].all()


def test_charts_are_drawn_without_choosing_a_backend():
    import matplotlib
    import tensorflow as tf
    from object_detection.utils import visualization_utils

    before = matplotlib.rcParams._get_backend_or_none()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        visualization_utils.add_cdf_image_summary(tf.constant([1.0, 2.0, 3.0]), "cdf")
        visualization_utils.add_hist_image_summary(tf.constant([1.0, 2.0, 3.0]), [0, 1, 2, 4], "histogram")
        summary = tf.compat.v1.Summary.FromString(session.run(tf.compat.v1.summary.merge_all()))
    assert [value.tag for value in summary.value] == ["cdf/image/0", "histogram/image/0"]
    for value in summary.value:
        picture = tf.io.decode_png(value.image.encoded_image_string).numpy()
        assert picture.shape == (480, 640, 3)
        assert 0.5 < (picture == 255).all(axis=2).mean() < 0.99  # a curve on white
    assert matplotlib.rcParams._get_backend_or_none() == before


@pytest.mark.parametrize(("kind", "number"), [("mobilenet_v2_fpn_sep_conv", 3), ("mobilenet_v2_fpn", 0)])
def test_centernets_separable_convolutions_are_built(kind, number):
    """The zoo's CenterNet MobileNets say so by the type's name alone."""
    from object_detection.builders import model_builder
    from object_detection.protos import model_pb2

    config = model_pb2.DetectionModel()
    net = config.center_net
    net.num_classes, net.feature_extractor.type = 1, kind
    net.image_resizer.fixed_shape_resizer.height = net.image_resizer.fixed_shape_resizer.width = 64
    net.object_detection_task.localization_loss.l1_localization_loss.SetInParent()
    net.object_center_params.classification_loss.penalty_reduced_logistic_focal_loss.SetInParent()
    extractor = model_builder.build(config, is_training=False)._feature_extractor
    assert sum("Separable" in type(layer).__name__ for layer in extractor._feature_extractor_model.layers) == number


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_corrected_for_speed_gives_the_same_numbers(channels):
    import tensorflow as tf
    from object_detection.core import box_list, preprocessor, preprocessor_cache

    def load_uncorrected(module):
        spec = importlib.util.spec_from_file_location(f"uncorrected_{module.__name__}", module.__spec__.origin)
        uncorrected = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(uncorrected)
        return uncorrected

    image = tf.random.uniform([20, 31, channels], 0, 255, seed=5)
    boxes = tf.constant([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]])
    modules = preprocessor, load_uncorrected(preprocessor)
    for color in (None, [3.0, 7.0, 9.0, 1.0][:channels]):
        cache = preprocessor_cache.PreprocessorCache()  # the same draw for both
        ours, theirs = [
            module.random_pad_image(image, boxes, min_image_size=[25, 40], pad_color=color, preprocess_vars_cache=cache)
            for module in modules
        ]
        assert ours[0].shape[0] >= 25
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    for name in ("random_adjust_brightness", "random_adjust_contrast"):
        cache = preprocessor_cache.PreprocessorCache()
        ours, theirs = [getattr(module, name)(image, preprocess_vars_cache=cache) for module in modules]
        np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(ours, image)
    ours, theirs = [
        module.BoxList(boxes).get_center_coordinates_and_sizes() for module in (box_list, load_uncorrected(box_list))
    ]
    np.testing.assert_array_equal(ours, theirs)
