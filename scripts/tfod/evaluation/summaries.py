"""An evaluation in TensorBoard: its metrics, the first images with what was found, and PR curves."""

import io

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import numpy as np
from PIL import Image

from tfod.evaluation.bootstrap import Matches, match_detections
from tfod.evaluation.results import Evaluated, load_photo
from tfod.utils.drawing import draw_detections

SIZE = 640  # pixels of a photo's longer side
THRESHOLDS = np.linspace(0, 1, 201)  # TensorBoard expects them evenly spaced from 0 to 1


def write_summaries(writer, step: int, metrics: dict[str, float], evaluated: Evaluated, eval_config) -> None:
    """Writes them to a tf.summary writer, metrics and images under upstream's names.

    As many images as `eval_config` (eval_pb2.EvalConfig) says, detections on the left and ground truth on the right.
    """
    import tensorflow as tf

    shown = eval_config.num_visualizations if eval_config.retain_original_images else 0
    with writer.as_default(step), tf.summary.record_if(True):
        for name, value in metrics.items():
            tf.summary.scalar(name, value)
        for index in range(min(shown, len(evaluated.images))):
            _write_image(f"eval_side_by_side_{index}_0", draw_side_by_side(evaluated, index, eval_config), step)
        write_pr_curves(evaluated, step)
    writer.flush()


def _write_image(name, image, step):
    """As tf.summary.image, but as JPEG: a photo as PNG is ten times as large, and takes longer than its evaluation."""
    import tensorflow as tf
    from tensorboard.plugins.image import metadata

    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=90)
    parts = tf.constant([str(image.width).encode(), str(image.height).encode(), encoded.getvalue()])
    tf.summary.write(name, parts, step, metadata.create_summary_metadata(display_name=name, description=""))


def draw_side_by_side(evaluated: Evaluated, index: int, eval_config) -> Image.Image:
    """The image with this index, twice, as one PIL image: left its detections, right, dashed, its ground truth."""
    photo = load_photo(evaluated.images[index])
    photo.thumbnail((SIZE, SIZE))
    halves = []
    for boxes, least in ((evaluated.detections, eval_config.min_score_threshold), (evaluated.ground_truth, None)):
        mine = np.arange(*np.searchsorted(boxes.image, [index, index + 1]))
        if least is not None:  # best first
            mine = mine[boxes.score[mine] >= least][: eval_config.max_num_boxes_to_visualize]
        image = evaluated.images[index]
        normalized = boxes.box[mine] / [image.height, image.width, image.height, image.width]
        labels = boxes.label[mine].tolist()
        names = [evaluated.names.get(label, f"class {label}") for label in labels]
        scores = None if least is None else boxes.score[mine]
        halves.append(draw_detections(photo, normalized, names, labels, scores, dashed=least is None))
    both = Image.new("RGB", (2 * photo.width + 4, photo.height), (255, 255, 255))
    for half, left in zip(halves, (0, photo.width + 4), strict=True):
        both.paste(half, (left, 0))
    return both


def write_pr_curves(evaluated: Evaluated, step: int) -> None:
    """Writes a curve of each class that has objects in `Evaluated`, at an IoU of 0.50, to the current summary writer.

    Needs `with writer.as_default():` around it, as all of tf.summary does. The tags are `PR at IoU 0.50/CLASS`.
    """
    import tensorflow as tf
    from tensorboard.plugins.pr_curve import metadata

    about = "Precision over recall at score thresholds from 0 to 1. A detection is right at an IoU of 0.50 or more."
    for label, matches in match_detections(evaluated, [0.5]).items():
        if matches.objects.sum():
            name = f"PR at IoU 0.50/{evaluated.names[label]}"
            form = metadata.create_summary_metadata(name, about, len(THRESHOLDS))
            tf.summary.write(name, count_at_thresholds(matches), step, form)


def count_at_thresholds(matches: Matches) -> np.ndarray:
    """float32 [6, thresholds] of one class's `Matches` at one IoU, over its detections of each threshold or more.

    The rows: true positives, false positives, true negatives (none in detection), missed objects, precision, recall.
    """
    right = matches.score[matches.correct[0]]
    wrong = matches.score[~(matches.correct[0] | matches.ignored[0])]
    # scores come best first; searchsorted wants them rising
    hits, false = (len(scores) - np.searchsorted(scores[::-1], THRESHOLDS, side="left") for scores in (right, wrong))
    total = matches.objects.sum()
    precision = hits / np.maximum(hits + false, 1)
    recall = hits / max(total, 1)
    return np.array([hits, false, 0 * hits, total - hits, precision, recall], np.float32)
