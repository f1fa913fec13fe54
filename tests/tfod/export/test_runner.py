"""scripts/tfod/export/runner/detect.py, as it runs where nothing of this project is."""

import ast
import contextlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from aarch64 import make_root, run_emulated
from conftest import draw_photo
from PIL import Image

from tfod.export.bundle import RUNNER, choose_requirements, read_labels, write_runner
from tfod.utils.console import InputError

FORMATS = ["float32", "float16", "dynamic", "int8"]


def load_runner():
    spec = importlib.util.spec_from_file_location("detect", RUNNER / "detect.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def detect(tmp_path, monkeypatch, tflite_files):
    """`detect(*words)` runs detect.py with the int8 file beside it, in tmp_path: (code, lines of JSON, said)."""
    shutil.copy(RUNNER / "detect.py", tmp_path)
    shutil.copy(find(tflite_files[0], "int8"), tmp_path)
    spec = importlib.util.spec_from_file_location("detect", tmp_path / "detect.py")
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    monkeypatch.chdir(tmp_path)

    def detect(*words):
        monkeypatch.setattr(sys, "argv", ["detect.py", *map(str, words)])
        output, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(said):
            try:
                code = runner.main()
            except SystemExit as end:
                code = end.code
        return code, [json.loads(line) for line in output.getvalue().splitlines()], said.getvalue()

    return detect


def find(workspace, kind):
    return workspace / f"exported_models/my_model/tflite/model_{kind}.tflite"


def save_photos(folder):
    """Photos as people have them: of odd sizes, grey, transparent, turned by EXIF, with 16 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_photo(1, (333, 97)).save(folder / "wide.jpg")
    draw_photo(2, (96, 96)).convert("L").save(folder / "grey 猫.JPG")
    draw_photo(3).convert("RGBA").save(folder / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_photo(4, (200, 120)).save(folder / "turned.jpg", exif=exif)
    deep = np.asarray(draw_photo(5).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("kind", FORMATS)
def test_it_finds_what_the_detector_finds(tflite_files, tmp_path, kind):
    from tfod.data.images import read_image
    from tfod.detector import Detector

    path, runner = find(tflite_files[0], kind), load_runner()
    detect, labels = runner.open_detector(path, 1)
    detector = Detector(path, score=0.0, threads=1)
    assert dict(enumerate(labels, 1)) == detector.names
    photos = save_photos(tmp_path / "photos")
    for photo in photos:
        pixels = np.asarray(runner.read_photo(photo))
        assert np.array_equal(pixels, np.asarray(read_image(photo)))
        (expected,) = detector.detect([pixels])
        boxes, classes, scores = detect(pixels)
        assert np.array_equal(boxes, expected.boxes)
        assert np.array_equal(classes + 1, expected.classes)
        assert np.array_equal(scores, expected.scores)
    assert len(scores) == 100


def test_lines_and_pictures_are_those_of_the_upright_photo(detect, tmp_path):
    photos = save_photos(tmp_path / "photos")
    (tmp_path / "photos/notes.txt").touch()
    code, lines, said = detect("photos", "-s", 0.01, "-o", "found/here")
    assert (code, said) == (0, "")
    assert [line["file"] for line in lines] == [f"photos/{path.name}" for path in photos]
    for line in lines:
        assert set(line) == {"file", "width", "height", "ms", "detections"}
        with Image.open(tmp_path / "found/here" / line["file"].removeprefix("photos/")) as drawn:
            assert drawn.size == (line["width"], line["height"])
        for found in line["detections"]:
            assert found["class"] == {1: "cat", 2: "dog"}[found["id"]]
            assert found["score"] >= 0.01
            left, top, right, bottom = found["box"]
            assert 0 <= left <= right <= line["width"] and 0 <= top <= bottom <= line["height"]
    turned = next(line for line in lines if "turned" in line["file"])
    assert (turned["width"], turned["height"]) == (120, 200)
    assert sum(len(line["detections"]) for line in lines) > 10
    assert sorted(path.name for path in (tmp_path / "found/here").iterdir()) == [path.name for path in photos]


def test_boxes_are_drawn_where_they_are_said_to_be(tmp_path):
    photo = Image.new("RGB", (100, 80))
    load_runner().draw(photo, [{"class": "猫", "id": 1, "score": 0.9, "box": [20.0, 30.0, 60.0, 70.0]}])
    assert photo.getpixel((20, 50)) != (0, 0, 0)
    assert photo.getpixel((60, 50)) != (0, 0, 0)
    assert photo.getpixel((40, 50)) == (0, 0, 0)


def test_a_photo_that_is_none_is_named_and_the_others_go_on(detect, tmp_path):
    draw_photo().save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    code, lines, said = detect("b.jpg", "a.jpg", "nowhere.jpg")
    assert code == 1
    assert [line["file"] for line in lines] == ["a.jpg"]
    assert "error: b.jpg: can't be read as a photo" in said
    assert "error: nowhere.jpg: can't be read as a photo ([Errno 2] No such file" in said


def test_what_is_there_is_never_written_over(detect, tmp_path):
    draw_photo().save(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    code, lines, said = detect("a.jpg", "-o", ".")
    assert (code, lines) == (1, [])
    assert said == "error: a.jpg: is there already, or two photos have this name; name another folder with -o\n"
    assert detect("a.jpg", "a.jpg", "-o", "new")[0] == 1
    assert (tmp_path / "a.jpg").read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_other_faults_are_named(detect, tmp_path):
    draw_photo().save(tmp_path / "a.jpg")
    (tmp_path / "empty").mkdir()
    assert "empty: holds no photos; name photos, or folders of photos" in detect("empty")[2]
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    code, _, said = detect("a.jpg")
    assert (code, said) == (1, f"error: {tmp_path}: holds 2 .tflite files; name one with -m\n")
    code, _, said = detect("a.jpg", "-m", "bad.tflite")
    assert code == 1
    assert said.startswith("error: bad.tflite: can't be run (File is not a zip file); name a .tflite file that `make t")
    assert "error: other.tflite: can't be run ([Errno 2]" in detect("a.jpg", "-m", "other.tflite")[2]
    for words in ([], ["a.jpg", "--camera", 0]):
        code, _, said = detect(*words)
        assert code == 2
        assert "name photos or folders of photos, or a --camera" in said
    assert (
        "error: --camera 99: can't be opened; is it connected" in detect("-m", "model_int8.tflite", "--camera", 99)[2]
    )


def test_a_camera_gives_frame_after_frame(detect, tmp_path, monkeypatch):
    import cv2

    class Camera:  # OpenCV itself has no camera that tests could look through
        def __init__(self, number):
            self.left = 2

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, np.asarray(draw_photo(1))[..., ::-1]

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    code, lines, _ = detect("--camera", 0, "-o", "seen")
    assert code == 0
    assert [line["file"] for line in lines] == ["frame_000001.jpg", "frame_000002.jpg"]
    code, _, said = detect("--camera", 0, "-o", "seen")
    assert (code, said.split(":")[1]) == (1, " seen/frame_000001.jpg")
    with Image.open(tmp_path / "seen/frame_000002.jpg") as frame:
        assert np.abs(np.asarray(frame).astype(int) - np.asarray(draw_photo(1))).mean() < 5  # RGB, not BGR


def test_it_stands_alone():
    imported = set()
    for node in ast.walk(ast.parse((RUNNER / "detect.py").read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        imported |= {node.module} if isinstance(node, ast.ImportFrom) else set(names)
    others = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"numpy", "PIL", "ai_edge_litert", "cv2"}
    lock = (RUNNER / "requirements.txt").read_text()
    names = {line.split("==")[0] for line in lock.splitlines() if "==" in line}
    assert names == {"numpy", "pillow", "ai-edge-litert"}  # and OpenCV, for a camera, is the reader's choice


def test_a_missing_package_is_named(tmp_path):
    command = [sys.executable, "-I", "-S", RUNNER / "detect.py", "a.jpg"]  # -S: without installed packages
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: numpy: can't be imported (No module named 'numpy'); pip install --no-deps --")


def test_the_runner_lies_beside_the_tflite_files(tflite_files):
    folder = find(tflite_files[0], "int8").parent
    assert (folder / "detect.py").read_bytes() == (RUNNER / "detect.py").read_bytes()
    assert (folder / "requirements.txt").read_bytes() == (RUNNER / "requirements.txt").read_bytes()
    assert (folder / "labels.txt").read_text() == "cat\ndog\n"


def test_a_runner_that_a_person_changed_stays(tflite_files, tmp_path, capsys):
    model = find(tflite_files[0], "int8")
    write_runner(tmp_path, model, "maker")
    (tmp_path / "detect.py").write_text("# mine\n")
    (tmp_path / "labels.txt").unlink()
    write_runner(tmp_path, model, "maker")
    assert (tmp_path / "detect.py").read_text() == "# mine\n"
    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\n"
    said = capsys.readouterr().err
    assert (
        said == f"{tmp_path}/detect.py: was changed and stays as it is; remove it, and the next run writes it again\n"
    )


def test_a_file_without_class_names_is_named(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"no model")
    with pytest.raises(InputError, match="a.tflite: holds no class names .* `make tflite` makes it again"):
        read_labels(tmp_path / "a.tflite")


@pytest.mark.parametrize(("python", "numpy", "pillow"), [("3.10.12", "2.2.6", "12.3.0"), ("3.13.5", "2.5.5", "13.0.0")])
def test_requirements_are_those_of_a_python(python, numpy, pillow):
    text = choose_requirements(python, "aarch64")
    assert f"numpy=={numpy} \\\n    --hash=sha256:" in text
    assert f"pillow=={pillow} \\\n" in text
    assert text.count("==") == 3
    assert ";" not in text


# ---------------------------------------------------------------- elsewhere for real


def read_lines(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def unpack_bundle(workspace, folder, kind, call):
    """What `make bundle` packs, unpacked below `folder`."""
    copy = shutil.copytree(workspace, folder / "workspace", symlinks=True)
    done = call("bundle.py", "--export=exported_models/my_model", "--format", kind, cwd=copy)
    assert done.returncode == 0, done.stderr
    shutil.unpack_archive(copy / "exported_models/my_model/bundle.tar.gz", folder, filter="data")
    return folder / "detector"


@pytest.mark.long
def test_it_runs_in_an_environment_of_its_packages_alone(tflite_files, tmp_path, call):
    folder = unpack_bundle(tflite_files[0], tmp_path, "int8", call)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", "requirements.txt"]
    subprocess.run(install, cwd=folder, check=True)
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    assert {one["name"] for one in json.loads(listed.stdout)} <= {
        "ai-edge-litert",
        "numpy",
        "pillow",
        "pip",
        "setuptools",
    }
    words = ["detect.py", "photos", "-s", "0.01", "-o", "found"]
    done = subprocess.run([python, "-I", *words], cwd=folder, capture_output=True, text=True, check=False)
    here = subprocess.run([sys.executable, *words[:4]], cwd=folder, capture_output=True, text=True, check=False)
    assert [line["detections"] for line in read_lines(done)] == [line["detections"] for line in read_lines(here)]
    assert len(list((folder / "found").iterdir())) == 12


@pytest.mark.long
def test_it_finds_the_same_on_a_64_bit_arm(tflite_files, tmp_path, call):
    """Debian's arm64 Python with the wheels for ARM, on an emulated Cortex-A72, a Raspberry Pi 4's processor."""
    from tfod.export.parity import compare_detections

    root = make_root(tmp_path, choose_requirements("3.11.2", "aarch64"))
    folder = unpack_bundle(tflite_files[0], tmp_path, "int8", call)
    for kind in FORMATS:
        words = ["detect.py", "photos", "-s", "0.01", "-m", find(tflite_files[0], kind)]
        here = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
        both = [read_lines(done) for done in (here, run_emulated(root, *words, cwd=folder))]
        sizes = [(line["width"], line["height"]) for line in both[0]]
        found = [[list_arrays(line) for line in lines] for lines in both]
        agreement = compare_detections(*found, sizes, top=50)  # of 100, whose last rounding decides
        assert len(agreement.boxes) > 50
        assert agreement.holds(0.02, 1e-4), f"{kind}: {agreement}"


def list_arrays(line):
    boxes = np.array([found["box"] for found in line["detections"]]).reshape(-1, 4)[:, [1, 0, 3, 2]]
    scale = [line["height"], line["width"]] * 2
    return boxes / scale, *(np.array([found[key] for found in line["detections"]]) for key in ("id", "score"))
