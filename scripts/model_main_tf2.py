#!/usr/bin/env python3
"""Trains a detector, or evaluates its newest checkpoint where --checkpoint_dir is given. Has all of upstream's flags.

    cd workspace/training_demo
    python model_main_tf2.py --model_dir=models/my_model --pipeline_config_path=models/my_model/pipeline.config
    python model_main_tf2.py --model_dir=models/my_model --pipeline_config_path=models/my_model/pipeline.config \\
        --checkpoint_dir=models/my_model
"""

import contextlib
import dataclasses
from pathlib import Path

from tfod.model.checkpoints import find_latest_checkpoint, require_checkpoint, try_checkpoints, watch_checkpoints
from tfod.training.plan import Plan
from tfod.utils.console import add_flag, make_parser, run, say


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--model_dir", required=True, help="folder of the checkpoints, curves and metrics")
    parser.add_argument("--pipeline_config_path", required=True, help="pipeline.config of the model")
    parser.add_argument("--num_train_steps", type=int, help="train to this step; by default the config's num_steps")

    # training
    parser.add_argument("--checkpoint_every_n", type=int, default=1000, help="steps between two checkpoints")
    parser.add_argument("--checkpoint_every_minutes", type=float, default=10, help="minutes between two at most")
    parser.add_argument("--eval_every_n", type=int, default=0, help="steps between two evaluations; 0 makes none")
    parser.add_argument(
        "--best_metric",
        default="DetectionBoxes_Precision/mAP",
        help="metric by which best/ is kept, with --eval_every_n",
    )
    parser.add_argument(
        "--patience", type=int, default=0, help="evaluations without a new best to stop after; 0: never"
    )
    parser.add_argument("--nan_retries", type=int, default=0, help="times to go back and halve the rate at a NaN loss")
    parser.add_argument("--seed", type=int, default=42, help="seed of new weights, of the shuffling and cropping")
    add_flag(parser, "deterministic", False, "the same losses to the last digit every time, on one CPU; slower")
    add_flag(parser, "mixed_precision", False, "compute in bfloat16, on GPUs of compute capability 8.0 and later")
    add_flag(parser, "jit_compile", False, "compile the step with XLA: SSD models only; on a CPU minutes before step 1")
    add_flag(parser, "require_gpu", False, "do not train where no GPU is seen")
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
    least = {
        1: ("num_train_steps", "checkpoint_every_n", "num_workers", "sample_1_of_n_eval_examples"),
        0: ("eval_every_n", "patience", "nan_retries", "seed"),
    }
    for number, names in least.items():
        for name in names:
            value = getattr(arguments, name)
            if value is not None and value < number:
                parser.error(f"--{name} is {value}; give {number} or more")
    if not arguments.checkpoint_every_minutes > 0:
        parser.error(f"--checkpoint_every_minutes is {arguments.checkpoint_every_minutes}; give more than 0")
    if arguments.patience and not arguments.eval_every_n:
        parser.error("--patience counts evaluations; give --eval_every_n, too")
    if arguments.eval_every_n and arguments.num_workers > 1:
        parser.error("--eval_every_n works with one worker; start another process with --checkpoint_dir and --watch")
    if arguments.deterministic and arguments.num_workers > 1:
        parser.error("--deterministic works with one worker")
    return arguments


def read_checked_config(arguments, *purposes):
    """The config, held to the rules of these purposes (of tfod.config.checks). Raises InputError with its faults.

    Its label maps are compared with that of the model's training first: other faults may only follow from that.
    """
    from tfod.config import checks, pipeline
    from tfod.model import trained_on
    from tfod.training import distributed

    config = pipeline.read_config(arguments.pipeline_config_path)
    if arguments.num_train_steps:
        config.train_config.num_steps = arguments.num_train_steps
    folder = arguments.checkpoint_dir or arguments.model_dir
    if trained_on.is_trained(folder):
        trained_on.hold_label_map(folder, *pipeline.list_label_maps(config))
    resumes = find_latest_checkpoint(arguments.model_dir) is not None
    found = checks.check_config(config, arguments.pipeline_config_path, *purposes, resumes=resumes)
    alone = found.faults or checks.TRAINING not in purposes
    checks.refuse_faults(found, *([] if alone else distributed.check_tf_config(arguments.num_workers)))
    return config


def make_plan(arguments):
    """The Plan of the training that the flags ask for."""
    flags = {"config_path": arguments.pipeline_config_path} | vars(arguments) | {"model_dir": Path(arguments.model_dir)}
    return Plan(**{field.name: flags[field.name] for field in dataclasses.fields(Plan)})


def train(arguments):
    """Trains, alone in the model's folder. Returns the exit code."""
    from tfod.config import checks

    plan = make_plan(arguments)
    purposes = [checks.TRAINING, checks.EVALUATION] if plan.eval_every_n else [checks.TRAINING]
    config = read_checked_config(arguments, *purposes)
    from tfod.model import training_lock
    from tfod.training import best_checkpoint, distributed

    if plan.eval_every_n:
        best_checkpoint.require_metric(config, plan.best_metric)
    chief = distributed.is_chief(plan.num_workers)
    with training_lock.lock_folder(plan.model_dir) if chief else contextlib.nullcontext():
        return go_on(config, plan, chief)


def go_on(config, plan, chief):
    """Trains from where the model's folder stands. Returns the exit code."""
    from tfod.model import saving, trained_on
    from tfod.training.input import list_train_records

    model_dir, last = plan.model_dir, config.train_config.num_steps
    if chief:
        starts = not trained_on.is_trained(model_dir)
        trained_on.keep_label_map(model_dir, config.train_input_reader.label_map_path, starts)
    step = saving.find_step(model_dir, last, chief)
    photos = trained_on.list_photos(list_train_records(config)) if chief else None
    changes = trained_on.find_changes(model_dir, photos)
    if ended := describe_end(plan, step, last):
        say(ended)
        if changes:
            more = f"`make train STEPS={2 * step}` (--num_train_steps={2 * step})"
            say(f"warning: the training records changed since: {changes}, which {model_dir} does not know;")
            say(f"  {more} goes on with them, `make train MODEL=another_name` (--model_dir) trains a new model")
        return 0
    from tfod.training import trainer

    say(f"training {model_dir} to step {last}")
    if changes:
        say(f"the training records changed since step {step}: {changes}; the training goes on with what is there now")
    trainer.set_up(config, plan)
    strategy = trainer.make_strategy(config, plan.num_workers, plan.use_tpu, plan.tpu_name)
    if chief:
        trained_on.note_training(model_dir, photos)
    outcome = trainer.train(config, plan, strategy)
    if outcome.ended_by == "patience":
        print(f"Ended at step {outcome.step}, no better in {plan.patience} evaluations; the best is {model_dir}/best")
    elif outcome.ended_by:
        say(f"stopped at step {outcome.step} of {last}, saved as {outcome.checkpoint}; the same command goes on there")
        return 128 + outcome.ended_by
    else:
        print(f"Trained to step {last}: {outcome.checkpoint}")
    return 0


def describe_end(plan, step, last):
    """Why a training that is at `step` of `last` is over, as text, or None."""
    from tfod.training.best_checkpoint import is_patience_over

    folder, patience = plan.model_dir, plan.patience
    if step >= last:
        return f"{folder} is at step {step} of {last}: nothing left to train"
    if is_patience_over(folder, plan):
        return f"{folder} ended at step {step}: no better in {patience} evaluations; more --patience goes on"
    return None


def evaluate(arguments):
    """Evaluates the newest checkpoint of --checkpoint_dir, or with --watch each that comes."""
    if not arguments.watch:
        require_checkpoint(arguments.checkpoint_dir)
    from tfod.config import checks

    on_train = arguments.eval_on_train_data
    config = read_checked_config(arguments, checks.TRAIN_DATA_EVALUATION if on_train else checks.EVALUATION)
    from tfod.evaluation import evaluator, metrics_files
    from tfod.model import trained_on

    reader = evaluator.get_reader(config, on_train)
    sample = arguments.sample_1_of_n_eval_on_train_examples if on_train else arguments.sample_1_of_n_eval_examples
    if sample:
        reader.sample_1_of_n_examples = sample
    folder = Path(arguments.model_dir)
    folder, summary_dir = (folder / "on_train", folder / "eval_on_train") if on_train else (folder, folder / "eval")
    if trained_on.is_trained(arguments.checkpoint_dir):  # else a training, which keeps it, is yet to write a checkpoint
        trained_on.keep_label_map(arguments.checkpoint_dir, reader.label_map_path)
    if arguments.watch:
        checkpoints = watch_checkpoints(arguments.checkpoint_dir, arguments.eval_timeout)
    else:
        checkpoints = try_checkpoints(arguments.checkpoint_dir, "latest")
    for report in evaluator.evaluate_checkpoints(config, checkpoints, folder, summary_dir, on_train):
        print(metrics_files.format_metrics(report), flush=True)
        if not arguments.watch or report["step"] >= config.train_config.num_steps:
            break


def main():
    arguments = parse_arguments()
    return evaluate(arguments) if arguments.checkpoint_dir else train(arguments)


if __name__ == "__main__":
    run(main)
