"""Pipes, links that loop and names that are not in UTF-8, in every script that reads photos, XML files or notes: no
hang, no traceback, and the one that is odd is named."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, label_photo
from constant_detector import write_onnx_model

from tfod.data.label_map import write_label_map

pytestmark = pytest.mark.attack
SCRIPTS = {
    "split": ["preprocessing/partition_dataset.py", "-x", "-i", "images"],
    "check": ["preprocessing/check_dataset.py", "-i", "images", "-l", "map.pbtxt", "--json", "check.json"],
    "fix": ["preprocessing/check_dataset.py", "-i", "images", "-l", "map.pbtxt", "--fix", "fixed"],
    "label_map": ["preprocessing/generate_label_map.py", "-x", "images", "-o", "new.pbtxt"],
    "records": ["preprocessing/generate_tfrecord.py", "-x", "images", "-l", "map.pbtxt", "-o", "a.record"],
    "convert": ["preprocessing/convert_annotations.py", "--from", "voc", "--to", "csv", "-i", "images", "-o", "a.csv"],
    "infer": ["inference_main_v2.py", "-m", "model.onnx", "-i", "images", "-o", "out", "--recursive", "--save", "json"],
    "infer_pattern": ["inference_main_v2.py", "-m", "model.onnx", "-i", "images/**/*.jpg", "-o", "out"],
    "label": ["label.py", "-i", "images", "-l", "map.pbtxt", "--venv", "none"],
}


@pytest.fixture
def run(tmp_path):
    """`run(script of SCRIPTS)` runs it on a workspace of 4 labelled photos: (exit code, all that was said)."""
    for number in range(4):
        label_photo(tmp_path / "images", f"{number}.jpg", number)
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    write_onnx_model(tmp_path / "model.onnx")

    def run(name):
        command = [sys.executable, ROOT / "scripts" / SCRIPTS[name][0], *SCRIPTS[name][1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr, (name, done.stderr)
        return done.returncode, done.stdout + done.stderr

    return run


def check_named(run, scripts, *texts):
    """Each of the scripts ends with 1 and says each of the texts in one line."""
    for name in scripts:
        code, said = run(name)
        assert code == 1, (name, said)
        for text in texts:
            assert any(text in line for line in said.splitlines()), (name, said)


def test_a_photo_that_is_a_link_to_itself(run, tmp_path):
    (tmp_path / "images/loop.jpg").symlink_to("again.jpg")
    (tmp_path / "images/again.jpg").symlink_to("loop.jpg")
    what = ".jpg: is a link that leads nowhere (Too many levels of symbolic links); mend it, or take it away"
    everywhere = [name for name in SCRIPTS if name != "label_map"]
    check_named(run, everywhere, f"images/loop{what}", f"images/again{what}")
    assert run("label_map")[0] == 0  # which reads no photo


def test_an_xml_file_that_is_a_link_to_itself_or_a_pipe(run, tmp_path):
    for name in ("0.xml", "1.xml"):
        (tmp_path / "images" / name).unlink()
    (tmp_path / "images/0.xml").symlink_to("0.xml")
    os.mkfifo(tmp_path / "images/1.xml")
    texts = ("images/0.xml: is a link that leads nowhere (Too many", "images/1.xml: is a pipe, not a file; replace it")
    check_named(run, ["split", "check", "fix", "label_map", "records", "convert"], *texts)
    assert run("infer")[0] == run("infer_pattern")[0] == 0


def test_a_pipe_among_the_photos(run, tmp_path):
    os.mkfifo(tmp_path / "images/pipe.jpg")
    check_named(run, [name for name in SCRIPTS if name != "label_map"], "images/pipe.jpg: is a pipe, not a file")


def test_folders_that_lead_back(run, tmp_path):
    for name, target in {"here": ".", "also here": ".", "parent": "..", "its copy": ".."}.items():
        (tmp_path / "images" / name).symlink_to(target)
    check_named(run, ["convert"], f"images/also here: is a link back to {tmp_path / 'images'}, in which it lies; take")
    for name in ("split", "check", "label_map", "infer", "infer_pattern"):
        assert run(name)[0] == 0, name
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 4
    check_named(run, ["label"], "none: does not hold the labelling tool")


def test_two_folders_that_lead_to_each_other(run, tmp_path):
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / "images" / name).mkdir()
        (tmp_path / "images" / name / "link").symlink_to(f"../{other}")
    check_named(run, ["convert"], "images/one/link/link: is a link back to")
    for name in ("split", "label_map", "infer", "infer_pattern"):
        assert run(name)[0] == 0, name


@pytest.mark.parametrize("name", ["images", "images/out"])
def test_a_folder_of_photos_that_is_a_link_to_itself(run, tmp_path, name):
    if name == "images":
        (tmp_path / name).rename(tmp_path / "real")
    (tmp_path / name).symlink_to(name.rpartition("/")[2])
    SCRIPTS["split_out"] = [*SCRIPTS["split"], "-o", "images/out"]
    for script in ["split_out"] if "out" in name else SCRIPTS:
        code, said = run(script)
        assert code == 1 and "images" in said, said
    del SCRIPTS["split_out"]


def test_names_that_are_not_utf8(run, tmp_path):
    for suffix in (".jpg", ".xml"):
        shutil.copy(tmp_path / f"images/0{suffix}", tmp_path / os.fsdecode(b"images/\xff" + suffix.encode()))
    what = r"images/\udcff.jpg: the name is not in UTF-8; rename it"
    check_named(run, [name for name in SCRIPTS if name != "label_map"], what)
    check_named(run, ["label_map"], what.replace("jpg", "xml"))


def test_folders_whose_names_are_not_utf8(run, tmp_path):
    folder = tmp_path / os.fsdecode(b"images/\xff")
    shutil.copytree(tmp_path / "images", folder)
    for name in ("split", "check", "records"):  # which look into no folder of that name
        assert run(name)[0] == 0
    what = r"images/\udcff: the name is not in UTF-8; rename it"
    check_named(run, ["convert", "infer"], what)
    check_named(run, ["infer_pattern"], r"images/\udcff/0.jpg: the name is not in UTF-8; rename it")


def test_a_pipe_on_a_side_of_the_split(run, tmp_path):
    assert run("split")[0] == 0
    os.mkfifo(tmp_path / "images/train/pipe.jpg")
    (tmp_path / "images/test/loop.xml").symlink_to("loop.xml")
    label_photo(tmp_path / "images", "new.jpg", 5)
    what = "is not from images and would be lost; move it there, or elsewhere"
    check_named(run, ["split"], f"images/train/pipe.jpg: {what}", f"images/test/loop.xml: {what}")
    check_named(
        run, ["check"], "images/train/pipe.jpg: is a pipe", "images/test/loop.xml: is a link that leads nowhere"
    )


def test_notes_and_label_maps_that_are_pipes_or_folders(run, tmp_path):
    os.mkfifo(tmp_path / "images/split.json")
    os.mkfifo(tmp_path / "check.json")
    check_named(run, ["split"], "images/split.json: is a pipe, not a file; replace it with a file, or take it away")
    check_named(run, ["check"], "check.json: ")
    for name in ("images/split.json", "check.json"):
        (tmp_path / name).unlink()
    (tmp_path / "images/split.json").mkdir()
    SCRIPTS["fresh"] = [*SCRIPTS["split"], "--fresh"]
    check_named(run, ["split", "fresh"], "images/split.json: is a folder, not a file")
    del SCRIPTS["fresh"]
    assert not (tmp_path / "images/train").exists()
    (tmp_path / "map.pbtxt").unlink()
    os.mkfifo(tmp_path / "map.pbtxt")
    check_named(run, ["check", "records", "label"], "map.pbtxt: is a pipe, not a file; replace it with a file")


@pytest.mark.parametrize("kind", ["coco", "csv"])
def test_annotations_from_a_pipe_or_nested_too_deeply(call, run, tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    words = ["preprocessing/convert_annotations.py", "--from", kind, "--to", "voc", "-i", "images", "-o", "xml"]
    done = call(*words, "-a", "pipe", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: pipe: is a pipe, not a file; replace it with a file, or take it away\n"
    (tmp_path / "deep.json").write_text("[" * 1_000_000)
    done = call(*words, "-a", "deep.json", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: deep.json: ") and done.stderr.count("\n") == 1
