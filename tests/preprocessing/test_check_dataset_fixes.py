"""--fix corrects what it can in copies, says what it did and what is left, and leaves the data set as it is."""

import collections
import json
import subprocess
import sys

import pytest
from conftest import ROOT, label_photo
from faulty_workspace import SCRIPT, edit_text, make_faulty_workspace, put_photo
from PIL import ExifTags, Image

from tfod.data.voc import Box, read_annotation


def read_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """(the faulty images/, the corrected copies, what was printed, dict kind -> files of the copies' own report)."""
    images = make_faulty_workspace(tmp_path_factory.mktemp("workspace"))
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
        ("train/full-path.xml", r"<filename> 'C:\\photos\\full-path.jpg' set to 'full-path.jpg'"),
        ("train/filename.xml", "<filename> 'other.jpg' set to 'filename.jpg'"),
        ("train/path.xml", r"<path> 'C:\\photos\\other.jpg' set to 'path.jpg'"),
        ("train/turned.jpg", "turned upright, encoded again"),
        ("train/really-a-gif.jpg", "was GIF, P, encoded again as really-a-gif.png, in place of really-a-gif.jpg"),
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
    put_photo(tmp_path / "images", "a.jpg", 1, [Box("cat", 10, 10, 60, 50)])
    edit_text(tmp_path / "images/a.xml", ("<width>96<", "<width>192<"), ("<height>64<", "<height>128<"))
    done = call(SCRIPT, "--fix", "fixed", cwd=tmp_path)
    assert "boxes scaled by 0.5, as the photo was since it was labelled; look at them" in done.stdout
    assert read_annotation(tmp_path / "fixed/a.xml").boxes == (Box("cat", 5, 5, 30, 25),)


def test_an_output_folder_in_use_is_refused(call, labelled_images):
    room = labelled_images.parent
    (room / "mine").mkdir()
    (room / "mine" / "a.xml").write_text("mine")
    lost = "is not what this script left there, and would be lost; move it away, or give a new folder with --fix"
    for output, text in (
        ("mine/a.xml", lost),
        ("images", "lies in images or around it"),
        ("images/fixed", "lies in images or around it"),
        (".", "lies in images or around it"),
    ):
        done = call(SCRIPT, "--fix", output.removesuffix("/a.xml"), cwd=room)
        assert done.returncode == 1
        assert f"error: {output}: {text}" in done.stderr
    assert (room / "mine" / "a.xml").read_text() == "mine"


def test_fixing_twice_gives_the_same_and_nothing_gives_no_folder(call, labelled_images):
    room = labelled_images.parent
    assert "0 corrections in 0 photos" in call(SCRIPT, "--fix", "fixed", cwd=room).stdout
    assert not (room / "fixed").exists()
    edit_text(labelled_images / "a.xml", ("<filename>a.jpg<", "<filename>b.jpg<"))
    first = call(SCRIPT, "--fix", "fixed", cwd=room), read_files(room / "fixed")
    second = call(SCRIPT, "--fix", "fixed", cwd=room), read_files(room / "fixed")
    assert first[0].stdout == second[0].stdout and first[1] == second[1]
    assert set(first[1]) == {"a.jpg", "a.xml"}


def test_text_that_is_not_xml_is_mended_in_the_copy_and_no_label_is_lost(call, tmp_path):
    xml = label_photo(tmp_path / "images", "a.jpg", 0, [Box("NAME", 8, 8, 38, 28)]).with_suffix(".xml")
    xml.write_bytes(xml.read_bytes().replace(b"NAME", "salt & Straße".encode("cp1252")))
    done = call(SCRIPT, "-i", "images", "--fix", "fixed", cwd=tmp_path)
    assert "write &amp; for it" in done.stdout and "images/a.xml: line 15: is not in UTF-8" in done.stdout
    assert "0 errors left" in done.stdout
    assert read_annotation(tmp_path / "fixed/a.xml").boxes == (Box("salt & Straße", 8, 8, 38, 28),)
