"""Cases worked out by hand, on one line: a box at x covers x to x + 10 and is 10 high (`evaluations.make`)."""

import numpy as np
import pytest
from evaluations import CASES, evaluations, make
from hypothesis import given
from hypothesis import strategies as st

from tfod.evaluation import metrics
from tfod.evaluation.curves import count_confusions, measure_calibration, measure_curves, measure_sizes, rank_images
from tfod.evaluation.tide import CORRECT, DEFAULT_THRESHOLD, KINDS, count_kinds, find_errors, measure_ap

THRESHOLDS = {1: 0.5, 2: 0.3, 5: 0.0}


def test_a_curve():
    """Right at 0.9, wrong at 0.8, right at 0.7, wrong at 0.6, of two objects. F1 is 2 x right / (taken + objects)."""
    curve = measure_curves(CASES["duplicated"])[1]
    assert curve.score.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])
    assert curve.recall == pytest.approx([1 / 2, 1 / 2, 1, 1])
    assert curve.f1 == pytest.approx([2 / 3, 2 / 4, 4 / 5, 4 / 6])
    assert (curve.threshold, curve.best_recall, curve.objects) == (0.7, 1, 2)
    assert (curve.best_precision, curve.best_f1) == pytest.approx((2 / 3, 4 / 5))


def test_no_threshold_comes_between_equal_scores():
    """Four detections at 0.5 of three objects: that at 30 is wrong, and the others find what is there."""
    curve = measure_curves(CASES["equal scores"])[1]
    assert (curve.precision.tolist(), curve.recall.tolist()) == ([3 / 4] * 4, [1] * 4)
    assert curve.threshold == 0.5


def test_of_equal_f1_the_higher_threshold():
    """Right, wrong, wrong, right, of two objects: 2 x 1 / (1 + 2) = 2/3 at 0.9, and 2 x 2 / (4 + 2) = 2/3 at 0.6."""
    tie = make([(0, 1, 0), (0, 1, 50)], [(0, 1, 0, 0.9), (0, 1, 200, 0.8), (0, 1, 300, 0.7), (0, 1, 50, 0.6)])
    curve = measure_curves(tie)[1]
    assert curve.f1 == pytest.approx([2 / 3, 2 / 4, 2 / 5, 4 / 6])
    assert curve.threshold == 0.9


def test_classes_without_objects_and_without_correct_detections():
    curves = measure_curves(CASES["one class absent"])
    dog = curves[2]
    assert (dog.precision.tolist(), dog.recall.tolist(), dog.f1.tolist()) == ([0], [-1], [-1])
    assert (dog.threshold, dog.best_precision, dog.best_recall, dog.best_f1) == (DEFAULT_THRESHOLD, -1, -1, -1)
    emu = curves[5]
    assert (len(emu.score), emu.objects, emu.best_f1) == (0, 0, -1)
    missed = measure_curves(CASES["no detections"])[1]
    assert (len(missed.score), missed.objects, missed.threshold, missed.best_f1) == (0, 1, DEFAULT_THRESHOLD, 0)


@given(evaluations())
def test_curves_are_what_counting_gives(evaluated):
    errors = find_errors(evaluated)
    curves = measure_curves(evaluated, errors)
    assert list(curves) == sorted(evaluated.names)
    found = evaluated.detections
    for number, curve in curves.items():
        mine = (errors.kind >= 0) & (found.label == number)
        assert curve.score.tolist() == sorted(found.score[mine], reverse=True)
        for i, score in enumerate(curve.score):
            taken = mine & (found.score >= score)
            correct = (taken & (errors.kind == CORRECT)).sum()
            assert curve.precision[i] == pytest.approx(correct / taken.sum())
            if curve.objects:
                assert curve.recall[i] == pytest.approx(correct / curve.objects)
                assert curve.f1[i] == pytest.approx(2 * correct / (taken.sum() + curve.objects))
        if curve.objects:
            assert curve.best_f1 == max(curve.f1, default=0)
            counts = count_kinds(evaluated, errors, {number: curve.threshold})
            if curve.best_f1 and set(evaluated.detections.label) == {number}:
                assert counts["correct"] == pytest.approx(curve.best_recall * curve.objects)


@given(evaluations())
def test_the_area_under_a_curve_is_pycocotools_ap(evaluated):
    errors = find_errors(evaluated)
    for one in metrics.measure_coco(evaluated).classes:
        if one.objects:
            mine = np.flatnonzero((errors.kind >= 0) & (evaluated.detections.label == one.id))
            mine = mine[np.argsort(-evaluated.detections.score[mine], kind="stable")]
            assert measure_ap(errors.kind[mine] == CORRECT, one.objects) == pytest.approx(one.ap50)


def test_confusions():
    """Cats at 0 and 100, dogs at 200 and 300, an emu at 400. The cat at 0 is found, and found again, and as a dog; the
    one at 100 is found as a dog; the dog at 200 is found as a cat by two, of which the better one counts; the one at
    300 is found below the threshold; the emu is found poorly placed."""
    evaluated = make(
        [(0, 1, 0), (0, 1, 100), (0, 2, 200), (0, 2, 300), (0, 5, 400)],
        [
            (0, 1, 0, 0.9),
            (0, 1, 1, 0.8),
            (0, 2, 0, 0.7),
            (0, 2, 100, 0.7),
            (0, 1, 201, 0.9),
            (0, 1, 200, 0.8),
            (0, 2, 300, 0.2),
            (0, 5, 405, 0.9),
        ],
    )
    expected = [
        [1, 1, 0, 0],  # cats
        [1, 0, 0, 1],  # dogs
        [0, 0, 0, 1],  # emus
        [2, 1, 1, 0],  # background
    ]
    assert count_confusions(evaluated, THRESHOLDS).tolist() == expected


@pytest.mark.parametrize("name", ["no images", "no detections", "no ground truth"])
def test_confusions_of_nothing(name):
    counts = count_confusions(CASES[name], THRESHOLDS)
    assert counts.shape == (4, 4)
    assert counts[:-1, -1].sum() == len(CASES[name].ground_truth.label)
    assert counts[-1, :-1].sum() == counts.sum() - counts[:-1, -1].sum() == len(CASES[name].detections.score)


@given(evaluations(), st.floats(0, 1))
def test_confusions_have_every_truth_and_every_detection_once(evaluated, threshold):
    errors = find_errors(evaluated)
    thresholds = dict.fromkeys(evaluated.names, threshold)
    counts = count_confusions(evaluated, thresholds, errors)
    kinds = count_kinds(evaluated, errors, thresholds)
    ground_truth, found = evaluated.ground_truth, evaluated.detections
    shown = (errors.kind >= 0) & (found.score >= threshold)
    for i, number in enumerate(sorted(evaluated.names)):
        assert counts[i].sum() == ((ground_truth.label == number) & ~ground_truth.crowd).sum()
        assert counts[:, i].sum() == (shown & (found.label == number)).sum()
    assert np.trace(counts) == kinds["correct"]
    assert counts[-1, -1] == 0
    off_diagonal = counts[:-1, :-1].sum() - np.trace(counts)
    assert off_diagonal <= kinds["classification"] + kinds["localization"] + kinds["duplicate"]
    assert counts[:-1, -1].sum() + off_diagonal == kinds["missed"]


def test_calibration():
    """Two bins: 0.9 and 0.7 are right and 0.8 and 0.6 wrong; nothing is below 0.5. |0.75 - 0.5| = 0.25."""
    found = measure_calibration(CASES["duplicated"], bins=2)
    assert found.edges.tolist() == [0, 0.5, 1]
    assert found.count.tolist() == [0, 4]
    assert found.mean_score[1] == pytest.approx(0.75)
    assert (found.share_correct[1], found.error) == (0.5, pytest.approx(0.25))
    assert np.isnan([found.mean_score[0], found.share_correct[0]]).all()


def test_calibration_of_nothing_and_of_a_score_of_1():
    found = measure_calibration(CASES["no detections"])
    assert (found.count.sum(), np.isnan(found.error)) == (0, True)
    assert measure_calibration(CASES["perfect"], bins=4).count.tolist() == [0, 1, 1, 1]


@given(evaluations(), st.integers(1, 12))
def test_calibration_counts_every_counted_detection(evaluated, bins):
    errors = find_errors(evaluated)
    found = measure_calibration(evaluated, bins, errors)
    assert found.count.sum() == (errors.kind >= 0).sum()
    assert np.nansum(found.share_correct * found.count) == pytest.approx((errors.kind == CORRECT).sum())
    there = found.count > 0
    assert (found.mean_score[there] >= found.edges[:-1][there] - 1e-12).all()
    assert (found.mean_score[there] <= found.edges[1:][there] + 1e-12).all()


def test_images_worst_first():
    """Image 0 is right; in 1, the cat is missed (1); in 2, it is 5 off, 0.9 sure: missed and wrong (1.9); in 3, there
    is nothing to find; in 4, a dog is seen (0.6)."""
    evaluated = make(
        [(0, 1, 0), (1, 1, 0), (2, 1, 0)], [(0, 1, 0, 0.9), (2, 1, 5, 0.9), (1, 1, 0, 0.4), (4, 2, 0, 0.6)], images=5
    )
    ranking = rank_images(evaluated, find_errors(evaluated), THRESHOLDS)
    assert [(index, badness) for index, badness, _ in ranking] == [(2, 1.9), (1, 1), (4, 0.6), (0, 0), (3, 0)]
    assert ranking[0][2] == dict.fromkeys(KINDS, 0) | {"localization": 1, "missed": 1}
    assert ranking[3][2] == dict.fromkeys(KINDS, 0) | {"correct": 1}


@given(evaluations(), st.floats(0, 1))
def test_the_images_have_together_what_all_have(evaluated, threshold):
    errors = find_errors(evaluated)
    thresholds = dict.fromkeys(evaluated.names, threshold)
    ranking = rank_images(evaluated, errors, thresholds)
    assert sorted(index for index, _, _ in ranking) == list(range(len(evaluated.images)))
    badness = [value for _, value, _ in ranking]
    assert badness == sorted(badness, reverse=True)
    total = {kind: sum(counts[kind] for _, _, counts in ranking) for kind in KINDS}
    assert total == count_kinds(evaluated, errors, thresholds)
    for _, value, counts in ranking:
        wrong = sum(counts[kind] for kind in KINDS[1:-1])
        assert counts["missed"] + wrong * threshold - 1e-9 <= value <= counts["missed"] + wrong + 1e-9


def test_sizes_at_the_size_that_the_model_sees():
    """Boxes of 20, 40 and 300 pixels; half as wide and half as high for the model: 10, 20 and 150. The one of 300 is
    missed, that of 40 is found, that of 20 at a score that is too low."""
    boxes = [[0, 0, side, side] for side in (20, 40, 300)]
    evaluated = make(
        [(0, 1, boxes[0]), (1, 1, boxes[1]), (2, 1, boxes[2])], [(0, 1, boxes[0], 0.4), (1, 1, boxes[1], 0.6)], 3
    )
    rows = measure_sizes(
        evaluated, find_errors(evaluated), THRESHOLDS, lambda width, height: (320 / width, 240 / height)
    )
    assert [tuple(row) for row in rows] == [
        (8, 16, 1, 0, 1),
        (16, 32, 1, 1, 0),
        (32, 64, 0, 0, 0),
        (64, 96, 0, 0, 0),
        (96, 128, 0, 0, 0),
        (128, 192, 1, 0, 1),
    ]


def test_no_sizes():
    evaluated = CASES["no ground truth"]
    assert measure_sizes(evaluated, find_errors(evaluated), THRESHOLDS, lambda width, height: (1, 1)) == []


@given(evaluations())
def test_sizes_have_every_truth_once(evaluated):
    errors = find_errors(evaluated)
    rows = measure_sizes(evaluated, errors, THRESHOLDS, lambda width, height: (0.5, 2))
    counts = count_kinds(evaluated, errors, THRESHOLDS)
    assert sum(row.found for row in rows) == counts["correct"]
    assert sum(row.missed for row in rows) == counts["missed"]
    assert all(row.objects == row.found + row.missed for row in rows)
