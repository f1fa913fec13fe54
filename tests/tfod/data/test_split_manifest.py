"""split.json: no photo changes subsets by itself, and a killed run is mended by the next."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from conftest import ROOT, draw_photo, label_photo, load_script
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPT = "preprocessing/partition_dataset.py"
partition = load_script(SCRIPT)


def run_split(folder, *arguments):
    """The script's main() in this process, for many runs; what is wrong is raised."""
    with mock.patch.object(sys, "argv", ["partition_dataset.py", "-i", str(folder), *map(str, arguments)]):
        partition.main()


def find_places(folder):
    """A dict bytes of an image -> set of the sides on which it is."""
    places = {}
    for side in ("train", "test", "val"):
        for path in (folder / side).glob("*.jpg"):
            places.setdefault(path.read_bytes(), set()).add(side)
    return places


def list_tree(folder):
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


operations = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "rename", "copy", "edit"]), st.integers(1, 6), st.randoms()), max_size=6
)


@settings(max_examples=25)
@given(operations, st.sampled_from(["0.1", "0.25", "0.5"]), st.sampled_from([(), ("--val", "0.2")]))
def test_no_photo_ever_changes_sides(operations, ratio, val):
    """Photos are stood in for by a few bytes each: without -x nothing reads them but the checksum."""
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        serial = 0

        def add_photo():
            nonlocal serial
            serial += 1
            (folder / f"{serial * 7919 % 1000:03d}-{serial}.jpg").write_bytes(b"photo %d" % serial)

        for _ in range(8):
            add_photo()
        run_split(folder, "-r", ratio, *val)
        before = find_places(folder)
        for what, number, random in operations:
            # a photo of each side stays: an empty side is an error
            kept = {next((folder / side).glob("*.jpg")).name for side in ("train", "test", "val")[: 3 if val else 2]}
            for _ in range(number):
                photos = sorted(folder.glob("*.jpg"))
                photo = random.choice(photos)
                serial += 1
                if what == "add":
                    add_photo()
                elif what == "rename":
                    photo.rename(folder / f"renamed {serial}.jpg")
                elif what == "copy":
                    shutil.copy(photo, folder / f"copy {serial}.jpg")
                elif what == "edit":
                    old = photo.read_bytes()
                    copies = [path for path in folder.glob("t*/*.jpg") if path.read_bytes() == old]
                    copies += [path for path in folder.glob("val/*.jpg") if path.read_bytes() == old]
                    alone = sum(path.read_bytes() == old for path in photos) == 1
                    if alone and not kept.intersection(path.name for path in copies):
                        for path in copies:
                            path.unlink()  # a split would say that this photo is lost
                        photo.write_bytes(b"edited %d" % serial)
                        before[photo.read_bytes()] = before.pop(old)
                elif photo.name not in kept:
                    remove(folder, photo.name)
            run_split(folder, "-r", ratio, *val)
            after = find_places(folder)
            assert all(len(sides) == 1 for sides in after.values())
            assert set(after) == {path.read_bytes() for path in folder.glob("*.jpg")}
            assert {photo: sides for photo, sides in after.items() if photo in before} == {
                photo: sides for photo, sides in before.items() if photo in after
            }
            before = after
        run_split(folder, "--verify")


def remove(folder, name):
    """Takes away a photo and its copies: of what only a side has, a split says that it would be lost."""
    for path in (folder, *(folder / side for side in ("train", "test", "val"))):
        (path / name).unlink(missing_ok=True)


def test_new_photos_bring_the_ratio_back(call, labelled_images):
    images = labelled_images
    call(SCRIPT, "-x", "-i", images, "-r", "0.25")
    before = find_places(images)
    for number in range(28):
        label_photo(images, f"new {number}.jpg", number, photo=draw_photo(number, (120 + number, 80)))
    done = call(SCRIPT, "-x", "-i", images, "-r", "0.25")
    assert done.returncode == 0, done.stderr
    assert "28 new images are shared out, the others stay in their subsets" in done.stderr
    after = find_places(images)
    assert {photo: after[photo] for photo in before} == before
    assert done.stdout.endswith(f"test: 10 images in {images / 'test'}\n")


def test_a_copy_of_a_test_photo_and_its_scene_come_to_the_test_side(call, tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02d}_a.jpg").write_bytes(b"%d" % number)
    call(SCRIPT, "-i", tmp_path, "--group", "^(.+)_")
    for side in ("train", "test"):
        photo = next((tmp_path / side).iterdir())
        scene = photo.name.split("_")[0]
        shutil.copy(tmp_path / photo.name, tmp_path / f"copy of one in {side}.jpg")
        (tmp_path / f"{scene}_b.jpg").write_bytes(b"the next frame in " + side.encode())
        (tmp_path / f"{scene}_a.png").write_bytes(b"the same name in " + side.encode())
    assert call(SCRIPT, "-i", tmp_path, "--group", "^(.+)_").returncode == 0
    for side in ("train", "test"):
        scene_files = {path.name[2:] for path in (tmp_path / side).iterdir()}
        assert (tmp_path / side / f"copy of one in {side}.jpg").exists()
        assert {"_a.jpg", "_b.jpg", "_a.png"} <= scene_files


@pytest.mark.parametrize(
    ("arguments", "was", "called"),
    [
        (("--seed", "7"), "with --seed 42", "with --seed 7"),
        (("-r", "0.2"), "with -r 0.1", "with -r 0.2"),
        (("--val", "0.1"), "without --val", "with --val 0.1"),
        (("--group", "^photo"), "without --group", "with --group ^photo"),
    ],
)
def test_other_settings_are_refused_and_change_nothing(call, labelled_images, arguments, was, called):
    call(SCRIPT, "-x", "-i", labelled_images)
    before = list_tree(labelled_images)
    done = call(SCRIPT, "-x", "-i", labelled_images, *arguments)
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"error: {labelled_images / 'split.json'}: the split was drawn {was}, and this call is {called}; call it as"
        f" before to keep each photo in its subset, or add --fresh (make: FRESH=1) to draw a new split\n"
    )
    assert list_tree(labelled_images) == before
    assert call(SCRIPT, "-x", "-i", labelled_images, *arguments, "--fresh").returncode == 0
    assert call(SCRIPT, "-x", "-i", labelled_images, *arguments).stderr.endswith("are up to date\n")
    assert call(SCRIPT, "-x", "-i", labelled_images, *arguments, "--fresh").stderr.endswith("are up to date\n")


def test_all_other_settings_are_named_at_once(call, labelled_images):
    call(SCRIPT, "-x", "-i", labelled_images)
    done = call(SCRIPT, "-x", "-i", labelled_images, "--seed", "7", "-r", "0.2", "--val", "0.1")
    assert done.stderr.count("error:") == 3


@pytest.mark.attack
def test_old_photos_that_now_belong_together_are_named(call, tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)
    call(SCRIPT, "-i", tmp_path)
    test, train = (next((tmp_path / side).iterdir()).name for side in ("test", "train"))
    shutil.copy(tmp_path / test, tmp_path / train)  # now the test photo has two names
    done = call(SCRIPT, "-i", tmp_path)
    assert done.returncode == 1
    place = tmp_path / "train" / train
    what = f"is another photo than {tmp_path / train} is now, and would be lost; delete it if that one replaces it, or"
    assert done.stderr.endswith(f"error: {place}: {what} move it to {tmp_path} under another name\n")
    place.unlink()
    assert call(SCRIPT, "-i", tmp_path).returncode == 0
    assert find_places(tmp_path)[(tmp_path / test).read_bytes()] == {"test"}
    train = next((tmp_path / "train").iterdir()).name
    new = tmp_path / f"{Path(train).stem}.png"  # of the name of one, and of the bytes of the other
    shutil.copy(tmp_path / test, new)
    done = call(SCRIPT, "-i", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path / 'split.json'}: test/" in done.stderr
    assert f"and train/{train} now belong together (the same photo, name, XML file or scene)" in done.stderr
    new.unlink()
    assert call(SCRIPT, "-i", tmp_path).returncode == 0


def test_a_side_that_lost_its_photos(call, tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)
    call(SCRIPT, "-i", tmp_path)
    first, second = sorted((tmp_path / "test").iterdir())
    (tmp_path / first.name).unlink()
    (tmp_path / next((tmp_path / "train").iterdir()).name).unlink()
    done = call(SCRIPT, "-i", tmp_path)
    assert "test: 1 images instead of 2, since no photo changes subsets (--fresh draws a new split)" in done.stderr
    (tmp_path / second.name).unlink()
    done = call(SCRIPT, "-i", tmp_path)
    assert done.returncode == 1
    assert "no image is left for test; add images, or draw a new split with --fresh" in done.stderr


def test_the_note_of_former_versions_is_kept_to(call, labelled_images):
    images = labelled_images
    call(SCRIPT, "-x", "-i", images)
    note = json.loads((images / "split.json").read_text())
    test, train = "photo_1", "photo_2"
    sides = {"test": [f"{stem}{suffix}" for stem in (test, "a") for suffix in (".jpg", ".xml")]}
    sides["train"] = sorted({*note["train"], *note["test"]}.difference(sides["test"]))
    (images / "split.json").write_text(json.dumps({"seed": 42, "ratio": 0.1, **sides}))
    done = call(SCRIPT, "-x", "-i", images, "--verify")
    assert done.returncode == 1  # the folders are still as the newer note had them
    assert call(SCRIPT, "-x", "-i", images).returncode == 0
    written = json.loads((images / "split.json").read_text())
    assert {side: sorted(written[side]) for side in sides} == {side: sorted(names) for side, names in sides.items()}
    assert train not in written["test"] and len(written["test"]["a.jpg"]) == 64
    assert call(SCRIPT, "-x", "-i", images, "--verify").stdout == "verified: 10 train, 2 test\n"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no JSON",
        '{"seed": 1, "ratio": 0.1, "train": {}}',
        '{"seed": 1, "ratio": 0.1, "train": {}, "test": 3}',
        '{"seed": 1, "ratio": 0.1, "train": {}, "test": [3]}',
        '{"seed": 1, "ratio": 0.1, "train": {}, "test": {"a.jpg": 3}}',
        '{"seed": 1, "ratio": 0.1, "train": {}, "test": {"../../a.jpg": null}}',
        b"\xff\xfe",
    ],
)
@pytest.mark.attack
def test_a_damaged_note_is_named(call, labelled_images, text):
    note = labelled_images / "split.json"
    note.write_bytes(text if isinstance(text, bytes) else text.encode())
    for arguments in ((), ("--verify",)):
        done = call(SCRIPT, "-i", labelled_images, *arguments)
        assert done.returncode == 1
        assert (
            f"error: {note}: is not a note of a split, or is damaged; restore it, or draw a new split with --fresh\n"
            in done.stderr
        )
    assert not (labelled_images / "train").exists()
    assert call(SCRIPT, "-i", labelled_images, "--fresh").returncode == 0


KILL = """
import os, pathlib, runpy, signal, sys
left = int(sys.argv.pop(1))
def count(original):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    return call
for name in ("rename", "replace"):
    setattr(pathlib.Path, name, count(getattr(pathlib.Path, name)))
script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(script).parent))
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.attack
def test_a_run_that_is_killed_before_any_rename_is_mended_by_the_next(call, tmp_path, fresh):
    script = ROOT / "scripts" / SCRIPT
    first = tmp_path / "first"
    first.mkdir()
    for number in range(30):
        (first / f"{number}.jpg").write_bytes(b"%d" % number)
    call(SCRIPT, "-i", first, "--val", "0.2")
    for number in range(30, 50):
        (first / f"{number}.jpg").write_bytes(b"%d" % number)
    remove(first, "3.jpg")
    arguments = ("--val", "0.2", *(("--fresh", "--seed", "8") if fresh else ()))
    whole = tmp_path / "whole"
    shutil.copytree(first, whole)
    assert call(SCRIPT, "-i", whole, *arguments).returncode == 0
    wanted = {name: data for name, (data, _) in list_tree(whole).items() if not name.startswith(".")}
    sides = [
        {p.name for p in (folder / side).iterdir()} for folder in (first, whole) for side in ("train", "test", "val")
    ]

    for kill in range(20):
        folder = tmp_path / f"killed {kill}"
        shutil.copytree(first, folder)
        done = subprocess.run([sys.executable, "-c", KILL, str(kill), script, "-i", folder, *arguments], check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        for side in ("train", "test", "val"):  # each folder is the former one, the new one, or just moved away
            assert not (folder / side).exists() or {path.name for path in (folder / side).iterdir()} in sides
        assert {p.name for p in folder.glob("*.jpg")} == {p.name for p in first.glob("*.jpg")}
        assert call(SCRIPT, "-i", folder, *arguments).returncode == 0
        assert {name: data for name, (data, _) in list_tree(folder).items() if not name.startswith(".")} == wanted
        assert not list(folder.glob(".*.tmp"))
    assert kill == 6 + 1 + 1  # three folders, each moved away and replaced; the note; its stamp
