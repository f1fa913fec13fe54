"""Runs one of upstream's test files under tfod.compat, and writes what became of each test as JSON.

    python tests/upstream/run_file.py object_detection.core.matcher_test DATA_DIR results.json

`run_upstream.py` calls this, once for each file: TensorFlow's state must not leak from one to the next.
"""

import argparse
import importlib.abc
import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import tfod.compat

import pytest

# numpy 1.24 took away its aliases of Python's own types, numpy 2 some spellings.
NUMPY_NAMES = [
    (r"\bnp\.(float|int|object|str)\b", r"\1"),
    (r"\bnp\.string_\b", "np.bytes_"),
    (r"\bnp\.NAN\b", "np.nan"),
]

# Pillow takes no pictures of float64, which the tests mean as random bytes.
RANDOM_PHOTO = ("np.random.rand(256, 256, 3)", "np.random.randint(0, 256, (256, 256, 3), dtype=np.uint8)")
SMALL_PHOTO = ("np.random.rand(8, 8, 3)", "np.random.randint(0, 256, (8, 8, 3), dtype=np.uint8)")
# The tests only look at shapes: no need for weights from the network.
NO_DOWNLOAD = ("weights='imagenet' if depth_multiplier == 1.0 else None", "weights=None")
# Faults of the tests on today's packages, as in tfod.compat.
tfod.compat.CORRECTIONS |= {
    f"object_detection.{module}": corrections
    for module, corrections in {
        # Finds our data file there.
        "core.densepose_ops": [("os.path.abspath(__file__)", "os.path.abspath('object_detection/core/any')")],
        # 7 decimal places of 0.6 are more than float32 has.
        "core.target_assigner_test": [("targets_pow[0, 2, 3, 0] ** 2)", "targets_pow[0, 2, 3, 0] ** 2, places=6)")],
        "dataset_tools.create_coco_tf_record_test": [RANDOM_PHOTO, SMALL_PHOTO],
        "dataset_tools.create_kitti_tf_record_test": [RANDOM_PHOTO],
        "dataset_tools.create_pascal_tf_record_test": [RANDOM_PHOTO],
        # numpy 2 makes no int out of an array of one.
        "meta_architectures.center_net_meta_arch_tf2_test": [
            ("int(detections['num_detections'])", "int(detections['num_detections'][0])")
        ],
        # TensorFlow's assertAllEqual does not take numpy's records.
        "metrics.oid_vrd_challenge_evaluation_utils_test": [
            ("self.assertAllEqual(\n        np.array(\n", "np.testing.assert_array_equal(\n        np.array(\n")
        ],
        "models.center_net_mobilenet_v2_feature_extractor_tf2_test": [
            ("include_top=False)", "include_top=False, weights=None)")
        ],
        "models.center_net_mobilenet_v2_fpn_feature_extractor": [NO_DOWNLOAD],
    }.items()
}


class Loader(tfod.compat.CorrectedLoader):
    """Loads a test module as if it lay in our data folder, where it then looks for its data files."""

    def __init__(self, fullname, path, data_dir):
        super().__init__(fullname, path)
        self.data_dir = data_dir

    def name_code(self, fullname):
        return str(Path(self.data_dir, *fullname.split("."))) + "[compat].py"

    def exec_module(self, module):
        module.__file__ = self.name_code(module.__name__)  # where tf.resource_loader starts to look
        super().exec_module(module)

    def correct(self, fullname, source):
        for old, new in NUMPY_NAMES:
            source = re.sub(old, new, source)
        return super().correct(fullname, source)


class Finder(importlib.abc.MetaPathFinder):
    def __init__(self, data_dir):
        self.data_dir = data_dir

    def find_spec(self, fullname, path=None, target=None):
        if not (fullname.startswith("object_detection.") and fullname.endswith("_test")):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec:
            spec.loader = Loader(fullname, spec.origin, self.data_dir)
        return spec


class Recorder:
    """A pytest plugin: notes `{id: [outcome, seconds, reason]}`, ids are `module::Class::test`."""

    def __init__(self, module):
        self.module = module
        self.results = {}

    def note(self, nodeid, outcome, seconds, reason):
        name = "::".join([self.module, *nodeid.split("::")[1:]])
        former = self.results.get(name, ["passed", 0, ""])
        # A test passes only if its set-up, its call and its tear-down do.
        worse = former if outcome == "passed" else [outcome, 0, reason]
        self.results[name] = [worse[0], former[1] + seconds, worse[2]]

    def pytest_runtest_logreport(self, report):
        reason = ""
        if report.skipped:
            reason = report.longrepr[2]
        elif report.failed:
            reason = report.longreprtext
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        self.note(report.nodeid, outcome, report.duration, reason)

    def pytest_collectreport(self, report):
        if report.failed:
            self.note(report.nodeid, "error", 0, report.longreprtext)


def run_file(module, data_dir, timeout):
    import tensorflow as tf

    # MirroredStrategy(['/cpu:0', '/cpu:1']) of model_lib_tf2_test blocks for ever where there is one CPU device.
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    sys.meta_path.insert(0, Finder(data_dir))
    os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"  # pytest's own check of the module's __file__, which we moved
    os.chdir(data_dir)  # some tests open "object_detection/test_images/image1.jpg"
    recorder = Recorder(module)
    path = importlib.util.find_spec(module).origin
    pytest.main(
        [
            path,
            # Otherwise pytest itself loads the test file, past our corrections.
            "--assert=plain",
            f"--timeout={timeout}",
            f"--rootdir={data_dir}",
            f"--config-file={os.devnull}",
            "-pno:cacheprovider",
            "-q",
        ],
        plugins=[recorder],
    )
    return recorder.results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module")
    parser.add_argument("data_dir", type=lambda path: Path(path).resolve())
    parser.add_argument("results", type=lambda path: Path(path).resolve())
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one test")
    args = parser.parse_args()
    results = run_file(args.module, args.data_dir, args.timeout)
    args.results.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
