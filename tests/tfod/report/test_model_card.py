"""The model card says what the records lack."""

import tfod.compat  # noqa: F401 - lets object_detection be imported

from object_detection.protos import pipeline_pb2

from tfod.data.faulty import list_rows, note_rows
from tfod.report.model_card import _describe_data
from tfod.utils.console import Fault


def test_faulty_photos_are_counted_for_each_set_of_records(tmp_path):
    config = pipeline_pb2.TrainEvalPipelineConfig()
    for reader, name in ((config.train_input_reader, "train.record"), (config.eval_input_reader.add(), "test.record")):
        (tmp_path / name).touch()
        reader.tf_record_input_reader.input_path.append(str(tmp_path / name))
    before = _describe_data(config)
    fault = Fault("box-swapped", "a.xml", "its corners are sorted", "repaired")
    note_rows(tmp_path / "faulty.csv", "test.record", list_rows("test.record", {}, {tmp_path / "a.jpg": [fault]}))
    sentence = f"- {tmp_path / 'test.record'}: of the faulty photos 1 repaired ({tmp_path / 'faulty.csv'} lists them)"
    assert [line for line in _describe_data(config).splitlines() if line not in before] == [sentence]
