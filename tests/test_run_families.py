"""The table of what each family can do, and the run that it is made from; `make test-families` is the run itself."""

import json
import re

import family_stages as families
import pytest
from conftest import ROOT, load_script

from tfod.config import zoo
from tfod.utils.console import InputError

runner, page = load_script("../tests/families/run_families.py"), load_script("../tests/families/write_models_page.py")
ENGLISH = page.WORDS["models.md"]
CONFIGS = {path.stem for path in (ROOT / "scripts/configs").glob("*.config")}


def make_results(**reasons):
    stages = dict.fromkeys(page.STAGES, "yes") | reasons
    step = {"seconds": 1.234, "batch_size": 2, "cores": 2}
    return {name: {"stages": dict(stages), "step": dict(step)} for name in page.ZOO}


def test_every_base_config_is_tried():
    """But for the demo's and a second size."""
    assert set(families.FAMILIES) == set(page.ZOO) == CONFIGS - {"demo", "ssd_mobilenet_v2_fpnlite_640"}
    found = {zoo.MODELS[name].family for name in page.ZOO.values()}
    assert found == {"SSD", "RetinaNet", "EfficientDet", "CenterNet", "Faster R-CNN"}


@pytest.mark.parametrize("name", page.WORDS)
def test_page_has_the_table_of_its_results(name):
    """The page and docs/models.json were made together, and the catalogue has not changed since."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    results = json.loads((ROOT / "docs/models.json").read_text(encoding="utf-8"))
    assert page.replace_table(text, page.make_table(results, page.WORDS[name]), name) == text


@pytest.mark.parametrize("name", [*page.WORDS, "checkpoints.md"])
def test_page_names_models_verbs_and_configs_that_exist(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:ssd|centernet|efficientdet|faster_rcnn)_\w+(?:coco17|tpu)[\w-]*", text))
    assert named
    assert named <= zoo.MODELS.keys()
    assert set(re.findall(r"scripts/configs/(\w+)\.config", text)) <= CONFIGS
    verbs = set(re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= verbs


def test_table_has_a_reason_for_every_no():
    results = make_results()
    results["faster_rcnn_resnet50_v1"]["stages"]["tflite"] = "it looks twice"
    lines = page.make_table(results, ENGLISH).splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == 1 + len(page.ZOO)
    (row,) = (line for line in lines if "`faster_rcnn_resnet50_v1`" in line)
    cells = [cell.strip() for cell in row.split("|")[1:6]]
    assert cells == ["Faster R-CNN: `faster_rcnn_resnet50_v1`", "53, 29.3", "640 x 640, padded", "1.2", "yes"]
    assert row.count("no (1)") == 1
    assert lines[-1] == "1. Faster R-CNN, TFLite: it looks twice."


def test_results_that_are_not_all_there_are_named():
    results = make_results()
    del results["ssd_mobilenet_v2"]["step"], results["efficientdet_d0"]
    with pytest.raises(InputError) as caught:
        page.make_table(results, ENGLISH)
    assert caught.value.faults == (
        "ssd_mobilenet_v2: has no step in the results; run run_families.py --time --results",
        "efficientdet_d0: has no stages in the results; run run_families.py --results",
        "efficientdet_d0: has no step in the results; run run_families.py --time --results",
    )


def test_page_without_a_place_for_the_table_is_named():
    with pytest.raises(InputError, match=r"p.md: has not both marks"):
        page.replace_table(f"text {page.BEGIN}", "table", "p.md")
    once = page.replace_table(f"a\n{page.BEGIN}{page.END}\nb", "table", "p.md")
    assert page.replace_table(once, "table", "p.md") == once


NOTES = {
    "train": [0, 9.0, "fine"],
    "tflite": [1, 1.0, "error: c: Faster R-CNN can't be a TFLite file, only SSD; train"],
}


def test_what_is_not_as_it_has_to_be_is_a_fault():
    name, stages = "faster_rcnn_resnet50_v1", ["train", "tflite"]
    assert runner.find_faults(name, NOTES, 0, stages, "log") == []
    (fault,) = runner.find_faults(name, NOTES | {"train": [1, 9.0, "error: c: broken"]}, 0, stages, "log")
    assert fault == f"{name}: train ended with 1: error: c: broken"
    (fault,) = runner.find_faults(name, NOTES | {"tflite": [0, 9.0, "made"]}, 0, stages, "log")
    assert 'tflite was to be refused with "Faster R-CNN can\'t be a TFLite file"; it ended with 0: made' in fault
    (fault,) = runner.find_faults("ssd_mobilenet_v2", NOTES, 0, stages, "log")
    assert fault.startswith("ssd_mobilenet_v2: tflite ended with 1: error: c: Faster")
    (fault,) = runner.find_faults(name, NOTES, -9, [*stages, "onnx"], "log")
    assert fault == f"{name}: ended with -9 before onnx:\nlog"


def test_results_are_put_beside_those_that_are_there(tmp_path):
    path = tmp_path / "models.json"
    runner.write_results(path, {"one": {"step": [0, 2.345, ""]}}, 4)
    runner.write_results(path, {"one": NOTES, "other": NOTES}, 4)
    results = json.loads(path.read_text(encoding="utf-8"))
    assert results["one"]["step"] == {"seconds": 2.35, "batch_size": 4, "cores": runner.CORES}
    stages = {"train": "yes", "tflite": "Faster R-CNN can't be a TFLite file, only SSD"}
    assert results["one"]["stages"] == results["other"]["stages"] == stages


def test_wrong_calls_and_folders(call, tmp_path):
    for words in (["--jobs", "0"], ["--batch_size", "0"], ["--only", "yolo"]):
        done = call("../tests/families/run_families.py", *words)
        assert (done.returncode, done.stdout) == (2, "")
    (tmp_path / "file").touch()
    done = call("../tests/families/run_families.py", "--folder", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}: is not empty; name a new folder\n")
