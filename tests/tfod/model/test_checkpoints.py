import itertools
import time
from pathlib import Path

import pytest
from checkpoint_files import spoil_state, write_checkpoint
from conftest import ROOT

from tfod.model.checkpoints import (
    choose_checkpoint,
    find_latest_checkpoint,
    list_candidates,
    list_checkpoint_files,
    list_checkpoints,
    list_variables,
    require_checkpoint,
    use_checkpoint,
    watch_checkpoints,
)
from tfod.utils.console import InputError

ZOO = ROOT.parent / "shared/zoo"


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


def test_folder_that_was_copied_keeps_to_its_own_beside_the_former_one(tmp_path):
    for name in ("old", "new"):
        make_checkpoint(tmp_path / name, "ckpt-5")
        write_state(tmp_path / name, tmp_path / "old/ckpt-5")
    assert find_latest_checkpoint(tmp_path / "new") == str(tmp_path / "new/ckpt-5")
    for path in list_checkpoint_files(tmp_path / "new/ckpt-5"):
        path.unlink()
    assert find_latest_checkpoint(tmp_path / "new") == str(tmp_path / "old/ckpt-5")


SPOILT = [
    "not there",
    "empty",
    "cut",
    "other bytes",
    "NUL",
    "names one that is gone",
    "pipe",
    "folder",
    "link to itself",
]


@pytest.mark.attack
@pytest.mark.parametrize("how", SPOILT)
def test_newest_is_that_with_the_highest_number_where_its_state_says_nothing(tmp_path, how):
    for name in ("ckpt-9", "ckpt-10"):
        make_checkpoint(tmp_path, name)
    spoil_state(tmp_path, how)
    assert list_candidates(tmp_path) == [str(tmp_path / "ckpt-10"), str(tmp_path / "ckpt-9")]


@pytest.mark.parametrize("name", [None, "ckpt-7.index"])
def test_no_checkpoint_is_said(tmp_path, name):
    write_state(tmp_path, "ckpt-7")
    if name:
        (tmp_path / name).touch()
    assert find_latest_checkpoint(tmp_path) is None
    assert find_latest_checkpoint(tmp_path / "nothing") is None
    with pytest.raises(InputError, match="holds no checkpoint; train first"):
        require_checkpoint(tmp_path)


def test_after_the_newest_come_those_written_before_it(tmp_path):
    for name in ("ckpt-9", "ckpt-10", "ckpt-200", "ckpt-300"):
        make_checkpoint(tmp_path, name)
    text = "".join(f'all_model_checkpoint_paths: "ckpt-{number}"\n' for number in (200, 9, 10))
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "ckpt-10"\n{text}')
    assert [Path(one).name for one in list_candidates(tmp_path)] == ["ckpt-10", "ckpt-9", "ckpt-200", "ckpt-300"]


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
    for other in ("ckpt-final", "ckpt-²", "ckpt-"):
        make_checkpoint(tmp_path, other)
    make_checkpoint(tmp_path, "ckpt-20.bak")
    for copy in ("ckpt-9.index.bak", "ckpt-9.data-00000-of-00001.bak", "ckpt-9.data-00000-of-00001 (1)"):
        (tmp_path / copy).touch()
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
    make_checkpoint(tmp_path, "ckpt-final")
    (tmp_path / "ckpt-8.index").touch()
    with pytest.raises(InputError, match="holds no checkpoint ckpt-7; there are 9, 20"):
        choose_checkpoint(tmp_path, "7")
    with pytest.raises(InputError, match="its checkpoint ckpt-8 lacks a file; there are 9, 20"):
        choose_checkpoint(tmp_path, "8")


DAMAGES = {
    "index cut": lambda index, data: index.write_bytes(index.read_bytes()[:-40]),
    "index halved": lambda index, data: index.write_bytes(index.read_bytes()[: index.stat().st_size // 2]),
    "index empty": lambda index, data: index.write_bytes(b""),
    "index of zeros": lambda index, data: index.write_bytes(bytes(index.stat().st_size)),
    "data cut": lambda index, data: data.write_bytes(data.read_bytes()[:-40]),
    "data empty": lambda index, data: data.write_bytes(b""),
    "data with another bit": lambda index, data: data.write_bytes(
        data.read_bytes()[:-9] + b"\x80" + data.read_bytes()[-8:]
    ),
    "data gone": lambda index, data: data.unlink(),
    "index gone": lambda index, data: index.unlink(),
    "both gone": lambda index, data: [index.unlink(), data.unlink()],
}


@pytest.mark.attack
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_checkpoint_is_named_and_the_next_one_used(tmp_path, capsys, damage):
    """As the work meets it: sound when it was chosen, or looked at no closer than its names."""
    for number in (1, 2):
        write_checkpoint(tmp_path / f"ckpt-{number}", {"model/a": [3000]})
    write_state(tmp_path, "ckpt-2")
    newest, used = str(tmp_path / "ckpt-2"), []

    def work(prefix):
        if prefix == newest:
            DAMAGES[damage](*list_checkpoint_files(prefix))
            raise IndexError("whatever TensorFlow says")
        used.append(prefix)
        return "done"

    assert use_checkpoint(tmp_path, "latest", work) == "done"
    assert used == [str(tmp_path / "ckpt-1")]
    said = capsys.readouterr().err
    what = {
        "both gone": "is gone and is left out: training has removed",
        "data gone": "lacks a file and",
        "index gone": "lacks a",
    }
    assert f"warning: {newest} {what.get(damage, 'is damaged and is left out')}" in said


@pytest.mark.attack
def test_checkpoint_that_is_damaged_is_an_error_where_there_is_no_other(tmp_path):
    write_checkpoint(tmp_path / "ckpt-1", {"model/a": [3]})
    (tmp_path / "ckpt-1.index").write_bytes(b"")

    def work(prefix):
        raise ValueError(prefix)

    with pytest.raises(
        InputError, match=r"none of its checkpoints can be read \(.*/ckpt-1\); put back a copy of one, or"
    ):
        use_checkpoint(tmp_path, None, work)
    write_checkpoint(tmp_path / "ckpt-2", {"model/a": [3]})
    with pytest.raises(InputError, match="its checkpoint ckpt-1 is damaged; there are 2"):  # it was asked for by number
        use_checkpoint(tmp_path, "1", work)
    with pytest.raises(ValueError, match="ckpt-2"):  # which is not the checkpoint's fault
        use_checkpoint(tmp_path, "2", work)


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


@pytest.mark.attack
@pytest.mark.parametrize("state", ["not there", "cut", "pipe", "folder"])
def test_watching_takes_each_newer_checkpoint_once_whatever_became_of_the_state(tmp_path, monkeypatch, state):
    """TensorFlow's own watching reads the file `checkpoint` as it is, and waits for the end of a pipe."""
    spoil_state(tmp_path, state)
    numbers, slept = iter((5, 5, 7)), []

    def save(_=None):
        slept.append(1)
        if number := next(numbers, None):
            write_checkpoint(tmp_path / f"ckpt-{number}", {"model/a": [3]})

    monkeypatch.setattr(time, "sleep", save)
    clock = itertools.count(0, 10)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert list(watch_checkpoints(tmp_path, 60)) == [str(tmp_path / "ckpt-5"), str(tmp_path / "ckpt-7")]
    assert len(slept) > 3  # it went on waiting for a third one
