"""A detector as a SavedModel: what it takes, and whether it finds what the model itself finds."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.data.tfrecord import make_example
from tfod.export.exporting import list_detections, make_reference, turn_off_tf32
from tfod.export.parity import Agreement, compare_detections


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


def compare_with_model(folder, model, module, photos, input_type):
    """The `Agreement` of the SavedModel in `folder` with `model`, the checkpoint's, on `photos`.

    `photos` are uint8 arrays [height, width, 3]. Each is given to the SavedModel in a batch as large as it takes,
    filled with the photo and its mirror image; the model itself gets one photo a call. Where the model wants more than
    photos (boxes, side inputs), all outputs are compared with those of `module`, which was saved.
    """
    import tensorflow as tf

    turn_off_tf32()
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    signature = module.__call__.input_signature
    if len(signature) > 1:
        return _compare_outputs(function, module, photos)
    reference, batch = make_reference(model), signature[0].shape[0] or 2
    expected, found, sizes, raw = [], [], [], Agreement()
    for photo in photos:
        pair = [photo, photo[:, ::-1]]
        images = [pair[index % 2] for index in range(batch)]
        outputs = function(_make_feed(images, input_type))
        truth = [reference(image) for image in pair[:batch]]
        for index in range(batch):
            expected.append(list_detections(truth[index % 2]))
            found.append(list_detections(outputs, index))
            sizes.append(photo.shape[1::-1])
            compare_anchors(truth[index % 2], outputs, index, photo, raw)
    agreement = compare_detections(expected, found, sizes)
    return agreement if agreement.boxes or agreement.missing else raw  # a high score threshold may leave nothing


def compare_anchors(expected, found, index, photo, agreement, best=10):
    """Adds what the best anchors say before the suppression, where the model tells it (SSD and Faster R-CNN do).

    `expected` (of one photo) and `found` hold raw_detection_boxes [batch, A, 4] normalized and raw_detection_scores
    [batch, A, C], tensors or arrays; `index` is the photo's place in `found`.
    """
    names = ("raw_detection_boxes", "raw_detection_scores")
    if not all(name in outputs for name in names for outputs in (expected, found)):
        return
    (boxes, scores), (others, other_scores) = (
        [np.asarray(outputs[name][place]) for name in names] for outputs, place in ((expected, 0), (found, index))
    )
    top = np.argsort(-scores.max(axis=-1))[:best]
    scale = np.array(photo.shape[:2] * 2)
    agreement.boxes += list(np.abs((boxes[top] - others[top]) * scale).reshape(len(top), -1).max(axis=1).astype(float))
    agreement.scores += list(np.abs(scores[top] - other_scores[top]).max(axis=-1).astype(float))


def _make_feed(images, input_type):
    import tensorflow as tf

    if input_type == "image_tensor":
        return tf.constant(np.stack(images))
    if input_type == "float_image_tensor":
        return tf.constant(np.stack(images).astype(np.float32))
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    if input_type == "encoded_image_string_tensor":
        return tf.constant(encoded)
    height, width = images[0].shape[:2]
    return tf.constant([make_example("photo.png", data, "png", width, height, [], {}) for data in encoded])


def _compare_outputs(function, module, photos):
    import tensorflow as tf

    agreement = Agreement()
    chance = np.random.default_rng(0)
    for photo in photos:
        feeds = [tf.constant(photo[np.newaxis])]
        for spec in module.__call__.input_signature[1:]:
            shape = [size or 1 for size in spec.shape]
            values = np.sort(chance.random(shape)) if spec.dtype.is_floating else np.ones(shape)
            feeds.append(tf.constant(values, spec.dtype))
        names = [spec.name for spec in function.structured_input_signature[1].values()]
        found = function(**dict(zip(names, feeds, strict=True)))
        for name, expected in module.__call__(*feeds).items():
            largest = float(np.max(np.abs(expected - found[name]), initial=0))
            pixels = largest * max(photo.shape) if "boxes" in name else 0.0
            agreement.boxes.append(pixels)
            agreement.scores.append(largest if pixels == 0 else 0.0)
    return agreement
