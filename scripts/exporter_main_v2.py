#!/usr/bin/env python3
"""Exports a trained detector as a SavedModel, with upstream's flags and layout.

OUTPUT_DIRECTORY gets checkpoint/, pipeline.config and saved_model/, whole or not at all.

    cd workspace/training_demo
    python exporter_main_v2.py --input_type image_tensor --pipeline_config_path models/my_model/pipeline.config \\
        --trained_checkpoint_dir models/my_model --output_directory exported_models/my_model
"""

from pathlib import Path

from tfod import files
from tfod.checkpoints import list_checkpoint_files, require_checkpoint
from tfod.console import InputError, add_flag, make_parser, run, say

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
    parser.add_argument("--trained_checkpoint_dir", required=True, help="folder whose newest checkpoint is exported")
    parser.add_argument("--output_directory", required=True, help="folder to write")
    parser.add_argument("--config_override", default="", help="text proto merged into the config")
    add_flag(parser, "use_side_inputs", False, "the model takes side inputs (Context R-CNN), given by:")
    parser.add_argument("--side_input_shapes", default="", help="their shapes, as 1,2000,2057/1")
    parser.add_argument("--side_input_types", default="", help="their types, as tf.float32,tf.int32")
    parser.add_argument("--side_input_names", default="", help="their names, as context_features,valid_context_size")
    add_flag(parser, "overwrite", False, "replace an export of another checkpoint in the output directory")
    arguments = parser.parse_args()
    if arguments.use_side_inputs and arguments.input_type != "image_tensor":
        parser.error("--use_side_inputs works with --input_type image_tensor only")
    return arguments


def main():
    arguments = parse_arguments()
    checkpoint = require_checkpoint(arguments.trained_checkpoint_dir)
    from tfod import pipeline_config

    config = pipeline_config.read_config(arguments.pipeline_config_path, arguments.config_override)
    if config.model.WhichOneof("model") is None:
        raise InputError(f"{arguments.pipeline_config_path}: has no model; name the trained model's pipeline.config")
    output = Path(arguments.output_directory)
    fingerprint = files.fingerprint(
        list_checkpoint_files(checkpoint),
        config=config.SerializeToString(deterministic=True).hex(),
        input_type=arguments.input_type,
        side_inputs=[arguments.side_input_shapes, arguments.side_input_types, arguments.side_input_names],
    )
    if files.is_current(output, fingerprint):
        say(f"{output} is up to date")
        return
    filled = output.exists() and any(output.iterdir())
    if filled and not arguments.overwrite:
        raise InputError(f"{output}: is there and holds another export; name another folder, or give --overwrite")
    if filled and not (output / "saved_model").is_dir():
        raise InputError(f"{output}: is there and holds no export, so it is not overwritten; name another folder")
    say(f"exporting {checkpoint} to {output}")
    with files.write_whole(output) as fresh:
        export(config, checkpoint, fresh, arguments)
    files.mark_current(output, fingerprint)
    print(f"Exported {checkpoint} to {output}/saved_model")


def export(config, checkpoint, folder, arguments):
    import tensorflow as tf
    from object_detection import exporter_lib_v2

    tf.get_logger().setLevel("ERROR")  # SavedModel warns of every function it does not need to save
    exporter_lib_v2.export_inference_graph(
        arguments.input_type,
        config,
        str(Path(checkpoint).parent),
        str(folder),
        arguments.use_side_inputs,
        arguments.side_input_shapes,
        arguments.side_input_types,
        arguments.side_input_names,
    )


if __name__ == "__main__":
    run(main)
