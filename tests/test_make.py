"""The Makefile's verbs, and the tutorial's commands typed by hand, end to end on a tiny data set."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import pytest
from conftest import ROOT, count_seconds, find_free_port
from makefile import run_command, run_make
from PIL import Image
from tiny_config import make_tiny_config

from tfod.data.voc import read_annotation, write_annotation

VERBS = ["split", "tfrecord", "train", "eval", "export", "infer"]
IMAGES = 10
# how one photo of each kind that beginners have is stored: suffix, Pillow mode
KINDS = [(".jpg", "L"), (".JPG", "RGB"), (".jpeg", "CMYK"), (".png", "RGBA"), (".PNG", "P"), (".png", "L")]


def make_photos(folder):
    """A few labelled pictures of cats and dogs, in every format and mode of KINDS."""
    script = ROOT / "scripts" / "preprocessing" / "make_sample_dataset.py"
    drawn = folder.parent / "drawn"
    run_command([sys.executable, script, "-o", drawn, "--number", IMAGES, "--size", 160])
    folder.mkdir(exist_ok=True)
    for number, path in enumerate(sorted(drawn.glob("*.jpg"))):
        suffix, mode = KINDS[number % len(KINDS)]
        photo = folder / f"photo {number}{suffix}"
        with Image.open(path) as image:
            image.convert(mode).save(photo)
            annotation = read_annotation(path.with_suffix(".xml"))
            write_annotation(photo.with_suffix(".xml"), photo.name, *image.size, annotation.boxes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace with a hard name, on which the six verbs were run: (folder, make's variables, its output)."""
    room = tmp_path_factory.mktemp("make")
    workspace = room / "workspace" / '-my photos 1-2 `a` $(b) "it\'s" *[c]?'
    workspace.mkdir(parents=True)
    (room / "scripts").symlink_to(ROOT / "scripts")
    make_photos(workspace / "images")
    make_tiny_config(room / "tiny.config")
    variables = [
        f"WORKSPACE={workspace}",
        "PRETRAINED=",
        f"BASE_CONFIG={room / 'tiny.config'}",
        "STEPS=3",
        "BATCH=2",
        "RATIO=0.3",
        "SCORE=0",
    ]
    output, _ = run_make(*VERBS, *variables)
    return workspace, variables, output


def list_files(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


def test_six_verbs_take_photos_to_annotated_photos(place):
    workspace, _, output = place
    tests = sorted(path.name for path in (workspace / "images/test").iterdir() if path.suffix != ".xml")
    assert len(tests) == 3
    assert "Successfully created the TFRecord file: annotations/train.record" in output
    assert "Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ]" in output
    metrics = json.loads((workspace / "models/my_model/metrics.json").read_text())
    assert metrics["step"] == 3
    assert metrics["checkpoint"] == "models/my_model/ckpt-3"
    assert {"DetectionBoxes_Precision/mAP@.50IOU", "Loss/total_loss"} <= metrics["metrics"].keys()
    for name in ("saved_model/saved_model.pb", "checkpoint/ckpt-0.index", "pipeline.config"):
        assert (workspace / "exported_models/my_model" / name).exists()
    assert sorted(path.name for path in (workspace / "inference_result").glob("[!.]*")) == tests
    for name in tests:
        with Image.open(workspace / "inference_result" / name) as image:
            assert image.size == Image.open(workspace / "images/test" / name).size
    assert list((workspace / "models/my_model/train").glob("events.*"))
    assert list((workspace / "models/my_model/eval").glob("events.*"))


def test_second_run_does_no_work_twice_and_says_so(place):
    workspace, variables, _ = place
    before = list_files(workspace)
    _, said = run_make(*VERBS, *variables)
    assert list_files(workspace) == before
    for text in (
        "label_map.pbtxt is up to date",
        "train.record is up to date",
        "test.record is up to date",
        "pipeline.config is up to date",
        "is at step 3 of 3: nothing left to train",
        "metrics.json is up to date",
        "exported_models/my_model is up to date",
        "inference_result is up to date",
    ):
        assert text in said
    assert re.search("up to date.*seed|seed.*\n.*up to date", said)


def test_tutorials_commands_typed_by_hand(place):
    """Goes on where the six verbs stopped: in the activated environment, in the workspace, words as in the tutorial."""
    workspace, *_ = place
    environment = {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
    scripts = "../../scripts/preprocessing"
    for name in ("model_main_tf2.py", "exporter_main_v2.py", "inference_main_v2.py"):
        (workspace / name).symlink_to(f"../../scripts/{name}")

    def type_in(line):
        return run_command(["sh", "-c", line], cwd=workspace, env=environment)

    _, said = type_in(f"python {scripts}/partition_dataset.py -x -i images -r 0.3")
    assert "up to date" in said
    output, _ = type_in(
        f"python {scripts}/generate_tfrecord.py -x images/train -l annotations/label_map.pbtxt "
        "-o annotations/typed.record -c annotations/typed.csv"
    )
    assert "Successfully created the TFRecord file: annotations/typed.record" in output
    assert (workspace / "annotations/typed.record").read_bytes() == (
        workspace / "annotations/train.record"
    ).read_bytes()
    config = "--pipeline_config_path=models/my_model/pipeline.config"
    output, said = type_in(f"python model_main_tf2.py --model_dir=models/my_model {config} --num_train_steps=5")
    assert "resuming my_model at step 3 of 5" in said
    assert "ckpt-5" in output
    output, _ = type_in(
        f"python model_main_tf2.py --model_dir=models/my_model {config} --checkpoint_dir=models/my_model"
    )
    assert "models/my_model/ckpt-5 (step 5)" in output
    type_in(
        "python exporter_main_v2.py --input_type image_tensor --pipeline_config_path models/my_model/pipeline.config "
        "--trained_checkpoint_dir models/my_model --output_directory exported_models/typed"
    )
    output, _ = type_in(
        "python inference_main_v2.py -m exported_models/typed/saved_model -l annotations/label_map.pbtxt "
        "-i images/test -o typed_result/"
    )
    assert "Wrote 3 annotated images" in output
    assert len(list((workspace / "typed_result").glob("[!.]*"))) == 3


def test_pretrained_tarball_of_our_own_export_is_fine_tuned_and_watched(place, tmp_path):
    workspace, variables, _ = place
    tarball = tmp_path / "own_model.tar.gz"
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(workspace / "exported_models/my_model", arcname="own_model")
    variables = [word for word in variables if not word.startswith(("PRETRAINED", "STEPS"))]
    variables += [f"PRETRAINED={tarball}", "MODEL=tuned", "STEPS=2"]
    run_make("config", *variables)
    # an evaluation that was started first waits for the checkpoint, and ends with the last step's
    watch = [sys.executable, ROOT / "scripts/model_main_tf2.py", "--model_dir=models/tuned", "--watch"]
    watch += ["--pipeline_config_path=models/tuned/pipeline.config", "--checkpoint_dir=models/tuned"]
    with subprocess.Popen(watch, cwd=workspace, stdout=subprocess.PIPE, text=True) as watching:
        _, said = run_make("train", *variables)
        output, _ = watching.communicate(timeout=200)
    assert "starting from pre_trained_models/own_model/checkpoint/ckpt-0 (except_class_head)" in said
    assert (workspace / "models/tuned/ckpt-2.index").exists()
    assert watching.returncode == 0
    assert output.startswith("models/tuned/ckpt-2 (step 2), 3 images of annotations/test.record:\n Average Precision")


def test_verbs_beside_the_six_look_at_data_and_models(place):
    workspace, variables, _ = place
    shutil.copytree(workspace / "models/my_model", workspace / "models/copy")
    verbs = ["stats", "inspect", "check-config", "models", "report", "compare"]
    output, _ = run_make(*verbs, *variables, "MODELS=my_model copy")
    shutil.rmtree(workspace / "models/copy")
    assert f"the charts: {workspace}/stats" in output
    assert len(list((workspace / "annotations/inspected").iterdir())) == IMAGES
    assert "models/my_model/pipeline.config: nothing wrong" in output
    assert "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8" in output
    assert (workspace / "models/my_model/report/index.html").is_file()
    assert "the same mAP on these 3 images" in output


def test_proposals_are_made_for_new_photos(place):
    workspace, variables, _ = place
    new = shutil.copy(workspace / "images/photo 3.png", workspace / "images/new.png")
    run_make("prelabel", *variables)
    new.unlink()
    assert read_annotation(workspace / "prelabel/voc/new.xml").filename == "new.png"


def test_tensorboard_serves_the_curves_on_this_machine_only(place):
    workspace, variables, _ = place
    port = find_free_port()
    words = ["make", "-C", str(ROOT), "tensorboard", f"VENV={sys.prefix}", *variables, f"PORT={port}"]
    server = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        said = next(line for line in server.stdout if line.startswith("TensorBoard"))
        runs = len({path.parent for path in (workspace / "models").rglob("events.out.*")})  # other tests train, too
        assert said == f"TensorBoard shows {runs} runs of models: http://127.0.0.1:{port}/\n"
        scalars = {"my_model/train": "Loss/total_loss", "my_model/eval": "DetectionBoxes_Precision/mAP"}
        for plugin, wanted in {
            "scalars": scalars,
            "images": {"my_model/eval": "eval_side_by_side_0_0"},
            "pr_curves": {"my_model/eval": "PR at IoU 0.50/cat"},
        }.items():
            tags = {}
            for _ in range(120):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/{plugin}/tags", timeout=5) as page:
                    tags = json.load(page)
                if all(tag in tags.get(run, {}) for run, tag in wanted.items()):
                    break
                time.sleep(0.5)
            assert all(tag in tags.get(run, {}) for run, tag in wanted.items()), f"{plugin}: {tags}"
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port:04X}" in listening
        assert f"00000000:{port:04X}" not in listening
    finally:
        os.killpg(server.pid, 15)
        server.communicate(timeout=30)


def list_explained(output):
    """(targets, variables) that a help explains, in its order."""
    return re.findall(r"^  make ([a-z_-]+) +\S", output, re.MULTILINE), re.findall(
        r"^  ([A-Z_0-9]+) +\S", output, re.MULTILINE
    )


def test_make_help_all_explains_every_target_and_variable():
    makefile = (ROOT / "Makefile").read_text()
    helpers = {"help", "ready", "workspace-there", "export-there"}
    targets, variables = list_explained(run_make("help-all")[0])
    assert set(targets) == set(re.findall(r"^([a-z_-]+):", makefile, re.MULTILINE)) - helpers
    assert set(variables) == set(re.findall(r"^## .*\n([A-Z_0-9]+) =", makefile, re.MULTILINE))


def test_make_alone_is_one_screen_in_the_order_of_the_work():
    output, _ = run_make()
    targets, variables = list_explained(output)
    verbs = ["label", "split", "tfrecord", "train", "eval", "export", "infer"]
    assert [target for target in targets if target in verbs] == verbs
    assert targets[-1] == "help-all"
    assert {"WORKSPACE", "MODEL", "STEPS"} <= set(variables)
    assert len(output.splitlines()) <= 30
    all_targets, all_variables = list_explained(run_make("help-all")[0])
    assert set(targets) < set(all_targets) and set(variables) < set(all_variables)


def test_missing_workspace_and_empty_images_are_named(tmp_path):
    _, said = run_make("split", f"WORKSPACE={tmp_path / 'none'}", code=2)
    assert f"error: {tmp_path / 'none'}: does not exist; make workspace NAME=" in said
    (tmp_path / "images").mkdir()
    _, said = run_make("split", f"WORKSPACE={tmp_path}", code=2)
    assert re.search("error: .*images: .*; ", said)


def test_splits_variables_reach_the_script_as_they_are_typed(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(20):
        (images / f"walk {number // 4} {number}.jpg").write_bytes(b"%d" % number)
    group = r"^(walk \d) \d+\.jpg$"
    variables = [f"WORKSPACE={tmp_path}", "VAL=0.2", f"GROUP={group}", "LINK=1", "STRATIFY=0", "RATIO=0.2", "SEED=7"]
    run_make("split", *variables)
    note = json.loads((images / "split.json").read_text())
    settings = {name: value for name, value in note.items() if name not in ("train", "test", "val")}
    assert settings == {"seed": 7, "ratio": 0.2, "val_ratio": 0.2, "group": group, "stratify": False}
    assert [len(note[side]) for side in ("train", "test", "val")] == [12, 4, 4]
    assert all((images / "val" / name).samefile(images / name) for name in note["val"])
    assert "without --group" in run_make("split", f"WORKSPACE={tmp_path}", code=2)[1]
    run_make("split", f"WORKSPACE={tmp_path}", "FRESH=1", "VAL=0.1")
    output, _ = run_make("clean-split", f"WORKSPACE={tmp_path}")
    assert output.count("removing") == 4
    assert run_make("clean-split", f"WORKSPACE={tmp_path}")[0].count("nothing to remove") == 1
    assert sorted(path.name for path in images.glob("[!.]*")) == sorted(f"walk {n // 4} {n}.jpg" for n in range(20))


def test_evaluation_without_checkpoint_says_so_before_anything_is_built(tmp_path):
    began = count_seconds()
    _, said = run_make("eval", f"WORKSPACE={tmp_path}", code=2)
    assert "error: models/my_model: holds no checkpoint; train first" in said
    assert count_seconds() - began < 2


def test_workspace_is_made_with_the_tutorials_scripts(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    run_command(["make", "-C", tmp_path, "workspace", "NAME=a b"])
    assert (tmp_path / "workspace/a b/images").is_dir()
    assert (tmp_path / "workspace/a b/model_main_tf2.py").read_text().startswith("#!")
    _, said = run_command(["make", "-C", tmp_path, "workspace"], code=2, env={**os.environ, "NAME": "from-wsl"})
    assert "error: NAME is empty" in said


@pytest.mark.attack
def test_cleaning_takes_only_environments_of_ours(tmp_path):
    mine, ours = tmp_path / "mine", [tmp_path / "label", tmp_path / "web"]
    (mine / "bin").mkdir(parents=True)
    for name in ("pyvenv.cfg", "bin/python", "requirements.txt", "my notes.txt"):
        (mine / name).touch()
    for folder in ours:
        folder.mkdir()
        (folder / ".tfod").touch()
    names = ("VENV", "LABEL_VENV", "WEB_VENV")
    for name in names:
        others = [f"{other}={folder}" for other, folder in zip(set(names) - {name}, ours, strict=True)]
        _, said = run_command(["make", "-C", ROOT, "clean-venv", f"{name}={mine}", *others], code=2)
        assert f"error: {mine}: holds files and is not an environment that make has made, so it stays as it is" in said
        _, said = run_command(["make", "-C", ROOT, "clean-venv", f"{name}=", *others], code=2)
        assert f"error: {name} is empty" in said
    for script, name in (("install_label.sh", "LABEL_VENV"), ("install_web.sh", "WEB_VENV")):
        install = ["sh", ROOT / "scripts" / script, sys.executable]
        _, said = run_command([*install, mine], code=1)
        assert f"error: {mine}: holds files and is not an environment that make has made" in said
        assert f"error: {name} is empty; name the environment's folder" in run_command([*install, ""], code=1)[1]
    assert (mine / "my notes.txt").exists()
    variables = [f"{name}={folder}" for name, folder in zip(names, [tmp_path / "none", *ours], strict=True)]
    output, _ = run_command(["make", "-C", ROOT, "clean-venv", *variables])
    assert f"nothing to remove: {tmp_path / 'none'}\nremoving {ours[0]}\nremoving {ours[1]}\n" in output
    assert not any(folder.exists() for folder in ours)


def test_python_without_tensorflow_wheels_is_refused_in_one_line(tmp_path):
    python = tmp_path / "python3.10"
    python.write_text("#!/bin/sh\necho 3.10\n")  # all that the check asks a Python for is its version
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", ROOT / "scripts/install.sh", python, tmp_path / "venv"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is Python 3.10, and TensorFlow 2.21 has wheels for 3.11, 3.12 and 3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_install_does_nothing_where_the_lock_is_installed():
    before = Path(sys.prefix, "requirements.txt").stat().st_mtime_ns
    began = count_seconds()
    output, _ = run_make("install")
    assert "holds what requirements.txt names" in output
    assert Path(sys.prefix, "requirements.txt").stat().st_mtime_ns == before
    assert count_seconds() - began < 2
