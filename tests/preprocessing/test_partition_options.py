"""The split's options: classes in equal shares, a third side, scenes, hard links."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import draw_photo, label_photo

from tfod.data.voc import Box

SCRIPT = "preprocessing/partition_dataset.py"


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def read_split(folder):
    return {side: list_names(folder / side) for side in ("train", "test", "val") if (folder / side).is_dir()}


def draw_photos(folder, number):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        draw_photo(i, (24 + i, 16)).save(folder / f"{i:03d}.jpg")
    return folder


def make_animals(folder, **numbers):
    """Labelled photos, so many of each class, named after it."""
    for number, name in enumerate(f"{animal}_{i:02d}" for animal, count in numbers.items() for i in range(count)):
        box = Box(name.split("_")[0], 8, 8, 40, 40)
        label_photo(folder, f"{name}.jpg", number, [box], draw_photo(number, (96 + number, 64)))
    return folder


def count_animals(folder, side):
    names = [path.name.split("_")[0] for path in (folder / side).glob("*.jpg")]
    return {name: names.count(name) for name in sorted(set(names))}


def test_each_class_gets_its_share_with_x_and_not_without(call, tmp_path):
    images = make_animals(tmp_path, cat=20, fox=10, owl=2, asp=1)
    draw_photo(99, (50, 50)).save(images / "empty.jpg")
    done = call(SCRIPT, "-x", "-i", images, "-r", "0.2")
    assert done.returncode == 0, done.stderr
    # ceil(0.2 * 34) = 7; the seats that rounding leaves over go to classes without one, but asp's only photo to train
    assert count_animals(images, "test") == {"cat": 4, "fox": 2, "owl": 1}
    assert done.stderr.endswith("\nwarning: asp (1 image) is not in test\n")
    assert call(SCRIPT, "-x", "-i", images, "-r", "0.2", "--nostratify", "--fresh").returncode == 0
    drawn = read_split(images)["test"]
    assert call(SCRIPT, "-i", images, "-r", "0.2", "--fresh").returncode == 0
    assert read_split(images)["test"] == [name for name in drawn if name.endswith(".jpg")]
    assert count_animals(images, "test") != {"cat": 4, "fox": 2, "owl": 1}


def test_classes_that_come_to_one_side_are_named(call, tmp_path):
    images = make_animals(tmp_path, cat=17, fox=2, owl=1)
    done = call(SCRIPT, "-x", "-i", images, "-r", "0.01")
    assert done.stderr.splitlines()[-1] == ("warning: fox (2 images) is not in test; owl (1 image) is not in test")
    assert count_animals(images, "test") == {"cat": 1}


def test_an_xml_file_with_faults_does_not_stop_the_split(call, labelled_images):
    (labelled_images / "a.xml").write_text("<annotation><object><name>cat</name></object></annotation>")
    done = call(SCRIPT, "-x", "-i", labelled_images)
    assert done.returncode == 0
    assert "warning: 1 XML files have faults; their images are shared out as if without boxes" in done.stderr


def test_stratify_without_x_is_a_wrong_call(call, labelled_images):
    done = call(SCRIPT, "-i", labelled_images, "--stratify")
    assert done.returncode == 2
    assert "--stratify needs -x: the XML files name the classes" in done.stderr


def test_a_third_side(call, labelled_images):
    done = call(SCRIPT, "-x", "-i", labelled_images, "-r", "0.1", "--val", "0.2")
    assert done.returncode == 0, done.stderr
    assert [len(names) for names in read_split(labelled_images).values()] == [14, 4, 6]
    assert done.stdout.endswith(f"val: 3 images in {labelled_images / 'val'}\n")
    again = call(SCRIPT, "-x", "-i", labelled_images, "-r", "0.1", "--val", "0.2")
    assert "train/, test/ and val/ are up to date" in again.stderr
    # the label map counts no copy twice
    done = call("preprocessing/generate_label_map.py", "-x", labelled_images, "-o", labelled_images / "map.pbtxt")
    assert re.findall(r"(\d+) boxes", done.stdout) == ["6", "6"]

    corrected = next((labelled_images / "val").glob("*.xml"))
    corrected.write_text("<annotation/>")
    done = call(SCRIPT, "-x", "-i", labelled_images, "--fresh")
    assert (done.returncode, f"{corrected}: was changed after the split" in done.stderr) == (1, True)
    shutil.copy(corrected, labelled_images)
    done = call(SCRIPT, "-x", "-i", labelled_images, "--fresh")
    assert f"{labelled_images / 'val'}: removed, since this split has no --val" in done.stderr
    assert not (labelled_images / "val").exists()


def test_sides_that_take_all(call, labelled_images):
    done = call(SCRIPT, "-i", labelled_images, "-r", "0.5", "--val", "0.5")
    assert done.returncode == 2
    assert "--ratio and --val take 1 of the images; leave some for train/" in done.stderr


def test_three_sides_of_few_images(call, tmp_path):
    images = draw_photos(tmp_path / "images", 2)
    done = call(SCRIPT, "-i", images, "-r", "0.4", "--val", "0.4")
    assert done.returncode == 1
    assert "three images are needed at least for three subsets; add images" in done.stderr
    draw_photos(images, 3)
    done = call(SCRIPT, "-i", images, "-r", "0.4", "--val", "0.4")
    assert [len(names) for names in read_split(images).values()] == [1, 1, 1]
    for side in ("test", "val"):
        assert f"{side}: 1 images instead of 2, since groups stay whole, and each subset needs one" in done.stderr


def test_frames_of_a_scene_stay_together(call, tmp_path):
    images = tmp_path
    for number in range(12):
        draw_photo(number, (30 + number, 20)).save(images / f"{'abcd'[number // 3]}_{number}.jpg")
    draw_photo(50).save(images / "lone.jpg")
    for pattern in ("^(.+)_", "^[a-d]_"):  # the first group, or all that matches
        done = call(SCRIPT, "-i", images, "--group", pattern, "--fresh", "-r", "0.2")
        assert "--group finds no scene in 1 of 13 names, first lone.jpg; each is its own" in done.stderr
        split = read_split(images)
        assert len(split["test"]) == 3 and len({name[0] for name in split["test"]}) == 1
        assert json.loads((images / "split.json").read_text())["group"] == pattern
    done = call(SCRIPT, "-i", images, "--group", "^(.+)_", "--fresh", "-r", "0.4")
    assert "test: 6 images instead of" not in done.stderr and len(read_split(images)["test"]) == 6
    (images / "lone.jpg").unlink()
    done = call(SCRIPT, "-i", images, "--group", "^(.+)_", "--fresh", "-r", "0.4")
    assert "test: 6 images instead of 5, since groups stay whole" in done.stderr


def test_a_pattern_that_is_none_is_a_wrong_call(call, labelled_images):
    done = call(SCRIPT, "-i", labelled_images, "--group", "(")
    assert done.returncode == 2
    assert "'(' is not a regular expression: missing ), unterminated subpattern" in done.stderr


def test_a_pattern_that_fits_no_name_is_named(call, labelled_images):
    done = call(SCRIPT, "-i", labelled_images, "--group", "^frame_")
    assert done.returncode == 1
    first = labelled_images / "-dash.jpg"
    assert f"error: {first}: --group ^frame_ finds no scene in this or any other name; correct it" in done.stderr


def test_hard_links(call, labelled_images):
    done = call(SCRIPT, "-x", "-i", labelled_images, "--link", "--val", "0.1")
    assert done.returncode == 0, done.stderr
    inodes = {path.name: path.stat().st_ino for path in labelled_images.iterdir() if path.is_file()}
    for side, names in read_split(labelled_images).items():
        for name in names:
            assert (labelled_images / side / name).stat().st_ino == inodes[name]
    assert "up to date" in call(SCRIPT, "-x", "-i", labelled_images, "--link", "--val", "0.1").stderr

    # an edit through the link is one of the photo's own file: nothing is lost, and the note follows
    edited = next((labelled_images / "train").glob("*.xml"))
    edited.write_text("<annotation/>")
    assert call(SCRIPT, "-x", "-i", labelled_images, "--verify").returncode == 1
    assert call(SCRIPT, "-x", "-i", labelled_images, "--link", "--val", "0.1").returncode == 0
    assert call(SCRIPT, "-x", "-i", labelled_images, "--verify").returncode == 0
    # copies in place of links, and what a program put in a link's place
    edited.unlink()
    edited.write_text("<annotation>new</annotation>")
    done = call(SCRIPT, "-x", "-i", labelled_images, "--val", "0.1")
    assert f"{edited}: was changed after the split and would be lost" in done.stderr
    edited.unlink()
    assert call(SCRIPT, "-x", "-i", labelled_images, "--val", "0.1").returncode == 0
    assert (labelled_images / "train" / edited.name).stat().st_nlink == 1


def test_the_link_of_a_link_is_one_to_the_photo(call, tmp_path):
    real = draw_photos(tmp_path / "real", 4)
    (tmp_path / "images").mkdir()
    for path in real.iterdir():
        (tmp_path / "images" / path.name).symlink_to(path)
    assert call(SCRIPT, "-i", tmp_path / "images", "--link").returncode == 0
    for path in (tmp_path / "images").glob("t*/*"):
        assert not path.is_symlink() and path.stat().st_ino == (real / path.name).stat().st_ino


def test_where_no_hard_links_can_be_made(call, labelled_images, tmp_path):
    """On another file system: real where the machine has one in memory."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev or not os.access(other, os.W_OK):
        pytest.skip("there is no second file system here to try links across")
    output = other / f"{tmp_path.name}-{os.getpid()}"
    try:
        done = call(SCRIPT, "-i", labelled_images, "-o", output, "--link")
        assert done.returncode == 1
        assert (
            f"error: {labelled_images / '-dash.jpg'}: no hard link to it can be made in {output}"
            f" ({os.strerror(errno.EXDEV)}); leave out --link to copy" in done.stderr
        )
        assert list_names(output) == []
    finally:
        shutil.rmtree(output, ignore_errors=True)
