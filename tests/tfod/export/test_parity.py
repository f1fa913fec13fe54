import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod.export.parity import compare_detections, compare_formats

SIZE = (200, 100)  # width, height


def make_detections(*rows):
    """(boxes, classes, scores) of rows (ymin, xmin, ymax, xmax, class, score)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return table[:, :4], table[:, 4].astype(int), table[:, 5]


CAT, DOG = (0.1, 0.1, 0.5, 0.5, 1, 0.9), (0.3, 0.3, 0.9, 0.9, 2, 0.8)


def compare(one, other, **options):
    return compare_detections([one], [other], [SIZE], **options)


def test_distances_are_pixels_of_the_photo():
    moved = (0.1, 0.1, 0.5, 0.51, 1, 0.85)
    found = compare(make_detections(CAT, DOG), make_detections(moved, DOG))
    assert found.largest_box == pytest.approx(2)  # 0.01 of 200 pixels
    assert found.mean_box == pytest.approx(1)
    assert found.largest_score == pytest.approx(0.05)
    assert found.missing == 0
    assert found.holds(2.1, 0.06)
    assert not found.holds(1.9, 0.06)
    assert not found.holds(2.1, 0.04)


@given(st.permutations([CAT, DOG, (0.6, 0.1, 0.8, 0.3, 1, 0.9), (0.6, 0.1, 0.8, 0.31, 1, 0.9)]))
def test_order_makes_no_difference(rows):
    found = compare(make_detections(*rows), make_detections(*reversed(rows)))
    assert (found.largest_box, found.largest_score, found.missing) == (0, 0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([CAT, DOG], [CAT]),
        ([CAT], [CAT, DOG]),
        ([DOG], [(*DOG[:4], 1, 0.8), DOG]),  # another class
        ([CAT], [CAT, CAT]),  # twice
    ],
)
def test_detection_without_a_counterpart_is_missing_on_either_side(ours, theirs):
    found = compare(make_detections(*ours), make_detections(*theirs))
    assert found.missing == 1
    assert not found.holds(100, 1)
    assert "1 without a counterpart" in str(found)


def test_where_nothing_was_compared_it_says_so():
    unsure = make_detections((*CAT[:5], 0.1))
    assert str(compare(unsure, unsure, score_threshold=0.3)) == "no detections to compare"


def test_boxes_without_an_area_are_left_out():
    flat = (0.2, 1.0, 0.4, 1.0, 1, 0.9)
    found = compare(make_detections(CAT, flat), make_detections(CAT))
    assert (len(found.boxes), found.missing) == (1, 0)


def test_a_sure_detection_may_have_its_pair_below_the_score_threshold():
    found = compare(make_detections((*CAT[:5], 0.31)), make_detections((*CAT[:5], 0.29)), score_threshold=0.3)
    assert found.missing == 0
    assert found.largest_score == pytest.approx(0.02)


@pytest.mark.parametrize(("number", "spread", "compared"), [(10, 1e-6, 0), (10, 1e-3, 10), (9, 1e-6, 9)])
def test_where_all_scores_are_alike_nothing_is_compared(number, spread, compared):
    """Of many; a single detection is nothing that rounding chose."""
    rows = [(0.1 * n, 0.1, 0.1 * n + 0.1, 0.5, 1, 0.01 + spread * n / 9) for n in range(number)]
    found = compare(make_detections(*rows), make_detections(*rows), least_spread=1e-4)
    assert len(found.boxes) == compared
    assert found.left_out == (compared == 0)
    assert ("left out: what is found in 1 photo, all of one score" in str(found)) == (compared == 0)


ROW = [(0.1 * n, 0.1, 0.1 * n + 0.1, 0.5, 1, 0.05 + 0.001 * n) for n in range(10)]


def test_a_peak_of_centernet_may_come_and_go_where_it_is_not_sure():
    def compare(ours, theirs, family="center_net"):
        return compare_formats([make_detections(*ours)], [make_detections(*theirs)], [SIZE], family)

    assert compare(ROW, ROW[1:]).holds(0, 0)
    assert compare(ROW[1:], ROW).holds(0, 0)
    assert not compare(ROW, ROW[1:], "faster_rcnn").holds(0, 0)
    assert not compare(ROW, ROW[2:]).holds(0, 0)  # more than one in ten
    sure = (*ROW[0][:5], 0.31)
    assert not compare([*ROW[1:], sure], ROW[1:]).holds(0, 0)
    assert not compare(ROW[1:], [*ROW[1:], sure]).holds(0, 0)
    moved = (0.0, 0.1, 0.1, 0.51, 1, 0.05)
    assert compare([moved, *ROW[1:]], ROW).largest_box == pytest.approx(2)


def test_an_ssd_whose_scores_are_all_alike_is_compared_by_its_anchors_alone():
    alike = make_detections(*((*row[:5], 0.01 + 1e-4 * n) for n, row in enumerate(ROW)))  # within the 0.001 of a format
    nothing = make_detections(*((*row[:5], 0.01) for row in ROW[5:]))
    for family, holds in (("ssd", True), ("center_net", False), ("faster_rcnn", False)):
        assert compare_formats([alike], [nothing], [SIZE], family).holds(0, 0) == holds
    apart = make_detections(*((*row[:5], 0.01 + 2e-4 * n) for n, row in enumerate(ROW)))
    assert not compare_formats([apart], [nothing], [SIZE], "ssd").holds(0, 1)
