"""A photo and its XML file, put together: boxes where the detector will see them, or every fault by name."""

import pytest
from conftest import draw_photo, label_photo
from PIL import ExifTags, Image

from tfod.data.labelled_images import check_photo, find_set_turn, note_unlabelled
from tfod.data.voc import Box, write_annotation


def check(image, xml=None, decode=True):
    photo, names, faults, warnings = check_photo(image, xml or image.with_suffix(".xml"), decode)
    return photo, names, {fault.kind for fault in faults}, {fault.kind for fault in warnings}


@pytest.mark.parametrize("decode", [True, False])
def test_a_sound_photo(tmp_path, decode):
    path = label_photo(tmp_path, "a.jpg", 1)
    photo, names, faults, warnings = check(path, decode=decode)
    assert (photo.path, photo.xml, photo.width, photo.height) == (path, tmp_path / "a.xml", 96, 64)
    assert photo.boxes == [Box("cat", 13, 11, 43, 31)] and names == ("cat",)
    assert not faults and not warnings


def test_a_photo_without_an_xml_file_is_a_negative(tmp_path):
    path = label_photo(tmp_path, "a.jpg")
    photo, names, faults, _ = check_photo(path, None)
    assert (photo.xml, photo.boxes, names, faults) == (None, [], (), [])


def test_only_decoding_finds_what_is_wrong_with_the_pixels(tmp_path):
    path = label_photo(tmp_path, "a.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    assert check(path)[2] == {"image-damaged"}
    assert check(path, decode=False)[2] == set()


def test_faults_of_image_and_xml_file_are_told_together(tmp_path):
    path = label_photo(
        tmp_path, "a.jpg", boxes=[Box("cat", 5, 5, 3, 9), Box("dog", 1, 1, 9, 9), Box("dog", 1, 1, 9, 9)]
    )
    path.write_bytes(b"no image")
    photo, names, faults, warnings = check(path)
    assert photo is None
    assert names == ("cat", "dog", "dog")  # the class of a faulty box is known all the same
    assert faults == {"image-not-read", "box-swapped"} and warnings == {"box-duplicate"}


def test_a_folder_named_as_an_image_is_named(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    write_annotation(tmp_path / "a.xml", "a.jpg", 96, 64, [])
    assert check(tmp_path / "a.jpg")[2] == {"file-not-read"}


@pytest.mark.parametrize("upright", [True, False])
def test_boxes_of_a_turned_photo_lie_in_the_upright_one(tmp_path, upright):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored 96 x 64, upright 64 x 96
    draw_photo().save(tmp_path / "a.jpg", exif=exif)
    size, box = ((64, 96), Box("cat", 4, 8, 34, 28)) if upright else ((96, 64), Box("cat", 8, 30, 28, 60))
    write_annotation(tmp_path / "a.xml", "a.jpg", *size, [box])
    photo, _, faults, warnings = check(tmp_path / "a.jpg")
    assert photo.boxes == [Box("cat", 4, 8, 34, 28)]
    assert (photo.width, photo.height) == (64, 96)
    assert not faults and warnings == {"exif-turned"}


@pytest.mark.parametrize(
    ("xml", "filename", "path", "warnings"),
    [
        ("a.xml", "a.jpg", r"C:\photos\a.jpg", set()),
        ("a.xml", "a.jpg", "/home/somebody/else/a.png", set()),
        ("a.xml", "a", "", set()),  # as some tools write it
        ("a.xml", "a.JPG", "a.JPG", set()),
        ("a.xml", "", "", set()),
        ("a.xml", "photos/a.jpg", "a.jpg", set()),
        ("a.xml", "b.jpg", "b.jpg", {"filename-differs"}),
        ("a.xml", "a.jpg", "/x/b.jpg", {"path-differs"}),
        ("a.xml", "b.jpg", "/x/c.jpg", {"filename-differs", "path-differs"}),
        ("b.xml", "a.jpg", "a.jpg", {"filename-differs"}),  # belongs to a.jpg by its <filename>
        ("u\u0308.xml", "\u00fc.jpg", "", set()),
    ],
)
def test_names_that_disagree_are_warned_of(tmp_path, xml, filename, path, warnings):
    image = label_photo(tmp_path, f"{xml[:-4]}.jpg" if xml != "b.xml" else "a.jpg")
    text = image.with_suffix(".xml").read_text(encoding="utf-8")
    text = text.replace(f"<filename>{image.name}<", f"<filename>{filename}<").replace(
        f"<path>{image.name}<", f"<path>{path}<"
    )
    (tmp_path / xml).write_text(text, encoding="utf-8")
    photo, _, faults, found = check(image, tmp_path / xml)
    assert photo and not faults
    assert found == warnings


@pytest.mark.parametrize(
    "filename", ["../a.jpg", "/etc/a.jpg", r"C:\a.jpg", r"..\a.jpg", r"\\server\a.jpg", "b/../../a.jpg"]
)
def test_a_filename_with_folders_names_the_photo_by_its_last_part(tmp_path, filename):
    image = label_photo(tmp_path, "a.jpg")
    write_annotation(tmp_path / "a.xml", filename, 96, 64, [])
    photo, _, faults, warnings = check(image)
    assert photo.boxes == [] and (faults, warnings) == (set(), set())


def test_fractions_of_the_image_become_pixels_with_a_word(tmp_path):
    boxes = [Box("cat", 0.125, 0.25, 0.5, 0.75), Box("dog", 0, 0, 1, 1)]
    image = label_photo(tmp_path, "a.jpg", boxes=boxes)
    photo, _, faults, warnings = check(image)
    assert photo.boxes == [Box("cat", 12, 16, 48, 48), Box("dog", 0, 0, 96, 64)]
    assert (faults, warnings) == (set(), {"box-fractions"})
    label_photo(tmp_path, "a.jpg", boxes=[*boxes, Box("cat", 5, 5, 50, 50)])  # one in pixels: so all are
    assert check(image)[0].boxes[0] == boxes[0]


def put_turned(folder, name, orientation, as_stored, number=0):
    """A photo that EXIF turns, labelled on the pixels as stored or upright; (the image path, its XML path)."""
    upright, undo = draw_photo(number), {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    stored = upright.transpose(undo)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    box = Box("cat", 8, 8, 38, 28) if not as_stored else Box("cat", 1, 2, 31, 22)
    image = label_photo(folder, name, number, [box], stored, exif=exif)
    write_annotation(image.with_suffix(".xml"), name, *(stored if as_stored else upright).size, [box])
    return image, image.with_suffix(".xml")


@pytest.mark.parametrize(
    ("others", "as_stored"),
    [([], False), ([False], False), ([True], True), ([True, False], True), ([True, False, False], False)],
)
def test_a_photo_whose_size_does_not_tell_is_taken_as_the_others_of_the_set(tmp_path, others, as_stored):
    unclear = put_turned(tmp_path, "unclear.jpg", 3, True)
    pairs = [put_turned(tmp_path, f"{i}.jpg", 6, stored, i + 1) for i, stored in enumerate(others)]
    assert find_set_turn([unclear, *pairs]) is as_stored
    photo, _, faults, warnings = check_photo(*unclear, as_stored=as_stored)
    assert photo.boxes == [Box("cat", 65, 42, 95, 62) if as_stored else Box("cat", 1, 2, 31, 22)] and not faults
    (fault,) = [fault for fault in warnings if fault.kind == "exif-unclear"]
    assert ("taken on the pixels as stored, as the photos" if as_stored else "taken upright, as viewers") in fault


def test_the_set_of_a_subset_has_the_photos_of_the_others(tmp_path):
    unclear = put_turned(tmp_path / "test", "unclear.jpg", 3, True)
    put_turned(tmp_path / "train", "clear.jpg", 6, True, 1)
    assert not find_set_turn([unclear])
    assert find_set_turn([unclear], tmp_path / "test")


@pytest.mark.parametrize(
    ("place", "tool"),
    [("images/a.txt", "yolo"), ("images/a.json", "labelme"), ("labels/a.txt", "yolo")],
)
def test_labels_of_another_tool_are_named_with_what_brings_them_in(tmp_path, place, tool):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    for image in ("images/a.jpg", "images/train/a.jpg"):
        fault = note_unlabelled(tmp_path / image)
        assert f"but {tmp_path / place}, as other tools write; make import FROM={(tmp_path / place).parent} " in fault
        assert f"--from {tool} " in fault and "negatives" not in fault
    assert "ALLOW_UNLABELLED=1" in note_unlabelled(tmp_path / "images/b.jpg")
