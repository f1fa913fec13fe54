"""Where the photos of a folder lie: Pascal VOC's folders, ready-made splits, sub-folders; what is not taken."""

import shutil

import pytest
from conftest import draw_photo, label_photo, run_script

from tfod.data.image_folders import find_left_aside, find_sources, list_subsets
from tfod.utils.console import InputError

SPLIT = "preprocessing/partition_dataset.py"


def list_names(folder):
    return sorted(path.name for path in folder.glob("*.*"))


@pytest.fixture
def voc(tmp_path):
    """A folder with JPEGImages/, Annotations/ and ImageSets/Main/ of eight photos."""
    folder = tmp_path / "images"
    for number in range(8):
        label_photo(folder / "JPEGImages", f"{number}.jpg", number)
    (folder / "Annotations").mkdir()
    (folder / "ImageSets/Main").mkdir(parents=True)
    for xml in (folder / "JPEGImages").glob("*.xml"):
        shutil.move(xml, folder / "Annotations")
    return folder


def write_lists(voc, **lists):
    for name, numbers in lists.items():
        (voc / f"ImageSets/Main/{name}.txt").write_text("".join(f"{number}\n" for number in numbers))


def test_pascal_vocs_folders_are_split_and_their_lists_kept_to(voc):
    write_lists(voc, train=[0, 1, 2, 3, 4], val=[5], test=[6, 7])
    _, said = run_script(SPLIT, "-x", "-i", voc, "-r", "0.25", "--val", "0.1", cwd=voc)
    assert f"8 of 8 images go where {voc / 'ImageSets/Main'} says" in said
    assert list_names(voc / "test") == ["6.jpg", "6.xml", "7.jpg", "7.xml"]
    assert list_names(voc / "val") == ["5.jpg", "5.xml"]
    run_script(SPLIT, "-x", "-i", voc, "--verify", cwd=voc)
    label_photo(voc / "JPEGImages", "8.jpg", 8, photo=draw_photo(8, (70, 50)))
    shutil.move(voc / "JPEGImages/8.xml", voc / "Annotations")
    run_script(SPLIT, "-x", "-i", voc, "-r", "0.25", "--val", "0.1", cwd=voc)
    assert {"6.jpg", "7.jpg"} <= set(list_names(voc / "test"))
    assert not find_left_aside(voc)


def test_vocs_val_is_the_test_subset_where_there_is_no_other(voc):
    write_lists(voc, train=[0, 1, 2, 3, 4, 5], val=[6, 7])
    assert set(find_sources(voc).subsets.values()) == {"train", "test"}


def test_one_list_is_no_split(voc):
    write_lists(voc, train=range(8))  # as CVAT exports it
    assert find_sources(voc).subsets == {}
    out, _ = run_script(SPLIT, "-x", "-i", voc, "-r", "0.25", cwd=voc)
    assert "test: 2 images" in out


@pytest.mark.parametrize(("subsets", "target"), [(["train", "test", "valid"], "val"), (["train", "valid"], "test")])
def test_a_ready_made_split_is_kept_and_valid_is_taken(tmp_path, subsets, target):
    folder = tmp_path / "images"
    for number, subset in enumerate(subsets * 2):
        label_photo(folder / subset, f"{number}.jpg", number)
    (fault,) = find_left_aside(folder)
    assert (fault.kind, fault.severity) == ("left-aside", "warning")
    assert "valid: holds 2 photos, which are not taken; make split takes such a ready-made split" in fault
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    out, said = run_script(SPLIT, "-x", "-i", folder, cwd=tmp_path)
    assert "holds a ready-made split, which is kept" in said and f"{target}: 2 images in {folder / target}\n" in out
    assert list_names(folder / target) == list_names(folder / "valid")
    assert {path: path.read_bytes() for path in before} == before
    assert run_script(SPLIT, "-x", "-i", folder, cwd=tmp_path)[0] == out and not find_left_aside(folder)
    found, faults = list_subsets(folder)
    assert sorted(subset.name for subset in found) == sorted({"train", "test", target}) and not faults


def test_a_persons_own_val_is_not_written_over_by_valid(tmp_path):
    for subset in ("train", "test", "valid", "val"):
        label_photo(tmp_path / subset, f"{subset}.jpg")
    _, said = run_script(SPLIT, "-x", "-i", tmp_path, cwd=tmp_path, code=1)
    assert f"{tmp_path / 'val/val.jpg'}: is not what this script left there, and would be lost" in said
    assert list_names(tmp_path / "val") == ["val.jpg", "val.xml"]


def test_sub_folders_and_other_formats_are_named(tmp_path):
    label_photo(tmp_path / "day 1", "a.jpg")
    _, said = run_script(SPLIT, "-x", "-i", tmp_path, cwd=tmp_path, code=1)
    aside = f"{tmp_path / 'day 1'}: holds 1 photo, which are not taken; move them and their XML files into {tmp_path}"
    assert f"warning: {aside}" in said and "those in its sub-folders are not taken" in said
    for number in range(4):
        label_photo(tmp_path, f"{number}.jfif", number, format="JPEG")
    (tmp_path / "IMG_7.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    out, said = run_script(SPLIT, "-x", "-i", tmp_path, cwd=tmp_path)
    assert f"warning: {tmp_path / 'IMG_7.HEIC'}: is a HEIC file, which is not taken; save it as JPEG" in said
    assert "train: 3 images" in out and aside in said
    assert {fault.kind for fault in list_subsets(tmp_path)[1]} == {"left-aside"}


def test_an_empty_folder_names_the_way_on(tmp_path):
    with pytest.raises(InputError, match="there are no photos in it; copy photos and their XML files there"):
        list_subsets(tmp_path)
