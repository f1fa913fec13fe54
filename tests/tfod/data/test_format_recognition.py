"""What is found in a folder of another tool: photos by whatever a tool calls them, label files of photos, subsets."""

import json

import pytest
from tool_exports import EXPORTS, SIZES, put_photos, write

from tfod.data.format_readers import read_csv, read_yolo
from tfod.data.format_reading import Photos, find_subset, match_labels
from tfod.data.format_recognition import find_parts, recognize_csv, recognize_json, recognize_xml
from tfod.data.formats import list_images_below
from tfod.utils.console import InputError

NAMES = [
    "images/a.jpg",
    "images/b c.jpg",
    "train/x.jpg",
    "val/x.jpg",
    "task/B\u00e4r.PNG",
    "1234abcd-cat.jpg",
    "dog.png",
]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("images/a.jpg", "images/a.jpg"),
        ("./images/a.jpg", "images/a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("a", "images/a.jpg"),
        ("A.JPG", "images/a.jpg"),
        (r"C:\Users\me\images\a.jpg", "images/a.jpg"),
        ("../../somewhere/else/a.jpg", "images/a.jpg"),
        ("/home/me/train/x.jpg", "train/x.jpg"),
        (r"..\val\x.jpg", "val/x.jpg"),
        ("/data/local-files/?d=my%20project/images/b%20c.jpg", "images/b c.jpg"),
        ("https://example.org/media/b%20c.jpg?signature=1", "images/b c.jpg"),
        ("s3://bucket/deep/a.jpg", "images/a.jpg"),
        ("/data/upload/3/89abcdef-a.jpg", "images/a.jpg"),
        ("/data/upload/3/1234abcd-cat.jpg", "1234abcd-cat.jpg"),
        ("Ba\u0308r.png", "task/B\u00e4r.PNG"),
        ("dog.jpg", None),
        ("", None),
        ("..", None),
    ],
)
def test_a_photo_is_found_by_whatever_a_tool_calls_it(said, name):
    photos = Photos(dict.fromkeys(NAMES))
    assert photos.find(said) == name
    assert photos.missing == ([] if name else [said])


def test_of_photos_of_one_name_the_one_near_the_file_is_meant():
    for place, name in [
        ("train/_annotations.csv", "train/x.jpg"),
        ("annotations/instances_val.json", "val/x.jpg"),
        ("labels.csv", None),
    ]:
        photos = Photos(dict.fromkeys(NAMES), place)
        assert photos.find("x.jpg") == name
    (fault,) = photos.list_faults("labels.csv")
    assert fault == "labels.csv: 'x.jpg' may be train/x.jpg, val/x.jpg; rename all but one"


@pytest.mark.parametrize(
    ("name", "subset", "by_folders"),
    [
        ("train/a.jpg", "train", "train"),
        ("VAL2017/a.jpg", "val", "val"),
        ("images/validation/deep/a.jpg", "val", "val"),
        ("test-1.jpg", "test", None),
        ("annotations/instances_train2017.json", "train", None),
        ("train_test.csv", None, None),
        ("train/test/a.jpg", None, None),
        ("trains/a.jpg", None, None),
        ("contest/latest.jpg", None, None),
    ],
)
def test_subsets_that_names_tell(name, subset, by_folders):
    assert find_subset(name) == subset
    assert find_subset(name, by_name=False) == by_folders


def test_label_files_and_their_photos():
    images = ["images/train/a.jpg", "images/val/a.jpg", "b.jpg", "b.png", "c/d.jpg", "img/e.jpg"]
    files = ["labels/train/a.txt", "labels/val/a.txt", "b.txt", "gone.txt", "x/D.txt", "ann/e.jpg.json"]
    pairs, lone, shared = match_labels(files, images)
    assert pairs == {
        "labels/train/a.txt": "images/train/a.jpg",
        "labels/val/a.txt": "images/val/a.jpg",
        "x/D.txt": "c/d.jpg",
        "ann/e.jpg.json": "img/e.jpg",
    }
    assert lone == ["gone.txt"] and shared == {"b.txt": ["b.jpg", "b.png"]}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"images": [], "annotations": [], "categories": []}, "coco"),
        ({"images": [], "annotations": []}, None),
        ({"shapes": [], "imagePath": "a.jpg"}, "labelme"),
        ({"objects": [], "size": {}}, "supervisely"),
        ([{"data": {"image": "a.jpg"}, "annotations": []}], "labelstudio"),
        ([{"image": "a.jpg", "label": [{"x": 1, "rectanglelabels": ["cat"]}]}], "labelstudio"),
        ([{"image": "a.jpg", "annotations": []}], "createml"),
        ([{"image": "a.jpg", "caption": "a cat"}], None),
        ([], None),
        ([1, 2], None),
        ("text", None),
    ],
)
def test_json_files_are_told_apart(tmp_path, content, kind):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert recognize_json(tmp_path / "a.json") == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<annotation/>", "voc"),
        ("<?xml version='1.0'?><!-- by a tool --><annotations><meta/></annotations>", "cvat"),
        ("<svg/>", None),
        ("no xml", "voc"),  # and gets its fault
    ],
)
def test_xml_files_are_told_apart(tmp_path, text, kind):
    (tmp_path / "a.xml").write_text(text)
    assert recognize_xml(tmp_path / "a.xml") == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("filename,class,xmin,ymin,xmax,ymax\n", "csv"),
        ("image_path;label;x1;y1;x2;y2\n", "csv"),
        ("a.jpg,1,2,3,4,cat\n", "csv"),
        ("ImageID,LabelName,XMin,XMax,YMin,YMax\n", "openimages"),
        ("ImageID,Source,LabelName,Confidence\n", None),
        ("/m/01yrx,cat\n", None),
        ("", None),
    ],
)
def test_csv_files_are_told_apart(tmp_path, text, kind):
    (tmp_path / "a.csv").write_text(text)
    assert recognize_csv(tmp_path / "a.csv") == kind


def test_kinds_of_files_that_look_alike(tmp_path):
    put_photos(tmp_path)
    write(tmp_path / "meta.json", {"classes": []})
    write(tmp_path / "requirements.txt", "numpy\n")
    write(tmp_path / "p0.txt", "a caption of the photo\n")
    write(tmp_path / "_classes.csv", "cat,0\n")
    assert find_parts(tmp_path, {f"{photo}.jpg": tmp_path / f"{photo}.jpg" for photo in SIZES}) == []


def test_yolo_with_classes_as_floats_confidences_and_keypoints(tmp_path):
    put_photos(tmp_path)
    write(tmp_path / "p0.txt", "1.000 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2 0.9\n0 0.5 0.5 0.2 0.2 0.1 0.1 1 0.2 0.2 1\n")
    files, images = {"p0.txt": tmp_path / "p0.txt"}, list_images_below(tmp_path)
    reading = read_yolo(tmp_path, images, ["cat", "dog"], files, has_keypoints=True)
    assert [box.name for box in reading.images[0].boxes] == ["dog", "cat", "cat"]
    assert [(b.xmin, b.ymin) for b in reading.images[0].boxes] == [(38.4, 25.6)] * 3
    assert sorted(what for _, what in reading.counts) == [
        "boxes have keypoints, which are left out",
        "confidences are left out",
    ]


def test_columns_that_a_csv_lacks_are_named(tmp_path):
    put_photos(tmp_path)
    write(tmp_path / "a.csv", "image;label;x1;y1\np0.jpg;cat;1;2\n")
    with pytest.raises(InputError, match=r"a\.csv: has no column xmax, ymax; add it"):
        read_csv(tmp_path / "a.csv", list_images_below(tmp_path))


def test_every_export_is_one_kind(tmp_path):
    for name, make in EXPORTS.items():
        make(tmp_path / name)
        parts = find_parts(tmp_path / name, list_images_below(tmp_path / name))
        kind = name.partition("_")[0] if name != "several_tasks" else "cvat"
        assert {part.kind for part in parts} == {kind}, name
