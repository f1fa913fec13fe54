"""A training, on the OD API's own model, input, loss and optimizer functions."""

import dataclasses
from collections.abc import Callable

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.evaluation import evaluator
from tfod.model import saving, weights
from tfod.model.checkpoints import list_candidates
from tfod.model.tracing import build_plainly, trace_plainly
from tfod.training import distributed, log, nan_retries
from tfod.training.input import build_train_input, count_images
from tfod.training.loop import TrainLoop
from tfod.utils.console import InputError, say


def set_up(config, plan):
    """Prepares TensorFlow as the Plan says. Raises InputError for what can't work here."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    faults = []
    if plan.require_gpu and not gpus:
        faults.append("--require_gpu: TensorFlow sees no GPU; `make doctor` says more, docs/gpu.md what to do")
    if plan.mixed_precision:
        old = [
            gpu.name for gpu in gpus if tf.config.experimental.get_device_details(gpu)["compute_capability"] < (8, 0)
        ]
        if not gpus or old:
            where = f"{', '.join(old)} can't" if old else "no GPU is seen"
            faults.append(f"--mixed_precision: needs GPUs that compute in bfloat16, and {where}; leave it out")
    if plan.deterministic and gpus:
        faults.append("--deterministic: is for one CPU, and there is a GPU; hide it with CUDA_VISIBLE_DEVICES=-1")
    if faults:
        raise InputError(*faults)
    if plan.deterministic:
        tf.config.experimental.enable_op_determinism()
    if plan.mixed_precision or (config.train_config.use_bfloat16 and plan.use_tpu):
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
        config.train_config.use_bfloat16 = True
    tf.keras.utils.set_random_seed(plan.seed)
    tf.random.set_seed(plan.seed + 1)  # tf.data can't take a seed that it computes where the global one is 0


def make_strategy(config, num_workers=1, use_tpu=False, tpu_name=None):
    """The tf.distribute strategy for the devices at hand, chosen as upstream's flags say.

    `num_workers` > 1 takes the cluster from TF_CONFIG, and waits until all of it is there. On one machine all GPUs are
    used, or the CPU. Raises InputError if the batch of `config` can't be shared out evenly.
    """
    import tensorflow as tf

    tf.config.set_soft_device_placement(True)
    if use_tpu:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu_name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    gpus = tf.config.list_physical_devices("GPU")
    devices, batch = max(len(gpus), 1) * num_workers, config.train_config.batch_size
    if batch % devices:
        good = ", ".join(
            str(number) for number in (batch // devices * devices, -(-batch // devices) * devices) if number
        )
        raise InputError(f"batch_size is {batch}, which {devices} devices can't share out evenly; make it {good}")
    if num_workers > 1:
        distributed.wait_for_others()
        # AUTO would have cards talk over gRPC, much more slowly than NCCL
        way = tf.distribute.experimental.CommunicationImplementation
        options = tf.distribute.experimental.CommunicationOptions(implementation=way.NCCL if gpus else way.AUTO)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    if config.train_config.optimizer.use_moving_average:  # which only changes places with the weights in a strategy
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    return tf.distribute.get_strategy()  # one device needs no mirroring, and is faster without


def train(config, plan, strategy):
    """Trains the model of `config` (TrainEvalPipelineConfig) to its num_steps, from the newest checkpoint on.

    Writes into plan.model_dir: checkpoints, best/, train_log.csv and .png, TensorBoard's curves in train/ and eval/.
    Returns the Outcome. Raises InputError where the data, the checkpoint or the disk keep it from going on, and
    NonFiniteLoss where a loss is not finite after plan.nan_retries.
    """
    return nan_retries.train_with_retries(lambda: _train_once(config, plan, strategy), config, plan.nan_retries)


def _train_once(config, plan, strategy):
    import tensorflow as tf

    chief = strategy.extended.should_checkpoint
    folder = plan.model_dir if chief else plan.model_dir / f"worker_{strategy.cluster_resolver.task_id}"
    latest, first = _find_start(plan.model_dir, chief)
    for line in log.describe_run(config, plan.seed, count_images(config), strategy):
        say(line)
    with strategy.scope():
        trainee = _build(config, plan, strategy, first)
        size, shapes = saving.rehearse(trainee.checkpoint.write, folder)
        saving.require_room(folder, size)
        _restore(config, plan, trainee, latest, shapes, first)
        writer = tf.summary.create_file_writer(str(folder / "train"))
        with writer.as_default(), tf.summary.record_if(False):
            log.write_hyperparameters(config, plan.seed)
            tf.summary.experimental.set_step(trainee.step)  # for the summaries that the model itself writes
            return TrainLoop(
                config=config,
                plan=plan,
                folder=folder,
                strategy=strategy,
                run_step=_build_step(config, plan, strategy, trainee),
                write=trainee.checkpoint.write,
                find_broken=lambda: nan_retries.find_broken(trainee.model),
                get_rate=trainee.get_rate,
                measure=_build_measuring(config, plan, trainee) if plan.eval_every_n else None,
                batches=iter(trainee.dataset),
                first=first,
                checkpoint=latest or "",
            ).run()


@dataclasses.dataclass
class _Trainee:
    """What is trained: a DetectionModel, and what goes with it."""

    model: object
    dataset: object  # of batches, as the strategy hands them out
    step: object  # the variable that counts the steps
    optimizer: object
    get_rate: Callable  # the learning rate at this moment
    checkpoint: object  # tf.train.Checkpoint of the step, the model and the optimizer


def _build(config, plan, strategy, first):
    """The `_Trainee` of `config` with all its variables, and the input that follows step `first`."""
    import tensorflow as tf
    from object_detection.builders import model_builder, optimizer_builder

    model = model_builder.build(config.model, is_training=True, add_summaries=plan.record_summaries)
    dataset = strategy.distribute_datasets_from_function(
        lambda context: build_plainly(build_train_input, config, model, plan.seed, first, context)
    )
    step = tf.Variable(first, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
    optimizer, (rate,) = optimizer_builder.build(config.train_config.optimizer, global_step=step)
    weights.build_variables(model)
    trained, frozen = weights.freeze_variables(model, config.train_config, plan.config_path)
    say(f"{trained} variables train" + (f", {frozen} are frozen" if frozen else ""))
    # a checkpoint of now is as large as those to come, and a step that makes no variables is traced once
    optimizer._create_all_weights(model.trainable_variables)
    if config.train_config.optimizer.use_moving_average:
        optimizer.shadow_copy(model)
    checkpoint = tf.train.Checkpoint(step=step, model=model, optimizer=optimizer)
    checkpoint.save_counter.assign(0)  # exists from here on: whoever restores a checkpoint expects it there
    return _Trainee(model, dataset, step, optimizer, rate if callable(rate) else lambda: rate, checkpoint)


def _find_start(folder, chief):
    """(the newest checkpoint of `folder` that can be read, or None; its step, or 0)."""
    latest = saving.find_sound_checkpoint(folder)
    if latest and chief:
        saving.name_newest(folder, latest)
    elif not latest and list_candidates(folder):
        say(f"warning: {folder}: none of its checkpoints can be read, so the training begins again at step 0")
    return latest, saving.read_step(latest) if latest else 0


def _restore(config, plan, trainee, latest, shapes, first):
    """Gives the model the weights to start from: those of the checkpoint `latest`, of fine_tune_checkpoint, or new.

    Raises InputError where they don't fit the model, whose variables have these `shapes`.
    """
    train = config.train_config
    if latest:
        _refuse_misfits(weights.find_misfits(shapes, latest), latest, plan.config_path)
        trainee.checkpoint.restore(latest).expect_partial()
        say(f"resuming {plan.model_dir.name} at step {first} of {train.num_steps}")
    elif train.fine_tune_checkpoint:
        matched = weights.restore_fine_tune_checkpoint(config, trainee.model, plan.config_path)
        say(f"starting from {train.fine_tune_checkpoint} ({train.fine_tune_checkpoint_type}):")
        say(f"  {weights.describe_matches(matched)}")
    else:
        say("starting with new weights")


def _refuse_misfits(misfits, path, config_path):
    if misfits:
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise InputError(
            f"{path}: does not fit the model of {config_path} any more: {'; '.join(misfits[:3])}{more}; put the config"
            " back as it was, or give the changed model another --model_dir (MODEL=)"
        )


def _build_step(config, plan, strategy, trainee):
    """A function (features, labels, flags, write_images) -> (losses by upstream's names, flags) of one training step.

    Losses are float32 scalars of all replicas together. `flags`, float32 [2], are added up over all replicas.
    `write_images`, a bool scalar, lets the model write its own summaries. Both come in from Python: what can be known
    there need not be computed on a card at each step.
    """
    import tensorflow as tf
    from object_detection import model_lib_v2

    train = config.train_config
    # Without the padding an SSD's anchors are compared with the boxes that an image has, not with a hundred: the losses
    # are the same, a step is a fifth shorter. XLA and TPUs need the padding, since they know fixed shapes only.
    fixed = plan.jit_compile or isinstance(strategy, tf.distribute.TPUStrategy)
    unpad = train.unpad_groundtruth_tensors or (config.model.HasField("ssd") and not fixed)
    clip = train.gradient_clipping_by_norm if train.gradient_clipping_by_norm > 0 else None

    def step(features, labels):
        losses = model_lib_v2.eager_train_step(
            trainee.model,
            features,
            labels,
            unpad,
            trainee.optimizer,
            training_step=trainee.step,
            add_regularization_loss=train.add_regularization_loss,
            clip_gradients_value=clip,
            num_replicas=strategy.num_replicas_in_sync,
        )
        trainee.step.assign_add(1)
        return losses

    if plan.jit_compile:
        step = tf.function(step, jit_compile=True)

    def run_replica(features, labels, flags):
        return step(features, labels), tf.identity(flags)  # what is handed through as it is can't be reduced

    def run_step(features, labels, flags, write_images):
        with tf.summary.record_if(write_images):
            losses, flags = strategy.run(run_replica, (features, labels, flags))
        # each replica's losses are already divided by their number
        return {name: strategy.reduce("SUM", loss, axis=None) for name, loss in losses.items()}, strategy.reduce(
            "SUM", flags, axis=None
        )

    return trace_plainly(run_step)


def _build_measuring(config, plan, trainee):
    """A function step -> metrics of the model as it is, by the evaluation that the eval verb has."""
    _, evaluate = evaluator.build_evaluation(config, plan.model_dir / "eval", model=trainee.model)
    averages = config.eval_config.use_moving_averages

    def measure(step):
        if averages:
            trainee.optimizer.swap_weights()
        try:
            return evaluate(step).metrics
        finally:
            if averages:
                trainee.optimizer.swap_weights()

    return measure
