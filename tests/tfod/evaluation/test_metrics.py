import numpy as np
import pytest
from evaluations import CASES, NAMES, evaluations, make, run_pycocotools
from hypothesis import given, settings

from tfod.evaluation import metrics as coco_metrics


def run_upstream(evaluated):
    """What upstream's evaluator makes of an `Evaluated`: dict name -> float."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    from object_detection.metrics.coco_evaluation import CocoDetectionEvaluator

    evaluator = CocoDetectionEvaluator([{"id": number, "name": name} for number, name in evaluated.names.items()])
    ground_truth, found = evaluated.ground_truth, evaluated.detections
    for i in range(len(evaluated.images)):
        here, there = ground_truth.image == i, found.image == i
        evaluator.add_single_ground_truth_image_info(
            i,
            {
                "groundtruth_boxes": ground_truth.box[here].astype(np.float32),
                "groundtruth_classes": ground_truth.label[here],
                "groundtruth_is_crowd": ground_truth.crowd[here],
                "groundtruth_difficult": ground_truth.difficult[here],
            },
        )
        evaluator.add_single_detected_image_info(
            i,
            {
                "detection_boxes": found.box[there].astype(np.float32),
                "detection_scores": found.score[there].astype(np.float32),
                "detection_classes": found.label[there],
            },
        )
    return evaluator.evaluate()


@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_of_pycocotools(name):
    found = coco_metrics.measure_coco(CASES[name]).metrics
    assert list(found.values()) == run_pycocotools(CASES[name]).stats.tolist()


@given(evaluations())
@settings(max_examples=200)
def test_metrics_are_those_of_pycocotools_whatever_is_measured(evaluated):
    found = coco_metrics.measure_coco(evaluated).metrics
    assert list(found.values()) == run_pycocotools(evaluated).stats.tolist()


@pytest.mark.parametrize("name", CASES)
def test_metrics_are_those_of_upstream(name):
    found, expected = coco_metrics.measure_coco(CASES[name]).metrics, run_upstream(CASES[name])
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-6)


def test_metrics_of_a_hundred_images_are_those_of_upstream_and_pycocotools():
    rng = np.random.default_rng(1)
    image, label = rng.integers(0, 100, 700), rng.choice([1, 2, 5], 700)
    corner, side = rng.uniform(0, 300, (700, 2)), rng.uniform(5, 150, (700, 2))
    box = np.float32(np.concatenate([corner, corner + side], 1)).astype(float)
    ground_truth = zip(image[:300], label[:300], box[:300], rng.random(300) < 0.1, strict=False)
    copied = rng.integers(0, 300, 500)
    moved = np.float32(box[copied] + rng.normal(0, 4, (500, 4))).astype(float)
    evaluated = make(
        ground_truth, zip(image[copied], label[copied], moved, np.float32(rng.random(500)), strict=True), 100
    )
    found = coco_metrics.measure_coco(evaluated).metrics
    assert 0.2 < found["DetectionBoxes_Precision/mAP@.50IOU"] < 0.8
    assert found == pytest.approx(run_upstream(evaluated), abs=1e-6)
    assert list(found.values()) == run_pycocotools(evaluated).stats.tolist()


@given(evaluations())
def test_a_class_is_what_pycocotools_says_of_that_class_alone(evaluated):
    classes = coco_metrics.measure_coco(evaluated).classes
    assert [(one.id, one.name) for one in classes] == sorted(NAMES.items())
    for one in classes:
        stats = run_pycocotools(evaluated, [one.id]).stats
        assert (one.ap, one.ap50, one.ar) == pytest.approx((stats[0], stats[1], stats[8]), abs=1e-12)


def test_classes_count_their_objects_and_images_without_crowds():
    ground_truth = [(0, 1, 0), (0, 1, 50), (1, 1, 0), (2, 1, 0, True), (1, 2, 0, False, True)]
    cat, dog, emu = coco_metrics.measure_coco(make(ground_truth, images=3)).classes
    assert (cat.objects, cat.images, cat.ap, cat.ap50, cat.ar) == (3, 2, 0, 0, 0)
    assert (dog.objects, dog.images) == (1, 1)  # difficult ones count
    assert (emu.objects, emu.images, emu.ap, emu.ap50, emu.ar) == (0, 0, -1, -1, -1)


def test_perfect_detections_have_1_and_sizes_that_do_not_occur_have_minus_1():
    metrics = coco_metrics.measure_coco(CASES["perfect"]).metrics
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1)
    assert metrics["DetectionBoxes_Precision/mAP (medium)"] == -1
    assert metrics["DetectionBoxes_Recall/AR@1"] == 1


def test_the_evaluated_stays_as_it_was():
    evaluated = CASES["crowd"]
    before = [one.copy() for one in (*evaluated.ground_truth, *evaluated.detections)]
    coco_metrics.measure_coco(evaluated)
    for old, new in zip(before, (*evaluated.ground_truth, *evaluated.detections), strict=True):
        np.testing.assert_array_equal(old, new)
