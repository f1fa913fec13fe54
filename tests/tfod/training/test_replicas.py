"""Several devices of one machine: the step that two replicas take together is that of one device."""

import json
import shutil
import subprocess
import sys

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT


@pytest.fixture(scope="module")
def replicas(trained, tmp_path_factory):
    """(workspace in which replicas.py has run, what it said)."""
    folder = tmp_path_factory.mktemp("replicas")
    shutil.copytree(trained / "annotations", folder / "annotations")
    (folder / "models/my_model").mkdir(parents=True)
    shutil.copy(trained / "models/my_model/pipeline.config", folder / "models/my_model")
    command = [sys.executable, ROOT / "tests/helpers/replicas.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def read_variables(prefix):
    return {name: tf.train.load_variable(prefix, name) for name, _ in tf.train.list_variables(prefix)}


def test_two_replicas_take_the_step_of_one_device(replicas):
    """With the averages of the weights, and though the replicas went on from a checkpoint between the two steps."""
    folder, said = replicas
    assert "; 2 replicas" in said
    assert "resuming two at step 1 of 2" in said
    one, two = (read_variables(f"{folder}/models/{name}/ckpt-2") for name in ("one", "two"))
    first = read_variables(f"{folder}/models/two/ckpt-1")
    assert one.keys() == two.keys()
    assert any("/average/" in name for name in one)
    moved = 0
    for name in one.keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE"}:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)
        moved += not np.array_equal(first[name], two[name])
    assert moved > 50


def test_replicas_are_evaluated_and_their_best_is_kept(replicas):
    folder, _ = replicas
    reports = [json.loads((folder / f"models/{name}/best/metrics.json").read_text()) for name in ("one", "two")]
    one, two = (report["metrics"] for report in reports)
    assert two["Loss/localization_loss"] == pytest.approx(2 * one["Loss/localization_loss"], rel=1e-3)
    assert two["DetectionBoxes_Precision/mAP"] == pytest.approx(one["DetectionBoxes_Precision/mAP"], abs=1e-3)
    for name in ("one", "two"):
        assert list((folder / f"models/{name}/eval").iterdir())
        assert list((folder / f"models/{name}/train").iterdir())
