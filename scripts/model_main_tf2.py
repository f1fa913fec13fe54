#!/usr/bin/env python3
"""Trains a detector, or evaluates its newest checkpoint where --checkpoint_dir is given. Has all of upstream's flags.

    cd workspace/training_demo
    python model_main_tf2.py --model_dir=models/my_model --pipeline_config_path=models/my_model/pipeline.config
    python model_main_tf2.py --model_dir=models/my_model --pipeline_config_path=models/my_model/pipeline.config \\
        --checkpoint_dir=models/my_model
"""

import json
import os
from glob import glob
from pathlib import Path

from tfod import files
from tfod.checkpoints import find_latest_checkpoint, list_checkpoint_files, require_checkpoint
from tfod.console import InputError, add_flag, make_parser, run, say


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--model_dir", required=True, help="folder of the checkpoints, curves and metrics")
    parser.add_argument("--pipeline_config_path", required=True, help="pipeline.config of the model")
    parser.add_argument("--num_train_steps", type=int, help="train to this step; by default the config's num_steps")

    # training
    parser.add_argument("--checkpoint_every_n", type=int, default=1000, help="steps between two checkpoints")
    parser.add_argument("--seed", type=int, default=42, help="seed of new weights, of the shuffling and cropping")
    add_flag(parser, "record_summaries", True, "write training images and the model's own summaries for TensorBoard")
    parser.add_argument("--num_workers", type=int, default=1, help="machines that train together, named in TF_CONFIG")
    add_flag(parser, "use_tpu", False, "train on a TPU")
    parser.add_argument("--tpu_name", help="name of the Cloud TPU")

    # evaluation
    parser.add_argument("--checkpoint_dir", help="evaluate the newest checkpoint of this folder instead of training")
    add_flag(parser, "watch", False, "go on evaluating new checkpoints until the last step's was evaluated")
    parser.add_argument("--eval_timeout", type=int, default=3600, help="seconds that --watch waits for a checkpoint")
    parser.add_argument("--sample_1_of_n_eval_examples", type=int, help="evaluate one image of so many; default all")
    add_flag(parser, "eval_on_train_data", False, "evaluate on the training records")
    parser.add_argument(
        "--sample_1_of_n_eval_on_train_examples", type=int, default=5, help="the same for --eval_on_train_data"
    )
    arguments = parser.parse_args()
    for name in ("num_train_steps", "checkpoint_every_n", "num_workers", "sample_1_of_n_eval_examples"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}; give 1 or more")
    return arguments


def read_checked_config(arguments, for_training):
    from tfod import pipeline_config

    config = pipeline_config.read_config(arguments.pipeline_config_path)
    faults = pipeline_config.find_faults(config, arguments.pipeline_config_path, for_training)
    if arguments.num_train_steps:
        config.train_config.num_steps = arguments.num_train_steps
    if for_training and not config.train_config.num_steps:
        faults.append(f"{arguments.pipeline_config_path}: num_steps is not set; set it, or give --num_train_steps")
    if for_training and not faults:
        faults = find_worker_faults(config, arguments.num_workers)
    if faults:
        raise InputError(*faults)
    return config


def find_worker_faults(config, num_workers):
    """What keeps several workers from training together, as texts: TF_CONFIG, and records for each of them."""
    if num_workers == 1:
        return []
    faults = []
    patterns = config.train_input_reader.tf_record_input_reader.input_path
    records = sum(len(glob(pattern)) for pattern in patterns)
    if records < num_workers:
        faults.append(
            f"{', '.join(patterns)}: files found: {records}, needed: {num_workers}, since every worker reads its own; "
            f"make tfrecord SHARDS={num_workers}"
        )
    try:
        workers = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
        if len(workers) != num_workers:
            faults.append(f"TF_CONFIG: names {len(workers)} workers, and --num_workers is {num_workers}; name all")
    except (KeyError, TypeError, ValueError):
        faults.append("TF_CONFIG: is not set, or names no workers; docs/gpu.md shows one for each machine")
    return faults


def train(arguments):
    config = read_checked_config(arguments, for_training=True)
    last = config.train_config.num_steps
    checkpoint = find_latest_checkpoint(arguments.model_dir)

    import tensorflow as tf

    from tfod import training

    if checkpoint:
        step = int(tf.train.load_variable(checkpoint, "step/.ATTRIBUTES/VARIABLE_VALUE"))
        if step >= last:
            say(f"{arguments.model_dir} is at step {step} of {last}: nothing left to train")
            return
    say(f"training {arguments.model_dir} to step {last}, {config.train_config.batch_size} images a step")
    say(f"seed {arguments.seed}")
    tf.keras.utils.set_random_seed(arguments.seed)
    strategy = training.make_strategy(arguments.num_workers, arguments.use_tpu, arguments.tpu_name)
    checkpoint = training.train(
        config,
        arguments.model_dir,
        strategy,
        checkpoint_every_n=arguments.checkpoint_every_n,
        record_summaries=arguments.record_summaries,
        use_tpu=arguments.use_tpu,
    )
    print(f"Trained to step {last}: {checkpoint}")


def evaluate(arguments):
    if not arguments.watch:
        require_checkpoint(arguments.checkpoint_dir)
    on_train = arguments.eval_on_train_data
    config = read_checked_config(arguments, for_training=on_train)
    from tfod import evaluation

    reader = config.train_input_reader if on_train else config.eval_input_reader[0]
    sample = arguments.sample_1_of_n_eval_on_train_examples if on_train else arguments.sample_1_of_n_eval_examples
    if sample:
        reader.sample_1_of_n_examples = sample
    model_dir = Path(arguments.model_dir)
    metrics_path = model_dir / ("metrics_on_train.json" if on_train else "metrics.json")
    records = [name for pattern in reader.tf_record_input_reader.input_path for name in sorted(glob(pattern))]
    evaluate_checkpoint = None
    for checkpoint in find_checkpoints(arguments):
        fingerprint = files.fingerprint(
            [*list_checkpoint_files(checkpoint), *records, reader.label_map_path],
            config=config.SerializeToString(deterministic=True).hex(),
        )
        if files.is_current(metrics_path, fingerprint):
            say(f"{metrics_path} is up to date")
        else:
            say(f"evaluating {checkpoint} on {', '.join(records)}")
            if evaluate_checkpoint is None:
                summary_dir = model_dir / ("eval_on_train" if on_train else "eval")
                evaluate_checkpoint = evaluation.build_evaluation(config, summary_dir, on_train)
            step, metrics = evaluate_checkpoint(checkpoint)
            evaluation.write_metrics(metrics_path, step, checkpoint, metrics)
            files.mark_current(metrics_path, fingerprint)
        report = evaluation.read_metrics(metrics_path)
        print(evaluation.format_metrics(report), flush=True)
        if report["step"] >= config.train_config.num_steps:
            break


def find_checkpoints(arguments):
    """Yields the newest checkpoint; with --watch also each newer one, until none came for --eval_timeout seconds."""
    if not arguments.watch:
        yield require_checkpoint(arguments.checkpoint_dir)
        return
    import tensorflow as tf

    found = None
    for found in tf.train.checkpoints_iterator(arguments.checkpoint_dir, timeout=arguments.eval_timeout):
        yield found
    if found is None:
        raise InputError(f"{arguments.checkpoint_dir}: no checkpoint came in {arguments.eval_timeout} s; train first")


def main():
    arguments = parse_arguments()
    evaluate(arguments) if arguments.checkpoint_dir else train(arguments)


if __name__ == "__main__":
    run(main)
