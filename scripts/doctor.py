#!/usr/bin/env python3
"""Says whether this environment can train and evaluate: each part with ok, or with what to do.

make doctor
"""

import platform
import sys
from importlib import metadata
from pathlib import Path

from tfod.utils import nvidia
from tfod.utils.console import InputError, make_parser, run

REINSTALL = "`make clean-venv install` makes the environment again"
REMEDY = "`make install CUDA=1` installs CUDA's libraries"


def check(what, look):
    """Prints one line for `look()`, which returns what was seen, or raises; returns whether it is ok."""
    try:
        print(f"{what:<22} {look()}  ok", flush=True)
        return True
    except InputError as error:  # has a remedy of its own
        print(f"{what:<22} {error}", flush=True)
        return False
    except Exception as error:  # noqa: BLE001 - whatever is broken, a doctor names it and goes on
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"{what:<22} {type(error).__name__}: {reason[:300]}; {REINSTALL}", flush=True)
        return False


def see_python():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise RuntimeError(f"Python {platform.python_version()} is not one of 3.11, 3.12, 3.13 (PYTHON=python3.12)")
    return platform.python_version()


def see_tensorflow():
    import tfod.compat  # noqa: F401 - Keras 2, and a quiet start

    import tensorflow as tf

    return tf.__version__


def see_keras():
    import tensorflow as tf
    import tf_keras

    if tf.keras.Model is not tf_keras.Model:
        raise RuntimeError("tf.keras is Keras 3, and the OD API needs Keras 2 (set TF_USE_LEGACY_KERAS=1)")
    return tf_keras.__version__


def see_pycocotools():
    # fails where it was built against another numpy
    from pycocotools import mask

    if mask.area(mask.frPyObjects([[0, 0, 0, 2, 2, 2, 2, 0]], 4, 4))[0] != 4:
        raise RuntimeError("pycocotools measures a square of 2 by 2 pixels wrongly")
    return metadata.version("pycocotools")


def see_driver():
    driver = nvidia.read_driver()
    if driver is None:
        return "none"
    cards = (f"{name} (compute capability {major}.{minor})" for name, (major, minor) in driver.cards)
    return f"{driver.version}, {', '.join(cards)}"


def see_compiler():
    """What TensorFlow compiles a part of its code with when a card first runs it."""
    paths = nvidia.find_compiler()
    if nvidia.read_driver() is None or nvidia.is_hidden():
        return "not needed without a card" if None in paths else f"{paths[0]}, {paths[1].name}"
    missing = [name for name, path in zip(("ptxas", "libdevice.10.bc"), paths, strict=True) if path is None]
    if missing:
        raise InputError(f"{' and '.join(missing)}: not found, and the first step on the card fails; {REMEDY}")
    return f"{paths[0]}, {paths[1].name}"


def see_devices():
    if nvidia.read_driver() is None:
        if Path(nvidia.DEVICES[0]).exists():
            raise InputError(
                "a card is here (/dev/nvidiactl), and the driver does not answer; if nvidia-smi fails, too, install the"
                " driver again or reboot; in a container, see docs/gpu.md"
            )
        return "CPU only, no GPU seen"
    if nvidia.is_hidden():
        return "CPU only, CUDA_VISIBLE_DEVICES hides the card"
    gpus, missing = nvidia.ask_tensorflow()
    if gpus:
        return f"{len(gpus)} GPU: {', '.join(gpus)}"
    why = (
        f"it does not find {', '.join(missing)}; {REMEDY}"
        if missing
        else ("all its libraries are there; TF_CPP_MIN_LOG_LEVEL=0 make doctor shows its own words")
    )
    raise InputError(f"a card is here, and TensorFlow does not use it: {why}")


def see_object_detection():
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    from object_detection import exporter_lib_v2, model_lib_v2  # noqa: F401 - that they import is what is looked at

    return metadata.version("tf-models-research-object-detection")


def run_training_step():
    """One training step of a small SSD on a made-up image: shows that model, loss and optimizer work."""
    import math

    import tensorflow as tf
    from object_detection import model_lib_v2
    from object_detection.builders import model_builder, optimizer_builder
    from object_detection.core import standard_fields

    from tfod.config import pipeline

    config = pipeline.read_config(Path(__file__).resolve().parent / "configs" / "demo.config")
    model = model_builder.build(config.model, is_training=True)
    optimizer, _ = optimizer_builder.build(config.train_config.optimizer, global_step=tf.Variable(0, dtype=tf.int64))
    names = standard_fields.InputDataFields
    features = {
        names.image: tf.random.uniform([1, 192, 192, 3], -1, 1),
        names.true_image_shape: tf.constant([[192, 192, 3]]),
    }
    labels = {
        names.num_groundtruth_boxes: tf.constant([1]),
        names.groundtruth_boxes: tf.constant([[[0.2, 0.2, 0.7, 0.8]]]),
        names.groundtruth_classes: tf.constant([[[1.0]]]),
        names.groundtruth_weights: tf.constant([[1.0]]),
    }

    @tf.function
    def step():
        return model_lib_v2.eager_train_step(model, features, labels, False, optimizer, training_step=0)

    loss = float(step()["Loss/total_loss"])
    if not math.isfinite(loss):
        raise RuntimeError(f"the loss of a training step is {loss}")
    return f"loss {loss:.3f}"


def run_coco_evaluation():
    """COCO's mAP of one made-up image whose only object is found exactly: it has to be 1."""
    import contextlib
    import io

    import numpy as np
    from object_detection.core import standard_fields
    from object_detection.metrics import coco_evaluation

    truth, found = standard_fields.InputDataFields, standard_fields.DetectionResultFields
    box = np.array([[20.0, 20.0, 70.0, 80.0]], np.float32)
    evaluator = coco_evaluation.CocoDetectionEvaluator([{"id": 1, "name": "object"}])
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.add_single_ground_truth_image_info(
            "image", {truth.groundtruth_boxes: box, truth.groundtruth_classes: np.array([1])}
        )
        evaluator.add_single_detected_image_info(
            "image",
            {
                found.detection_boxes: box,
                found.detection_scores: np.array([0.9], np.float32),
                found.detection_classes: np.array([1]),
            },
        )
        value = evaluator.evaluate()["DetectionBoxes_Precision/mAP"]
    if abs(value - 1) > 1e-6:
        raise RuntimeError(f"COCO's mAP of a perfect detection is {value}")
    return f"mAP {value:.3f}"


CHECKS = {
    "Python": see_python,
    "TensorFlow": see_tensorflow,
    "Keras": see_keras,
    "numpy": lambda: metadata.version("numpy"),
    "protobuf": lambda: metadata.version("protobuf"),
    "pycocotools": see_pycocotools,
    "OD API": see_object_detection,
    "NVIDIA driver": see_driver,
    "CUDA's compiler": see_compiler,
    "devices": see_devices,
    "one training step": run_training_step,
    "one COCO evaluation": run_coco_evaluation,
}


def main():
    make_parser(__doc__).parse_args()
    results = [check(what, look) for what, look in CHECKS.items()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    run(main)
