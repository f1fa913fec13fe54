"""contact_sheet.py: one picture of a folder's images, the same from run to run."""

import shutil

import numpy as np
import pytest
from conftest import label_photo
from PIL import Image

from tfod.utils.drawing import get_colour


def test_a_sheet_shows_every_image_with_its_boxes(call, labelled_images, tmp_path):
    done = call("contact_sheet.py", "-i", labelled_images, "-o", tmp_path / "out/sheet.png", "--columns", 3)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out/sheet.png") as sheet:
        assert done.stdout == f"Wrote {tmp_path / 'out/sheet.png'}: 12 images, {sheet.width} x {sheet.height} pixels\n"
        assert sheet.width == 1600
        assert sheet.getpixel((0, 0)) == sheet.getpixel((1599, sheet.height - 1)) == (255, 255, 255)
        pixels = np.asarray(sheet)
    for class_id in (1, 2):  # cat and dog, in alphabetical order as in the label map
        assert (pixels == get_colour(class_id)).all(axis=-1).sum() > 1000


def test_images_without_xml_are_taken_as_they_are(call, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (400, 300), (10, 200, 30)).save(tmp_path / "images/a.png")
    assert call("contact_sheet.py", "-i", tmp_path / "images", "-o", tmp_path / "sheet.png").returncode == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        colours = {colour: count for count, colour in sheet.getcolors(100_000)}
    assert get_colour(1) not in colours
    assert colours[(10, 200, 30)] == 1560 * 1170  # one image: one column, all of the width but its margins


def test_cells_keep_the_shape_of_each_image(call, tmp_path):
    (tmp_path / "images").mkdir()
    for i, size in enumerate([(100, 100), (100, 50), (50, 100), (200, 20)]):
        Image.new("RGB", size, (250, 0, 10 * i)).save(tmp_path / f"images/{i}.png")
    call("contact_sheet.py", "-i", tmp_path / "images", "-o", tmp_path / "sheet.png", "--columns", 2, "--width", 800)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    for i, shape in enumerate([1, 0.5, 2, 0.1]):
        ys, xs = np.nonzero((pixels == (250, 0, 10 * i)).all(axis=-1))
        height, width = np.ptp(ys) + 1, np.ptp(xs) + 1
        assert height == pytest.approx(shape * width, abs=1)
        assert len(xs) == height * width


def test_the_same_images_give_the_same_bytes(call, labelled_images, tmp_path):
    for name in ("one.png", "two.png"):
        arguments = ("-i", labelled_images, "-o", tmp_path / name, "--title", "Cats and dogs")
        assert call("contact_sheet.py", *arguments).returncode == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_second_run_does_nothing_until_something_changes(call, labelled_images, tmp_path):
    def make(*more):
        return call("contact_sheet.py", "-i", labelled_images, "-o", tmp_path / "sheet.png", *more)

    assert make().returncode == 0
    assert make().stderr == f"{tmp_path / 'sheet.png'} is up to date (12 images)\n"
    assert "Wrote" in make("--title", "New").stdout
    label_photo(labelled_images, "photo_1.jpg", number=40)
    assert "Wrote" in make("--title", "New").stdout
    assert "is up to date" in make("--title", "New").stderr
    (labelled_images / "photo_1.xml").unlink()
    assert "Wrote" in make("--title", "New").stdout
    (tmp_path / "sheet.png").unlink()
    assert "Wrote" in make("--title", "New").stdout


def test_the_images_are_picked_evenly(call, tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(10):
        Image.new("RGB", (40, 40), (250, 0, 10 * i)).save(tmp_path / f"images/{i}.png")
    call("contact_sheet.py", "-i", tmp_path / "images", "-o", tmp_path / "sheet.png", "--number", 5)
    with Image.open(tmp_path / "sheet.png") as sheet:
        shown = {colour[2] for _, colour in sheet.getcolors(100_000) if colour[:2] == (250, 0)}
    assert shown == {0, 20, 40, 60, 80}


def test_the_sheet_itself_is_not_one_of_the_images(call, labelled_images):
    output = labelled_images / "0.png"
    assert "12 images" in call("contact_sheet.py", "-i", labelled_images, "-o", output, "--number", 99).stdout
    assert (
        "up to date (12 images)" in call("contact_sheet.py", "-i", labelled_images, "-o", output, "--number", 99).stderr
    )


def test_all_faults_of_the_input_at_once(call, labelled_images, tmp_path):
    (labelled_images / "a.jpg").write_bytes(b"not a photo")
    (labelled_images / "photo_3.xml").write_text("<annotation>")
    done = call("contact_sheet.py", "-i", labelled_images, "-o", tmp_path / "sheet.png")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [
        str(labelled_images / name) in line for name, line in zip(("a.jpg", "photo_3.xml"), errors, strict=True)
    ] == [
        True,
        True,
    ]
    assert not (tmp_path / "sheet.png").exists()


def test_a_folder_without_images_is_named(call, tmp_path):
    (tmp_path / "images").mkdir()
    done = call("contact_sheet.py", "-i", tmp_path / "images", "-o", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'images'}: holds no images; name the folder that does\n"
    shutil.rmtree(tmp_path / "images")
    done = call("contact_sheet.py", "-i", tmp_path / "images", "-o", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert f"error: {tmp_path / 'images'}: " in done.stderr


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--columns", 0], "--columns must be 1 or more"),
        (["--number", 0], "--number must be 1 or more"),
        (["--width", 399], "--width must be from 400 (100 for each column) to 16000 pixels"),
        (["-o", "sheet.pdf"], "--output must end with one of .png .jpg .jpeg .webp"),
    ],
)
def test_a_wrong_call_ends_with_2(call, tmp_path, wrong, message):
    done = call("contact_sheet.py", "-i", tmp_path, "-o", tmp_path / "sheet.png", *wrong)
    assert done.returncode == 2
    assert message in done.stderr
