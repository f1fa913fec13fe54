"""A workspace that was copied is the same workspace: no photo counts twice or changes subsets, records are the same."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import label_photo
from faulty_workspace import put_photo

pytestmark = pytest.mark.attack


def run_stages(call, workspace):
    """Split, check and records: (dict record -> bytes, the check's last line, dict side -> names, split.json)."""
    script = "preprocessing/partition_dataset.py"
    done = call(script, "-x", "-i", "images", "-r", "0.25", cwd=workspace)
    assert done.returncode == 0, done.stderr
    if not (workspace / "annotations").exists():
        assert call("preprocessing/generate_label_map.py", "-x", "images", cwd=workspace).returncode == 0
    done = call("preprocessing/check_dataset.py", "-i", "images", "--json", "check.json", cwd=workspace)
    assert done.returncode == 0 and "not-in-split" not in done.stdout, done.stdout
    records = {}
    for side in ("train", "test"):
        output = f"annotations/{side}.record"
        words = ["-x", f"images/{side}", "-l", "annotations/label_map.pbtxt", "-o", output]
        assert call("preprocessing/generate_tfrecord.py", *words, cwd=workspace).returncode == 0
        records[side] = (workspace / output).read_bytes()
    sides = {side: sorted(path.name for path in (workspace / "images" / side).iterdir()) for side in records}
    return records, done.stdout.splitlines()[-1], sides, (workspace / "images/split.json").read_bytes()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """(a workspace of 8 labelled photos that went through the stages, what `run_stages` says of it)."""
    from conftest import call_script

    workspace = tmp_path_factory.mktemp("original")
    for number in range(8):
        put_photo(workspace / "images", f"{number}.jpg", number)
    for path in (workspace / "images").iterdir():
        os.utime(path, (10**9 + path.stat().st_size, 10**9))  # long ago: a copy is younger
    return workspace, run_stages(call_script, workspace)


def copy_without_times(source, target):
    subprocess.run(["cp", "-r", source, target], check=True)


def zip_with_one_time(source, target):
    """As tools for reproducible archives do."""
    archive = Path(f"{target}.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                file.writestr(zipfile.ZipInfo(str(path.relative_to(source))), path.read_bytes())
    with zipfile.ZipFile(archive) as file:
        file.extractall(target)
    for path in target.rglob("*"):
        os.utime(path, (315532800, 315532800))  # which unzip restores, and Python does not


def clone_with_git(source, target):
    work = shutil.copytree(source, f"{target} work")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "photos"]):
        subprocess.run([*git, *words], cwd=work, check=True)
    subprocess.run([*git, "clone", "-q", work, target], check=True)


@pytest.mark.parametrize("copy", [copy_without_times, zip_with_one_time, clone_with_git])
def test_a_copied_workspace(call, original, tmp_path, copy):
    workspace, made = original
    copy(workspace, tmp_path / "copy")
    assert made[1].startswith("8 photos, 8 boxes")
    assert run_stages(call, tmp_path / "copy") == made


def test_a_copy_that_was_corrected_is_told_whatever_its_time(call, original, tmp_path):
    """Of the same size and the same time: only the bytes differ."""
    zip_with_one_time(original[0], tmp_path / "copy")
    xml, photo = tmp_path / "copy/images/1.xml", tmp_path / "copy/images/2.jpg"
    xml.write_text(xml.read_text().replace("<xmax>60<", "<xmax>61<"))
    os.utime(xml, (315532800, 315532800))
    photo.write_bytes(photo.read_bytes()[:-2] + b"\xff\xd9")  # the same bytes at another time
    done = call("preprocessing/check_dataset.py", "-i", "images", cwd=tmp_path / "copy")
    assert "images/1.xml: is not what " in done.stdout
    assert "not-in-split (files that are not in the split): 1\n" in done.stdout


def test_without_its_note_a_split_keeps_each_photo_on_its_side(call, tmp_path):
    """As after the tutorial's own script, which writes none."""
    script, images = "preprocessing/partition_dataset.py", tmp_path / "images"
    for number in range(8):
        put_photo(images, f"{number}.jpg", number)
    for side, numbers in (("test", (1, 2, 3)), ("train", (0, 4, 5, 6, 7))):
        (images / side).mkdir()
        for number in numbers:
            shutil.copy(images / f"{number}.jpg", images / side)
            shutil.copy(images / f"{number}.xml", images / side)
    label_photo(images, "new.jpg", 9)
    done = call(script, "-x", "-i", images)
    assert done.returncode == 0
    assert f"{images / 'split.json'}: there is none; each photo stays in the subset where it lies\n" in done.stderr
    assert sorted(path.stem for path in (images / "test").glob("*.jpg")) == ["1", "2", "3"]
    assert len(list((images / "train").glob("*.jpg"))) == 6
    (images / "split.json").unlink()
    (images / "test").rename(images / "val")
    shutil.copytree(images / "val", images / "test")
    done = call(script, "-x", "-i", images)
    assert done.returncode == 1
    what = "holds photos, and this call has no --val; add it, or --fresh (make: FRESH=1) to draw a new split"
    assert f"error: {images / 'val'}: {what}\n" in done.stderr
    assert call(script, "-x", "-i", images, "--fresh").returncode == 0
