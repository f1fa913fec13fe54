import os

import pytest

from tfod.config import pipeline, schedule
from tfod.utils.console import InputError

MINIMAL = """
model { ssd { num_classes: 3 } }
train_config {
  batch_size: 16 num_steps: 1000
  fine_tune_checkpoint: "%s"
  optimizer { momentum_optimizer { learning_rate { %s } } }
}
train_input_reader { label_map_path: "map" tf_record_input_reader { input_path: "train-?" } }
eval_input_reader { label_map_path: "map" tf_record_input_reader { input_path: "test" } }
"""
COSINE = """cosine_decay_learning_rate {
  learning_rate_base: 0.08 total_steps: 1000 warmup_learning_rate: 0.008 warmup_steps: 100 }"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a config made from MINIMAL into an empty current folder."""
    monkeypatch.chdir(tmp_path)

    def write(rate=COSINE, checkpoint="", text=MINIMAL):
        path = tmp_path / "pipeline.config"
        path.write_text(text % (checkpoint, rate))
        return pipeline.read_config(path)

    return write


def test_what_is_written_is_read_back_equal(write, tmp_path):
    config = write()
    pipeline.write_config(tmp_path / "again", config)
    assert pipeline.read_config(tmp_path / "again") == config


def test_rates_follow_the_batch_and_steps_the_training(write):
    config = write()
    schedule.scale_schedule(config, batch_size=4, num_steps=500)
    rate = config.train_config.optimizer.momentum_optimizer.learning_rate.cosine_decay_learning_rate
    assert (config.train_config.batch_size, config.train_config.num_steps) == (4, 500)
    assert (rate.total_steps, rate.warmup_steps) == (500, 50)
    assert rate.learning_rate_base == pytest.approx(0.02)
    assert rate.warmup_learning_rate == pytest.approx(0.002)


def test_every_entry_of_a_manual_schedule_is_scaled(write):
    config = write(
        """manual_step_learning_rate { initial_learning_rate: 0.4
        schedule { step: 600 learning_rate: 0.04 } schedule { step: 900 learning_rate: 0.004 } }"""
    )
    schedule.scale_schedule(config, batch_size=8, num_steps=2000)
    rate = config.train_config.optimizer.momentum_optimizer.learning_rate.manual_step_learning_rate
    assert rate.initial_learning_rate == pytest.approx(0.2)
    assert [entry.step for entry in rate.schedule] == [1200, 1800]
    assert [entry.learning_rate for entry in rate.schedule] == pytest.approx([0.02, 0.002])


def test_scaling_there_and_back_changes_nothing(write):
    config, former = write(), write()
    schedule.scale_schedule(config, batch_size=2, num_steps=8000)
    schedule.scale_schedule(config, batch_size=16, num_steps=1000)
    assert str(config) == str(former)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model { sdd { } }", "pipeline.config: line 1: DetectionModel has no field sdd; did you mean ssd\\?"),
        ("train_config {\n xyzzy: 3 }", "line 2: TrainConfig has no field xyzzy; it has add_regularization_loss, "),
        ("model {", 'is not a pipeline.config: line 1: Expected "}".; correct it, or make it again'),
        (
            "train_config { batch_size: 3\n batch_size: 4 }",
            "line 2: batch_size of TrainConfig is there already, further up; leave out one of the two",
        ),
        (
            "model { ssd { } }\n\nmodel { ssd { num_classes: 3 } }",
            "line 3: model is there already, further up; leave out one of the two",
        ),
        (
            "train_config { optimizer { adam_optimizer {}\n momentum_optimizer {} } }",
            "line 2: momentum_optimizer can't stand beside adam_optimizer, which is further up; leave out one of the",
        ),
        (
            'train_config {\n  fine_tune_checkpoint: "C:\\Users\\me\\ckpt-0"\n}',
            "line 2: a backslash begins an escape in a config, and paths take slashes; write "
            'fine_tune_checkpoint: "/mnt/c/Users/me/ckpt-0"',
        ),
        ('train_config {\n  fine_tune_checkpoint: "a\\"\n}', 'take slashes; write fine_tune_checkpoint: "a/"'),
        (None, "No such file or directory; `make config`"),
    ],
)
def test_unreadable_configs_are_named(tmp_path, text, message):
    path = tmp_path / "pipeline.config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        pipeline.read_config(path)


def test_text_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "pipeline.config"
    path.write_bytes("model { }".encode("utf-16"))
    with pytest.raises(InputError, match="pipeline.config: is not in UTF-8; save it in that encoding"):
        pipeline.read_config(path)


@pytest.mark.attack
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_in_the_place_of_a_config_hangs_nothing(tmp_path, make):
    make(tmp_path / "pipeline.config")
    with pytest.raises(
        InputError, match="pipeline.config: is a (pipe|folder), not a file; replace it with a file, or take"
    ):
        pipeline.read_config(tmp_path / "pipeline.config")


@pytest.mark.attack
@pytest.mark.parametrize("content", [bytes(99), b"model { ssd {" * 9, b"model {" * 50_000, b"model { ssd { num_cl"])
def test_damaged_config_is_one_error(tmp_path, content):
    (tmp_path / "pipeline.config").write_bytes(content)
    with pytest.raises(InputError, match="pipeline.config: ") as raised:
        pipeline.read_config(tmp_path / "pipeline.config")
    assert len(raised.value.faults) == 1


def test_byte_order_mark_changes_nothing(write, tmp_path):
    config = write()
    path = tmp_path / "pipeline.config"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert pipeline.read_config(path) == config


def test_wrong_override_is_named(write, tmp_path):
    write()
    with pytest.raises(InputError, match="--config_override: .*give fields"):
        pipeline.read_config(tmp_path / "pipeline.config", "model { nonsense: 1 }")


def test_input_scale_is_what_the_resizer_does():
    fixed, keeping = (pipeline.pipeline_pb2.TrainEvalPipelineConfig() for _ in range(2))
    resizer = fixed.model.ssd.image_resizer.fixed_shape_resizer
    resizer.width, resizer.height = 320, 160
    assert pipeline.get_input_scale(fixed, 640, 480) == (0.5, 1 / 3)
    resizer = keeping.model.faster_rcnn.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension, resizer.max_dimension = 600, 1024
    assert pipeline.get_input_scale(keeping, 400, 300) == (2, 2)
    assert pipeline.get_input_scale(keeping, 2048, 1000) == (0.5, 0.5)
    keeping.model.faster_rcnn.image_resizer.identity_resizer.SetInParent()
    with pytest.raises(ValueError, match="identity_resizer"):
        pipeline.get_input_scale(keeping, 400, 300)
