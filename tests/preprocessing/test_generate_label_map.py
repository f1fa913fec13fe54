"""The label map: ids in alphabetical order from 1, kept and checked once it is there."""

import shutil

from conftest import label_photo

from tfod.data.label_map import read_label_map, write_label_map
from tfod.data.voc import Box

SCRIPT = "preprocessing/generate_label_map.py"


def test_ids_run_in_alphabetical_order(call, labelled_images):
    label_photo(
        labelled_images / "more" / "deeper", "z.jpg", boxes=[Box("Bird", 1, 1, 9, 9), Box("浣熊's", 1, 1, 9, 9)]
    )
    done = call(SCRIPT, "-x", "images", "-o", "annotations/label_map.pbtxt", cwd=labelled_images.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "   1  Bird  1 box\n   2  cat  6 boxes\n   3  dog  6 boxes\n   4  浣熊's  1 box\n"
        "Successfully created the label map: annotations/label_map.pbtxt\n"
    )
    names_to_ids = read_label_map(labelled_images.parent / "annotations" / "label_map.pbtxt")
    assert list(names_to_ids.items()) == [("Bird", 1), ("cat", 2), ("dog", 3), ("浣熊's", 4)]


def test_a_label_map_is_kept_unless_forced(call, labelled_images):
    path = labelled_images.parent / "label_map.pbtxt"
    write_label_map(path, {"dog": 1, "cat": 2, "bus": 5})
    before = path.read_bytes()
    done = call(SCRIPT, "-x", labelled_images, "-o", path)
    assert (done.returncode, path.read_bytes()) == (0, before)
    assert done.stdout == "   1  dog  6 boxes\n   2  cat  6 boxes\n   5  bus  0 boxes\n"
    assert f"{path} is up to date (--force writes it again)" in done.stderr
    assert f"warning: {path}: the class 'bus' has no boxes in {labelled_images}" in done.stderr
    assert call(SCRIPT, "-x", labelled_images, "-o", path, "--force").returncode == 0
    assert read_label_map(path) == {"cat": 1, "dog": 2}


def test_a_class_that_the_label_map_lacks_is_named_with_the_nearest(call, labelled_images):
    path = labelled_images.parent / "label_map.pbtxt"
    write_label_map(path, {"cats": 1, "dog": 2})
    (labelled_images / "broken.xml").write_text("<annotation>")
    done = call(SCRIPT, "-x", labelled_images, "-o", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: {path}: lacks the class 'cat' of 6 boxes, first in {labelled_images}/" in done.stderr
    assert "; did you mean 'cats'? correct the XML, or add the class to the label map" in done.stderr
    assert f"error: {labelled_images / 'broken.xml'}: is not XML" in done.stderr
    assert read_label_map(path) == {"cats": 1, "dog": 2}


def test_copies_that_the_split_made_do_not_count_twice(call, labelled_images):
    for side in ("train", "test"):
        (labelled_images / side).mkdir()
        shutil.copy(labelled_images / "a.xml", labelled_images / side)
    shutil.copytree(labelled_images / "train", labelled_images / ".hidden")
    (labelled_images / "train" / "a.xml").write_text(
        (labelled_images / "a.xml").read_text().replace("<name>dog", "<name>wolf")
    )
    done = call(SCRIPT, "-x", labelled_images, "-o", labelled_images / "l.pbtxt")
    assert "   2  dog  6 boxes\n   3  wolf  1 box\n" in done.stdout


def test_without_labels_there_is_no_label_map(call, tmp_path):
    (tmp_path / "empty").mkdir()
    label_photo(tmp_path / "background", "a.jpg", boxes=[])
    for name, text in (
        ("nowhere", "is not a folder; give the one that holds the XML files with -x"),
        ("empty", "there are no XML files in it; label the images in labelImg first"),
        ("background", "none of its 1 XML files has a box; label the images first"),
    ):
        done = call(SCRIPT, "-x", tmp_path / name, "-o", tmp_path / "l.pbtxt")
        assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / name}: {text}\n")
        assert not (tmp_path / "l.pbtxt").exists()


def test_the_raccoon_photos(call, raccoon_images, tmp_path):
    done = call(SCRIPT, "-x", raccoon_images, "-o", tmp_path / "l.pbtxt")
    assert done.stdout.startswith("   1  raccoon  217 boxes\n")
    assert (tmp_path / "l.pbtxt").read_text() == "item {\n    id: 1\n    name: 'raccoon'\n}\n"


def test_classes_that_have_two_names_may_be_labelled_by_either(call, labelled_images):
    workspace = labelled_images.parent
    labels = workspace / "map.pbtxt"
    labels.write_text(
        "item { id: 0 name: 'background' } item { id: 5 name: 'cat' display_name: 'Katze' }"
        " item { id: 2 name: '/m/0bt9lr' display_name: 'dog' }"
    )
    xml = labelled_images / "a.xml"
    xml.write_text(xml.read_text().replace("<name>cat<", "<name>Katze<"))
    done = call("preprocessing/generate_label_map.py", "-x", labelled_images, "-o", labels)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["5", "cat", "6", "boxes"],
        ["2", "dog", "6", "boxes"],
    ]
    words = ("-x", labelled_images, "-l", labels, "-o", workspace / "a.record")
    done = call("preprocessing/generate_tfrecord.py", *words)
    assert done.returncode == 0, done.stderr
    assert "12 boxes (cat 6, dog 6)" in done.stderr
    done = call("preprocessing/inspect_tfrecord.py", "-l", labels, workspace / "a.record")
    assert done.returncode == 0, done.stderr
