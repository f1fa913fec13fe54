"""The sets of data augmentation that `--augment` offers, as a pipeline.config has them."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

from google.protobuf import text_format
from object_detection.protos import train_pb2

_FLIP = "data_augmentation_options { random_horizontal_flip { } }"
# With a pad before it, a crop gives objects from half to twice their size.
_DEFAULT = """
data_augmentation_options { random_adjust_brightness { max_delta: 0.15 } }
data_augmentation_options { random_adjust_contrast { min_delta: 0.8 max_delta: 1.25 } }
data_augmentation_options { random_pad_image { } }
data_augmentation_options {
  random_crop_image {
    min_object_covered: 0.5 min_aspect_ratio: 0.6 max_aspect_ratio: 1.8 min_area: 0.25 max_area: 1.0 overlap_thresh: 0.3
  }
}
"""
# The hue changes by a fifth of its circle: not for classes that differ in nothing but their colour.
# random_patch_gaussian is left out: its patch is in pixels, whatever size a photo has.
_STRONG = """
data_augmentation_options { random_distort_color { } }
data_augmentation_options { random_rgb_to_gray { probability: 0.1 } }
data_augmentation_options { random_jpeg_quality { random_coef: 0.7 min_jpeg_quality: 40 max_jpeg_quality: 100 } }
data_augmentation_options { random_black_patches { max_black_patches: 5 probability: 0.3 size_to_image_ratio: 0.1 } }
data_augmentation_options { random_pad_image { } }
data_augmentation_options {
  random_crop_image {
    min_object_covered: 0.3 min_aspect_ratio: 0.5 max_aspect_ratio: 2.0 min_area: 0.1 max_area: 1.0 overlap_thresh: 0.3
  }
}
"""
SETS = {"light": _FLIP, "default": _FLIP + _DEFAULT, "strong": _FLIP + _STRONG}


def set_augmentation(train_config, name):
    """Puts the set `name` of SETS in the place of what `train_config` (TrainConfig) has."""
    wanted = text_format.Parse(SETS[name], train_pb2.TrainConfig())
    del train_config.data_augmentation_options[:]
    train_config.data_augmentation_options.extend(wanted.data_augmentation_options)
