import json
import zipfile

import numpy as np
import pytest
from conftest import run_script

from tfod.export import tflite_metadata
from tfod.utils.console import InputError

FORMATS = ["float32", "float16", "dynamic", "int8"]


def find(workspace, kind):
    return workspace / f"exported_models/my_model/tflite/model_{kind}.tflite"


def make_words(folder="exported_models/my_model"):
    return [
        f"--saved_model_dir={folder}/tflite/saved_model",
        f"--pipeline_config_path={folder}/pipeline.config",
        f"--trained_checkpoint_dir={folder}/checkpoint",
        f"--output_directory={folder}/tflite",
    ]


def open_file(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return interpreter


def test_every_format_is_made_and_compared_and_float32_is_equal(tflite_files):
    workspace, output = tflite_files
    lines = {kind: next(line for line in output.splitlines() if f"model_{kind}." in line) for kind in FORMATS}
    assert "all detections and the best anchors on 5 photos of annotations/test.record: 100 " in lines["float32"]
    assert "without a counterpart" not in lines["float32"]
    sizes = {kind: find(workspace, kind).stat().st_size for kind in FORMATS}
    # the anchors and the graph itself, which stay as they are, are a large part of a tiny model
    assert sizes["int8"] < sizes["float32"]
    assert sizes["float16"] < sizes["float32"]


@pytest.mark.parametrize("kind", FORMATS)
def test_outputs_are_boxes_classes_scores_count(tflite_files, kind):
    interpreter = open_file(find(tflite_files[0], kind))
    (source,) = interpreter.get_input_details()
    assert source["shape"].tolist() == [1, 96, 96, 3]
    assert source["dtype"] == (np.uint8 if kind == "int8" else np.float32)
    shapes = [detail["shape"].tolist() for detail in interpreter.get_output_details()]
    assert shapes == [[1, 100, 4], [1, 100], [1, 100], [1]]  # as many detections as the SavedModel gives


@pytest.mark.parametrize("kind", FORMATS)
def test_metadata_is_read_back(tflite_files, kind):
    path = find(tflite_files[0], kind)
    metadata = tflite_metadata.read_metadata(path)
    assert metadata["labels"] == ["cat", "dog"]
    assert metadata["mean"] == pytest.approx([127.5] * 3, abs=1e-3)
    assert metadata["std"] == pytest.approx([127.5] * 3, abs=1e-3)
    assert kind in metadata["description"]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt", "normalization.json"]
        # task libraries map them into memory
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("labels.txt") == b"cat\ndog\n"
        mean, std = json.loads(archive.read("normalization.json"))
        assert (mean, std) == (pytest.approx([127.5] * 3, abs=1e-3), pytest.approx([127.5] * 3, abs=1e-3))


def test_buffers_lie_where_arm_processors_can_read_them(tflite_files):
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(find(tflite_files[0], "float32").read_bytes(), 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if not buffer.DataIsNone()]
    assert len(starts) > 10
    assert {start % 16 for start in starts} == {0}


def test_label_gaps_keep_their_line_and_names_their_letters(tflite_files, tmp_path):
    labels = tflite_metadata.list_labels({1: "猫", 3: "dog"})
    assert labels == ["猫", "???", "dog"]
    model = find(tflite_files[0], "float32").read_bytes()
    again = tflite_metadata.write_metadata(model, labels, [1.0, 2.0, 3.0], [4.0], "Name", "What it is.")
    (tmp_path / "again.tflite").write_bytes(again)
    assert tflite_metadata.read_metadata(tmp_path / "again.tflite") == {
        "labels": labels,
        "mean": [1.0, 2.0, 3.0],
        "std": [4.0],
        "name": "Name",
        "description": "What it is.",
    }
    open_file(tmp_path / "again.tflite").invoke()


def test_file_without_metadata_is_named(tflite_files, tmp_path):
    (tmp_path / "photo.tflite").write_bytes(b"no model")
    with pytest.raises(InputError, match="photo.tflite: is not a TFLite model"):
        tflite_metadata.read_metadata(tmp_path / "photo.tflite")


def test_second_run_does_nothing(tflite_files):
    output, said = run_script("convert_tflite.py", *make_words(), cwd=tflite_files[0])
    assert output == ""
    assert said.count("is up to date") == 4


def test_float32_that_differs_is_not_kept(tflite_files):
    workspace, _ = tflite_files
    folder = workspace / "exported_models/my_model"
    text = (folder / "pipeline.config").read_text()
    (workspace / "other.config").write_text(text.replace("iou_threshold: 0.6", "iou_threshold: 0.05"))
    words = [*make_words(), "--pipeline_config_path=other.config", "--output_directory=wrong", "--formats=float32"]
    _, said = run_script("convert_tflite.py", *words, cwd=workspace, code=1)
    assert "wrong/model_float32.tflite: differs from" in said
    assert not (workspace / "wrong/model_float32.tflite").exists()


def test_int8_without_training_photos_and_a_missing_saved_model_are_named(tflite_files, tmp_path):
    folder = tflite_files[0] / "exported_models/my_model"
    words = [*make_words(folder), "--output_directory=out", "--saved_model_dir=nowhere"]  # seen from another folder
    _, said = run_script("convert_tflite.py", *words, cwd=tmp_path, code=1)
    assert "nowhere: holds no saved_model.pb" in said
    assert "its training records are not there, and int8 needs photos" in said
    assert "2 errors" in said
