"""Every fault that a data set can have is found, named with its file and its remedy, and all in one run."""

import collections
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zlib

import pytest
from conftest import ROOT, draw_photo, label_photo
from PIL import ExifTags, Image

from tfod.label_map import write_label_map
from tfod.voc import Box, read_annotation, write_annotation

SCRIPT = "preprocessing/check_dataset.py"


def draw_scene(number, size=(96, 64)):
    """A picture that looks like no other one: coarse coloured noise."""
    noise = Image.frombytes("RGB", (16, 12), random.Random(number).randbytes(16 * 12 * 3))
    return noise.resize(size, Image.Resampling.BICUBIC)


def put(folder, name, number, boxes=None, **saving):
    boxes = [Box("cat" if number % 2 else "dog", 10, 10, 60, 50)] if boxes is None else boxes
    return label_photo(folder, name, boxes=boxes, photo=draw_scene(number), **saving)


def edit(path, *replacements):
    text = path.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def make_png_of_30000_pixels_a_side():
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, content in (
        (b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ):
        bomb += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return bomb


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_faulty_workspace(room):
    """A workspace with every fault in a file of its own; its images/ folder."""
    images = room / "images"
    train, test = images / "train", images / "test"
    numbers = iter(range(1, 1000))
    for i in range(12):
        put(train, f"sound-{i}.jpg", next(numbers))
        put(test, f"fine-{i}.jpg", next(numbers))

    def put_wrong(name, *replacements, boxes=None):
        number = next(numbers)
        boxes = [Box("cat", 10, 10, 60, 50)] if boxes is None else boxes
        path = put(train, f"{name}.jpg", number, boxes)
        edit(path.with_suffix(".xml"), *replacements)
        return path

    put_wrong("no-xml").with_suffix(".xml").write_text("<annotation>")
    put_wrong("no-voc").with_suffix(".xml").write_text("<html/>")
    put_wrong("no-content").with_suffix(".xml").write_text("<annotation><folder/></annotation>")
    put_wrong("entity").with_suffix(".xml").write_text(
        "<!DOCTYPE annotation [<!ENTITY e SYSTEM 'file:///etc/hostname'>]><annotation><filename>&e;</filename></annotation>"
    )
    put_wrong("box-missing", ("<xmin>10</xmin>", ""))
    put_wrong("box-text", ("<xmin>10<", "<xmin>ten<"))
    put_wrong("box-nan", ("<ymin>10<", "<ymin>NaN<"))
    put_wrong("box-inf", ("<ymax>50<", "<ymax>inf<"))
    put_wrong("box-flat", ("<xmax>60<", "<xmax>10<"))
    put_wrong("box-swapped", ("<xmax>60<", "<xmax>5<"))
    put_wrong("box-nameless", ("<name>cat</name>", ""))
    put_wrong("box-none", ("<bndbox>", "<polygon>"), ("</bndbox>", "</polygon>"))
    put_wrong("box-outside", ("<xmax>60<", "<xmax>98<"))
    put_wrong("box-overhangs", ("<xmax>60<", "<xmax>97<"))
    put_wrong("flag", ("<difficult>0<", "<difficult>often<"))
    put_wrong("class", ("<name>cat<", "<name>catt<"))
    put_wrong("size", ("<width>96<", "<width>640<"))
    put_wrong("size-text", ("<width>96<", "<width>wide<"))
    put_wrong("leads-out", ("<filename>leads-out.jpg<", "<filename>../leads-out.jpg<"))
    put_wrong("filename", ("<filename>filename.jpg<", "<filename>other.jpg<"))
    put_wrong("path", ("<path>path.jpg<", "<path>C:\\photos\\other.jpg<"))
    put_wrong("double", boxes=[Box("cat", 10, 10, 60, 50), Box("dog", 10, 10, 60, 50), Box("cat", 10, 10, 60, 50)])
    put_wrong("tiny", boxes=[Box("cat", 10, 10, 12, 50)])
    put_wrong("many", boxes=[Box("cat", i / 2, 0, i / 2 + 30, 60) for i in range(101)])
    put_wrong("negative", boxes=[])
    put_wrong("flagged", boxes=[Box("cat", 10, 10, 60, 50, difficult=1, truncated=1)])

    damaged = put_wrong("damaged")
    damaged.write_bytes(damaged.read_bytes()[:-300])
    for name, content in {
        "empty": b"",
        "text": b"<html>404</html>",
        "drawing": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "phone": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        "web": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200),
    }.items():
        put_wrong(name).write_bytes(content)
    put_wrong("bomb").write_bytes(make_png_of_30000_pixels_a_side())
    put_wrong("really-a-gif").write_bytes(save(draw_scene(next(numbers)), "GIF"))
    put_wrong("no-image").unlink()
    put_wrong("no-label").with_suffix(".xml").unlink()
    shutil.copy(put_wrong("two-images"), train / "two-images.jpeg")
    write_annotation(train / "two-xml-again.xml", put_wrong("two-xml").name, 96, 64, [])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    put(train, "turned.jpg", next(numbers), exif=exif)
    write_annotation(train / "turned.xml", "turned.jpg", 64, 96, [Box("cat", 10, 10, 50, 60)])
    (train / "folder.jpg").mkdir()
    os.mkfifo(train / "pipe.png")
    (train / "link.jpg").symlink_to("nowhere.jpg")
    draw_photo().save(train / os.fsdecode(b"\xe8.jpg"))

    put(train, "both.png", 900)
    label_photo(test, "both too.png", photo=draw_scene(900), boxes=[], compress_level=1)
    put(train, "nearly.jpg", 901, quality=95)
    label_photo(test, "nearly too.jpg", photo=draw_scene(901, (192, 128)), boxes=[], quality=60)
    put(test, "unlike.jpg", next(numbers), [Box("bird", 10, 10, 60, 50), Box("Cat", 10, 10, 60, 50)])

    put(images, "new.jpg", next(numbers))
    for suffix in (".jpg", ".xml"):
        shutil.copy2(train / f"sound-0{suffix}", images)
    put(images, "sound-1.jpg", next(numbers))
    write_label_map(room / "label_map.pbtxt", {"bird": 1, "cat": 2, "dog": 3})
    return images


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
    ("xml-not-xml", "train/no-xml.xml", "is not XML", "label the image again"),
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
    ("box-no-bndbox", "train/box-none.xml", "'cat' has no <bndbox>", "draw its box in labelImg"),
    ("box-outside", "train/box-outside.xml", "reaches out of the image of 96 x 64 pixels", "draw it again"),
    ("box-flag", "train/flag.xml", "<difficult> is 'often'", "it must be 0 or 1"),
    (
        "class-unknown",
        "train/class.xml",
        "'catt' of 1 box is not in label_map.pbtxt",
        "did you mean cat? correct the XML",
    ),
    ("size-differs", "train/size.xml", "<size> is 640 x 64, but size.jpg has 96 x 64 pixels", "label this image again"),
    ("size-not-number", "train/size-text.xml", "<size/width> is 'wide', not a number", "correct it"),
    ("filename-leads-out", "train/leads-out.xml", "'../leads-out.jpg' leads out", "write the image's name alone"),
    ("image-damaged", "train/damaged.jpg", "can't be decoded (image file is truncated", "replace it with a sound copy"),
    ("image-not-read", "train/empty.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/text.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/drawing.jpg", "is not an image", "save it as JPEG"),
    ("image-not-read", "train/phone.jpg", "or is of a kind other than JPEG, PNG", "save it as JPEG"),
    ("image-not-read", "train/web.jpg", "or is of a kind other than JPEG, PNG", "save it as JPEG"),
    ("image-too-large", "train/bomb.jpg", "has more than 178 million pixels", "save it smaller"),
    ("xml-without-image", "train/no-image.xml", "there is no image of its name", "add the image, or take the XML"),
    ("image-without-xml", "train/no-label.jpg", "has no XML file", "label it, or take all such images as negatives"),
    (
        "xml-of-two-images",
        "train/two-images.xml",
        "belongs to 2 images, two-images.jpeg",
        "rename or remove all but one",
    ),
    ("image-with-two-xml", "train/two-xml-again.xml", "two-xml.jpg has another XML file", "keep one of them"),
    ("name-not-utf8", r"train/'\udce8.jpg'", "the name is not in UTF-8", "rename the file"),
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
    ("near-duplicate", "test/nearly too.jpg", "looks nearly as train/nearly.jpg", "keep such photos on one side"),
    ("boxes-many", "train/many.xml", "has 101 boxes, more than upstream's 100", "make config sets max_number_of_boxes"),
    ("not-a-file", "train/folder.jpg", "is a folder, a pipe or a broken link", "move it away"),
    ("not-a-file", "train/pipe.png", "is a folder, a pipe or a broken link", "move it away"),
    ("not-a-file", "train/link.jpg", "is a folder, a pipe or a broken link", "mend it"),
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
    assert "error box-not-number (coordinates that are no numbers): 4" in heads
    assert f"{report['errors']} errors, {report['warnings']} warnings" in heads[-1]
    assert report["errors"] == sum(fault["severity"] == "error" for fault in report["faults"]) == len(ERRORS) + 1
    last = f"error: images: the {report['errors']} errors above must be corrected; --fix FOLDER corrects what it can"
    assert done.stderr.splitlines()[-1] == f"{last}, in copies"
    assert "Traceback" not in done.stderr


def test_a_file_that_is_a_gif_by_its_content_is_no_fault(checked):
    assert not [fault for fault in checked[2]["faults"] if "really-a-gif" in fault["file"]]


def read_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
        put(labelled_images, f"more-{i}.jpg", i)
    (labelled_images / "more-30.xml").write_text("<annotation>")
    outputs = [call(SCRIPT, "--num_workers", number, cwd=labelled_images.parent) for number in (1, 2, 3)]
    assert len({done.stdout for done in outputs}) == 1
    assert {done.returncode for done in outputs} == {1}


def test_thousands_of_faults_of_one_kind_stay_readable(call, tmp_path):
    photo = put(tmp_path / "images", "0.jpg", 0)
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
    assert "error image-without-xml (images without an XML file): 1\n" in call(SCRIPT, cwd=labelled_images.parent).stdout
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
    put(labelled_images, "wide.jpg", 3, [Box("cat", 10, 10, 40, 12)])  # 2 of 64 rows: 10 of 320
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


@pytest.fixture(scope="module")
def fixed(checked, tmp_path_factory):
    """(the faulty images/, the corrected copies, what was printed, dict kind -> files of the copies' own report)."""
    images = checked[0]
    output = tmp_path_factory.mktemp("fixed") / "images"
    labels = images.parent / "label_map.pbtxt"

    def check(folder, *arguments):
        command = [sys.executable, ROOT / "scripts" / SCRIPT, "-i", folder, "-l", labels, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    before = read_files(images)
    done = check(images, "--fix", output, "--all")
    assert read_files(images) == before
    check(output, "--json", output.parent / "check.json")
    found = collections.defaultdict(set)
    for fault in json.loads((output.parent / "check.json").read_text())["faults"]:
        found[fault["kind"]].add(fault["file"].removeprefix(f"{output}/"))
    return images, output, done, found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train/box-swapped.xml", "corners of box 'cat' (10, 10, 5, 50) sorted"),
        ("train/box-outside.xml", "box 'cat' (10, 10, 98, 50) clipped to 'cat' (10, 10, 96, 50)"),
        ("train/box-overhangs.xml", "box 'cat' (10, 10, 97, 50) clipped to 'cat' (10, 10, 96, 50)"),
        ("train/double.xml", "box 'cat' (10, 10, 60, 50) removed, as it was there twice"),
        ("test/unlike.xml", "class 'Cat' spelled 'cat'"),
        ("train/class.xml", "class 'catt' spelled 'cat'"),
        ("train/size.xml", "<size/width> '640' set to 96"),
        ("train/size-text.xml", "<size/width> 'wide' set to 96"),
        ("train/leads-out.xml", "<filename> '../leads-out.jpg' set to 'leads-out.jpg'"),
        ("train/filename.xml", "<filename> 'other.jpg' set to 'filename.jpg'"),
        ("train/path.xml", r"<path> 'C:\\photos\\other.jpg' set to 'path.jpg'"),
        ("train/turned.jpg", "turned upright, encoded anew"),
        ("train/really-a-gif.jpg", "was GIF, P, encoded anew as really-a-gif.png, in place of really-a-gif.jpg"),
    ],
)
def test_corrected_copies_have_none_of_the_faults(fixed, name, text):
    images, output, done, found = fixed
    assert f"{images / name}: {text}" in done.stdout
    stem = name.rpartition(".")[0]
    assert not [file for files in found.values() for file in files if file.startswith(stem)]
    assert list(output.glob(f"{stem}.xml")) and len(list(output.glob(f"{stem}.*"))) == 2


def test_what_cant_be_corrected_is_listed_as_left(fixed):
    images, output, done, _ = fixed
    left = [line for line in done.stdout.splitlines() if line.startswith("left as it is: ")]
    for name in ("train/no-xml.xml: is not XML", "train/damaged.jpg: can't", "test/both too.png: is the same photo"):
        assert any(line.startswith(f"left as it is: {images}/{name}") for line in left), left
    assert f"; {len(left)} errors left" in done.stdout
    assert not list(output.glob("train/sound-*"))


def test_turned_photos_and_their_boxes_stay_together(call, tmp_path):
    images = tmp_path / "images"
    exif = Image.Exif()
    for orientation in range(2, 9):
        exif[ExifTags.Base.Orientation] = orientation
        stored = Image.new("RGB", (96, 64))
        stored.paste((255, 255, 255), (8, 16, 40, 48))
        # drawn on the pixels as stored, where the size tells; else upright, as labelImg shows them
        label_photo(images, f"{orientation}.png", boxes=[Box("cat", 8, 16, 40, 48)], photo=stored, exif=exif)
    done = call(SCRIPT, "--fix", "fixed", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    again = call(SCRIPT, "-i", "fixed", cwd=tmp_path)
    assert again.returncode == 0 and "exif-turned" not in again.stdout
    for orientation in range(5, 9):
        (box,) = read_annotation(tmp_path / "fixed" / f"{orientation}.xml").boxes
        with Image.open(tmp_path / "fixed" / f"{orientation}.png") as image:
            assert image.size == (64, 96)
            assert image.convert("L").getbbox() == (box.xmin, box.ymin, box.xmax, box.ymax)


def test_boxes_of_a_photo_that_was_made_smaller_are_scaled(call, tmp_path):
    put(tmp_path / "images", "a.jpg", 1, [Box("cat", 10, 10, 60, 50)])
    edit(tmp_path / "images/a.xml", ("<width>96<", "<width>192<"), ("<height>64<", "<height>128<"))
    done = call(SCRIPT, "--fix", "fixed", cwd=tmp_path)
    assert "boxes scaled by 0.5, as the photo was since it was labelled; look at them" in done.stdout
    assert read_annotation(tmp_path / "fixed/a.xml").boxes == (Box("cat", 5, 5, 30, 25),)


def test_an_output_folder_in_use_is_refused(call, labelled_images):
    room = labelled_images.parent
    (room / "mine").mkdir()
    (room / "mine" / "a.xml").write_text("mine")
    for output, text in (
        ("mine", "holds files that are not as --fix wrote them; give a new folder"),
        ("images", "lies in images or around it"),
        ("images/fixed", "lies in images or around it"),
        (".", "lies in images or around it"),
    ):
        done = call(SCRIPT, "--fix", output, cwd=room)
        assert done.returncode == 1
        assert f"error: {output}: {text}" in done.stderr
    assert (room / "mine" / "a.xml").read_text() == "mine"


def test_fixing_twice_gives_the_same_and_nothing_gives_no_folder(call, labelled_images):
    room = labelled_images.parent
    assert "0 corrections in 0 photos" in call(SCRIPT, "--fix", "fixed", cwd=room).stdout
    assert not (room / "fixed").exists()
    edit(labelled_images / "a.xml", ("<filename>a.jpg<", "<filename>b.jpg<"))
    first = call(SCRIPT, "--fix", "fixed", cwd=room), read_files(room / "fixed")
    second = call(SCRIPT, "--fix", "fixed", cwd=room), read_files(room / "fixed")
    assert first[0].stdout == second[0].stdout and first[1] == second[1]
    assert set(first[1]) == {"a.jpg", "a.xml"}


def test_help_answers_at_once(call):
    done = call(SCRIPT, "--help")
    assert done.returncode == 0
    assert "--allow_unlabelled" in done.stdout and "(default: the cores)" in done.stdout


def test_label_map_made_of_the_same_names_is_no_change(call, labelled_images):
    room = labelled_images.parent
    assert call(SCRIPT, "--json", "check.json", cwd=room).returncode == 0
    call("preprocessing/generate_label_map.py", "-x", "images", "-o", "map.pbtxt", cwd=room)
    assert "check.json is up to date" in call(SCRIPT, "-l", "map.pbtxt", "--json", "check.json", cwd=room).stderr
