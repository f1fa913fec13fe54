"""The zoo's own checkpoints (real names, shapes and object graphs; weights by chance) fill our models whole."""

import subprocess
import sys

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import ROOT

from tfod.config import edit, pipeline
from tfod.model import weights
from tfod.model.checkpoints import list_variables

ZOO = ROOT.parent / "shared/zoo"
NEW = {  # name -> the parts that new classes leave untrained
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": {"class head"},
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": {"class head"},
    "ssd_mobilenet_v2_320x320_coco17_tpu-8": {"class head"},
    "ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8": {"class head"},
    "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8": {"class head"},
    "efficientdet_d0_coco17_tpu-32": {"class head"},
    "efficientdet_d1_coco17_tpu-32": {"class head"},
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8": {"class head"},
    "faster_rcnn_inception_resnet_v2_640x640_coco17_tpu-8": {"class head"},
    # its boxes are given for each class, too
    "mask_rcnn_inception_resnet_v2_1024x1024_coco17_gpu-8": {"box head", "class head"},
}
LONG = ("inception", "fpnlite_640", "d1_coco17")  # 900 variables each, or another size's network


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.long] * any(word in name for word in LONG)) for name in NEW]
)
def zoo_model(request, tmp_path):
    """(name, its config as the zoo has it, the prefix of its checkpoint)."""
    if not ZOO.is_dir():
        pytest.skip("the zoo's small files are not beside the repository, in ../shared/zoo")
    folder = ZOO / request.param
    command = [sys.executable, ZOO / "fill_weights.py", request.param, tmp_path / "checkpoint"]
    subprocess.run([*command, folder / "object_graph.pb"], check=True, capture_output=True)
    config = pipeline.read_config(folder / "pipeline.config")
    config.train_config.fine_tune_checkpoint = str(tmp_path / "checkpoint/ckpt-0")
    return request.param, config


def restore(config, kind):
    config.train_config.fine_tune_checkpoint_type = kind
    return weights.try_checkpoint(config, "p.config")


def test_all_of_the_model_is_there_and_all_that_is_there_is_taken(zoo_model):
    name, config = zoo_model
    checkpoint = config.train_config.fine_tune_checkpoint
    theirs = [name for name in list_variables(checkpoint) if name.startswith("model/")]
    matched = restore(config, "full")
    assert all(restored == number for restored, number in matched.values())
    assert sum(restored for restored, _ in matched.values()) == len(theirs)

    edit.drop_tasks(config, set())
    pipeline.get_model(config).num_classes = 3
    matched = restore(config, "except_class_head")
    assert {part for part, (restored, _) in matched.items() if not restored} == NEW[name]
    assert all(restored == number for part, (restored, number) in matched.items() if part not in NEW[name])
    assert f"; new weights: {sorted(NEW[name])[0]}" in weights.describe_matches(matched)
    if name == "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8":
        matched = restore(config, "detection")
        assert {part for part, (restored, _) in matched.items() if restored} == {"backbone", "FPN"}
