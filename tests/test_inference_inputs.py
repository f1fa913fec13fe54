"""What inference_main_v2.py annotates: folders, patterns, videos and cameras; and what is not an image is named."""

import itertools
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, label_photo, load_script
from hostile_images import make_png_of_30000_pixels_a_side
from PIL import Image

from tfod.data import images
from tfod.data.voc import read_annotation
from tfod.inference import predict
from tfod.inference.output_folder import is_proposal
from tfod.inference.sources import Video, open_video
from tfod.utils.console import InputError


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


def check_each_is_named(said, messages):
    """Each file of `messages` (name -> text) must have one line of its own, an error with the text."""
    for name, message in messages.items():
        (line,) = [line for line in said.splitlines() if f"{name}: " in line]
        assert line.startswith("error: ") and message in line


def test_hostile_files_are_named_and_the_sound_ones_done(infer, tmp_path):
    folder = tmp_path / "images"
    label_photo(folder, "sound.jpg")
    (folder / "huge.png").write_bytes(make_png_of_30000_pixels_a_side())
    (folder / "cut.jpg").write_bytes((folder / "sound.jpg").read_bytes()[:900])
    (folder / "drawing.jpg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (folder / "empty.jpg").touch()
    (folder / "x.jpg").mkdir()
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    draw_photo().save(folder / os.fsdecode(b"\xe8.jpg"))
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(folder / "door.jpg"))
    code, output, said = infer()
    assert code == 1
    assert "Wrote 1 annotated images" in output
    messages = {
        "images/huge.png": "million pixels",
        "images/cut.jpg": "",
        "images/drawing.jpg": "is not an image",
        "images/empty.jpg": "",
        "images/x.jpg": "is a folder, not a file; replace it with a file, or take it away",
        "images/gone.jpg": "No such file",
        "images/loop.jpg": "Too many levels of symbolic links",
        r"images/\udce8.jpg": "the name is not in UTF-8; rename it",
        "images/pipe.jpg": "is a pipe, not a file",
        "images/door.jpg": "is a socket, not a file",
    }
    check_each_is_named(said, messages)
    assert "10 errors" in said
    code, _, said = infer("-i", "images/pipe.jpg")
    assert code == 1 and "images/pipe.jpg: is a pipe" in said


# ---------------------------------------------------------------- videos and cameras


def write_video(path, frames, size=(96, 64), fps=10, codec="mp4v"):
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
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


@pytest.mark.attack
def test_a_video_writes_over_nothing_of_anothers_and_its_old_frames_go(infer, tmp_path):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/clip.avi", 3)
    words, result = ["-i", "videos/clip.avi", "--save", "images,video,crops,voc"], tmp_path / "result"
    for name in ("clip.mp4", "clip/clip_000002.jpg", "voc/clip/clip_000001.jpg", "crops/dog/clip_000001.jpg_1.jpg"):
        (result / name).parent.mkdir(parents=True, exist_ok=True)
        (result / name).write_text("mine")
        code, _, said = infer(*words)
        assert code == 1 and f"error: result/{name}: is not what this script left there" in said
        assert (result / name).read_text() == "mine"
        (result / name).unlink()
    (result / "clip/notes.txt").write_text("mine")
    assert infer(*words)[0] == 0
    assert "up to date" in infer(*words)[2]
    xml = result / "voc/clip/clip_000003.xml"
    xml.write_text(xml.read_text() + "<!-- seen -->")
    write_video(tmp_path / "videos/clip.avi", 2)
    label_photo(tmp_path / "images", "a.jpg")
    code, output, _ = infer(*words[2:])  # of the photos: nothing of the video is wanted any more
    # 3 frames, the video, 3 crops, 2 frames and XML files; the third frame stays with its corrected boxes
    assert code == 0 and "removed 11 results of former runs from result" in output
    left = sorted(str(path.relative_to(result)) for path in result.rglob("*.*") if not path.name.endswith(".stamp"))
    kept = ["clip/notes.txt", "voc/clip/clip_000003.jpg", "voc/clip/clip_000003.xml"]
    assert left == sorted([*kept, "a.jpg", "crops/dog/a.jpg_1.jpg", "voc/a.jpg", "voc/a.xml"])


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
    messages = {
        "text.mp4": "is not a video that can be read",
        "empty.avi": "is a video without frames; record it again",
        "cut.avi": "",
        "pipe.mp4": "is a pipe",
    }
    check_each_is_named(said, messages)


def test_a_camera_that_is_not_there_is_named(infer):
    code, _, said = infer("-i", "97")
    assert code == 1
    assert "error: camera 97: is not there, or another program uses it" in said


def test_a_camera_that_gives_no_more_images_is_named(tmp_path, monkeypatch):
    import cv2

    capture = cv2.VideoCapture(str(write_video(tmp_path / "clip.mp4", 3)))  # in place of a camera, which goes on
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: capture)
    _, frames = open_video(Video(4, Path("camera4")))
    assert [number for number, *_ in itertools.islice(frames, 3)] == [1, 2, 3]
    with pytest.raises(InputError, match="camera 4: gave no more images after 3; check its cable"):
        next(frames)


def test_a_video_of_an_odd_frame_rate_is_annotated(infer, tmp_path):
    import cv2

    write_video(tmp_path / "quick.avi", 3, fps=200 / 3, codec="MJPG")
    code, _, said = infer("-i", "quick.avi")
    assert code == 0, said
    assert cv2.VideoCapture(str(tmp_path / "result/quick.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(66.67, abs=0.01)


def test_a_video_that_can_not_be_written_as_mp4_is_named(infer, tmp_path):
    write_video(tmp_path / "wide.avi", 1, size=(8192, 16), codec="MJPG")  # MPEG-4 ends at 8191
    code, _, said = infer("-i", "wide.avi")
    assert code == 1
    assert "error: result/wide.mp4: this OpenCV can't write MP4; save images instead" in said


# ---------------------------------------------------------------- very large photos


@pytest.mark.attack
def test_a_very_large_photo_is_drawn_halved_and_its_boxes_are_its_own(tmp_path, monkeypatch, onnx_model, capsys):
    for number in range(3):
        label_photo(tmp_path / "images", f"{number}.jpg", number)
    label_photo(tmp_path / "images", "large.jpg", photo=draw_photo(size=(192, 128)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images, "WORKABLE", 96 * 64)
    monkeypatch.setattr(predict, "ALONE", 96 * 64)
    monkeypatch.setattr(
        "sys.argv", ["i", "-m", str(onnx_model), "-i", "images", "--save", "images,json,csv,coco,voc,crops"]
    )
    assert load_script("inference_main_v2.py").main() == 0
    assert capsys.readouterr().err.count("images/large.jpg: has 0 million pixels, and is halved to 96 x 64") == 1
    result = tmp_path / "inference_result"
    found = {Path(one["file"]).name: one for one in json.loads((result / "detections.json").read_text())["images"]}
    large = found["large.jpg"]
    assert (large["width"], large["height"]) == (192, 128)
    assert large["detections"][0]["box"] == [19.2, 12.8, 115.2, 76.8]
    assert found["1.jpg"]["detections"][0]["box"] == [9.6, 6.4, 57.6, 38.4]
    box = read_annotation(result / "voc/large.xml").boxes[0]
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == (19, 13, 115, 77)
    for name, size in (("large.jpg", (96, 64)), ("1.jpg", (96, 64)), ("crops/class 2/large.jpg_1.jpg", (49, 32))):
        with Image.open(result / name) as image:
            assert image.size == size
    with (
        Image.open(result / "large.jpg") as large,
        Image.open(result / "0.jpg") as small,
    ):  # the same picture, if halved
        assert np.abs(np.asarray(large, int) - np.asarray(small.resize((96, 64)), int)).mean() < 30


@pytest.mark.attack
def test_very_large_photos_are_worked_on_one_at_a_time(tmp_path, monkeypatch, onnx_model):
    for number in range(8):
        label_photo(tmp_path / "images", f"{number}.jpg", number)
    monkeypatch.setattr(predict, "ALONE", 96 * 64 - 1)
    at_work, most = [], []
    finish = predict.Work.finish

    def watch(*arguments):
        at_work.append(1)
        most.append(len(at_work))
        done = finish(*arguments)
        at_work.pop()
        return done

    monkeypatch.setattr(predict.Work, "finish", watch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["i", "-m", str(onnx_model), "-i", "images", "--threads", "4"])
    assert load_script("inference_main_v2.py").main() == 0
    assert most == [1] * 8
