"""The config of a detector that takes seconds to train."""

import tfod.compat  # noqa: F401 - corrects object_detection at import

from conftest import ROOT

from tfod.config import pipeline


def make_tiny_config(path):
    """The demo's config at 96 x 96 pixels with an eighth of the channels, half the levels and a backbone of half the
    layers, since what takes a tiny model's time is to build and trace them."""
    config = pipeline.read_config(ROOT / "scripts" / "configs" / "demo.config")
    ssd = config.model.ssd
    ssd.feature_extractor.type = "ssd_mobilenet_v1_fpn_keras"
    ssd.feature_extractor.fpn.max_level = ssd.anchor_generator.multiscale_anchor_generator.max_level = 4
    resizer = ssd.image_resizer.fixed_shape_resizer
    resizer.height = resizer.width = 96
    ssd.feature_extractor.depth_multiplier = 0.25
    ssd.feature_extractor.fpn.additional_layer_depth = 16
    predictor = ssd.box_predictor.weight_shared_convolutional_box_predictor
    predictor.depth = 16
    predictor.num_layers_before_predictor = 1
    for hyperparams in (ssd.feature_extractor.conv_hyperparams, predictor.conv_hyperparams):
        hyperparams.batch_norm.decay = 0.8  # forgets its start within 80 steps, after which all photos look alike
    pipeline.write_config(path, config)
