"""Images are found by suffix and read whole, upright and in RGB, or refused by name."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import draw_photo
from hostile_images import make_png_of_30000_pixels_a_side
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from tfod.data import images
from tfod.data.images import check_image, list_images, map_in_threads, read_image
from tfod.utils.console import InputError

# EXIF orientation -> what the camera did to the upright picture when it stored it
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save(image, *arguments, **options):
    """The bytes of the file that an image is saved to."""
    file = io.BytesIO()
    image.save(file, *arguments, **options)
    return file.getvalue()


def measure_difference(image, other):
    """The largest mean difference of a colour between two images, 0 to 255."""
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(other, np.int16))
    return difference.mean(axis=(0, 1)).max()


def expect_fault(path, *texts):
    for read in (read_image, check_image):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        for text in texts:
            assert text in str(caught.value)


def test_lists_images_in_order_whatever_the_case_of_the_suffix(tmp_path):
    for name in ("b.JPG", "a.png", "猫.Jpeg", "c d.webp", "e.TIFF", ".hidden.jpg", "notes.txt", "a.xml"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.JPG", "c d.webp", "e.TIFF", "猫.Jpeg"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder; give the one that holds the .jpg files"):
        list_images(tmp_path / "nowhere")


@pytest.mark.attack
@pytest.mark.parametrize("read", [read_image, check_image])
def test_a_file_of_gigabytes_is_named_before_it_fills_the_memory(tmp_path, read):
    path = tmp_path / "video.jpg"
    path.touch()
    os.truncate(path, 20_000_000_000)
    with pytest.raises(InputError, match=r"video.jpg: has 20000 MB, more than the 1000 MB that such a file can need"):
        read(path)


def test_names_that_are_not_utf8_are_named(tmp_path):
    for name in (b"\xc3\xa8.jpg", b"\xe8.jpg"):
        (tmp_path / os.fsdecode(name)).touch()
    with pytest.raises(InputError, match=r"udce8.*is not in UTF-8; rename it") as caught:
        list_images(tmp_path)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("name", "mode", "tolerance", "options"),
    [
        ("a.jpg", "RGB", 4, {"quality": 95}),
        ("a.jpg", "L", 4, {"quality": 95}),
        ("a.jpg", "CMYK", 4, {"quality": 95}),
        ("a.png", "RGB", 0, {}),
        ("a.png", "L", 0, {}),
        ("a.png", "LA", 0, {}),
        ("a.png", "RGBA", 0, {}),
        ("a.png", "P", 0, {}),
        ("a.png", "P", 0, {"transparency": bytes(range(256))}),
        ("a.png", "1", 0, {}),
        ("a.bmp", "RGB", 0, {}),
        ("a.bmp", "1", 0, {}),
        ("a.gif", "P", 0, {"transparency": 3}),
        ("a.webp", "RGBA", 0, {"lossless": True, "exact": True}),
        ("a.webp", "RGB", 6, {"quality": 95}),
        ("a.tif", "RGB", 0, {}),
        ("a.tif", "CMYK", 0, {"compression": "tiff_lzw"}),
        ("a.tiff", "RGB", 6, {"compression": "jpeg"}),
    ],
)
def test_every_mode_becomes_the_colours_that_were_saved(tmp_path, recwarn, name, mode, tolerance, options):
    image = draw_photo(3).convert(mode)
    if mode in ("LA", "RGBA"):  # alpha is dropped, so what lies under it shows
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    wanted = image.convert("RGBA").convert("RGB")
    image.save(tmp_path / name, **options)
    read = read_image(tmp_path / name)
    assert (read.mode, read.size) == ("RGB", image.size)
    assert measure_difference(read, wanted) <= tolerance
    assert check_image(tmp_path / name).size == image.size
    assert not recwarn.list


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_of_16_bits_the_upper_eight_are_taken(tmp_path, name):
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / name)
    read = np.asarray(read_image(tmp_path / name))
    assert (read == (values >> 8)[..., None]).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_that_are_no_colours_are_refused(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    expect_fault(tmp_path / "a.tif", f"has {mode} pixels", "save it as 8-bit RGB")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_the_turn_of_the_camera_is_applied(tmp_path, name, orientation):
    upright = draw_photo(1)
    stored = upright.transpose(STORED[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / name, exif=exif, **({} if name == "a.tif" else {"quality": 95}))
    assert measure_difference(read_image(tmp_path / name), upright) < 4
    facts = check_image(tmp_path / name)
    assert facts.upright_size == upright.size
    if name != "a.tif":  # of these Pillow does not tell the stored size
        assert (facts.orientation, facts.size) == (orientation, stored.size)


@pytest.mark.parametrize("orientation", [0, 9, 99])
def test_a_turn_that_there_is_not_means_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    draw_photo().save(tmp_path / "a.jpg", exif=exif)
    assert check_image(tmp_path / "a.jpg").orientation == 1
    assert read_image(tmp_path / "a.jpg").size == draw_photo().size


WHOLE = {
    "a.jpg": save(draw_photo(), "JPEG"),
    "progressive.jpg": save(draw_photo(), "JPEG", progressive=True),
    "restarts.jpg": save(draw_photo(), "JPEG", restart_marker_blocks=1),
    "a.png": save(draw_photo(), "PNG"),
    "a.gif": save(draw_photo(), "GIF"),
    "a.bmp": save(draw_photo(), "BMP"),
    "a.webp": save(draw_photo(), "WEBP"),
    "a.tif": save(draw_photo(), "TIFF", compression="tiff_lzw"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "restarts.jpg", "a.png"])
@given(st.data())
def test_a_file_that_was_cut_off_is_refused(folder, name, data):
    kept = data.draw(st.integers(0, len(WHOLE[name]) - 1))
    filling = data.draw(st.sampled_from([b"", bytes(500), b"<html>"]))
    (folder / name).write_bytes(WHOLE[name][:kept] + filling)
    expect_fault(folder / name)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage before it raises
@pytest.mark.parametrize("name", ["a.gif", "a.bmp", "a.webp", "a.tif"])
def test_half_a_file_is_refused(folder, name):
    (folder / name).write_bytes(WHOLE[name][: len(WHOLE[name]) // 2])
    expect_fault(folder / name)


@given(st.data())
def test_a_changed_bit_in_a_png_is_found(folder, data):
    changed = bytearray(WHOLE["a.png"])
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "bit.png").write_bytes(changed)
    expect_fault(folder / "bit.png")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage before it raises
@pytest.mark.parametrize("name", WHOLE)
@given(st.data())
def test_damage_ends_in_an_image_or_in_a_named_fault(folder, name, data):
    changed = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 20))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(changed)
    for read in (read_image, check_image):
        try:
            assert read(folder / name)
        except InputError as error:
            assert str(error).startswith(f"{folder / name}: ")


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "restarts.jpg", "a.png"])
def test_what_comes_after_the_end_does_no_harm(folder, name):
    (folder / name).write_bytes(WHOLE[name] + b"what a phone adds\xff\xd8")
    assert read_image(folder / name).size == draw_photo().size


def test_of_several_pictures_the_first_is_read(tmp_path):
    for name, options in (("a.jpg", {"format": "MPO"}), ("a.gif", {}), ("a.webp", {}), ("a.tif", {}), ("a.png", {})):
        draw_photo(2).save(tmp_path / name, save_all=True, append_images=[draw_photo(5)], **options)
        assert measure_difference(read_image(tmp_path / name), draw_photo(2)) < 8


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    expect_fault(tmp_path / "a.jpg", "is not an image, or is of a kind other than JPEG, PNG", "save it as JPEG")


def test_a_decompression_bomb_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(make_png_of_30000_pixels_a_side())
    expect_fault(tmp_path / "a.png", "has more than 178 million pixels; save it smaller")


def test_a_photo_of_a_hundred_megapixels_is_read_without_a_word(tmp_path):
    Image.new("1", (12000, 9000)).save(tmp_path / "a.png")
    program = "import sys, tfod.data.images; print(tfod.data.images.check_image(sys.argv[1]).size)"
    command = [sys.executable, "-c", program, tmp_path / "a.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(12000, 9000)\n", "")


def test_threads_keep_the_order_and_raise_what_the_function_raises():
    assert list(map_in_threads(lambda number: number * 2, range(50))) == list(range(0, 100, 2))
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda number: 1 / (number - 20), range(50)))


def test_threads_run_only_a_little_ahead():
    started = []
    results = map_in_threads(lambda number: started.append(number), range(10000))
    next(results)
    assert len(started) < 100 + 4 * os.cpu_count()
    results.close()


def test_stored_turns_are_what_exif_says():
    """The table above is right: Pillow's own turn undoes each of its entries."""
    for orientation, turn in STORED.items():
        stored = draw_photo().transpose(turn)
        stored.getexif()[ExifTags.Base.Orientation] = orientation
        assert ImageOps.exif_transpose(stored).tobytes() == draw_photo().tobytes()


# ---------------------------------------------------------------- very large photos


def save_turned(path, size, **options):
    """A photo of `size` as stored, to be turned, white with a black upper right corner once it is upright."""
    photo = Image.new("RGB", size, "white")
    photo.paste("black", (0, 0, size[0] // 4, size[1] // 4))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo.save(path, exif=exif, **options)


@pytest.mark.attack
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_a_very_large_photo_is_halved_and_a_word_says_so(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(images, "WORKABLE", 300 * 200 - 1)
    save_turned(tmp_path / name, (300, 201))
    image, size = images.read_workable(tmp_path / name)
    assert size == (201, 300) and image.size == (101, 150) and image.mode == "RGB"
    pixels = np.asarray(image)
    assert pixels[:35, 78:].max() < 60 and pixels[40:].min() > 200 and pixels[:, :72].min() > 200
    said = f"{tmp_path / name}: has 0 million pixels, and is halved to 101 x 150 while it is read, to spare memory\n"
    assert capsys.readouterr().err == said
    save_turned(tmp_path / name, (299, 200))
    image, size = images.read_workable(tmp_path / name)
    assert image.size == size == (200, 299) and not capsys.readouterr().err


@pytest.mark.attack
def test_no_photo_that_is_read_is_more_than_workable_once_halved():
    assert 2 * Image.MAX_IMAGE_PIXELS / 4 < images.WORKABLE
