from pathlib import Path

import pytest
from checkpoint_files import write_checkpoint

from tfod.checkpoints import (
    choose_checkpoint,
    find_latest_checkpoint,
    list_checkpoint_files,
    list_checkpoints,
    list_variables,
    require_checkpoint,
)
from tfod.console import InputError

ZOO = Path(__file__).parents[2] / "shared/zoo"


def make_checkpoint(folder, name):
    folder.mkdir(exist_ok=True)
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"{name}.{suffix}").touch()


def write_state(folder, newest):
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{newest}"\nall_model_checkpoint_paths: "ckpt-1"\n')


def test_state_file_says_which_is_newest(tmp_path):
    for name in ("ckpt-9", "ckpt-10", "ckpt-200"):
        make_checkpoint(tmp_path, name)
    write_state(tmp_path, "ckpt-10")
    assert find_latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-10")
    assert require_checkpoint(tmp_path) == str(tmp_path / "ckpt-10")


def test_folder_that_was_moved_keeps_its_checkpoint(tmp_path):
    make_checkpoint(tmp_path / "models", "ckpt-5")
    write_state(tmp_path / "models", "/another/computer/models/ckpt-5")
    assert find_latest_checkpoint(tmp_path / "models") == str(tmp_path / "models/ckpt-5")


@pytest.mark.parametrize("state", [None, "", 'model_checkpoint_path: "ckpt-7"\n'])
def test_no_checkpoint_is_said(tmp_path, state):
    make_checkpoint(tmp_path, "ckpt-5")
    if state is not None:
        (tmp_path / "checkpoint").write_text(state)
    assert find_latest_checkpoint(tmp_path) is None
    with pytest.raises(InputError, match="holds no checkpoint; train first"):
        require_checkpoint(tmp_path)


def test_files_of_one_checkpoint_are_not_those_of_another(tmp_path):
    for name in ("ckpt-1", "ckpt-10"):
        make_checkpoint(tmp_path, name)
    assert [path.name for path in list_checkpoint_files(tmp_path / "ckpt-1")] == [
        "ckpt-1.index",
        "ckpt-1.data-00000-of-00001",
    ]


def test_only_whole_checkpoints_count(tmp_path):
    for name in ("ckpt-9", "ckpt-100", "ckpt-20"):
        make_checkpoint(tmp_path, name)
    (tmp_path / "ckpt-200.index").touch()
    (tmp_path / "ckpt-300.index").touch()
    (tmp_path / "ckpt-300.data-00000-of-00002").touch()
    (tmp_path / "ckpt-400.data-00000-of-00001").touch()
    (tmp_path / "ckpt-old.index").touch()
    assert list_checkpoints(tmp_path) == [str(tmp_path / f"ckpt-{number}") for number in (9, 20, 100)]


def test_best_comes_first_unless_another_is_chosen(tmp_path):
    for name in ("ckpt-9", "ckpt-20"):
        make_checkpoint(tmp_path, name)
    write_state(tmp_path, "ckpt-20")
    assert choose_checkpoint(tmp_path) == choose_checkpoint(tmp_path, "latest") == str(tmp_path / "ckpt-20")
    with pytest.raises(InputError, match="holds no best/ with a checkpoint.*give latest, or a number"):
        choose_checkpoint(tmp_path, "best")
    make_checkpoint(tmp_path / "best", "ckpt-9")
    write_state(tmp_path / "best", "ckpt-9")
    assert choose_checkpoint(tmp_path) == choose_checkpoint(tmp_path, "best") == str(tmp_path / "best/ckpt-9")
    assert choose_checkpoint(tmp_path, "latest") == str(tmp_path / "ckpt-20")
    assert choose_checkpoint(tmp_path, "9") == str(tmp_path / "ckpt-9")
    with pytest.raises(InputError, match="holds no checkpoint ckpt-7; there are 9, 20"):
        choose_checkpoint(tmp_path, "7")


def test_variables_are_named_as_the_objects_are(tmp_path):
    shapes = {"model/a": [3, 3, 1000], "model/b": [], "feature_extractor/c": [2]}
    write_checkpoint(tmp_path / "ckpt-0", shapes)
    assert list_variables(tmp_path / "ckpt-0") == shapes


def test_index_that_the_zoo_compressed_is_read():
    """Public TensorFlow writes no compressed index, so this one is the zoo's own."""
    prefix = ZOO / "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8/checkpoint/ckpt-0"
    if not Path(f"{prefix}.index").exists():
        pytest.skip("the zoo's own index files are not beside the repository (../shared/zoo)")
    found = list_variables(prefix)
    assert found["model/_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias"] == [24]
    assert sum(name.startswith("model/_feature_extractor/") for name in found) > 200


def test_index_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"ckpt-0.index: is not there; name a checkpoint without its suffix, as"):
        list_variables(tmp_path / "ckpt-0")
    write_checkpoint(tmp_path / "ckpt-0", {"model/a": [3]})
    path = tmp_path / "ckpt-0.index"
    whole = path.read_bytes()
    for broken in (b"", whole[:-3], bytes(len(whole) - 48) + whole[-48:], whole[-48:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="ckpt-0.index: can't be read as a checkpoint's index .*; download or"):
            list_variables(tmp_path / "ckpt-0")
