"""What a model was trained on, held against what is there today."""

import json
import os
import unicodedata

import pytest
from checkpoint_files import write_checkpoint
from conftest import draw_photo, label_photo, run_script

from tfod.data.label_map import write_label_map
from tfod.data.tfrecord import make_example, write_records
from tfod.data.voc import Box
from tfod.model import trained_on
from tfod.model.trained_on import (
    describe_changes,
    find_changes,
    hold_label_map,
    keep_label_map,
    list_changes,
    list_photos,
)
from tfod.utils.console import InputError


@pytest.fixture
def model(tmp_path):
    """The folder of a model with a kept label map of a cat and a dog; map.pbtxt beside it is that label map."""
    (tmp_path / "m").mkdir()
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    keep_label_map(tmp_path / "m", tmp_path / "map.pbtxt")
    return tmp_path / "m"


@pytest.mark.attack
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            {"dog": 1, "cat": 2},
            "is not what {m} was trained with: id 1 was 'cat' and is 'dog'; id 2 was 'dog' and is 'cat'; ",
        ),
        (
            {"cat": 1, "fox": 2},
            ": id 2 was 'dog' and is 'fox'; put back the label map of its training ({m}/label_map.pbtxt is",
        ),
        ({"cat": 1}, ": id 2 was 'dog' and is not there; put back the label map of its training"),
        ({"cat": 1, "fox": 2, "dog": 3}, "or train a new model with it and the new id 3 'dog': MODEL=another_name"),
        (
            {"cat": 1, "dog": 2, "fox": 3},
            "has id 3 'fox', which {m} was not trained to find; that takes a new training: MODEL=",
        ),
        ({"Cat": 1, "dog": 2}, "id 1 was 'cat' and is 'Cat'"),
        ({f"class {number}": number for number in range(1, 9)}, "id 1 was 'cat' and is 'class 1'; id 2 was"),
    ],
)
def test_label_map_that_changed_after_the_training_is_refused(model, classes, message):
    path = model.parent / "map.pbtxt"
    write_label_map(path, classes)
    for check in (hold_label_map, keep_label_map):
        with pytest.raises(InputError) as raised:
            check(model, path)
        (fault,) = raised.value.faults
        assert fault.startswith(f"{path}: ")
        assert message.format(m=model) in fault
    for folder in (model / "best", model / "checkpoint"):  # which a training and an export have
        with pytest.raises(InputError):
            hold_label_map(folder, path)


def test_many_changes_are_counted(tmp_path):
    write_label_map(tmp_path / "a.pbtxt", {f"a{number}": number for number in range(1, 20)})
    keep_label_map(tmp_path / "m", tmp_path / "a.pbtxt")
    write_label_map(tmp_path / "a.pbtxt", {f"b{number}": number for number in range(1, 20)})
    with pytest.raises(InputError, match="id 5 was 'a5' and is 'b5'; and 14 more; put back"):
        hold_label_map(tmp_path / "m", tmp_path / "a.pbtxt")


@pytest.mark.parametrize(
    "text",
    [
        "item { id: 2 name: 'dog' }\n\n# another order\nitem { name: \"cat\" id: 1 }",
        "item { id: 1 name: 'cat' display_name: 'House cat' } item { id: 2 name: 'n02084071' display_name: 'dog' }",
        "\ufeffitem { id: 1 name: ' cat ' } item { id: 2 name: 'dog' }",
    ],
)
def test_differences_of_mere_form_are_none(model, text):
    (model.parent / "map.pbtxt").write_text(text, encoding="utf-8")
    hold_label_map(model, model.parent / "map.pbtxt")


def test_letters_are_the_same_however_unicode_composes_them(tmp_path):
    for form in ("NFC", "NFD"):
        write_label_map(tmp_path / f"{form}.pbtxt", {unicodedata.normalize(form, "Bär"): 1})
    assert (tmp_path / "NFC.pbtxt").read_bytes() != (tmp_path / "NFD.pbtxt").read_bytes()
    assert list_changes(tmp_path / "NFC.pbtxt", tmp_path / "NFD.pbtxt") == ([], [])


def test_model_without_a_kept_label_map_takes_any_and_keeps_the_first(tmp_path):
    write_label_map(tmp_path / "map.pbtxt", {"dog": 1})
    (tmp_path / "m").mkdir()
    hold_label_map(tmp_path / "m", tmp_path / "map.pbtxt")
    assert list((tmp_path / "m").iterdir()) == []
    keep_label_map(tmp_path / "m", tmp_path / "map.pbtxt")
    assert (tmp_path / "m/label_map.pbtxt").read_bytes() == (tmp_path / "map.pbtxt").read_bytes()
    hold_label_map(tmp_path / "m", tmp_path / "m/label_map.pbtxt")  # as a config may name it


def test_training_that_begins_replaces_its_own_copy_and_no_other_label_map(model):
    path, kept = model.parent / "map.pbtxt", model / "label_map.pbtxt"
    trained_on.note_training(model, {})
    write_label_map(path, {"fox": 1})
    keep_label_map(model, path, starts=True)
    assert kept.read_bytes() == path.read_bytes()
    write_label_map(kept, {"cat": 7})
    with pytest.raises(InputError, match="it is another label map, which training did not write; move it away, or"):
        keep_label_map(model, path, starts=True)


def test_label_map_that_cannot_be_kept_stops_nothing(tmp_path, capsys):
    write_label_map(tmp_path / "map.pbtxt", {"dog": 1})
    (tmp_path / "m").touch()
    keep_label_map(tmp_path / "m", tmp_path / "map.pbtxt")
    trained_on.note_training(tmp_path / "m", {})
    said = capsys.readouterr().err
    assert f"warning: {tmp_path}/m/label_map.pbtxt: the label map could not be kept there" in said
    assert f"warning: {tmp_path}/m/trained_on.json: could not be written" in said


@pytest.mark.parametrize(("files", "trained"), [([], False), (["ckpt-1"], True), (["best/ckpt-1"], True)])
def test_model_is_trained_once_it_has_a_checkpoint(tmp_path, files, trained):
    for name in files:
        write_checkpoint(tmp_path / name, {"model/a": [3]})
    assert trained_on.is_trained(tmp_path) == trained


# ---------------------------------------------------------------- photos


def make_photos(folder, numbers, moved=()):
    """Photos with a label each; those of `moved` have another box."""
    for number in numbers:
        boxes = [Box("cat", 1, 2, 30, 40)] if number in moved else None
        label_photo(folder, f"{number}.jpg", number, boxes)
    return folder


def write(workspace, *words, name="a.record"):
    words = ["-x", "images", "-l", "map.pbtxt", "-o", name, *words]
    run_script("preprocessing/generate_tfrecord.py", *words, cwd=workspace)
    return sorted(workspace.glob(f"{name}*"))


def test_photos_and_boxes_that_changed_are_counted_and_what_is_only_written_otherwise_is_not(tmp_path):
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    make_photos(tmp_path / "images", range(6))
    trained_on.note_training(tmp_path / "m", list_photos(write(tmp_path)))
    assert (
        find_changes(tmp_path / "m", list_photos(write(tmp_path, "--num_shards", 3, "--seed", 7, name="b.record")))
        == ""
    )
    (tmp_path / "images/0.jpg").rename(tmp_path / "images/z.jpg")  # the same photo under another name
    (tmp_path / "images/0.xml").rename(tmp_path / "images/z.xml")
    xml = tmp_path / "images/z.xml"
    xml.write_text(xml.read_text().replace("0.jpg", "z.jpg"))
    assert find_changes(tmp_path / "m", list_photos(write(tmp_path, name="c.record"))) == ""
    make_photos(tmp_path / "images", [1, 6, 7], moved=[1])
    for name in ("2.jpg", "2.xml"):
        (tmp_path / "images" / name).unlink()
    photos = list_photos(write(tmp_path, name="d.record"))
    changes = find_changes(tmp_path / "m", photos)
    assert changes == "2 photos new, 1 photo gone, 1 photo with other boxes"
    trained_on.note_training(tmp_path / "m", photos)
    assert find_changes(tmp_path / "m", photos) == ""


def test_records_of_other_tools_are_known_by_their_images(tmp_path):
    photo = draw_photo()
    photo.save(tmp_path / "photo.png")
    encoded, boxes = (tmp_path / "photo.png").read_bytes(), [Box("cat", 1, 2, 3, 4), Box("cat", 5, 6, 7, 8)]
    ours = make_example("a.png", encoded, "png", 96, 64, boxes, {"cat": 1})
    theirs = ours.replace(b"image/key/sha256", b"image/key/sha257")  # of the same length: only the key is another
    turned = make_example("b.png", encoded, "png", 96, 64, boxes[::-1], {"cat": 1})
    found = []
    for examples in ([ours], [theirs], [turned], [ours, ours]):
        write_records(tmp_path / "a.record", examples)
        found.append(list_photos([tmp_path / "a.record"]))
    assert found[0] == found[1] == found[2]
    assert describe_changes(found[0], found[3]) == "1 photo with other boxes"  # it is there twice, with twice the boxes


@pytest.mark.attack
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"photos": {"a": 1}}', b"null", "pipe"]
)
def test_note_that_is_damaged_is_said_and_nothing_is_claimed(tmp_path, content, capsys):
    write_records(tmp_path / "a.record", [make_example("a.png", b"a photo", "png", 96, 64, [], {})])
    path = tmp_path / "trained_on.json"
    os.mkfifo(path) if content == "pipe" else path.write_bytes(content)
    assert find_changes(tmp_path, list_photos([tmp_path / "a.record"])) == ""
    assert f"warning: {path}: is damaged, so what the model was trained on is not known" in capsys.readouterr().err
    trained_on.note_training(tmp_path, list_photos([tmp_path / "a.record"]))
    assert list(json.loads(path.read_text())["photos"]) == list(list_photos([tmp_path / "a.record"]))


@pytest.mark.parametrize("content", [b"", b"no record", None])
def test_records_that_cannot_be_read_are_left_to_the_training(tmp_path, content):
    write_records(tmp_path / "a.record", [make_example("a.png", b"a photo", "png", 96, 64, [], {})])
    trained_on.note_training(tmp_path, list_photos([tmp_path / "a.record"]))
    if content is None:
        (tmp_path / "a.record").unlink()
    else:
        (tmp_path / "a.record").write_bytes(content)
    assert find_changes(tmp_path, list_photos([tmp_path / "a.record"])) == ("1 photo gone" if content == b"" else "")
