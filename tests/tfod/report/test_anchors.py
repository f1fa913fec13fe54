"""Anchors: those of the real models, and the IoU that a search over all of them finds."""

import numpy as np
import pytest
from conftest import ROOT
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from tfod.config.pipeline import pipeline_pb2, read_config
from tfod.report.anchors import RPN_THRESHOLD, find_best_iou, get_input_size, get_match_threshold, make_anchor_grids
from tfod.utils.console import InputError

FPNLITE = ROOT / "scripts/configs/ssd_mobilenet_v2_fpnlite_320.config"
# As the first SSD had them: six maps, no pyramid, scales from 0.2 to 0.95 of the input.
SSD = """
model { ssd {
  num_classes: 1
  image_resizer { fixed_shape_resizer { height: 300 width: 300 } }
  feature_extractor { type: "ssd_mobilenet_v2_keras" depth_multiplier: 0.1 min_depth: 8
    conv_hyperparams { regularizer { l2_regularizer { } } initializer { truncated_normal_initializer { } } } }
  box_predictor { convolutional_box_predictor { kernel_size: 1
    conv_hyperparams { regularizer { l2_regularizer { } } initializer { truncated_normal_initializer { } } } } }
  anchor_generator { ssd_anchor_generator { num_layers: 6 aspect_ratios: [1.0, 2.0, 0.5, 3.0, 0.3333] } }
  box_coder { faster_rcnn_box_coder { } }
  matcher { argmax_matcher { matched_threshold: 0.6 unmatched_threshold: 0.6 } }
  similarity_calculator { iou_similarity { } }
  loss { classification_loss { weighted_sigmoid { } } localization_loss { weighted_smooth_l1 { } }
    classification_weight: 1.0 localization_weight: 1.0 }
  post_processing { batch_non_max_suppression { } score_converter: SIGMOID }
} }
"""
FASTER_RCNN = """
model { faster_rcnn {
  num_classes: 1
  image_resizer { keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 1024 } }
  feature_extractor { type: "faster_rcnn_resnet50_keras" first_stage_features_stride: 16 }
  first_stage_anchor_generator { grid_anchor_generator {
    height_stride: 16 width_stride: 16 scales: [0.25, 0.5, 1.0, 2.0] aspect_ratios: [0.5, 1.0, 2.0] } }
} }
"""


def parse(text):
    return text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())


def list_anchors(grids):
    """float [A, 4] `[xmin, ymin, xmax, ymax]` pixels, of all grids, in the OD API's order."""
    found = []
    for grid in grids:
        for y in grid.ys:
            for x in grid.xs:
                found.extend((x - w / 2, y - h / 2, x + w / 2, y + h / 2) for w, h in grid.shapes)
    return np.array(found)


def get_model_anchors(config, size):
    """float [A, 4] `[xmin, ymin, xmax, ymax]` pixels: what the model itself, built and run, says."""
    import tensorflow as tf
    from object_detection.builders import model_builder

    model = model_builder.build(config.model, is_training=False)
    images, shapes = model.preprocess(tf.zeros([1, size[1], size[0], 3]))
    model.predict(images, shapes)
    return model.anchors.get().numpy()[:, [1, 0, 3, 2]] * [*size, *size]


@pytest.mark.parametrize("name", ["demo", "ssd_300"])
def test_they_are_the_models_own(name):
    config = parse(SSD) if name == "ssd_300" else read_config(ROOT / "scripts/configs/demo.config")
    size = get_input_size(config, 640, 480)
    assert size == ((300, 300) if name == "ssd_300" else (192, 192))
    expected = get_model_anchors(config, size)
    np.testing.assert_allclose(list_anchors(make_anchor_grids(config, *size)), expected, atol=0.01)


def test_faster_rcnns_grid_follows_the_photos_shape():
    config = parse(FASTER_RCNN)
    assert get_input_size(config, 640, 480) == (800, 600)
    (grid,) = make_anchor_grids(config, 800, 600)
    assert (len(grid.xs), len(grid.ys), grid.shapes.shape) == (50, 38, (12, 2))
    assert grid.xs[:2].tolist() == [0, 16]
    np.testing.assert_allclose(grid.shapes.prod(axis=1).max(), 512**2)
    config.model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer.pad_to_max_dimension = True
    assert get_input_size(config, 640, 480) == (1024, 1024)


def test_the_threshold_is_the_matchers():
    from object_detection.core.target_assigner import create_target_assigner

    assert get_match_threshold(read_config(FPNLITE)) == 0.5
    assert get_match_threshold(parse(SSD)) == pytest.approx(0.6)
    assert get_match_threshold(parse(FASTER_RCNN)) == RPN_THRESHOLD
    assert create_target_assigner("FasterRCNN", "proposal")._matcher._matched_threshold == RPN_THRESHOLD


def test_centernet_has_none():
    config = parse("model { center_net { } }")
    assert get_match_threshold(config) is None
    assert make_anchor_grids(config, 512, 512) == []


def test_a_config_without_a_generator_is_named():
    config = parse(FASTER_RCNN)
    config.model.faster_rcnn.ClearField("first_stage_anchor_generator")
    with pytest.raises(InputError, match=r"anchors can't be made .*; correct anchor_generator"):
        make_anchor_grids(config, 800, 600)


def find_iou(boxes, anchors):
    """float [N, A], worked out pair by pair, as a textbook does."""
    low = np.maximum(boxes[:, None, :2], anchors[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], anchors[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, anchors)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


box = st.tuples(*[st.floats(0, 319)] * 2, *[st.floats(1, 320)] * 2).map(
    lambda t: (t[0], t[1], min(t[0] + t[2], 320), min(t[1] + t[3], 320))
)


@given(boxes=st.lists(box, min_size=1, max_size=5))
@pytest.mark.parametrize(("text", "prune"), [("fpnlite", False), (FASTER_RCNN, True)])
def test_the_best_of_all_anchors_is_found(text, prune, boxes):
    config = read_config(FPNLITE) if text == "fpnlite" else parse(text)
    grids = make_anchor_grids(config, 320, 320)
    anchors, boxes = list_anchors(grids), np.array(boxes)
    if prune:
        anchors = anchors[(anchors.min(axis=1) >= -1e-3) & (anchors.max(axis=1) <= 320 + 1e-3)]
    expected = find_iou(boxes, anchors).max(axis=1)
    np.testing.assert_allclose(find_best_iou(boxes, grids, (320, 320) if prune else None), expected, atol=1e-5)


def test_a_box_that_is_an_anchor_has_an_iou_of_one_and_no_boxes_have_none():
    grids = make_anchor_grids(read_config(FPNLITE), 320, 320)
    anchors = list_anchors(grids)
    np.testing.assert_allclose(find_best_iou(anchors[::997], grids), 1, atol=1e-6)
    assert find_best_iou([], grids).shape == (0,)
