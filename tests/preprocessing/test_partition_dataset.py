"""The split: the right number, the same everywhere, no photo on both sides, nobody's files lost."""

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import draw_photo, label_photo, load_script

from tfod.voc import Box

SCRIPT = "preprocessing/partition_dataset.py"
partition = load_script(SCRIPT)


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def read_split(folder):
    return {side: list_names(folder / side) for side in ("train", "test", "val") if (folder / side).is_dir()}


def list_sums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def draw_photos(folder, number):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        draw_photo(i, (24 + i, 16)).save(folder / f"{i:03d}.jpg")
    return folder


def test_the_tutorials_command(call, labelled_images):
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in labelled_images.iterdir()}
    done = call(SCRIPT, "-x", "-i", "images", "-r", "0.1", cwd=labelled_images.parent)
    assert (done.returncode, done.stderr) == (0, "seed 42\n")
    split = read_split(labelled_images)
    assert done.stdout == (
        f"train: 10 images in {labelled_images / 'train'}\ntest: 2 images in {labelled_images / 'test'}\n"
    )
    assert len(split["train"]) == 20 and len(split["test"]) == 4  # with the XML files
    assert sorted(split["train"] + split["test"]) == sorted(before)
    for side, names in split.items():
        assert {Path(name).stem for name in names if name.endswith(".xml")} == {
            Path(name).stem for name in names if not name.endswith(".xml")
        }
        for name in names:
            assert (labelled_images / side / name).read_bytes() == before[name][0]
    # the images themselves stay where and as they are
    assert {
        name: ((labelled_images / name).read_bytes(), (labelled_images / name).stat().st_mtime_ns) for name in before
    } == before
    assert json.loads((labelled_images / "split.json").read_text()) == {
        "seed": 42,
        "ratio": 0.1,
        "stratify": True,
        **{side: list_sums(labelled_images / side) for side in split},
    }


def test_without_x_only_images_and_into_another_folder(call, labelled_images, tmp_path):
    done = call(SCRIPT, "--imageDir", labelled_images, "--outputDir", tmp_path / "new" / "out", "--ratio", "0.5")
    assert done.returncode == 0, done.stderr
    split = read_split(tmp_path / "new" / "out")
    assert len(split["train"]) == len(split["test"]) == 6
    assert not any(name.endswith(".xml") for name in split["train"] + split["test"])
    assert not (labelled_images / "train").exists()


def test_a_second_run_does_nothing_and_says_so(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    inodes = {path: path.stat().st_ino for path in labelled_images.rglob("*")}
    done = call(SCRIPT, "-x", "-i", labelled_images)
    assert (done.returncode, done.stdout) == (0, "")
    assert "train/ and test/ are up to date" in done.stderr
    assert {path: path.stat().st_ino for path in labelled_images.rglob("*")} == inodes


def test_a_lost_copy_is_made_again(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    before = read_split(labelled_images)
    (labelled_images / "test" / before["test"][0]).unlink()
    assert call(SCRIPT, "-x", "-i", labelled_images).returncode == 0
    assert read_split(labelled_images) == before


@pytest.mark.parametrize("arguments", [("-r", "0.5"), ("--seed", "7"), ("-x", "-r", "0.3")])
def test_another_split_leaves_no_stale_file(call, labelled_images, arguments):
    call(SCRIPT, "-x", "-i", labelled_images)
    (labelled_images / "a.jpg").unlink()  # known from split.json
    (labelled_images / "a.xml").unlink()
    done = call(SCRIPT, "-i", labelled_images, *arguments, "--fresh")
    assert done.returncode == 0, done.stderr
    split = read_split(labelled_images)
    suffixes = (".jpg", ".jpeg", ".png", *((".xml",) if "-x" in arguments else ()))
    wanted = [path.name for path in labelled_images.iterdir() if path.suffix.lower() in suffixes]
    assert sorted(split["train"] + split["test"]) == sorted(wanted)


def test_files_from_elsewhere_are_not_deleted(call, labelled_images):
    call(SCRIPT, "-i", labelled_images)
    for side, name in (("train", "new.jpg"), ("test", "new.xml")):
        (labelled_images / side / name).write_text("mine")
    (labelled_images / "train" / "deeper").mkdir()
    (labelled_images / "train" / "deeper" / "a.jpg").write_text("mine")
    (labelled_images / "train" / ".DS_Store").touch()
    before = read_split(labelled_images)
    done = call(SCRIPT, "-i", labelled_images, "-r", "0.5", "--fresh")
    assert done.returncode == 1
    for place in ("train/new.jpg", "test/new.xml", "train/deeper/a.jpg"):
        assert (
            f"error: {labelled_images / place}: is not from {labelled_images} and would be lost; move it" in done.stderr
        )
    assert done.stderr.count("error:") == 3
    assert read_split(labelled_images) == before


def test_work_done_after_the_split_is_not_deleted(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    corrected = next((labelled_images / "train").glob("*.xml"))
    corrected.write_text("<annotation/>")
    done = call(SCRIPT, "-x", "-i", labelled_images, "--seed", "1", "--fresh")
    source = labelled_images / corrected.name
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"error: {corrected}: was changed after the split and would be lost; copy it to {source} first\n"
    )
    shutil.copy(corrected, source)
    assert call(SCRIPT, "-x", "-i", labelled_images, "--seed", "1", "--fresh").returncode == 0


def test_a_correction_in_the_source_reaches_the_split(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    (labelled_images / "a.xml").write_text("<annotation/>")
    assert call(SCRIPT, "-x", "-i", labelled_images).returncode == 0
    (copy,) = labelled_images.glob("t*/a.xml")
    assert copy.read_text() == "<annotation/>"


def test_copies_and_images_of_one_xml_file_stay_together(call, tmp_path):
    images = draw_photos(tmp_path, 20)
    for name in ("copy of 000.jpg", "000 (1).jpg"):
        shutil.copy(images / "000.jpg", images / name)
    for name in ("001.png", "001.bmp"):
        draw_photo(40).save(images / name)
    label_photo(images, "named.jpg", 60)
    (images / "named.xml").rename(images / "002.xml")  # its stem is 002.jpg's, so it does not bind named.jpg
    label_photo(images, "far.jpg", 61)
    (images / "far.xml").rename(images / "label.xml")  # its <filename> binds far.jpg
    groups = [
        {"000.jpg", "copy of 000.jpg", "000 (1).jpg"},
        {"001.jpg", "001.png", "001.bmp"},
        {"far.jpg", "label.xml"},
    ]
    sides = set()
    for seed in range(6):
        arguments = ("-r", "0.5", "--seed", seed, "--fresh", "--nostratify")
        assert call(SCRIPT, "-x", "-i", images, *arguments).returncode == 0
        split = read_split(images)
        assert sum(not name.endswith(".xml") for name in split["test"]) == 13
        for group in groups:
            (side,) = [side for side in split if group & set(split[side])]
            assert group <= set(split[side])
            sides.add((groups.index(group), side))
    assert len(sides) == 6  # each group came to either side under some seed


def test_images_without_xml_files_are_copied_and_counted(call, labelled_images):
    draw_photo().save(labelled_images / "bare.jpg")
    done = call(SCRIPT, "-x", "-i", labelled_images)
    assert "1 of 13 images have no XML file; they are copied without one\n" in done.stderr
    assert sum("bare.jpg" in names for names in read_split(labelled_images).values()) == 1


def test_xml_files_without_images_are_named_all(call, labelled_images):
    for name in ("a.jpg", "猫.jpg"):
        (labelled_images / name).unlink()
    done = call(SCRIPT, "-x", "-i", labelled_images)
    assert done.returncode == 1
    for name in ("a.xml", "猫.xml"):
        assert f"error: {labelled_images / name}: there is no image of its name, nor the one" in done.stderr
    assert not (labelled_images / "train").exists()


def test_the_folder_with_the_images_may_not_be_the_one_to_replace(call, labelled_images):
    train = labelled_images.parent / "train"
    labelled_images.rename(train)
    shutil.copytree(train, train / "deeper")
    for folder in (train, train / "deeper"):
        done = call(SCRIPT, "-i", folder, "-o", train.parent)
        assert done.returncode == 1
        assert f"error: {folder}: lies in the output folder train/; give the folder of all images" in done.stderr
        assert len(list(train.glob("*.xml"))) == len(list(train.glob("deeper/*.xml"))) == 12


@pytest.mark.parametrize("flag", ["-r", "--val"])
@pytest.mark.parametrize("ratio", ["0", "1", "-0.1", "10", "much", "1/0", "nan"])
def test_a_ratio_that_is_none_is_a_wrong_call(call, labelled_images, flag, ratio):
    done = call(SCRIPT, "-i", labelled_images, f"{flag}={ratio}")
    assert done.returncode == 2
    assert f"{ratio} is not between 0 and 1" in done.stderr or f"'{ratio}' is not a number" in done.stderr


def test_too_few_images(call, tmp_path):
    (tmp_path / "none").mkdir()
    for folder, text in (
        (tmp_path / "none", "there are no images; give the folder that holds them with -i"),
        (tmp_path / "nowhere", "there is no such folder; give the one that holds the .jpg files"),
        (draw_photos(tmp_path / "one", 1), "two images are needed at least for two sets; add images"),
    ):
        done = call(SCRIPT, "-i", folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {folder}: {text}\n" in done.stderr
    for i in range(5):
        draw_photo().save(tmp_path / "none" / f"{i}.jpg")
    done = call(SCRIPT, "-i", tmp_path / "none")
    assert done.returncode == 1
    assert "two images that do not belong together are needed at least for two sets; add images" in done.stderr


def test_help_shows_defaults_and_answers_at_once(call):
    done = call(SCRIPT, "--help")
    assert done.returncode == 0
    for text in ("(default: 0.1)", "(default: 42)", "(default: .)", "default: imageDir"):
        assert text in done.stdout


def test_the_raccoon_photos(call, raccoon_images, tmp_path):
    done = call(SCRIPT, "-x", "-i", raccoon_images, "-o", tmp_path, "-r", "0.1")
    assert done.returncode == 0, done.stderr
    split = read_split(tmp_path)
    assert len(split["train"]) == 360 and len(split["test"]) == 40
    for twins in ((65, 98), (83, 120), (11, 116), (52, 74)):  # byte for byte the same photos
        names = {f"raccoon-{number}.jpg" for number in twins}
        assert names <= set(split["train"]) or names <= set(split["test"])


def test_the_raccoon_photos_in_two_folders(call, raccoon_images, tmp_path):
    for folder in (tmp_path / "one", tmp_path / "deeper" / "two"):
        shutil.copytree(raccoon_images, folder)
    assert call(SCRIPT, "-x", "-i", tmp_path / "one", "--val", "0.1").returncode == 0
    assert call(SCRIPT, "-x", "--val", "0.1", "--link", cwd=tmp_path / "deeper" / "two").returncode == 0
    one, two = (read_split(folder) for folder in (tmp_path / "one", tmp_path / "deeper" / "two"))
    assert one == two and [len(one[side]) for side in ("train", "test", "val")] == [320, 40, 40]
    assert (tmp_path / "one/split.json").read_bytes() == (tmp_path / "deeper/two/split.json").read_bytes()


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
    (labelled_images / "a.xml").write_text("<annotation><object/></annotation>")
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
    assert "three images are needed at least for three sets; add images" in done.stderr
    draw_photos(images, 3)
    done = call(SCRIPT, "-i", images, "-r", "0.4", "--val", "0.4")
    assert [len(names) for names in read_split(images).values()] == [1, 1, 1]
    for side in ("test", "val"):
        assert f"{side}: 1 images instead of 2, since groups stay whole, and each set needs one" in done.stderr


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
