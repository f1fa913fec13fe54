import math

from tfod import train_log

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
    train_log.start_log(path, 0)
    for step in (10, 20, 30):
        train_log.append_log(path, step, VALUES)
    train_log.append_log(path, 30, {"mAP": 0.5})
    with path.open("a") as file:
        file.write("40,1.2,half a ro")  # killed while writing
    train_log.start_log(path, 20)
    assert [row["step"] for row in train_log.read_log(path)] == [10, 20]
    assert train_log.read_log(path)[1]["learning_rate"] == 0.001
    assert math.isnan(train_log.read_log(path)[1]["mAP"])
    content = path.read_bytes()
    train_log.start_log(path, 20)
    assert path.read_bytes() == content


def test_line_says_losses_rate_and_where_the_time_went():
    assert train_log.format_step(VALUES) == (
        "loss total 1.500, classification 0.750, localization 0.500, regularization 0.250; learning rate 0.001;"
        " 16.0 images/s (0.500 s a step, 0.001 s of it data)"
    )


def test_full_disk_stops_no_training(capsys):
    train_log.append_log("/dev/full", 10, VALUES)
    assert "step 10 could not be noted (No space left on device)" in capsys.readouterr().err


def test_curves_of_an_empty_log_are_drawn(tmp_path):
    train_log.start_log(tmp_path / "train_log.csv", 0)
    train_log.draw_log(tmp_path / "train_log.csv", tmp_path / "train_log.png")
    assert (tmp_path / "train_log.png").stat().st_size > 1000
