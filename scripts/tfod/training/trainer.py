"""A training, on the OD API's own model, input, loss and optimizer functions."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod.config import schedule
from tfod.evaluation import evaluator
from tfod.model import saving, weights
from tfod.model.checkpoints import list_candidates
from tfod.model.tracing import build_plainly, trace_plainly
from tfod.training import distributed, log
from tfod.training.input import build_train_input, count_images
from tfod.training.loop import NonFiniteLoss, TrainLoop
from tfod.utils.console import InputError, say


def set_up(arguments, config):
    """Prepares TensorFlow as the flags of model_main_tf2.py say. Raises InputError for what can't work here."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    faults = []
    if arguments.require_gpu and not gpus:
        faults.append("--require_gpu: TensorFlow sees no GPU; `make doctor` says more, docs/gpu.md what to do")
    if arguments.mixed_precision:
        old = [
            gpu.name for gpu in gpus if tf.config.experimental.get_device_details(gpu)["compute_capability"] < (8, 0)
        ]
        if not gpus or old:
            where = f"{', '.join(old)} has none" if old else "no GPU is seen"
            faults.append(f"--mixed_precision: needs GPUs that compute in bfloat16, and {where}; leave it out")
    if arguments.deterministic and gpus:
        faults.append("--deterministic: is for one CPU, and there is a GPU; hide it with CUDA_VISIBLE_DEVICES=-1")
    if faults:
        raise InputError(*faults)
    if arguments.deterministic:
        tf.config.experimental.enable_op_determinism()
    if arguments.mixed_precision or (config.train_config.use_bfloat16 and arguments.use_tpu):
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
        config.train_config.use_bfloat16 = True
    tf.keras.utils.set_random_seed(arguments.seed)
    tf.random.set_seed(arguments.seed + 1)  # tf.data can't take a seed that it computes where the global one is 0


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


def train_with_retries(config, plan, strategy, nan_retries=0):
    """As `train`, which starts again from the last checkpoint with half the learning rate where a loss is no number,
    up to `nan_retries` times."""
    for retry in range(nan_retries + 1):
        try:
            return train(config, plan, strategy)
        except NonFiniteLoss as error:
            if retry == nan_retries:
                raise
            schedule.scale_learning_rates(config.train_config.optimizer, 0.5)
            rates = schedule.list_learning_rates(config.train_config.optimizer)
            say(f"warning: {error}")
            say(f"going back with half the learning rate, at most {max(rates):g} (retry {retry + 1} of {nan_retries})")
    return None


def train(config, plan, strategy):
    """Trains the model of `config` (TrainEvalPipelineConfig) to its num_steps, from the newest checkpoint on.

    Writes into plan.model_dir: checkpoints, best/, train_log.csv and .png, TensorBoard's curves in train/ and eval/.
    Returns the Outcome. Raises InputError where the data, the checkpoint or the disk keep it from going on, and
    NonFiniteLoss where a loss is not finite.
    """
    import tensorflow as tf
    from object_detection.builders import model_builder, optimizer_builder

    chief = strategy.extended.should_checkpoint
    folder = plan.model_dir if chief else plan.model_dir / f"worker_{strategy.cluster_resolver.task_id}"
    latest, first = _find_start(plan.model_dir, chief)
    images = count_images(config)
    for line in log.describe_run(config, plan.seed, images, strategy):
        say(line)
    with strategy.scope():
        model = model_builder.build(config.model, is_training=True, add_summaries=plan.record_summaries)
        dataset = strategy.distribute_datasets_from_function(
            lambda context: build_plainly(build_train_input, config, model, plan.seed, first, context)
        )
        global_step = tf.Variable(
            first, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        optimizer, (learning_rate,) = optimizer_builder.build(config.train_config.optimizer, global_step=global_step)
        weights.build_variables(model)
        trained, frozen = weights.freeze_variables(model, config.train_config, plan.config_path)
        say(f"{trained} variables train" + (f", {frozen} are frozen" if frozen else ""))
        # a checkpoint of now is as large as those to come, and a step that makes no variables is traced once
        optimizer._create_all_weights(model.trainable_variables)
        if config.train_config.optimizer.use_moving_average:
            optimizer.shadow_copy(model)
        checkpoint = tf.train.Checkpoint(step=global_step, model=model, optimizer=optimizer)
        checkpoint.save_counter.assign(0)  # exists from here on: whoever restores a checkpoint expects it there
        size, shapes = saving.rehearse(checkpoint.write, folder)
        saving.require_room(folder, size)
        if latest:
            _resume(checkpoint, latest, shapes, plan.config_path)
            say(f"resuming {plan.model_dir.name} at step {first} of {config.train_config.num_steps}")
        elif config.train_config.fine_tune_checkpoint:
            matched = weights.restore_fine_tune_checkpoint(config, model, plan.config_path)
            train = config.train_config
            say(f"starting from {train.fine_tune_checkpoint} ({train.fine_tune_checkpoint_type}):")
            say(f"  {weights.describe_matches(matched)}")
        else:
            say("starting with new weights")
        writer = tf.summary.create_file_writer(str(folder / "train"))
        with writer.as_default(), tf.summary.record_if(False):
            _write_hyperparameters(config, plan)
            tf.summary.experimental.set_step(global_step)  # for the summaries that the model itself writes
            run_step = _build_step(config, plan, strategy, model, optimizer, global_step)
            measure = _build_measuring(config, plan, model, optimizer)
            get_rate = learning_rate if callable(learning_rate) else lambda: learning_rate
            loop = TrainLoop(config, plan, folder, checkpoint.write, lambda: find_broken(model), measure, get_rate)
            loop.checkpoint = latest or ""
            return loop.run(strategy, run_step, iter(dataset), first)


def _find_start(folder, chief):
    """(the newest checkpoint of `folder` that can be read, or None; its step, or 0)."""
    latest = saving.find_sound_checkpoint(folder)
    if latest and chief:
        saving.name_newest(folder, latest)
    elif not latest and list_candidates(folder):
        say(f"warning: {folder}: none of its checkpoints can be read, so the training begins again at step 0")
    return latest, saving.read_step(latest) if latest else 0


def _resume(checkpoint, path, shapes, config_path):
    """Restores the checkpoint `path`. Raises InputError if it no longer fits the model, whose `shapes` these are."""
    misfits = weights.find_misfits(shapes, path)
    if misfits:
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise InputError(
            f"{path}: does not fit the model of {config_path} any more: {'; '.join(misfits[:3])}{more}; put the config"
            " back as it was, or give the changed model another --model_dir (MODEL=)"
        )
    checkpoint.restore(path).expect_partial()


def _build_step(config, plan, strategy, model, optimizer, global_step):
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
            model,
            features,
            labels,
            unpad,
            optimizer,
            training_step=global_step,
            add_regularization_loss=train.add_regularization_loss,
            clip_gradients_value=clip,
            num_replicas=strategy.num_replicas_in_sync,
        )
        global_step.assign_add(1)
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


def _build_measuring(config, plan, model, optimizer):
    """A function step -> metrics of the model as it is, by the evaluation that the eval verb has; or None."""
    if not plan.eval_every_n:
        return None
    _, evaluate = evaluator.build_evaluation(config, plan.model_dir / "eval", model=model)
    averages = config.eval_config.use_moving_averages

    def measure(step):
        if averages:
            optimizer.swap_weights()
        try:
            return evaluate(step).metrics
        finally:
            if averages:
                optimizer.swap_weights()

    return measure


def find_broken(model):
    """The names of the model's variables whose norm is not finite: they hold a NaN, or numbers beyond all bounds."""
    import tensorflow as tf

    floats = [variable for variable in model.variables if variable.dtype.is_floating]
    return [one.name for one in floats if not tf.math.is_finite(tf.norm(one))]


def _write_hyperparameters(config, plan):
    """Notes for TensorBoard's HPARAMS what tells one run from another."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    train = config.train_config
    kind = train.optimizer.WhichOneof("optimizer")
    rates = schedule.list_learning_rates(train.optimizer)
    with tf.summary.record_if(True):
        api.hparams(
            {
                "batch_size": train.batch_size,
                "num_steps": train.num_steps,
                "optimizer": kind.removesuffix("_optimizer"),
                "learning_rate": max(rates, default=0.0),
                "moving_average": train.optimizer.use_moving_average,
                "augmentations": len(train.data_augmentation_options),
                "fine_tune_checkpoint_type": train.fine_tune_checkpoint_type or "none",
                "seed": plan.seed,
            }
        )
