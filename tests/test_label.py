"""The labelling tool on a virtual screen, used with a mouse and a keyboard, and what scripts/label.py says."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, label_photo, load_script
from PIL import Image, ImageChops, ImageDraw, ImageGrab
from virtual_screen import close_window, drag, open_screen, use, wait_for

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, read_annotation, write_annotation
from tfod.utils.console import InputError

SIZE = (480, 320)  # of the small photo, pixels
SCALE = 5  # the large photo has that many times the pixels a side; labelImg++ shows at most 2048 of them
SQUARE = (100, 60, 220, 200)  # what is to be labelled: xmin, ymin, xmax, ymax
MAGENTA, TEAL = (255, 0, 255), (0, 128, 128)
ORIENTATION = 0x0112  # EXIF's tag
NO_SCREEN = "so there is no screen to open a window on; log in with ssh -X, or label on a computer with a screen"
label = load_script("label.py")
needs_screen = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs a virtual screen: apt install xvfb xdotool"
)


@pytest.fixture(scope="session")
def tool():
    """The environment of the labelling tool, made as `make label` makes it."""
    venv = ROOT / os.environ.get("TFOD_LABEL_VENV", ".venv-label")
    subprocess.run([ROOT / "scripts" / "install_label.sh", sys.executable, venv], check=True)
    return venv


@pytest.fixture
def screen(tmp_path, monkeypatch, tool):
    """A virtual screen of 1400 x 1000 pixels: DISPLAY is set to it, and HOME to an empty folder."""
    if packages := label.find_missing_libraries(tool):
        pytest.skip(f"needs Qt's system libraries: apt install {' '.join(packages)}")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # the tool's settings, as on the first day
    with open_screen("1400x1000x24") as name:
        monkeypatch.setenv("DISPLAY", name)
        yield name


def find_square():
    """Where the magenta square is on the screen, as [xmin, ymin, xmax, ymax], or None."""
    picture = ImageGrab.grab(xdisplay=os.environ["DISPLAY"])
    difference = ImageChops.difference(picture, Image.new("RGB", picture.size, MAGENTA)).convert("L")
    return difference.point(lambda value: 255 * (value < 12)).getbbox()


def find_square_zoomed(zoom):
    """As `find_square`, once the square has the size of that zoom (1 is that of the photo)."""

    def find():
        box = find_square()
        return box if box and abs(box[2] - box[0] - zoom * (SQUARE[2] - SQUARE[0])) <= 2 else None

    find.__name__ = f"the square at zoom {zoom}"
    return wait_for(find)


def find_square_at_rest():
    """As `find_square`, once it stays where it is for a second."""
    places = []

    def at_rest():
        places.append(find_square())
        return len(places) >= 5 and len({str(place) for place in places[-5:]}) == 1 and places[-1]

    return wait_for(at_rest)


def open_window(process):
    """The number of the tool's window, made large, once it shows the square."""

    def window():
        assert process.poll() is None, process.communicate()
        return use("search", "--onlyvisible", "--name", "^labelImgPlusPlus /")

    number = int(wait_for(window, seconds=60))
    use("windowsize", "--sync", number, 1390, 990)
    use("windowfocus", "--sync", number)
    return number


def make_photo(path, scale=1, orientation=1):
    """A teal photo with a magenta square; with orientation 6 it is stored lying, and EXIF says how to turn it."""
    photo = Image.new("RGB", SIZE, TEAL)
    ImageDraw.Draw(photo).rectangle((SQUARE[0], SQUARE[1], SQUARE[2] - 1, SQUARE[3] - 1), fill=MAGENTA)
    photo = photo.resize((SIZE[0] * scale, SIZE[1] * scale), Image.Resampling.NEAREST)
    if orientation == 6:
        photo = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    photo.save(path, quality=95, subsampling=0, exif=exif)


def assert_labelled(path, scale, filename, name, tolerance):
    """`tolerance` is in pixels of the photo."""
    annotation = read_annotation(path)
    size = (SIZE[0] * scale, SIZE[1] * scale)
    assert (annotation.filename, annotation.width, annotation.height) == (filename, *size)
    assert annotation.said_path == str(path.with_name(filename))
    (box,) = annotation.boxes
    assert (box.name, box.difficult, box.truncated) == (name, 0, 0)
    found, wanted = (box.xmin, box.ymin, box.xmax, box.ymax), [scale * edge for edge in SQUARE]
    assert all(abs(a - b) <= tolerance for a, b in zip(found, wanted, strict=True)), (found, wanted)


@needs_screen
def test_boxes_are_drawn_zoomed_and_saved(tmp_path, screen, tool):
    workspace = tmp_path / "work space"
    images = workspace / "images"
    (images / "train").mkdir(parents=True)
    write_label_map(workspace / "annotations" / "label_map.pbtxt", {"fox": 1, "badger": 2})
    make_photo(images / "a photo.jpg")
    make_photo(images / "b.jpg", SCALE, orientation=6)
    shutil.copy(images / "b.jpg", images / "train")  # as make split does; not to be labelled a second time

    words = ["make", "-C", ROOT, "label", f"VENV={sys.prefix}", f"LABEL_VENV={tool}", f"WORKSPACE={workspace}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        window = open_window(process)
        use("key", "ctrl+equal")
        find_square_zoomed(1)
        for _ in range(5):
            use("key", "ctrl+plus")
        place = find_square_zoomed(1.5)  # here labelImg 1.8.6 ends with a TypeError
        use("key", "w")
        drag(*place)
        use("key", "Down")
        use("key", "Down")  # the second class of the label map
        use("key", "Return")
        use("keydown", "ctrl", "click", 4, "click", 5, "keyup", "ctrl")  # zooms with the wheel
        use("click", 5, "click", 4)  # scrolls
        use("key", "ctrl+s")
        wait_for((images / "a photo.xml").exists)

        use("key", "d")  # the next photo
        wait_for(lambda: use("search", "--onlyvisible", "--name", r"b\.jpg \[2 / 2\]"))
        use("key", "ctrl+f")  # fits it into the window
        place = find_square_at_rest()
        use("key", "w")
        drag(*place)
        use("key", "ctrl+a")
        use("type", "wolf")  # a class that the label map lacks
        use("key", "Return")
        use("key", "ctrl+s")
        wait_for((images / "b.xml").exists)
        close_window(window)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "classes to choose from: fox, badger" in errors
    assert "images: 2 of 2 photos have an XML file" in output.splitlines()

    assert_labelled(images / "a photo.xml", 1, "a photo.jpg", "badger", 2)
    assert_labelled(images / "b.xml", SCALE, "b.jpg", "wolf", 8)  # a pixel of the screen is about 2.6 of the photo
    assert sorted(path.name for path in images.iterdir()) == ["a photo.jpg", "a photo.xml", "b.jpg", "b.xml", "train"]
    assert sorted(path.name for path in (images / "train").iterdir()) == ["b.jpg"]


@needs_screen
def test_a_box_is_added_to_those_of_the_xml_file(tmp_path, screen, tool):
    make_photo(tmp_path / "a.png")
    former = Box("fox", 5, 6, 70, 80, difficult=1)
    write_annotation(tmp_path / "a.xml", "a.png", *SIZE, [former])
    words = [sys.executable, ROOT / "scripts" / "label.py", "-i", tmp_path, "--venv", tool]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        window = open_window(process)
        use("key", "ctrl+equal")
        place = find_square_zoomed(1)
        use("key", "w")
        drag(*place)
        use("key", "Down")
        use("key", "Return")
        state = (tmp_path / "a.xml").stat().st_mtime_ns
        use("key", "ctrl+s")
        wait_for(lambda: (tmp_path / "a.xml").stat().st_mtime_ns != state)
        use("key", "ctrl+y")  # another format, YOLO; the tool asks
        dialog = wait_for(lambda: use("search", "--onlyvisible", "--name", "^Change Annotation Format$"))
        use("windowfocus", "--sync", dialog, "key", "Return")
        use("windowfocus", "--sync", window, "key", "ctrl+s")
        wait_for((tmp_path / "a.txt").exists)
        close_window(window)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert f"warning: {tmp_path / 'a.txt'}: is not Pascal VOC; choose PascalVOC in" in errors
    first, second = read_annotation(tmp_path / "a.xml").boxes
    assert first == former
    assert second.name == "fox"


def test_installing_again_does_nothing(tool):
    state = (tool / "requirements-label.txt").stat().st_mtime_ns
    words = [ROOT / "scripts" / "install_label.sh", sys.executable, tool]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tool / "requirements-label.txt").stat().st_mtime_ns == state


def test_a_machine_without_a_screen_is_told_so(tmp_path, tool, call, monkeypatch):
    make_photo(tmp_path / "a.jpg")
    monkeypatch.delenv("DISPLAY", raising=False)
    done = call("label.py", "-i", tmp_path, "--venv", tool)
    assert done.returncode == 1
    assert f"error: DISPLAY: is not set, {NO_SCREEN}" in done.stderr
    monkeypatch.setenv("DISPLAY", "127.0.0.1:987")  # nobody listens there
    done = call("label.py", "-i", tmp_path, "--venv", tool)
    assert done.returncode == 1
    assert f"error: DISPLAY=127.0.0.1:987: does not answer, {NO_SCREEN}" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_system_libraries_are_named(tmp_path, tool):
    (plugin,) = tool.glob("lib/python*/site-packages/PyQt5/Qt5/plugins/platforms/libqxcb.so")
    copy = tmp_path / plugin.relative_to(tool)
    copy.parent.mkdir(parents=True)
    shutil.copy(plugin, copy)  # without the libraries of Qt's own that it needs
    assert "libqt5xcbqpa5" in label.find_missing_libraries(tmp_path)
    with pytest.raises(InputError, match="Qt: system libraries are missing; sudo apt install .*libqt5xcbqpa5"):
        label.check_machine(tmp_path)


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libxcb-icccm.so.4", "libxcb-icccm4"),
        ("libX11-xcb.so.1", "libx11-xcb1"),
        ("libX11.so.6", "libx11-6"),
        ("libGL.so.1", "libgl1"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
    ],
)
def test_name_package(library, package):
    assert label.name_package(library) == package


def test_classes_come_from_the_label_map_or_else_from_the_xml_files(tmp_path, capsys):
    for number, name in enumerate(["wolf", "猫", "Fox", "wolf"]):
        label_photo(tmp_path, f"{number}.jpg", boxes=[Box(name, 1, 2, 30, 40)])
    (tmp_path / "4.xml").write_text("no XML")
    assert label.find_classes(tmp_path / "map.pbtxt", tmp_path) == ["Fox", "wolf", "猫"]
    assert f"warning: {tmp_path / '4.xml'}: is not XML" in capsys.readouterr().err
    write_label_map(tmp_path / "map.pbtxt", {"zebra": 1, "ant": 2})
    assert label.find_classes(tmp_path / "map.pbtxt", tmp_path) == ["zebra", "ant"]


def test_no_classes_where_nothing_is_labelled(tmp_path):
    make_photo(tmp_path / "a.jpg")
    assert label.find_classes(tmp_path / "map.pbtxt", tmp_path) == []


def test_only_the_photos_right_in_the_folder_are_laid_out(tmp_path):
    images = tmp_path / "images"
    (images / "train").mkdir(parents=True)
    for name in ["a.jpg", "b 1.PNG", "train/a.jpg", ".hidden.jpg"]:
        make_photo(images / name)
    with label.lay_out(label.find_photos(images), ["fox", "猫"]) as (folder, class_file):
        assert folder.name == "images"  # which the tool writes as <folder>
        assert sorted(path.name for path in folder.iterdir()) == ["a.jpg", "b 1.PNG"]
        assert (folder / "a.jpg").read_bytes() == (images / "a.jpg").read_bytes()
        assert class_file.read_text(encoding="utf-8") == "fox\n猫\n"
    assert not folder.exists() and not class_file.exists()
    assert (images / "a.jpg").exists()


def test_files_of_other_formats_are_found(tmp_path):
    for name in ["a.jpg", "b.jpg", "c.jpg"]:
        make_photo(tmp_path / name)
    for name in ["b.txt", "c.json", "notes.txt", "a.xml"]:
        (tmp_path / name).touch()
    found = label.find_other_formats(label.find_photos(tmp_path))
    assert [path.name for path in found] == ["b.txt", "c.json"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "images: there are no photos in it; copy yours there"),
        (["a.jpg", "A.png", "b.jpg"], "images/A.png: would have the same XML file as a.jpg; rename one"),
        (["a.jpg"], "venv: does not hold the labelling tool; make label installs it"),
    ],
)
def test_faults_are_named(tmp_path, call, names, message):
    (tmp_path / "images").mkdir()
    for name in names:
        make_photo(tmp_path / "images" / name)
    done = call("label.py", "--venv", "venv", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (1, [f"error: {message}"])


def test_a_missing_folder_is_named(tmp_path, call):
    done = call("label.py", "-i", "nowhere", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nowhere: there is no such folder")


def test_a_tool_that_fails_is_reported(tmp_path):
    make_photo(tmp_path / "a.jpg")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)  # without the tool's packages
    with pytest.raises(InputError, match="venv: the labelling tool ended with 1; its message is above"):
        label.label(venv, label.find_photos(tmp_path), [])
