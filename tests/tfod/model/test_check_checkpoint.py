"""configure_pipeline.py --check holds the tensors of a fine-tune checkpoint to those of the model."""

import shutil

import pytest
from conftest import run_script


@pytest.fixture
def workspace(trained, tmp_path):
    """A copy of a workspace with a trained detector, and a config that starts from its checkpoint."""
    shutil.copytree(trained, tmp_path / "workspace", ignore=shutil.ignore_patterns("exported_models"))
    words = ["--base", "models/my_model/pipeline.config", "-o", "models/tuned/pipeline.config", "--batch_size", 4]
    words += ["--fine_tune_checkpoint", "models/my_model/ckpt-80", "--num_steps", 10]
    run_script("configure_pipeline.py", *words, cwd=tmp_path / "workspace")
    return tmp_path / "workspace"


CHECK = ["configure_pipeline.py", "--check", "models/tuned/pipeline.config"]


def test_tensors_that_fit_are_counted(workspace):
    output, said = run_script(*CHECK, cwd=workspace)
    assert "models/tuned/pipeline.config: from the checkpoint: restored backbone " in output
    assert "new weights: class head " in output
    assert output.endswith("models/tuned/pipeline.config: nothing wrong\n")
    assert "building the model, to hold the checkpoint's tensors to its own" in said


def test_tensors_of_another_shape_and_missing_data_are_named(workspace):
    config = workspace / "models/tuned/pipeline.config"
    text = config.read_text()
    (workspace / "models/my_model/pipeline.config").unlink()  # which would say so without a look at the tensors
    assert text.count("depth_multiplier: ") == 1
    before, _, after = text.partition("depth_multiplier: ")
    config.write_text(f"{before}depth_multiplier: 1 {after.partition(chr(10))[2]}")
    _, said = run_script(*CHECK, cwd=workspace, code=1)
    assert "fine_tune_checkpoint models/my_model/ckpt-80 does not fit this model as 'except_class_head' (" in said
    assert "name a checkpoint of the same network" in said
    config.write_text(text)
    for path in (workspace / "models/my_model").glob("ckpt-80.data-*"):
        path.unlink()
    _, said = run_script(*CHECK, cwd=workspace, code=1)
    assert "fine_tune_checkpoint models/my_model/ckpt-80 does not fit this model" in said
