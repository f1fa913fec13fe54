"""Learning rate schedules of a pipeline.config: scaled with the batch size and held to the length of the training."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf.message import Message

LEAST_WARM_UP = 20  # steps: what momentum and batch norm need before their averages mean something

# The fields of a learning rate schedule that count steps, and those that are rates. Rates grow with the batch
# (linear scaling rule, Goyal et al. 2017, arXiv:1706.02677), steps with the length of the training.
STEP_FIELDS = {"total_steps", "warmup_steps", "hold_base_rate_steps", "decay_steps", "burnin_steps", "step"}

RATE_FIELDS = {
    "learning_rate",
    "learning_rate_base",
    "warmup_learning_rate",
    "initial_learning_rate",
    "burnin_learning_rate",
    "min_learning_rate",
}


def get_schedule(optimizer) -> tuple[str | None, Message | None]:
    """(kind, message) of an optimizer's learning rate, as ("cosine_decay_learning_rate", ...); None where not set."""
    kind = optimizer.WhichOneof("optimizer")
    rate = getattr(optimizer, kind).learning_rate if kind else None
    kind = rate.WhichOneof("learning_rate") if rate else None
    return (kind, getattr(rate, kind)) if kind else (None, None)


def fill_schedule(optimizer) -> None:
    """Writes the defaults of a schedule into it, so that scaling the fields that are set scales all of it."""
    _, schedule = get_schedule(optimizer)
    for field in schedule.DESCRIPTOR.fields if schedule else ():
        if field.name in STEP_FIELDS | RATE_FIELDS and not schedule.HasField(field.name):
            setattr(schedule, field.name, field.default_value)


def bound_schedule(optimizer, num_steps: int) -> None:
    """Keeps a scaled schedule within a training of `num_steps`.

    A warm-up takes 20 steps at least, or a tenth of the training where that is less, and half of it at most.
    """
    kind, schedule = get_schedule(optimizer)
    if kind == "cosine_decay_learning_rate":
        total = schedule.total_steps = min(schedule.total_steps, num_steps)
        if schedule.warmup_steps:
            least = min(LEAST_WARM_UP, num_steps // 10)
            schedule.warmup_steps = max(least, min(schedule.warmup_steps, total // 2))
        if schedule.hold_base_rate_steps:
            schedule.hold_base_rate_steps = min(
                schedule.hold_base_rate_steps, max(total - schedule.warmup_steps - 1, 0)
            )
    elif kind == "manual_step_learning_rate":
        last = num_steps
        for number, entry in reversed(list(enumerate(schedule.schedule))):  # of two at one step the later one counts
            if last > 1 and entry.step <= num_steps:
                last = entry.step = min(max(entry.step, 1), last - 1)
            else:
                del schedule.schedule[number]
        if not schedule.schedule:  # which upstream refuses
            optimizer = getattr(optimizer, optimizer.WhichOneof("optimizer"))
            optimizer.learning_rate.constant_learning_rate.learning_rate = schedule.initial_learning_rate
    elif kind == "exponential_decay_learning_rate":
        schedule.decay_steps = max(schedule.decay_steps, 1)
        schedule.burnin_steps = min(schedule.burnin_steps, num_steps // 2)


def find_schedule_faults(train_config) -> list[str]:
    """What of the learning rate upstream refuses, or makes no number of: texts. The optimizer is set."""
    kind, schedule = get_schedule(train_config.optimizer)
    num_steps, faults = train_config.num_steps, []
    if kind is None:
        faults.append("the optimizer has no learning rate; start from a config of scripts/configs")
    if num_steps < 1:
        faults.append("num_steps is not set; set it to the steps to train, or give --num_train_steps")
    if faults:
        return faults
    if kind == "cosine_decay_learning_rate":
        total, warm = schedule.total_steps, schedule.warmup_steps
        # at the step total_steps = warmup_steps upstream divides 0 by 0
        if warm > total or (warm == total < num_steps and not schedule.hold_base_rate_steps):
            faults.append(f"warmup_steps {warm} leave nothing of the {total} total_steps; lower them")
        if warm and schedule.warmup_learning_rate > schedule.learning_rate_base:
            faults.append(
                f"warmup_learning_rate {schedule.warmup_learning_rate:g} is more than learning_rate_base "
                f"{schedule.learning_rate_base:g}; lower it"
            )
    elif kind == "manual_step_learning_rate":
        if not schedule.schedule:
            faults.append("manual_step_learning_rate has no schedule; give one, or use a constant rate")
        steps = [entry.step for entry in schedule.schedule]
        if sorted(set(steps) - {0}) != steps:
            faults.append(f"the steps of the schedule, {', '.join(map(str, steps))}, do not rise from 1 on; sort them")
    return faults


def find_schedule_warnings(train_config) -> list[str]:
    """What of a learning rate without faults is not as long as the training: texts."""
    kind, schedule = get_schedule(train_config.optimizer)
    num_steps = train_config.num_steps
    if kind == "cosine_decay_learning_rate":
        total, warm, hold = schedule.total_steps, schedule.warmup_steps, schedule.hold_base_rate_steps
        if warm + hold >= total:
            return [
                f"warmup_steps {warm} and hold_base_rate_steps {hold} leave nothing of the {total} total_steps: the "
                "rate never comes down; lower them"
            ]
        if total > num_steps:
            return [
                f"the schedule has {total} total_steps and the training {num_steps}: the rate never comes down; make "
                "total_steps the same"
            ]
        if total < num_steps:
            return [
                f"the schedule has {total} total_steps and the training {num_steps}: from step {total} on the rate is "
                "0, and nothing is learned; make total_steps the same"
            ]
    elif kind == "manual_step_learning_rate":
        late = [entry.step for entry in schedule.schedule if entry.step >= num_steps]
        if late:
            return [
                f"the schedule has a step at {late[0]} and the training ends at {num_steps}: it is never reached; "
                "lower it, or take it out"
            ]
    elif kind == "exponential_decay_learning_rate" and schedule.burnin_steps >= num_steps:
        return [f"burnin_steps {schedule.burnin_steps} last the whole training of {num_steps} steps; lower them"]
    return []


def scale_schedule(config, batch_size: int, num_steps: int) -> None:
    """Sets batch size and steps, and scales the learning rate and its schedule from those `config` was made for."""
    train = config.train_config
    rate_ratio = batch_size / train.batch_size
    step_ratio = num_steps / train.num_steps if train.num_steps else 1.0
    train.batch_size, train.num_steps = batch_size, num_steps
    _scale_rates(train.optimizer, rate_ratio, step_ratio)


def _scale_rates(message, rate_ratio, step_ratio):
    for field, value in message.ListFields():
        if field.name in STEP_FIELDS:
            setattr(message, field.name, round(value * step_ratio))
        elif field.name in RATE_FIELDS and isinstance(value, float):
            setattr(message, field.name, value * rate_ratio)
        elif isinstance(value, Message):
            _scale_rates(value, rate_ratio, step_ratio)
        elif field.is_repeated and field.message_type:
            for item in value:
                _scale_rates(item, rate_ratio, step_ratio)


def scale_learning_rates(optimizer, ratio: float) -> None:
    """Multiplies the learning rates of an optimizer's message by `ratio`."""
    _scale_rates(optimizer, ratio, 1)


def list_learning_rates(message: Message) -> list[float]:
    """The learning rates anywhere in a message of a config, as its optimizer."""
    rates = []
    for field, value in message.ListFields():
        if field.name in RATE_FIELDS and isinstance(value, float):
            rates.append(value)
        elif isinstance(value, Message):
            rates += list_learning_rates(value)
        elif field.is_repeated and field.message_type:
            rates += [rate for item in value for rate in list_learning_rates(item)]
    return rates
