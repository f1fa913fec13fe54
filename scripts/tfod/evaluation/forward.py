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


class Forward:
    """The pass of a DetectionModel over images: `run(source)` yields the `Result` of each.

    config: TrainEvalPipelineConfig
    reader: its input_reader_pb2.InputReader for these images; where they are is what `source` says
    batch:  images a call, for a model that takes several; None: `BATCH`
    """

    def __init__(self, config, model, reader, batch: int | None = None):
        family = config.model.WhichOneof("model")
        self.model, self.most = model, (batch or BATCH) if family in BATCHED else 1
        self.stream = _Stream()
        self.dataset = self._build_input(config, reader)  # which sets self.batch, the images of a call
        names = ("use_static_shapes", "use_static_balanced_label_sampler")
        static = any(getattr(getattr(config.model, family), name, False) for name in names)
        self.alone = static or None  # whether calls must not overlap; None: the graphs will tell
        self.loss_names = []  # known once the graph is made
        self.measure = self._trace(static)

    def run(self, source):
        """Yields a `Result` for each sample of `source` (`samples.Source`). The graphs are made at the first run.

        Raises InputError at an image or label that is faulty.
        """
        import tensorflow as tf

        self.model._is_training = False
        tf.keras.backend.set_learning_phase(False)
        with self.stream.open(source):
            batches = iter(self.dataset)
            first = self._measure_first(batches)
            rest = map_in_threads(self._measure_batch, batches, 1 if self.alone else CALLS)
            for measured in itertools.chain(first, rest):
                yield from self._make_results(*measured)

    def _build_input(self, config, reader):
        """Upstream's evaluation input, in our batches, of the samples of the stream."""
        from object_detection import inputs

        eval_config = copy.deepcopy(config.eval_config)
        eval_config.retain_original_images = False  # whoever wants to look at them can read them again
        with tfod.compat.replace_dataset_builder(self._read_stream):
            return build_plainly(
                inputs.eval_input,
                eval_config=eval_config,
                eval_input_config=reader,
                model_config=config.model,
                model=self.model,
            )

    def _read_stream(self, reader, *, batch_size, transform_input_data_fn, **_):
        """As upstream's dataset_builder.build, but of the samples of the stream, and in our batches."""
        import tensorflow as tf
        from object_detection.builders import decoder_builder

        examples = tf.data.Dataset.from_generator(self.stream.read, output_signature=tf.TensorSpec([], tf.string))
        examples = examples.map(decoder_builder.build(reader).decode, tf.data.AUTOTUNE)
        examples = examples.map(transform_input_data_fn, tf.data.AUTOTUNE)
        fixed = examples.element_spec[0]["image"].shape.is_fully_defined()
        self.batch = self.most if fixed else 1
        return examples.padded_batch(self.batch).prefetch(2)

    def _trace(self, static):
        """`_measure` as a graph. One is good for images of all sizes; a model of `static` shapes has one for each."""
        import tensorflow as tf

        if static:
            return trace_plainly(self._measure)
        signature = tf.nest.map_structure(
            lambda part: tf.TensorSpec([self.batch, *part.shape[1:]], part.dtype), self.dataset.element_spec
        )
        return trace_plainly(self._measure, input_signature=signature)

    def _measure(self, features, labels):
        """Of a batch of upstream's input: (dict of its `FOUND` tensors, losses float32 [batch, L])."""
        import tensorflow as tf
        from object_detection.utils import ops

        self._provide(labels)  # some models look at it while they predict
        shapes = features["true_image_shape"]
        side_inputs = self.model.get_side_inputs(features)
        predictions = ops.bfloat16_to_float32_nested(self.model.predict(features["image"], shapes, **side_inputs))
        if self.batch == 1:
            found = self.model.postprocess(predictions, shapes)
            return _choose(found), self._measure_losses(predictions, shapes)[tf.newaxis]
        anchors = {name: part for name, part in predictions.items() if name == "anchors"}  # the same for all images
        parts = {name: part for name, part in predictions.items() if name not in anchors}
        # of a batch of known size, the suppression of boxes would be in the graph once for each image
        some, their_shapes = tf.nest.map_structure(_hide_batch, (parts, shapes))
        found = self.model.postprocess({**some, **anchors}, their_shapes)

        def measure_one(index):
            mine = tf.nest.map_structure(lambda part: part[index][tf.newaxis], (parts, shapes, labels))
            self._provide(mine[2])
            return self._measure_losses({**mine[0], **anchors}, mine[1])

        return _choose(found), tf.map_fn(measure_one, tf.range(self.batch), fn_output_signature=tf.float32)

    def _provide(self, labels):
        from object_detection import model_lib

        model_lib.provide_groundtruth(self.model, model_lib.unstack_batch(labels, unpad_groundtruth_tensors=True))

    def _measure_losses(self, predictions, shapes):
        import tensorflow as tf

        losses = self.model.loss(predictions, shapes)
        self.loss_names = list(losses)
        return tf.stack([tf.cast(loss, tf.float32) for loss in losses.values()])

    def _measure_first(self, batches):
        """A list of what `_measure_batch` returns of the first of `batches`, if any: the graphs are made by that."""
        with _look_at_graphs() as operations:
            first = [self._measure_batch(batch) for batch in itertools.islice(batches, 1)]
        if self.alone is None:
            # what a sum keeps there in the meantime has one name for all calls: "Resource __per_step_0 already exists"
            self.alone = "TemporaryVariable" in operations
        return first

    def _measure_batch(self, batch):
        """(numbers of the images, their sizes [B, 2] (height, width), dict of what was found, losses [B, L])."""
        features, labels = batch
        keys, count = features["hash"].numpy(), len(features["hash"])
        if count < self.batch:  # the model takes no fewer
            features, labels = _fill((features, labels), count, self.batch)
        found, losses = self.measure(features, labels)
        found = {name: part.numpy() for name, part in found.items()}
        return keys, features["original_image_spatial_shape"].numpy(), found, losses.numpy()

    def _make_results(self, keys, sizes, found, losses):
        for i in range(len(keys)):
            height, width = map(int, sizes[i])
            number = int(found["num_detections"][i])
            label = found.get("detection_classes")
            yield Result(
                self.stream.under_way.popleft(),
                (width, height),
                found["detection_boxes"][i, :number],
                None if label is None else label[i, :number].astype(np.int64) + 1,
                found["detection_scores"][i, :number],
                dict(zip(self.loss_names, losses[i].tolist(), strict=True)),
                int(keys[i]),
            )


class _Stream:
    """Hands the samples of a `Source` to TensorFlow, which reads ahead in a thread, and keeps those under way."""

    def __init__(self):
        self.source, self.under_way, self.fault = None, collections.deque(), None

    @contextlib.contextmanager
    def open(self, source):
        """In the block, the samples are those of `source`. Raises what is wrong with them as InputError."""
        import tensorflow as tf

        self.source, self.fault = source, None
        self.under_way.clear()
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            refuse_samples(source, describe_failure(error))
        if self.fault:
            raise self.fault

    def read(self):
        try:
            for sample in self.source.read():
                self.under_way.append(sample._replace(example=b""))
                yield sample.example
        except InputError as fault:
            self.fault = fault  # ends the stream; TensorFlow would make a text of it


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


def _choose(found):
    return {name: found[name] for name in FOUND if name in found}


def _hide_batch(part):
    """The tensor `part` [batch, ...] as one whose batch has any size."""
    import tensorflow as tf

    return tf.compat.v1.placeholder_with_default(part, [None, *part.shape[1:]])
