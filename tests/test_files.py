"""Files appear whole or not at all, and work that stands is known to stand."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tfod.files import fingerprint, is_current, is_untouched, mark_current, sha256, write_text, write_whole

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


def list_all(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_folder(path, **files):
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)


def test_a_file_appears_after_the_block_and_not_before(tmp_path):
    path = tmp_path / "new" / "deep" / "a.txt"
    with write_whole(path) as fresh:
        assert fresh.suffix == ".txt"
        fresh.write_text("half")
        assert not path.exists()
        fresh.write_text("whole")
    assert path.read_text() == "whole"
    assert list_all(path.parent) == ["a.txt"]


def test_a_former_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("former")
    with write_whole(path) as fresh:
        fresh.write_text("new")
        assert path.read_text() == "former"
    assert path.read_text() == "new"


def test_a_folder_replaces_a_former_one_whole(tmp_path):
    write_folder(tmp_path / "out", stale="former", both="former")
    with write_whole(tmp_path / "out") as fresh:
        write_folder(fresh, both="new", more="new")
        assert (tmp_path / "out" / "stale").exists()
    assert list_all(tmp_path) == ["out", "out/both", "out/more"]
    assert (tmp_path / "out" / "both").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(tmp_path, error):
    (tmp_path / "a.txt").write_text("former")
    write_folder(tmp_path / "out", stale="former")
    for name in ("a.txt", "new.txt", "out"):
        with pytest.raises(error), write_whole(tmp_path / name) as fresh:
            if name == "out":
                write_folder(fresh, new="half")
            else:
                fresh.write_text("half")
            raise error
    assert list_all(tmp_path) == ["a.txt", "out", "out/stale"]
    assert (tmp_path / "a.txt").read_text() == "former"


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_former_file(tmp_path):
    (tmp_path / "a.txt").write_text("former")
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "a.txt"):
        pass
    assert list_all(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "former"


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    former = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "text")
        with write_whole(tmp_path / "out") as fresh:
            write_folder(fresh, a="text")
    finally:
        os.umask(former)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_text_is_written_in_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "浣熊\n")
    assert (tmp_path / "a.txt").read_bytes() == "浣熊\n".encode()


def test_sha256_is_that_of_the_bytes(tmp_path):
    data = os.urandom(300000)
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_fingerprint_changes_with_its_files_and_settings(tmp_path):
    write_folder(tmp_path / "in", a="1", b="2")
    (tmp_path / "in" / "deep").mkdir()
    (tmp_path / "one").write_text("1")
    inputs = [tmp_path / "in", tmp_path / "one"]
    seen = [fingerprint(inputs, ratio=0.1)]
    assert fingerprint(inputs, ratio=0.1) == seen[0]

    def note(*its_inputs, **settings):
        seen.append(fingerprint(its_inputs or inputs, **(settings or {"ratio": 0.1})))

    note(ratio=0.2)
    note(ratio=0.1, seed=1)
    note(tmp_path / "in")
    note(*reversed(inputs))
    (tmp_path / "in" / "a").write_text("longer")
    note()
    os.utime(tmp_path / "in" / "a", ns=(1, 1))
    note()
    (tmp_path / "in" / "deep" / "c").touch()
    note()
    (tmp_path / "in" / "b").unlink()
    note()
    (tmp_path / "one").unlink()
    note()
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("folder", [False, True])
def test_only_what_was_marked_and_is_unchanged_is_current(tmp_path, folder):
    output = tmp_path / "out"
    if folder:
        write_folder(output, a="1", b="2")
    else:
        output.write_text("1")
    inside = output / "a" if folder else output
    assert not is_current(output, "x")
    mark_current(output, "x")
    assert is_current(output, "x")
    assert not is_current(output, "y")
    assert is_untouched(output)  # whatever it would be made from today
    os.utime(inside, ns=(1, 1))
    assert not is_current(output, "x")
    assert not is_untouched(output)
    mark_current(output, "x")
    inside.write_text("longer")
    assert not is_current(output, "x")
    mark_current(output, "x")
    inside.unlink()
    assert not is_current(output, "x")


def test_a_stamp_that_somebody_edited_says_nothing(tmp_path):
    (tmp_path / "out").write_text("1")
    mark_current(tmp_path / "out", "x")
    (stamp,) = tmp_path.glob(".*")
    for text in ("", "[", "{}"):
        stamp.write_text(text)
        assert not is_current(tmp_path / "out", "x")
        assert not is_untouched(tmp_path / "out")


def test_what_a_killed_run_left_is_cleared_by_the_next_one_for_the_same_file_only(tmp_path):
    program = "import os, sys; from tfod.files import *\nwith write_whole(sys.argv[1]) as fresh:\n"
    program += "    fresh.write_text('half'); print('there', flush=True); sys.stdin.read()"
    runs = [
        subprocess.Popen([sys.executable, "-c", program, path], cwd=tmp_path, **PIPES) for path in ("a", "a.b", "a")
    ]
    assert [run.stdout.readline() for run in runs] == ["there\n"] * 3
    for run in runs[:2]:
        run.kill()
        run.wait()
    write_text(tmp_path / "a", "whole")
    left = [path.name.rsplit(".", 2)[0] for path in tmp_path.glob(".*.tmp")]
    assert sorted(left) == [".a", ".a.b"]  # that of the run that still goes, and that of another file
    runs[2].communicate()
    assert (tmp_path / "a").read_text() == "half"
    assert [path.name.rsplit(".", 2)[0] for path in tmp_path.glob(".*.tmp")] == [".a.b"]


def test_a_room_that_another_run_clears_away_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    make, made, handles = tempfile.mkdtemp, [], []

    def make_and_clear(**words):
        made.append(Path(make(**words)))
        if len(made) == 1:
            made[0].rmdir()
        elif len(made) == 2:  # the other run is at it
            handles.append(os.open(made[1], os.O_RDONLY))
            fcntl.flock(handles[0], fcntl.LOCK_EX)
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_clear)
    write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    assert len(made) == 3
    assert list_all(tmp_path) == sorted(["a", made[1].name])
    os.close(handles[0])


def test_a_former_folder_comes_back_after_a_run_that_was_killed_between_two_renames(tmp_path):
    (tmp_path / ".out.12345678.tmp").mkdir()
    write_folder(tmp_path / ".out.12345678.tmp" / "former", a="1")
    with pytest.raises(ValueError), write_whole(tmp_path / "out"):
        raise ValueError
    assert list_all(tmp_path) == ["out", "out/a"]
