import re
import subprocess
import sys

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
from checkpoint_files import write_checkpoint
from conftest import load_script, run_script
from PIL import Image

from tfod.config import pipeline
from tfod.export.parity import Agreement, compare_detections
from tfod.report import model_card
from tfod.utils.console import InputError

MODEL = ["--pipeline_config_path=models/my_model/pipeline.config", "--trained_checkpoint_dir=models/my_model"]

MODEL_FIELDS = """num_classes: 1 feature_extractor { type: "%s" }
    image_resizer { fixed_shape_resizer { width: 128 height: 128 } }"""


@pytest.fixture
def export(call, tmp_path):
    def export(*words):
        command = ["--pipeline_config_path=m/pipeline.config", "--trained_checkpoint_dir=m", "--output_directory=out"]
        done = call("exporter_main_v2.py", *command, *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    return export


@pytest.fixture
def model(tmp_path):
    """The folder `m` with a checkpoint, though of no detector, and a config."""
    write_checkpoint(tmp_path / "m/ckpt-1", {"model/a": [3]})
    (tmp_path / "m/checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    (tmp_path / "m/pipeline.config").write_text(f"model {{ ssd {{ {MODEL_FIELDS % 'ssd_mobilenet_v2_keras'} }} }}")
    return tmp_path / "m"


def test_folder_without_checkpoint_is_named(export):
    assert export() == (
        1,
        "error: m: holds no checkpoint; train first (`make train`), or name the folder that has one\n",
    )


def test_other_export_is_kept_until_told_to_overwrite(export, model, tmp_path):
    (tmp_path / "out/saved_model").mkdir(parents=True)
    code, said = export()
    assert code == 1
    assert "error: out: is there and holds another export; name another folder, or give --overwrite" in said


def test_folder_that_is_no_export_is_never_overwritten(export, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").touch()
    code, said = export("--overwrite")
    assert code == 1
    assert "error: out: is there and holds no export, so it is not overwritten" in said
    assert (tmp_path / "out/photo.jpg").exists()


def test_config_without_model_is_named(export, model):
    (model / "pipeline.config").write_text("")
    code, said = export()
    assert code == 1
    assert "m/pipeline.config: has no model" in said


def test_config_is_held_to_the_rules_of_an_export_alone(export, model, tmp_path):
    config = model / "pipeline.config"
    (tmp_path / "map").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    config.write_text(
        config.read_text().replace("_keras", "").replace("width: 128", "width: 20")
        + 'train_config { batch_size: 0 fine_tune_checkpoint: "gone" }'
        + 'train_input_reader { label_map_path: "map" tf_record_input_reader { input_path: "gone" } }'
    )
    code, said = export()
    assert code == 1
    assert "m/pipeline.config: feature_extractor's type ssd_mobilenet_v2 is TensorFlow 1's; write ssd_mobilenet" in said
    assert "m/pipeline.config: image_resizer's width is 20; this model needs 33 or more" in said
    assert "m/pipeline.config: num_classes is 1, and the highest id of map is 2; name the label map that the" in said
    assert "3 errors" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input_type=photo"], "invalid choice"),
        (["--input_type=tf_example", "--use_side_inputs"], "works with --input_type image_tensor only"),
    ],
)
def test_wrong_calls_end_with_2(export, words, message):
    code, said = export(*words)
    assert code == 2
    assert message in said


def test_upstreams_flags_are_taken(export):
    code, said = export(
        "--input_type", "image_tensor", "--config_override", "", "--use_side_inputs", "False", "--side_input_shapes",
        "1,2/1", "--side_input_types", "tf.float32,tf.int32", "--side_input_names", "a,b",
    )  # fmt: skip
    assert code == 1
    assert "holds no checkpoint" in said


def test_folder_that_is_no_export_is_called_so_without_overwrite_too(export, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").touch()
    assert "error: out: is there and holds no export, so it is not overwritten" in export()[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint=newest"], "newest is neither latest nor best nor a number"),
        (["--batch_size=0"], "0 is not a number of 1 or more"),
        (["--batch_size=2", "--input_type=image_and_boxes_tensor"], "works without side inputs and without boxes"),
        (["--score_threshold=1.5"], "1.5 is not a number from 0 to 1"),
        (["--iou_threshold=half"], "half is not a number from 0 to 1"),
        (["--max_detections=0"], "0 is not a number of 1 or more"),
    ],
)
def test_wrong_values_end_with_2(export, words, message):
    code, said = export(*words)
    assert code == 2
    assert message in said


def test_checkpoint_that_is_not_there_is_named(export, model):
    assert export("--checkpoint=7")[1] == "error: m: holds no checkpoint ckpt-7; there are 1\n"
    assert "m: holds no best/ with a checkpoint" in export("--checkpoint=best")[1]


def test_centernet_has_no_suppression_to_set(export, model):
    (model / "pipeline.config").write_text(f"model {{ center_net {{ {MODEL_FIELDS % 'mobilenet_v2_fpn'} }} }}")
    code, said = export("--iou_threshold=0.5")
    assert code == 1
    assert "--iou_threshold: this CenterNet finds peaks and has no non-maximum suppression; leave it out" in said


def load_signature(folder):
    import tensorflow as tf

    model = tf.saved_model.load(str(folder / "saved_model"))
    # with `model`, which the signature only refers to
    return lambda photos, model=model: model.signatures["serving_default"](tf.constant(photos))


def read_photos(workspace, number):
    """Photos of one size."""
    paths = sorted((workspace / "images").glob("*.jpg"))[:number]
    return [np.asarray(Image.open(path).resize((150, 110))) for path in paths]


def test_export_has_upstreams_layout_the_labels_and_what_was_compared(exported):
    workspace, output = exported
    folder = workspace / "exported_models/my_model"
    for name in ("saved_model/saved_model.pb", "checkpoint/checkpoint", "checkpoint/ckpt-0.index", "pipeline.config"):
        assert (folder / name).is_file()
    assert (folder / "label_map.pbtxt").read_bytes() == (workspace / "annotations/label_map.pbtxt").read_bytes()
    assert (folder / "labels.txt").read_text() == "cat\ndog\n"
    assert "Exported models/my_model/ckpt-80 to exported_models/my_model/saved_model" in output
    # five photos and their mirror images, the ten best detections of each
    assert (
        "compared with the checkpoint on 5 photos of annotations/test.record: 100 detections: boxes by 0.000" in output
    )


def test_dynamic_batch_finds_what_single_calls_find(exported):
    photos = read_photos(exported[0], 3)
    run = load_signature(exported[0] / "exported_models/my_model")
    together = run(np.stack(photos))
    for index, photo in enumerate(photos):
        alone = run(photo[np.newaxis])
        for name in ("detection_boxes", "detection_scores", "detection_classes", "num_detections"):
            np.testing.assert_allclose(together[name][index], alone[name][0], atol=1e-5)


def test_model_card_says_how_good_and_from_what_and_its_code_works(exported, tmp_path):
    workspace, _ = exported
    folder = workspace / "exported_models/my_model"
    card = (folder / "README.md").read_text(encoding="utf-8")
    for text in (
        "Detects: cat, dog.",
        "`make eval`",
        "trained on annotations/train.record: 12 images",
        "tensorflow 2.",
    ):
        assert text in card
    (code,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    Image.fromarray(read_photos(workspace, 1)[0]).save(tmp_path / "photo.jpg")
    command = [sys.executable, "-c", code.replace("score >= 0.5", "score > 0")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines
    assert {line.split()[0] for line in lines} <= {"cat", "dog"}


@pytest.mark.attack
def test_damaged_metrics_leave_the_model_card_without_numbers(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text("{")
    said = model_card._describe_metrics(tmp_path / "ckpt-80")
    assert said == "Not known when this was exported: `make eval`, then export again."
    assert f"{tmp_path}/metrics.json: can't be read (" in capsys.readouterr().err


def test_second_run_does_nothing_even_beside_other_formats(exported):
    workspace, _ = exported
    (workspace / "exported_models/my_model/model.tflite").touch()
    words = [*MODEL, "--output_directory=exported_models/my_model", "--batch_size=dynamic"]
    _, said = run_script("exporter_main_v2.py", *words, cwd=workspace)
    assert said == "exported_models/my_model is up to date\n"
    (workspace / "exported_models/my_model/model.tflite").unlink()


def test_postprocessing_and_batch_are_baked_in(exported):
    workspace, _ = exported
    photos = np.stack(read_photos(workspace, 2))
    scores = load_signature(workspace / "exported_models/my_model")(photos)["detection_scores"].numpy()
    threshold = float(scores[:, 80].min())  # of a hundred: enough are left that do not overlap, however it was trained
    words = [*MODEL, "--output_directory=strict", "--checkpoint=80", "--batch_size=2", "--max_detections=7"]
    words += [f"--score_threshold={threshold}", "--iou_threshold=0.2", "--class_agnostic_nms"]
    run_script("exporter_main_v2.py", *words, cwd=workspace)
    run = load_signature(workspace / "strict")
    found = run(photos)
    assert found["detection_boxes"].shape == (2, 7, 4)
    for index in range(2):
        count = int(found["num_detections"][index])
        boxes = found["detection_boxes"][index, :count].numpy().astype(float)
        assert count >= 2
        assert found["detection_scores"][index, :count].numpy().min() >= threshold
        for i in range(count):  # whatever their classes are
            for j in range(i):
                inner = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
                shared = np.prod(np.maximum(inner, 0))
                areas = [np.prod(box[2:] - box[:2]) for box in (boxes[i], boxes[j])]
                # upstream cuts boxes at the photo's edge after the suppression
                if (boxes[[i, j]] > 0).all() and (boxes[[i, j]] < 1).all():
                    assert shared / (sum(areas) - shared) <= 0.2 + 1e-5
    card = (workspace / "strict/README.md").read_text(encoding="utf-8")
    assert "uint8 [2, height, width, 3]" in card
    assert "at most 7 detections an image" in card
    assert "of boxes across classes that overlap by more than 0.2" in card


def test_export_that_differs_is_not_kept(exported, monkeypatch):
    workspace, _ = exported
    monkeypatch.chdir(workspace)
    script = load_script("exporter_main_v2.py")
    monkeypatch.setattr(Agreement, "holds", lambda self: False)  # not even an equal box is near enough
    none = ["--score_threshold=0.99"]  # leaves no detection: then the anchors are compared
    monkeypatch.setattr("sys.argv", ["exporter_main_v2.py", *MODEL, "--output_directory=other", "--samples=1", *none])
    with pytest.raises(
        InputError, match="other: the export differs from models/my_model/ckpt-80 on photos of"
    ) as error:
        script.main()
    assert "without a counterpart" not in str(error.value)
    assert "no detections" not in str(error.value)
    assert not (workspace / "other").exists()


def test_the_comparison_leaves_out_tf32(monkeypatch):
    """Cards multiply in TF32 otherwise, and differ by more than a faulty export may."""
    import tensorflow as tf

    from tfod.export import parity

    class Compared(Exception):
        pass

    def load(folder):
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
        raise Compared

    monkeypatch.setattr(tf.saved_model, "load", load)
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        with pytest.raises(Compared):
            parity.compare_with_model("folder", None, None, [], "image_tensor")
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


def test_other_weights_are_noticed(exported):
    from object_detection.builders import model_builder

    from tfod.export import parity
    from tfod.model import weights

    workspace, _ = exported
    config = pipeline.read_config(workspace / "models/my_model/pipeline.config")
    model = model_builder.build(config.model, is_training=False)
    check = weights.restore_weights(config, model, str(workspace / "models/my_model/ckpt-80"))
    run, photos = parity.make_reference(model), read_photos(workspace, 2)

    def detect(photo):
        return parity.list_detections(run(photo))

    expected = [detect(photo) for photo in photos]
    check()
    sizes = [photo.shape[1::-1] for photo in photos]
    assert compare_detections(expected, [detect(photo) for photo in photos], sizes).holds(0.5, 1e-3)
    kernel = next(weight for weight in model.weights if "BoxPredictor" in weight.name and "bias" in weight.name)
    kernel.assign_add([0.05] * kernel.shape[0])
    moved = compare_detections(expected, [detect(photo) for photo in photos], sizes)
    assert moved.largest_box > 0.1
    assert not moved.holds(0.1, 1e-3)


def test_moving_averages_are_the_weights_where_the_config_evaluates_them(exported, tmp_path):
    import tensorflow as tf
    from object_detection.builders import model_builder, optimizer_builder

    from tfod.model import weights

    config = pipeline.read_config(exported[0] / "models/my_model/pipeline.config")
    config.eval_config.use_moving_averages = config.train_config.optimizer.use_moving_average = True

    def build():
        model = model_builder.build(config.model, is_training=False)
        weights.run_model(model, tf.zeros([1, 64, 64, 3]))
        return model

    model = build()
    optimizer, _ = optimizer_builder.build(config.train_config.optimizer, tf.Variable(0, dtype=tf.int64))
    optimizer.shadow_copy(model)
    for weight in model.trainable_variables:
        optimizer.get_slot(weight, "average").assign(weight + 1)
    expected = [weight.numpy() + 1 for weight in model.trainable_variables]
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "ckpt"))
    restored = build()
    weights.restore_weights(config, restored, checkpoint)()
    for weight, value in zip(restored.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=1e-5)
