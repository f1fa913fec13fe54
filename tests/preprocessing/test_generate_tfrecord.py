"""The records: what the images and XML files say, or every fault of them at once."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, draw_photo, label_photo
from PIL import ExifTags, Image

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, read_annotation, write_annotation

SCRIPT = "preprocessing/generate_tfrecord.py"
TUTORIAL = ("-x", "images", "-l", "annotations/label_map.pbtxt", "-o", "annotations/train.record")


@pytest.fixture
def workspace(labelled_images):
    """A workspace as the tutorial has it before this step."""
    write_label_map(labelled_images.parent / "annotations" / "label_map.pbtxt", {"cat": 1, "dog": 2})
    return labelled_images.parent


def read_examples(path):
    """The features of each example of a TFRecord file, read with TensorFlow: a list of dicts key -> list."""
    import tfod.compat  # noqa: F401  (quiets TensorFlow)

    import tensorflow as tf

    examples = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        examples.append({key: list(getattr(f, f.WhichOneof("kind")).value) for key, f in features.items()})
    return examples


def get_boxes(example):
    """The boxes of an example as [[xmin, ymin, xmax, ymax]], in pixels."""
    scale = example["image/width"] + example["image/height"]
    edges = [example[f"image/object/bbox/{edge}"] for edge in ("xmin", "ymin", "xmax", "ymax")]
    return np.array(edges).T * (scale * 2) if edges[0] else np.zeros((0, 4))


def test_the_tutorials_command(call, workspace):
    done = call(SCRIPT, *TUTORIAL, "-c", "annotations/train.csv", "--order", "sorted", cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "Successfully created the TFRecord file: annotations/train.record\n"
        "Successfully created the CSV file: annotations/train.csv\n"
    )
    assert done.stderr.startswith("12 images (0 negatives), 12 boxes (cat 6, dog 6), 0.0 MB in 1 file, sorted, ")
    examples = read_examples(workspace / "annotations" / "train.record")
    images = sorted(path for path in (workspace / "images").iterdir() if path.suffix != ".xml")
    with (workspace / "annotations" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    for path, example, row in zip(images, examples, rows, strict=True):
        (box,) = read_annotation(path.with_suffix(".xml")).boxes
        assert example["image/filename"] == example["image/source_id"] == [path.name.encode()]
        assert example["image/encoded"] == [path.read_bytes()]
        assert example["image/format"] == [b"png" if path.suffix == ".PNG" else b"jpeg"]
        assert (example["image/width"], example["image/height"]) == ([96], [64])
        assert example["image/object/class/text"] == [box.name.encode()]
        assert example["image/object/class/label"] == [{"cat": 1, "dog": 2}[box.name]]
        np.testing.assert_allclose(get_boxes(example), [[box.xmin, box.ymin, box.xmax, box.ymax]], rtol=1e-6)
        edges = [f"{edge:g}" for edge in (box.xmin, box.ymin, box.xmax, box.ymax)]
        name = "./-dash.jpg" if path.name == "-dash.jpg" else path.name  # which no spreadsheet runs
        assert list(row.values()) == [name, "96", "64", box.name, *edges]


def test_long_flags_two_folders_and_the_callers_relative_paths(call, workspace):
    (workspace / "xml").mkdir()
    for path in (workspace / "images").glob("*.xml"):
        path.rename(workspace / "xml" / path.name)
    long = ("--xml_dir=../xml", "--image_dir=.", "--labels_path=../annotations/label_map.pbtxt")
    done = call(SCRIPT, *long, "--output_path=new/deep.record", "--csv_path=../-c.csv", cwd=workspace / "images")
    assert done.returncode == 0, done.stderr
    assert (workspace / "images" / "new" / "deep.record").stat().st_size > 12 * 500
    assert len((workspace / "-c.csv").read_text().splitlines()) == 13


def test_the_same_bytes_from_run_to_run_whatever_the_order_of_the_folder(call, workspace):
    call(SCRIPT, *TUTORIAL, cwd=workspace)
    # written in the opposite order, so that the file system lists them otherwise
    (workspace / "again").mkdir()
    for path in sorted((workspace / "images").iterdir(), reverse=True):
        shutil.copy(path, workspace / "again")
    call(SCRIPT, "-x", "again", "-l", "annotations/label_map.pbtxt", "-o", "again.record", cwd=workspace)
    assert (workspace / "again.record").read_bytes() == (workspace / "annotations" / "train.record").read_bytes()


def test_a_second_run_does_nothing_until_something_changes(call, workspace):
    record = workspace / "annotations" / "train.record"
    call(SCRIPT, *TUTORIAL, cwd=workspace)
    inode = record.stat().st_ino
    done = call(SCRIPT, *TUTORIAL, cwd=workspace)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "annotations/train.record is up to date (12 images)\n"
    assert record.stat().st_ino == inode
    done = call(SCRIPT, *TUTORIAL, "-c", "train.csv", cwd=workspace)  # the CSV file is asked for now
    assert done.stdout.endswith("Successfully created the CSV file: train.csv\n")
    label_photo(workspace / "images", "another.jpg", 3)
    assert call(SCRIPT, *TUTORIAL, cwd=workspace).stderr.startswith("13 images")
    write_label_map(workspace / "annotations" / "label_map.pbtxt", {"dog": 1, "cat": 2})
    assert call(SCRIPT, *TUTORIAL, cwd=workspace).stderr.startswith("13 images (0 negatives), 13 boxes (dog 6, cat 7)")


def test_every_fault_of_every_file_is_told_at_once_and_nothing_is_written(call, workspace):
    images = workspace / "images"
    shutil.copy(images / "a.xml", images / "lost.xml")  # its <filename> is a.jpg, which has a.xml
    (images / "c d.xml").write_text("<annotation>")
    (images / "c d.jpeg").write_bytes(b"no image")
    (images / "photo_0.jpg").write_bytes((images / "photo_0.jpg").read_bytes()[:-40])
    write_annotation(images / "photo_1.xml", "photo_1.jpg", 96, 64, [Box("cta", 1, 2, 3, 4), Box("cat", 1, 2, 99, 4)])
    write_annotation(images / "photo_2.xml", "photo_2.jpg", 640, 480, [])
    write_annotation(images / "photo_3.xml", "photo_3.jpg", 96, 64, [Box("dog", 5, 5, 5, 9)])
    done = call(SCRIPT, *TUTORIAL, cwd=workspace)
    assert (done.returncode, done.stdout) == (1, "")
    for fault in (
        "images/lost.xml: a.jpg has another XML file, a.xml; keep one of them",
        "images/c d.xml: is not XML",
        "images/c d.jpeg: is not an image",
        "images/photo_0.jpg: can't be decoded (image file is truncated",
        "annotations/label_map.pbtxt: lacks the class 'cta' of 1 box, first in images/photo_1.xml; did you mean 'cat'?",
        "images/photo_1.xml: box 'cat' (1, 2, 99, 4) (xmin, ymin, xmax, ymax) reaches out of the image of 96 x 64",
        "images/photo_2.xml: <size> is 640 x 480, but photo_2.jpg has 96 x 64 pixels; if it was made",
        "images/photo_3.xml: line 14: box 'dog' (5, 5, 5, 9) (xmin, ymin, xmax, ymax) has no area",
    ):
        assert f"error: {fault}" in done.stderr
    *_, number, advice = done.stderr.splitlines()
    assert number == "8 errors"
    assert advice.startswith(
        "6 of 13 photos are concerned: `make tfrecord FAULTY=skip` leaves them out; `make tfrecord"
    )
    assert [path.name for path in (workspace / "annotations").iterdir()] == ["label_map.pbtxt"]


def test_a_missing_label_map_does_not_hide_the_other_faults(call, workspace):
    (workspace / "images" / "a.jpg").write_bytes(b"")
    done = call(SCRIPT, "-x", "images", "-l", "none.pbtxt", "-o", "train.record", cwd=workspace)
    assert done.returncode == 1
    assert "error: none.pbtxt: there is no such label map; make one with generate_label_map.py\n" in done.stderr
    assert "error: images/a.jpg: is not an image" in done.stderr


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("labelled", ["upright", "stored"])
def test_photos_that_the_camera_turned_keep_their_boxes_on_the_object(call, tmp_path, orientation, labelled):
    upright = Image.new("RGB", (96, 64))
    upright.paste((255, 255, 255), (50, 10, 90, 30))
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    stored = upright.transpose(undo)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    labelled_picture = stored if labelled == "stored" and orientation != 3 else upright  # 3 leaves the size as it is
    box = Box("cat", *labelled_picture.convert("L").getbbox())
    label_photo(tmp_path / "images", "a.jpg", boxes=[box], photo=stored, exif=exif, quality=95)
    write_annotation(tmp_path / "images" / "a.xml", "a.jpg", *labelled_picture.size, [box])
    write_label_map(tmp_path / "l.pbtxt", {"cat": 1})
    done = call(SCRIPT, "-x", tmp_path / "images", "-l", tmp_path / "l.pbtxt", "-o", tmp_path / "a.record")
    assert done.returncode == 0, done.stderr
    (example,) = read_examples(tmp_path / "a.record")
    assert (example["image/width"], example["image/height"]) == ([96], [64])
    np.testing.assert_allclose(get_boxes(example), [[50, 10, 90, 30]], rtol=1e-6)
    (tmp_path / "encoded.jpg").write_bytes(example["image/encoded"][0])
    pixels = np.asarray(Image.open(tmp_path / "encoded.jpg").convert("L"))
    assert pixels[12:28, 52:88].min() > 200 and pixels[:8].max() < 60 and pixels[:, :45].max() < 60


def test_boxes_at_the_border_are_clipped_and_images_without_boxes_stay_in(call, tmp_path):
    label_photo(tmp_path / "images", "a.jpg", boxes=[Box("cat", -1, -0.5, 97, 64.5, 1, 1, "Left")])
    label_photo(tmp_path / "images", "background.jpg", boxes=[])
    draw_photo().save(tmp_path / "images" / "bare.jpg")
    write_label_map(tmp_path / "l.pbtxt", {"cat": 1})
    command = (SCRIPT, "-x", "images", "-l", "l.pbtxt", "-o", "a.record", "--order", "sorted")
    done = call(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: images/bare.jpg: has no XML file; label it, take all such images as negatives with ALLOW_UNLABELLED=1"
        " (--allow_unlabelled), or leave them out with FAULTY=skip (--faulty skip)\n"
        "1 of 3 photos is concerned: `make tfrecord FAULTY=skip` leaves it out; `FAULTY=fix` can repair none of them"
        " without a guess. (By hand: --faulty skip or fix.)\n"
    )
    done = call(*command, "--allow-unlabelled", cwd=tmp_path)
    assert done.stderr.startswith("3 images (2 negatives), 1 boxes (cat 1)"), done.stderr
    first, second, third = read_examples(tmp_path / "a.record")
    assert third["image/filename"] == [b"bare.jpg"]
    assert third.keys() == second.keys() == first.keys()
    assert get_boxes(first).tolist() == [[0, 0, 96, 64]]
    assert (first["image/object/difficult"], first["image/object/truncated"]) == ([1], [1])
    assert first["image/object/view"] == [b"Left"]
    assert second["image/filename"] == [b"background.jpg"]
    for negative in (second, third):
        assert not any(values for key, values in negative.items() if key.startswith("image/object/"))


def test_the_suffix_does_not_say_what_the_bytes_are(call, tmp_path):
    for name, saving in (("a.jpg", {"format": "PNG"}), ("b.png", {"format": "JPEG"}), ("c.jpg", {"format": "BMP"})):
        label_photo(tmp_path / "images", name, boxes=[], **saving)
    write_label_map(tmp_path / "l.pbtxt", {"cat": 1})
    command = (SCRIPT, "-x", tmp_path / "images", "-l", tmp_path / "l.pbtxt", "-o", tmp_path / "a.record")
    call(*command, "--order", "sorted")
    assert [example["image/format"] for example in read_examples(tmp_path / "a.record")] == [
        [b"png"],
        [b"jpeg"],
        [b"png"],
    ]


def test_the_same_bytes_whatever_the_number_of_workers(call, workspace):
    for number in range(60):
        label_photo(workspace / "images", f"more_{number}.jpg", number)
    texts = []
    for workers in (1, 2, 7):
        done = call(SCRIPT, *TUTORIAL[:4], "-o", "a.record", "-c", "a.csv", "--num_workers", workers, cwd=workspace)
        assert done.returncode == 0, done.stderr
        texts.append([(workspace / name).read_bytes() for name in ("a.record", "a.csv")])
        (workspace / "a.record").unlink()
    assert texts[0] == texts[1] == texts[2]
    lines = (workspace / "a.csv").read_text().splitlines()[1:]
    assert lines == sorted(lines, key=lambda line: line.split(",")[0])  # whatever the order of the records


def read_names(workspace, *options, record="annotations/train.record"):
    """The images' names in the order of the records that are made with these options."""
    done = call_generate(workspace, *options)
    assert done.returncode == 0, done.stderr
    paths = sorted((workspace / record).parent.glob("train.record*"))
    return [example["image/filename"][0].decode() for path in paths for example in read_examples(path)], done


def call_generate(workspace, *options):
    command = [sys.executable, ROOT / "scripts" / SCRIPT, *TUTORIAL, *map(str, options)]
    return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)


def test_the_order_is_drawn_by_the_seed_and_new_photos_leave_it_as_it_is(workspace):
    ordered, _ = read_names(workspace, "--order", "sorted")
    assert ordered == sorted(ordered)
    shuffled, done = read_names(workspace)
    assert "shuffled by seed 42" in done.stderr
    other, _ = read_names(workspace, "--seed", 1)
    assert sorted(shuffled) == sorted(other) == ordered
    assert len({tuple(names) for names in (ordered, shuffled, other)}) == 3
    label_photo(workspace / "images", "another.jpg", 3)
    more, _ = read_names(workspace)
    assert [name for name in more if name != "another.jpg"] == shuffled


def test_shards_replace_one_file_and_one_file_replaces_shards(workspace):
    one, _ = read_names(workspace)
    several, done = read_names(workspace, "--num_shards", 5)
    assert several == one
    assert done.stdout == "Successfully created the TFRecord file: annotations/train.record-?????-of-00005\n"
    assert " MB in 5 files, " in done.stderr
    assert read_names(workspace, "--num_shards", 5)[1].stderr == "annotations/train.record is up to date (12 images)\n"
    fewer, _ = read_names(workspace, "--num_shards", 2)
    assert fewer == one
    (workspace / "annotations/train.record-00001-of-00002").unlink()  # an up-to-date set is a whole one
    assert read_names(workspace, "--num_shards", 2)[0] == one
    assert read_names(workspace)[0] == one
    files = sorted(path.name for path in (workspace / "annotations").iterdir())
    assert files == [".train.record.stamp", "label_map.pbtxt", "train.record"]
    done = call_generate(workspace, "--num_shards", 13)
    assert "error: annotations/train.record: 13 files are too many for 12 images; lower --num_shards" in done.stderr


def test_headers_are_enough_after_make_check(workspace):
    photo = workspace / "images" / "a.jpg"
    photo.write_bytes(photo.read_bytes()[:-300])
    assert call_generate(workspace).returncode == 1
    assert call_generate(workspace, "--check", "headers").returncode == 0


def test_wrong_folders_and_files_are_named(call, workspace):
    (workspace / "empty").mkdir()
    for arguments, text in (
        (("-x", "empty", *TUTORIAL[2:]), "empty: there are no XML files; label its photos, or name the folder"),
        (("-x", "train", *TUTORIAL[2:]), "train: there is no such folder; make split makes it (by hand: partition"),
        (("-x", "nowhere", *TUTORIAL[2:]), "nowhere: there is no such folder"),
        ((*TUTORIAL, "-i", "nowhere"), "nowhere: there is no such folder"),
        ((*TUTORIAL[:4], "-o", "annotations"), "annotations: is a folder; give the name of the file to write"),
        ((*TUTORIAL, "-c", "images"), "images: is a folder; give the name of the file to write"),
    ):
        done = call(SCRIPT, *arguments, cwd=workspace)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {text}" in done.stderr
    done = call(SCRIPT, "-x", "images", cwd=workspace)
    assert done.returncode == 2
    assert "the following arguments are required: -l/--labels_path, -o/--output_path" in done.stderr


def test_the_raccoon_photos(call, raccoon_images, tmp_path):
    write_label_map(tmp_path / "l.pbtxt", {"raccoon": 1})
    done = call(SCRIPT, "-x", raccoon_images, "-l", tmp_path / "l.pbtxt", "-o", tmp_path / "a.record")
    assert done.stderr.startswith("200 images (0 negatives), 217 boxes (raccoon 217), ")
    examples = read_examples(tmp_path / "a.record")
    assert sum(len(example["image/object/class/label"]) for example in examples) == 217
    for example in examples:  # all 200 are upright JPEGs, which are copied
        name = example["image/filename"][0].decode()
        assert example["image/encoded"] == [(raccoon_images / name).read_bytes()]
