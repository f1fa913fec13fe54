"""Records read back: what is sound is counted and drawn, what is not is named with its place."""

import dataclasses

import pytest
from conftest import draw_photo, label_photo
from PIL import ExifTags, Image

from tfod.data.images import read_image
from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box

SCRIPT = "preprocessing/inspect_tfrecord.py"
IDS = {"cat": 1, "dog": 2}
CAT = Box("cat", 8, 8, 38, 28)


@pytest.fixture
def inspect(call, tmp_path):
    """Calls the script on a.record, in a folder with a label map: returns (code, output, what was said)."""
    write_label_map(tmp_path / "l.pbtxt", IDS)

    def inspect(*words, record="a.record"):
        done = call(SCRIPT, "-l", "l.pbtxt", *words, record, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return inspect


def encode(tmp_path, **saving):
    draw_photo().save(tmp_path / "photo.jpg", "JPEG", **saving)
    return (tmp_path / "photo.jpg").read_bytes()


def make(tmp_path, *boxes, kind="jpeg", size=(96, 64), encoded=None, ids=IDS):
    return make_example("photo.jpg", encoded or encode(tmp_path), kind, *size, boxes, ids)


@pytest.mark.parametrize("shards", [1, 3])
def test_what_generate_tfrecord_wrote_is_sound(call, inspect, labelled_images, tmp_path, shards):
    label_photo(labelled_images, "negative.jpg", boxes=[])
    generate = ("-x", "images", "-l", "l.pbtxt", "-o", "a.record", "--num_shards", shards)
    assert call("preprocessing/generate_tfrecord.py", *generate, cwd=tmp_path).returncode == 0
    code, output, said = inspect("--draw", 2, "-o", "drawn")
    assert code == 0, said
    totals = "13 images (1 negatives), 12 boxes (cat 6, dog 6; 0 difficult), 0.0 MB in"
    assert output.startswith(f"a.record: {totals} {'1 file' if shards == 1 else '3 files'}\n")
    assert "13 examples are sound" in said
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert len(drawn) == 2
    assert all(Image.open(path).size == (96, 64) for path in drawn)


def test_the_drawn_image_shows_the_box(inspect, tmp_path):
    write_records(tmp_path / "a.record", [make(tmp_path, CAT)])
    assert inspect("--draw", 5, "-o", "drawn")[0] == 0
    drawn = read_image(tmp_path / "drawn" / "a.record_00001_photo.jpg")
    red, green, blue = drawn.getpixel((37, 20))  # the right side of the box, in the first class's orange
    assert red > 180 and blue < 100
    assert inspect("--draw", 5, "-o", "drawn")[0] == 0  # its own folder may be written again
    (tmp_path / "drawn" / "mine.txt").touch()
    code, _, said = inspect("--draw", 5, "-o", "drawn")
    what = "is not what this script left there, and would be lost; move it away, or name a new folder with -o"
    assert (code, said) == (1, f"error: drawn/mine.txt: {what}\n")
    assert (tmp_path / "drawn" / "mine.txt").exists()


def test_every_fault_of_every_example_is_told_at_once(inspect, tmp_path):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    whole = make(tmp_path, CAT)
    place = whole.index(b"\xff\xd9") - 1  # the last byte of the image's data
    examples = [
        make(tmp_path, CAT),
        make(tmp_path, dataclasses.replace(CAT, xmax=97)),
        make(tmp_path, dataclasses.replace(CAT, ymax=8)),
        make(tmp_path, dataclasses.replace(CAT, name="fox"), ids={"fox": 3}),
        make(tmp_path, CAT, ids={"cat": 2}),
        make(tmp_path, CAT, size=(64, 96)),
        make(tmp_path, CAT, kind="png"),
        make(tmp_path, encoded=encode(tmp_path)[:-100]),
        make(tmp_path, encoded=encode(tmp_path, exif=turned)),
        whole[:place] + b"\0" + whole[place + 1 :],
        b"\x0a\x7f",
        b"",
    ]
    write_records(tmp_path / "a.record", examples)
    code, output, said = inspect()
    assert code == 1
    assert output.startswith("a.record: 12 images")
    for number, fault in (
        (2, "box 1 (0.125, 0.08333, 0.4375, 1.01) is not within 0 to 1"),
        (3, "box 1 (0.125, 0.08333, 0.125, 0.3958) has no area"),
        (4, "box 1 (0.125, 0.08333, 0.4375, 0.3958) has the class id 3, which the label map lacks"),
        (5, "box 1 (0.125, 0.08333, 0.4375, 0.3958) is 'cat' with the id 2, which is 'dog' in the label map"),
        (6, "image/width and height are 64 x 96, but the image has 96 x 64"),
        (7, "image/format is 'png', but image/encoded is JPEG"),
        (8, "image/encoded: can't be decoded"),
        (9, "the image is to be turned (EXIF orientation 6), which TensorFlow does not do"),
        (10, "image/key/sha256 is not that of image/encoded"),
    ):
        assert f"error: a.record: record {number} (photo.jpg): {fault}" in said
    assert "error: a.record: record 11, at byte " in said
    assert "is not a tf.train.Example (" in said
    assert "error: a.record: record 12 (): image/encoded is missing" in said
    assert "record 1 " not in said


def test_damage_is_named_with_its_record_and_byte(inspect, tmp_path):
    write_records(tmp_path / "a.record", [make(tmp_path, CAT)] * 3)
    whole = (tmp_path / "a.record").read_bytes()
    size = len(whole) // 3
    for data, text in (
        (whole[:-1], f"record 3, at byte {2 * size}: the file ends within it, {3 * size - 1} bytes long"),
        (whole[: size + 5], f"record 2, at byte {size}: the file ends within it"),
        (whole[: size + 50] + b"?" + whole[size + 51 :], f"record 2, at byte {size}: is damaged"),
        (whole[:size] + b"?" + whole[size + 1 :], f"record 2, at byte {size}: its length is damaged, or this is no"),
        (b"<annotation></annotation>", "record 1, at byte 0: its length is damaged, or this is no TFRecord file"),
        (b"", "holds no record"),
    ):
        (tmp_path / "a.record").write_bytes(data)
        code, _, said = inspect()
        assert code == 1
        assert text in said


def test_missing_files_are_named(inspect):
    assert inspect(record="none.record")[2].startswith("error: none.record: there are no such records; `make tfrecord`")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--draw", 3], "--draw N and -o FOLDER go together"),
        (["--draw", -1], "--draw N and -o FOLDER go together"),
        (["-o", "drawn"], "--draw N and -o FOLDER go together"),
        (["--num_workers", 0], "--num_workers must be 1 or more"),
    ],
)
def test_wrong_calls_end_with_2(inspect, words, message):
    code, _, said = inspect(*words)
    assert code == 2
    assert message in said
