"""A few bad files never stop the rest: FAULTY=skip leaves them out, fix repairs some, a list says which."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, draw_photo, label_photo, run_script
from faulty_workspace import make_faulty_workspace
from PIL import Image

from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import parse_example, read_records
from tfod.data.voc import Box, write_annotation

SPLIT, CHECK, RECORDS = (
    f"preprocessing/{name}.py" for name in ("partition_dataset", "check_dataset", "generate_tfrecord")
)
LABELS = ["-l", "map.pbtxt"]


def pack(folder, mode, code=0):
    """(records by the name of their photo, what was said) of folder/images with --faulty `mode`."""
    command = [RECORDS, "-x", "images", *LABELS, "-o", "train.record", "--faulty", mode]
    _, said = run_script(*command, cwd=folder, code=code)
    if code:
        return {}, said
    examples = [parse_example(record) for record in read_records(folder / "train.record")]
    return {example["image/filename"][0].decode(): example for example in examples}, said


def list_rows(folder):
    with (folder / "faulty.csv").open(encoding="utf-8", newline="") as file:
        return [(row["photo"], row["done"], row["kind"]) for row in csv.DictReader(file)]


def get_box(example):
    (box,) = zip(*(example[f"image/object/bbox/{edge}"] for edge in ("xmin", "ymin", "xmax", "ymax")), strict=True)
    return np.multiply(box, (96, 64, 96, 64)).round(3).tolist()


@pytest.fixture
def room(tmp_path):
    """Eight photos: sound; swapped, outside, flat and odd, which need no guess; cut; of another size; without XML."""
    images = tmp_path / "images"
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})
    boxes = {"sound": (8, 8, 40, 30), "swapped": (40, 8, 10, 30), "outside": (80, 8, 110, 30), "flat": (8, 8, 8, 30)}
    for number, (name, edges) in enumerate(boxes.items()):
        label_photo(images, f"{name}.jpg", number, [Box("cat", *edges)])
    label_photo(images, "odd.jpg", 5, [Box("cat", 8, 8, 40, 30)])
    xml = images / "odd.xml"
    xml.write_text(
        xml.read_text().replace("<folder/>", "<folder>cats & dogs</folder>").replace("<difficult>0", "<difficult>9")
    )
    cut = label_photo(images, "cut.jpg", 6, [Box("cat", 8, 8, 40, 30)], draw_photo(6, (96, 64)), quality=95)
    cut.write_bytes(cut.read_bytes()[:-25])
    label_photo(images, "size.jpg", 7)
    write_annotation(images / "size.xml", "size.jpg", 640, 480, [Box("cat", 8, 8, 40, 30)])
    draw_photo(9).save(images / "bare.jpg")
    return tmp_path


def test_stop_names_all_and_the_two_commands(room):
    _, said = pack(room, "stop", 1)
    assert said.splitlines()[-1] == (
        "7 of 8 photos are concerned: `make tfrecord FAULTY=skip` leaves them out; `make tfrecord FAULTY=fix` repairs 5"
        " of them in the records, without a guess, and leaves 2 out. (By hand: --faulty skip or fix.)"
    )
    assert not (room / "train.record").exists() and not (room / "faulty.csv").exists()


def test_skip_leaves_the_faulty_photos_out_and_lists_them(room):
    examples, said = pack(room, "skip")
    assert list(examples) == ["sound.jpg"]
    assert "warning: 7 of 8 photos left out; faulty.csv lists them:" in said and "and 2 more" in said
    rows = list_rows(room)
    assert {row[:2] for row in rows} == {
        (f"{name}.jpg", "left out") for name in ("swapped", "outside", "flat", "odd", "cut", "size", "bare")
    }
    assert pack(room, "skip")[1] == "train.record is up to date (7 images)\n"


def test_fix_repairs_in_the_records_what_needs_no_guess(room):
    before = {path: path.read_bytes() for path in (room / "images").iterdir()}
    examples, said = pack(room, "fix")
    assert sorted(examples) == ["cut.jpg", "flat.jpg", "odd.jpg", "outside.jpg", "sound.jpg", "swapped.jpg"]
    assert get_box(examples["swapped.jpg"]) == [10, 8, 40, 30]
    assert get_box(examples["outside.jpg"]) == [80, 8, 96, 30]
    assert get_box(examples["odd.jpg"]) == get_box(examples["sound.jpg"]) == [8, 8, 40, 30]
    assert not examples["flat.jpg"]["image/object/bbox/xmin"] and examples["odd.jpg"]["image/object/difficult"] == [0]
    assert "warning: 2 of 8 photos left out" in said and "warning: 5 of 8 photos repaired" in said
    assert set(list_rows(room)) == {
        ("swapped.jpg", "repaired", "box-swapped"),
        ("outside.jpg", "repaired", "box-outside"),
        ("flat.jpg", "repaired", "box-no-area"),
        ("odd.jpg", "repaired", "xml-not-xml"),
        ("odd.jpg", "repaired", "box-flag"),
        ("cut.jpg", "repaired", "image-damaged"),
        ("size.jpg", "left out", "size-differs"),
        ("bare.jpg", "left out", "image-without-xml"),
    }
    (room / "cut.jpg").write_bytes(examples["cut.jpg"]["image/encoded"][0])
    with Image.open(room / "cut.jpg") as image:  # decoded to its last byte by everybody
        got = np.asarray(image.convert("RGB"), float)
    assert np.abs(got[:40] - np.asarray(draw_photo(6), float)[:40]).mean() < 6
    assert {path: path.read_bytes() for path in (room / "images").iterdir()} == before


def test_a_photo_of_which_much_is_missing_is_left_out(room):
    cut = room / "images/cut.jpg"
    cut.write_bytes(cut.read_bytes()[: len(cut.read_bytes()) * 6 // 10])
    assert "cut.jpg" not in pack(room, "fix")[0]


def test_when_all_is_sound_again_there_is_no_list(room):
    pack(room, "skip")
    for name in ("swapped", "outside", "flat", "odd", "cut", "size", "bare"):
        label_photo(room / "images", f"{name}.jpg", 3, [Box("cat", 8, 8, 40, 30)])
    _, said = pack(room, "stop")
    assert said.startswith("8 images (0 negatives)") and not (room / "faulty.csv").exists()


def test_a_folder_of_faulty_photos_alone_is_an_error(room):
    for path in (room / "images").glob("sound.*"):
        path.unlink()
    _, said = pack(room, "skip", 1)
    assert "images/size.xml: <size> is 640 x 480" in said
    assert not (room / "train.record").exists()


def test_two_images_of_one_xml_file_are_left_out_both_and_never_negatives(room):
    draw_photo(3).save(room / "images/sound.png")
    label_photo(room / "images", "other.jpg", 3, [Box("cat", 8, 8, 40, 30)])
    _, said = pack(room, "stop", 1)
    assert said.count("sound.xml: belongs to 2 images, sound.jpg, sound.png; rename or remove all but one") == 1
    command = [RECORDS, "-x", "images", *LABELS, "-o", "train.record", "--faulty", "skip", "--allow_unlabelled"]
    run_script(*command, cwd=room)
    names = {parse_example(record)["image/filename"][0] for record in read_records(room / "train.record")}
    assert names == {b"other.jpg", b"bare.jpg"}


def test_the_split_leaves_out_what_belongs_to_no_photo(room):
    shutil.copy(room / "images/sound.xml", room / "images/lost.xml")
    (room / "images/lost.xml").write_text("<annotation><filename>gone.jpg</filename></annotation>")
    (room / "images/loop.jpg").symlink_to("loop.jpg")
    command = [SPLIT, "-x", "-i", "images", "-r", "0.25"]
    _, said = run_script(*command, cwd=room, code=1)
    assert "2 of 10 photos are concerned: `make split FAULTY=skip` leaves them out;" in said.splitlines()[-1]
    _, said = run_script(*command, "--faulty", "skip", "--faulty_list", "faulty.csv", cwd=room)
    assert "warning: 2 of 10 photos left out; faulty.csv lists them:" in said
    assert [row[0] for row in list_rows(room)] == ["loop.jpg", "lost.xml"]
    assert not list((room / "images").glob("*/lost.xml"))
    (room / "images/lost.xml").unlink()
    (room / "images/loop.jpg").unlink()
    _, said = run_script(*command, "--faulty_list", "faulty.csv", cwd=room)
    assert "are up to date" in said and not (room / "faulty.csv").exists()


@pytest.mark.parametrize("mode", ["skip", "fix"])
@pytest.mark.attack
def test_all_steps_go_through_with_every_fault_at_once(tmp_path, mode):
    """Each fault of the check in one workspace: 69 photos in train, of which about half are faulty."""
    make_faulty_workspace(tmp_path)
    labels, faulty = ["-l", "label_map.pbtxt"], ["--faulty", mode]
    _, said = run_script(CHECK, "-i", "images", *labels, "--json", "check.json", *faulty, cwd=tmp_path)
    assert (
        "warning: of 71 photos" in said and "left out of the records" in said and f"as FAULTY={mode} asks for" in said
    )
    _, again = run_script(CHECK, "-i", "images", *labels, "--json", "check.json", *faulty, cwd=tmp_path)
    assert "check.json is up to date" in again and said.splitlines()[-1] == again.splitlines()[-1]
    run_script("preprocessing/generate_label_map.py", "-x", "images", "-o", "new.pbtxt", *faulty, cwd=tmp_path)
    for subset in ("train", "test"):
        command = [RECORDS, "-x", f"images/{subset}", *labels, "-o", f"{subset}.record", *faulty]
        out, _ = run_script(*command, cwd=tmp_path)
        assert out == f"Successfully created the TFRecord file: {subset}.record\n"
    names = {example["image/filename"][0] for example in map(parse_example, read_records(tmp_path / "train.record"))}
    assert b"sound-0.jpg" in names and b"box-text.jpg" not in names
    assert (b"box-swapped.jpg" in names) == (mode == "fix")


def test_another_file_in_the_place_of_the_list_stops_before_anything_is_written(room):
    (room / "faulty.csv").write_text("my,notes\n")
    assert "faulty.csv: is not the list of faulty photos" in pack(room, "skip", 1)[1]
    assert not (room / "train.record").exists() and (room / "faulty.csv").read_text() == "my,notes\n"


def test_the_remedy_for_a_photo_in_two_subsets_leads_on(tmp_path):
    images = tmp_path / "images"
    for number in range(6):
        label_photo(images, f"{number}.png", number, photo=draw_photo(number, (90 + number, 64)))
    for number in range(6):  # the same pixels in other bytes
        photo = Image.open(images / f"{number}.png")
        label_photo(images, f"{number} copy.png", number, photo=photo, compress_level=0)
    run_script(SPLIT, "-x", "-i", "images", "-r", "0.5", cwd=tmp_path)
    out, _ = run_script(CHECK, "-i", "images", "--all", cwd=tmp_path, code=1)
    copies = [line.split(": ")[0].strip() for line in out.splitlines() if "is the same photo as" in line]
    assert copies and "remove one of them, from its subset and from images" in out
    for copy in map(Path, copies):
        for path in (copy, copy.with_suffix(".xml"), images / copy.name, (images / copy.name).with_suffix(".xml")):
            (tmp_path / path).unlink()
    run_script(SPLIT, "-x", "-i", "images", "-r", "0.5", cwd=tmp_path)
    run_script(CHECK, "-i", "images", cwd=tmp_path)


def test_make_gives_the_mode_to_every_step():
    text = (ROOT / "Makefile").read_text()
    for script in ("partition_dataset", "check_dataset", "generate_label_map", "generate_tfrecord"):
        recipe = text[text.index(f'preprocessing/{script}.py" ') :].partition("\n\n")[0]
        assert '--faulty "$$FAULTY"' in recipe, script
