"""--verify finds every change of a split, changes nothing, and names remedies that work."""

import json
import os
import shutil
from pathlib import Path

SCRIPT = "preprocessing/partition_dataset.py"


def list_tree(folder):
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def verify(call, folder, code=1):
    done = call(SCRIPT, "-x", "-i", folder, "--verify")
    assert done.returncode == code, done.stderr
    return done


def test_verify_of_a_sound_split_changes_nothing(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images, "--val", "0.1")
    before = list_tree(labelled_images)
    done = verify(call, labelled_images, 0)
    assert (done.stdout, done.stderr) == ("verified: 8 train, 2 test, 2 val\n", "")
    assert list_tree(labelled_images) == before


def test_verify_without_a_split(call, labelled_images):
    done = verify(call, labelled_images)
    assert done.stderr == f"error: {labelled_images / 'split.json'}: there is none; make the split first\n"


def test_verify_names_all_that_differs(call, labelled_images):
    images = labelled_images
    call(SCRIPT, "-x", "-i", images)
    note = json.loads((images / "split.json").read_text())
    a, b, c, d, e, f = [name for name in note["train"] if name.endswith(".jpg")][:6]
    (images / "train" / a).unlink()
    with (images / "train" / b).open("ab") as file:
        file.write(b"\0")
    shutil.copy(images / "train" / c, images / "test" / c)
    shutil.copy(images / c, images / "new.jpg")
    with (images / d).open("ab") as file:
        file.write(b"\0")
    (images / e).unlink()
    (images / "train" / f).unlink()
    (images / "lone.xml").write_text("<annotation/>")
    done = verify(call, images)
    xml = Path(f).with_suffix(".xml")
    assert sorted(done.stderr.splitlines()) == sorted(
        [
            f"error: {images / 'train' / a}: is missing; run the split again",
            f"error: {images / 'train' / Path(a).with_suffix('.xml')}: there is no image of its name, nor the one that"
            f" its <filename> names, '{a}'; add the image, or take the XML file away",
            f"error: {images / 'train' / b}: was changed after the split; take it away and run the split again",
            f"error: {images / 'test' / c}: is not in split.json; take it away, and add photos to {images}",
            f"error: {images / 'new.jpg'}: is not in split.json; run the split again to share it out",
            f"error: {images / d}: was changed after the split; run the split again",
            f"error: {images / e}: is missing, but in split.json; put it back, or run the split again",
            f"error: {images / Path(e).with_suffix('.xml')}: there is no image of its name, nor the one that its"
            f" <filename> names, '{e}'; add the image, or take the XML file away",
            f"error: {images / 'train' / f}: is missing; run the split again",
            f"error: {images / 'train' / xml}: there is no image of its name, nor the one that its <filename> names,"
            f" '{f}'; add the image, or take the XML file away",
            f"error: {images / 'lone.xml'}: is not in split.json; run the split again to share it out",
            f"error: {images / 'lone.xml'}: there is no image of its name; add the image, or take the XML file away",
            "12 errors",
        ]
    )


def test_verify_finds_what_is_on_two_sides_and_a_lost_folder(call, labelled_images):
    images = labelled_images
    call(SCRIPT, "-i", images)
    note = json.loads((images / "split.json").read_text())
    name, checksum = next(iter(note["train"].items()))
    note["test"] |= {name: checksum, "copy.jpg": note["train"]["photo_1.jpg"]}
    (images / "split.json").write_text(json.dumps(note))
    shutil.rmtree(images / "test")
    done = call(SCRIPT, "-i", images, "--verify")
    assert f"{images / 'split.json'}: {name} is in two subsets, train and test; draw a new split" in done.stderr
    assert "split.json: train/photo_1.jpg and test/copy.jpg are the same photo; draw a new split" in done.stderr
    assert f"{images / 'test'}: there is no such folder; run the split again" in done.stderr
    assert call(SCRIPT, "-i", images, "--fresh").returncode == 0
    assert call(SCRIPT, "-i", images, "--verify").returncode == 0


def test_each_remedy_of_verify_works(call, labelled_images):
    images = labelled_images
    call(SCRIPT, "-x", "-i", images)
    photo = next((images / "train").glob("*.jpg"))
    times = photo.stat()
    photo.write_bytes(bytes(len(photo.read_bytes())))
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a failing disk would: neither time nor size tells
    assert f"{photo}: was changed after the split" in verify(call, images).stderr
    photo.unlink()
    assert call(SCRIPT, "-x", "-i", images).returncode == 0
    verify(call, images, 0)


def test_verify_and_fresh_are_no_call(call, labelled_images):
    assert call(SCRIPT, "-i", labelled_images, "--verify", "--fresh").returncode == 2
