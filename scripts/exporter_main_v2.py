#!/usr/bin/env python3
"""Exports a trained detector as a SavedModel, with upstream's flags and layout, and proves it equal to the checkpoint.

OUTPUT_DIRECTORY gets checkpoint/, pipeline.config, saved_model/, the label map, labels.txt and a model card, README.md,
whole or not at all. What was written is loaded and compared with the checkpoint on photos: a box that lies more than
half a pixel of the photo away, or a score that differs by more than 0.001, is an error.

    cd workspace/training_demo
    python exporter_main_v2.py --input_type image_tensor --pipeline_config_path models/my_model/pipeline.config \\
        --trained_checkpoint_dir models/my_model --output_directory exported_models/my_model
"""

import argparse
import shutil
from pathlib import Path

from tfod.model.checkpoints import choose_checkpoint, list_checkpoint_files, use_checkpoint
from tfod.utils import files
from tfod.utils.console import InputError, add_flag, make_parser, parse_count, parse_share, run, say

INPUT_TYPES = [
    "image_tensor",
    "encoded_image_string_tensor",
    "tf_example",
    "float_image_tensor",
    "image_and_boxes_tensor",
]


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--input_type", default="image_tensor", choices=INPUT_TYPES, help="what the model takes")
    parser.add_argument("--pipeline_config_path", required=True, help="pipeline.config of the model")
    parser.add_argument("--trained_checkpoint_dir", required=True, help="folder of the model's checkpoints")
    parser.add_argument("--output_directory", required=True, help="folder to write")
    parser.add_argument("--config_override", default="", help="text proto merged into the config")
    add_flag(parser, "use_side_inputs", False, "the model takes side inputs (Context R-CNN), given by:")
    parser.add_argument("--side_input_shapes", default="", help="their shapes, as 1,2000,2057/1")
    parser.add_argument("--side_input_types", default="", help="their types, as tf.float32,tf.int32")
    parser.add_argument("--side_input_names", default="", help="their names, as context_features,valid_context_size")
    add_flag(parser, "overwrite", False, "replace a former export in the output directory, and what was made from it")
    group = parser.add_argument_group("beyond upstream's")
    which = "the newest, that of best/, or ckpt-N; without it best where there is one, else latest"
    group.add_argument("--checkpoint", type=parse_checkpoint, metavar="latest|best|N", help=which)
    batch = "images a call; dynamic: any number; without it 1 for image_tensor, any number for the other types"
    group.add_argument("--batch_size", type=parse_batch, metavar="N|dynamic", help=batch)
    group.add_argument("--score_threshold", type=parse_share, help="leave out detections of a lower score, 0 to 1")
    group.add_argument(
        "--iou_threshold", type=parse_share, help="of boxes that overlap by more, the best stays, 0 to 1"
    )
    group.add_argument("--max_detections", type=parse_count, help="detections an image, at most")
    add_flag(group, "class_agnostic_nms", None, "an object is boxed once, even if it looks like two classes")
    group.add_argument("--sample_images", help="folder of photos to compare on; without it the evaluation records")
    group.add_argument("--samples", type=parse_count, default=5, help="number of photos to compare on")
    arguments = parser.parse_args()
    if arguments.use_side_inputs and arguments.input_type != "image_tensor":
        parser.error("--use_side_inputs works with --input_type image_tensor only")
    if arguments.batch_size and (arguments.use_side_inputs or arguments.input_type == "image_and_boxes_tensor"):
        parser.error("--batch_size works without side inputs and without boxes as input only")
    return arguments


def parse_checkpoint(word):
    if word not in ("latest", "best") and not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word} is neither latest nor best nor a number")
    return word


def parse_batch(word):
    return word if word == "dynamic" else parse_count(word)


def main():
    arguments = parse_arguments()
    from tfod.config import checks, edit, pipeline
    from tfod.export import saved_model
    from tfod.model import trained_on

    saved_model.refuse_other(Path(arguments.output_directory))
    folder = arguments.trained_checkpoint_dir
    choose_checkpoint(folder, arguments.checkpoint)  # before TensorFlow is imported: there may be none
    config = checks.read_checked_config(
        arguments.pipeline_config_path, folder, checks.EXPORT, override=arguments.config_override
    )
    edit.set_postprocessing(
        config,
        arguments.score_threshold,
        arguments.iou_threshold,
        arguments.max_detections,
        arguments.class_agnostic_nms,
    )
    label_map = pipeline.find_label_map(config) or trained_on.find_kept_map(folder)
    use_checkpoint(
        folder, arguments.checkpoint, lambda checkpoint: export_checkpoint(config, checkpoint, label_map, arguments)
    )


def export_checkpoint(config, checkpoint, label_map, arguments):
    """Exports one checkpoint unless it is up to date. Raises InputError, or TensorFlow's error if it is damaged."""
    from tfod.export.saved_model import MAKER, keep_files, list_kept

    output = Path(arguments.output_directory)
    sources = [*list_checkpoint_files(checkpoint), Path(checkpoint).parent / "metrics.json"]
    fingerprint = files.fingerprint(
        [*sources, label_map] if label_map else sources,
        config=config.SerializeToString(deterministic=True).hex(),
        input_type=arguments.input_type,
        batch_size=arguments.batch_size,
        side_inputs=[arguments.side_input_shapes, arguments.side_input_types, arguments.side_input_names],
    )
    # beside saved_model/, and not beside the export: other formats and a benchmark are put into its folder later
    if files.is_current(output / "saved_model", fingerprint, MAKER):
        say(f"{output} is up to date")
        return
    with files.write_whole(output) as fresh:  # which first clears up after a run that was killed
        list_kept(output, arguments.overwrite)
        say(f"exporting {checkpoint} to {output}")
        agreement = export(config, checkpoint, label_map, fresh, arguments)
        made = sorted(fresh.iterdir())
        files.mark_current(fresh / "saved_model", fingerprint, MAKER, made, output / "saved_model")
        kept = list_kept(output, arguments.overwrite)  # again: the export took minutes
        keep_files(kept, output, fresh)
    print(f"Exported {checkpoint} to {output}/saved_model; {agreement}")
    if kept:
        say(f"kept in {output}: {', '.join(str(path.relative_to(output)) for path in kept)}")


def export(config, checkpoint, label_map, folder, arguments):
    """Writes the export into `folder`, and returns how it compares. Raises InputError where it differs."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import model_builder

    from tfod.config import pipeline
    from tfod.export import parity, saved_model
    from tfod.export.tflite_metadata import list_labels
    from tfod.model import weights
    from tfod.model.tracing import trace_method_plainly
    from tfod.report import model_card

    tf.get_logger().setLevel("ERROR")  # SavedModel warns of every function it does not need to save
    model = model_builder.build(config.model, is_training=False)
    check_weights = weights.restore_weights(config, model, checkpoint)
    side_inputs = (arguments.side_input_shapes, arguments.side_input_types, arguments.side_input_names)
    module = saved_model.make_module(
        model, arguments.input_type, arguments.batch_size, side_inputs if arguments.use_side_inputs else None
    )
    function = trace_method_plainly(module, "__call__")  # makes the variables
    check_weights()
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), folder / "checkpoint", 1).save(checkpoint_number=0)
    saved_model.save(module, folder / "saved_model", function)
    pipeline.write_config(folder / "pipeline.config", config)
    if label_map:
        shutil.copyfile(label_map, folder / "label_map.pbtxt")
    else:
        say(f"{arguments.pipeline_config_path}: its label map is not there, so classes are called by their numbers")
    names = pipeline.read_class_names(config, folder)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in list_labels(names)), encoding="utf-8")
    photos, source = parity.find_sample_photos(config, arguments.samples, arguments.sample_images)
    agreement = parity.compare_with_model(folder / "saved_model", model, module, photos, arguments.input_type)
    if not agreement.holds():
        raise InputError(
            f"{arguments.output_directory}: the export differs from {checkpoint} on {source}: {agreement}; allowed are "
            f"{parity.ALLOWED}, so nothing was kept; look at pipeline.config, or give --sample_images"
        )
    text = f"compared with the checkpoint on {len(photos)} {source}: {agreement}"
    batch = saved_model.describe_batch(module)
    card = model_card.make_card(config, checkpoint, names, folder, arguments.input_type, batch, text)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return text


if __name__ == "__main__":
    run(main)
