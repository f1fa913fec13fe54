"""Top module: the training loop, on the OD API's own model, input, loss and optimizer functions."""

import math
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

from tfod import checkpoints
from tfod.console import InputError, format_seconds, say, show_progress

SUMMARY_EVERY_N = 10  # steps between two points of TensorBoard's curves
IMAGES_EVERY_N = 100  # steps between two looks at training images in TensorBoard


def make_strategy(num_workers=1, use_tpu=False, tpu_name=None):
    """The tf.distribute strategy for the devices at hand, chosen as upstream's flags say.

    `num_workers` > 1 takes the cluster from TF_CONFIG. On one machine all GPUs are used, or the CPU.
    """
    import tensorflow as tf

    tf.config.set_soft_device_placement(True)
    if use_tpu:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu_name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if num_workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    # One device needs no mirroring, and is faster without.
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def train(config, model_dir, strategy, checkpoint_every_n=1000, record_summaries=True, use_tpu=False):
    """Trains the model of `config` (TrainEvalPipelineConfig) to its num_steps, from the newest checkpoint on.

    Writes model_dir/ckpt-STEP every `checkpoint_every_n` steps and at the last step, and TensorBoard's curves to
    model_dir/train. Returns the last checkpoint's prefix.

    Raises InputError where a loss is not finite.
    """
    import tensorflow as tf
    from object_detection import inputs
    from object_detection.builders import model_builder, optimizer_builder

    train_config = config.train_config
    if train_config.use_bfloat16 and use_tpu:
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    with strategy.scope():
        model = model_builder.build(config.model, is_training=True, add_summaries=record_summaries)

        def make_dataset(input_context):
            return inputs.train_input(
                train_config=train_config,
                train_input_config=config.train_input_reader,
                model_config=config.model,
                model=model,
                input_context=input_context,
            ).repeat()

        dataset = strategy.distribute_datasets_from_function(make_dataset)
        global_step = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="global_step",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        optimizer, (learning_rate,) = optimizer_builder.build(train_config.optimizer, global_step=global_step)
        manager = _restore(config, model_dir, strategy, model, optimizer, global_step, dataset)
        writer_dir = _own_folder(strategy, Path(model_dir) / "train")
        with tf.summary.create_file_writer(str(writer_dir)).as_default():
            tf.summary.experimental.set_step(global_step)  # for the summaries that the model itself writes
            run_step = _build_step(train_config, strategy, model, optimizer, global_step, record_summaries)
            _loop(run_step, iter(dataset), train_config, global_step, learning_rate, manager, checkpoint_every_n)
    return manager.latest_checkpoint


def _own_folder(strategy, folder):
    """`folder` for the chief; for another worker, whose files nobody reads, a folder of its own below it."""
    if strategy.extended.should_checkpoint:
        return folder
    return folder / f"temp_worker_{strategy.cluster_resolver.task_id:03d}"


def _restore(config, model_dir, strategy, model, optimizer, global_step, dataset):
    """Puts the newest checkpoint, or else the fine-tune checkpoint, into the model; returns the CheckpointManager."""
    import tensorflow as tf
    from object_detection import model_lib_v2
    from object_detection.utils import config_util, variables_helper

    train_config = config.train_config
    latest = checkpoints.find_latest_checkpoint(model_dir)
    unpad = train_config.unpad_groundtruth_tensors
    if train_config.optimizer.use_moving_average:
        # The moving average starts as a copy of the variables, so they have to be there.
        model_lib_v2._ensure_model_is_built(model, dataset, unpad)
        optimizer.shadow_copy(model)
    if train_config.fine_tune_checkpoint and not latest:
        config_util.update_fine_tune_checkpoint_type(train_config)
        kind = train_config.fine_tune_checkpoint_type
        variables_helper.ensure_checkpoint_supported(train_config.fine_tune_checkpoint, kind, model_dir)
        model_lib_v2.load_fine_tune_checkpoint(
            model,
            train_config.fine_tune_checkpoint,
            kind,
            train_config.fine_tune_checkpoint_version,
            train_config.run_fine_tune_checkpoint_dummy_computation,
            dataset,
            unpad,
        )
        say(f"starting from {train_config.fine_tune_checkpoint} ({kind})")
    checkpoint = tf.train.Checkpoint(step=global_step, model=model, optimizer=optimizer)
    keep = 7 if strategy.extended.should_checkpoint else 1
    manager = tf.train.CheckpointManager(checkpoint, str(_own_folder(strategy, Path(model_dir))), max_to_keep=keep)
    if latest:
        checkpoint.restore(latest)
        say(f"resuming {Path(model_dir).name} at step {int(global_step.numpy())} of {train_config.num_steps}")
    return manager


def _build_step(train_config, strategy, model, optimizer, global_step, record_summaries):
    """A tf.function: iterator -> losses of one training step, float32 scalars by upstream's names."""
    import tensorflow as tf
    from object_detection import model_lib_v2
    from object_detection.core import standard_fields

    clip = train_config.gradient_clipping_by_norm if train_config.gradient_clipping_by_norm > 0 else None

    def step(features, labels):
        if record_summaries:
            tf.summary.image(
                "train_input_images",
                features[standard_fields.InputDataFields.image],
                step=global_step,
                max_outputs=3,
            )
        losses = model_lib_v2.eager_train_step(
            model,
            features,
            labels,
            train_config.unpad_groundtruth_tensors,
            optimizer,
            training_step=global_step,
            add_regularization_loss=train_config.add_regularization_loss,
            clip_gradients_value=clip,
            num_replicas=strategy.num_replicas_in_sync,
        )
        global_step.assign_add(1)
        return losses

    @tf.function
    def run_step(iterator):
        features, labels = next(iterator)
        with tf.summary.record_if(lambda: tf.equal(global_step % IMAGES_EVERY_N, 0)):
            losses = strategy.run(step, args=(features, labels))
        # each replica's losses are already divided by their number
        return {name: strategy.reduce("SUM", loss, axis=None) for name, loss in losses.items()}

    return run_step


def _loop(run_step, iterator, train_config, global_step, learning_rate, manager, checkpoint_every_n):
    import tensorflow as tf

    start, last = int(global_step.numpy()), train_config.num_steps
    began, text = time.monotonic(), ""
    with show_progress("training", last, start) as update:
        for step in range(start + 1, last + 1):
            losses = run_step(iterator)
            if step % SUMMARY_EVERY_N == 0 or step == last:
                values = {name: float(loss) for name, loss in losses.items()}
                _require_finite(values, step)
                values["learning_rate"] = float(learning_rate() if callable(learning_rate) else learning_rate)
                values["steps_per_sec"] = (step - start) / (time.monotonic() - began)
                for name, value in values.items():
                    tf.summary.scalar(name, value, step=step)
                text = "loss {Loss/total_loss:.3f}, learning rate {learning_rate:.4f}".format_map(values)
            if step % checkpoint_every_n == 0 or step == last:
                manager.save(checkpoint_number=step)
            update(step, text)
    say(f"trained to step {last} in {format_seconds(time.monotonic() - began)}: {text}")


def _require_finite(losses, step):
    if not all(map(math.isfinite, losses.values())):
        parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
        raise InputError(
            f"step {step}: the loss is no longer a number ({parts}); lower learning_rate_base in pipeline.config, "
            "look for boxes without area in the data, and start again: training goes on from the last checkpoint"
        )
