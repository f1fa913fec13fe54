"""The stream of training batches, which a training that starts again goes on with where it stopped."""

import functools
import glob

import tfod.compat

from tfod.config.pipeline import get_model
from tfod.data.label_map import read_names
from tfod.data.samples import open_records, refuse_samples
from tfod.data.tfrecord import count_records, parse_example, read_records

SPARE_PIXELS = 3  # times the width and height that the model sees: what a crop of a ninth of a photo needs
SHUFFLE_BYTES = 256e6  # of encoded photos in the shuffle buffer at most; upstream's 2,048 photos can be gigabytes


def list_train_records(config):
    """The files of the training records, sorted."""
    patterns = config.train_input_reader.tf_record_input_reader.input_path
    return sorted({path for pattern in patterns for path in glob.glob(pattern)})


def count_images(config):
    """How many images the training records hold."""
    return sum(map(count_records, list_train_records(config)))


def build_train_input(config, model, seed, first_step=0, input_context=None):
    """Upstream's training input, a tf.data.Dataset of (features, labels), in an order of its own.

    Each epoch has every image once, in an order that depends on `seed` and the epoch only, so that the input can
    begin with the batch that follows step `first_step`. Several input pipelines share out the images of one order:
    together they get the batches that one would. Augmentations are drawn again. TensorFlow's global seed must not be 0.

    A photo much larger than the model's input is shrunk before it is augmented, which would take seconds for one of a
    phone's; see SPARE_PIXELS.

    config: TrainEvalPipelineConfig, its batch_size is that of all replicas together
    model: the DetectionModel, whose preprocessing is part of the input
    """
    from object_detection import inputs

    first = first_step * config.train_config.batch_size
    resizer = get_model(config).image_resizer
    order = functools.partial(_build_dataset, list_train_records(config), seed, first, resizer)
    with tfod.compat.replace_dataset_builder(order):
        return inputs.train_input(
            train_config=config.train_config,
            train_input_config=config.train_input_reader,
            model_config=config.model,
            model=model,
            input_context=input_context,
        )


def _build_dataset(
    files, seed, first, resizer, reader, *, batch_size, transform_input_data_fn, input_context, reduce_to_frame_fn
):
    """As upstream's dataset_builder.build, which takes `reader` and all after it, but endless, in our order, and with
    photos no larger than of use for `resizer` (ImageResizer)."""
    import tensorflow as tf
    from object_detection.builders import dataset_builder, decoder_builder
    from object_detection.protos import input_reader_pb2

    sequences = reader.input_type == input_reader_pb2.InputType.Value("TF_SEQUENCE_EXAMPLE")
    if sequences or reader.sample_from_datasets_weights:  # these keep upstream's order
        return dataset_builder.build(
            reader, batch_size, transform_input_data_fn, input_context, reduce_to_frame_fn
        ).repeat()
    records = _order_records(files, seed, first, reader)
    if input_context:
        batch_size = input_context.get_per_replica_batch_size(batch_size)
        records = records.shard(input_context.num_input_pipelines, input_context.input_pipeline_id)
    decoder = decoder_builder.build(reader)
    examples = records.map(lambda record: shrink_photo(decoder.decode(record), resizer), tf.data.AUTOTUNE)
    examples = examples.map(transform_input_data_fn, tf.data.AUTOTUNE)
    return examples.batch(batch_size, drop_remainder=True).prefetch(reader.num_prefetch_batches)


def shrink_photo(example, resizer):
    """The decoded `example` (dict of tensors by upstream's names) with its photo, uint8 [height, width, 3], shrunk to
    SPARE_PIXELS times the size that `resizer` (ImageResizer) makes of it, where it is larger.

    The pixels are chosen as that resizer chooses them when the model is used. An example with masks stays as it is:
    they are as large as their photo.
    """
    import tensorflow as tf
    from object_detection.core.standard_fields import InputDataFields

    kind = resizer.WhichOneof("image_resizer_oneof")
    known = ("fixed_shape_resizer", "keep_aspect_ratio_resizer")
    if kind not in known or InputDataFields.groundtruth_instance_masks in example:
        return example
    image, size = example[InputDataFields.image], getattr(resizer, kind)
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    if kind == "fixed_shape_resizer":
        scale = SPARE_PIXELS * tf.reduce_max([size.height, size.width] / sides)
    else:
        shorter, longer = tf.reduce_min(sides), tf.reduce_max(sides)
        scale = SPARE_PIXELS * tf.minimum(size.min_dimension / shorter, size.max_dimension / longer)

    def shrink():
        small = tf.image.resize(image, tf.cast(tf.round(scale * sides), tf.int32))
        return tf.cast(tf.round(small), image.dtype)

    small = tf.cond(scale < 1, shrink, lambda: image)
    small.set_shape([None, None, image.shape[2]])
    return {**example, InputDataFields.image: small}


def _order_records(files, seed, first, reader):
    """The endless stream of serialized examples from number `first` on."""
    import tensorflow as tf

    number = sum(map(count_records, files))
    size = sum(len(example) for _, example in zip(range(16), _read_all(files), strict=False)) / min(number, 16)
    buffer = max(min(number, reader.shuffle_buffer_size, int(SHUFFLE_BYTES / size)), 1)
    records = tf.data.TFRecordDataset(files)
    if reader.sample_1_of_n_examples > 1:
        records = records.shard(reader.sample_1_of_n_examples, 0)
        number = -(-number // reader.sample_1_of_n_examples)
    first_epoch, done = divmod(first, number)

    def order_epoch(epoch):
        rest = tf.where(epoch == first_epoch, tf.constant(done, tf.int64), 0)
        if not reader.shuffle:
            return records.skip(rest)
        return records.shuffle(buffer, seed=tf.cast(seed, tf.int64) * 1000003 + epoch + 1).skip(rest)

    return tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(order_epoch)


def _read_all(files):
    for path in files:
        yield from read_records(path)


def refuse_records(config, reason):
    """Raises InputError with what of the training records can't be read; see `tfod.data.samples.refuse_samples`."""
    names = read_names(config.train_input_reader.label_map_path)
    refuse_samples(open_records(list_train_records(config), names), reason)


def find_source_ids(config, hashes):
    """The names of the images whose hashes (features["hash"] of a batch) are these, sorted."""
    import tensorflow as tf
    from object_detection import inputs

    wanted = {int(number) for number in hashes}
    names = set()
    for example in _read_all(list_train_records(config)):
        features = parse_example(example)
        names.update(features.get("image/source_id") or features.get("image/filename") or [])
    found = [n for n in names if int(tf.strings.to_hash_bucket_fast(n, inputs.HASH_BINS)) in wanted]
    return sorted(name.decode(errors="replace") for name in found)
