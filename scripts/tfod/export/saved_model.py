"""A detector as a SavedModel: what it takes, and whether it finds what the model itself finds."""

import tfod.compat  # noqa: F401 - corrects object_detection at import


def make_module(model, options):
    """Upstream's tf.Module around `model` (DetectionModel) for the flags of the exporter, `options`.

    Its `__call__` is a tf.function with one input signature. Upstream takes one image a call for image_tensor and any
    number for the other types; `options.batch_size` sets another number, or "dynamic".
    """
    import tensorflow as tf
    from object_detection import exporter_lib_v2

    side_inputs = ()
    if options.use_side_inputs:
        side_inputs = exporter_lib_v2._combine_side_inputs(
            options.side_input_shapes, options.side_input_types, options.side_input_names
        )
    make = exporter_lib_v2.DETECTION_MODULE_MAP[options.input_type]
    module = make(model, options.use_side_inputs, list(side_inputs))
    if options.batch_size:
        batch = None if options.batch_size == "dynamic" else options.batch_size
        (spec,) = module.__call__.input_signature
        spec = tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype, spec.name or "input_tensor")
        module.__call__ = tf.function(module.__call__.python_function, input_signature=[spec])
    return module


def save(module, folder, function):
    """Writes `module` as a SavedModel whose one signature is the concrete `function`.

    tf-keras would trace every layer of the model once more, in training and in inference, which nobody calls: it takes
    most of the time, and nearly half of the file.
    """
    import tensorflow as tf
    from tf_keras.src.saving.legacy.saved_model.utils import keras_option_scope  # what save_traces=False sets

    with keras_option_scope(save_traces=False):
        tf.saved_model.save(module, str(folder), signatures=function)


def describe_batch(module):
    """How many images a call of the module takes, as text: "1", "8" or "any number"."""
    number = module.__call__.input_signature[0].shape[0]
    return "any number" if number is None else str(number)
