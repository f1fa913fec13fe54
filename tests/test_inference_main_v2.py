import numpy as np
import pytest
from conftest import label_photo
from PIL import Image

from tfod.label_map import write_label_map


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel with the signature of our exports that finds a dog (0.9) and a cat (0.4) in every image."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
        def __call__(self, input_tensor):
            return {
                "num_detections": tf.constant([2.0]),
                "detection_boxes": tf.constant([[[0.1, 0.1, 0.6, 0.6], [0.5, 0.5, 0.9, 0.9], [0.0, 0.0, 1.0, 1.0]]]),
                "detection_classes": tf.constant([[2.0, 1.0, 1.0]]),
                "detection_scores": tf.constant([[0.9, 0.4, 0.0]]),
            }

    folder = tmp_path_factory.mktemp("export") / "saved_model"
    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.__call__.get_concrete_function())
    return folder


@pytest.fixture
def infer(call, tmp_path, saved_model):
    """Runs the script on tmp_path/images: returns (code, output, said)."""
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})

    def infer(*words, model=saved_model):
        command = ["-m", model, "-l", "map.pbtxt", "-i", "images", "-o", "result", *words]
        done = call("inference_main_v2.py", *command, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return infer


def test_each_image_is_annotated_under_its_own_name(infer, labelled_images, tmp_path):
    code, output, _ = infer()
    assert code == 0
    assert "Wrote 12 annotated images to result: 12 detections of score 0.5 or more" in output
    for path in labelled_images.glob("*.*"):
        if path.suffix == ".xml":
            continue
        with Image.open(path) as photo, Image.open(tmp_path / "result" / path.name) as drawn:
            assert drawn.size == photo.size
            assert np.abs(np.asarray(drawn.convert("RGB"), int) - np.asarray(photo.convert("RGB"), int)).max() > 60


def test_second_run_does_nothing_until_something_changed(infer, labelled_images, tmp_path):
    infer()
    code, output, said = infer()
    assert (code, output) == (0, "")
    assert "result is up to date: 12 annotated images" in said
    assert "24 detections of score 0.3" in infer("--score", 0.3)[1]
    (tmp_path / "result/a.jpg").unlink()
    assert infer("--score", 0.3)[0] == 0
    assert (tmp_path / "result/a.jpg").exists()


def test_broken_image_is_named_and_the_others_are_done(infer, labelled_images, tmp_path):
    broken = labelled_images / "a.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    code, output, said = infer()
    assert code == 1
    assert "error: images/a.jpg: " in said
    assert "Wrote 11 annotated images" in output
    assert not (tmp_path / "result/a.jpg").exists()
    assert infer()[0] == 1  # not taken for done


def test_photo_that_the_camera_turned_is_annotated_upright(infer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    label_photo(tmp_path / "images", "turned.jpg", photo=Image.new("RGB", (80, 40), "white"), exif=exif)
    assert infer()[0] == 0
    with Image.open(tmp_path / "result/turned.jpg") as drawn:
        assert drawn.size == (40, 80)
        assert drawn.getexif().get(0x0112, 1) == 1


def test_faults_of_the_call_are_named_at_once(infer, tmp_path):
    (tmp_path / "map.pbtxt").unlink()
    (tmp_path / "images").mkdir()
    code, _, said = infer("-o", "images", model="none")
    assert code == 1
    assert "error: none: holds no saved_model.pb; `make export`" in said
    assert "error: images: holds no images" in said
    assert "error: images: is input and output" in said
    assert "map.pbtxt" in said
    assert "4 errors" in said


def test_score_out_of_range_ends_with_2(infer):
    code, _, said = infer("--score", 1.5)
    assert code == 2
    assert "--score is 1.5; give a number from 0 to 1" in said
