import pytest
from checkpoint_files import write_checkpoint

from tfod.config import paths


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("a.record", None),
        ("a.rec*", None),
        ("with\\backslash", None),  # a file's name may have one here
        ("", "x is not set; make it"),
        ("PATH_TO_BE_CONFIGURED/a", "x is still PATH_TO_BE_CONFIGURED; name the file, or `make config`"),
        ("folder", "x folder is a folder; name the file in it"),
        ("f?lder", "x f?lder is a folder; name the file in it"),
        ("b.record", "is not there; make it"),
        ("/none/b.record", "x /none/b.record (an absolute path) is not there; make it"),
        (
            "annotations\train.record",
            r"x annotations\train.record has a backslash, and \t is a control character in a config; write "
            "annotations/train.record",
        ),
        (
            "C:\new\batch",
            r"x C:\new\batch has a backslash, and \n is a control character in a config; write /mnt/c/new",
        ),
        ("C:\\data\\a", "is a path of Windows, which WSL has below /mnt; write /mnt/c/data/a"),
        ("D:/data/a.record", "x D:/data/a.record is a path of Windows, which WSL has below /mnt; write /mnt/d/data/a"),
        ("annotations\\a", r"x annotations\a has backslashes, and paths take slashes; write annotations/a"),
        ("gs://bucket/a", "x gs://bucket/a is an address, and only files of this machine are read; copy it here, and"),
        ("a\x01b", r"x a\x01b holds a character that can't be seen; write the path again"),
        ("a\0b", r"x a\x00b holds a character that can't be seen; write the path again"),
    ],
)
def test_paths_that_lead_nowhere_are_named_with_what_to_write(here, value, fault):
    for name in ("a.record", "with\\backslash"):
        (here / name).touch()
    (here / "folder").mkdir()
    faults = paths.find_file_faults("x", value, "make it")
    if fault is None:
        assert faults == []
    else:
        assert len(faults) == 1
        assert fault in faults[0]
        assert faults[0].isprintable()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("zoo/checkpoint", "zoo/checkpoint/ckpt-0"),
        ("zoo/checkpoint/", "zoo/checkpoint/ckpt-0"),
        ("zoo/checkpoint/checkpoint", "zoo/checkpoint/ckpt-0"),
        ("zoo/checkpoint/ckpt-0.index", "zoo/checkpoint/ckpt-0"),
        ("zoo/checkpoint/ckpt-0.data-00000-of-00001", "zoo/checkpoint/ckpt-0"),
        ("zoo/checkpoint/ckpt-7", "zoo/checkpoint/ckpt-0"),
        ("zoo", "zoo/checkpoint/ckpt-0"),
        ("zoo/ckpt-0", "zoo/checkpoint/ckpt-0"),
        ("zoo/saved_model", "zoo/checkpoint/ckpt-0"),
        ("zoo/pipeline.config", "zoo/checkpoint/ckpt-0"),
        ("several", "several/ckpt-10"),  # of which no state file says the newest
        ("none/ckpt-0", None),
    ],
)
def test_what_is_near_a_checkpoint_is_understood(here, given, meant):
    write_checkpoint(here / "zoo/checkpoint/ckpt-0", {"model/a": [3]})
    (here / "zoo/checkpoint/checkpoint").write_text('model_checkpoint_path: "ckpt-0"\n')
    (here / "zoo/saved_model").mkdir()
    (here / "several").mkdir()
    for number in (9, 10):
        (here / f"several/ckpt-{number}.index").touch()
    assert paths.suggest_checkpoint(given) == meant
    (fault,) = paths.find_checkpoint_path_faults(given)
    start = f"fine_tune_checkpoint {given} is not there (no {given}.index, seen from {here}); "
    assert fault == start + (
        f"did you mean {meant}?"
        if meant
        else "`make pretrained` downloads a model, and an empty fine_tune_checkpoint trains from scratch"
    )


def test_checkpoints_that_are_there_and_foreign_ones(here):
    write_checkpoint(here / "zoo/checkpoint/ckpt-0", {"model/a": [3]})
    assert paths.find_checkpoint_path_faults("zoo/checkpoint/ckpt-0") == []
    (fault,) = paths.find_checkpoint_path_faults("C:/models/zoo/ckpt-0")
    assert fault == (
        "fine_tune_checkpoint C:/models/zoo/ckpt-0 is a path of Windows, which WSL has below /mnt; write "
        "/mnt/c/models/zoo/ckpt-0"
    )
    (fault,) = paths.find_checkpoint_path_faults("PATH_TO_BE_CONFIGURED")
    assert "is still PATH_TO_BE_CONFIGURED; name the file, `make config`, or leave it empty to train from" in fault
