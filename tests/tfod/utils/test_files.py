"""Files appear whole or not at all, and work that stands is known to stand."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tfod.utils.console import InputError
from tfod.utils.files import (
    claim,
    find_foreign,
    fingerprint,
    is_current,
    is_untouched,
    list_foreign,
    list_made,
    mark_current,
    refuse_foreign,
    sha256,
    write_text,
    write_whole,
)

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


def test_what_changes_what_an_output_is_made_from(tmp_path):
    write_folder(tmp_path / "in", a="1", b="2")
    (tmp_path / "in" / "deep").mkdir()
    (tmp_path / "one").write_text("1")
    (tmp_path / "out").write_text("made")
    inputs = [tmp_path / "in", tmp_path / "one"]
    mark_current(tmp_path / "out", fingerprint(inputs, ratio=0.1), "us")

    def stands(*its_inputs, maker="us", **settings):
        made_from = fingerprint(its_inputs or inputs, **(settings or {"ratio": 0.1}))
        return is_current(tmp_path / "out", made_from, maker)

    assert stands()
    assert not stands(ratio=0.2)
    assert not stands(ratio=0.1, seed=1)
    assert not stands(maker="another")
    assert not stands(tmp_path / "in")
    assert not stands(*reversed(inputs))
    (tmp_path / "in" / "deep" / "c").touch()
    assert not stands()
    (tmp_path / "in" / "deep" / "c").unlink()
    assert stands()
    (tmp_path / "in" / "b").rename(tmp_path / "in" / "d")
    assert not stands()
    (tmp_path / "in" / "d").rename(tmp_path / "in" / "b")
    (tmp_path / "one").unlink()
    assert not stands()


@pytest.mark.attack
def test_bytes_tell_and_not_the_clock(tmp_path):
    write_folder(tmp_path / "in", a="first", b="other")
    (tmp_path / "out").write_text("made")
    mark_current(tmp_path / "out", fingerprint([tmp_path / "in"]), "us")

    def stands():
        return is_current(tmp_path / "out", fingerprint([tmp_path / "in"]), "us")

    a, b = tmp_path / "in" / "a", tmp_path / "in" / "b"
    found = a.stat()
    a.write_text("First")  # one byte, the same size
    os.utime(a, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a zip with constant times
    assert not stands()
    a.write_text("first")
    assert stands()
    for path in (a, b):
        os.utime(path, ns=(1, 1))
    assert stands()
    for path, name in ((a, "c"), (b, "a"), (tmp_path / "in" / "c", "b")):  # their names are exchanged
        path.rename(tmp_path / "in" / name)
    assert not stands()


@pytest.mark.attack
def test_a_copied_workspace_is_the_same(tmp_path):
    (tmp_path / "w" / "records").mkdir(parents=True)
    write_folder(tmp_path / "w" / "in", a="1", b="2")
    (tmp_path / "w" / "records" / "out").write_text("made")
    mark_current(tmp_path / "w" / "records" / "out", fingerprint([tmp_path / "w" / "in"]), "us")
    shutil.copytree(tmp_path / "w", tmp_path / "copy", copy_function=shutil.copyfile)  # as cp -r: all times are new
    shutil.rmtree(tmp_path / "w")
    assert is_current(tmp_path / "copy" / "records" / "out", fingerprint([tmp_path / "copy" / "in"]), "us")


def test_an_input_that_changes_during_the_work_is_not_what_the_output_was_made_from(tmp_path):
    (tmp_path / "in").write_text("1")
    (tmp_path / "out").write_text("made of 1")
    made_from = fingerprint([tmp_path / "in"])
    (tmp_path / "in").write_text("2")
    mark_current(tmp_path / "out", made_from, "us")
    assert not is_current(tmp_path / "out", fingerprint([tmp_path / "in"]), "us")


@pytest.mark.parametrize("folder", [False, True])
def test_only_what_was_marked_and_is_unchanged_is_current(tmp_path, folder):
    output, made_from = tmp_path / "out", fingerprint([])
    if folder:
        write_folder(output, a="1", b="2")
    else:
        output.write_text("1")
    inside = output / "a" if folder else output
    assert not is_current(output, made_from, "us")
    mark_current(output, made_from, "us")
    assert is_current(output, made_from, "us")
    assert not is_current(output, fingerprint([], more=1), "us")
    assert is_untouched(output, "us")  # whatever it would be made from today
    assert not is_untouched(output, "another")
    os.utime(inside, ns=(1, 1))
    assert is_current(output, made_from, "us")  # the same bytes
    inside.write_text("2")
    assert not is_current(output, made_from, "us")
    assert not is_untouched(output, "us")
    mark_current(output, made_from, "us")
    inside.unlink()
    assert not is_current(output, made_from, "us")


def test_all_outputs_of_a_stage_have_to_be_there(tmp_path):
    names = [tmp_path / name for name in ("a", "b")]
    for path in names:
        path.write_text("1")
    mark_current(names[0], fingerprint([]), "us", names)
    assert is_current(names[0], fingerprint([]), "us")
    names[1].unlink()
    assert not is_current(names[0], fingerprint([]), "us")


@pytest.mark.attack
@pytest.mark.parametrize("text", ["", "[", "{}", '{"maker": "us"}', "[" * 100_000, "\xff\xfe", "folder", "pipe"])
def test_a_damaged_stamp_says_nothing(tmp_path, text):
    (tmp_path / "out").write_text("1")
    mark_current(tmp_path / "out", fingerprint([]), "us")
    (stamp,) = tmp_path.glob(".*")
    stamp.unlink()
    if text == "folder":
        stamp.mkdir()
    elif text == "pipe":
        os.mkfifo(stamp)
    else:
        stamp.write_bytes(text.encode("latin-1"))
    assert not is_current(tmp_path / "out", fingerprint([]), "us")
    assert not is_untouched(tmp_path / "out", "us")
    assert list_foreign(tmp_path / "out", "us") == [tmp_path / "out"]


@pytest.mark.attack
def test_what_others_made_in_a_folder_is_foreign_unless_they_are_named(tmp_path):
    output = tmp_path / "out"
    for name, maker in (("a", "us"), ("b", "another"), ("c", "third")):
        write_text(output / name, "")
        mark_current(output / name, None, maker)
    assert list_foreign(output, "us") == [output / "b", output / "c"]
    assert list_foreign(output, "us", others=("another",)) == [output / "c"]


@pytest.mark.attack
def test_what_a_script_did_not_make_is_foreign(tmp_path):
    output = tmp_path / "out"
    assert list_foreign(output, "us") == []
    write_folder(output, a="1", b="2")
    assert list_foreign(output, "us") == [output / "a", output / "b"]
    mark_current(output, None, "us")
    assert list_foreign(output, "us") == []
    assert list_foreign(output, "another") == [output / "a", output / "b"]
    (output / "a").write_text("corrected by hand")
    (output / "notes").write_text("mine")
    (output / "Thumbs.db").touch()
    assert list_foreign(output, "us") == [output / "a", output / "notes"]
    with pytest.raises(InputError) as raised:
        refuse_foreign(output, "us", "name another folder with -o")
    said = "is not what this script left there, and would be lost; move it away, or name another folder with -o"
    assert raised.value.faults == (f"{output}/a: {said}", f"{output}/notes: {said}")
    (output / "notes").unlink()
    for number in range(6):
        (output / f"mine{number}").touch()
    assert find_foreign(output, "us", "...")[-1] == f"{output}: holds 2 more such files"
    assert list_made(output, "us") == [output / "b"]
    assert list_made(output, "another") == []


@pytest.mark.attack
def test_a_killed_run_leaves_what_the_next_one_may_replace(tmp_path):
    with write_whole(tmp_path / "out", "us") as fresh:
        write_folder(fresh, a="1")
    assert list_foreign(tmp_path / "out", "us") == []  # and never came to mark_current
    assert list_foreign(tmp_path / "out", "another") == [tmp_path / "out" / "a"]
    assert not is_current(tmp_path / "out", fingerprint([]), "us")
    claim(tmp_path / "set", "us", [tmp_path / "set-1", tmp_path / "set-2"])
    (tmp_path / "set-2").touch()
    assert list_foreign(tmp_path / "set", "us", [tmp_path / "set-1", tmp_path / "set-2"]) == []
    assert list_foreign(tmp_path / "set", "us", [tmp_path / "set-3"]) == []
    (tmp_path / "set-3").touch()
    assert list_foreign(tmp_path / "set", "us", [tmp_path / "set-3"]) == [tmp_path / "set-3"]


def test_what_a_killed_run_left_is_cleared_by_the_next_one_for_the_same_file_only(tmp_path):
    program = "import os, sys; from tfod.utils.files import *\nwith write_whole(sys.argv[1]) as fresh:\n"
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
