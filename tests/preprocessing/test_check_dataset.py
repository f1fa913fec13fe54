"""Every fault that a data set can have is found, named with its file and its remedy, and all in one run."""

import collections
import json
import subprocess
import sys

import pytest
from conftest import ROOT
from faulty_workspace import SCRIPT, make_faulty_workspace


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """(images/ folder, finished process, report, dict kind -> dict file below images/ -> text)."""
    room = tmp_path_factory.mktemp("workspace")
    images = make_faulty_workspace(room)
    before = {path: path.lstat().st_mtime_ns for path in room.rglob("*")}
    command = [sys.executable, ROOT / "scripts" / SCRIPT, "-i", "images", "-l", "label_map.pbtxt"]
    command += ["--input_size", "320x320", "--json", "check.json"]
    done = subprocess.run(command, cwd=room, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads((room / "check.json").read_text(encoding="utf-8"))
    found = collections.defaultdict(dict)
    for fault in report["faults"]:
        found[fault["kind"]][fault["file"].removeprefix("images").removeprefix("/")] = (
            fault["severity"],
            fault["text"],
        )
    assert {path: path.lstat().st_mtime_ns for path in images.rglob("*")} == {
        path: time for path, time in before.items() if images in path.parents
    }
    return images, done, report, found


ERRORS = [
    ("xml-not-xml", "train/no-xml.xml", "is not XML", "correct that line in a text editor"),
    ("xml-not-voc", "train/no-voc.xml", "is <html>, not <annotation>", "save it as Pascal VOC in labelImg"),
    ("xml-not-voc", "train/no-content.xml", "neither <filename> nor <size> nor <object>", "save it as Pascal VOC"),
    ("xml-entity", "train/entity.xml", "holds the entity &e;", "write its text instead"),
    ("box-not-number", "train/box-missing.xml", "<bndbox/xmin> is missing", "draw the box again"),
    ("box-not-number", "train/box-text.xml", "<bndbox/xmin> is 'ten', not a number", "correct it"),
    ("box-not-number", "train/box-nan.xml", "<bndbox/ymin> is 'NaN', not a number", "correct it"),
    ("box-not-number", "train/box-inf.xml", "<bndbox/ymax> is 'inf', not a number", "correct it"),
    ("box-no-area", "train/box-flat.xml", "(10, 10, 10, 50)", "has no area; draw it again"),
    ("box-swapped", "train/box-swapped.xml", "(10, 10, 5, 50)", "has its corners swapped; draw it again"),
    ("box-no-name", "train/box-nameless.xml", "the box has no <name>", "give it its class"),
    (
        "class-hidden",
        "train/hidden.xml",
        r"the class 'tac\u202e' holds a character that can't be seen",
        "type its name again",
    ),
    ("xml-not-xml", "train/deep.xml", "is not XML (Excessive depth in document: 256", "correct that line"),
    ("file-not-read", "train/huge.xml", "has 17 MB, more than the 16 MB", "replace it with the right file"),
    ("box-no-bndbox", "train/box-none.xml", "'cat' has no <bndbox>", "draw its box in labelImg"),
    ("box-outside", "train/box-outside.xml", "reaches out of the image of 96 x 64 pixels", "draw it again"),
    ("box-flag", "train/flag.xml", "<difficult> is 'often'", "it must be 0 or 1"),
    (
        "class-unknown",
        "train/class.xml",
        "'catt' of 1 box is not in label_map.pbtxt",
        "did you mean cat? correct the XML",
    ),
    (
        "size-differs",
        "train/size.xml",
        "<size> is 640 x 64, but size.jpg has 96 x 64 pixels",
        "put back",
    ),
    ("size-not-number", "train/size-text.xml", "<size/width> is 'wide', not a number", "correct it"),
    ("image-damaged", "train/damaged.jpg", "can't be decoded (image file is truncated", "replace it with a sound copy"),
    ("image-not-read", "train/empty.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/text.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/drawing.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/phone.jpg", "or is of a kind other than JPEG, PNG", "save it as JPEG"),
    ("image-not-read", "train/web.jpg", "or is of a kind other than JPEG, PNG", "save it as JPEG"),
    ("image-too-large", "train/bomb.jpg", "has more than 178 million pixels", "save it smaller"),
    ("xml-without-image", "train/no-image.xml", "there is no image of its name", "add the image, or take the XML"),
    (
        "image-without-xml",
        "train/no-label.jpg",
        "has no XML file",
        "or leave them out with FAULTY=skip",
    ),
    (
        "xml-of-two-images",
        "train/two-images.xml",
        "belongs to 2 images, two-images.jpeg",
        "rename or remove all but one",
    ),
    ("image-with-two-xml", "train/two-xml-again.xml", "two-xml.jpg has another XML file", "keep one of them"),
    ("name-not-utf8", r"train/\udce8.jpg", "the name is not in UTF-8", "rename it"),
    ("not-a-file", "train/pipe.png", "is a pipe, not a file", "replace it with a file, or take it away"),
    ("not-a-file", "train/link.jpg", "is a link that leads nowhere (No such file or directory)", "mend it"),
    ("not-a-file", "train/loop.jpg", "is a link that leads nowhere (Too many levels of symbolic links)", "mend it"),
    ("photo-on-two-sides", "test/both too.png", "is the same photo as train/both.png", "remove one of them"),
]
WARNINGS = [
    (
        "exif-turned",
        "train/turned.jpg",
        "EXIF says that it is to be turned (orientation 6)",
        "the records get it upright",
    ),
    ("filename-differs", "train/filename.xml", "<filename> names 'other.jpg', but filename.jpg is used", "one name"),
    ("path-differs", "train/path.xml", "<path> names 'other.jpg', but path.jpg is used", "nothing to do if"),
    ("box-overhangs", "train/box-overhangs.xml", "reaches 1 pixels out of the image of 96 x 64", "cut at the border"),
    ("box-duplicate", "train/double.xml", "box 'cat' (10, 10, 60, 50)", "is there 2 times; remove all but one"),
    ("box-small", "train/tiny.xml", "1 of 1 boxes are under 8 pixels a side", "6.7 x 200.0); take a model of larger"),
    ("near-duplicate", "test/nearly too.jpg", "looks nearly as train/nearly.jpg", "keep such photos in one subset"),
    ("boxes-many", "train/many.xml", "has 101 boxes, more than upstream's 100", "make config sets max_number_of_boxes"),
    ("not-a-file", "train/folder.jpg", "is a folder, and is left out", "nothing to do if that is meant"),
    ("not-in-split", "new.jpg", "is not in the split", "make split"),
    ("not-in-split", "sound-1.jpg", "is not what train/sound-1.jpg is any more", "make split"),
    ("class-few-boxes", "", "has 1 box", "label 10 or more"),
    ("class-on-one-side", "", "is in test/ only", "make split with more photos of it"),
    ("class-spelling", "", "has the classes 'catt' (1) and 'cat'", "if they are one, correct the XML"),
    ("negatives", "train", "photos have no box", "label them if something is left out"),
    ("difficult", "train", "1 of ", "boxes are marked difficult; nothing to do if that is meant"),
    ("truncated", "train", "1 of ", "boxes are marked truncated; nothing to do if that is meant"),
]


@pytest.mark.parametrize(("kind", "file", "what", "remedy"), ERRORS)
@pytest.mark.attack
def test_every_error_is_found(checked, kind, file, what, remedy):
    severity, text = checked[3][kind][file]
    assert severity == "error"
    assert what in text and remedy in text


@pytest.mark.parametrize(("kind", "file", "what", "remedy"), WARNINGS)
def test_every_warning_is_found(checked, kind, file, what, remedy):
    report = checked[2]
    below = [fault for fault in report["faults"] if fault["kind"] == kind]
    wanted = f"images/{file}".removesuffix("/")
    texts = [fault["text"] for fault in below if fault["file"] == wanted and fault["severity"] == "warning"]
    assert any(what in text and remedy in text for text in texts), below


def test_nothing_else_is_found(checked):
    expected = {(kind, file) for kind, file, *_ in ERRORS + WARNINGS}
    found = {(kind, file) for kind, files in checked[3].items() for file in files}
    also = {
        ("exif-turned", "train/turned.jpg"),
        ("not-in-split", "new.xml"),  # comes with its photo
        ("not-in-split", "sound-1.xml"),
        ("class-unknown", "test/unlike.xml"),
        ("negatives", "test"),
    }
    assert found - expected <= also
    assert expected <= found


def test_the_report_is_grouped_errors_first_and_counted(checked):
    _, done, report, found = checked
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    heads = [line for line in lines if not line.startswith("  ")]
    severities = [line.split()[0] for line in heads[:-1]]
    assert severities == sorted(severities)  # error before warning
    assert "error box-not-number (coordinates that are not numbers): 4" in heads
    assert f"{report['errors']} errors, {report['warnings']} warnings" in heads[-1]
    assert report["errors"] == sum(fault["severity"] == "error" for fault in report["faults"]) == len(ERRORS) + 1
    last = f"error: images: the {report['errors']} errors above must be corrected; --fix FOLDER corrects what it can"
    *_, error, advice = done.stderr.splitlines()
    assert error == f"{last}, in copies"
    assert advice == (
        "36 of 71 photos are concerned: `make tfrecord FAULTY=skip` leaves them out; `make tfrecord FAULTY=fix` repairs"
        " 6 of them in the records, without a guess, and leaves 30 out. (By hand: --faulty skip or fix.)"
    )
    assert "Traceback" not in done.stderr


def test_a_file_that_is_a_gif_by_its_content_is_no_fault(checked):
    assert not [fault for fault in checked[2]["faults"] if "really-a-gif" in fault["file"]]
