import numpy as np
import pytest
from random_evaluated import make_random

from tfod.evaluation.bootstrap import match_detections
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth
from tfod.evaluation.summaries import THRESHOLDS, count_at_thresholds, write_pr_curves


def make_one():
    """Two objects of class 1; found: one at 0.8 and again at 0.6, and nothing where 0.705 points. Class 2 has none."""
    box = [10, 10, 50, 50]
    ground_truth = make_ground_truth([0, 0], [1, 1], [box, [60, 60, 90, 90]])
    found = make_detections([0, 0, 0, 0], [1, 1, 1, 2], [box, box, [0, 60, 9, 90], box], [0.8, 0.6, 0.705, 0.9])
    return Evaluated({1: "a/b 浣熊", 2: "dog"}, [Image("a.jpg", 99, 99, "a.jpg")], ground_truth, found)


def test_counts_worked_out_by_hand():
    table = count_at_thresholds(match_detections(make_one(), [0.5])[1])
    assert table.shape == (6, len(THRESHOLDS))
    columns = {threshold: table[:, round(threshold * 200)].tolist() for threshold in (0, 0.6, 0.605, 0.705, 0.8, 0.805)}
    assert columns[0] == columns[0.6] == pytest.approx([1, 2, 0, 1, 1 / 3, 0.5])
    assert columns[0.605] == columns[0.705] == [1, 1, 0, 1, 0.5, 0.5]
    assert columns[0.8] == [1, 0, 0, 1, 1, 0.5]
    assert columns[0.805] == [0, 0, 0, 2, 0, 0]


def test_counts_are_those_of_a_loop_over_thresholds():
    for matches in match_detections(make_random(3), [0.5]).values():
        table = count_at_thresholds(matches)
        for threshold, (hits, false, none, missed, precision, recall) in zip(THRESHOLDS, table.T, strict=True):
            high = (matches.score >= threshold) & ~matches.ignored[0]
            assert hits == (high & matches.correct[0]).sum()
            assert hits + false == high.sum()
            assert none == 0
            assert hits + missed == matches.objects.sum()
            assert precision == pytest.approx(hits / max(hits + false, 1))
            assert recall == pytest.approx(hits / max(matches.objects.sum(), 1))


def test_tensorboard_reads_a_curve_for_every_class_with_objects(tmp_path):
    import tensorflow as tf
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.pr_curve.pr_curves_plugin import PrCurvesPlugin

    with tf.summary.create_file_writer(str(tmp_path / "eval")).as_default():
        write_pr_curves(make_one(), 500)
        write_pr_curves(make_one(), 600)
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    plugin = PrCurvesPlugin(TBContext(data_provider=MultiplexerDataProvider(runs, str(tmp_path))))
    tag = "PR at IoU 0.50/a/b 浣熊"
    assert list(plugin.tags_impl(RequestContext(), "")["eval"]) == [tag]
    curves = plugin.pr_curves_impl(RequestContext(), "", ["eval"], tag)["eval"]
    assert [curve["step"] for curve in curves] == [500, 600]
    assert len(curves[0]["precision"]) == 161  # up to 0.8; nothing is detected above it
    np.testing.assert_allclose(curves[0]["recall"], 0.5)
