"""Runs the OD API's own tests for TensorFlow 2, which come with its package, under tfod.compat.

    python tests/upstream/run_upstream.py --fast

Each file runs in a process of its own, on data files of our own making in a temporary folder; nothing is downloaded.
Ends with 0 if exactly those tests fail that tests/upstream/known_failures.toml lists, with 1 otherwise.
"""

import collections
import concurrent.futures
import fnmatch
import importlib.util
import json
import multiprocessing
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from tfod.utils.console import InputError, make_parser, run, say

UPSTREAM = Path(__file__).resolve().parent
KNOWN_FAILURES = UPSTREAM / "known_failures.toml"
LINES = 40  # the most that are shown of why a test fails
OUTCOMES = ("passed", "failed", "error", "skipped")

# Paths below object_detection.
NOT_RUN = [
    "*_tf1_test.py",  # TensorFlow 1 only
    "nets/*",  # slim's, TensorFlow 1 only
    "deployment/*",  # slim's too
    "builders/model_builder_test.py",  # the abstract base class of model_builder_tf2_test, whose tests run there
]
# What tfod.compat corrects, and what this project calls of SSD, EfficientDet, Faster R-CNN, CenterNet and all around
# them. Left out is what takes a minute and more, and `make test-families` runs from end to end.
FAST = [
    "anchor_generators/*",
    "box_coders/*",
    "builders/*",
    "core/[!dk]*",  # not densepose_ops, keypoint_ops
    "data_decoders/tf_example_decoder_test.py",
    "dataset_tools/seq_example_util_test.py",
    "matchers/*",
    "meta_architectures/center_net_*",
    "meta_architectures/ssd_*",
    "metrics/coco_*",
    "metrics/tf_example_parser_test.py",
    "models/bidirectional_*",
    "models/center_net_mobilenet_v2_*",
    "models/center_net_resnet_v1_fpn_*",
    "models/faster_rcnn_resnet_*",
    "models/feature_map_generators_test.py",
    "models/keras_models/mobilenet_*",
    "models/keras_models/resnet_*",
    "models/ssd_feature_extractor_test.py",
    "models/ssd_mobilenet_v1_*",
    "models/ssd_mobilenet_v2_feature_*",
    "predictors/convolutional_*",
    "predictors/heads/*",
    "predictors/mask_rcnn_*",
    "utils/config_util_test.py",
    "utils/dataset_util_test.py",
    "utils/label_map_util_test.py",
    "utils/learning_schedules_test.py",
    "utils/metrics_test.py",
    "utils/model_util_*",
    "utils/object_detection_evaluation_test.py",
    "utils/ops_test.py",
    "utils/shape_utils_test.py",
    "utils/spatial_transform_ops_test.py",
    "utils/target_assigner_utils_test.py",
    "utils/visualization_utils_test.py",
    # the scripts' own libraries
    "eval_util_test.py",
    "export_*",
    "exporter_*",
    "inputs_test.py",
]
# They start first, so that no core waits for one of them at the end.
SLOW = [
    "meta_architectures/rfcn_meta_arch_test.py",
    "meta_architectures/faster_rcnn_meta_arch_test.py",
    "model_lib_tf2_test.py",
    "models/ssd_resnet_v1_fpn_feature_extractor_tf2_test.py",
    "core/preprocessor_test.py",
    "models/ssd_efficientnet_bifpn_feature_extractor_tf2_test.py",
    "meta_architectures/center_net_meta_arch_tf2_test.py",
    "meta_architectures/ssd_meta_arch_test.py",
]
# TensorFlow 2.21's oneDNN gives a convolution of no images its input's shape. These tests do that; no model does
# that this project trains.
WITHOUT_ONEDNN = [
    "meta_architectures/deepmac_meta_arch_test.py",
    "models/keras_models/inception_resnet_v2_tf2_test.py",
]


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--fast", action="store_true", help="only the part that covers what this project calls")
    parser.add_argument("--only", default="*", metavar="GLOB", help="only files such as core/*")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="files to run at a time")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that one file may take")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs must be 1 or more")
    return arguments


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def find_files(fast, only):
    """The paths of the test files below object_detection, in the order in which to start them."""
    import tfod.compat  # noqa: F401 - refuses another version of the package

    root = Path(importlib.util.find_spec("object_detection").origin).parent
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*_test.py"))
    paths = [path for path in paths if not matches(path, NOT_RUN) and matches(path, [only])]
    if fast:
        paths = [path for path in paths if matches(path, FAST)]
    if not paths:
        raise InputError(f"--only {only}: no test file of object_detection matches it; give a glob such as core/*")
    return sorted(paths, key=lambda path: SLOW.index(path) if path in SLOW else len(SLOW))


def set_environment(folder, jobs):
    """What all processes that this one starts shall see."""
    os.environ["TMPDIR"] = folder
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // jobs))
    # A test that downloads fails at once.
    os.environ["http_proxy"] = os.environ["https_proxy"] = "http://127.0.0.1:9"


def run_script(arguments, log, environment):
    """Runs a Python script in this process, which exists for nothing else, with its output in the file `log`."""
    os.environ.update(environment)
    with Path(log).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = list(map(str, arguments))
    runpy.run_path(sys.argv[0], run_name="__main__")


def run_file(path, data_dir, timeout):
    """Runs one test file. Returns `({test id: [outcome, seconds, reason]}, seconds)`.

    An outcome is passed, failed, skipped or error. If the process does not come to its end, there is an error for
    the whole file, and its id is the module's name.
    """
    module = "object_detection." + path.removesuffix(".py").replace("/", ".")
    results, log = Path(data_dir, f"{module}.json"), Path(data_dir, f"{module}.log")
    # Processes are forked from one that has TensorFlow imported and has not used it yet, which saves three seconds
    # for each. oneDNN is chosen at import.
    environment = {"TF_ENABLE_ONEDNN_OPTS": "0"} if path in WITHOUT_ONEDNN else {}
    context = multiprocessing.get_context("spawn" if environment else "forkserver")
    script = [UPSTREAM / "run_file.py", module, data_dir, results]
    process = context.Process(target=run_script, args=(script, log, environment))
    start = time.monotonic()
    process.start()
    process.join(timeout)
    seconds = time.monotonic() - start
    if process.is_alive():
        process.kill()
        process.join()
        return {module: ["error", seconds, f"took more than {timeout:.0f} seconds"]}, seconds
    if not results.exists():
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:])
        return {module: ["error", seconds, f"ended with {process.exitcode}:\n{last}"]}, seconds
    return json.loads(results.read_text(encoding="utf-8")), seconds


def run_files(paths, jobs, timeout):
    """Runs all files, `jobs` at a time. Returns `({test id: [outcome, seconds, reason]}, {path: seconds})`."""
    results, times = {}, {}
    with tempfile.TemporaryDirectory(prefix="upstream-tests-") as folder:
        set_environment(folder, jobs)
        subprocess.run([sys.executable, UPSTREAM / "make_data.py", folder], check=True)
        # Nothing of object_detection: run_file.py corrects a little more of it.
        preload = ["tfod.compat", "tensorflow", "pytest"]
        multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            futures = {pool.submit(run_file, path, folder, timeout): path for path in paths}
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                path = futures[future]
                result, times[path] = future.result()
                results |= result
                say(f"[{number:3}/{len(paths)}] {path}: {count_outcomes(result)}, {times[path]:.0f} s")
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C starts no further file
    return results, times


def count_outcomes(results):
    counts = collections.Counter(outcome for outcome, _, _ in results.values())
    return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])


def shorten_reason(reason):
    """Why a test was skipped, in few words; upstream has a dozen ways to say the same."""
    if re.search(r"\bTF ?[12]|\btf1\b|TensorFlow [12]|\beager\b", reason, re.IGNORECASE):
        return "for TensorFlow 1 only"
    return reason.removeprefix("Skipped: ").rstrip(".")


def report(results, times):
    """Prints the totals, why tests were skipped, and the slowest files."""
    print(f"{count_outcomes(results)}; {len(times)} files")
    skipped = [reason for outcome, _, reason in results.values() if outcome == "skipped"]
    for reason, count in collections.Counter(map(shorten_reason, skipped)).most_common():
        print(f"  {count} skipped: {reason}")
    print("slowest files:")
    for path in sorted(times, key=times.get, reverse=True)[:10]:
        print(f"  {times[path]:5.0f} s  {path}")


def find_faults(results):
    """One text for each test that fails and is not known to, or is known to and does not."""
    known = tomllib.loads(KNOWN_FAILURES.read_text(encoding="utf-8"))
    always, sometimes = known.get("always", {}), known.get("sometimes", {})
    faults = []
    for name, (outcome, _, reason) in results.items():
        bad = outcome in ("failed", "error")
        if bad and name not in always and name not in sometimes:
            faults.append(f"{name}: {outcome}\n" + "\n".join(reason.splitlines()[-LINES:]))
        elif not bad and name in always:
            faults.append(f"{name}: {outcome}, but {KNOWN_FAILURES.name} says that it fails; take it off the list")
    return faults


def main():
    arguments = parse_arguments()
    start = time.monotonic()
    paths = find_files(arguments.fast, arguments.only)
    results, times = run_files(paths, arguments.jobs, arguments.timeout)
    report(results, times)
    print(f"{time.monotonic() - start:.0f} seconds in all, {arguments.jobs} files at a time")
    faults = find_faults(results)
    if faults:
        raise InputError(*faults)


if __name__ == "__main__":
    run(main)
