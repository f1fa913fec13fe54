"""A model's detections and losses on labelled images, in batches, each image measured as if alone.

The input and the losses are upstream's own, and so are the numbers: those of its evaluation with a batch of one image.
"""

import collections
import contextlib
import copy
import itertools

import tfod.compat

import numpy as np

from tfod.data.images import map_in_threads
from tfod.data.samples import Result, refuse_samples
from tfod.model.saving import describe_failure
from tfod.model.tracing import build_plainly, trace_plainly
from tfod.utils.console import InputError

BATCH = 8
CALLS = 2  # of the model at the same time: the parts of one that keep a single core busy leave none idle
# The families whose predictions can be told apart by image; all others see one image at a time, as do models whose
# input has no fixed size.
BATCHED = ("ssd", "center_net")
FOUND = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


def build_forward(config, model, reader, batch=None):
    """Builds the pass of the DetectionModel `model` over images: returns `run(source)`, which yields every `Result`.

    config: TrainEvalPipelineConfig
    reader: its input_reader_pb2.InputReader for these images; where they are is what `source` says
    batch:  images a call, for a model that takes several; None: `BATCH`

    The graphs are made at the first `run`. It raises InputError at an image or label that is faulty.
    """
    from object_detection import inputs

    eval_config = copy.deepcopy(config.eval_config)
    eval_config.retain_original_images = False  # whoever wants to look at them can read them again
    family = config.model.WhichOneof("model")
    most = (batch or BATCH) if family in BATCHED else 1
    stream, facts = _Stream(), {}

    def build_dataset(reader, *, batch_size, transform_input_data_fn, **_):
        """As upstream's dataset_builder.build, but of the samples of `stream`, and in our batches."""
        import tensorflow as tf
        from object_detection.builders import decoder_builder

        examples = tf.data.Dataset.from_generator(stream.read, output_signature=tf.TensorSpec([], tf.string))
        examples = examples.map(decoder_builder.build(reader).decode, tf.data.AUTOTUNE)
        examples = examples.map(transform_input_data_fn, tf.data.AUTOTUNE)
        fixed = examples.element_spec[0]["image"].shape.is_fully_defined()
        facts["batch"] = most if fixed else 1
        return examples.padded_batch(facts["batch"]).prefetch(2)

    with tfod.compat.replace_dataset_builder(build_dataset):
        dataset = build_plainly(
            inputs.eval_input,
            eval_config=eval_config,
            eval_input_config=reader,
            model_config=config.model,
            model=model,
        )
    names = ("use_static_shapes", "use_static_balanced_label_sampler")
    static = any(getattr(getattr(config.model, family), name, False) for name in names)
    batch, measure = facts["batch"], _trace(model, None if static else dataset.element_spec, facts)

    def measure_batch(given):
        """(numbers of the images, their sizes [B, 2] (height, width), dict of what was found, losses [B, L])."""
        features, labels = given
        keys = features["hash"].numpy()
        count = len(keys)
        if count < batch:  # the model takes no fewer
            features, labels = _fill((features, labels), count, batch)
        found, losses = measure(features, labels)
        found = {name: part.numpy() for name, part in found.items()}
        return keys, features["original_image_spatial_shape"].numpy(), found, losses.numpy()

    def run(source):
        import tensorflow as tf

        model._is_training = False
        tf.keras.backend.set_learning_phase(False)
        with _name_faults(source, stream):
            batches = iter(dataset)
            with _look_at_graphs() as operations:  # they are made now
                first = [measure_batch(given) for given in itertools.islice(batches, 1)]
            # what a sum keeps there in the meantime has one name for all calls: "Resource __per_step_0 already exists"
            facts["alone"] = facts.get("alone", static) or "TemporaryVariable" in operations
            rest = map_in_threads(measure_batch, batches, 1 if facts["alone"] else CALLS)
            for keys, sizes, found, losses in itertools.chain(first, rest):
                for i in range(len(keys)):
                    height, width = map(int, sizes[i])
                    number = int(found["num_detections"][i])
                    label = found.get("detection_classes")
                    yield Result(
                        stream.read_ahead.popleft(),
                        (width, height),
                        found["detection_boxes"][i, :number],
                        None if label is None else label[i, :number].astype(np.int64) + 1,
                        found["detection_scores"][i, :number],
                        dict(zip(facts["losses"], losses[i].tolist(), strict=True)),
                        int(keys[i]),
                    )

    return run


@contextlib.contextmanager
def _look_at_graphs():
    """Yields a set to which the kinds of operations are added, after the block, of the graphs as TensorFlow made them
    from those that were first run within it."""
    from tensorflow.python.eager import context

    operations, eager = set(), context.context()
    eager.enable_graph_collection()
    try:
        yield operations
        for graphs in eager.export_run_metadata().function_graphs:
            for graph in graphs.partition_graphs:
                for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
                    operations.update(node.op for node in nodes)
    finally:
        eager.disable_graph_collection()


def _fill(parts, count, batch):
    """Nested tensors [count, ...] with the last entry repeated: [batch, ...]."""
    import tensorflow as tf

    indices = [*range(count), *[count - 1] * (batch - count)]
    return tf.nest.map_structure(lambda part: tf.gather(part, indices), parts)


class _Stream:
    """Hands the samples of a `Source` to TensorFlow, which reads ahead in a thread, and keeps those under way."""

    def __init__(self):
        self.source, self.read_ahead, self.fault = None, collections.deque(), None

    def read(self):
        try:
            for sample in self.source.read():
                self.read_ahead.append(sample._replace(example=b""))
                yield sample.example
        except InputError as fault:
            self.fault = fault  # ends the stream; TensorFlow would make a text of it


@contextlib.contextmanager
def _name_faults(source, stream):
    """Raises what is wrong with the samples as InputError."""
    import tensorflow as tf

    stream.source, stream.fault = source, None
    stream.read_ahead.clear()
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        refuse_samples(source, describe_failure(error))
    if stream.fault:
        raise stream.fault


def _trace(model, spec, facts):
    """A function of a batch of upstream's input: (dict of its `FOUND` tensors, losses float32 [batch, L]).

    Batches are as `spec` has them, so that one graph is good for images of all sizes; without it, each size has its
    own. `facts["losses"]` becomes the names of the L losses.
    """
    import tensorflow as tf
    from object_detection import model_lib
    from object_detection.utils import ops

    batch = facts["batch"]

    def provide(labels):
        model_lib.provide_groundtruth(model, model_lib.unstack_batch(labels, unpad_groundtruth_tensors=True))

    def measure_loss(predictions, shapes):
        losses = model.loss(predictions, shapes)
        facts["losses"] = list(losses)
        return tf.stack([tf.cast(loss, tf.float32) for loss in losses.values()])

    def choose(found):
        return {name: found[name] for name in FOUND if name in found}

    def hide_batch(part):
        return tf.compat.v1.placeholder_with_default(part, [None, *part.shape[1:]])

    def measure(features, labels):
        provide(labels)  # some models look at it while they predict
        shapes = features["true_image_shape"]
        side_inputs = model.get_side_inputs(features)
        predictions = ops.bfloat16_to_float32_nested(model.predict(features["image"], shapes, **side_inputs))
        anchors = {name: part for name, part in predictions.items() if name == "anchors"}  # the same for all images
        parts = {name: part for name, part in predictions.items() if name not in anchors}
        if batch == 1:
            return choose(model.postprocess(predictions, shapes)), measure_loss(predictions, shapes)[tf.newaxis]
        # of a batch of known size, the suppression of boxes would be in the graph once for each image
        some, their_shapes = tf.nest.map_structure(hide_batch, (parts, shapes))
        found = choose(model.postprocess({**some, **anchors}, their_shapes))

        def measure_one(index):
            mine = tf.nest.map_structure(lambda part: part[index][tf.newaxis], (parts, shapes, labels))
            provide(mine[2])
            return measure_loss({**mine[0], **anchors}, mine[1])

        return found, tf.map_fn(measure_one, tf.range(batch), fn_output_signature=tf.float32)

    if spec is None:
        return trace_plainly(measure)
    signature = tf.nest.map_structure(lambda part: tf.TensorSpec([batch, *part.shape[1:]], part.dtype), spec)
    return trace_plainly(measure, input_signature=signature)
