import contextlib
import io
import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_evaluated import make_random, repeat_images

from tfod.evaluation.bootstrap import (
    draw_resamples,
    find_percentile_interval,
    match_detections,
    measure_resamples,
    summarize,
)
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth, write_evaluated


def ask_pycocotools(folder, one):
    """(mAP, AP50, AP75, AR), AP of each class, by pycocotools on the two files; NaN where it says -1."""
    folder.mkdir(exist_ok=True)
    write_evaluated(folder, one)
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(folder / "ground_truth.json")
        coco = COCOeval(ground_truth, ground_truth.loadRes(str(folder / "detections.json")), "bbox")
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    stats = coco.stats[[0, 1, 2, 8]]
    precision = coco.eval["precision"][:, :, :, 0, 2]
    classes = precision.mean(axis=(0, 1))
    return np.where(stats < 0, np.nan, stats), np.where(classes < 0, np.nan, classes)


def measure(one, counts):
    measured = measure_resamples(match_detections(one), np.asarray(counts))
    return np.stack(list(summarize(measured).values()), axis=1), measured.precision.mean(axis=2)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_every_image_once_is_pycocotools_result(tmp_path, seed, ties):
    one = make_random(seed, images=20, ties=ties)
    ours, ours_by_class = measure(one, np.ones((1, 20), int))
    theirs, theirs_by_class = ask_pycocotools(tmp_path, one)
    np.testing.assert_allclose(ours[0], theirs, atol=1e-9)
    np.testing.assert_allclose(ours_by_class[0], theirs_by_class, atol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_resample_is_pycocotools_result_of_repeated_images(tmp_path, ties):
    one = make_random(5, images=10, ties=ties)
    counts = draw_resamples(10, 25, seed=1)
    ours, ours_by_class = measure(one, counts)
    absent = 0
    for number, row in enumerate(counts):
        theirs, theirs_by_class = ask_pycocotools(tmp_path, repeat_images(one, row))
        np.testing.assert_allclose(ours[number], theirs, atol=1e-9)
        np.testing.assert_allclose(ours_by_class[number], theirs_by_class, atol=1e-9)
        absent += np.isnan(theirs_by_class).sum()
    assert absent  # the class of the first image was left out at least once


def make_boxes(labels_and_scores):
    """One image, an object of class 1, and detections on it."""
    box = [[10, 10, 50, 50]]
    found = make_detections(
        [0] * len(labels_and_scores),
        [label for label, _ in labels_and_scores],
        box * len(labels_and_scores),
        [score for _, score in labels_and_scores],
    )
    return Evaluated({1: "cat", 2: "dog"}, [Image("a.jpg", 99, 99, "a.jpg")], make_ground_truth([0], [1], box), found)


def test_perfect_duplicated_wrong_and_no_detections():
    for detections, expected in [
        ([(1, 0.9)], [1, 1, 1, 1]),
        ([(1, 0.9), (1, 0.8)], [1, 1, 1, 1]),  # the copy comes when all is found
        ([(2, 0.9)], [0, 0, 0, 0]),
        ([], [0, 0, 0, 0]),
    ]:
        values, _ = measure(make_boxes(detections), [[1], [3]])
        np.testing.assert_allclose(values, [expected, expected], atol=1e-9)


def test_no_objects_no_classes_no_images():
    one = make_boxes([(1, 0.9)])
    nothing = Evaluated(one.names, one.images, make_ground_truth(), one.detections)
    assert np.isnan(measure(nothing, [[1]])[0]).all()
    assert find_percentile_interval(measure(nothing, [[1]])[0][:, 0]) == pytest.approx((np.nan, np.nan), nan_ok=True)
    empty = Evaluated({}, [], make_ground_truth(), make_detections())
    assert match_detections(empty) == {}


def test_crowd_takes_detections_away_from_the_false_ones():
    one = make_boxes([(1, 0.9), (1, 0.8)])
    ground_truth = make_ground_truth([0, 0], [1, 1], [[10, 10, 50, 50], [0, 0, 90, 90]], [False, True])
    (matches, _) = match_detections(Evaluated(one.names, one.images, ground_truth, one.detections)).values()
    assert matches.correct[0].tolist() == [True, False]
    assert matches.ignored[0].tolist() == [False, True]
    assert matches.objects.tolist() == [1]


def test_resamples_are_as_large_as_the_data_and_lasting():
    counts = draw_resamples(20, 1000, seed=3)
    assert (counts.sum(axis=1) == 20).all()
    assert abs(counts.mean(axis=0) - 1).max() < 0.15
    np.testing.assert_array_equal(counts, draw_resamples(20, 1000, seed=3))
    assert (counts != draw_resamples(20, 1000, seed=4)).any()


def test_interval_holds_the_middle():
    assert find_percentile_interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
    assert find_percentile_interval(np.array([0.5, np.nan])) == (0.5, 0.5)


def test_thousand_resamples_of_two_hundred_images_take_a_moment():
    matches = match_detections(make_random(1, images=200, objects=20))
    began = time.perf_counter()
    measure_resamples(matches, draw_resamples(200, 1000, seed=1))
    assert time.perf_counter() - began < 20  # 1 s on an idle core; pycocotools takes minutes


def test_intervals_cover_the_truth():
    """Of many test sets drawn from one population, the interval of about 95 in 100 holds the population's metric."""
    population = make_random(7, images=400, classes=1)
    (everything,), _ = measure(population, np.ones((1, 400), int))
    matches = match_detections(population)
    random, inside = np.random.default_rng(0), 0
    for number in range(60):
        rows = random.choice(400, 40, replace=False)
        drawn = np.zeros((200, 400), int)
        drawn[:, rows] = draw_resamples(40, 200, seed=number)
        low, high = find_percentile_interval(summarize(measure_resamples(matches, drawn))["mAP"])
        inside += low <= everything[0] <= high
    assert 51 <= inside <= 60  # 85 % and more
