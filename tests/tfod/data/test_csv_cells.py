"""Names in CSV files: nothing that a spreadsheet would run, and each one comes back as it was."""

import csv
from pathlib import Path

import pytest
from conftest import label_photo
from hypothesis import given
from hypothesis import strategies as st

from tfod.data.csv_cells import read_class, write_class, write_path
from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, read_annotation
from tfod.evaluation.metrics_files import CLASS_COLUMNS, format_csv

pytestmark = pytest.mark.attack
FORMULAS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # as OWASP lists them


@given(st.text(st.sampled_from([*FORMULAS, "'", "a", " ", '"', ","])))
def test_every_name_comes_back_and_no_cell_begins_a_formula(name):
    cell = write_class(name)
    assert read_class(cell) == name
    assert not cell.startswith(tuple(FORMULAS))
    assert cell == name or name.lstrip("'").startswith(tuple(FORMULAS))


@given(st.text(st.sampled_from([*FORMULAS, "'", "a", "/", "."]), min_size=1))
def test_a_path_names_the_same_file(name):
    cell = write_path(name)
    assert not cell.startswith(tuple(FORMULAS))
    assert Path(cell) == Path(name)


def test_records_csv_and_convert_read_the_same_names(call, tmp_path):
    images = tmp_path / "images"
    names = ["=1+1", "+", "-1", "@x", "'=a", "cat"]
    for number, name in enumerate(names):
        label_photo(images, f"{name}.jpg", number, [Box(name, 8, 8, 38, 28)])
    write_label_map(tmp_path / "map.pbtxt", {name: number for number, name in enumerate(names, 1)})
    words = ["-x", "images", "-l", "map.pbtxt", "-o", "a.record", "-c", "a.csv"]
    assert call("preprocessing/generate_tfrecord.py", *words, cwd=tmp_path).returncode == 0
    convert = ["preprocessing/convert_annotations.py", "-i", "images"]
    assert call(*convert, "--from", "voc", "--to", "csv", "-o", "b.csv", cwd=tmp_path).returncode == 0
    for table in ("a.csv", "b.csv"):
        with (tmp_path / table).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["filename"] for row in rows} == {
            "./=1+1.jpg",
            "./+.jpg",
            "./-1.jpg",
            "./@x.jpg",
            "./'=a.jpg",
            "cat.jpg",
        }
        assert {row["class"] for row in rows} == {"'=1+1", "'+", "'-1", "'@x", "''=a", "cat"}
        assert not [cell for row in rows for cell in row.values() if cell.startswith(tuple(FORMULAS))]
        done = call(*convert, "--from", "csv", "-a", table, "--to", "voc", "-o", f"{table}.xml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        for name in names:
            (box,) = read_annotation(tmp_path / f"{table}.xml" / f"{name}.xml").boxes
            assert box.name == name


def test_per_class_csv(tmp_path):
    row = dict.fromkeys(CLASS_COLUMNS, -1) | {"name": "=HYPERLINK(1)"}
    assert format_csv([row]).splitlines()[1].split(",")[1] == "'=HYPERLINK(1)"
