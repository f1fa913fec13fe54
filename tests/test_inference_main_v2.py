import csv
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from conftest import ROOT, draw_photo, label_photo
from PIL import Image

from tfod.detections import is_proposal
from tfod.label_map import write_label_map
from tfod.voc import read_annotation

BOXES = [[0.1, 0.1, 0.6, 0.6], [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]]
FOUND = {
    "num_detections": np.float32([2]),
    "detection_boxes": np.float32([BOXES]),
    "detection_classes": np.float32([[2, 1, 1]]),
    "detection_scores": np.float32([[0.9, 0.4, 0.0]]),
}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel with the signature of our exports that finds a dog (0.9) and a cat (0.4) in every image."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
        def __call__(self, input_tensor):
            return {name: tf.constant(value) for name, value in FOUND.items()}

    folder = tmp_path_factory.mktemp("export") / "saved_model"
    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.__call__.get_concrete_function())
    return folder


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory):
    """The same as ONNX, which starts without TensorFlow's long import."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    photo = helper.make_tensor_value_info("input_tensor", TensorProto.UINT8, [1, None, None, 3])
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in FOUND.items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in FOUND.items()]
    graph = helper.make_graph(nodes, "detector", [photo], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def infer(call, tmp_path, onnx_model):
    """Runs the script on tmp_path/images: returns (code, output, said)."""
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})

    def infer(*words, model=onnx_model):
        command = ["-m", model, "-l", "map.pbtxt", "-o", "result", *words]
        command += [] if "-i" in words else ["-i", "images"]
        done = call("inference_main_v2.py", *command, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return infer


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
        (["--score", 1.5], "--score is 1.5; give a number from 0 to 1"),
        (["--iou", -1], "--iou is -1.0; give a number from 0 to 1"),
        (["--max_boxes", 0], "--max_boxes is 0; give 1 or more"),
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
    assert "error: cow: is no class of this detector; it has cat, dog" in infer("--classes", "cow")[2]


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
    assert code == 1 and "error: " in said and "check your rights there" in said


def test_labelled_photos_are_never_written_over(infer, labelled_images, tmp_path):
    shutil.copytree(labelled_images, tmp_path / "images/test")
    before = (labelled_images / "a.jpg").read_bytes()
    code, _, said = infer("-i", "images/test", "-o", "images")
    assert code == 1 and "error: images: holds labelled photos, as -dash.jpg" in said
    assert (labelled_images / "a.jpg").read_bytes() == before


# ---------------------------------------------------------------- what images come from


def test_files_patterns_and_folders_below(infer, labelled_images, tmp_path):
    shutil.copytree(labelled_images, labelled_images / "more")
    assert "Wrote 12 annotated images" in infer()[1]
    assert "Wrote 24 annotated images" in infer("--recursive")[1]
    assert (tmp_path / "result/more/a.jpg").exists()
    shutil.rmtree(tmp_path / "result")
    assert "Wrote 12 annotated images" in infer("-i", "images/photo_*.jpg", "images/more/photo_*.jpg")[1]
    assert (tmp_path / "result/more/photo_0.jpg").exists()
    assert "Wrote 1 annotated images" in infer("-i", "images/a.jpg", "-o", "one")[1]
    assert (tmp_path / "one/a.jpg").exists()
    shutil.copy(labelled_images / "a.jpg", tmp_path / "photo")
    assert "Wrote 1 annotated images" in infer("-i", "photo", "-o", "one")[1]
    assert (tmp_path / "one/photo.jpg").exists()
    said = infer("-i", "images/a.jpg", "images", "none*", "nothing")[2]
    assert "images/a.jpg: its result would have the name of" in said
    assert "none*: no file's name is like that" in said
    assert "nothing: is not there" in said and "3 errors" in said


def test_results_below_the_input_are_not_taken_for_input(infer, labelled_images, tmp_path):
    for _ in range(2):
        code, output, said = infer("-i", ".", "-o", "result", "--recursive")
        assert code == 0 and ("Wrote 12" in output or "of 12 photos" in said)


def write_png_header(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0" * 999)) + chunk(b"IEND", b""))


def test_hostile_files_are_named_and_the_sound_ones_done(infer, tmp_path):
    folder = tmp_path / "images"
    label_photo(folder, "sound.jpg")
    write_png_header(folder / "huge.png", 30000, 30000)
    (folder / "cut.jpg").write_bytes((folder / "sound.jpg").read_bytes()[:900])
    (folder / "drawing.jpg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (folder / "empty.jpg").touch()
    (folder / "x.jpg").mkdir()
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(folder / "door.jpg"))
    code, output, said = infer()
    assert code == 1
    assert "Wrote 1 annotated images" in output
    for name, message in {
        "huge.png": "million pixels",
        "cut.jpg": "",
        "drawing.jpg": "is not an image",
        "empty.jpg": "",
        "x.jpg": "is a folder, not an image; take it away",
        "gone.jpg": "No such file",
        "pipe.jpg": "is a pipe, not an image",
        "door.jpg": "is a socket, not an image",
    }.items():
        (line,) = [line for line in said.splitlines() if f"images/{name}: " in line]
        assert line.startswith("error: ") and message in line
    assert "8 errors" in said
    code, _, said = infer("-i", "images/pipe.jpg")
    assert code == 1 and "images/pipe.jpg: is a pipe" in said


# ---------------------------------------------------------------- videos and cameras


def write_video(path, frames, size=(96, 64), fps=10):
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, size)
    for number in range(frames):
        writer.write(np.asarray(draw_photo(number, size))[:, :, ::-1])
    writer.release()
    return path


def test_a_video_is_annotated_with_the_time_of_each_frame(infer, tmp_path):
    import cv2

    write_video(tmp_path / "clip.mp4", 25)
    code, output, said = infer("-i", "clip.mp4", "--save", "video,json,voc")
    assert code == 0, said
    assert "Wrote video, json, voc of 25 images to result: 25 detections" in output
    found = json.loads((tmp_path / "result/detections.json").read_text())["images"]
    assert [image["frame"] for image in found] == list(range(1, 26))
    assert [image["seconds"] for image in found] == pytest.approx([number / 10 for number in range(25)], abs=0.001)
    assert found[0]["file"] == "clip.mp4"
    capture = cv2.VideoCapture(str(tmp_path / "result/clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 25 and capture.get(cv2.CAP_PROP_FPS) == 10
    there, frame = capture.read()
    assert there and np.abs(frame[:, :, ::-1].astype(int) - np.asarray(draw_photo(0), int)).max() > 60
    with Image.open(tmp_path / "result/voc/clip/clip_000025.jpg") as last:
        assert np.abs(np.asarray(last, int) - np.asarray(draw_photo(24), int)).mean() < 12
    assert is_proposal(tmp_path / "result/voc/clip/clip_000025.xml")
    assert "result is up to date" in infer("-i", "clip.mp4", "--save", "video,json,voc")[2]


def test_videos_that_are_none_are_named(infer, tmp_path):
    sound = write_video(tmp_path / "sound.mp4", 12)
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "empty.avi", 0)
    write_video(tmp_path / "cut.avi", 200)
    data = (tmp_path / "cut.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    os.mkfifo(tmp_path / "pipe.mp4")
    words = [path.name for path in (sound, *tmp_path.glob("*.avi"), tmp_path / "text.mp4", tmp_path / "pipe.mp4")]
    code, output, said = infer("-i", *words)
    assert code == 1
    assert (tmp_path / "result/sound.mp4").exists()
    for name, message in {
        "text.mp4": "is no video that can be read",
        "empty.avi": "",
        "cut.avi": "",
        "pipe.mp4": "is a pipe",
    }.items():
        (line,) = [line for line in said.splitlines() if f"{name}: " in line]
        assert line.startswith("error: ") and message in line


def test_a_camera_that_is_not_there_is_named(infer):
    code, _, said = infer("-i", "97")
    assert code == 1
    assert "error: camera 97: there is none, or another program uses it" in said


def test_help_imports_nothing_slow():
    command = [sys.executable, "-X", "importtime", ROOT / "scripts/inference_main_v2.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--saved_model_path" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "tfod.console" in imported and not imported & {"tensorflow", "numpy", "PIL", "cv2"}
