"""What a terminal would obey, or nobody sees, in class names and file names: refused or escaped, never printed raw."""

import json
import re

import pytest
from conftest import label_photo
from constant_detector import write_onnx_model

from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box
from tfod.utils.console import find_hidden, make_printable

pytestmark = pytest.mark.attack
HIDDEN = ["\x9b31m", "\u202e", "\u2066", "\u200f", "\u200b", "\ufeff"]  # all of these XML can hold
NAME = f"cat{''.join(HIDDEN)}"
CONVERT = "preprocessing/convert_annotations.py"


@pytest.fixture
def run(call, tmp_path):
    """`run(script, *words)`: (exit code, all that was said), of which nothing is hidden."""

    def run(script, *words):
        done = call(script, *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        said = done.stdout + done.stderr
        assert not find_hidden(said.replace("\n", "")), ascii(said)
        return done.returncode, said

    return run


@pytest.mark.parametrize(
    "mark", [*HIDDEN, "\n", "\x1b[2J", "\x00", "\u061c", "\u202a", "\u2069", "\u2028", "\ud800", "\U000e0067"]
)
def test_hidden_characters(mark):
    assert find_hidden(f"a{mark}b")
    assert make_printable(f"a{mark}b").isascii()
    assert set(find_hidden(make_printable(f"猫{mark}\n", kept="\n"))) == {"\n"}


@pytest.mark.parametrize(
    "name",
    [
        "قطة",
        "خانه‌ها",
        "חתול",
        "红　灯",
        "क्‍ष",
        "👨‍👩‍👧",
        "❤️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "٣\u06dd",
        "e\u0301",
        "a\u00a0b",
    ],
)
def test_names_of_every_script_are_printed_as_they_are(name):
    assert make_printable(name) == name and not find_hidden(name)


def test_a_class_in_xml(run, tmp_path):
    for number, name in enumerate([NAME, "cat", "cat", "dog"]):
        label_photo(tmp_path / "images", f"{number}.jpg", number, [Box(name, 8, 8, 38, 28)])
    what = (
        r"images/0.xml: line \d+: the class 'cat\\x9b31m\\u202e.*' holds a character that can't be seen; type its name"
    )
    for words in (
        ["preprocessing/check_dataset.py", "-i", "images", "--json", "check.json"],
        ["preprocessing/generate_label_map.py", "-x", "images", "-o", "map.pbtxt"],
        [CONVERT, "--from", "voc", "--to", "yolo", "-i", "images", "-o", "yolo"],
    ):
        code, said = run(*words)
        assert code == 1 and re.search(what, said), said
    assert not (tmp_path / "map.pbtxt").exists()
    report = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert set(report["classes"]) == {"cat", "dog"}
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    code, said = run("preprocessing/generate_tfrecord.py", "-x", "images", "-l", "map.pbtxt", "-o", "a.record")
    assert code == 1 and re.search(what, said) and not (tmp_path / "a.record").exists()
    code, said = run("preprocessing/partition_dataset.py", "-x", "-i", "images")
    assert code == 0 and "1 XML files have faults" in said


def test_a_class_in_a_label_map(run, tmp_path):
    label_photo(tmp_path / "images", "a.jpg", boxes=[Box("cat", 8, 8, 38, 28)])
    (tmp_path / "map.pbtxt").write_text(f"item {{ id: 1 name: '{NAME}\\033[2J' }}", encoding="utf-8")
    write_onnx_model(tmp_path / "model.onnx")
    for words in (
        ["preprocessing/check_dataset.py", "-i", "images", "-l", "map.pbtxt"],
        ["preprocessing/generate_tfrecord.py", "-x", "images", "-l", "map.pbtxt", "-o", "a.record"],
        ["preprocessing/inspect_tfrecord.py", "-l", "map.pbtxt", "a.record"],
        [CONVERT, "--from", "voc", "--to", "yolo", "-i", "images", "-o", "yolo", "-l", "map.pbtxt"],
        ["inference_main_v2.py", "-m", "model.onnx", "-l", "map.pbtxt", "-i", "images", "-o", "out"],
        ["label.py", "-i", "images", "-l", "map.pbtxt"],
    ):
        code, said = run(*words)
        assert code == 1 and "map.pbtxt: line 1: the name 'cat" in said, said


@pytest.mark.parametrize("kind", ["coco", "csv", "yolo", "yaml"])
def test_a_class_in_what_is_converted(run, tmp_path, kind):
    label_photo(tmp_path / "images", "a.jpg", boxes=[])
    source, labels = tmp_path / "source", []
    if kind == "coco":
        category, box = (
            {"id": 1, "name": f"{NAME}\x1b[2J"},
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 9, 9]},
        )
        image = {"id": 1, "file_name": "a.jpg"}
        source.write_text(json.dumps({"images": [image], "annotations": [box], "categories": [category]}))
    elif kind == "csv":
        head = "filename,width,height,class,xmin,ymin,xmax,ymax"
        source.write_text(f"{head}\na.jpg,96,64,{NAME}\x1b[2J,8,8,38,28\n", encoding="utf-8")
    else:
        source.mkdir()
        (source / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        labels = ["-l", f"names.{'yaml' if kind == 'yaml' else 'txt'}"]
        text = f'names: ["{NAME}"]' if kind == "yaml" else NAME
        (tmp_path / labels[1]).write_text(text.replace("\x9b", "\x7f" if kind == "txt" else ""), encoding="utf-8")
    words = ["--from", "yolo" if kind == "yaml" else kind, "--to", "voc", "-i", "images", "-a", "source", *labels]
    code, said = run(CONVERT, *words, "-o", "xml")
    assert code == 1 and "holds a character that can't be seen; rename it" in said, said
    assert not (tmp_path / "xml").exists()


def test_file_names(run, tmp_path):
    images = tmp_path / "images"
    names = [f"{number}{mark}.jpg" for number, mark in enumerate([*HIDDEN, "\x1b[2J", "\n"])]
    for number, name in enumerate(names):
        label_photo(images, f"{number}.jpg", number, [Box("cat", 8, 8, 98, 28)])  # which reaches out of the photo
        for suffix in (".jpg", ".xml"):
            (images / f"{number}{suffix}").rename((images / name).with_suffix(suffix))
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})
    write_onnx_model(tmp_path / "model.onnx")
    check = ["preprocessing/check_dataset.py", "-i", "images"]
    code, said = run(*check, "--json", "check.json", "--fix", "fixed", "--all")
    assert code == 1 and said.count("reaches out of the image") == len(names) and r"0\x9b31m.xml: box" in said
    assert r"images/6\x1b[2J.xml: box 'cat'" in said and "clipped to" in said
    code, said = run("preprocessing/generate_tfrecord.py", "-x", "images", "-l", "map.pbtxt", "-o", "a.record")
    assert code == 1 and r"images/7\n.xml: box 'cat'" in said
    assert run("preprocessing/generate_tfrecord.py", "-x", "fixed", "-l", "map.pbtxt", "-o", "a.record")[0] == 0
    assert run("preprocessing/inspect_tfrecord.py", "-l", "map.pbtxt", "a.record")[0] == 0
    assert run("preprocessing/partition_dataset.py", "-x", "-i", "fixed")[0] == 0
    assert run("preprocessing/partition_dataset.py", "-x", "-i", "fixed", "--verify")[0] == 0
    infer = ["inference_main_v2.py", "-m", "model.onnx", "-i", "fixed", "-o", "out", "--save"]
    assert run(*infer, "images,json,csv,coco,crops")[0] == 0
    code, said = run(*infer, "voc")
    what = "holds a character that can't be seen, in its name, which XML can't have; rename it"
    assert code == 1 and said.count(what) == len(names)
    assert run(CONVERT, "--from", "voc", "--to", "coco", "-i", "fixed", "-o", "coco.json")[0] == 0
    code, said = run(CONVERT, "--from", "coco", "--to", "voc", "-i", "fixed", "-a", "coco.json", "-o", "xml")
    assert code == 1 and r"error: 'train/7\n.jpg': the name holds a character" in said


def test_what_a_record_holds(run, tmp_path):
    photo = label_photo(tmp_path, "a.jpg")
    box = Box("cat\x1b[2J\u202e", 8, 8, 38, 28)
    write_records(
        tmp_path / "a.record",
        [make_example("a\x1b[2J.jpg", photo.read_bytes(), "jpeg", 96, 64, [box], {box.name: 1})],
    )
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})
    code, said = run("preprocessing/inspect_tfrecord.py", "-l", "map.pbtxt", "a.record")
    assert code == 1 and r"record 1 (a\x1b[2J.jpg): box 1" in said and r"cat\x1b[2J\u202e 1;" in said
