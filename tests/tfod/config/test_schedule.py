import pytest
from google.protobuf import text_format

from tfod.config import pipeline
from tfod.config import schedule as schedules

COSINE = "cosine_decay_learning_rate { learning_rate_base: 0.1 warmup_learning_rate: 0.01 %s }"
MANUAL = "manual_step_learning_rate { initial_learning_rate: 0.1 %s }"


def make_config(rate, num_steps=1000):
    text = "train_config { batch_size: 8 num_steps: %d optimizer { momentum_optimizer { learning_rate { %s } } } }"
    return text_format.Parse(text % (num_steps, rate), pipeline.pipeline_pb2.TrainEvalPipelineConfig())


def find_all(train_config):
    return [*schedules.find_schedule_faults(train_config), *schedules.find_schedule_warnings(train_config)]


def scale(config, num_steps):
    optimizer = config.train_config.optimizer
    schedules.fill_schedule(optimizer)
    schedules.scale_schedule(config, 8, num_steps)
    schedules.bound_schedule(optimizer, num_steps)
    return schedules.get_schedule(optimizer)[1]


@pytest.mark.parametrize(
    ("base", "num_steps", "total", "warm"),
    [
        ("total_steps: 1000 warmup_steps: 100", 2000, 2000, 200),  # its share
        ("total_steps: 1000 warmup_steps: 20", 500, 500, 20),  # no fewer than 20
        ("total_steps: 1000 warmup_steps: 20", 60, 60, 6),  # or a tenth
        ("total_steps: 1000 warmup_steps: 900", 500, 500, 250),  # no more than a half
        ("total_steps: 1000 warmup_steps: 0", 500, 500, 0),  # none stays none
        ("total_steps: 4000 warmup_steps: 100", 500, 500, 50),  # never longer than the training
        ("", 500, 500, 250),  # upstream's defaults: 10,000 of 4,000,000
        ("total_steps: 1000 warmup_steps: 100", 1, 1, 0),
    ],
)
def test_cosine_keeps_its_shares_within_bounds(base, num_steps, total, warm):
    config = make_config(COSINE % base)
    schedule = scale(config, num_steps)
    assert (schedule.total_steps, schedule.warmup_steps) == (total, warm)
    assert find_all(config.train_config) == []


def test_held_rate_leaves_room_to_come_down():
    config = make_config(COSINE % "total_steps: 1000 warmup_steps: 100 hold_base_rate_steps: 950")
    schedule = scale(config, 200)
    assert schedule.warmup_steps + schedule.hold_base_rate_steps < schedule.total_steps
    assert find_all(config.train_config) == []


@pytest.mark.parametrize(("num_steps", "steps"), [(500, [450]), (2000, [1800]), (2, [1])])
def test_manual_steps_stay_within_the_training(num_steps, steps):
    config = make_config(MANUAL % "schedule { step: 900 learning_rate: 0.01 } schedule { step: 2000 learning_rate: 1 }")
    assert [entry.step for entry in scale(config, num_steps).schedule] == steps
    assert find_all(config.train_config) == []


def test_manual_steps_that_have_no_room_give_way_to_the_later_ones():
    rate = MANUAL % "schedule { step: 700 learning_rate: 0.05 } schedule { step: 900 learning_rate: 0.01 }"
    entries = scale(make_config(rate), 3).schedule
    assert [entry.step for entry in entries] == [1, 2]
    assert [entry.learning_rate for entry in scale(make_config(rate), 2).schedule] == pytest.approx([0.01])
    assert scale(make_config(rate), 1).learning_rate == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (COSINE % "total_steps: 900 warmup_steps: 950", "warmup_steps 950 leave nothing of the 900 total_steps; lower"),
        (COSINE % "total_steps: 900 warmup_steps: 900", "warmup_steps 900 leave nothing of the 900 total_steps; lower"),
        (
            (COSINE % "total_steps: 9 warmup_steps: 1").replace("0.01", "0.5"),
            "warmup_learning_rate 0.5 is more than learning_rate_base 0.1",
        ),
        (MANUAL % "", "manual_step_learning_rate has no schedule"),
        (MANUAL % "schedule { step: 9 } schedule { step: 5 }", "the steps of the schedule, 9, 5, do not rise"),
        (MANUAL % "schedule { step: 0 }", "the steps of the schedule, 0, do not rise from 1 on"),
        ("", "the optimizer has no learning rate"),
    ],
)
def test_what_cannot_work_is_named(rate, message):
    assert message in "\n".join(schedules.find_schedule_faults(make_config(rate).train_config))


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (
            COSINE % "total_steps: 5000 warmup_steps: 100",
            "the schedule has 5000 total_steps and the training 1000: the",
        ),
        (COSINE % "", "the schedule has 4000000 total_steps"),
        (
            COSINE % "total_steps: 700 warmup_steps: 100",
            "the training 1000: from step 700 on the rate is 0, and nothing",
        ),
        (COSINE % "total_steps: 1000 warmup_steps: 1000", "warmup_steps 1000 and hold_base_rate_steps 0 leave nothing"),
        (
            COSINE % "total_steps: 900 warmup_steps: 50 hold_base_rate_steps: 850",
            "hold_base_rate_steps 850 leave",
        ),
        (MANUAL % "schedule { step: 1000 }", "has a step at 1000 and the training ends at 1000: it is never reached"),
        ("exponential_decay_learning_rate { burnin_steps: 1000 }", "burnin_steps 1000 last the whole training"),
    ],
)
def test_what_upstream_takes_and_is_unwise_is_warned_of(rate, message):
    train = make_config(rate).train_config
    assert schedules.find_schedule_faults(train) == []
    (warning,) = schedules.find_schedule_warnings(train)
    assert message in warning


@pytest.mark.parametrize(
    ("steps", "fault"), [("total_steps: 9 warmup_steps: 9", True), ("total_steps: 9 warmup_steps: 8", False)]
)
def test_schedules_with_faults_make_no_numbers_of_upstreams(steps, fault):
    """What upstream makes of them at the last of 10 steps."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import optimizer_builder

    config = make_config(COSINE % steps, 10).train_config
    config.optimizer.use_moving_average = False
    _, (rate,) = optimizer_builder.build(config.optimizer, global_step=tf.Variable(9))
    assert bool(tf.math.is_nan(rate())) == fault == bool(schedules.find_schedule_faults(config))


def test_training_without_steps_is_named():
    faults = schedules.find_schedule_faults(make_config(MANUAL % "", num_steps=0).train_config)
    assert faults == ["num_steps is not set; set it to the steps to train, or give --num_train_steps"]


def test_constant_rate_has_no_faults():
    config = make_config("constant_learning_rate { learning_rate: 0.1 }")
    assert scale(config, 7).learning_rate == pytest.approx(0.1)
    assert find_all(config.train_config) == []


def test_decay_of_rmsprop_is_that_of_its_average_and_not_of_the_learning_rate():
    """Upstream hands it to Keras as the learning rate's: after 9 steps that were a tenth of itself."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    from object_detection.builders import optimizer_builder

    config = make_config("").train_config.optimizer
    rms = config.rms_prop_optimizer
    rms.decay, rms.momentum_optimizer_value, rms.epsilon = 0.75, 0.0, 1e-7
    rms.learning_rate.constant_learning_rate.learning_rate = 0.5
    config.use_moving_average = False
    import tensorflow as tf

    optimizer, _ = optimizer_builder.build(config, global_step=tf.Variable(0))
    weight = tf.Variable(0.0)
    steps = []
    for _ in range(40):
        before = float(weight)
        optimizer.apply_gradients([(tf.constant(1.0), weight)])
        steps.append(before - float(weight))
    assert steps[0] == pytest.approx(0.5 / (1 - 0.75) ** 0.5, rel=1e-3)  # the average starts at 0
    assert steps[-1] == pytest.approx(0.5, rel=1e-3)  # and comes to 1: the learning rate is what it was
