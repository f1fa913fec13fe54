import pytest
from checkpoint_files import write_checkpoint
from conftest import count_seconds

from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records

# upstream's own flags, each with a value of its kind
UPSTREAM = """--pipeline_config_path=x --num_train_steps=5 --eval_on_train_data --noeval_on_train_data
    --eval_on_train_data=true --sample_1_of_n_eval_examples=1 --sample_1_of_n_eval_on_train_examples=5 --model_dir=m
    --checkpoint_dir=c --eval_timeout=3600 --use_tpu=false --nouse_tpu --tpu_name=t --num_workers=1
    --checkpoint_every_n=1000 --record_summaries=False --norecord_summaries"""
SCRIPT = "model_main_tf2.py"
MODEL = ["--model_dir=m", "--pipeline_config_path=p"]


@pytest.fixture
def main(call, tmp_path):
    """Runs the script in an empty folder: returns (code, what it said)."""

    def main(*words):
        done = call("model_main_tf2.py", *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    return main


def test_upstreams_flags_are_taken_and_answered_at_once(main):
    began = count_seconds()
    code, said = main(*UPSTREAM.split())
    assert (code, said) == (
        1,
        "error: c: holds no checkpoint; train first (`make train`), or name the folder that has one\n",
    )
    assert count_seconds() - began < 1  # TensorFlow alone takes three


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model_dir=m"], "--pipeline_config_path"),
        ([*MODEL, "--num_train_steps=0"], "--num_train_steps is 0"),
        ([*MODEL, "--use_tpu=perhaps"], "perhaps is neither true nor false"),
        ([*MODEL, "--unknown=1"], "--unknown"),
        ([*MODEL, "--checkpoint_every_n=0"], "--checkpoint_every_n is 0; give 1 or more"),
        ([*MODEL, "--eval_every_n=-1"], "--eval_every_n is -1; give 0 or more"),
        ([*MODEL, "--checkpoint_every_minutes=0"], "--checkpoint_every_minutes is 0.0; give more than 0"),
        ([*MODEL, "--patience=2"], "--patience counts evaluations; give --eval_every_n, too"),
        ([*MODEL, "--num_workers=2", "--eval_every_n=9"], "--eval_every_n works with one worker; start another"),
        ([*MODEL, "--num_workers=2", "--deterministic"], "--deterministic works with one worker"),
    ],
)
def test_wrong_calls_end_with_2(main, words, message):
    code, said = main(*words)
    assert code == 2
    assert message in said


def test_missing_config_is_named(main):
    code, said = main("--model_dir=m", "--pipeline_config_path=m/pipeline.config")
    assert code == 1
    assert "error: m/pipeline.config: No such file or directory" in said


def test_config_without_steps_is_named(main, tmp_path):
    (tmp_path / "p").write_text("model { ssd { } } train_config { optimizer { adam_optimizer { } } batch_size: 1 }")
    code, said = main(*MODEL)
    assert code == 1
    assert "p: num_steps is not set; set it to the steps to train, or give --num_train_steps" in said
    assert "p: has no eval_input_reader" in said


def test_a_checkpoint_that_can_not_fit_is_refused_before_anything_is_built(main, config, tmp_path):
    write_checkpoint(tmp_path / "start-1", {"model/_box_predictor/b": [3]})
    start = 'train_config { fine_tune_checkpoint: "start-1" fine_tune_checkpoint_type: "classification"'
    config.write_text(config.read_text().replace("train_config {", start))
    code, said = main(*MODEL)
    assert code == 1
    assert said == (
        "error: p: fine_tune_checkpoint_type is classification, and start-1 is a detector's; make the type "
        "except_class_head\n"
    )


@pytest.fixture
def config(tmp_path):
    """The path of a config without faults, for a label map and records that are there."""
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1})
    write_records(tmp_path / "t.record", [make_example("a.png", b"a photo", "png", 96, 64, [], {})])
    reader = 'label_map_path: "map.pbtxt" tf_record_input_reader { input_path: "t.record" }'
    text = """model { ssd { num_classes: 1 feature_extractor { type: "ssd_mobilenet_v2_keras" }
        image_resizer { fixed_shape_resizer { width: 96 height: 96 } } } }
        train_config { batch_size: 1 num_steps: 9
        optimizer { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.001 } } } } }"""
    (tmp_path / "p").write_text(f"{text}\ntrain_input_reader {{ {reader} }} eval_input_reader {{ {reader} }}")
    return tmp_path / "p"


def test_the_tutorials_command_finds_what_make_config_finds(main, call, config, tmp_path):
    """On a config with faults and warnings of each kind."""
    config.write_text(
        config.read_text()
        .replace("num_classes: 1", "num_classes: 90")
        .replace("ssd_mobilenet_v2_keras", "ssd_mobilenet_v3_small")
        .replace("width: 96", "width: 9")
        .replace("batch_size: 1", "batch_size: 2")
        .replace("optimizer { adam", "optimizer { use_moving_average: false adam")
        .replace("constant_learning_rate { ", "manual_step_learning_rate { schedule { step: 9 } initial_")
        + ' eval_config { use_moving_averages: true metrics_set: "coco_mask_metrics" }'
    )
    code, said = main(*MODEL, "--eval_every_n=4")
    checked = call("configure_pipeline.py", "--check", "p", cwd=tmp_path)
    assert (code, said) == (checked.returncode, checked.stderr)
    for text in (
        "warning: p: the schedule has a step at 9 and the training ends at 9",
        "error: p: num_classes is 90, and the highest id of map.pbtxt is 1; make it 1",
        "error: p: feature_extractor's type ssd_mobilenet_v3_small is TensorFlow 1's, and there is none like it",
        "error: p: image_resizer's width is 9; this model needs 33 or more",
        "error: p: batch_size is 2 and there is 1 image to train on",
        "error: p: eval_config.use_moving_averages is true, and",
        "error: p: metrics_set coco_mask_metrics is not measured here",
    ):
        assert text in said


def test_evaluation_is_not_stopped_by_what_only_stops_a_training(main, config):
    text = config.read_text().replace("num_steps: 9", "num_steps: 0").replace("batch_size: 1", "batch_size: 0")
    config.write_text(
        text.replace('train_input_reader { label_map_path: "map', 'train_input_reader { label_map_path: "no')
    )
    code, said = main(*MODEL, "--checkpoint_dir=m", "--watch", "--eval_timeout=1")
    assert (code, said) == (1, "error: m: no checkpoint came in 1 s; train first\n")
    code, said = main(*MODEL, "--checkpoint_dir=m", "--watch", "--eval_on_train_data")
    assert code == 1
    assert "train_input_reader.label_map_path no.pbtxt (relative to " in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["mAP", "PascalBoxes_Precision/mAP@0.5IOU"])
def test_best_metric_that_is_not_measured_is_refused_at_once(main, config, name):
    began = count_seconds()
    code, said = main(*MODEL, "--eval_every_n=4", f"--best_metric={name}")
    assert code == 1
    assert f"--best_metric {name} is not measured; give one of DetectionBoxes_Precision/mAP, " in said
    assert said.endswith(", or a loss: Loss/...\n")
    assert count_seconds() - began < 1  # TensorFlow alone takes three


@pytest.mark.parametrize("word", ["--eval_every_n=4", "--checkpoint_dir=m"])
def test_metrics_sets_that_can_not_be_measured_are_refused_at_once(main, config, tmp_path, word):
    config.write_text(config.read_text() + ' eval_config { metrics_set: "coco_mask_metrics" }')
    write_checkpoint(tmp_path / "m/ckpt-1", {"model/a": [3]})
    (tmp_path / "m/checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    began = count_seconds()
    code, said = main(*MODEL, word)
    assert code == 1
    assert "p: metrics_set coco_mask_metrics is not measured here" in said
    assert count_seconds() - began < 1  # TensorFlow alone takes three
