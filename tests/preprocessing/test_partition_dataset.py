"""The split: the right number, the same everywhere, no photo on both sides, nobody's files lost."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import draw_photo, label_photo, load_script

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


@pytest.mark.attack
def test_a_lost_copy_is_made_again(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    before = read_split(labelled_images)
    (labelled_images / "test" / before["test"][0]).unlink()
    assert call(SCRIPT, "-x", "-i", labelled_images).returncode == 0
    assert read_split(labelled_images) == before


@pytest.mark.parametrize("arguments", [("-r", "0.5"), ("--seed", "7"), ("-x", "-r", "0.3")])
@pytest.mark.attack
def test_another_split_leaves_no_stale_file(call, labelled_images, arguments):
    call(SCRIPT, "-x", "-i", labelled_images)
    (side,) = (path.parent for path in labelled_images.glob("*/a.jpg"))
    for name in ("a.jpg", "a.xml"):  # known from split.json
        (labelled_images / name).unlink()
    done = call(SCRIPT, "-i", labelled_images, *arguments, "--fresh")
    assert done.returncode == 1
    for name in ("a.jpg", "a.xml"):
        what = f"is not in {labelled_images} any more, and would be lost; move it back there, or delete it here, too"
        assert f"error: {side / name}: {what}\n" in done.stderr
        (side / name).unlink()
    done = call(SCRIPT, "-i", labelled_images, *arguments, "--fresh")
    assert done.returncode == 0, done.stderr
    split = read_split(labelled_images)
    suffixes = (".jpg", ".jpeg", ".png", *((".xml",) if "-x" in arguments else ()))
    wanted = [path.name for path in labelled_images.iterdir() if path.suffix.lower() in suffixes]
    assert sorted(split["train"] + split["test"]) == sorted(wanted)


@pytest.mark.attack
def test_photos_that_were_moved_out_of_images_are_not_deleted(call, labelled_images):
    """As readers of the tutorial do, who keep images/train and images/test only."""
    call(SCRIPT, "-x", "-i", labelled_images)
    before = read_split(labelled_images)
    for path in list(labelled_images.iterdir()):
        if path.is_file() and path.name != "split.json":
            path.unlink()
    label_photo(labelled_images, "new.jpg", 1, photo=draw_photo(5, (100, 80)))
    label_photo(labelled_images, "newer.jpg", 2, photo=draw_photo(6, (110, 80)))
    done = call(SCRIPT, "-x", "-i", labelled_images)
    assert done.returncode == 1
    assert done.stderr.count("any more, and would be lost; move it back there") == 24
    assert read_split(labelled_images) == before


@pytest.mark.parametrize("arguments", [(), ("--seed", "1", "--fresh")])
@pytest.mark.attack
def test_a_label_corrected_in_train_is_not_lost(call, labelled_images, arguments):
    """Whatever the files' times: those of the copies say nothing, where images/ was copied or unpacked since."""
    call(SCRIPT, "-x", "-i", labelled_images)
    corrected = next((labelled_images / "train").glob("*.xml"))
    corrected.write_text(corrected.read_text().replace("<name>", "<name>small "))
    os.utime(corrected, (1, 1))
    label_photo(labelled_images, "new.jpg", 1, photo=draw_photo(5, (100, 80)))
    done = call(SCRIPT, "-x", "-i", labelled_images, *arguments)
    source = labelled_images / corrected.name
    what = f"was changed after the split and would be lost; copy it to {source} first"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"error: {corrected}: {what}")
    assert "<name>small " in corrected.read_text()
    shutil.copy(corrected, source)
    assert call(SCRIPT, "-x", "-i", labelled_images, *arguments).returncode == 0
    (copy,) = labelled_images.glob(f"t*/{source.name}")
    assert copy.read_bytes() == source.read_bytes()


@pytest.mark.attack
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
        (tmp_path / "none", "there are no images; put photos into it, or name their folder with -i (by hand)"),
        (tmp_path / "nowhere", "there is no such folder; give the one that holds the .jpg files"),
        (draw_photos(tmp_path / "one", 1), "two images are needed at least for two subsets; add images"),
    ):
        done = call(SCRIPT, "-i", folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"error: {folder}: {text}\n" in done.stderr
    for i in range(5):
        draw_photo().save(tmp_path / "none" / f"{i}.jpg")
    done = call(SCRIPT, "-i", tmp_path / "none")
    assert done.returncode == 1
    assert "two images that do not belong together are needed at least for two subsets; add images" in done.stderr


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
