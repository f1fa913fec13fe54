"""clean.py, which removes what the scripts made and leaves what people did, and the targets of make that call it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, draw_photo, label_photo, run_script
from makefile import make_clone

from clean import clean
from tfod.utils.files import claim, mark_current, sha256

STAYS = "stays: it is not what these scripts left there; remove it yourself if nobody needs it"
TRAINED = [
    ".training.lock",
    "best/ckpt-300.data-00000-of-00001",
    "best/ckpt-300.index",
    "best/metrics.json",
    "best/pipeline.config",
    "checkpoint",
    "ckpt-500.data-00000-of-00001",
    "ckpt-500.index",
    "eval/events.out.tfevents.1795687223.vm.1603.0.v2",
    "train/events.out.tfevents.1795687217.vm.1479.0.v2",
    "train_log.csv",
    "train_log.png",
]


def write(path, text="text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The folder models/m of a workspace, the working directory: as training, evaluation and a report leave it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models/m"
    for name in TRAINED:
        write(folder / name)
    for name in ("pipeline.config", "metrics.json", "report/index.html"):
        mark_current(write(folder / name), None, name)
    write(folder / "label_map.pbtxt")
    write(folder / "trained_on.json", json.dumps({"label_map.pbtxt": sha256(folder / "label_map.pbtxt")}))
    return folder


def clean_there(capsys, *places):
    for place in places:
        clean(place)
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def list_left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def test_all_that_a_model_is_made_of_is_removed(model, tmp_path, capsys):
    (model / ".DS_Store").touch()  # a file manager's
    other = write(model.parent / "other/checkpoint")
    place = model.relative_to(tmp_path)
    assert clean_there(capsys, place) == (["removing models/m"], [])
    assert not model.exists()
    assert other.exists()
    assert clean_there(capsys, place) == (["nothing to remove: models/m"], [])


@pytest.mark.attack
def test_what_a_person_put_beside_a_model_or_changed_stays_and_is_named(model, tmp_path, capsys):
    write(model / "notes.txt")
    write(model / "best/why.txt")
    write(model / "pipeline.config", "edited")
    write(model / "label_map.pbtxt", "edited")
    (model / "train/link.jpg").symlink_to(tmp_path)
    (model / "link").symlink_to(tmp_path)
    said, warned = clean_there(capsys, model.relative_to(tmp_path))
    kept = ["best/why.txt", "label_map.pbtxt", "link", "notes.txt", "pipeline.config", "train/link.jpg"]
    assert list_left(model) == kept
    assert said == ["removing 18 of the 24 files in models/m"]
    assert warned == [*(f"models/m/{name} {STAYS}" for name in kept[:5]), "models/m: 1 more such files stay"]


@pytest.mark.attack
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": 3}', '{"outputs": [1]}', "[" * 20000, "\x00"])
def test_damaged_notes_save_what_they_name(model, tmp_path, capsys, text):
    write(model / ".pipeline.config.stamp", text)
    write(model / "trained_on.json", text)
    clean_there(capsys, model.relative_to(tmp_path))
    assert list_left(model) == ["label_map.pbtxt", "pipeline.config"]


@pytest.mark.attack
def test_a_stamp_from_elsewhere_removes_nothing_outside(model, tmp_path, capsys):
    """A workspace may come from anybody, with stamps that name any file of this computer."""
    thesis = write(tmp_path / "home/thesis.txt")
    mark_current(model / "metrics.json", None, "evaluate", [thesis])
    claim(model / "report", "report", [tmp_path / "home"])
    write(model / "trained_on.json", json.dumps({"label_map.pbtxt": sha256(model / "label_map.pbtxt")}))
    write(model / ".sample.json", json.dumps({"files": {"../../home/thesis.txt": sha256(thesis)}}))
    clean_there(capsys, model.relative_to(tmp_path))
    assert thesis.exists()


@pytest.mark.attack
def test_a_link_in_place_of_a_folder_stays_and_so_does_what_it_leads_to(model, tmp_path, capsys):
    (tmp_path / "stats").symlink_to(model)
    _, warned = clean_there(capsys, (tmp_path / "stats").relative_to(tmp_path))
    assert warned == [f"stats {STAYS}"]
    assert (model / "checkpoint").exists()


def test_a_folder_of_results_goes_with_its_stamp(tmp_path, capsys):
    result = tmp_path / "inference_result"
    write(result / "a.jpg")
    mark_current(result, None, "inference_main_v2")
    write(result / "mine.jpg")
    said, warned = clean_there(capsys, result)
    assert said == [f"removing 1 of the 2 files in {result}"]
    assert warned == [f"{result / 'mine.jpg'} {STAYS}"]
    (result / "mine.jpg").unlink()
    clean_there(capsys, result)
    assert list(tmp_path.iterdir()) == []


def test_links_to_photos_that_inference_made_go_and_the_photos_stay(tmp_path, capsys):
    """A stamp for each --save stands in the folder itself; see tfod.inference.output_folder."""
    photo = write(tmp_path / "images/a.jpg")
    voc = tmp_path / "result/voc"
    voc.mkdir(parents=True)
    for name in ("a.jpg", "mine.jpg"):
        (voc / name).symlink_to(photo)
    mark_current(tmp_path / "result/voc", None, "inference_main_v2", [voc / "a.jpg"])
    _, warned = clean_there(capsys, tmp_path / "result")
    assert warned == [f"{voc / 'mine.jpg'} {STAYS}"]
    assert photo.exists() and list_left(tmp_path / "result") == ["voc/mine.jpg"]


@pytest.mark.attack
def test_the_only_copies_of_photos_in_the_demos_split_are_not_cleaned(tmp_path):
    clone = make_clone(tmp_path / "clone")
    images = clone / "workspace/demo/images"
    run_script("preprocessing/make_sample_dataset.py", "-o", images, "--number", 4, "--size", 160, cwd=tmp_path)
    mine = label_photo(images, "mine.jpg")
    run_script("preprocessing/partition_dataset.py", "-x", "-i", images, "-r", "0.5", cwd=tmp_path)
    mine.unlink()
    command = ["make", "clean-demo", f"VENV={sys.prefix}"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    copies = list(images.rglob("mine.jpg"))
    assert f"error: {copies[0]}: is not in workspace/demo/images any more, and would be lost" in done.stderr
    shutil.copytree(clone / "workspace/demo", tmp_path / "other")
    clean(tmp_path / "other")
    assert list((tmp_path / "other").rglob("mine.jpg"))
    shutil.move(copies[0], mine)
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    assert list_left(clone / "workspace/demo") == ["images/mine.jpg", "images/mine.xml"]


def test_drawn_pictures_are_ours_until_they_are_changed(tmp_path, capsys):
    images = tmp_path / "demo/images"
    run_script("preprocessing/make_sample_dataset.py", "-o", images, "--number", 2, "--size", 160, cwd=tmp_path)
    changed, *others = sorted(images.glob("*.xml"))
    changed.write_text(changed.read_text().replace("<xmin>", "<xmin>1"))
    clean_there(capsys, tmp_path / "demo")
    assert list_left(tmp_path / "demo") == [f"images/{changed.name}"]
    changed.unlink()
    clean_there(capsys, tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def make(tmp_path, *words, code=0):
    command = ["make", "-C", ROOT, f"VENV={sys.prefix}", f"WORKSPACE={tmp_path}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.mark.attack
def test_make_cleans_records_split_and_results_of_others_out_of_nothing(tmp_path):
    images, annotations = tmp_path / "images", tmp_path / "annotations"
    for number in range(4):
        label_photo(images, f"{number}.jpg", number)
    photos = list_left(images)
    split = ["preprocessing/partition_dataset.py", "-x", "-i", "images", "-r", "0.5"]
    run_script(*split, cwd=tmp_path)
    label_map = annotations / "label_map.pbtxt"
    run_script("preprocessing/generate_label_map.py", cwd=tmp_path)
    records = [
        "preprocessing/generate_tfrecord.py",
        "-x",
        "images/train",
        "-l",
        label_map,
        "-o",
        "annotations/a.record",
    ]
    run_script(*records, "--num_shards", 2, cwd=tmp_path)
    for name in ("annotations/train.record", "annotations/notes.txt", "exported_models/my_model/notes.txt"):
        write(tmp_path / name)
    added = images / "train/new.jpg"
    draw_photo(9).save(added)

    said, warned = make(tmp_path, "-k", "clean-split", "clean-records", "clean-results", code=2)
    assert f"error: {added}: is not from images and would be lost; move it there, or elsewhere" in warned
    assert (images / "split.json").exists()
    assert list_left(annotations) == ["notes.txt", "train.record"]
    assert "removing 5 of the 7 files in annotations\n" in said
    for name in ("annotations/notes.txt", "annotations/train.record", "exported_models/my_model/notes.txt"):
        assert f"{name} {STAYS}\n" in warned
    shutil.move(added, images)
    said, _ = make(tmp_path, "clean-split")
    assert said.count("removing") == 3
    assert list_left(images) == sorted([*photos, "new.jpg"])


@pytest.mark.attack
def test_a_label_map_that_somebody_wrote_or_changed_stays(tmp_path, capsys):
    label_photo(tmp_path / "images", "a.jpg")
    label_map = tmp_path / "annotations/label_map.pbtxt"
    run_script("preprocessing/generate_label_map.py", cwd=tmp_path)
    label_map.write_text(label_map.read_text().replace("dog", "fox"))
    clean_there(capsys, label_map.parent)
    assert "fox" in label_map.read_text()


@pytest.mark.attack
@pytest.mark.parametrize("name", ["..", ".", "a/../..", "/", ""])
def test_a_model_that_is_another_folder_is_not_cleaned(model, tmp_path, name):
    before = list_left(tmp_path)
    make(tmp_path, "clean-model", f"MODEL={name}", code=2)
    make(tmp_path, "clean-results", f"MODEL={name}", code=2)
    assert list_left(tmp_path) == before


@pytest.mark.attack
def test_a_workspace_that_is_the_root_loses_nothing(tmp_path):
    before = sorted(Path("/").iterdir())
    said, _ = make("/", "clean-model", "clean-records", "MODEL=none")
    assert said.count("nothing to remove") == 2
    assert sorted(Path("/").iterdir()) == before
