import pytest


@pytest.fixture
def export(call, tmp_path):
    def export(*words):
        command = ["--pipeline_config_path=m/pipeline.config", "--trained_checkpoint_dir=m", "--output_directory=out"]
        done = call("exporter_main_v2.py", *command, *words, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    return export


@pytest.fixture
def model(tmp_path):
    """The folder `m` with what looks like a checkpoint, and a config."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/ckpt-1.index").touch()
    (tmp_path / "m/checkpoint").write_text('model_checkpoint_path: "ckpt-1"\n')
    (tmp_path / "m/pipeline.config").write_text("model { ssd { num_classes: 1 } }")
    return tmp_path / "m"


def test_folder_without_checkpoint_is_named(export):
    assert export() == (
        1,
        "error: m: holds no checkpoint; train first (`make train`), or name the folder that has one\n",
    )


def test_other_export_is_kept_until_told_to_overwrite(export, model, tmp_path):
    (tmp_path / "out/saved_model").mkdir(parents=True)
    code, said = export()
    assert code == 1
    assert "error: out: is there and holds another export; name another folder, or give --overwrite" in said


def test_folder_that_is_no_export_is_never_overwritten(export, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").touch()
    code, said = export("--overwrite")
    assert code == 1
    assert "error: out: is there and holds no export, so it is not overwritten" in said
    assert (tmp_path / "out/photo.jpg").exists()


def test_config_without_model_is_named(export, model):
    (model / "pipeline.config").write_text("")
    code, said = export()
    assert code == 1
    assert "m/pipeline.config: has no model" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input_type=photo"], "invalid choice"),
        (["--input_type=tf_example", "--use_side_inputs"], "works with --input_type image_tensor only"),
    ],
)
def test_wrong_calls_end_with_2(export, words, message):
    code, said = export(*words)
    assert code == 2
    assert message in said


def test_upstreams_flags_are_taken(export):
    code, said = export(
        "--input_type", "image_tensor", "--config_override", "", "--use_side_inputs", "False", "--side_input_shapes",
        "1,2/1", "--side_input_types", "tf.float32,tf.int32", "--side_input_names", "a,b",
    )  # fmt: skip
    assert code == 1
    assert "holds no checkpoint" in said
