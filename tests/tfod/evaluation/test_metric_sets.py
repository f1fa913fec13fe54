import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import pytest
from object_detection.protos import eval_pb2

from tfod.data.samples import Result, Sample
from tfod.evaluation import metrics as coco_metrics
from tfod.evaluation.evaluator import collect

NAMES = {1: "cat", 2: "dog"}
BOX, ELSEWHERE = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]


def make_result(ground_truth, found, labelled=None, group_of=(), difficult=()):
    """An image of 100 x 100 pixels; ground_truth: (box, label) each, found: (box, label, score) each."""
    box, label = [box for box, _ in ground_truth], [label for _, label in ground_truth]
    flags = [np.isin(range(len(ground_truth)), these) for these in ((), group_of, difficult)]
    box = np.array(box, np.float32).reshape(-1, 4)
    labelled = None if labelled is None else np.array(labelled)
    sample = Sample("a", "a", 0, b"", box, np.array(label, int), *flags, labelled)
    boxes, labels, scores = zip(*found, strict=True) if found else ([], [], [])
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Result(sample, (100, 100), boxes, np.array(labels, int), np.array(scores, np.float32), {})


def measure(results, *sets, **settings):
    config = eval_pb2.EvalConfig(metrics_set=sets, **settings)
    return coco_metrics.measure_sets(config, collect(NAMES, results), [result.sample for result in results])


def get_dog(metrics, prefix):
    return metrics[f"{prefix}_PerformanceByCategory/AP@0.5IOU/dog"]


# the first image has a dog, which is found less surely than one in the second image, where none is
RESULTS = [
    make_result([(BOX, 2)], [(BOX, 2, 0.8)]),
    make_result([(BOX, 1)], [(BOX, 1, 0.9), (ELSEWHERE, 2, 0.9)]),
]


def test_open_images_challenge_heeds_what_an_image_was_looked_through_for():
    name, prefix = "oid_challenge_detection_metrics", "OpenImagesDetectionChallenge"
    assert get_dog(measure(RESULTS, name), prefix) == pytest.approx(0.5)
    first, second = RESULTS
    for labelled, expected in (([1], 1.0), ([1, 2], 0.5)):
        seen = second._replace(sample=second.sample._replace(labelled=np.array(labelled)))
        assert get_dog(measure([first, seen], name), prefix) == pytest.approx(expected)
    none = measure(RESULTS, name, image_classes_field_map_empty_to_ones=False)
    assert get_dog(none, prefix) == pytest.approx(1.0)


def test_groups_and_difficult_objects_count_where_their_set_says_so():
    group = [make_result([(BOX, 2)], [(BOX, 2, 0.9)], group_of=[0]), make_result([(BOX, 2)], [(BOX, 2, 0.8)])]
    metrics = measure(group, "oid_V2_detection_metrics", "pascal_voc_detection_metrics")
    assert get_dog(metrics, "OpenImagesV2") == pytest.approx(1.0)  # the group is neither right nor missed
    assert get_dog(metrics, "PascalBoxes") == pytest.approx(1.0)
    missed = [make_result([(BOX, 2), (ELSEWHERE, 2)], [(BOX, 2, 0.9)], difficult=[1])]
    metrics = measure(missed, "pascal_voc_detection_metrics", "oid_V2_detection_metrics")
    assert get_dog(metrics, "PascalBoxes") == pytest.approx(1.0)
    assert get_dog(metrics, "OpenImagesV2") == pytest.approx(0.5)
    assert metrics["PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat"] == -1  # there is none


def test_coco_is_always_there_and_by_class_where_it_is_wanted():
    plain = measure(RESULTS)
    assert len(plain) == 12
    assert plain["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(0.75)
    assert measure(RESULTS, "pascal_voc_detection_metrics").items() >= plain.items()
    by_class = measure(RESULTS, "coco_detection_metrics", include_metrics_per_category=True)
    assert by_class["DetectionBoxes_PerformanceByCategory/mAP/dog"] == pytest.approx(0.5)
    labelled = [RESULTS[0], RESULTS[1]._replace(sample=RESULTS[1].sample._replace(labelled=np.array([1])))]
    only = measure(labelled, "coco_detection_metrics", skip_predictions_for_unlabeled_class=True)
    assert only["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(1.0)


def test_images_without_anything_are_measured():
    metrics = measure([make_result([], [])], *sorted({"pascal_voc_detection_metrics", "oid_V2_detection_metrics"}))
    assert set(metrics.values()) == {-1.0}


def test_model_that_tells_no_classes_apart_finds_objects():
    result = make_result([(BOX, 2), (ELSEWHERE, 1)], [(BOX, 1, 0.9)])._replace(label=None)
    evaluated = collect(NAMES, [result])
    assert evaluated.names == {1: "object"}
    assert evaluated.ground_truth.label.tolist() == [1, 1]
    assert evaluated.detections.label.tolist() == [1]
