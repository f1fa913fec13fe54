"""Sets of records: the same bytes whoever writes them, and never a mixture of two runs."""

import resource
import subprocess
import sys

import pytest

from tfod.data.tfrecord import find_records_of, name_records, read_records, replace_records, write_examples
from tfod.utils.console import InputError


def write_set(output, count, shards, workers=2):
    """Writes records of very different sizes; record i is i, written as often as its size wants it."""
    seen = []
    with replace_records(output, shards) as fresh:
        write_examples(fresh, count, lambda index: b"%d," % index * (1 + index * 37 % 500), workers, seen.append)
    assert count == 0 or seen[-1] == count
    assert seen == sorted(seen)


def read_set(output):
    return [int(record.split(b",")[0]) for path in find_records_of(output) for record in read_records(path)]


@pytest.mark.parametrize("shards", [1, 3, 10])
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path, shards):
    texts = []
    for workers in (1, 2, 5):
        write_set(tmp_path / "a.record", 203, shards, workers)
        paths = find_records_of(tmp_path / "a.record")
        assert paths == name_records(tmp_path / "a.record", shards)
        assert sorted(tmp_path.iterdir()) == paths
        texts.append([path.read_bytes() for path in paths])
        assert read_set(tmp_path / "a.record") == list(range(203))
    assert texts[0] == texts[1] == texts[2]
    counts = [len(list(read_records(path))) for path in paths]
    assert max(counts) - min(counts) <= 1


def test_shards_are_named_as_upstream_names_them(tmp_path):
    names = [path.name for path in name_records(tmp_path / "train.record", 10)]
    assert names[0] == "train.record-00000-of-00010"
    assert names[9] == "train.record-00009-of-00010"


def test_one_set_stands_whatever_stood_before(tmp_path):
    for shards in (4, 1, 2, 5, 5, 1):
        write_set(tmp_path / "a.record", 20, shards)
        assert sorted(tmp_path.iterdir()) == name_records(tmp_path / "a.record", shards)
    write_set(tmp_path / "a.record_other", 20, 2)  # whose name begins alike
    write_set(tmp_path / "a.record", 20, 3)
    assert len(find_records_of(tmp_path / "a.record_other")) == 2


@pytest.mark.parametrize("shards", [1, 3])
def test_after_an_error_the_former_set_stands(tmp_path, shards):
    write_set(tmp_path / "a.record", 20, 2)
    before = [path.read_bytes() for path in find_records_of(tmp_path / "a.record")]

    def fail(index):
        if index == 11:
            raise InputError("photo 11: is gone")
        return b"x"

    with pytest.raises(InputError, match="photo 11: is gone"), replace_records(tmp_path / "a.record", shards) as fresh:
        write_examples(fresh, 20, fail, 2, lambda done: None)
    assert [path.read_bytes() for path in find_records_of(tmp_path / "a.record")] == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_is_killed_while_names_change_leaves_no_set_that_passes_for_whole(tmp_path):
    """Every state of the folder between the first and the last step is looked at, by ending a run after each."""
    program = (
        "import os, sys; from pathlib import Path; from tfod.data.tfrecord import *\n"
        "left = int(sys.argv[1])\n"
        "def count(event, arguments):\n"
        "    global left\n"
        "    left -= event in ('os.remove', 'os.rename')\n"
        "    if left < 0: os._exit(9)\n"
        "with replace_records(Path('a.record'), 3) as fresh:\n"
        "    write_examples(fresh, 9, lambda index: b'new%d' % index, 1, lambda done: None)\n"
        "    sys.addaudithook(count)\n"
    )
    seen = set()
    for steps in range(20):
        for path in tmp_path.glob("a.record*"):
            path.unlink()
        write_set(tmp_path / "a.record", 8, 3)
        done = subprocess.run([sys.executable, "-c", program, str(steps)], cwd=tmp_path, check=False)
        try:
            records = [record for path in find_records_of(tmp_path / "a.record") for record in read_records(path)]
            seen.add("new" if records[0].startswith(b"new") else "former")
            assert all(record.startswith(b"new") for record in records) or not any(b"new" in r for r in records)
        except InputError as error:
            assert "shards are missing" in str(error) or "there are no such records" in str(error)
            seen.add("incomplete")
        if done.returncode == 0:
            break
    assert seen == {"former", "incomplete", "new"}
    write_set(tmp_path / "a.record", 8, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.record"]  # what the killed ones left is gone, too


def test_records_are_found_by_name_and_by_pattern_and_what_is_wrong_is_named(tmp_path):
    def fail(name, text):
        with pytest.raises(InputError, match=text):
            find_records_of(tmp_path / name)

    fail("a.record", "a.record: there are no such records; `make tfrecord` makes them")
    write_set(tmp_path / "a.record", 20, 4)
    shards = name_records(tmp_path / "a.record", 4)
    assert find_records_of(tmp_path / "a.record-?????-of-00004") == find_records_of(tmp_path / "a.record") == shards
    shards[2].rename(tmp_path / "kept")
    fail("a.record", "a.record: 1 of its 4 shards are missing, a run was ended before it wrote them all")
    fail("a.record-*", "a.record: 1 of its 4 shards are missing")
    (tmp_path / "kept").rename(shards[2])
    for path in name_records(tmp_path / "a.record", 2):
        path.touch()
    fail("a.record", "there are sets of 2, 4 shards; remove all but one")


@pytest.mark.attack
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path):
    write_set(tmp_path / "a.record", 20, 1)
    before = (tmp_path / "a.record").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with pytest.raises(OSError, match="File too large: '.*/a.record'"):
            write_set(tmp_path / "a.record", 2000, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir()] == ["a.record"]
    assert (tmp_path / "a.record").read_bytes() == before
