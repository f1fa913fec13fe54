"""Models of odd shapes, with odd metadata, or damaged: each either works, or one plain error says what it is."""

import json
import re
import shutil

import numpy as np
import pytest
from conftest import label_photo, load_script
from constant_detector import FOUND, write_saved_model

from tfod.data.label_map import write_label_map
from tfod.inference.detector import Detector
from tfod.utils.console import InputError

pytestmark = pytest.mark.attack
PHOTO = np.zeros((40, 60, 3), np.uint8)


def write_onnx(path, shape=(1, None, None, 3), kind="UINT8", found=FOUND, labels=None, inputs=1, more=()):
    """Writes an ONNX model that gives `found` for whatever it sees, with odd things as told; `more` are nodes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    taken = [helper.make_tensor_value_info(f"input_{i}", getattr(TensorProto, kind), shape) for i in range(inputs)]
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in found.items()
    ]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in found.items()]
    graph = helper.make_graph([*nodes, *more], "detector", taken, given)
    if more:
        graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if labels is not None:
        model.metadata_props.add(key="labels", value=labels)
    onnx.save(model, path)
    return path


def write_failing(path):
    """A model that fails on photos of any but 7 x 7 pixels, which it does not say before."""
    from onnx import TensorProto, helper, numpy_helper

    seven = numpy_helper.from_array(np.zeros((1, 7, 7, 3), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["seven"], value=seven),
        helper.make_node("Cast", ["input_0"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["pixels", "seven"], ["more"]),
    ]
    return write_onnx(path, more=nodes)


def repeat(number):
    """What is found, for a batch of images."""
    return {name: np.concatenate([value] * number) for name, value in FOUND.items()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ({"kind": "FLOAT"}, "takes float [1, any, any, 3], not photos, uint8 [batch, height, width, 3]; `make onnx`"),
        ({"shape": (1, 3, 320, 320)}, "takes uint8 [1, 3, 320, 320], not photos"),
        ({"shape": (None, None, 3)}, "takes uint8 [any, any, 3], not photos"),
        ({"shape": (1, 8, 8, 1)}, "takes uint8 [1, 8, 8, 1], not photos"),
        ({"inputs": 2}, "takes input_0, input_1, not photos alone"),
        ({"inputs": 0}, "takes nothing, not photos alone"),
        ({"found": {"boxes": np.zeros((1, 4), np.float32)}}, "gives no detection_boxes, detection_classes, detection_"),
        ({"found": {**FOUND, "detection_boxes": np.zeros((3, 4), np.float32)}}, "gives detection_boxes [3, 4], detec"),
        ({"found": {**FOUND, "detection_scores": np.zeros((1, 2), np.float32)}}, "detection_scores [1, 2], num_dete"),
        ({"found": repeat(2)}, "num_detections [2], which are not a detector's; name another model"),
        ({"found": {**FOUND, "num_detections": np.float32([2, 2])}}, "num_detections [2], which are not a detector's"),
    ],
)
def test_onnx_models_that_are_no_detectors_say_what_they_take_or_give(tmp_path, make, message):
    path = write_onnx(tmp_path / "odd.onnx", **make)
    with pytest.raises(InputError) as caught:
        Detector(path).detect([PHOTO])
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: ") and message in fault and "\n" not in fault


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((1, 32, 24, 3), FOUND),
        ((None, None, None, 3), FOUND),
        ((None, None, None, None), FOUND),
        ((3, 32, 32, 3), repeat(3)),
        ((1, None, None, 3), {**FOUND, "num_detections": np.float32([[2]])}),
    ],
)
def test_onnx_detectors_of_fixed_size_or_batch_or_of_any_run(tmp_path, shape, found):
    detector = Detector(write_onnx(tmp_path / "sound.onnx", shape, found=found), score=0.0)
    for result in detector.detect([PHOTO, PHOTO[:20]]):
        np.testing.assert_allclose(result.boxes, FOUND["detection_boxes"][0][:2])
        assert result.classes.tolist() == [2, 1]


def test_a_photo_that_a_fixed_size_takes_is_the_whole_photo(tmp_path):
    from tfod.inference.runtime import fit_photos

    photo = np.arange(40, dtype=np.uint8).reshape(1, 4, 10, 1).repeat(3, 3)
    assert fit_photos(photo, (4, 10)) is photo and fit_photos(photo, None) is photo
    assert fit_photos(photo, (2, 5))[0, :, :, 0].tolist() == photo[0, ::2, ::2, 0].tolist()


@pytest.mark.parametrize(
    "labels", ["no JSON", '["cat"]', '{"one": "cat"}', '{"1": 7}', '{"1": null}', "7", "[" * 10**5, '{"1.5": "cat"}']
)
def test_label_metadata_that_is_none_is_said_and_detection_goes_on(tmp_path, capsys, labels):
    path = write_onnx(tmp_path / "odd.onnx", labels=labels)
    detector = Detector(path)
    assert detector.names == {} and len(detector.detect([PHOTO])[0].scores) == 1
    assert f"{path}: its metadata 'labels' is not the JSON of an object, as" in capsys.readouterr().err
    assert Detector(write_onnx(path, labels='{"2": "dog"}')).names == {2: "dog"} and not capsys.readouterr().err


def test_a_model_that_fails_on_a_photo_says_on_which(tmp_path):
    path = write_failing(tmp_path / "odd.onnx")
    with pytest.raises(
        InputError, match=rf"^{re.escape(str(path))}: fails on an image of 60 x 40 \(.*\); export it"
    ) as e:
        Detector(path).detect([PHOTO])
    assert "\n" not in str(e.value)
    assert len(Detector(path).detect([PHOTO[:7, :7]])) == 1


def damage_files(folder, sound):
    """Damaged copies of a model's file: a dict name -> path."""
    data = sound.read_bytes()
    contents = {"empty": b"", "text": b"this is no model\n", "half": data[: len(data) // 2], "noise": bytes(range(256))}
    paths = {name: folder / f"{name}{sound.suffix}" for name in contents}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    return paths


def test_damaged_onnx_files_are_named(tmp_path):
    for path in damage_files(tmp_path, write_onnx(tmp_path / "sound.onnx")).values():
        with pytest.raises(InputError) as caught:
            Detector(path)
        (fault,) = caught.value.faults
        assert fault.startswith(f"{path}: ") and "make it again with `make onnx`" in fault and "\n" not in fault


def test_damaged_tflite_files_are_named(tmp_path, tflite_files):
    sound = tflite_files[0] / "exported_models/my_model/tflite/model_float32.tflite"
    for path in damage_files(tmp_path, sound).values():
        with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: .*`make tflite`"):
            Detector(path)


def test_damaged_tflite_metadata_is_said_and_detection_goes_on(tmp_path, tflite_files, capsys):
    from tfod.export.tflite_metadata import read_metadata

    sound = tflite_files[0] / "exported_models/my_model/tflite/model_float32.tflite"
    data = sound.read_bytes()
    at = data.rindex(b"PK\x03\x04", 0, data.rindex(b"PK\x03\x04"))  # labels.txt comes before normalization.json
    without_zip = data[:at]
    wrong_sum = data[: at + 14] + b"\xff" * 4 + data[at + 18 :].replace(b"cat\ndog", b"cat\n\xff\xfe\xfd")
    start = data.index(b"M001") - 4
    torn = data[:start] + b"\xff" * 64 + data[start + 64 :]
    for name, content in (("without_zip", without_zip), ("wrong_sum", wrong_sum), ("torn", torn)):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}.tflite: its metadata .*; make it again"):
            read_metadata(path)
        detector = Detector(path, score=0.0)
        assert detector.names == {} and len(detector.detect([PHOTO])[0].scores)
        assert f"{name}.tflite: its metadata " in capsys.readouterr().err


def test_damaged_saved_models_are_named(tmp_path, exported):
    sound = write_saved_model(tmp_path / "sound")
    damages = {"empty": b"", "noise": b"\xff" * 40, "half": (sound / "saved_model.pb").read_bytes()[:-200]}
    for name, content in damages.items():
        folder = shutil.copytree(sound, tmp_path / name)
        (folder / "saved_model.pb").write_bytes(content)
        with pytest.raises(InputError, match=rf"^{re.escape(str(folder))}: ") as caught:
            Detector(folder)
        assert len(caught.value.faults) == 1
    folder = shutil.copytree(sound, tmp_path / "unknown_op")
    content = (sound / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(content.replace(b"\x05Const", b"\x05Konst"))
    with pytest.raises(InputError, match=rf"^{re.escape(str(folder))}: its graph can't be loaded \(.*; export again$"):
        Detector(folder)
    for place in ("variables", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        folder = tmp_path / place.replace("/", "_")
        shutil.copytree(exported[0] / "exported_models/my_model/saved_model", folder)
        path = folder / place
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        with pytest.raises(InputError, match=rf"^{re.escape(str(folder))}: its variables can't be loaded"):
            Detector(folder)


@pytest.mark.parametrize("script", ["inference_main_v2", "evaluate", "benchmark"])
def test_scripts_say_it_in_one_plain_error(tmp_path, monkeypatch, script):
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "odd.onnx", shape=(1, 3, 320, 320))
    label_photo(tmp_path / "images", "a.jpg")
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    module = load_script(f"{script}.py")
    words = {
        "inference_main_v2": ["-m", "odd.onnx", "-l", "map.pbtxt", "-i", "images"],
        "evaluate": ["-m", "odd.onnx", "-l", "map.pbtxt", "-i", "images", "-o", "out"],
    }
    monkeypatch.setattr("sys.argv", [script, *words.get(script, [])])
    with pytest.raises(InputError, match=r"^odd.onnx: takes uint8 \[1, 3, 320, 320\], not photos"):
        module.measure("odd.onnx", None, 1, "out.npz") if script == "benchmark" else module.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "map.pbtxt", "odd.onnx"]


def test_class_names_of_a_model_reach_no_terminal_raw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "odd.onnx", labels=json.dumps({"2": "d\x1b[31mog\u202e", "1": "cat"}))
    label_photo(tmp_path / "images", "a.jpg")
    monkeypatch.setattr("sys.argv", ["inference_main_v2", "-m", "odd.onnx", "-i", "images"])
    assert load_script("inference_main_v2.py").main() == 0
    assert "  d\\x1b[31mog\\u202e: 1\n" in capsys.readouterr().out


def test_a_model_folder_whose_config_cannot_be_built_is_named(tmp_path):
    for name in ("ckpt-5.index", "ckpt-5.data-00000-of-00001"):
        (tmp_path / name).touch()
    (tmp_path / "pipeline.config").write_text("model { ssd { feature_extractor { type: 'ssd_mobilenet_v2' } } }")
    with pytest.raises(InputError) as raised:
        Detector(tmp_path)
    assert raised.value.faults == (
        f"{tmp_path}/pipeline.config: feature_extractor's type ssd_mobilenet_v2 is TensorFlow 1's; write "
        "ssd_mobilenet_v2_keras",
        f"{tmp_path}/pipeline.config: image_resizer is not set; start from a config of scripts/configs",
    )
