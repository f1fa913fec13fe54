"""What inference leaves in its folder: another's files are refused, its own former ones go when nobody wants them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, STARTED, label_photo
from constant_detector import write_onnx_model

from tfod.inference.output_folder import is_proposal

pytestmark = pytest.mark.attack


def list_results(folder):
    """The names of the files and links below a folder, without stamps."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.name.endswith(".stamp")
    )


@pytest.fixture
def photos(tmp_path):
    """The folder images/ with three labelled photos."""
    for number, name in enumerate(("p.jpg", "q.jpg", "r.png")):
        label_photo(tmp_path / "images", name, number)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("save", "name"),
    [
        ("images", "p.jpg"),
        ("json", "detections.json"),
        ("csv", "detections.csv"),
        ("coco", "coco.json"),
        ("crops", "crops/dog/p.jpg_1.jpg"),
        ("voc", "voc/p.jpg"),
    ],
)
def test_what_others_left_is_refused_and_stays(infer, photos, tmp_path, save, name):
    mine = tmp_path / "result" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    code, _, said = infer("--save", save)
    assert code == 1
    assert f"error: result/{name}: is not what this script left there, and would be lost; move it away, or name" in said
    assert list_results(tmp_path / "result") == [name] and mine.read_text() == "mine"
    mine.rename(tmp_path / "moved")
    assert infer("--save", save)[0] == 0


def test_a_result_that_a_person_has_edited_is_refused(infer, photos, tmp_path):
    assert infer()[0] == 0
    mine = tmp_path / "result/p.jpg"
    mine.write_bytes(mine.read_bytes() + b"painted")
    code, _, said = infer("--score", 0.3)
    assert code == 1 and "error: result/p.jpg: is not what this script left there" in said and "q.jpg" not in said
    assert mine.read_bytes().endswith(b"painted")


def test_a_file_in_the_place_of_the_folder_is_refused(infer, photos, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, said = infer("-o", "notes.txt")
    assert code == 1 and "error: notes.txt: is a file, and results go into a folder; name another -o" in said
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_results_of_photos_that_are_gone_are_removed_and_peoples_files_stay(infer, photos, tmp_path):
    save = ["--save", "images,crops,voc,json", "--score", 0.3]
    assert infer(*save)[0] == 0
    result = tmp_path / "result"
    for name in ("notes.txt", "crops/notes.txt", "voc/mine.jpg"):
        (result / name).write_text("mine")
    text = (result / "voc/q.xml").read_text().replace("dog", "fox")
    (result / "voc/q.xml").write_text(text)
    for name in ("p", "q"):
        (photos / f"{name}.jpg").unlink()
    (photos / "r.png").rename(photos / "s.png")
    code, output, _ = infer(*save)
    assert code == 0
    # p, q, r.png; two crops of each; links of p and r and their XML files; q's link stays for the corrected XML file
    assert "removed 13 results of former runs from result\n" in output
    left = [
        "crops/cat/s.png_2.jpg",
        "crops/dog/s.png_1.jpg",
        "crops/notes.txt",
        "detections.json",
        "notes.txt",
        "s.png",
    ]
    left += ["voc/mine.jpg", "voc/q.jpg", "voc/q.xml", "voc/s.png", "voc/s.xml"]
    assert list_results(result) == left
    assert (result / "voc/q.xml").read_text() == text
    assert "result is up to date" in infer(*save)[2]


def test_results_of_single_files_add_up(infer, photos, tmp_path):
    for name in ("p.jpg", "q.jpg"):
        code, output, _ = infer("-i", f"images/{name}")
        assert code == 0 and "removed" not in output
    assert list_results(tmp_path / "result") == ["p.jpg", "q.jpg"]
    assert "up to date" in infer("-i", "images/q.jpg")[2]
    assert "removed" not in infer()[1]
    assert list_results(tmp_path / "result") == ["p.jpg", "q.jpg", "r.png"]


def test_other_kinds_stay_until_photos_or_model_change(infer, photos, tmp_path):
    assert infer()[0] == 0
    code, output, _ = infer("--save", "json", "--score", 0.3)
    assert code == 0 and "removed" not in output
    assert list_results(tmp_path / "result") == ["detections.json", "p.jpg", "q.jpg", "r.png"]
    assert "up to date" in infer()[2] and "up to date" in infer("--save", "json", "--score", 0.3)[2]
    other = write_onnx_model(tmp_path / "other.onnx")
    other.write_bytes(other.read_bytes().replace(b"detector", b"DETECTOR"))
    code, output, _ = infer("--save", "csv", model=other)
    assert code == 0 and "removed 4 results of former runs" in output
    assert list_results(tmp_path / "result") == ["detections.csv"]


@pytest.mark.parametrize("name", ["p.jpg", "detections.json", "voc/p.xml", "voc/p.jpg", "crops/dog/p.jpg_1.jpg"])
def test_any_missing_result_is_made_again(infer, photos, tmp_path, name):
    save = ["--save", "images,json,voc,crops"]
    assert infer(*save)[0] == 0
    (tmp_path / "result" / name).unlink()
    code, output, _ = infer(*save)
    assert code == 0 and "Wrote" in output
    assert os.path.lexists(tmp_path / "result" / name)
    assert "up to date" in infer(*save)[2]


def test_nothing_found_is_a_result_too(infer, photos):
    assert infer("--save", "crops", "--score", 0.99)[0] == 0
    assert "up to date" in infer("--save", "crops", "--score", 0.99)[2]


def test_names_of_the_models_own_label_map_are_part_of_what_is_up_to_date(infer, call, photos, tmp_path, onnx_model):
    shutil.copy(onnx_model, tmp_path / "model.onnx")
    words = ["-m", "model.onnx", "-i", "images", "-o", "result", "--save", "json"]
    assert call("inference_main_v2.py", *words, cwd=tmp_path).returncode == 0
    (tmp_path / "label_map.pbtxt").write_text("item { id: 1 name: 'cat' }")
    assert "Wrote" in call("inference_main_v2.py", *words, cwd=tmp_path).stdout


def test_a_link_in_voc_follows_its_photo_and_never_under_a_persons_boxes(infer, photos, tmp_path):
    assert infer("--save", "voc")[0] == 0
    for name in ("p.jpg", "q.jpg"):
        label_photo(tmp_path / "others", name, number=5)
    xml = tmp_path / "result/voc/q.xml"
    xml.write_text(xml.read_text() + "\n<!-- seen -->")
    code, _, said = infer("--save", "voc", "-i", "others")
    assert code == 1
    assert "error: result/voc/q.xml: was corrected, and its photo was another than others/q.jpg; move it away" in said
    assert (tmp_path / "result/voc/p.jpg").samefile(photos / "p.jpg")
    xml.rename(tmp_path / "q.xml")
    assert infer("--save", "voc", "-i", "others")[0] == 0
    assert list_results(tmp_path / "result") == ["voc/p.jpg", "voc/p.xml", "voc/q.jpg", "voc/q.xml"]
    assert (tmp_path / "result/voc/p.jpg").samefile(tmp_path / "others/p.jpg") and is_proposal(xml)


# ---------------------------------------------------------------- runs that are ended


def start(tmp_path, onnx_model, *words):
    """Starts inference, on many photos, and returns its process once the first result is there."""
    command = [sys.executable, ROOT / "scripts/inference_main_v2.py", "-m", onnx_model, "-i", "images", "-o", "result"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([str(word) for word in (*command, *words)], cwd=tmp_path, **pipes)
    STARTED.append(process)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "result").glob("*.jpg")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    return process


@pytest.fixture
def many(tmp_path):
    """The folder images/ with as many photos as keep inference busy for a while."""
    first = label_photo(tmp_path / "images", "p0.jpg", photo=None)
    for number in range(1, 3000):
        (tmp_path / "images" / f"p{number}.jpg").hardlink_to(first)
    return tmp_path / "images"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_leaves_whole_files_and_the_next_goes_on(infer, many, tmp_path, onnx_model, number, code):
    from PIL import Image

    process = start(tmp_path, onnx_model, "--save", "images,json,crops")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said and "Exception" not in said
    names = list_results(tmp_path / "result")
    assert 0 < len(names) < 6000 and "detections.json" not in names
    for name in names:
        with Image.open(tmp_path / "result" / name) as image:
            image.load()
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob(".result.*.tmp"))
    for path in list(many.glob("*.*"))[20:]:
        path.unlink()
    save = ["--save", "images,json,crops"]
    assert infer(*save)[0] == 0
    assert not list(tmp_path.glob(".result.*.tmp"))
    found = json.loads((tmp_path / "result/detections.json").read_text())
    photos = sorted(path.name for path in many.glob("*.jpg"))
    crops = [f"crops/dog/{name}_1.jpg" for name in photos]
    assert len(found["images"]) == len(photos)
    assert list_results(tmp_path / "result") == sorted([*photos, *crops, "detections.json"])
