import json
import shutil

import numpy as np
import pytest
from conftest import load_script, run_script
from makefile import run_make

from tfod.data.samples import Result, Sample

WORDS = ["--export=exported_models/my_model", "--batch=4", "--score=0.05"]


@pytest.fixture(scope="module")
def measured(tflite_files, onnx_file):
    """(the workspace, the benchmark's standard output, its benchmark.json)."""
    workspace, _ = tflite_files
    output, _ = run_script("benchmark.py", *WORDS, cwd=workspace)
    return workspace, output, json.loads((workspace / "exported_models/my_model/benchmark.json").read_text())


def test_every_format_has_its_row(measured):
    workspace, output, report = measured
    names = [row["name"] for row in report["formats"]]
    assert names[0] == "SavedModel"
    assert sorted(names[1:]) == ["ONNX", "TFLite dynamic", "TFLite float16", "TFLite float32", "TFLite int8"]
    kept = (workspace / "exported_models/my_model/benchmark.md").read_text()
    table = [line for line in output.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(names)
    assert "\n".join(table) in kept
    assert report["data"] == "12 images of annotations/test.record"


def test_numbers_hold_together(measured):
    rows = {row["name"]: row for row in measured[2]["formats"]}
    for row in rows.values():
        assert 0 < row["one_p50"] <= row["one_p95"]
        assert 0 < row["many_p50"] <= row["many_p95"]
        assert 0 < row["throughput"] < 1000 / row["many_p50"] * 1.5
        assert row["load"] > 0
        assert row["megabytes"] > 0
        assert row["first"] > 0
    saved, tflite = rows["SavedModel"], rows["TFLite float32"]
    assert (saved["box_mean"], saved["box_largest"], saved["missing"]) == (0, 0, 0)
    assert tflite["box_largest"] < 0.5
    assert tflite["map"] == pytest.approx(saved["map"], abs=0.001)
    assert tflite["memory"] < saved["memory"]  # each in a process of its own: TFLite needs no TensorFlow


def test_precision_is_cocos():
    script = load_script("benchmark.py")
    box = np.array([[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], np.float32)
    none = np.zeros(2, bool)
    sample = Sample("a.jpg", "a.record", 0, b"", box, np.array([1, 2]), none, none, none, None)
    names, scores = {1: "cat", 2: "dog"}, np.array([0.9, 0.8], np.float32)
    right = Result(sample, (100, 100), box, np.array([1, 2]), scores, {})
    assert script.measure_precision([right], names) == pytest.approx((1, 1))
    wrong = right._replace(label=np.array([1, 1]))
    assert script.measure_precision([wrong], names) == pytest.approx((0.5, 0.5))


def test_broken_file_is_named(measured):
    folder = measured[0] / "broken"
    shutil.copytree(measured[0] / "exported_models/my_model", folder)
    shutil.rmtree(folder / "tflite")
    (folder / "bad.tflite").write_bytes(b"no model")
    _, said = run_script("benchmark.py", "--export=broken", cwd=measured[0], code=1)
    assert "broken/bad.tflite: can't be measured (broken/bad.tflite: is not a TFLite model" in said


def test_missing_export_and_records_are_named(measured, tmp_path):
    _, said = run_script("benchmark.py", "--export=nowhere", cwd=tmp_path, code=1)
    assert said == "error: nowhere: holds no saved_model/; `make export` makes one\n"
    folder = measured[0] / "exported_models/my_model"
    _, said = run_script("benchmark.py", f"--export={folder}", cwd=tmp_path, code=1)
    assert "its test records are not there" in said
    assert str(tmp_path) in said


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--batch=0", "--batch: 0 is not a number of 1 or more"),
        ("--measure=b", "--measure and --output go together"),
        ("--output=b", "--measure and --output go together"),
    ],
)
def test_wrong_calls_end_with_2(word, message, tmp_path):
    _, said = run_script("benchmark.py", "--export=a", word, cwd=tmp_path, code=2)
    assert message in said


def test_make_gives_the_scripts_what_they_need(tflite_files, onnx_file, tmp_path):
    workspace = shutil.copytree(onnx_file[0], tmp_path / "workspace", symlinks=True)
    variables = [f"WORKSPACE={workspace}", "BATCH=4"]
    _, said = run_make("tflite", "onnx", *variables)
    assert said.count("up to date") == 6  # the SavedModel for TFLite, four files, and the ONNX file
    for kind in ("float16", "dynamic", "int8"):
        (workspace / f"exported_models/my_model/tflite/model_{kind}.tflite").unlink()
    output, _ = run_make("benchmark", *variables)
    table = [line.split("|")[1].strip() for line in output.splitlines() if line.startswith("| ")]
    assert table == ["format", "SavedModel", "TFLite float32", "ONNX"]
