"""A new export replaces a former one and what was made of it, keeps what a person put there, and knows its files."""

import os
import shutil

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import load_script, run_script

from tfod.export import saved_model
from tfod.utils import files
from tfod.utils.console import InputError

pytestmark = pytest.mark.attack
MODEL = ["--pipeline_config_path=models/my_model/pipeline.config", "--trained_checkpoint_dir=models/my_model"]


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """A copy of the workspace with a trained model, in which the test runs."""
    shutil.copytree(trained / "models", tmp_path / "models")
    shutil.copytree(trained / "annotations", tmp_path / "annotations")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def export(place, monkeypatch):
    """`export(*words)` exports models/my_model to out, with small files for what TensorFlow writes."""
    script = load_script("exporter_main_v2.py")

    def write(config, checkpoint, label_map, folder, arguments):
        for name in ("saved_model/saved_model.pb", "saved_model/variables/variables.index", "checkpoint/checkpoint"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"of {arguments.max_detections}")
        for name in ("pipeline.config", "label_map.pbtxt", "labels.txt"):
            (folder / name).write_text(f"of {arguments.max_detections}")
        (folder / "README.md").write_text(f"# Model\n\n## How to call it\n\nof {arguments.max_detections}\n")
        return "compared"

    monkeypatch.setattr(script, "export", write)

    def export(*words, number=1):
        command = ["exporter_main_v2.py", *MODEL, "--output_directory=out", f"--max_detections={number}", *words]
        monkeypatch.setattr("sys.argv", command)
        script.main()

    return export


def make_of_it(folder):
    """What other scripts make of an export, with their stamps."""
    for name, maker in (("tflite/model_int8.tflite", "convert_tflite"), ("model.onnx", "convert_onnx")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("of 1")
        files.mark_current(folder / name, None, maker)
    (folder / "benchmark.json").write_text("of 1")
    (folder / "benchmark.md").write_text("of 1")
    files.mark_current(
        folder / "benchmark.json", None, "benchmark", [folder / "benchmark.json", folder / "benchmark.md"]
    )


def list_names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


LAYOUT = ["README.md", "checkpoint/checkpoint", "label_map.pbtxt", "labels.txt", "pipeline.config"]
LAYOUT += ["saved_model/saved_model.pb", "saved_model/variables/variables.index"]
LAYOUT_PARTS = {name.partition("/")[0] for name in LAYOUT}


def test_notes_stay_and_what_was_made_of_the_former_export_goes(export, place, capsys):
    export()
    out = place / "out"
    make_of_it(out)
    (out / "notes.txt").write_text("mine")
    (out / "tflite/measured.txt").write_text("mine")
    os.utime(out / "notes.txt", (10**9, 10**9))
    export("--overwrite", number=2)
    assert list_names(out) == sorted([*LAYOUT, ".saved_model.stamp", "notes.txt", "tflite/measured.txt"])
    assert (out / "notes.txt").read_text() == "mine" and (out / "notes.txt").stat().st_mtime == 10**9
    assert (out / "labels.txt").read_text() == "of 2"
    assert "kept in out: notes.txt, tflite/measured.txt" in capsys.readouterr().err
    export(number=2)
    assert "out is up to date" in capsys.readouterr().err


@pytest.mark.parametrize("name", LAYOUT)
def test_a_deleted_file_is_not_up_to_date_and_an_edited_one_is_not_lost(export, place, capsys, name):
    export()
    path = place / "out" / name
    path.unlink()
    export("--overwrite")
    assert path.exists() and "up to date" not in capsys.readouterr().err
    path.write_text("edited")
    with pytest.raises(InputError) as caught:
        export("--overwrite")
    assert caught.value.faults == (
        f"out/{name}: is not what this script left there, and would be lost; move it away, or name another folder with"
        " --output_directory",
    )
    assert path.read_text() == "edited"


@pytest.mark.parametrize("name", ["mine.onnx", "tflite/mine.tflite", "model.onnx", "saved_model/notes.txt"])
def test_anothers_model_is_not_left_beside_the_new_one_and_not_lost(export, place, name):
    export()
    (place / "out" / name).parent.mkdir(exist_ok=True)
    (place / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=f"^out/{name}: is not what this script left there, and would be lost"):
        export("--overwrite", number=2)
    assert (place / "out" / name).read_text() == "mine"
    assert (place / "out/labels.txt").read_text() == "of 1"


def test_an_export_of_before_the_stamps_is_replaced_and_notes_stay(export, place):
    export()
    out = place / "out"
    make_of_it(out)
    for stamp in out.rglob(".*.stamp"):
        stamp.unlink()
    for name in ("notes.txt", "tflite/notes.txt"):
        (out / name).write_text("mine")
    export("--overwrite", number=2)
    assert list_names(out) == sorted([*LAYOUT, ".saved_model.stamp", "notes.txt", "tflite/notes.txt"])
    (out / ".saved_model.stamp").unlink()
    (out / "README.md").write_text("# What I found out\n")
    with pytest.raises(InputError, match=r"^out/README\.md: is not what this script left there"):
        export("--overwrite", number=3)


def test_an_export_that_was_killed_between_two_renames_is_put_right_first(export, place, tmp_path):
    export()
    (place / "out/notes.txt").write_text("mine")
    room = place / ".out.abcdefgh.tmp"
    room.mkdir()
    (place / "out").rename(room / "former")
    export("--overwrite", number=2)
    assert (place / "out/notes.txt").read_text() == "mine" and (place / "out/labels.txt").read_text() == "of 2"
    assert not room.exists()


def test_a_real_export_notices_a_lost_checkpoint_and_keeps_notes(exported):
    workspace = exported[0]
    out, words = workspace / "exported_models/again", [*MODEL, "--output_directory=exported_models/again"]
    shutil.copytree(workspace / "exported_models/my_model", out)  # a copy is up to date, too
    words += ["--batch_size=dynamic"]
    assert "again is up to date" in run_script("exporter_main_v2.py", *words, cwd=workspace)[1]
    shutil.rmtree(out / "checkpoint")
    (out / "notes.txt").write_text("mine")
    said = run_script("exporter_main_v2.py", *words, cwd=workspace, code=1)[1]
    assert "exported_models/again: is there and holds another export; name another folder, or give --overwrite" in said
    run_script("exporter_main_v2.py", *words, "--overwrite", cwd=workspace)
    assert (out / "checkpoint/ckpt-0.index").exists() and (out / "notes.txt").read_text() == "mine"
    assert "again is up to date" in run_script("exporter_main_v2.py", *words, cwd=workspace)[1]


@pytest.mark.long
def test_what_other_scripts_make_of_an_export_is_known_as_ours_and_goes_with_it(tflite_files, onnx_file):
    workspace, name = onnx_file[0], "exported_models/full"
    out = shutil.copytree(workspace / "exported_models/my_model", workspace / name)
    run_script("benchmark.py", "--export", name, cwd=workspace)
    run_script("evaluate.py", "-m", name, cwd=workspace)
    for made in ("tflite/model_int8.tflite", "model.onnx", "benchmark.md", "metrics.json", "detections.json"):
        assert (out / made).is_file()
    foreign = files.list_foreign(out / "saved_model", saved_model.MAKER, [out], saved_model.MADE_OF_IT)
    assert [path for path in foreign if "events.out" not in path.name] == []
    words = [*MODEL, f"--output_directory={name}", "--overwrite", "--batch_size=2"]
    run_script("exporter_main_v2.py", *words, cwd=workspace)
    left = {path.relative_to(out).parts[0] for path in out.rglob("*") if path.is_file()}
    assert left - {"eval"} == {*LAYOUT_PARTS, ".saved_model.stamp"}
