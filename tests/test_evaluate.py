import csv
import json
import os
import re
import shutil

import pytest
from conftest import draw_photo, run_script
from PIL import Image

from tfod.config import pipeline
from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, write_annotation
from tfod.evaluation.metrics_files import format_metrics
from tfod.evaluation.results import read_evaluated

FILES = ["detections.json", "ground_truth.json", "metrics.json", "per_class.csv"]
SIZE = (100, 80)  # of the photos; the constant detector finds a dog (0.9) and a cat (0.4) in each
DOG, CAT = (10, 8, 60, 48), (50, 40, 90, 72)  # where it finds them: xmin, ymin, xmax, ymax in pixels


@pytest.fixture
def photos(tmp_path, onnx_model):
    """tmp_path with model.onnx, a label map, and images: a dog found, one with a cat besides, one with nothing."""
    shutil.copy(onnx_model, tmp_path / "model.onnx")
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    (tmp_path / "images").mkdir()
    boxes = [[Box("dog", *DOG)], [Box("dog", *DOG), Box("cat", 0, 0, 30, 30)], []]
    for number, its_boxes in enumerate(boxes):
        draw_photo(number, SIZE).save(tmp_path / f"images/{number}.jpg")
        write_annotation(tmp_path / f"images/{number}.xml", f"{number}.jpg", *SIZE, its_boxes)
    return tmp_path


@pytest.fixture
def evaluate(call, photos):
    """Runs the script on the constant detector: (code, its output, what it said)."""

    def evaluate(*words):
        done = call("evaluate.py", *words, cwd=photos)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return evaluate


ONNX = ["-m", "model.onnx", "-l", "map.pbtxt"]


def read_report(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_folder_is_measured_as_worked_out_by_hand(evaluate, photos):
    code, output, said = evaluate(*ONNX, "-i", "images")
    assert (code, said.splitlines()[0]) == (0, "evaluating model.onnx on images")
    folder = photos / "model_evaluation"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == FILES
    report = read_report(folder)
    assert (report["step"], report["checkpoint"], report["data"], report["images"]) == (
        None,
        "model.onnx",
        ["images"],
        3,
    )
    cat, dog = report["classes"]
    # both dogs are found, with the same score as one that is not there; the one cat is nowhere
    assert (cat["truths"], cat["AP"], cat["F1"]) == (1, 0, 0)
    assert (dog["truths"], dog["AP50"], dog["AR"], dog["recall"]) == (2, 1, 1, 1)
    assert dog["threshold"] == pytest.approx(0.9)
    assert (dog["precision"], dog["F1"]) == (pytest.approx(2 / 3), pytest.approx(0.8))
    errors = {one["kind"]: one["count"] for one in report["errors"]}
    assert (errors["correct"], errors["background"], errors["missed"]) == (2, 1, 1)
    assert report["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(0.5)
    assert not any(name.startswith("Loss/") for name in report["metrics"])
    with (folder / "per_class.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["cat", "dog"]
    evaluated = read_evaluated(folder)
    assert [image.name for image in evaluated.images] == ["0.jpg", "1.jpg", "2.jpg"]
    assert evaluated.ground_truth.box.tolist()[0] == pytest.approx([DOG[1], DOG[0], DOG[3], DOG[2]], abs=1e-4)
    assert len(evaluated.detections.score) == 6

    assert "area= large | maxDets=100 ] = n/a (no large objects)" in output
    assert "-1" not in output.replace("area=-1", "")
    for line in (" background  ", " missed  "):
        assert line in output
    assert evaluate(*ONNX, "-i", "images")[1:] == (output, "model_evaluation/metrics.json is up to date\n")
    (folder / "detections.json").unlink()  # then it is made again
    assert "evaluating" in evaluate(*ONNX, "-i", "images")[2]
    write_annotation(photos / "images/2.xml", "2.jpg", *SIZE, [Box("dog", *DOG)])
    assert "evaluating" in evaluate(*ONNX, "-i", "images")[2]


@pytest.mark.attack
def test_damaged_results_are_made_again(evaluate, photos):
    whole = evaluate(*ONNX, "-i", "images")[1]
    folder = photos / "model_evaluation"
    for number, name in enumerate(FILES):
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path) if number % 2 else path.write_bytes(content[:-9])
        code, output, said = evaluate(*ONNX, "-i", "images")
        assert (code, output) == (0, whole)
        assert said.startswith("evaluating model.onnx on images")
        assert name == "metrics.json" or path.read_bytes() == content
    path.unlink()
    path.mkdir()
    code, _, said = evaluate(*ONNX, "-i", "images")
    assert (code, said) == (
        1,
        f"error: {path.relative_to(photos)}: is a folder, in the place of a file; move it away\n",
    )


def test_records_give_what_the_folder_gives(evaluate, photos):
    words = [
        "-x",
        "images",
        "-l",
        "map.pbtxt",
        "-o",
        "a.record",
        "--order",
        "sorted",
    ]  # of equal scores the first counts
    run_script("preprocessing/generate_tfrecord.py", *words, cwd=photos)
    shutil.copy(photos / "a.record", photos / "b.record")
    evaluate(*ONNX, "-i", "images", "-o", "folder")
    evaluate(*ONNX, "--records", "a.record", "-o", "records")
    assert evaluate(*ONNX, "--records", "a.record", "b.record", "-o", "twice")[0] == 0
    folder, records, twice = (read_report(photos / name) for name in ("folder", "records", "twice"))
    assert records["metrics"] == pytest.approx(folder["metrics"], abs=1e-6)
    assert twice["images"] == 6
    _, _, said = evaluate(*ONNX, "--records", "a.record", "b.record", "-o", "sample", "--sample_1_of_n", "4")
    assert read_report(photos / "sample")["images"] == 2, said
    assert [image.number for image in read_evaluated(photos / "sample").images] == [0, 1]


def test_images_without_any_object_are_measured(evaluate, photos):
    for number in range(3):
        write_annotation(photos / f"images/{number}.xml", f"{number}.jpg", *SIZE, [])
    code, output, _ = evaluate(*ONNX, "-i", "images")
    assert code == 0
    assert output.count("n/a (no objects)") == 6
    assert output.splitlines()[0] == "model.onnx, 3 images of images:"
    for number in range(3):
        (photos / f"images/{number}.xml").unlink()
    assert evaluate(*ONNX, "-i", "images", "--allow_unlabelled")[0] == 0


def test_mistakes_are_named(evaluate, photos):
    write_label_map(photos / "other.pbtxt", {"dog": 1, "cat": 2})
    write_label_map(photos / "short.pbtxt", {"dog": 2})
    (photos / "empty").mkdir()
    (photos / "empty.record").touch()
    (photos / "bad.onnx").write_bytes(b"no model")
    shutil.copy(photos / "images/0.jpg", photos / "empty/a.jpg")
    cases = [
        (
            ["-m", "bad.onnx", "-l", "map.pbtxt", "-i", "images"],
            "bad.onnx: is not an ONNX model that onnxruntime",
        ),
        (["-m", "map.pbtxt", "-i", "images"], "map.pbtxt: is not a detector; name a saved_model folder"),
        (["-m", "nowhere"], "nowhere: holds no checkpoint; train first (`make train`)"),
        ([*ONNX, "--records", "x", "y"], "error: x: is not there; `make tfrecord` makes records\nerror: y: is not"),
        ([*ONNX, "--records", "empty.record"], "empty.record: holds no images; `make tfrecord` makes the records"),
        ([*ONNX, "--records", "map.pbtxt"], "map.pbtxt: record 1, at byte 0: its length is damaged"),
        ([*ONNX, "-i", "empty"], "empty: there are no XML files of these images; label them"),
        ([*ONNX, "-i", "images", "-x", "empty"], "empty: there are no XML files"),
        ([*ONNX, "-i", "nowhere"], "nowhere: there is no such folder"),
        (ONNX, "model.onnx: has no pipeline.config that names records; give --records or --image_dir"),
        (["-m", "model.onnx", "-l", "none", "-i", "images"], "none: there is no such label map"),
        (["-m", "model.onnx", "-i", "images"], "model.onnx: does not say what its classes are; give --labels_path"),
        (["-m", "model.onnx", "-l", "short.pbtxt", "-i", "images"], "1.xml: the class 'cat' is not in the label map"),
    ]
    for words, message in cases:
        code, output, said = evaluate(*words)
        assert (code, output) == (1, ""), words
        assert message in said
    assert not (photos / "model_evaluation").exists()
    (photos / "images/1.jpg").write_bytes((photos / "images/1.jpg").read_bytes()[:400])
    assert "images/1.jpg: " in evaluate(*ONNX, "-i", "images")[2]


def test_config_beside_an_export_is_not_one_to_train_with(evaluate, photos):
    config = photos / "pipeline.config"
    config.write_text('model { ssd { num_classes: 7 feature_extractor { type: "ssd_mobilenet_v2" } } }')
    assert evaluate(*ONNX, "-i", "images")[0] == 0
    config.write_text('eval_config { metrics_set: "coco_mask_metrics" }')
    code, _, said = evaluate("-m", "model.onnx", "--records", "gone")
    assert code == 1
    assert "error: pipeline.config: metrics_set coco_mask_metrics is not measured here, only metrics of boxes" in said
    assert "error: gone: is not there" in said
    assert "error: pipeline.config: has no eval_input_reader; name the test records there" in evaluate(*ONNX)[2]


def test_wrong_calls_end_with_2_at_once(evaluate, photos):
    for words, message in [
        ([], "-m/--model"),
        ([*ONNX, "--batch", "0"], "--batch is 0; give 1 or more"),
        ([*ONNX, "--records", "a", "-i", "b"], "--records and --image_dir: give one of them"),
        ([*ONNX, "-x", "b"], "--xml_dir and --allow_unlabelled go with --image_dir"),
        ([*ONNX, "-i", "b", "--sample_1_of_n", "2"], "--sample_1_of_n goes with records"),
        (["-m", "models", "--checkpoint", "newest"], "--checkpoint is newest; give latest, best or a number"),
        ([*ONNX, "--checkpoint", "best"], "--checkpoint goes with a model_dir, and model.onnx is exported"),
    ]:
        code, _, said = evaluate(*words)
        assert code == 2, words
        assert message in said


def test_help_comes_without_tensorflow(evaluate, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    code, _, said = evaluate("--help")
    assert code == 0
    assert re.search(r"\| +argparse$", said, re.M) and not re.search(r"\| +tensorflow$", said, re.M)


# ---------------------------------------------------------------- a trained model


@pytest.fixture
def workspace(exported, tmp_path):
    """A copy of the trained workspace, with its export."""
    return shutil.copytree(exported[0], tmp_path / "workspace", symlinks=True)


MODEL = ["-m", "models/my_model"]


def test_checkpoint_is_measured_by_both_commands_alike(workspace):
    output, said = run_script("evaluate.py", *MODEL, "--checkpoint", "80", cwd=workspace)
    model = workspace / "models/my_model"
    assert set(FILES) <= {path.name for path in model.iterdir()}
    report = read_report(model)
    assert (report["step"], report["checkpoint"]) == (80, "models/my_model/ckpt-80")
    assert report["data"] == ["annotations/test.record"]
    assert output == format_metrics(report) + "\n"
    assert {"Loss/localization_loss", "Loss/classification_loss", "Loss/total_loss"} <= report["metrics"].keys()
    assert list((model / "eval").glob("events.*"))
    words = ["--model_dir=models/my_model", "--pipeline_config_path=models/my_model/pipeline.config"]
    words += ["--checkpoint_dir=models/my_model"]
    assert run_script("model_main_tf2.py", *words, cwd=workspace) == (
        output,
        "models/my_model/metrics.json is up to date\n",
    )
    shutil.rmtree(model / "eval")
    (model / "metrics.json").unlink()
    again, _ = run_script("model_main_tf2.py", *words, cwd=workspace)
    assert read_report(model)["metrics"] == pytest.approx(report["metrics"], abs=1e-6)
    assert again.splitlines()[0] == output.splitlines()[0]
    run_script("evaluate.py", *MODEL, "-i", "images", "-o", "folder", "--batch", "5", cwd=workspace)
    folder = read_report(workspace / "folder")
    assert folder["metrics"] == pytest.approx(report["metrics"], abs=1e-6)  # whatever the order of the photos
    assert list_scores(workspace / "folder") == pytest.approx(list_scores(model), abs=1e-6)


def list_scores(folder):
    """dict photo -> the score of its best detection, of an evaluation's files."""
    evaluated = read_evaluated(folder)
    found = evaluated.detections
    return {image.name: found.score[found.image == i].max() for i, image in enumerate(evaluated.images)}


def test_exports_are_measured(workspace, tflite_files):
    """On PNG files: of a JPEG the checkpoint sees what TensorFlow's fast decoder makes, an export what Pillow makes."""
    photos = workspace / "png"
    photos.mkdir()
    for path in (workspace / "images").glob("*.jpg"):
        Image.open(path).save(photos / f"{path.stem}.png")
        (photos / f"{path.stem}.xml").write_text(path.with_suffix(".xml").read_text().replace(".jpg", ".png"))
    words = ["-x", "png", "-l", "annotations/label_map.pbtxt", "-o", "annotations/test.record"]
    run_script("preprocessing/generate_tfrecord.py", *words, cwd=workspace)
    run_script("evaluate.py", *MODEL, "-o", "trained", cwd=workspace)
    run_script("evaluate.py", "-m", "exported_models/my_model", cwd=workspace)
    checkpoint, export = read_report(workspace / "trained"), read_report(workspace / "exported_models/my_model")
    assert export["checkpoint"] == "exported_models/my_model/saved_model"
    assert export["metrics"].keys() == {name for name in checkpoint["metrics"] if not name.startswith("Loss/")}
    scores = list_scores(workspace / "trained")
    assert list_scores(workspace / "exported_models/my_model") == pytest.approx(scores, abs=1e-4)
    tflite = "exported_models/my_model/tflite"
    shutil.copytree(tflite_files[0] / tflite, workspace / tflite, dirs_exist_ok=True)
    run_script("evaluate.py", "-m", f"{tflite}/model_float32.tflite", cwd=workspace)
    assert list_scores(workspace / tflite / "model_float32_evaluation") == pytest.approx(scores, abs=1e-3)


def test_training_measures_what_the_eval_verb_measures(workspace):
    """With moving averages, which change places with the weights for the time of an evaluation."""
    path = workspace / "models/other/pipeline.config"
    config = pipeline.read_config(workspace / "models/my_model/pipeline.config")
    config.train_config.optimizer.use_moving_average = config.eval_config.use_moving_averages = True
    config.eval_config.metrics_set[:] = ["coco_detection_metrics", "pascal_voc_detection_metrics"]
    pipeline.write_config(path, config)
    words = ["--model_dir=models/other", f"--pipeline_config_path={path}", "--num_train_steps=4", "--eval_every_n=4"]
    run_script("model_main_tf2.py", *words, cwd=workspace)
    inside = read_report(workspace / "models/other/best")
    assert (inside["step"], len(list((workspace / "models/other/eval").glob("events.*")))) == (4, 1)
    output, _ = run_script("evaluate.py", "-m", "models/other", "--checkpoint", "best", cwd=workspace)
    outside = read_report(workspace / "models/other")
    assert output.startswith("models/other/best/ckpt-4 (step 4), 12 images of annotations/test.record:\n")
    assert outside["metrics"] == pytest.approx(inside["metrics"], abs=1e-6)
    assert inside["metrics"]["Loss/total_loss"] > 0


def test_wrong_checkpoints_and_sets_are_named(workspace, call):
    def fail(*words):
        done = call("evaluate.py", *words, cwd=workspace)
        assert "Traceback" not in done.stderr
        assert done.returncode == 1
        return done.stderr

    assert "models/my_model: holds no checkpoint ckpt-7; there are " in fail(*MODEL, "--checkpoint", "7")
    assert "models/my_model: holds no best/ with a checkpoint" in fail(*MODEL, "--checkpoint", "best")
    path = workspace / "models/my_model/pipeline.config"
    config = pipeline.read_config(path)
    config.eval_config.metrics_set[:] = ["coco_mask_metrics", "mine"]
    pipeline.write_config(path, config)
    said = fail(*MODEL)
    for name in ("coco_mask_metrics", "mine"):
        assert f"pipeline.config: metrics_set {name} is not measured here, only metrics of boxes are; give" in said
    config.eval_config.metrics_set[:] = []
    config.eval_input_reader[0].expand_labels_hierarchy = True
    pipeline.write_config(path, config)
    assert "expand_labels_hierarchy: can't be evaluated; write the wider classes into the records" in fail(*MODEL)
    config.eval_input_reader[0].ClearField("expand_labels_hierarchy")
    config.eval_input_reader[0].input_type = 2  # TF_SEQUENCE_EXAMPLE
    pipeline.write_config(path, config)
    assert "input_type: only records of single images can be evaluated; leave it out" in fail(*MODEL)
    config.eval_input_reader[0].ClearField("input_type")
    config.model.ssd.box_predictor.weight_shared_convolutional_box_predictor.depth = 24
    pipeline.write_config(path, config)
    assert "ckpt-80: is not of this config's model (" in fail(*MODEL)
    (workspace / "annotations/test.record").unlink()
    assert "annotations/test.record" in fail(*MODEL)
    write_label_map(workspace / "other.pbtxt", {"cat": 2, "dog": 1})
    said = fail("-m", "exported_models/my_model", "-l", "other.pbtxt", "-i", "images")
    assert "label map: is not what exported_models/my_model" in said
    assert "was trained with: id 1 was 'cat' and is 'dog'; id 2 was 'dog' and is 'cat'; put back the" in said
