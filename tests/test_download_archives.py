"""download_model.py on .tar.gz files of this disk: hostile, damaged, incomplete or too large ones leave nothing."""

import tarfile
from pathlib import Path

import pytest
from packed_models import FILES, NAME, download, list_names, make_member, pack, read_tree


@pytest.mark.parametrize("top", [NAME, "another_top", ""])
def test_a_tarball_of_this_disk_gets_its_own_files_name(tmp_path, top):
    (tmp_path / "my model.tar.gz").write_bytes(pack(FILES, top))
    done = download(tmp_path, "my model.tar.gz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Wrote models/my model\n")
    assert read_tree(tmp_path / "models/my model") == FILES
    assert list_names(tmp_path / "models") == ["my model"]
    assert (tmp_path / "my model.tar.gz").exists()


@pytest.mark.parametrize(
    "lacking", ["pipeline.config", "checkpoint/ckpt-0.index", "checkpoint/ckpt-0.data-00000-of-00001"]
)
def test_what_is_not_a_whole_model_is_refused(tmp_path, lacking):
    files = {name: content for name, content in FILES.items() if name != lacking}
    (tmp_path / "m.tar.gz").write_bytes(pack(files))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 1
    named = lacking.replace("ckpt-0", "ckpt-*").replace("data-00000-of-00001", "data-*")
    assert done.stderr == f"error: m.tar.gz: holds no {named}; give the .tar.gz file of a TF2 detection model\n"
    assert list_names(tmp_path / "models") == []


def test_an_archive_of_nothing_is_refused(tmp_path):
    (tmp_path / "m.tar.gz").write_bytes(pack({}))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 1
    assert "error: m.tar.gz: holds no pipeline.config, no checkpoint/ckpt-*.index, no checkpoint/" in done.stderr


HOSTILE = {
    "symlink": (make_member(f"{NAME}/saved_model", tarfile.SYMTYPE, "/etc"), "holds a link or device"),
    "hard link": (make_member(f"{NAME}/x", tarfile.LNKTYPE, "../../secret"), "holds a link or device"),
    "device": (make_member(f"{NAME}/x", tarfile.CHRTYPE), "holds a link or device"),
    "pipe": (make_member(f"{NAME}/x", tarfile.FIFOTYPE), "holds a link or device"),
    "absolute": (make_member("/tmp/outside_of_the_model", size=1), "holds the unsafe path"),
    "parent": (make_member("../outside", size=1), "holds the unsafe path"),
    "hidden parent": (make_member(f"{NAME}/../../outside", size=1), "holds the unsafe path"),
    "backslash": (make_member("..\\outside", size=1), "holds the unsafe path"),
    "newline": (make_member("a\nb", size=1), "holds the unsafe path"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tarball_leaves_nothing(tmp_path, kind):
    member, message = HOSTILE[kind]
    (tmp_path / "m.tar.gz").write_bytes(pack(FILES, extra=[member]))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 1
    assert f"error: m.tar.gz: {message}" in done.stderr
    assert list_names(tmp_path) in (["m.tar.gz"], ["m.tar.gz", "models"])
    assert list_names(tmp_path / "models") == []
    assert not Path("/tmp/outside_of_the_model").exists()


def test_a_model_without_a_saved_model_is_told_apart(tmp_path):
    files = {name: content for name, content in FILES.items() if not name.startswith("saved_model")}
    (tmp_path / "m.tar.gz").write_bytes(pack(files))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 0
    lacking = "holds no saved_model/saved_model.pb; it can be trained further, but not run as it is"
    assert done.stderr == f"m.tar.gz: {lacking}\n"
    assert read_tree(tmp_path / "models/m") == files


def test_rights_that_would_surprise_are_dropped(tmp_path):
    member = make_member(f"{NAME}/program", size=1, mode=0o6777)
    (tmp_path / "m.tar.gz").write_bytes(pack(FILES, extra=[member]))
    assert download(tmp_path, "m.tar.gz").returncode == 0
    assert (tmp_path / "models/m/program").stat().st_mode & 0o7133 == 0


def spoil(packed, how):
    if how == "cut off":
        return packed[: len(packed) // 2]
    if how == "no archive":
        return b"<html>Not found</html>"
    if how == "empty":
        return b""
    return packed[:-8] + bytes(8)  # gzip's checksum


@pytest.mark.parametrize("how", ["cut off", "no archive", "empty", "checksum"])
def test_a_damaged_tarball_is_refused(tmp_path, how):
    (tmp_path / "m.tar.gz").write_bytes(spoil(pack(FILES), how))
    done = download(tmp_path, "m.tar.gz")
    assert done.returncode == 1
    assert done.stderr.startswith("error: m.tar.gz: is not a whole .tar.gz file (")
    assert len(done.stderr.splitlines()) == 1
    assert list_names(tmp_path / "models") == []
