"""Photos are annotated and what is found is saved as asked for; a person's own files are never written over."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, label_photo
from constant_detector import write_saved_model
from PIL import Image

from tfod.data.label_map import write_label_map
from tfod.data.voc import read_annotation
from tfod.inference.output_folder import is_proposal


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_saved_model(tmp_path_factory.mktemp("export") / "saved_model")


def test_each_image_is_annotated_under_its_own_name(infer, labelled_images, tmp_path, saved_model):
    code, output, _ = infer(model=saved_model)
    assert code == 0
    assert "Wrote 12 annotated images to result: 12 detections of score 0.5 or more" in output
    for path in labelled_images.glob("*.*"):
        if path.suffix == ".xml":
            continue
        with Image.open(path) as photo, Image.open(tmp_path / "result" / path.name) as drawn:
            assert drawn.size == photo.size
            assert np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(photo.convert("RGB"), int)).max() > 60


def test_second_run_does_nothing_until_something_changed(infer, labelled_images, tmp_path):
    infer()
    code, output, said = infer()
    assert (code, output) == (0, "")
    assert "result is up to date: annotated images of 12 photos" in said
    assert "24 detections of score 0.3" in infer("--score", 0.3)[1]
    (tmp_path / "result/a.jpg").unlink()
    assert infer("--score", 0.3)[0] == 0
    assert (tmp_path / "result/a.jpg").exists()


def test_broken_image_is_named_and_the_others_are_done(infer, labelled_images, tmp_path):
    broken = labelled_images / "a.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    code, output, said = infer()
    assert code == 1
    assert "error: images/a.jpg: " in said
    assert "Wrote 11 annotated images" in output
    assert not (tmp_path / "result/a.jpg").exists()
    assert infer()[0] == 1  # not taken for done


def test_photo_that_the_camera_turned_is_annotated_upright(infer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    label_photo(tmp_path / "images", "turned.jpg", photo=Image.new("RGB", (80, 40), "white"), exif=exif)
    assert infer()[0] == 0
    with Image.open(tmp_path / "result/turned.jpg") as drawn:
        assert drawn.size == (40, 80)
        assert drawn.getexif().get(0x0112, 1) == 1


def test_faults_of_the_call_are_named_at_once(infer, tmp_path):
    (tmp_path / "map.pbtxt").unlink()
    (tmp_path / "images").mkdir()
    code, _, said = infer("-o", "images", model="none")
    assert code == 1
    assert "error: none: is not there; name a saved_model folder (`make export`" in said
    assert "error: images: holds no images" in said
    assert "error: images: is input and output" in said
    assert "map.pbtxt" in said
    assert "4 errors" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--score", 1.5], "--score: 1.5 is not a number from 0 to 1"),
        (["--iou", -1], "--iou: -1 is not a number from 0 to 1"),
        (["--max_boxes", 0], "--max_boxes: 0 is not a number of 1 or more"),
        (["--save", "images,gif"], "--save gif: choose from images,json,csv,coco,voc,crops,video"),
    ],
)
def test_wrong_calls_end_with_2(infer, words, message):
    code, _, said = infer(*words)
    assert code == 2
    assert message in said


# ---------------------------------------------------------------- what is saved


def test_totals_name_the_classes_and_where_the_time_went(infer, labelled_images):
    _, output, _ = infer("--score", 0.3)
    assert "  dog: 12\n  cat: 12\n" in output
    assert "s to load the model, then " in output and " images/s; of that time: read " in output


@pytest.mark.attack
def test_a_class_that_a_spreadsheet_would_run_stands_after_an_apostrophe(infer, labelled_images, tmp_path):
    write_label_map(tmp_path / "map.pbtxt", {"=cat": 1, "-dog": 2})
    assert infer("--save", "csv", "--score", 0.3)[0] == 0
    with (tmp_path / "result/detections.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["class"] for row in csv.DictReader(stream)} == {"'=cat", "'-dog"}


def test_every_kind_of_file_holds_the_same_boxes(infer, labelled_images, tmp_path):
    code, _, said = infer("--save", "images,json,csv,coco,voc,crops", "--score", 0.3)
    assert code == 0, said
    result = tmp_path / "result"
    found = json.loads((result / "detections.json").read_text())
    assert found["classes"] == {"1": "cat", "2": "dog"} and len(found["images"]) == 12
    first = found["images"][0]
    assert first["file"] == "images/-dash.jpg" and (first["width"], first["height"]) == (96, 64)
    dog = {"class": "dog", "id": 2, "score": 0.9, "box": [9.6, 6.4, 57.6, 38.4]}
    assert all(image["detections"][0] == dog and len(image["detections"]) == 2 for image in found["images"])

    with (result / "detections.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24
    assert [rows[0][name] for name in ("class", "xmin", "ymin", "xmax", "ymax", "score")] == [
        "dog",
        "9.6",
        "6.4",
        "57.6",
        "38.4",
        "0.9",
    ]

    from pycocotools.coco import COCO

    coco = COCO(result / "coco.json")
    assert len(coco.imgs) == 12 and {c["id"]: c["name"] for c in coco.cats.values()} == {1: "cat", 2: "dog"}
    assert coco.anns[1]["bbox"] == [9.6, 6.4, 48.0, 32.0] and coco.anns[1]["score"] == 0.9

    annotation = read_annotation(result / "voc/a.xml")
    assert [(box.name, box.xmin, box.ymin, box.xmax, box.ymax) for box in annotation.boxes] == [
        ("dog", 10, 6, 58, 38),
        ("cat", 48, 32, 86, 58),
    ]
    with Image.open(result / "crops/dog/a.jpg_1.jpg") as crop:
        assert crop.size == (49, 32)


def test_options_choose_the_boxes(infer, labelled_images, tmp_path):
    def count(*words):
        assert infer("--save", "json", "--score", 0, *words)[0] == 0
        found = json.loads((tmp_path / "result/detections.json").read_text())
        return [box["class"] for box in found["images"][0]["detections"]]

    assert count() == ["dog", "cat"]
    assert count("--classes", "cat") == ["cat"]
    assert count("--max_boxes", 1) == ["dog"]
    assert count("--iou", 0, "--class_agnostic") == ["dog"]
    assert count("--iou", 0) == ["dog", "cat"]
    assert "error: cow: is not a class of this detector; it has cat, dog" in infer("--classes", "cow")[2]


def test_boxes_of_a_turned_photo_are_those_of_the_upright_one(infer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    label_photo(tmp_path / "images", "turned.jpg", photo=Image.new("RGB", (80, 40), "white"), exif=exif)
    infer("--save", "json,voc")
    image = json.loads((tmp_path / "result/detections.json").read_text())["images"][0]
    assert (image["width"], image["height"]) == (40, 80)
    assert image["detections"][0]["box"] == [4.0, 8.0, 24.0, 48.0]
    assert (read_annotation(tmp_path / "result/voc/turned.xml").width) == 40


# ---------------------------------------------------------------- proposals for a person


def test_proposals_are_for_unlabelled_photos_and_open_beside_them(infer, labelled_images, tmp_path):
    (labelled_images / "a.xml").unlink()
    (labelled_images / "photo_1.xml").unlink()
    code, output, _ = infer("--save", "voc", "--unlabelled")
    assert code == 0
    voc = tmp_path / "result/voc"
    assert sorted(path.name for path in voc.iterdir()) == ["a.jpg", "a.xml", "photo_1.jpg", "photo_1.xml"]
    assert "Wrote voc of 2 images to result" in output
    assert "2 XML files with proposed boxes are in result/voc" in output
    assert (voc / "a.jpg").resolve() == labelled_images / "a.jpg"
    assert is_proposal(voc / "a.xml")
    for xml in labelled_images.glob("photo_*.jpg"):
        shutil.copy(voc / "a.xml", xml.with_suffix(".xml"))
    shutil.copy(voc / "a.xml", labelled_images)
    assert "every image has an XML file" in infer("--save", "voc", "--unlabelled")[2]


def test_a_persons_xml_is_never_written_over_and_a_proposal_is(infer, labelled_images, tmp_path):
    infer("--save", "voc")
    mine, theirs = tmp_path / "result/voc/a.xml", tmp_path / "result/voc/photo_1.xml"
    assert len(read_annotation(theirs).boxes) == 1
    text = mine.read_text().replace("<xmin>10<", "<xmin>11<")
    mine.write_text(text)
    infer("--save", "voc", "--score", 0.3)
    assert mine.read_text() == text
    assert len(read_annotation(theirs).boxes) == 2
    (labelled_images / "a.jpg").unlink()
    (labelled_images / "photo_1.jpg").unlink()
    infer("--save", "voc", "--score", 0.3)
    assert mine.exists() and not theirs.exists() and not os.path.lexists(theirs.with_suffix(".jpg"))
    infer("--save", "voc", "--score", 0.95)
    assert [path.name for path in (tmp_path / "result/voc").glob("*.xml")] == ["a.xml"]  # nothing found, nothing said


def test_photos_that_would_share_an_xml_file_are_named(infer, tmp_path):
    for name in ("a.jpg", "a.png"):
        label_photo(tmp_path / "images", name)
    code, _, said = infer("--save", "voc")
    assert code == 1 and "error: a.jpg: would have the same XML file as a.png; rename one" in said


def test_output_that_cannot_be_written_is_named(infer, labelled_images, tmp_path):
    (tmp_path / "taken").touch()
    code, _, said = infer("-o", "taken/result")
    assert code == 1 and "error: taken: " in said
    (tmp_path / "result").mkdir()
    (tmp_path / "result/a.jpg").mkdir()
    code, _, said = infer()
    assert code == 1 and "error: result/a.jpg: Is a directory; a folder is in the file's place; move it away" in said


def test_labelled_photos_are_never_written_over(infer, labelled_images, tmp_path):
    shutil.copytree(labelled_images, tmp_path / "images/test")
    before = (labelled_images / "a.jpg").read_bytes()
    code, _, said = infer("-i", "images/test", "-o", "images")
    assert code == 1 and "error: images/-dash.jpg: is not what this script left there, and would be lost" in said
    assert "error: images: holds 7 more such files\n" in said
    assert (labelled_images / "a.jpg").read_bytes() == before


def test_help_imports_nothing_slow():
    command = [sys.executable, "-X", "importtime", ROOT / "scripts/inference_main_v2.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--saved_model_path" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tfod.utils.console" in imported and not imported & {"tensorflow", "numpy", "PIL", "cv2"}
