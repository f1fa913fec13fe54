"""Whether an export finds what its checkpoint finds: both run on the same photos, and their detections compared."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np

from tfod.config.pipeline import list_record_files
from tfod.data.images import list_images, read_workable
from tfod.data.tfrecord import make_example
from tfod.model.tracing import trace_plainly
from tfod.model.weights import run_model
from tfod.utils.console import InputError

PIXELS, SCORE = 0.5, 1e-3  # by how much an export may differ from its checkpoint
ALLOWED = f"{PIXELS} pixels and {SCORE}"
ALIKE = 1e-3  # of two scores that differ by less, either box may suppress the other
SURE = 0.3  # rounding does not make detections of this score appear or vanish
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes [N, 4], classes [N] and scores [N] of one photo


@dataclasses.dataclass
class Agreement:
    """What comparing detections found. `boxes` holds, for each pair of detections, by how many pixels of the photo
    the corner moved that moved most; `scores` by how much the score changed; `missing` counts those without a pair, and
    `left_out` the photos in which nothing stands out that could be compared."""

    boxes: list[float] = dataclasses.field(default_factory=list)
    scores: list[float] = dataclasses.field(default_factory=list)
    missing: int = 0
    left_out: int = 0

    @property
    def mean_box(self) -> float:
        return float(np.mean(self.boxes)) if self.boxes else 0.0

    @property
    def largest_box(self) -> float:
        return max(self.boxes, default=0.0)

    @property
    def largest_score(self) -> float:
        return max(self.scores, default=0.0)

    def holds(self, pixels: float = PIXELS, score: float = SCORE) -> bool:
        """True if each detection has its pair and none lies further apart than that; so, too, where there is none."""
        return not self.missing and self.largest_box <= pixels and self.largest_score <= score

    def __str__(self):
        photos = f"{self.left_out} photo{'s' * (self.left_out != 1)}"
        alike = f"; left out: what is found in {photos}, all of one score" if self.left_out else ""
        if not self.boxes and not self.missing:
            return f"no detections to compare{alike}"
        lost = f", {self.missing} without a counterpart" if self.missing else ""
        return (
            f"{len(self.boxes)} detections{lost}: boxes by {self.mean_box:.3f} pixels, at most {self.largest_box:.3f}, "
            f"scores by at most {self.largest_score:.5f}{alike}"
        )


def compare_detections(
    expected: Sequence[Found],
    found: Sequence[Found],
    sizes: Sequence[tuple[int, int]],
    score_threshold: float = 0.0,
    top: int = 10,
    least_spread: float = 0.0,
) -> Agreement:
    """The `Agreement` of two lists of detections, one per photo, each (boxes, classes, scores), best first.

    Boxes are float [N, 4] `[ymin, xmin, ymax, xmax]` normalized, classes [N] and scores [N]; `sizes` holds each photo's
    (width, height) in pixels. The `top` best of each photo, from `score_threshold` on, look for their pair among all of
    the other side: the nearest box of the same class that overlaps it by half. Those of `found` look, too, so that
    a detection too many counts. Which of two boxes of nearly one score comes first makes no difference.

    A photo is left out where the scores of its `top` best lie within `least_spread`, as those of a model that is hardly
    trained: rounding decides there which boxes come first, which others they suppress, and which come in their place.
    """
    agreement = Agreement()
    for ours, theirs, (width, height) in zip(expected, found, sizes, strict=True):
        if len(ours[2]) >= top and np.ptp(ours[2][:top]) < least_spread:
            agreement.left_out += 1
            continue
        scale = np.array([height, width, height, width], np.float64)
        agreement.missing += _pair(theirs, ours, scale, score_threshold, top, [], [])
        agreement.missing += _pair(ours, theirs, scale, score_threshold, top, agreement.boxes, agreement.scores)
    return agreement


def compare_formats(
    expected: Sequence[Found], found: Sequence[Found], sizes: Sequence[tuple[int, int]], family: str
) -> Agreement:
    """The `Agreement` of one model in two formats, as `compare_detections` has it, without what rounding decides.

    `family` is "ssd", "center_net" or "faster_rcnn". Of an SSD that is hardly trained nothing may be left: its anchors
    have to be compared, too (`compare_anchors`).
    """
    agreement = compare_detections(expected, found, sizes, least_spread=ALIKE if family == "ssd" else 0.0)
    # CenterNet finds the cells that no neighbour exceeds: of two that are equal either may be the one, or both
    if family == "center_net" and agreement.missing <= (len(agreement.boxes) + agreement.missing) / 10:
        agreement.missing = compare_detections(expected, found, sizes, SURE).missing
    return agreement


def _pair(these, those, scale, score_threshold, top, boxes, scores):
    """Pairs the best of `these` with `those`, notes the differences, and returns how many found no pair."""
    missing, taken = 0, set()
    for box, number, score in zip(*(np.asarray(part)[:top] for part in these), strict=True):
        if score < score_threshold or score <= 0 or not (box[2:] > box[:2]).all():
            continue
        best = None
        for index in np.flatnonzero(np.asarray(those[1]) == number):
            difference = float(np.abs((np.asarray(those[0][index], np.float64) - box) * scale).max())
            # of two boxes in one place, the score tells which is the same
            distance = difference + abs(float(those[2][index]) - float(score))
            if index not in taken and (best is None or distance < best[0]) and _overlap(box, those[0][index]) >= 0.5:
                best = distance, index, difference
        if best is None:
            missing += 1
            continue
        _, index, difference = best
        taken.add(index)
        boxes.append(difference)
        scores.append(abs(float(those[2][index]) - float(score)))
    return missing


def _overlap(one, other):
    """The intersection over union of two boxes; 1 for two equal ones without an area."""
    if np.array_equal(one, other):
        return 1.0
    top, left = np.maximum(one[:2], other[:2])
    bottom, right = np.minimum(one[2:], other[2:])
    shared = max(bottom - top, 0) * max(right - left, 0)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / both if both > 0 else 0.0


def make_reference(model) -> Callable[[np.ndarray], dict]:
    """`run(photo)` of the model itself: uint8 [height, width, 3] -> outputs of one photo, for `list_detections`."""
    import tensorflow as tf

    def run(image):
        found = run_model(model, image)
        return {**found, "detection_classes": tf.cast(found["detection_classes"], tf.float32) + 1}

    run = trace_plainly(run, input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])
    return lambda photo: run(tf.cast(photo, tf.float32)[tf.newaxis])


def turn_off_tf32() -> None:
    """Makes GPUs multiply in full float32: with TF32, their default, boxes differ by more than an export may."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def list_detections(outputs: dict, index: int = 0) -> Found:
    """One photo's (boxes [N, 4], classes [N] as ints, scores [N]) of a dict with upstream's detection_* tensors."""
    count = int(outputs["num_detections"][index])
    parts = (outputs[f"detection_{key}"][index][:count] for key in ("boxes", "classes", "scores"))
    boxes, classes, scores = (getattr(part, "numpy", lambda part=part: part)() for part in parts)
    return boxes, classes.astype(int), scores


def read_record_photos(paths: Iterable[Path], keep: set[int] | None = None) -> Iterator[np.ndarray]:
    """Yields the photos in record files, or those with the numbers `keep`, from 0: uint8 arrays [height, width, 3]."""
    import tensorflow as tf

    feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    for number, record in enumerate(tf.data.TFRecordDataset([str(path) for path in paths])):
        if keep is not None and number not in keep:
            continue
        encoded = tf.io.parse_single_example(record, feature)["image/encoded"]
        yield tf.io.decode_image(encoded, 3, expand_animations=False).numpy()


def find_sample_photos(config, number: int, folder: str | None = None) -> tuple[list[np.ndarray], str]:
    """(list of `number` photos to try a model on, what they are): uint8 arrays [height, width, 3].

    They are those of `folder`, else the first of the evaluation records of `config`, else pictures made here.
    """
    if folder:
        paths = list_images(folder)[:number]
        if not paths:
            raise InputError(f"{folder}: holds no images; name a folder of photos")
        return [np.asarray(read_workable(path)[0]) for path in paths], f"photos of {folder}"
    records = [path for reader in config.eval_input_reader for path in list_record_files(reader)]
    photos = []
    for photo in read_record_photos(records) if records else ():
        photos.append(photo)
        if len(photos) == number:
            break
    if photos:
        return photos, f"photos of {', '.join(map(str, records))}"
    chance = np.random.default_rng(0)
    coarse = [chance.integers(0, 256, (6, 8, 3), dtype=np.uint8) for _ in range(number)]
    return [
        picture.repeat(40, 0).repeat(40, 1) for picture in coarse
    ], "generated pictures (no evaluation records here)"


def compare_with_model(folder: Path, model, module, photos: Sequence[np.ndarray], input_type: str) -> Agreement:
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
        references = [reference(image) for image in pair[:batch]]
        for index in range(batch):
            expected.append(list_detections(references[index % 2]))
            found.append(list_detections(outputs, index))
            sizes.append(photo.shape[1::-1])
            compare_anchors(references[index % 2], outputs, index, photo, raw)
    agreement = compare_detections(expected, found, sizes)
    return agreement if agreement.boxes or agreement.missing else raw  # a high score threshold may leave nothing


def compare_anchors(
    expected: dict, found: dict, index: int, photo: np.ndarray, agreement: Agreement, best: int = 10
) -> None:
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
