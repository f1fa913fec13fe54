"""list_models.py: the catalogue as a table, filtered and sorted, with three models to start with."""

import subprocess
import sys
from pathlib import Path

import pytest
from makefile import record_make

from list_models import FIRST, choose_models
from tfod.config.zoo import MODELS

SCRIPT = Path(__file__).parents[1] / "scripts" / "list_models.py"


def list_models(*arguments):
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_whole_table():
    done = list_models()
    assert done.returncode == 0
    header, *lines = done.stdout.splitlines()
    assert header.split()[:5] == ["name", "family", "input", "ms", "mAP"]
    assert sorted(line.split()[0] for line in lines) == sorted(MODELS)
    named = {line.split()[0]: line.split() for line in lines}
    smallest = named["ssd_mobilenet_v2_320x320_coco17_tpu-8"]
    assert smallest[1:] == ["SSD", "300x300", "19", "20.2", "46", "yes", "512", "0.8", "detection"]
    assert named["extremenet"][2:] == ["unknown"] * 4 + ["no"] + ["unknown"] * 3
    assert "39.0/34.6" in named["mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8"]
    starts = {line.index(MODELS[line.split()[0]].family, len(line.split()[0])) for line in lines}
    assert starts == {header.index("family")}


def test_three_to_try_first_are_told_beside_the_table():
    done = list_models("--family", "faster r-cnn", "--max-ms", "60")
    assert done.stdout.splitlines()[1].startswith("faster_rcnn_resnet50_v1_640x640_coco17_tpu-8 ")
    told = done.stderr.splitlines()
    assert told[0] == "2 of the zoo's 42 models. Three to try first:"
    assert [line.split()[0] for line in told[1:4]] == list(FIRST)
    assert told[4] == "Then: make train PRETRAINED=NAME"
    assert all(MODELS[name].map > 20 for name in FIRST)


def test_filters_keep_what_fits_and_leave_out_what_is_not_known():
    assert {model.family for model in choose_models(family=["SSD", "CenterNet"])} == {"SSD", "CenterNet"}
    quick = choose_models(max_ms=22)
    assert len(quick) == 4
    assert all(model.ms <= 22 for model in quick)
    good = choose_models(min_map=45)
    assert {model.family for model in good} == {"EfficientDet"}
    assert len(choose_models(min_map=0)) == 40  # not ExtremeNet, nor the one with keypoints' mAP alone
    assert {model.family for model in choose_models(tflite=True)} == {"SSD", "RetinaNet"}


def test_sorting():
    ms = [model.ms for model in choose_models(sort="ms")]
    assert ms[:-1] == sorted(ms[:-1])
    assert ms[-1] is None
    best = choose_models(sort="map")
    assert best[0].name == "efficientdet_d7_coco17_tpu-32"
    assert best[-1].map is None
    assert [model.name for model in choose_models(sort="name")] == sorted(MODELS)
    assert [model.bytes is None for model in choose_models(sort="megabytes")] == [False] * 14 + [True] * 28
    families = [model.family for model in choose_models(sort="family")]
    assert families == sorted(families)


def test_nothing_that_fits_is_an_error():
    done = list_models("--max-ms", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the zoo: has no such model; allow more milliseconds or a lower mAP, or another family\n"
    )


@pytest.mark.parametrize("wrong", [["--family", "yolo"], ["--max-ms", "fast"], ["--sort", "size"]])
def test_a_wrong_call_ends_with_2(wrong):
    done = list_models(*wrong)
    assert (done.returncode, done.stdout) == (2, "")


def test_make_passes_its_variables_on(tmp_path):
    def make(*words):
        return [call[2:] for call in record_make(tmp_path, *words, f"WORKSPACE={tmp_path}")]

    assert make("models", "ZOO_FILTER=--tflite --max-ms 20") == [["--tflite", "--max-ms", "20"]]
    assert make("models", 'ZOO_FILTER=--family "Faster R-CNN"') == [["--family", "Faster R-CNN"]]
    variables = ["MIRROR=https://mirror/zoo", "PRETRAINED=efficientdet_d0_coco17_tpu-32", "FINE_TUNE_CHECKPOINT="]
    wanted = ["-o", "pre_trained_models", "--mirror=https://mirror/zoo", "--", "efficientdet_d0_coco17_tpu-32"]
    assert make("pretrained", *variables) == [wanted]
    wanted.remove("--mirror=https://mirror/zoo")
    assert make("pretrained", "MIRROR=", *variables[1:]) == [wanted]
