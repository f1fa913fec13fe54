#!/usr/bin/env python3
"""Exports a trained detector as the SavedModel that convert_tflite.py makes TFLite files of, with upstream's flags.

SSD models with a fixed input size (all SSD MobileNet and SSD ResNet) and CenterNet can be TFLite files.
OUTPUT_DIRECTORY gets saved_model/, whole or not at all; it takes one image of the model's size, and is of no use alone.

    cd workspace/training_demo
    python ../../scripts/export_tflite_graph_tf2.py --pipeline_config_path exported_models/my_model/pipeline.config \\
        --trained_checkpoint_dir exported_models/my_model/checkpoint --output_directory exported_models/my_model/tflite
"""

from pathlib import Path

from tfod.model.checkpoints import choose_checkpoint, list_checkpoint_files, use_checkpoint
from tfod.utils import files
from tfod.utils.console import InputError, add_flag, make_parser, parse_count, run, say

MAKER = "export_tflite_graph_tf2"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--pipeline_config_path", required=True, help="pipeline.config of the model")
    parser.add_argument("--trained_checkpoint_dir", required=True, help="folder of the model's checkpoints")
    parser.add_argument("--output_directory", required=True, help="folder to write saved_model/ into")
    parser.add_argument("--config_override", default="", help="text proto merged into the config")
    most = "detections an image, at most; without it as many as the config's post-processing gives (upstream: 10)"
    parser.add_argument("--max_detections", type=parse_count, help=most)
    regular = (
        "suppress overlapping boxes within each class, as the SavedModel does, not across classes, which is faster; "
        "without it as the config's post-processing does (upstream: false)"
    )
    add_flag(parser, "ssd_use_regular_nms", None, regular)
    add_flag(parser, "centernet_include_keypoints", False, "CenterNet: keypoints, too")
    parser.add_argument("--keypoint_label_map_path", default="", help="CenterNet: label map of the keypoints")
    add_flag(parser, "overwrite", False, "replace a saved_model in the output directory that is of another checkpoint")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    output = Path(arguments.output_directory) / "saved_model"
    files.refuse_foreign(output, MAKER, "name another folder with --output_directory")
    choose_checkpoint(arguments.trained_checkpoint_dir)  # before TensorFlow is imported: there may be none
    from tfod.config import checks

    path, folder = arguments.pipeline_config_path, arguments.trained_checkpoint_dir
    config = checks.read_checked_config(path, folder, checks.EXPORT, checks.TFLITE, override=arguments.config_override)
    use_checkpoint(folder, None, lambda checkpoint: export_checkpoint(config, checkpoint, output, arguments))


def export_checkpoint(config, checkpoint, output, arguments):
    """Exports one checkpoint unless it is up to date. Raises InputError, or TensorFlow's error if it is damaged."""
    from tfod.config import edit
    from tfod.export import tflite

    most = arguments.max_detections or edit.count_detections(config)
    regular = tflite.suppresses_within_classes(config, arguments.ssd_use_regular_nms)
    options = {"most": most, "regular": regular, "keypoints": arguments.centernet_include_keypoints}
    fingerprint = files.fingerprint(
        list_checkpoint_files(checkpoint), config=config.SerializeToString(deterministic=True).hex(), **options
    )
    if files.is_current(output, fingerprint, MAKER):
        say(f"{output} is up to date")
        return
    if output.exists() and not arguments.overwrite:
        raise InputError(f"{output}: is there and of another checkpoint; name another folder, or give --overwrite")
    say(f"exporting {checkpoint} for TFLite to {output}")
    with files.write_whole(output, MAKER) as fresh:
        export(config, checkpoint, fresh, options, arguments)
    files.mark_current(output, fingerprint, MAKER)
    how = f", overlapping boxes suppressed {'within each class' if regular else 'across classes'}"
    suppression = how if config.model.WhichOneof("model") == "ssd" else ""
    print(f"Exported {checkpoint} for TFLite to {output}: {most} detections{suppression}")


def export(config, checkpoint, folder, options, arguments):
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection import export_tflite_graph_lib_tf2 as upstream
    from object_detection.builders import model_builder

    from tfod.export import saved_model
    from tfod.model import weights
    from tfod.model.tracing import trace_method_plainly

    tf.get_logger().setLevel("ERROR")  # SavedModel warns of every function it does not need to save
    if config.model.WhichOneof("model") == "ssd":
        model = model_builder.build(config.model, is_training=False)
        module = upstream.SSDModule(config, model, options["most"], options["regular"])
    else:
        labels = arguments.keypoint_label_map_path
        module = upstream.CenterNetModule(config, options["most"], options["keypoints"], labels)
        model = module.get_model()
    check_weights = weights.restore_weights(config, model, checkpoint)
    function = trace_method_plainly(module, "inference_fn", tf.TensorSpec(module.input_shape(), tf.float32, "input"))
    check_weights()
    saved_model.save(module, folder, function)


if __name__ == "__main__":
    run(main)
