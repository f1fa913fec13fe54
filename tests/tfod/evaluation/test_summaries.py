import io

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import numpy as np
import tensorflow as tf
from conftest import draw_photo
from object_detection.protos import eval_pb2
from PIL import Image as Pillow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth
from tfod.evaluation.summaries import draw_side_by_side, write_summaries


def make_evaluated(folder):
    """Three photos with one object each, of which the second is found, and a weak wrong detection."""
    images = []
    for number in range(3):
        draw_photo(number, (900, 600)).save(folder / f"{number}.png")
        images.append(Image(f"{number}.png", 900, 600, str(folder / f"{number}.png")))
    box = [[100, 150, 400, 600]] * 3
    found = make_detections([1, 1], [2, 1], [[110, 160, 410, 590], [0, 0, 50, 50]], [0.9, 0.2])
    return Evaluated({1: "cat", 2: "dog"}, images, make_ground_truth([0, 1, 2], [1, 2, 1], box), found)


def test_everything_is_there_under_upstreams_names(tmp_path):
    config = eval_pb2.EvalConfig(num_visualizations=2)
    writer = tf.summary.create_file_writer(str(tmp_path / "eval"))
    with tf.summary.record_if(False):  # as around an evaluation while training
        write_summaries(writer, 7, {"Loss/total_loss": 0.5}, make_evaluated(tmp_path), config)
    events = EventAccumulator(str(tmp_path / "eval"))
    events.Reload()
    tensors = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    assert [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in tensors.pop("Loss/total_loss")] == [
        (7, 0.5)
    ]
    images = [tag for tag in tensors if tag.startswith("eval_side_by_side")]
    assert images == ["eval_side_by_side_0_0", "eval_side_by_side_1_0"]
    width, height, encoded = tf.make_ndarray(tensors[images[0]][0].tensor_proto)
    with Pillow.open(io.BytesIO(encoded)) as image:
        assert image.size == (int(width), int(height)) == (2 * 640 + 4, 427)
    assert {tag for tag in tensors if tag.startswith("PR")} == {"PR at IoU 0.50/cat", "PR at IoU 0.50/dog"}


def test_image_shows_detections_beside_the_ground_truth(tmp_path):
    evaluated = make_evaluated(tmp_path)
    both = np.asarray(draw_side_by_side(evaluated, 1, eval_pb2.EvalConfig())).astype(int)
    plain = np.asarray(draw_side_by_side(evaluated, 0, eval_pb2.EvalConfig()))
    left, right = both[:, :640], both[:, 644:]
    changed = (np.abs(left - right).max(2) > 30).mean()
    assert 0.005 < changed < 0.2  # frames and labels, on the same photo
    photo = Pillow.open(tmp_path / "0.png").convert("RGB")
    photo.thumbnail((640, 640))
    assert (plain[:, :640] == np.asarray(photo)).all()  # nothing was found there
    assert (plain[:, 644:] != np.asarray(photo)).any()
