"""Cases worked out by hand, on one line: a box at x covers x to x + 10 and is 10 high (`evaluations.make`).

The IoU of two such boxes that are d apart is (10 - d) / (10 + d): at 1 it is 9/11, at 2 it is 8/12, at 5 it is 5/15.
COCO's AP is a mean over the 101 recalls 0, 0.01, ..., 1: one correct detection of three objects, before all wrong ones,
has precision 1 at the 34 recalls up to 1/3, and 0 at the others: 34/101.
"""

import numpy as np
import pytest
from evaluations import CASES, evaluations, make, match_by_pycocotools, run_pycocotools
from hypothesis import given, settings

from tfod.evaluation import matching, metrics
from tfod.evaluation.tide import (
    BACKGROUND_IOU,
    CORRECT,
    FOREGROUND_IOU,
    KINDS,
    count_kinds,
    count_objects,
    find_errors,
    measure_ap,
    measure_costs,
)

# cats at 0, 100 and 300, a dog at 200; detections, best first, are one of each kind; the cat at 300 is missed
ALL_KINDS = make(
    [(0, 1, 0), (0, 1, 100), (0, 2, 200), (0, 1, 300)],
    [
        (0, 1, 0, 0.9),  # correct
        (0, 1, 2, 0.8),  # duplicate of it
        (0, 1, 105, 0.7),  # poorly placed
        (0, 1, 200, 0.6),  # wrong class: that is the dog
        (0, 2, 305, 0.5),  # both: that is a cat, 5 away
        (0, 2, 500, 0.4),  # background
    ],
)
NONE = dict.fromkeys(KINDS[1:], 0.0)


def name_kinds(evaluated):
    return [KINDS[kind] if kind >= 0 else None for kind in find_errors(evaluated).kind]


def cost(evaluated):
    return measure_costs(evaluated, find_errors(evaluated))


def test_every_kind():
    errors = find_errors(ALL_KINDS)
    assert name_kinds(ALL_KINDS) == ["correct", "duplicate", "localization", "classification", "both", "background"]
    assert errors.target.tolist() == [0, 0, 1, 2, 3, -1]
    assert errors.iou == pytest.approx([1, 8 / 12, 5 / 15, 1, 5 / 15, 0])
    assert errors.missed.tolist() == [3]


def test_what_every_kind_costs():
    """Before: of 3 cats one is found, first: AP 34/101. The dog isn't found: AP 0. mAP 34/202.

    wrong class:   the cat at 0.6 becomes the dog, found first: AP 1; cats stay at 34/101 (now without that one): + 1/2
    poorly placed: cats are found at 0.9 and 0.7, one wrong between them: precision 1 at 34 recalls (up to 1/3), 2/3 at
                   the next 33 (up to 2/3): AP (34 + 22)/101, so + 22/202
    both, duplicate, background: what vanishes comes after everything that is right: nothing changes
    missed:        one cat of two is found: precision 1 at 51 recalls (up to 1/2): + 17/202
    """
    expected = NONE | {"classification": 1 / 2, "localization": 22 / 202, "missed": 17 / 202}
    assert cost(ALL_KINDS) == pytest.approx(expected)


def test_counts_at_thresholds():
    """Of the cats, all from 0.7 on are counted; of the dogs, all from 0.5. Only the cat at 0 is found."""
    counts = count_kinds(ALL_KINDS, find_errors(ALL_KINDS), {1: 0.7, 2: 0.5, 5: 0.5})
    assert counts == {
        "correct": 1,
        "classification": 0,
        "localization": 1,
        "both": 1,
        "duplicate": 1,
        "background": 0,
        "missed": 3,
    }
    counts = count_kinds(ALL_KINDS, find_errors(ALL_KINDS), {1: 0.91, 2: 0.91})
    assert counts == dict.fromkeys(KINDS, 0) | {"missed": 4}


def test_no_detections():
    """Two classes with one truth each: AP 0 and 0; with no truth left to be missed, each is 1."""
    errors = find_errors(CASES["no detections"])
    assert (errors.kind.tolist(), errors.missed.tolist()) == ([], [0, 1])
    assert cost(CASES["no detections"]) == NONE | {"missed": 1.0}


@pytest.mark.parametrize("name", ["no images", "nothing in the images", "no ground truth"])
def test_no_ground_truth(name):
    """No class has an AP, so none can be gained."""
    errors = find_errors(CASES[name])
    assert name_kinds(CASES[name]) == ["background"] * len(CASES[name].detections.score)
    assert len(errors.missed) == 0
    assert cost(CASES[name]) == NONE


def test_one_class_absent():
    """The dog detection lies where a cat is: wrong class. That cat is found already, so mended it vanishes.
    Dogs have no objects and no AP: mAP is that of the cats, 1."""
    errors = find_errors(CASES["one class absent"])
    assert name_kinds(CASES["one class absent"]) == ["correct", "classification"]
    assert errors.target.tolist() == [0, 0]
    assert cost(CASES["one class absent"]) == NONE


def test_crowd():
    """Image 0 has a crowd of cats, 0 to 200 on both sides, and one cat in it. 0.9 finds the cat, not the crowd, though
    all of it is in the crowd. The cats at 0.8 and 0.7 are in the crowd: not counted, both of them. A dog in it is
    background: a crowd is no truth that one could mistake. Image 1 has nothing but a crowd, and a cat far from it.

    AP of cats is 1: the one truth is found first. Nothing can be gained.
    """
    assert name_kinds(CASES["crowd"]) == ["correct", None, None, "background", "background"]
    errors = find_errors(CASES["crowd"])
    assert len(errors.missed) == 0
    assert CASES["crowd"].ground_truth.crowd[errors.target[0]] == np.False_
    assert cost(CASES["crowd"]) == NONE


def test_a_detection_in_the_crowd_does_not_count_as_background_of_it():
    """A cat at 0.9, half of it in the crowd, is not counted; another one, two fifths in it, is: the one truth is
    found second, precision 1/2. Without the background, it is 1."""
    evaluated = make([(0, 1, [0, 0, 10, 100], True), (0, 1, 200)], [(0, 1, 95, 0.9), (0, 1, 96, 0.8), (0, 1, 200, 0.7)])
    assert name_kinds(evaluated) == [None, "background", "correct"]
    assert cost(evaluated) == pytest.approx(NONE | {"background": 1 / 2})


def test_difficult_objects_are_like_any_other():
    """Cats at 0 and 50; 0.95 is background and 0.9 finds the first one: precision 1/2 at 51 recalls, AP 51/202.
    Without the background, 51/101. Without the missed one, 1/2 at all recalls: 101/202."""
    errors = find_errors(CASES["difficult"])
    assert name_kinds(CASES["difficult"]) == ["background", "correct"]
    assert errors.missed.tolist() == [1]
    assert cost(CASES["difficult"]) == pytest.approx(NONE | {"background": 51 / 202, "missed": 50 / 202})


def test_perfect_detections():
    errors = find_errors(CASES["perfect"])
    assert name_kinds(CASES["perfect"]) == ["correct"] * 3
    assert (errors.target.tolist(), errors.iou.tolist(), len(errors.missed)) == ([0, 1, 2], [1] * 3, 0)
    assert cost(CASES["perfect"]) == NONE


def test_duplicated_detections():
    """Right at 0.9, duplicate at 0.8, right at 0.7, duplicate at 0.6: precision 1 at the 51 recalls up to 1/2, 2/3 at
    the other 50. Without duplicates it is 1 everywhere: 1/3 more at 50 of 101 recalls."""
    errors = find_errors(CASES["duplicated"])
    assert name_kinds(CASES["duplicated"]) == ["correct", "duplicate"] * 2
    assert errors.target.tolist() == [0, 0, 1, 1]
    assert cost(CASES["duplicated"]) == pytest.approx(NONE | {"duplicate": 50 / 303})


def test_a_truth_is_mended_once_by_the_best_that_is_near():
    """Cats at 0 and 100, a dog at 200 that is found. Near the cat at 0: a cat 5 away (0.9) and a dog on it (0.8). Near
    the cat at 100: cats 5 away on both sides (0.7, 0.6).

    Before: cats 0, dogs 1 (the dog on the cat comes after the right one). mAP 1/2.
    poorly placed: 0.9 and 0.7 become right and 0.6 vanishes: cats 1, so + 1/2
    wrong class:   the truth is that of 0.9, the better one: 0.8 vanishes: + 0
    """
    evaluated = make(
        [(0, 1, 0), (0, 1, 100), (0, 2, 200)],
        [(0, 2, 200, 0.95), (0, 1, 5, 0.9), (0, 2, 0, 0.8), (0, 1, 105, 0.7), (0, 1, 95, 0.6)],
    )
    assert name_kinds(evaluated) == ["correct", "localization", "classification", "localization", "localization"]
    assert len(find_errors(evaluated).missed) == 0
    assert cost(evaluated) == pytest.approx(NONE | {"localization": 1 / 2})


def test_wrong_class_of_a_truth_that_is_found_vanishes():
    """A cat at 0, found as a cat at 0.5, and as a dog at 0.9. A dog at 100 is found at 0.8: precision 1/2. Mended,
    precision of the dogs is 1."""
    evaluated = make([(0, 1, 0), (0, 2, 100)], [(0, 2, 0, 0.9), (0, 2, 100, 0.8), (0, 1, 0, 0.5)])
    assert name_kinds(evaluated) == ["classification", "correct", "correct"]
    assert cost(evaluated) == pytest.approx(NONE | {"classification": 1 / 4})


def test_a_class_that_is_missed_altogether_costs_all_of_its_ap():
    """Two dogs are missed, of two; a dog in the background is no comfort. Cats are found. mAP 1/2, and 1 without."""
    evaluated = make([(0, 1, 0), (0, 2, 100), (0, 2, 200)], [(0, 1, 0, 0.9), (0, 2, 400, 0.8)])
    assert cost(evaluated) == pytest.approx(NONE | {"missed": 1 / 2})


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ((0, 1, [0, 0, 10, 5], 0.9), "correct"),  # IoU 0.5
        ((0, 1, [0, 0, 10, 4.99], 0.9), "localization"),
        ((0, 1, [0, 0, 10, 1], 0.9), "localization"),  # IoU 0.1
        ((0, 1, [0, 0, 10, 0.99], 0.9), "background"),
        ((0, 2, [0, 0, 10, 5], 0.9), "classification"),
        ((0, 2, [0, 0, 10, 4.99], 0.9), "both"),
        ((0, 2, [0, 0, 10, 1], 0.9), "both"),
        ((0, 2, [0, 0, 10, 0.99], 0.9), "background"),
    ],
)
def test_limits(found, kind):
    assert name_kinds(make([(0, 1, 0)], [found])) == [kind]


def test_poorly_placed_comes_before_wrong_class_and_that_before_duplicate():
    """A cat on the dog at 5: it is 5 from the cat at 0, too. A second cat on the cat at 100, where a dog is, too."""
    evaluated = make(
        [(0, 1, 0), (0, 2, 5), (0, 1, 100), (0, 2, 100)],
        [(0, 1, 5, 0.9), (0, 1, 100, 0.8), (0, 1, 101, 0.7)],
    )
    errors = find_errors(evaluated)
    assert name_kinds(evaluated) == ["localization", "correct", "classification"]
    assert errors.target.tolist() == [0, 2, 3]
    assert errors.missed.tolist() == [1]


def test_what_is_beyond_the_100_best_of_a_class_is_not_counted():
    errors = find_errors(CASES["more than 100 detections"])
    assert errors.kind.tolist() == [CORRECT] * 100 + [-1] * 30
    assert errors.missed.tolist() == list(range(100, 130))


def test_classes_without_a_name_are_not_counted():
    assert name_kinds(CASES["a class without a name"]) == [None, None, "correct"]
    assert len(find_errors(CASES["a class without a name"]).missed) == 0


@given(evaluations())
@settings(max_examples=200)
def test_correct_is_what_pycocotools_matches(evaluated):
    errors = find_errors(evaluated)
    truth, counted = match_by_pycocotools(evaluated)
    np.testing.assert_array_equal(np.where(errors.kind == CORRECT, errors.target, -1), truth)
    np.testing.assert_array_equal(errors.kind >= 0, counted)


@pytest.mark.parametrize("name", CASES)
def test_correct_is_what_pycocotools_matches_in_every_case(name):
    truth, counted = match_by_pycocotools(CASES[name])
    errors = find_errors(CASES[name])
    np.testing.assert_array_equal(np.where(errors.kind == CORRECT, errors.target, -1), truth)
    np.testing.assert_array_equal(errors.kind >= 0, counted)


@given(evaluations())
def test_every_detection_and_every_truth_has_its_kind(evaluated):
    """The kinds, one after the other, found again by plain loops over all boxes."""
    errors = find_errors(evaluated)
    found, ground_truth = evaluated.detections, evaluated.ground_truth
    counted, known = matching.find_counted(evaluated)
    real = known & ~ground_truth.crowd
    near = np.zeros(len(ground_truth.label), bool)
    for i in np.flatnonzero(errors.kind >= 0):
        ious = {True: [0.0], False: [0.0]}
        for j in np.flatnonzero(real & (ground_truth.image == found.image[i])):
            ious[bool(ground_truth.label[j] == found.label[i])].append(measure_iou(found.box[i], ground_truth.box[j]))
        same, other = max(ious[True]), max(ious[False])
        kind, iou = KINDS[errors.kind[i]], other
        if kind != "correct":
            if BACKGROUND_IOU <= same < FOREGROUND_IOU:
                expected, iou = "localization", same
            elif other >= FOREGROUND_IOU:
                expected = "classification"
            elif same >= FOREGROUND_IOU:
                expected, iou = "duplicate", same
            elif other < BACKGROUND_IOU:
                expected, iou = "background", 0
            else:
                expected = "both"
            assert (kind, errors.iou[i]) == (expected, pytest.approx(iou))
        if kind != "background":
            j = errors.target[i]
            assert errors.iou[i] == pytest.approx(measure_iou(found.box[i], ground_truth.box[j]))
            assert (ground_truth.label[j] == found.label[i]) == (kind in ("correct", "localization", "duplicate"))
            assert real[j] and ground_truth.image[j] == found.image[i]
            near[j] |= kind in ("correct", "localization", "classification")
    assert (errors.target[(errors.kind < 0) | (errors.kind == KINDS.index("background"))] == -1).all()
    np.testing.assert_array_equal(errors.missed, np.flatnonzero(real & ~near))


def measure_iou(one, other):
    height, width = (max(0, min(one[i + 2], other[i + 2]) - max(one[i], other[i])) for i in (0, 1))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return height * width / (sum(areas) - height * width)


@given(evaluations())
def test_ap_is_that_of_pycocotools(evaluated):
    errors = find_errors(evaluated)
    found = evaluated.detections
    for one in metrics.measure_coco(evaluated).classes:
        mine = np.flatnonzero((errors.kind >= 0) & (found.label == one.id))
        mine = mine[np.argsort(-found.score[mine], kind="stable")]
        if one.objects:
            assert measure_ap(errors.kind[mine] == CORRECT, one.objects) == pytest.approx(one.ap50, abs=1e-12)
        assert count_objects(evaluated)[one.id] == one.objects


@given(evaluations())
def test_mending_never_costs_and_never_gains_more_than_there_is(evaluated):
    before = max(0, run_pycocotools(evaluated).stats[1])
    costs = cost(evaluated)
    assert list(costs) == list(KINDS[1:])
    assert all(0 <= value <= 1 - before + 1e-12 for value in costs.values())


@given(evaluations())
def test_a_kind_that_does_not_occur_costs_nothing(evaluated):
    errors = find_errors(evaluated)
    costs = measure_costs(evaluated, errors)
    for number, kind in enumerate(KINDS[1:-1], 1):
        assert costs[kind] == 0 or (errors.kind == number).any()
    assert costs["missed"] == 0 or len(errors.missed)


@given(evaluations())
def test_counts_without_a_threshold_are_all(evaluated):
    errors = find_errors(evaluated)
    counts = count_kinds(evaluated, errors, dict.fromkeys(evaluated.names, 0.0))
    assert sum(counts[kind] for kind in KINDS[:-1]) == (errors.kind >= 0).sum()
    assert counts["correct"] + counts["missed"] == sum(count_objects(evaluated).values())
