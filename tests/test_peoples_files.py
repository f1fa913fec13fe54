"""No flag that names an output, of any script, writes over a photo, an XML file, a label map or notes."""

import shutil

import attacks
import pytest
from conftest import label_photo
from forked import call_forked

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box

pytestmark = pytest.mark.attack
VICTIMS = ["images/mine.jpg", "images/mine.xml", "map.pbtxt", "notes.txt"]
LABELS, RECORD = attacks.LABELS, attacks.RECORD
MODEL = ["--pipeline_config_path=none/pipeline.config", "--trained_checkpoint_dir=none"]
CONVERT = ["preprocessing/convert_annotations.py", "-i", "images"]
FILES = {
    "label_map": ["preprocessing/generate_label_map.py", "-x", "images", "-o"],
    "check --json": ["preprocessing/check_dataset.py", "-i", "images", "--json"],
    "tfrecord -o": ["preprocessing/generate_tfrecord.py", "-x", "images", "-l", LABELS, "-o"],
    "tfrecord -c": ["preprocessing/generate_tfrecord.py", "-x", "images", "-l", LABELS, "-o", "made.record", "-c"],
    "convert coco": [*CONVERT, "--from", "voc", "--to", "coco", "-o"],
    "convert csv": [*CONVERT, "--from", "voc", "--to", "csv", "-o"],
    "sheet": ["contact_sheet.py", "-i", "images", "-o"],
    "config": ["configure_pipeline.py", "--base", attacks.ROOT / "scripts/configs/demo.config", "-o"],
    "report": ["report.py", "--model_dir", "models/one", "-o"],
    "export": ["exporter_main_v2.py", *MODEL, "--overwrite", "--output_directory"],  # in a folder: its own test
    "onnx": ["convert_onnx.py", "--saved_model_dir=none", "--output"],
}
FOLDERS = {
    "plots": ["preprocessing/check_dataset.py", "-i", "images", "--plots"],
    "fix": ["preprocessing/check_dataset.py", "-i", "turned", "--fix"],
    "inspect": ["preprocessing/inspect_tfrecord.py", "-l", LABELS, "--draw", "2", RECORD, "-o"],
    "sample": ["preprocessing/make_sample_dataset.py", "-n", "3", "--size", "160", "-o"],
    "convert voc": [*CONVERT, "--from", "coco", "--to", "voc", "-a", "made.json", "-o"],
    "compare": ["compare.py", "one", "two", "--resamples", "100", "-o"],
    "eval": ["evaluate.py", "-m", "model.onnx", "-i", "images", "-l", LABELS, "-o"],
    "tflite_graph": ["export_tflite_graph_tf2.py", *MODEL, "--overwrite", "--output_directory"],
    "tflite": ["convert_tflite.py", *MODEL, "--saved_model_dir=none", "--output_directory"],
    "infer": ["inference_main_v2.py", "-m", "model.onnx", "-i", "images", "--save", "images,json,csv,voc,crops", "-o"],
}  # fmt: skip
# what stands in the folder "taken" under the names that the scripts write to
NAMES = ["mine.jpg", "mine.xml", "metrics.json", "detections.json", "saved_model/saved_model.pb", "model_int8.tflite"]
NAMES += ["index.html", "compare.json", "notes.txt", "voc/mine.jpg", "0001.jpg"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, onnx_model):
    place = attacks.lay_out(tmp_path_factory.mktemp("peoples"))
    label_photo(place / "images", "mine.jpg", boxes=[Box("dog", 8, 8, 40, 30)])
    write_label_map(place / "map.pbtxt", {"mine": 1})
    (place / "notes.txt").write_text("mine")
    for name in NAMES:
        (place / "taken" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "taken" / name).write_text("mine")
    shutil.copy(onnx_model, place / "model.onnx")
    words = [*CONVERT, "--from", "voc", "--to", "coco", "-o", "made.json"]
    assert call_forked(*words, cwd=place).returncode == 0
    return place


def read_all(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}


def expect_refusal(workspace, words, output):
    before = read_all(workspace)
    done = call_forked(*words, output, cwd=workspace)
    assert "Traceback" not in done.stderr, done.stderr
    said = output if done.returncode == 1 else "--output must end with"
    assert done.returncode in (1, 2) and "error: " in done.stderr and said in done.stderr, (done.stdout, done.stderr)
    assert read_all(workspace) == before


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_person_is_not_written_over(workspace, name, victim):
    expect_refusal(workspace, FILES[name], victim)


@pytest.mark.parametrize("output", ["taken", "notes.txt"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_a_person_is_not_written_over(workspace, name, output):
    expect_refusal(workspace, FOLDERS[name], output)


@pytest.mark.parametrize("name", ["plots", "fix", "inspect", "compare", "sample", "export"])
def test_a_split_that_holds_the_only_copies_is_not_replaced(workspace, name):
    """Each of its files is named by a stamp in it, of another script."""
    sets = workspace / "sets"
    if not sets.is_dir():
        words = ["preprocessing/partition_dataset.py", "-x", "-i", "images", "-o", "sets"]
        assert call_forked(*words, cwd=workspace).returncode == 0
    assert list(sets.glob("train/*.jpg")) and list(sets.glob(".*.stamp"))
    expect_refusal(workspace, (FOLDERS | FILES)[name], "sets")
