"""What the scripts make of a model's folder on a bad day: another label map, damaged checkpoints, other photos."""

import argparse
import shutil
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import load_script, run_script

from tfod.config import pipeline
from tfod.data.label_map import write_label_map
from tfod.inference.detector import Detector
from tfod.model import training_lock, weights
from tfod.model.checkpoints import list_checkpoint_files
from tfod.utils.console import InputError

FOLDER, EXPORT, LABELS = "models/my_model", "exported_models/my_model", "annotations/label_map.pbtxt"
CONFIG = f"--pipeline_config_path={FOLDER}/pipeline.config"
TRAIN = ["model_main_tf2.py", f"--model_dir={FOLDER}", CONFIG]
EVALUATE = ["evaluate.py", "-m", FOLDER]
EXPORT_IT = ["exporter_main_v2.py", CONFIG, f"--trained_checkpoint_dir={FOLDER}", f"--output_directory={EXPORT}"]
EXPORT_IT += ["--overwrite", "--batch_size=dynamic"]
OF_EXPORT = [f"--pipeline_config_path={EXPORT}/pipeline.config", f"--trained_checkpoint_dir={EXPORT}/checkpoint"]
OF_EXPORT += [f"--output_directory={EXPORT}/tflite"]
MANY = {
    "train and measure": [*TRAIN, "--num_train_steps=90", "--eval_every_n=5"],
    "eval with -l": [*EVALUATE, "-l", LABELS],
    "eval of photos": [*EVALUATE, "-i", "images"],
    "the tutorial's eval": [*TRAIN, f"--checkpoint_dir={FOLDER}"],
    "eval on training data": [*TRAIN, f"--checkpoint_dir={FOLDER}", "--eval_on_train_data"],
    "tflite of the model": ["export_tflite_graph_tf2.py", *EXPORT_IT[1:3], "--output_directory=out"],
    "config": ["configure_pipeline.py", f"--base={FOLDER}/pipeline.config", f"-o={FOLDER}/pipeline.config"],
    "benchmark": ["benchmark.py", f"--export={EXPORT}"],
}
FEW = {
    "train": TRAIN,
    "eval": EVALUATE,
    "export": EXPORT_IT,
    "tflite": ["export_tflite_graph_tf2.py", *OF_EXPORT],
    "convert": ["convert_tflite.py", f"--saved_model_dir={EXPORT}/saved_model", *OF_EXPORT],
    "onnx": ["convert_onnx.py", f"--saved_model_dir={EXPORT}/saved_model", f"--output={EXPORT}/model.onnx"],
}
DETECT = ["-l", LABELS, "-i", "images"]


@pytest.fixture
def workspace(exported, tmp_path):
    """A copy of the trained workspace, with its export."""
    return shutil.copytree(exported[0], tmp_path / "workspace", symlinks=True)


def detect(workspace, monkeypatch, *words):
    """Runs inference_main_v2.py on `workspace`, in this process."""
    monkeypatch.chdir(workspace)
    monkeypatch.setattr("sys.argv", ["inference_main_v2.py", *words])
    return load_script("inference_main_v2.py").main()


def list_files(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != training_lock.NAME]
    return {path: path.read_bytes() for path in paths}


def refuse_exchanged_classes(workspace, steps):
    write_label_map(workspace / LABELS, {"dog": 1, "cat": 2})
    before = list_files(workspace)
    for name, words in steps.items():
        _, said = run_script(*words, cwd=workspace, code=1)
        assert "error: annotations/label_map.pbtxt: is not what " in said, name
        assert ": id 1 was 'cat' and is 'dog'; id 2 was 'dog' and is 'cat'; put back the label map" in said, name
    assert list_files(workspace) == before


@pytest.mark.attack
def test_classes_that_changed_places_are_refused_at_the_next_step(workspace):
    refuse_exchanged_classes(workspace, FEW)
    # what the message says to do is enough
    shutil.copy(workspace / FOLDER / "label_map.pbtxt", workspace / LABELS)
    assert "nothing left to train" in run_script(*TRAIN, cwd=workspace)[1]


@pytest.mark.attack
def test_classes_that_changed_places_are_refused_at_every_other_step(workspace):
    refuse_exchanged_classes(workspace, MANY)


@pytest.mark.attack
@pytest.mark.parametrize("more", [[], ["--save=voc", "--unlabelled"]], ids=["infer", "prelabel"])
def test_classes_that_changed_places_are_not_drawn(workspace, monkeypatch, more):
    write_label_map(workspace / LABELS, {"dog": 1, "cat": 2})
    for path in (workspace / "images").glob("*1.xml"):
        path.unlink()
    for model in (f"{EXPORT}/saved_model", EXPORT, FOLDER):
        with pytest.raises(InputError, match="label_map.pbtxt: is not what .*: id 1 was 'cat' and is 'dog'"):
            detect(workspace, monkeypatch, "-m", model, *DETECT, *more)
    assert not (workspace / "inference_result").exists()


@pytest.mark.attack
def test_detector_refuses_a_label_map_of_other_classes_and_takes_other_words_from_a_program(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    write_label_map(workspace / LABELS, {"dog": 1, "cat": 2})
    with pytest.raises(InputError, match="label_map.pbtxt: is not what .*: id 1 was 'cat' and is 'dog'"):
        Detector(EXPORT, LABELS)
    assert Detector(EXPORT).names == {1: "cat", 2: "dog"}  # which its own files say
    assert Detector(EXPORT, {1: "Katze", 2: "Hund"}).names == {1: "Katze", 2: "Hund"}


@pytest.mark.attack
def test_class_that_was_added_takes_a_new_training(workspace, monkeypatch, capsys):
    write_label_map(workspace / LABELS, {"cat": 1, "dog": 2, "fox": 3})
    before = list_files(workspace / FOLDER)
    for words in (*FEW.values(), MANY["the tutorial's eval"], MANY["config"]):
        _, said = run_script(*words, cwd=workspace, code=1)
        assert said.startswith(f"error: {LABELS}: has id 3 'fox', which ")
        assert (
            " was not trained to find; that takes a new training: MODEL=another_name; or put back the label map" in said
        )
    assert list_files(workspace / FOLDER) == before
    # the others are found as before: as for the labelling of photos with the new class
    monkeypatch.chdir(workspace)
    assert Detector(EXPORT, LABELS).names == {1: "cat", 2: "dog", 3: "fox"}
    assert f"warning: {LABELS}: has id 3 'fox', which {EXPORT} was not trained to find" in capsys.readouterr().err


def test_label_map_of_an_exported_model_of_others_is_taken(workspace, monkeypatch):
    (workspace / EXPORT / "label_map.pbtxt").unlink()
    monkeypatch.chdir(workspace)
    assert Detector(EXPORT).names == {}
    write_label_map(workspace / LABELS, {"dog": 1, "cat": 2})
    assert Detector(EXPORT, LABELS).names == {1: "dog", 2: "cat"}


@pytest.mark.attack
def test_torn_newest_checkpoint_is_named_and_the_one_before_it_taken(workspace):
    """By an evaluation (which a training does not keep out), by an export, and by a training."""
    add_checkpoint(workspace, 90, cut=500)
    warning = f"warning: {FOLDER}/ckpt-90 is damaged and is left out\n"
    elsewhere = [*EVALUATE, "-o", "results"]
    with training_lock.lock_folder(workspace / FOLDER):
        output, said = run_script(*elsewhere, cwd=workspace)
    assert warning in said
    assert output.startswith(f"{FOLDER}/ckpt-80 (step 80), 12 images")
    _, said = run_script(*EXPORT_IT, cwd=workspace)
    assert warning in said
    _, said = run_script(*TRAIN, cwd=workspace)
    assert said.count(warning) == 1
    assert f"{FOLDER} is at step 80 of 80: nothing left to train" in said
    # which has the file `checkpoint` name the sound one again
    assert run_script(*elsewhere, cwd=workspace) == (output, "results/metrics.json is up to date\n")
    assert list((workspace / "results/eval").glob("events.*"))
    assert not (workspace / FOLDER / "eval").exists()  # TensorBoard's curves of the model are not touched


def add_checkpoint(workspace, step, cut=0):
    """Makes a newest checkpoint that is a copy of ckpt-80, without the last bytes of its data."""
    folder = workspace / FOLDER
    for path in list_checkpoint_files(folder / "ckpt-80"):
        shutil.copy(path, folder / path.name.replace("ckpt-80", f"ckpt-{step}"))
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "ckpt-{step}"\nall_model_checkpoint_paths: "ckpt-80"\n')
    data = list_checkpoint_files(folder / f"ckpt-{step}")[1]
    data.write_bytes(data.read_bytes()[: data.stat().st_size - cut])


@pytest.mark.attack
@pytest.mark.parametrize("words", [EVALUATE, EXPORT_IT], ids=["eval", "export"])
def test_checkpoint_that_a_training_removes_meanwhile_makes_room_for_the_next(workspace, monkeypatch, capsys, words):
    add_checkpoint(workspace, 90)
    real = weights.restore_weights

    def restore(config, model, checkpoint):
        for path in list_checkpoint_files(checkpoint):
            if checkpoint.endswith("ckpt-90"):
                path.unlink()
        return real(config, model, checkpoint)

    monkeypatch.setattr(weights, "restore_weights", restore)
    monkeypatch.chdir(workspace)
    monkeypatch.setattr("sys.argv", words)
    load_script(words[0]).main()
    output, said = capsys.readouterr()
    assert f"warning: {FOLDER}/ckpt-90 is gone and is left out: training has removed it in the meantime\n" in said
    if words == EVALUATE:
        assert output.startswith(f"{FOLDER}/ckpt-80 (step 80), 12 images")
    else:
        assert said.endswith(f"{EXPORT} is up to date\n")


@pytest.mark.attack
def test_damaged_checkpoint_that_is_the_only_one_is_an_error_that_says_what_to_do(workspace):
    for path in list_checkpoint_files(workspace / FOLDER / "ckpt-80"):
        path.write_bytes(path.read_bytes()[:100])
    remedy = (
        f"error: {FOLDER}: none of its checkpoints can be read ({FOLDER}/ckpt-80); put back a copy of one, or train"
    )
    assert remedy in run_script(*TRAIN, f"--checkpoint_dir={FOLDER}", cwd=workspace, code=1)[1]


@pytest.mark.attack
def test_copies_beside_the_checkpoints_are_in_nobodys_way(workspace):
    for path in list_checkpoint_files(workspace / FOLDER / "ckpt-80"):
        shutil.copy(path, path.with_name(f"{path.name}.bak"))
        shutil.copy(path, path.with_name(path.name.replace("ckpt-80", "ckpt-final")))
    assert "nothing left to train" in run_script(*TRAIN, cwd=workspace)[1]
    _, said = run_script(*EXPORT_IT, "--checkpoint=7", cwd=workspace, code=1)
    assert said == f"error: {FOLDER}: holds no checkpoint ckpt-7; there are 80\n"
    assert "is up to date" in run_script(*EXPORT_IT, cwd=workspace)[1]


@pytest.mark.attack
def test_model_of_before_label_maps_were_kept_is_gone_on_with(workspace):
    for name in ("label_map.pbtxt", "trained_on.json"):
        (workspace / FOLDER / name).unlink()
    assert "nothing left to train" in run_script(*TRAIN, cwd=workspace)[1]
    assert (workspace / FOLDER / "label_map.pbtxt").read_bytes() == (workspace / LABELS).read_bytes()


@pytest.mark.attack
def test_evaluation_keeps_the_label_map_of_the_config_and_none_that_is_given_for_once(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    config, kept = pipeline.read_config(f"{FOLDER}/pipeline.config"), workspace / FOLDER / "label_map.pbtxt"
    kept.unlink()
    write_label_map(workspace / "mine.pbtxt", {"dog": 1, "cat": 2})
    for path in ("mine.pbtxt", None):
        assert not kept.exists()
        arguments = argparse.Namespace(kind=None, model=Path(FOLDER), labels_path=path)
        load_script("evaluate.py").hold_label_map(arguments, config)
    assert kept.read_bytes() == (workspace / LABELS).read_bytes()


@pytest.mark.attack
def test_photos_that_came_after_the_training_are_told(workspace):
    words = ["-x", "images", "-l", LABELS, "-o", "annotations/train.record"]
    run_script("preprocessing/generate_tfrecord.py", *words, "--seed", 7, "--num_shards", 1, cwd=workspace)
    assert "changed" not in run_script(*TRAIN, cwd=workspace)[1]
    for path in sorted((workspace / "images").glob("*.jpg"))[:2]:
        path.unlink()
        path.with_suffix(".xml").unlink()
    run_script("preprocessing/generate_tfrecord.py", *words, cwd=workspace)
    _, said = run_script(*TRAIN, cwd=workspace)
    assert said.splitlines() == [
        f"{FOLDER} is at step 80 of 80: nothing left to train",
        f"warning: the training records changed since: 2 photos gone, which {FOLDER} does not know;",
        "  `make train STEPS=160` (--num_train_steps=160) goes on with them, `make train MODEL=another_name`"
        " (--model_dir) trains a new model",
    ]
