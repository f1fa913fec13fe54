import json

import onnx
from conftest import run_script

WORDS = ["--saved_model_dir=exported_models/my_model/saved_model", "--output=exported_models/my_model/model.onnx"]


def test_onnx_finds_what_the_saved_model_finds(onnx_file):
    # ten best anchors of each photo, and ten best detections
    assert "compared with the SavedModel on 5 photos of annotations/test.record: 100 detections: boxes" in onnx_file[1]
    assert "counterpart" not in onnx_file[1]


def test_input_outputs_and_labels_stay(onnx_file):
    model = onnx.load(onnx_file[0] / "exported_models/my_model/model.onnx")
    onnx.checker.check_model(model)
    assert [part.name for part in model.graph.input] == ["input_tensor"]
    tensor = model.graph.input[0].type.tensor_type
    assert tensor.elem_type == onnx.TensorProto.UINT8
    assert tensor.shape.dim[3].dim_value == 3
    names = {part.name for part in model.graph.output}
    assert names >= {"detection_boxes", "detection_classes", "detection_scores", "num_detections"}
    assert {part.domain: part.version for part in model.opset_import}[""] == 17
    (labels,) = [part.value for part in model.metadata_props if part.key == "labels"]
    assert json.loads(labels) == {"1": "cat", "2": "dog"}


def test_second_run_does_nothing(onnx_file):
    assert run_script("convert_onnx.py", *WORDS, cwd=onnx_file[0]) == (
        "",
        "exported_models/my_model/model.onnx is up to date\n",
    )


def test_folder_without_a_model_is_named(tmp_path):
    words = ["--saved_model_dir=nowhere", "--output=model.onnx"]
    _, said = run_script("convert_onnx.py", *words, cwd=tmp_path, code=1)
    assert said.startswith("error: nowhere: holds no saved_model.pb; `make export` makes")


def test_what_tf2onnx_cannot_convert_is_an_error(exported, tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model/saved_model.pb").write_bytes(b"broken")
    words = ["--saved_model_dir", tmp_path / "saved_model", "--output", tmp_path / "model.onnx"]
    words += ["--pipeline_config_path=exported_models/my_model/pipeline.config"]
    _, said = run_script("convert_onnx.py", *words, cwd=exported[0], code=1)
    assert "tf2onnx can't convert it" in said
    assert not (tmp_path / "model.onnx").exists()
