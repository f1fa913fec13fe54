import re
import shutil

import pytest
from checkpoint_files import write_checkpoint
from conftest import ROOT
from makefile import record_make
from small_records import write_boxes

from tfod.config import checks, edit, pipeline
from tfod.config import schedule as schedules
from tfod.model import training_lock

BASES = sorted((ROOT / "scripts" / "configs").glob("*.config"))
BASE, OTHER = (ROOT / f"scripts/configs/{name}.config" for name in ("demo", "ssd_mobilenet_v2_fpnlite_320"))


@pytest.fixture
def configure(call, tmp_path):
    """Runs the script in a workspace with a label map of two classes and records: returns (code, output, said)."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/label_map.pbtxt").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    for name in ("train", "test"):
        write_boxes(tmp_path / f"annotations/{name}.record", *[1] * 8)

    def configure(*words, base=BASE, output="models/m/pipeline.config"):
        done = call("configure_pipeline.py", "--base", base, "-o", output, *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return configure


def read_config(tmp_path):
    return pipeline.read_config(tmp_path / "models/m/pipeline.config")


@pytest.mark.parametrize("base", BASES, ids=lambda path: path.stem)
def test_every_base_config_is_fitted_to_the_data(configure, tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    code, output, _ = configure("--num_steps", 90, "--batch_size", 4, "--input_size", 256, base=base)
    assert code == 0
    assert pipeline.get_input_scale(read_config(tmp_path), 512, 512) == (0.5, 0.5)
    assert "2 classes, 90 steps of 4 images, from scratch" in output
    config = pipeline.read_config(tmp_path / "models/m/pipeline.config")
    model, made = pipeline.get_model(config), pipeline.read_config(base).train_config
    assert model.num_classes == 2
    assert (config.train_config.num_steps, config.train_config.batch_size) == (90, 4)
    schedule, former = (schedules.get_schedule(train.optimizer)[1] for train in (config.train_config, made))
    assert schedule.total_steps == 90
    assert 9 <= schedule.warmup_steps <= 45
    assert schedule.learning_rate_base == pytest.approx(former.learning_rate_base * 4 / made.batch_size)
    assert checks.check_config(config, "p", "training", "evaluation", images=8) == ([], [])
    assert config.eval_config.metrics_set == ["coco_detection_metrics"]
    assert list(config.train_input_reader.tf_record_input_reader.input_path) == ["annotations/train.record"]
    assert list(config.eval_input_reader[0].tf_record_input_reader.input_path) == ["annotations/test.record"]


def make_pretrained(folder):
    """A pretrained model's folder, as the zoo's are: its config was made for a pod of TPUs."""
    (folder / "checkpoint").mkdir(parents=True)
    write_checkpoint(folder / "checkpoint/ckpt-0", {"model/_feature_extractor/a": [3], "model/_box_predictor/b": [90]})
    config = pipeline.read_config(BASE)
    config.train_config.use_bfloat16 = config.train_config.sync_replicas = True
    config.train_config.replicas_to_aggregate = 8
    config.train_config.fine_tune_checkpoint = "PATH_TO_BE_CONFIGURED"
    config.train_config.fine_tune_checkpoint_type = "classification"
    pipeline.write_config(folder / "pipeline.config", config)


def test_pretrained_model_gives_its_config_and_its_checkpoint(configure, tmp_path):
    make_pretrained(tmp_path / "pre_trained_models/own")
    code, output, _ = configure(base="pre_trained_models/own")
    assert code == 0
    assert "from pre_trained_models/own/checkpoint/ckpt-0 (except_class_head)" in output
    train = pipeline.read_config(tmp_path / "models/m/pipeline.config").train_config
    assert train.fine_tune_checkpoint == "pre_trained_models/own/checkpoint/ckpt-0"
    assert train.fine_tune_checkpoint_type == "except_class_head"
    assert not train.use_bfloat16
    assert not train.sync_replicas
    assert train.replicas_to_aggregate == 1


def make_base_with_checkpoint(path, checkpoint, kind="full"):
    config = pipeline.read_config(BASE)
    config.train_config.fine_tune_checkpoint, config.train_config.fine_tune_checkpoint_type = checkpoint, kind
    pipeline.write_config(path, config)


def test_a_bases_own_checkpoint_and_its_type_are_kept(configure, tmp_path):
    write_checkpoint(tmp_path / "own/ckpt-3", {"model/_box_predictor/b": [3]})
    make_base_with_checkpoint(tmp_path / "base.config", "own/ckpt-3")
    code, output, said = configure(base="base.config")
    assert (code, said) == (0, "")
    assert output.endswith("8 images, from own/ckpt-3 (full)\n")
    train = read_config(tmp_path).train_config
    assert (train.fine_tune_checkpoint, train.fine_tune_checkpoint_type) == ("own/ckpt-3", "full")


@pytest.mark.parametrize(
    ("checkpoint", "what"),
    [
        ("own", "fine_tune_checkpoint own is not there (no own.index, seen from "),
        ("own/ckpt-4", "; did you mean own/ckpt-3?"),
        ("PATH_TO_BE_CONFIGURED/ckpt-0", "train_config.fine_tune_checkpoint is still PATH_TO_BE_CONFIGURED"),
        ("gs://bucket/ckpt-0", "fine_tune_checkpoint gs://bucket/ckpt-0 is an address, and only files of this machine"),
    ],
)
def test_a_bases_own_checkpoint_that_is_not_there_is_warned_of(configure, tmp_path, checkpoint, what):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/ckpt-3.index").touch()
    make_base_with_checkpoint(tmp_path / "base.config", checkpoint)
    code, output, said = configure(base="base.config")
    first, second = said.splitlines()
    assert first.startswith("warning: base.config: ")
    assert what in first
    assert second.startswith("warning: so the training starts FROM SCRATCH, with new weights; --fine_tune_checkpoint")
    assert code == 0
    assert output.endswith("8 images, from scratch\n")
    train = read_config(tmp_path).train_config
    assert (train.fine_tune_checkpoint, train.fine_tune_checkpoint_type) == ("", "")


def test_second_run_does_nothing_and_says_so(configure, tmp_path):
    configure()
    path = tmp_path / "models/m/pipeline.config"
    before = path.stat().st_mtime_ns
    code, output, said = configure()
    assert (code, output) == (0, "")
    assert "pipeline.config is up to date" in said
    assert path.stat().st_mtime_ns == before
    code, output, _ = configure("--num_steps", 77)
    assert "77 steps" in output


def test_config_edited_by_hand_is_kept_until_forced(configure, tmp_path):
    configure()
    path = tmp_path / "models/m/pipeline.config"
    path.write_text(re.sub("learning_rate_base: [0-9.]+", "learning_rate_base: 0.123", path.read_text()))
    edited = path.read_text()
    code, _, said = configure("--num_steps", 77)
    assert code == 0
    assert "was edited by hand and is kept" in said
    assert path.read_text() == edited
    code, output, _ = configure("--num_steps", 77, "--force")
    assert "77 steps" in output
    assert "0.123" not in path.read_text()


def test_change_under_a_trained_model_is_said(configure, tmp_path):
    configure()
    for name in ("ckpt-5.index", "ckpt-5.data-00000-of-00001"):
        (tmp_path / "models/m" / name).touch()
    _, _, said = configure("--num_steps", 77)
    assert "training goes on from them under the new config" in said


@pytest.mark.attack
def test_config_is_not_changed_under_a_training_that_runs(configure, tmp_path):
    configure()
    before = (tmp_path / "models/m/pipeline.config").read_text()
    with training_lock.lock_folder(tmp_path / "models/m"):
        code, _, said = configure("--num_steps", 77)
        assert code == 1
        assert said.splitlines()[-1].startswith("error: models/m: another training writes there (process ")
        assert configure()[0] == 0  # it changes nothing
    assert (tmp_path / "models/m/pipeline.config").read_text() == before


def test_trained_model_of_other_classes_is_not_gone_on_with(configure, tmp_path):
    configure()
    for name in ("ckpt-5.index", "ckpt-5.data-00000-of-00001"):
        (tmp_path / "models/m" / name).touch()
    with (tmp_path / "annotations/label_map.pbtxt").open("a") as file:
        file.write("item { id: 3 name: 'fox' }")
    before = (tmp_path / "models/m/pipeline.config").read_text()
    code, _, said = configure()
    assert code == 1
    assert "models/m/ckpt-5 is of a model with 2 classes, the label map has 3; give the new model another name" in said
    assert (tmp_path / "models/m/pipeline.config").read_text() == before


def test_faults_are_named_and_nothing_is_written(configure, tmp_path):
    (tmp_path / "annotations/train.record").unlink()
    code, _, said = configure("--fine_tune_checkpoint", "none/ckpt-0")
    assert code == 1
    assert "annotations/train.record (relative to" in said
    assert "make tfrecord" in said
    assert "fine_tune_checkpoint none/ckpt-0 is not there" in said
    assert "2 errors" in said
    assert not (tmp_path / "models").exists()


def test_model_folder_without_checkpoint_is_named(configure, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copy(BASE, tmp_path / "empty/pipeline.config")
    code, _, said = configure(base="empty")
    assert code == 1
    assert "empty/checkpoint: holds no ckpt-*.index with its data; download the model again" in said


@pytest.mark.parametrize("words", [["--num_steps", "0"], ["--batch_size", "-1"], ["--fine_tune_checkpoint_type", "x"]])
def test_wrong_calls_end_with_2(configure, words):
    assert configure(*words)[0] == 2


def test_images_of_more_than_100_boxes_raise_the_readers_limits(configure, tmp_path):
    write_boxes(tmp_path / "annotations/train.record", 3, 137, 0)
    write_boxes(tmp_path / "annotations/test.record", 100)
    _, _, said = configure("--batch_size", 3)
    assert "annotations/train.record: an image has 137 boxes; max_number_of_boxes, max_total_detections, " in said
    assert "annotations/test.record: an image has" not in said
    config = pipeline.read_config(tmp_path / "models/m/pipeline.config")
    assert config.train_input_reader.max_number_of_boxes == 137
    assert config.eval_input_reader[0].max_number_of_boxes == 100
    nms = config.model.ssd.post_processing.batch_non_max_suppression
    assert (nms.max_total_detections, nms.max_detections_per_class) == (137, 137)


def test_shards_are_read_by_as_many_readers(configure, tmp_path):
    (tmp_path / "annotations/train.record").unlink()
    shards = [tmp_path / f"annotations/train.record-0000{i}-of-00003" for i in range(3)]
    for number, path in enumerate(shards):
        write_boxes(path, 100 + number)
    code, _, said = configure("--batch_size", 3)
    assert code == 0, said
    reader = pipeline.read_config(tmp_path / "models/m/pipeline.config").train_input_reader
    assert list(reader.tf_record_input_reader.input_path) == ["annotations/train.record-?????-of-00003"]
    assert (reader.num_readers, reader.max_number_of_boxes) == (3, 102)
    shards[1].unlink()
    code, _, said = configure("--force")
    assert code == 1
    assert "error: annotations/train.record: 1 of its 3 shards are missing, a run was ended before it wrote" in said


def test_damaged_records_are_named(configure, tmp_path):
    (tmp_path / "annotations/test.record").write_bytes(b"no record")
    code, _, said = configure()
    assert code == 1
    assert "error: annotations/test.record: record 1, at byte 0: the file ends within it, 9 bytes long" in said


def test_what_changed_against_the_base_is_printed(configure):
    _, output, _ = configure("--num_steps", 300, "--input_size", 160)
    lines = output.splitlines()
    assert lines[0] == f"Changed against {BASE}:"
    assert "  model.ssd.num_classes: 1 -> 2" in lines
    assert "  train_input_reader.label_map_path: PATH_TO_BE_CONFIGURED -> annotations/label_map.pbtxt" in lines
    assert any(re.fullmatch(r"  model.ssd.image_resizer.fixed_shape_resizer.width: \d+ -> 160", line) for line in lines)
    assert lines[-1].startswith("Wrote models/m/pipeline.config: ")


def test_options_of_the_recipe_are_set_together(configure, tmp_path):
    write_checkpoint(tmp_path / "backbone-1", {"feature_extractor/layer_with_weights-0/kernel": [3, 3, 3, 32]})
    words = ["--augment", "light", "--ema", "--freeze", "backbone", "--metrics", "pascal", "--score_threshold", "0.25"]
    words += ["--iou_threshold", "0.5", "--fine_tune_checkpoint", "backbone-1"]
    words += ["--fine_tune_checkpoint_type", "classification", "--set", "train_config.gradient_clipping_by_norm=10"]
    code, _, said = configure(*words)
    assert code == 0, said
    config = read_config(tmp_path)
    train, nms = config.train_config, config.model.ssd.post_processing.batch_non_max_suppression
    assert [o.WhichOneof("preprocessing_step") for o in train.data_augmentation_options] == ["random_horizontal_flip"]
    assert train.optimizer.use_moving_average
    assert config.eval_config.use_moving_averages
    assert train.optimizer.moving_average_decay == pytest.approx(0.999)
    assert train.freeze_variables == ["^backbone/"]
    assert config.eval_config.metrics_set == ["pascal_voc_detection_metrics"]
    assert (nms.score_threshold, nms.iou_threshold) == (0.25, 0.5)
    assert train.gradient_clipping_by_norm == 10
    configure("--base", "models/m/pipeline.config", "--ema", "0", "--freeze", "none", "-o", "again.config", *words[-2:])
    again = pipeline.read_config(tmp_path / "again.config")
    assert not again.train_config.optimizer.use_moving_average
    assert not again.eval_config.use_moving_averages
    assert not again.train_config.freeze_variables


def test_without_options_the_recipe_is_the_bases_own(configure, tmp_path):
    configure(base=OTHER)
    base, config = pipeline.read_config(OTHER), read_config(tmp_path)
    assert config.train_config.data_augmentation_options == base.train_config.data_augmentation_options
    assert config.model.ssd.post_processing == base.model.ssd.post_processing
    assert config.model.ssd.image_resizer == base.model.ssd.image_resizer


def test_the_default_augmentation_is_that_of_the_base_configs():
    config = pipeline.read_config(ROOT / "scripts/configs/ssd_mobilenet_v2_fpnlite_320.config")
    base = list(config.train_config.data_augmentation_options)
    edit.set_augmentation(config.train_config, "default")
    assert list(config.train_config.data_augmentation_options) == base


def test_all_wrong_options_are_named_at_once(configure, tmp_path):
    code, output, said = configure(
        "--set", "train_config.btch_size=3", "--input_size", 300, "--freeze", "backbone", "--batch_size", 9
    )
    assert (code, output) == (1, "")
    assert "error: --set train_config.btch_size=3: train_config has no field btch_size; did you mean" in said
    assert "image_resizer's width is 300, which can't be halved and doubled again to the same, as the FPN does" in said
    assert "the backbone is frozen, and there is no fine_tune_checkpoint that it could come from" in said
    assert "batch_size is 9 and there are 8 images to train on; make it 8 or less (BATCH=8)" in said
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input_size", "12.5"], "'12.5' is not a size in pixels; give it as 320, or as 640x480"),
        (["--input_size", "0x10"], "is not a size in pixels"),
        (["--iou_threshold", "1.5"], "1.5 is not a number from 0 to 1"),
        (["--score_threshold", "x"], "x is not a number from 0 to 1"),
        (["--ema", "1"], "1 would keep the first weights for good; give a number below 1"),
        (["--augment", "more"], "invalid choice: 'more'"),
        (["--freeze", "head"], "invalid choice: 'head'"),
        (["--metrics", "voc"], "invalid choice: 'voc'"),
    ],
)
def test_wrong_values_of_options_end_with_2(configure, words, message):
    code, _, said = configure(*words)
    assert code == 2
    assert message in said


def test_neither_output_nor_check_ends_with_2(call):
    done = call("configure_pipeline.py")
    assert done.returncode == 2
    assert "give --output and --base, or --check" in done.stderr


def test_what_was_made_passes_its_own_check(configure, call, tmp_path):
    configure()
    done = call("configure_pipeline.py", "--check", "models/m/pipeline.config", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "models/m/pipeline.config: nothing wrong\n", "")
    done = call("configure_pipeline.py", "--check", BASE, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count(f"error: {BASE}: ") == 4
    assert "is still PATH_TO_BE_CONFIGURED" in done.stderr


def test_config_is_made_without_tensorflow(configure, monkeypatch):
    """An import of TensorFlow takes seconds, and this step comes before each training."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    code, _, said = configure()
    assert code == 0
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "tfod.config.checks" in imported
    assert not {"tensorflow", "numpy", "pandas", "matplotlib"} & imported


def test_makes_variables_become_the_scripts_options(tmp_path):
    variables = ["INPUT_SIZE=640x480", "AUGMENT=strong", "FREEZE=backbone", "EMA=0.99", "METRICS=pascal"]
    variables.append(f"SHA256={'0' * 64}")
    variables.append("SET=train_config.gradient_clipping_by_norm=10 eval_config.batch_size=4")

    def make(*words):
        return "\n".join(" ".join(call) for call in record_make(tmp_path, "config", f"WORKSPACE={tmp_path}", *words))

    said = make(*variables)
    for words in (
        "--input_size 640x480",
        "--augment strong",
        "--freeze backbone",
        "--ema 0.99",
        "--metrics pascal",
        "--set train_config.gradient_clipping_by_norm=10 eval_config.batch_size=4",
        f"--sha256={'0' * 64}",
    ):
        assert words in said
    said = make()
    assert "configure_pipeline.py" in said
    for name in ("--input_size", "--augment", "--freeze", "--ema", "--metrics", "--set", "--sha256"):
        assert name not in said


def test_tasks_that_the_records_have_nothing_for_are_taken_out_and_named(configure, tmp_path):
    text = pipeline.text_format.MessageToString(pipeline.read_config(BASE))
    model = """faster_rcnn { number_of_stages: 3 feature_extractor { type: "faster_rcnn_resnet50_keras" }
      image_resizer { fixed_shape_resizer { width: 320 height: 320 } }
      second_stage_box_predictor { mask_rcnn_box_predictor { predict_instance_masks: true } } } }\n"""
    (tmp_path / "mask.config").write_text("model { " + model + text[text.index("train_config") :])
    code, output, said = configure(base="mask.config")
    assert code == 0
    assert "mask.config: predict_instance_masks is taken out: the records have boxes, and nothing for that" in said
    assert "  model.faster_rcnn.number_of_stages: 3 -> 2" in output.splitlines()
    assert read_config(tmp_path).model.faster_rcnn.num_classes == 2


def test_base_for_tensorflow_1_is_named(configure, tmp_path):
    text = pipeline.text_format.MessageToString(pipeline.read_config(BASE))
    (tmp_path / "old.config").write_text(text.replace("ssd_mobilenet_v2_fpn_keras", "ssd_mobilenet_v2_fpn"))
    code, _, said = configure(base="old.config")
    assert code == 1
    assert "ssd_mobilenet_v2_fpn is TensorFlow 1's; write ssd_mobilenet_v2_fpn_keras" in said
    assert not (tmp_path / "models").exists()


def test_warnings_of_a_config_are_counted(configure, call, tmp_path):
    configure()
    path = tmp_path / "models/m/pipeline.config"
    path.write_text(path.read_text().replace("total_steps: 2000", "total_steps: 50000"))
    done = call("configure_pipeline.py", "--check", "models/m/pipeline.config", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "models/m/pipeline.config: nothing wrong, and 1 warning above\n"
    assert "warning: models/m/pipeline.config: the schedule has 50000 total_steps and the training 2000" in done.stderr
    assert "the schedule has 50000 total_steps" in configure()[2]  # the edited file is kept, and checked, too


def test_base_without_a_model_is_named(configure, tmp_path):
    (tmp_path / "none.config").write_text("train_config { }")
    code, _, said = configure(base="none.config")
    assert code == 1
    assert "error: none.config: has no model of a known family; start from a config of scripts/configs" in said
