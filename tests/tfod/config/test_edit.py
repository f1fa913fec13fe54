import pytest
from google.protobuf import text_format

from tfod.config import edit, pipeline
from tfod.utils.console import InputError

BOXES = {"image/object/bbox/xmin"}
FIXED = "image_resizer { fixed_shape_resizer { width: %d height: %d } }"
PADDED = (
    "image_resizer { keep_aspect_ratio_resizer { min_dimension: 512 max_dimension: 512 pad_to_max_dimension: true } }"
)
KEEPING = "image_resizer { keep_aspect_ratio_resizer { min_dimension: 800 max_dimension: 1333 } }"
FPN = 'feature_extractor { type: "ssd_mobilenet_v2_fpn_keras" fpn { min_level: 3 max_level: 7 } %s }'
BIFPN = 'feature_extractor { type: "ssd_efficientnet-b0_bifpn_keras" bifpn { min_level: 3 max_level: 7 } %s }'
SSD = 'feature_extractor { type: "ssd_mobilenet_v2_keras" }'
CENTER_NET = 'feature_extractor { type: "%s" }'


def make_config(model, rest=""):
    text = f"model {{ {model} }} {rest}"
    return text_format.Parse(text, pipeline.pipeline_pb2.TrainEvalPipelineConfig())


# ---------------------------------------------------------------- size


def read_size(config):
    resizer = pipeline.get_model(config).image_resizer
    if resizer.HasField("fixed_shape_resizer"):
        return resizer.fixed_shape_resizer.width, resizer.fixed_shape_resizer.height
    if resizer.HasField("keep_aspect_ratio_resizer"):
        return resizer.keep_aspect_ratio_resizer.min_dimension, resizer.keep_aspect_ratio_resizer.max_dimension
    return resizer.conditional_shape_resizer.size_threshold


@pytest.mark.parametrize(
    ("resizer", "size", "expected"),
    [
        (FIXED % (320, 320), (640,), (640, 640)),
        (FIXED % (320, 320), (640, 480), (640, 480)),
        (PADDED, (640,), (640, 640)),
        (KEEPING, (400,), (400, 666)),
        (KEEPING, (1024, 600), (600, 1024)),
        ("image_resizer { conditional_shape_resizer { size_threshold: 300 } }", (200,), 200),
    ],
)
def test_size_goes_into_every_resizer(resizer, size, expected):
    config = make_config(f"ssd {{ {resizer} }}")
    edit.set_input_size(config, size)
    assert read_size(config) == expected


@pytest.mark.parametrize(
    ("resizer", "size", "message"),
    [
        (PADDED, (640, 480), "--input_size 640x480: this model keeps the aspect ratio and pads to a square"),
        ("image_resizer { identity_resizer {} }", (640,), "the model's identity_resizer takes no such size"),
        ("image_resizer { pad_to_multiple_resizer { multiple: 32 } }", (640,), "pad_to_multiple_resizer takes no such"),
        ("", (640,), "the model's image_resizer takes no such size"),
    ],
)
def test_size_that_a_resizer_does_not_take_is_refused(resizer, size, message):
    with pytest.raises(InputError, match=message):
        edit.set_input_size(make_config(f"ssd {{ {resizer} }}"), size)


def test_augmentation_that_makes_pictures_of_a_size_follows():
    options = "train_config { data_augmentation_options { random_scale_crop_and_pad_to_square { output_size: 512 } } }"
    config = make_config(f"ssd {{ {PADDED} }}", options)
    edit.set_input_size(config, (640,))
    option = config.train_config.data_augmentation_options[0].random_scale_crop_and_pad_to_square
    assert option.output_size == 640


@pytest.mark.parametrize(
    ("family", "extractor", "good", "bad"),
    [
        ("ssd", FPN % "", [64, 96, 250, 320, 640], [300, 100]),  # 250 is 32, 16, 8; 300 is 38, 19, 10
        ("ssd", FPN % "pad_to_multiple: 32", [300, 100], [32]),
        ("ssd", BIFPN % "", [256, 512, 640], [320, 300, 128]),
        ("ssd", SSD, [300, 33, 47], [32]),
        ("faster_rcnn", 'feature_extractor { type: "faster_rcnn_resnet50_keras" }', [300, 47, 640], [32]),
        ("center_net", CENTER_NET % "resnet_v2_50", [512, 320], [300, 16]),
        ("center_net", CENTER_NET % "hourglass_104", [512, 640], [320]),
    ],
)
def test_sizes_that_a_network_cannot_work_at_are_named(family, extractor, good, bad):
    for side in good + bad:
        faults = edit.find_size_faults(make_config(f"{family} {{ {extractor} {FIXED % (side, 640)} }}"))
        assert len(faults) == (side in bad), (side, faults)
        assert all(f"image_resizer's width is {side}" in fault for fault in faults)


def test_the_advice_of_a_size_is_a_size_that_works():
    for side in (300, 100, 33, 700):
        for extractor in (FPN % "", BIFPN % ""):
            for fault in edit.find_size_faults(make_config(f"ssd {{ {extractor} {FIXED % (side, 640)} }}")):
                for word in fault.partition("make it ")[2].partition(",")[0].split(" or "):
                    if word:
                        advised = make_config(f"ssd {{ {extractor} {FIXED % (int(word), 640)} }}")
                        assert edit.find_size_faults(advised) == []


def test_other_faults_of_a_resizer_are_named():
    keeping = "image_resizer { keep_aspect_ratio_resizer { min_dimension: 900 max_dimension: 600 } }"
    assert edit.find_size_faults(make_config(f"ssd {{ {SSD} {keeping} }}")) == [
        "min_dimension 900 is more than max_dimension 600"
    ]
    assert "image_resizer is not set" in edit.find_size_faults(make_config(f"ssd {{ {SSD} }}"))[0]
    assert edit.find_size_faults(make_config(f"ssd {{ {FPN % ''} {KEEPING} }}")) == []
    assert edit.find_size_faults(make_config(f"ssd {{ {SSD} image_resizer {{ identity_resizer {{}} }} }}")) == []


# ---------------------------------------------------------------- classes, tasks, detections


@pytest.mark.parametrize("family", ["ssd", "faster_rcnn", "center_net"])
def test_classes_and_limits_are_set_in_every_family(family):
    config = make_config(f"{family} {{ num_classes: 90 }}")
    edit.set_num_classes(config, 3, "map")
    raised = edit.raise_detections(config, 333)
    model = pipeline.get_model(config)
    assert model.num_classes == 3
    if family == "center_net":
        assert raised == ["max_box_predictions"]
        assert model.object_center_params.max_box_predictions == 333
    else:
        assert raised[:2] == ["max_total_detections", "max_detections_per_class"]
        assert ("first_stage_max_proposals" in raised) == (family == "faster_rcnn")
    assert edit.raise_detections(config, 50) == []


KEYPOINTS = """center_net { num_classes: 90 keypoint_label_map_path: "PATH_TO_BE_CONFIGURED"
  object_center_params { keypoint_weights_for_center: 1 }
  keypoint_estimation_task { task_name: "human_pose" keypoint_class_name: "person" } mask_estimation_task {} }"""
READERS = """
train_input_reader { num_keypoints: 17 load_instance_masks: true mask_type: PNG_MASKS }
eval_input_reader { num_keypoints: 17 }
eval_config {
  eval_instance_masks: true keypoint_edge { start: 0 end: 1 }
  metrics_set: "coco_detection_metrics" metrics_set: "coco_mask_metrics"
  parameterized_metric { coco_keypoint_metrics { class_label: "person" } }
}"""


def test_keypoints_that_the_records_lack_are_taken_out():
    config = make_config(KEYPOINTS, READERS)
    assert edit.drop_tasks(config, BOXES) == ["keypoint_estimation_task", "mask_estimation_task"]
    edit.set_num_classes(config, 2, "map")
    assert str(config.model.center_net) == "num_classes: 2\nobject_center_params {\n}\n"
    assert str(config.train_input_reader) == str(config.eval_input_reader[0]) == ""
    assert str(config.eval_config) == 'metrics_set: "coco_detection_metrics"\n'


def test_fields_of_keypoints_go_where_there_is_no_task_for_them():
    """The zoo's CenterNet MobileNet of boxes has such fields."""
    options = """
        data_augmentation_options { random_horizontal_flip { probability: 0.3 keypoint_flip_permutation: [0, 1] } }
        data_augmentation_options { random_rotation90 { keypoint_rot_permutation: [0, 1] } }
        data_augmentation_options { random_adjust_hue { } }"""
    rest = f"""train_config {{ {options} }}
        train_input_reader {{ num_keypoints: 17 load_dense_pose: true load_track_id: true }}
        eval_input_reader {{ num_keypoints: 17 use_keypoint_label_map: true }}
        eval_config {{ metrics_set: "coco_keypoint_metrics" keypoint_edge {{ start: 0 end: 1 }} }}"""
    for family in ("ssd", "center_net"):
        config = make_config(f"{family} {{ num_classes: 90 }}", rest)
        assert edit.drop_tasks(config, BOXES) == []
        assert str(config.train_input_reader) == str(config.eval_input_reader[0]) == str(config.eval_config) == ""
        flip, turn, hue = config.train_config.data_augmentation_options
        assert str(flip.random_horizontal_flip) == "probability: 0.3\n"
        assert (turn.WhichOneof("preprocessing_step"), str(turn.random_rotation90)) == ("random_rotation90", "")
        assert hue.HasField("random_adjust_hue")


def test_tasks_that_the_records_have_stay_and_get_the_label_map():
    config = make_config(KEYPOINTS, READERS)
    assert edit.drop_tasks(config, BOXES | {"image/object/keypoint/x", "image/object/mask"}) == []
    edit.set_num_classes(config, 2, "map")
    assert config.model.center_net.keypoint_label_map_path == "map"
    assert config.train_input_reader.load_instance_masks
    assert len(config.eval_config.metrics_set) == 2


def test_mask_rcnn_without_masks_becomes_a_faster_rcnn():
    config = make_config(
        """faster_rcnn { number_of_stages: 3 second_stage_box_predictor {
        mask_rcnn_box_predictor { predict_instance_masks: true } } }""",
        READERS,
    )
    assert edit.drop_tasks(config, BOXES) == ["predict_instance_masks"]
    assert config.model.faster_rcnn.number_of_stages == 2
    assert not config.model.faster_rcnn.second_stage_box_predictor.mask_rcnn_box_predictor.predict_instance_masks
    config = make_config("ssd { mask_head_config {} }")
    assert edit.drop_tasks(config, BOXES) == ["mask_head_config"]


def test_plain_detectors_have_nothing_to_take_out():
    for family in ("ssd", "faster_rcnn", "center_net"):
        config = make_config(f"{family} {{ num_classes: 2 }}")
        assert edit.drop_tasks(config, BOXES) == []
        assert str(config.model).split() == [family, "{", "num_classes:", "2", "}"]


def test_thresholds_are_set_where_the_family_has_them():
    for family, where in (("ssd", "post_processing"), ("faster_rcnn", "second_stage_post_processing")):
        config = make_config(f"{family} {{ }}")
        edit.set_postprocessing(config, score_threshold=0.25, iou_threshold=0.5)
        nms = getattr(pipeline.get_model(config), where).batch_non_max_suppression
        assert (nms.iou_threshold, nms.score_threshold) == (0.5, 0.25)
    for name, flag in (("iou_threshold", "iou_threshold"), ("class_agnostic", "class_agnostic_nms")):
        with pytest.raises(InputError, match=f"--{flag}: this CenterNet finds peaks and has no non-maximum"):
            edit.set_postprocessing(make_config("center_net { }"), **{name: 1})
    config = make_config("center_net { post_processing { } }")
    edit.set_postprocessing(config, iou_threshold=0.5)
    assert config.model.center_net.post_processing.batch_non_max_suppression.iou_threshold == 0.5


def test_a_limit_of_detections_is_set_where_the_family_has_it():
    for family in ("ssd", "faster_rcnn", "center_net"):
        config = make_config(f"{family} {{ }}")
        edit.set_postprocessing(config, max_detections=7)
        assert edit.count_detections(config) == 7
