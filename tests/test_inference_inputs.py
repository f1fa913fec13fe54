"""What inference_main_v2.py annotates: folders, patterns, videos and cameras; and what is no image is named."""

import itertools
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo, label_photo
from hostile_images import make_png_of_30000_pixels_a_side
from PIL import Image

from tfod.console import InputError
from tfod.detections import is_proposal
from tfod.sources import Video, open_video


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
        "text.mp4": "is no video that can be read",
        "empty.avi": "is a video without frames; record it again",
        "cut.avi": "",
        "pipe.mp4": "is a pipe",
    }
    check_each_is_named(said, messages)


def test_a_camera_that_is_not_there_is_named(infer):
    code, _, said = infer("-i", "97")
    assert code == 1
    assert "error: camera 97: there is none, or another program uses it" in said


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
