"""What was left out or repaired: one list of all steps, counted, and nobody else's file."""

import pytest

from tfod.data import faulty
from tfod.utils.console import Fault, InputError


def make_rows(step, *names):
    return faulty.list_rows(step, {}, {path: [Fault("box-swapped", path, "is sorted")] for path in names})


def test_each_step_has_its_own_rows_and_without_any_there_is_no_list(tmp_path):
    path = tmp_path / "faulty.csv"
    train, test = make_rows("train.record", tmp_path / "=a.jpg"), make_rows("test.record", tmp_path / "b.jpg")
    for step, rows in (("train.record", train), ("test.record", test), ("train.record", train)):
        faulty.note_rows(path, step, rows)
    assert "./=a.jpg" in path.read_text()  # which no spreadsheet runs
    assert sorted(row.step for row in faulty.read_rows(path)) == ["test.record", "train.record"]
    faulty.note_rows(path, "train.record", [])
    assert [row.photo for row in faulty.read_rows(path)] == ["b.jpg"]
    faulty.note_rows(path, "test.record", [])
    assert list(tmp_path.iterdir()) == []


def test_photos_are_counted_once_and_of_their_records_only(tmp_path):
    fault = Fault("box-no-area", "a.xml", "has no area")
    photo = tmp_path / "a.jpg"
    rows = faulty.list_rows("train.record", {photo: [fault, fault], tmp_path / "b.jpg": [fault]}, {})
    faulty.note_rows(tmp_path / "faulty.csv", "train.record", rows)
    faulty.note_rows(tmp_path / "faulty.csv", "split", faulty.list_rows("split", {tmp_path / "c.xml": [fault]}, {}))
    assert faulty.count_photos(tmp_path / "train.record") == {"left out": 2}
    assert faulty.count_photos(tmp_path / "train.record-?????-of-00003") == {"left out": 2}
    assert faulty.count_photos(tmp_path / "test.record") == {}
    paths = [tmp_path / f"train.record-0000{number}-of-00002" for number in range(2)]
    sentence = f"{tmp_path / 'train.record'}: of the faulty photos 2 left out ({tmp_path / 'faulty.csv'} lists them)"
    assert faulty.describe_records([*paths, tmp_path / "test.record"]) == [sentence]


def test_another_file_of_that_name_is_not_written_over(tmp_path):
    path = tmp_path / "faulty.csv"
    path.write_text("my,notes\n")
    with pytest.raises(InputError, match="is not the list of faulty photos"):
        faulty.note_rows(path, "split", [])
    assert faulty.count_photos(tmp_path / "train.record") == {}
    assert path.read_text() == "my,notes\n"


def test_the_advice_names_both_commands():
    assert faulty.advise(3, 622, 1, "tfrecord") == (
        "3 of 622 photos are concerned: `make tfrecord FAULTY=skip` leaves them out; `make tfrecord FAULTY=fix` repairs"
        " 1 of them in the records, without a guess, and leaves 2 out. (By hand: --faulty skip or fix.)"
    )


def test_many_photos_are_named_by_the_first_few(tmp_path, capsys):
    fault = Fault("xml-not-xml", "a.xml", "is not XML")
    left_out = {tmp_path / f"{number}.jpg": [fault, fault] for number in range(9)}
    faulty.say_rows(faulty.list_rows("train.record", left_out, {}), 20, tmp_path / "faulty.csv")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"warning: 9 of 20 photos left out; {tmp_path / 'faulty.csv'} lists them:"
    assert lines[1:] == ["  a.xml: is not XML (and 1 more)"] * 5 + ["  and 4 more"]
