import pytest

from tfod.config import pipeline
from tfod.export import tflite

FIXED = "image_resizer { fixed_shape_resizer { height: 64 width: 64 } }"
CODER = "box_coder { faster_rcnn_box_coder {} }"
MASKS = "second_stage_box_predictor { mask_rcnn_box_predictor { predict_instance_masks: true } }"
SOFT = "post_processing { batch_non_max_suppression { soft_nms_sigma: 1 } }"
ASPECT = (
    "image_resizer { keep_aspect_ratio_resizer { min_dimension: 512 max_dimension: 512 pad_to_max_dimension: true } }"
)


@pytest.fixture
def export(call, tmp_path):
    """`export(text of the config, *flags)` -> (exit code, standard error); there is a checkpoint's name, not more."""
    (tmp_path / "m").mkdir()
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"):
        (tmp_path / "m" / name).touch()

    def export(text, *words):
        (tmp_path / "m/pipeline.config").write_text(text)
        command = ["--pipeline_config_path=m/pipeline.config", "--trained_checkpoint_dir=m", "--output_directory=out"]
        done = call("export_tflite_graph_tf2.py", *command, *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
        return done.returncode, done.stderr

    return export


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no model"),
        ("model { faster_rcnn { num_classes: 1 } }", "Faster R-CNN can't be a TFLite file, only SSD and CenterNet can"),
        (f"model {{ faster_rcnn {{ {MASKS} }} }}", "Mask R-CNN can't be a TFLite file"),
        (
            f"model {{ ssd {{ {ASPECT} {CODER} feature_extractor {{ type: 'ssd_efficientnet-b0_bifpn_keras' }} }} }}",
            "ssd_efficientnet-b0_bifpn_keras with a keep_aspect_ratio_resizer can't be a TFLite file",
        ),
        (
            f"model {{ center_net {{ {ASPECT} feature_extractor {{ type: 'mobilenet_v2_fpn_sep_conv' }} }} }}",
            "mobilenet_v2_fpn_sep_conv with a keep_aspect_ratio_resizer can't be a TFLite file",
        ),
        (
            f"model {{ ssd {{ {FIXED} box_coder {{ square_box_coder {{}} }} }} }}",
            "decodes a faster_rcnn_box_coder's boxes",
        ),
        (
            f"model {{ ssd {{ {FIXED} {CODER} {SOFT} }} }}",
            "TFLite has no soft NMS",
        ),
        (
            f"model {{ ssd {{ {FIXED} {CODER} feature_extractor {{ type: 'ssd_mobilenet_v2' }} }} }}",
            "feature_extractor's type ssd_mobilenet_v2 is TensorFlow 1's; write ssd_mobilenet_v2_keras",
        ),
        (f"model {{ ssd {{ {FIXED} {CODER} mask_head_config {{}} }} }}", "with a mask head can't be a TFLite file"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(export, text, message):
    code, said = export(text)
    assert code == 1
    assert f"m/pipeline.config: {message}" in said or message in said


def test_upstreams_flags_are_taken(export):
    code, said = export(
        "model { faster_rcnn {} }", "--config_override", "", "--max_detections", "10", "--ssd_use_regular_nms=true",
        "--centernet_include_keypoints", "false", "--keypoint_label_map_path", "map.pbtxt",
    )  # fmt: skip
    assert (code, "Faster R-CNN" in said) == (1, True)


def test_wrong_call_ends_with_2(export):
    assert export("", "--max_detections=0")[0] == 2


@pytest.mark.parametrize(
    ("agnostic", "asked", "regular"),
    [(False, None, True), (True, None, False), (False, False, False), (True, True, True)],
)
def test_suppression_is_the_configs_unless_asked(tmp_path, agnostic, asked, regular):
    nms = f"batch_non_max_suppression {{ use_class_agnostic_nms: {str(agnostic).lower()} }}"
    (tmp_path / "pipeline.config").write_text(f"model {{ ssd {{ post_processing {{ {nms} }} }} }}")
    config = pipeline.read_config(tmp_path / "pipeline.config")
    assert tflite.suppresses_within_classes(config, asked) == regular
