import json

import numpy as np
import pytest
from conftest import label_photo

from tfod.data import tfrecord
from tfod.data.images import read_image
from tfod.evaluation import results
from tfod.utils.console import InputError


def make_one():
    images = [results.Image("a.jpg", 96, 64, "images/a.jpg"), results.Image("b.jpg", 50, 40, "test.record", 1)]
    ground_truth = results.make_ground_truth(
        [0, 1], [1, 2], [[1, 2, 11.5, 22], [0, 0, 40, 50]], [False, True], [True, False]
    )
    found = results.make_detections(
        [1, 0, 1], [2, 1, 1], [[0, 0, 40, 50], [1, 2, 3, 4], [5, 6, 7, 8]], [0.25, 0.5, 1 / 3]
    )
    return results.Evaluated({1: "cat", 2: "浣熊"}, images, ground_truth, found)


def test_what_was_written_is_read_again(tmp_path):
    one = make_one()
    results.write_evaluated(tmp_path, one)
    again = results.read_evaluated(tmp_path)
    assert (again.names, again.images) == (one.names, one.images)
    for written, read in zip(
        (*one.ground_truth, *one.detections), (*again.ground_truth, *again.detections), strict=True
    ):
        np.testing.assert_array_equal(written, read)
        assert written.dtype == read.dtype


def test_detections_are_sorted_by_image_and_score():
    assert make_one().detections.score.tolist() == [0.5, 1 / 3, 0.25]


def test_pycocotools_reads_the_files(tmp_path):
    from pycocotools.coco import COCO

    results.write_evaluated(tmp_path, make_one())
    ground_truth = COCO(tmp_path / "ground_truth.json")
    found = ground_truth.loadRes(str(tmp_path / "detections.json"))
    assert [one["bbox"] for one in ground_truth.loadAnns([1, 2])] == [[2, 1, 20, 10.5], [0, 0, 50, 40]]
    assert [one["iscrowd"] for one in ground_truth.loadAnns([1, 2])] == [0, 1]
    assert sorted(one["score"] for one in found.dataset["annotations"]) == [0.25, 1 / 3, 0.5]


def test_nothing_at_all(tmp_path):
    none = results.Evaluated({}, [], results.make_ground_truth(), results.make_detections())
    results.write_evaluated(tmp_path, none)
    assert len(results.read_evaluated(tmp_path).detections.score) == 0


def test_files_that_do_not_belong_together(tmp_path):
    results.write_evaluated(tmp_path, make_one())
    (tmp_path / "detections.json").write_text(
        json.dumps([{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}])
    )
    with pytest.raises(InputError, match="do not belong together"):
        results.read_evaluated(tmp_path)
    (tmp_path / "detections.json").unlink()
    with pytest.raises(InputError, match="detections.json: can't be read"):
        results.read_evaluated(tmp_path)


def test_photos_come_from_files_and_from_records(tmp_path):
    paths = [label_photo(tmp_path, f"{i}.png", i) for i in range(3)]
    examples = [tfrecord.make_example(path.name, path.read_bytes(), "png", 96, 64, [], {"cat": 1}) for path in paths]
    tfrecord.write_records(tmp_path / "test.record", examples)
    expected = np.asarray(read_image(paths[1]))
    for image in (
        results.Image("1.png", 96, 64, str(paths[1])),
        results.Image("1.png", 96, 64, str(tmp_path / "test.record"), 1),
    ):
        np.testing.assert_array_equal(np.asarray(results.load_photo(image)), expected)
    with pytest.raises(InputError, match="no longer has a record 4"):
        results.load_photo(results.Image("3.png", 96, 64, str(tmp_path / "test.record"), 3))
    with pytest.raises(InputError, match="can't be read"):
        results.load_photo(results.Image("3.png", 96, 64, str(tmp_path / "gone.record"), 3))
