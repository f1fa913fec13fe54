import dataclasses
import json

import numpy as np
import pytest
from made_models import detect, make_photos, write_model
from random_evaluated import make_random

from tfod.evaluation.metrics import measure_coco
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth
from tfod.report.analysis import measure_facts
from tfod.report.comparison import (
    compare,
    find_differences,
    list_warnings,
    rank_disagreements,
    read_costs,
    read_evaluated_models,
)
from tfod.report.comparison_page import describe_difference, format_comparison, format_interval
from tfod.utils.console import InputError


def make_facts(folder, evaluated):
    report = {"metrics": measure_coco(evaluated).metrics, "images": len(evaluated.images), "classes": []}
    return measure_facts(folder, report, None, evaluated)


def compare_all(tmp_path, *all_evaluated, resamples=300):
    models = [make_facts(tmp_path / f"model{number}", one) for number, one in enumerate(all_evaluated)]
    return compare(models, resamples, seed=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """`make_photos` of 40 images."""
    return make_photos(tmp_path_factory.mktemp("photos"), 40)


def test_values_are_those_of_the_evaluation(tmp_path):
    for seed in range(3):
        one = make_random(seed, images=20)
        report = compare_all(tmp_path, one, make_random(seed, images=20))
        facts = make_facts(tmp_path, one)
        metrics = measure_coco(one).metrics
        values = {name: report["models"][0]["metrics"][name]["value"] for name in report["models"][0]["metrics"]}
        assert values["mAP"] == pytest.approx(metrics["DetectionBoxes_Precision/mAP"], abs=1e-6)
        assert values["AP50"] == pytest.approx(metrics["DetectionBoxes_Precision/mAP@.50IOU"], abs=1e-6)
        assert values["AP75"] == pytest.approx(metrics["DetectionBoxes_Precision/mAP@.75IOU"], abs=1e-6)
        assert values["AR"] == pytest.approx(metrics["DetectionBoxes_Recall/AR@100"], abs=1e-6)
        assert values["recall"] == pytest.approx(1 - facts.missed.sum() / facts.counted.sum(), abs=1e-6)
        assert values["precision"] == pytest.approx(facts.counts["correct"] / facts.confident.sum(), abs=1e-6)
        scores = [curve.best_f1 for curve in facts.curves.values() if curve.objects]
        assert values["F1"] == pytest.approx(np.mean(scores), abs=1e-6)
        by_class = {one.id: one.ap for one in measure_coco(one).classes}
        for label, interval in report["models"][0]["classes"].items():
            assert interval["value"] == (None if by_class[label] < 0 else pytest.approx(by_class[label], abs=1e-6))


def test_better_worse_same_and_what_can_not_be_told(tmp_path, photos):
    good, again, bad = (
        detect(photos, 1, noise=1),
        detect(photos, 5, noise=1),
        detect(photos, 3, noise=4, missed=0.3, wrong=0.5),
    )
    report = compare_all(tmp_path, good, again, bad, good)
    verdicts = [one["differences"]["mAP"]["verdict"] for one in report["models"][1:]]
    assert verdicts == ["open", "worse", "same"]
    assert compare_all(tmp_path, bad, good)["models"][1]["differences"]["mAP"]["verdict"] == "better"
    texts = [describe_difference(report, number) for number in (1, 2, 3)]
    assert texts[0].startswith("model1 and model0 can't be told apart on these 40 images: mAP ")
    assert texts[1].startswith("model2 is worse than model0 on these 40 images: mAP -0.")
    assert texts[2] == "model3 and model0 have the same mAP on these 40 images"
    for one in report["models"][1:]:
        assert all(edge["low"] <= edge["high"] for edge in one["differences"].values())


def test_differences_are_paired(tmp_path, photos):
    """The images differ much, the models in one box of each: together they tell what apart they could not."""
    first = detect(photos, 4, missed=0.3)
    box = first.detections.box + np.where(np.arange(len(first.detections.score))[:, None] % 2, [0, 0, 0, 3.0], 0)
    other = dataclasses.replace(first, detections=first.detections._replace(box=box))
    report = compare_all(tmp_path, first, other)
    one, difference = report["models"][0]["metrics"]["mAP"], report["models"][1]["differences"]["mAP"]
    assert difference["verdict"] == "worse"
    assert difference["high"] - difference["low"] < (one["high"] - one["low"]) / 2
    assert report["models"][1]["metrics"]["mAP"]["high"] > one["value"]


def test_equal_detectors_are_seldom_told_apart(tmp_path):
    """Of pairs that differ by chance only, about one in twenty looks like a difference; never most of them."""
    verdicts = []
    for number in range(60):
        empty = Evaluated({1: "cat"}, *make_boxes(20))
        pair = [detect(empty, 1000 * number + k, noise=2, missed=0.2, wrong=0.3) for k in range(2)]
        report = compare_all(tmp_path, *pair, resamples=200)
        verdicts.append(report["models"][1]["differences"]["mAP"]["verdict"])
    assert verdicts.count("open") >= 51  # 85 %


def make_boxes(images):
    box = [[10, 10, 40, 50]] * images
    photos = [Image(f"{number}.jpg", 96, 64, "none.jpg") for number in range(images)]
    return photos, make_ground_truth(range(images), [1] * images, box), make_detections()


def test_five_images_are_too_few(tmp_path):
    empty = Evaluated({1: "cat"}, *make_boxes(5))
    report = compare_all(tmp_path, detect(empty, 1), detect(empty, 1, noise=8))
    assert report["models"][1]["differences"]["mAP"]["verdict"] == "few"
    text = describe_difference(report, 1)
    assert text.startswith("model1 and model0 can't be told apart on 5 images with objects, which are too few: mAP -")


def test_nothing_to_find_and_nothing_found(tmp_path):
    photos, ground_truth, none = make_boxes(8)
    found = make_detections([0], [1], [[0, 0, 9, 9]], [0.9])
    report = compare_all(tmp_path, *[Evaluated({1: "cat"}, photos, make_ground_truth(), one) for one in (found, none)])
    assert report["models"][0]["metrics"]["mAP"] == {"value": None, "low": None, "high": None}
    assert describe_difference(report, 1) == "model1 and model0: mAP has nothing to measure on these 8 images"
    report = compare_all(tmp_path, *[Evaluated({1: "cat"}, photos, ground_truth, none)] * 2)
    assert report["models"][0]["metrics"]["mAP"]["value"] == 0
    assert report["models"][0]["metrics"]["precision"]["value"] is None
    for one in report["models"]:
        one["costs"] = {"evaluation": None, "checkpoint": None, "exported": [], "machine": None}
    assert "n/a" in format_comparison(report)


def test_seed_decides_the_resamples(tmp_path, photos):
    models = [make_facts(tmp_path / str(seed), detect(photos, seed, missed=0.2)) for seed in range(2)]
    assert compare(models, 200, 1) == compare(models, 200, 1)
    assert compare(models, 200, 1) != compare(models, 200, 2)


def test_disagreements_by_hand(tmp_path):
    """Image 0: found by one only. 1: a wrong box more. 2: two found by one only, and a wrong box. 3: no difference."""
    boxes = [[10, 10, 30, 30], [40, 40, 60, 60]]
    ground_truth = make_ground_truth([0, 1, 2, 2, 3], [1] * 5, [boxes[0], boxes[0], *boxes, boxes[0]])
    photos = [Image(f"{number}.jpg", 96, 64, "none.jpg") for number in range(4)]
    rows = [(0, boxes[0]), (1, boxes[0]), (2, boxes[0]), (2, boxes[1]), (3, boxes[0])]
    others = [(1, boxes[0]), (1, boxes[1]), (2, [0, 70, 10, 90]), (3, boxes[0])]
    models = []
    for number, some in enumerate((rows, others)):
        image, box = zip(*some, strict=True)
        found = make_detections(image, [1] * len(image), box, [0.9] * len(image))
        models.append(make_facts(tmp_path / str(number), Evaluated({1: "cat"}, photos, ground_truth, found)))
    assert rank_disagreements(models) == [(2, 3), (0, 1), (1, 1)]
    assert rank_disagreements(models[:1] * 3) == []


# ---------------------------------------------------------------- reading


def test_order_and_place_of_the_images_do_not_matter(tmp_path, photos):
    first, other = detect(photos, 1, wrong=0.4), detect(photos, 2, wrong=0.4)
    moved = np.random.default_rng(0).permutation(len(photos.images))
    back = np.argsort(moved)
    ground_truth = other.ground_truth
    order = np.argsort(back[ground_truth.image], kind="stable")
    mixed = Evaluated(
        other.names,
        [other.images[index]._replace(path="elsewhere.record", number=3) for index in moved],
        make_ground_truth(back[ground_truth.image][order], ground_truth.label[order], ground_truth.box[order] + 1e-4),
        make_detections(back[other.detections.image], *other.detections[1:]),
    )
    write_model(tmp_path / "a", first)
    write_model(tmp_path / "b", other)
    write_model(tmp_path / "c", mixed)
    a, b, c = read_evaluated_models([tmp_path / name for name in "abc"])
    assert c.evaluated.images == a.evaluated.images
    for mine, theirs in zip(c.evaluated.detections, b.evaluated.detections, strict=True):
        np.testing.assert_allclose(mine, theirs)
    report = compare([a, b, c], 100, 1)
    assert report["models"][1]["differences"] == report["models"][2]["differences"]


def test_everything_that_is_in_the_way_is_named_at_once(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "models/a", photos)
    less = make_photos(tmp_path / "less", 37)
    write_model(tmp_path / "models/less", less)
    shifted = dataclasses.replace(photos, ground_truth=photos.ground_truth._replace(box=photos.ground_truth.box + 1))
    write_model(tmp_path / "models/boxes", shifted)
    write_model(tmp_path / "models/labels", dataclasses.replace(photos, names={1: "dog", 2: "cat", 3: "owl"}))
    (tmp_path / "models/new").mkdir()
    write_model(tmp_path / "models/old", photos)
    (tmp_path / "models/old/metrics.json").write_text('{"step": 3, "checkpoint": "x", "metrics": {}}')
    names = ["a", "less", "boxes", "labels", "new", "old", "none"]
    with pytest.raises(InputError) as error:
        read_evaluated_models([(tmp_path / "models" / name).relative_to(tmp_path) for name in names])
    text = str(error.value)
    for line in (
        "models/new: was not evaluated, it has no metrics.json; make eval MODEL=new",
        "models/none: is not there; evaluated models here are a, boxes, labels, less, old",
        "models/old/metrics.json: is not what an evaluation writes today",
        "models/less: was evaluated on other images than models/a: lacks photo 37.jpg, photo 38.jpg, photo 39.jpg;"
        " evaluate both on the same ones: make eval MODEL=a and make eval MODEL=less",
        "models/boxes: was evaluated on other images than models/a: other boxes are labelled in photo 0.jpg,"
        " photo 1.jpg, photo 10.jpg and 37 more",
        "models/labels: has another label map than models/a: class 1 is 'cat' in a and 'dog' in labels, class 2 is"
        " 'dog' in a and 'cat' in labels, class 3 is not in a and 'owl' in labels",
    ):
        assert line in text
    assert len(error.value.faults) == 6


def test_images_of_one_name_are_kept_apart(tmp_path):
    photos, ground_truth, _ = make_boxes(2)
    photos = [photos[0], photos[0]._replace(path="other.jpg")]
    one = make_facts(tmp_path / "a", Evaluated({1: "cat"}, photos, ground_truth, make_detections()))
    other = make_facts(tmp_path / "b", Evaluated({1: "cat"}, photos[:1], make_boxes(1)[1], make_detections()))
    assert find_differences(one, one) == []
    assert "lacks 0.jpg" in find_differences(one, other)[0]


def test_older_checkpoint_than_the_newest_is_told(tmp_path, photos):
    folder = write_model(tmp_path / "models/a", photos, checkpoint=str(tmp_path / "models/a/ckpt-600"))
    (facts,) = read_evaluated_models([folder])
    assert list_warnings([facts]) == []
    for name in ("ckpt-900.index", "ckpt-900.data-00000-of-00001"):
        (folder / name).touch()
    (folder / "checkpoint").write_text('model_checkpoint_path: "ckpt-900"\n')
    (warning,) = list_warnings([facts])
    assert warning.endswith("models/a: ckpt-600 was evaluated, and ckpt-900 is the newest; make eval MODEL=a")


def test_costs_are_those_of_the_export_and_its_benchmark(tmp_path, photos):
    folder = write_model(tmp_path / "models/a", photos)
    (facts,) = read_evaluated_models([folder])
    exports = tmp_path / "exported"
    nothing = {"evaluation": 0.05, "checkpoint": None, "exported": [], "machine": None}
    assert read_costs(facts, exports) == nothing
    (exports / "a/saved_model/variables").mkdir(parents=True)
    (exports / "a/saved_model/saved_model.pb").write_bytes(bytes(1_500_000))
    (exports / "a/saved_model/variables/x").write_bytes(bytes(500_000))
    (exports / "a/tflite").mkdir()
    (exports / "a/tflite/model_int8.tflite").write_bytes(bytes(250_000))
    rows = [
        {"name": "TFLite int8", "one_p50": 12.5, "throughput": 70.0},
        {"name": "ONNX", "one_p50": 1, "throughput": 2},
    ]
    (exports / "a/benchmark.json").write_text(json.dumps({"machine": "a board", "formats": rows}))
    costs = read_costs(facts, exports)
    assert costs["machine"] == "a board"
    assert costs["exported"] == [
        {"format": "SavedModel", "megabytes": 2.0, "ms": None, "images_per_second": None},
        {"format": "TFLite int8", "megabytes": 0.25, "ms": 12.5, "images_per_second": 70.0},
    ]
    (exports / "a/benchmark.json").write_text("[]")
    with pytest.raises(InputError, match="is not what `make benchmark` writes"):
        read_costs(facts, exports)


def test_intervals_as_text():
    one = {"value": 0.0604, "low": 0.02, "high": 0.11}
    assert format_interval(one) == "0.060 [0.020, 0.110]"
    assert format_interval(one, signed=True) == "+0.060 [+0.020, +0.110]"
    assert format_interval({"value": 0.5, "low": None, "high": None}) == "0.500"
    assert format_interval({"value": None, "low": None, "high": None}) == "n/a"
