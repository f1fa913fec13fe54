import math
import os
import resource
import types

import pytest

from tfod.data.faulty import list_rows, note_rows
from tfod.training import log
from tfod.utils.console import Fault

from object_detection.protos import pipeline_pb2  # isort: skip - tfod.compat, which log imports, comes first

VALUES = {
    "total_loss": 1.5,
    "classification_loss": 0.75,
    "localization_loss": 0.5,
    "regularization_loss": 0.25,
    "learning_rate": 0.001,
    "images_per_second": 16.0,
    "step_seconds": 0.5,
    "data_seconds": 0.001,
}


def test_rows_after_the_step_that_is_resumed_are_dropped(tmp_path):
    path = tmp_path / "train_log.csv"
    log.start_log(path, 0)
    for step in (10, 20, 30):
        log.append_log(path, step, VALUES)
    log.append_log(path, 30, {"mAP": 0.5})
    with path.open("a") as file:
        file.write("40,1.2,half a ro")  # killed while writing
    log.start_log(path, 20)
    assert [row["step"] for row in log.read_log(path)] == [10, 20]
    assert log.read_log(path)[1]["learning_rate"] == 0.001
    assert math.isnan(log.read_log(path)[1]["mAP"])
    content = path.read_bytes()
    log.start_log(path, 20)
    assert path.read_bytes() == content


def test_the_banner_says_how_many_faulty_photos_the_records_lack(tmp_path):
    record = tmp_path / "train.record"
    record.touch()
    config = pipeline_pb2.TrainEvalPipelineConfig()
    config.train_input_reader.tf_record_input_reader.input_path.append(str(record))
    strategy = types.SimpleNamespace(num_replicas_in_sync=1)
    before = log.describe_run(config, 42, 9, strategy)
    left_out = {tmp_path / "a.jpg": [Fault("image-damaged", "a.jpg", "is cut off")]}
    note_rows(tmp_path / "faulty.csv", "train.record", list_rows("train.record", left_out, {}))
    sentence = f"{record}: of the faulty photos 1 left out ({tmp_path / 'faulty.csv'} lists them)"
    assert log.describe_run(config, 42, 9, strategy) == [*before, sentence]


def test_line_says_losses_rate_and_where_the_time_went():
    assert log.format_step(VALUES) == (
        "loss total 1.500, classification 0.750, localization 0.500, regularization 0.250; learning rate 0.001;"
        " 16.0 images/s (0.500 s a step, 0.001 s of it data)"
    )


@pytest.mark.attack
@pytest.mark.parametrize("room", [0, 1, 7, 30, 41])
def test_row_that_the_full_disk_takes_in_part_is_said_and_never_read(tmp_path, room, capsys):
    path = tmp_path / "train_log.csv"
    log.start_log(path, 0)
    log.append_log(path, 10, VALUES)
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
    try:
        log.append_log(path, 20, VALUES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "step 20 could not be noted" in capsys.readouterr().err
    assert path.stat().st_size == size + room
    log.append_log(path, 30, VALUES)
    assert [row["step"] for row in log.read_log(path)] == [10, 30]


@pytest.mark.attack
@pytest.mark.parametrize("values", [VALUES, {"mAP": 0.4523, "mAP50": 0.8125}])
def test_half_a_row_is_no_row_and_the_next_one_begins_a_line(tmp_path, values, capsys):
    """Half of 0.8125 is not 0.8, wherever the row was cut."""
    path = tmp_path / "train_log.csv"
    log.start_log(path, 0)
    log.append_log(path, 110, VALUES)
    before = path.read_bytes()
    log.append_log(path, 120, values)
    row = path.read_bytes()[len(before) :]
    for keep in range(1, len(row)):
        path.write_bytes(before + row[:keep])
        assert [row["step"] for row in log.read_log(path)] == [110]
        assert f"warning: {path}: 1 line is not whole, and left out" in capsys.readouterr().err
        log.append_log(path, 130, VALUES)
        assert [row["step"] for row in log.read_log(path)] == [110, 130]
    log.start_log(path, 130)
    capsys.readouterr()
    assert [row["step"] for row in log.read_log(path)] == [110, 130]
    assert capsys.readouterr().err == ""


@pytest.mark.attack
@pytest.mark.parametrize(
    ("content", "steps"),
    [
        (b"", []),
        (b"\xff\xfe\x00garbage\n\xe9,1,2\n", []),
        (b"HEADER20,,,,,0.1,,,,,\n3\x000,,,,,0.1,,,,,\n40,\xff,,,,0.1,,,,,\n50,,,,,0.1,,,,,\n", [20, 50]),
        (b"HEADER20,,,,,0.1,,,,\n30,,,,,0.1,,,,,,\n\n,,,,,0.1,,,,,\ninf,,,,,0.1,,,,,\n", []),
        (b"HEADER20,,,,,0.1,,,,,\r\n", [20]),
    ],
)
def test_rows_of_a_damaged_log_are_left_out_and_said(tmp_path, content, steps, capsys):
    path = tmp_path / "train_log.csv"
    path.write_bytes(content.replace(b"HEADER", ",".join(log.COLUMNS).encode() + b"\n"))
    assert [row["step"] for row in log.read_log(path)] == steps
    assert ("left out" in capsys.readouterr().err) == (content not in (b"", b"HEADER20,,,,,0.1,,,,,\r\n"))
    log.start_log(path, 100)
    assert [row["step"] for row in log.read_log(path)] == steps
    assert path.read_text().startswith("step,total_loss,")


@pytest.mark.attack
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_log_that_is_no_file_is_named_and_stays(tmp_path, make, capsys):
    path = tmp_path / "train_log.csv"
    make(path)
    log.start_log(path, 0)
    assert f"warning: {path}: is not a file, so the steps are not noted; move it away" in capsys.readouterr().err
    log.append_log(path, 10, VALUES)
    assert capsys.readouterr().err == ""  # it was said
    assert log.read_log(path) == []
    assert f"warning: {path}: is not a file, and is left out" in capsys.readouterr().err
    assert not path.is_file()


@pytest.mark.attack
def test_log_that_cannot_be_written_stops_no_training(tmp_path, capsys):
    path = tmp_path / "train_log.csv"
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    try:
        log.start_log(path, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert f"warning: {path}: could not be written (File too large)" in capsys.readouterr().err


def test_curves_of_an_empty_log_are_drawn(tmp_path):
    log.start_log(tmp_path / "train_log.csv", 0)
    log.draw_log(tmp_path / "train_log.csv", tmp_path / "train_log.png")
    assert (tmp_path / "train_log.png").stat().st_size > 1000
