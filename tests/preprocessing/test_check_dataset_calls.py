"""check_dataset.py as it is called: its options, runs again, many faults, wrong calls, and real photos."""

import json

import pytest
from conftest import ROOT, label_photo
from faulty_workspace import SCRIPT, put_photo

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box


def test_what_was_found_is_repeated_while_nothing_changes(call, labelled_images):
    (labelled_images / "a.xml").write_text("<annotation>")
    room = labelled_images.parent
    first = call(SCRIPT, "--json", "check.json", cwd=room)
    before = (room / "check.json").stat().st_ino
    again = call(SCRIPT, "--json", "check.json", cwd=room)
    assert (first.returncode, first.stdout) == (again.returncode, again.stdout) == (1, first.stdout)
    assert "check.json is up to date: nothing has changed since" in again.stderr
    assert (room / "check.json").stat().st_ino == before
    label_photo(labelled_images, "a.jpg", 0)
    mended = call(SCRIPT, "--json", "check.json", cwd=room)
    assert mended.returncode == 0
    assert "up to date" not in mended.stderr


def test_the_report_does_not_depend_on_the_number_of_processes(call, labelled_images):
    for i in range(40):
        put_photo(labelled_images, f"more-{i}.jpg", i)
    (labelled_images / "more-30.xml").write_text("<annotation>")
    outputs = [call(SCRIPT, "--num_workers", number, cwd=labelled_images.parent) for number in (1, 2, 3)]
    assert len({done.stdout for done in outputs}) == 1
    assert {done.returncode for done in outputs} == {1}


def test_thousands_of_faults_of_one_kind_stay_readable(call, tmp_path):
    photo = put_photo(tmp_path / "images", "0.jpg", 0)
    for i in range(1, 1000):
        (photo.parent / f"{i}.jpg").hardlink_to(photo)
    done = call(SCRIPT, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "error image-without-xml (images without an XML file): 999"
    assert lines[6] == "  and 994 more: --all shows them"
    assert len(lines) < 20
    assert len(call(SCRIPT, "--all", cwd=tmp_path).stdout.splitlines()) > 999


def test_unlabelled_photos_can_be_negatives(call, labelled_images):
    (labelled_images / "a.xml").unlink()
    done = call(SCRIPT, cwd=labelled_images.parent)
    assert "error image-without-xml (images without an XML file): 1\n" in done.stdout
    done = call(SCRIPT, "--allow_unlabelled", cwd=labelled_images.parent)
    assert done.returncode == 0, done.stdout
    assert "images: 1 of 12 photos have no box" in done.stdout


def test_faults_of_the_label_map_come_with_the_others(call, labelled_images):
    (labelled_images.parent / "map.pbtxt").write_text("item { id: 0 name: 'cat' }")
    (labelled_images / "a.xml").write_text("<annotation>")
    done = call(SCRIPT, "-l", "map.pbtxt", cwd=labelled_images.parent)
    assert done.returncode == 1
    assert "map.pbtxt: line 1: 'cat' has the id 0; ids begin at 1" in done.stdout
    assert "images/a.xml: is not XML" in done.stdout


def test_the_size_of_boxes_is_that_at_the_models_input(call, labelled_images):
    config = ROOT / "scripts" / "configs" / "ssd_mobilenet_v2_fpnlite_320.config"
    put_photo(labelled_images, "wide.jpg", 3, [Box("cat", 10, 10, 40, 12)])  # 2 of 64 rows: 10 of 320
    assert "box-small" not in call(SCRIPT, "--config", config, cwd=labelled_images.parent).stdout
    assert "box-small" not in call(SCRIPT, cwd=labelled_images.parent).stdout
    done = call(SCRIPT, "--input_size", "320x160", cwd=labelled_images.parent)
    assert "'cat': 100.0 x 5.0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--input_size", "320"], "'320' is not a size as 320x320"),
        (["--input_size", "0x9"], "'0x9' has a side under 1 pixel"),
        (["--num_workers", "0"], "--num_workers must be 1 or more"),
    ],
)
def test_a_wrong_call_ends_with_2(call, arguments, text):
    done = call(SCRIPT, *arguments)
    assert done.returncode == 2
    assert text in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no model; give the pipeline.config of one"),
        (
            "model { ssd { image_resizer { identity_resizer {} } } }",
            "image_resizer is identity_resizer; only fixed_shape_resizer and keep_aspect_ratio_resizer are known here;"
            " give --input_size instead",
        ),
    ],
)
def test_a_config_that_tells_no_input_size_is_named(call, tmp_path, text, said):
    (tmp_path / "p.config").write_text(text)
    done = call(SCRIPT, "--config", "p.config", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: p.config: {said}\n")


def test_a_folder_without_photos_is_named(call, tmp_path):
    (tmp_path / "images" / "train").mkdir(parents=True)
    for folder, text in (("images", "there are no photos in it; copy"), ("nowhere", "there is no such folder; give")):
        done = call(SCRIPT, "-i", folder, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {folder}: {text}" in done.stderr


def test_the_raccoon_photos_have_no_error(call, raccoon_images, tmp_path):
    done = call(SCRIPT, "-i", raccoon_images, "--input_size", "320x320", "--json", tmp_path / "check.json")
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "check.json").read_text())
    assert (report["photos"], report["boxes"], report["errors"]) == (200, 217, 0)
    assert {fault["kind"] for fault in report["faults"]} == {"truncated"}


def test_help_answers_at_once(call):
    done = call(SCRIPT, "--help")
    assert done.returncode == 0
    assert "--allow_unlabelled" in done.stdout and "(default: the cores)" in done.stdout


def test_label_map_made_of_the_same_names_is_no_change(call, labelled_images):
    room = labelled_images.parent
    assert call(SCRIPT, "--json", "check.json", cwd=room).returncode == 0
    call("preprocessing/generate_label_map.py", "-x", "images", "-o", "map.pbtxt", cwd=room)
    assert "check.json is up to date" in call(SCRIPT, "-l", "map.pbtxt", "--json", "check.json", cwd=room).stderr


def test_a_class_that_is_added_to_the_label_map_later_is_checked_again(call, tmp_path):
    label_photo(tmp_path / "images", "a.jpg", 0, [Box("cat", 8, 8, 38, 28)])
    label_photo(tmp_path / "images", "b.jpg", 1, [Box("fox", 8, 8, 38, 28)])
    words = (SCRIPT, "-l", "map.pbtxt", "--json", "check.json")
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})
    assert "the class 'fox' of 1 box is not in map.pbtxt" in call(*words, cwd=tmp_path).stdout
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "fox": 2})
    assert call(*words, cwd=tmp_path).returncode == 0
