"""Makes the data files that upstream's tests open and its package does not ship: our own, of the same names.

    python tests/upstream/make_data.py DATA_DIR

Writes below DATA_DIR/object_detection: data/pet_label_map.pbtxt, test_images/image1.jpg,
test_data/pets_examples.record, samples/configs/ssd_mobilenet_v2_pets_keras.config and
dataset_tools/densepose/UV_symmetry_transforms.mat.
"""

import argparse
import io
from pathlib import Path

import tfod.compat  # noqa: F401 - corrects object_detection at import

import numpy as np
import scipy.io
from PIL import Image

# The tests look two names up, and expect them to be classes 1 and 2 of 37.
CLASSES = ["Abyssinian", "american_bulldog", *(f"pet {number}" for number in range(3, 38))]

# model_lib_tf2_test trains this for two steps, evaluates it, and builds its input from it.
CONFIG = """
model {
  ssd {
    num_classes: 37
    image_resizer { fixed_shape_resizer { height: 300 width: 300 } }
    feature_extractor {
      type: "ssd_mobilenet_v2_keras"
      depth_multiplier: 1.0
      min_depth: 16
      conv_hyperparams {
        activation: RELU_6
        regularizer { l2_regularizer { weight: 4e-05 } }
        initializer { truncated_normal_initializer { stddev: 0.03 } }
        batch_norm { decay: 0.99 epsilon: 0.001 }
      }
    }
    box_predictor {
      convolutional_box_predictor {
        kernel_size: 1
        conv_hyperparams {
          regularizer { l2_regularizer { weight: 4e-05 } }
          initializer { truncated_normal_initializer { stddev: 0.03 } }
        }
      }
    }
    anchor_generator { ssd_anchor_generator { num_layers: 6 aspect_ratios: [1, 2, 0.5] } }
    box_coder { faster_rcnn_box_coder { } }
    matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.5 force_match_for_each_row: true } }
    similarity_calculator { iou_similarity { } }
    loss {
      classification_loss { weighted_sigmoid { } }
      localization_loss { weighted_smooth_l1 { } }
      hard_example_miner { num_hard_examples: 3000 iou_threshold: 0.99 max_negatives_per_positive: 3 }
      classification_weight: 1
      localization_weight: 1
    }
    post_processing { batch_non_max_suppression { iou_threshold: 0.6 } score_converter: SIGMOID }
  }
}
train_config {
  batch_size: 2
  num_steps: 10
  optimizer { momentum_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.001 } } } }
  fine_tune_checkpoint: "to be cleared by the tests"
  fine_tune_checkpoint_type: "classification"
  data_augmentation_options { random_horizontal_flip { } }
  max_number_of_boxes: 50
}
train_input_reader { label_map_path: "overridden" tf_record_input_reader { input_path: "overridden" } }
eval_config { metrics_set: "coco_detection_metrics" num_examples: 4 }
eval_input_reader { label_map_path: "overridden" num_epochs: 1 tf_record_input_reader { input_path: "overridden" } }
"""


def draw_photo(rng, height, width):
    """JPEG bytes of a smooth random picture."""
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def make_example(rng, number):
    """A serialized tf.train.Example with one or two boxes, as the OD API's own tools write it."""
    import tensorflow as tf
    from object_detection.utils import dataset_util

    height, width = 120 + 10 * number, 160
    count = 1 + number % 2
    corner = rng.uniform(0, 0.5, (2, count))
    size = rng.uniform(0.2, 0.5, (2, count))
    labels = rng.integers(1, 1 + len(CLASSES), count).tolist()
    features = {
        "image/height": dataset_util.int64_feature(height),
        "image/width": dataset_util.int64_feature(width),
        "image/filename": dataset_util.bytes_feature(b"%d.jpg" % number),
        "image/source_id": dataset_util.bytes_feature(b"%d" % number),
        "image/encoded": dataset_util.bytes_feature(draw_photo(rng, height, width)),
        "image/format": dataset_util.bytes_feature(b"jpeg"),
        "image/object/bbox/ymin": dataset_util.float_list_feature(corner[0].tolist()),
        "image/object/bbox/xmin": dataset_util.float_list_feature(corner[1].tolist()),
        "image/object/bbox/ymax": dataset_util.float_list_feature((corner + size)[0].tolist()),
        "image/object/bbox/xmax": dataset_util.float_list_feature((corner + size)[1].tolist()),
        "image/object/class/label": dataset_util.int64_list_feature(labels),
        "image/object/class/text": dataset_util.bytes_list_feature([CLASSES[n - 1].encode() for n in labels]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def make_data(root):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    for folder in ("core", "data", "dataset_tools/densepose", "samples/configs", "test_data", "test_images"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    items = [f'item {{\n  id: {number}\n  name: "{name}"\n}}\n' for number, name in enumerate(CLASSES, 1)]
    (root / "data/pet_label_map.pbtxt").write_text("".join(items))
    # Larger than [636, 512], which the tests give as the size of its valid part.
    (root / "test_images/image1.jpg").write_bytes(draw_photo(rng, 640, 1024))
    (root / "samples/configs/ssd_mobilenet_v2_pets_keras.config").write_text(CONFIG)
    # What becomes of a point of each of the body's 24 parts in a mirror: it goes to 1 - u, v.
    v, u = np.mgrid[:256, :256].astype(np.uint8)
    maps = {"U_transforms": np.empty((1, 24), object), "V_transforms": np.empty((1, 24), object)}
    for part in range(24):
        maps["U_transforms"][0, part], maps["V_transforms"][0, part] = 255 - u, v
    scipy.io.savemat(root / "dataset_tools/densepose/UV_symmetry_transforms.mat", maps)
    with tf.io.TFRecordWriter(str(root / "test_data/pets_examples.record")) as writer:
        for number in range(4):
            writer.write(make_example(rng, number))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    make_data(parser.parse_args().data_dir / "object_detection")
