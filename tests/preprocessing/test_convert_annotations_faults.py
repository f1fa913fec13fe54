"""Conversions: each fault of the input is named with its file, all in one run, and nothing is written then."""

import json

import pytest
from conftest import draw_photo, label_photo
from conversion_photos import CLASSES, SCRIPT, draw_photos
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfod.data.format_readers import READERS
from tfod.data.formats import WRITERS, LabelledImage, list_images_below, read_classes
from tfod.data.voc import Box, write_annotation
from tfod.utils.console import InputError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos") / "images")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "b\n a \n\n", {"b": 1, "a": 2}),
        ("a.yaml", "names: [b, a]\n", {"b": 1, "a": 2}),
        ("a.yml", "names:\n  1: a\n  0: b\n", {"b": 1, "a": 2}),
        ("a.pbtxt", "item { id: 5 name: 'a' } item { id: 2 name: 'b' }", {"b": 2, "a": 5}),
    ],
)
def test_files_of_classes(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert list(read_classes(tmp_path / name).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "b\n\na\nb\n", "class 1 has no name; give it one\n.*the name 'b' is there twice"),
        ("a.txt", "", "holds no class"),
        ("a.yaml", "names: {1: a}\n", "has no `names`"),
        ("a.yaml", "[", "is no YAML"),
        ("a.yaml", "names: [[a]]", "has no `names`"),
        ("a.yaml", "day: 2001-99-99", "is no YAML"),
        ("a.yaml", "names: []", "holds no class"),
        ("none.txt", None, "No such file"),
        ("a.txt", b"\xff\xfe", "is not in UTF-8"),
    ],
)
def test_faults_of_files_of_classes(tmp_path, name, text, said):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        read_classes(tmp_path / name)


def check_faults(call, arguments, *expected):
    """Calls the script; each of `expected` must be in one line of its own, and no line more."""
    done = call(SCRIPT, *arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == len(expected), done.stderr
    for text in expected:
        assert any(text in line for line in lines), (text, lines)


def test_faults_of_yolo(call, images, tmp_path):
    source = tmp_path / "yolo"
    (source / "deep").mkdir(parents=True)
    lines = ["0 0.5 0.5 0.1", "3 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "0 x 0.5 0.1 0.1", "0 nan 0.5 0.1 0.1"]
    lines += ["0 0.5 0.5 0 0.1", "0 0.5 0.5 -0.1 0.1", "0 0.9 0.5 0.9 0.1", "0 0.5 0.5 inf 0.1", "", "0 0.5 0.5 1 1"]
    (source / "a photo.txt").write_text("\n".join(lines))
    (source / "deep/nothing.txt").write_bytes(b"\xff")
    (source / "stray.txt").write_text("")
    (source / "classes.txt").write_text("cat\ndog\n")
    arguments = ("--from", "yolo", "--to", "voc", "-a", source, "-i", images, "-o", tmp_path / "out")
    place = f"{source / 'a photo.txt'}: line "
    check_faults(
        call,
        arguments,
        f"{place}1 has 4 numbers; a box has 5: class, x and y of its centre, width, height",
        f"{place}2 is of the class 3, but there are 2, from 0 up; correct it, or the classes",
        f"{place}3 is of the class -1, but there are 2, from 0 up",
        *(f"{place}{number} has " for number in (4, 5, 6, 7, 9)),
        f"{source / 'a photo.txt'}: box 'cat' (43.2, 28.8, 129.6, 35.2) (xmin, ymin, xmax, ymax) reaches out",
        f"{source / 'deep/nothing.txt'}: is not in UTF-8",
        f"{source / 'stray.txt'}: there is no image of its name; add the image, or take the file away",
    )
    assert not (tmp_path / "out").exists()
    (source / "classes.txt").unlink()
    check_faults(call, arguments, f"{source / 'classes.txt'}: is not there; name the classes' file with --labels")


def test_faults_of_coco(call, images, tmp_path):
    source = tmp_path / "c.json"
    arguments = ("--from", "coco", "--to", "voc", "-a", source, "-i", images, "-o", tmp_path / "out")
    check_faults(call, arguments, f"{source}: can't be read (No such file or directory); check the name")
    for text, said in [
        ('{"images": [', f"{source}: is no JSON (line 1, column 13: "),
        ("[" * 100_000, f"{source}: is JSON as no program writes it; export it again"),
    ]:
        source.write_text(text)
        check_faults(call, arguments, said)
    source.write_text("[]")
    check_faults(call, arguments, *(f"has no list {table!r}" for table in ("images", "annotations", "categories")))
    image = {"id": 1, "file_name": "a photo.jpg", "width": 96, "height": 64}
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [
            image,
            {**image, "file_name": "deep/nothing.png"},
            {**image, "id": 2, "file_name": "not there.jpg"},
            {**image, "id": 3, "file_name": "../a photo.jpg"},
            {**image, "id": 4, "file_name": "deep/nothing.png"},
            {**image, "id": 5, "file_name": "deep/er/x.y.JPG", "width": "31"},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": ""}],
        "annotations": [
            {**box, "id": 1},
            {**box, "id": 2, "image_id": 99},
            {**box, "id": 3, "category_id": 99},
            {**box, "id": 4, "bbox": [1, 2, 3]},
            {**box, "id": 5, "bbox": [1, 2, float("nan"), 4]},
            {**box, "id": 6, "bbox": [1, 2, 0, 4]},
            {**box, "id": 7, "bbox": [1, 2, -3, 4]},
            {**box, "id": 8, "bbox": [90, 2, 50, 4]},
            {**box, "id": 9, "bbox": "1234"},
        ],
    }
    source.write_text(json.dumps(content))
    check_faults(
        call,
        arguments,
        f"{source}: the image 'deep/nothing.png' has no id and file_name of its own",
        f"{source}: the image 'not there.jpg' is not in the image folder; add it, or take it out of the file",
        f"{source}: the image '../a photo.jpg' has no id and file_name of its own; correct it",
        f"{source}: deep/nothing.png: is said to be 96 x 64, but it has 50 x 40 pixels",
        f"{source}: the image 'deep/er/x.y.JPG' is '31' x 64 pixels; correct its size",
        f"{source}: the annotation 2 is of the image 99, which the list of images lacks",
        f"{source}: the annotation 3 is of the category 99, which the list of categories lacks",
        *(f"{source}: the annotation {number} has " for number in (4, 5, 6, 7, 9)),
        f"{source}: a photo.jpg: box 'cat' (90, 2, 140, 6) (xmin, ymin, xmax, ymax) reaches out",
    )
    assert not (tmp_path / "out").exists()


def test_faults_of_csv(call, images, tmp_path):
    source = tmp_path / "t.csv"
    arguments = ("--from", "csv", "--to", "coco", "-a", source, "-i", images, "-o", tmp_path / "out.json")
    source.write_text("filename,width,height\n")
    check_faults(call, arguments, f"{source}: has no column class, xmin, ymin, xmax, ymax; add it")
    source.write_text("")
    check_faults(call, arguments, f"{source}: has no column filename, ")
    source.write_text('filename,width\n"' + "x" * 200_000)  # a quote that nobody closes
    said = "is no CSV (field larger than field limit (131072)); export it again"
    check_faults(call, arguments, f"{source}: line 2: {said}")
    rows = [
        "filename,width,height,class,xmin,ymin,xmax,ymax",
        "a photo.jpg,96,64,cat,1,2,3,4",
        "a photo.jpg,96,64,cat,1,2,3",
        "a photo.jpg,96,64,,1,2,3,4",
        "a photo.jpg,96,x,cat,1,2,3,4",
        "a photo.jpg,97,64,cat,1,2,3,4",
        "a photo.jpg,96,64,cat,1,2,1,4",
        "a photo.jpg,96,64,cat,1,2,three,4",
        "gone.jpg,96,64,cat,1,2,3,4",
        "gone.jpg,96,64,cat,1,2,3,4",
        "deep/nothing.png,40,51,cat,1,2,3,4",
    ]
    source.write_text("\n".join(rows))
    check_faults(
        call,
        arguments,
        f"{source}: line 3 has 7 cells, the header has 8",
        f"{source}: line 4 has no class; give the box its class",
        f"{source}: line 5: width or height is not a whole number",
        f"{source}: line 6: a photo.jpg has another size than in a line above",
        f"{source}: line 7 has ",
        f"{source}: line 8 has no box of four numbers",
        f"{source}: the image 'gone.jpg' is not in the image folder",
        f"{source}: deep/nothing.png: is said to be 40 x 51, but it has 50 x 40 pixels",
    )
    assert not (tmp_path / "out.json").exists()


@st.composite
def damage(draw, text):
    """`text` with up to three places of it changed, moved or gone."""
    pieces = ["", "-", "0", "1e999", "NaN", "9" * 5000, "null", "[", "{}", '"', ",", "\n", "..", "\x00", "猫", "\ud800"]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from([*pieces, text[start : start + 30] * 2])) + text[end:]
    return text


@settings(max_examples=250, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["coco", "yolo", "csv"])
@given(data=st.data())
def test_a_damaged_file_is_read_or_its_faults_are_named(images, tmp_path_factory, kind, data):
    boxes = [Box("zebra", 1, 2, 40.25, 50), Box("浣熊", 10, 20, 90, 60, difficult=1)]
    place = tmp_path_factory.mktemp("damaged") / f"there.{kind}"
    WRITERS[kind](place, [LabelledImage("a photo.jpg", 96, 64, boxes)], CLASSES)
    path = place / "a photo.txt" if kind == "yolo" else place
    path.write_bytes(data.draw(damage(path.read_text(encoding="utf-8"))).encode(errors="surrogatepass"))
    try:
        reading = READERS[kind](place, list_images_below(images), list(CLASSES))
    except InputError as error:
        assert str(place) in str(error)
        return
    assert all(str(place) in fault for fault in reading.faults)
    assert all(0 <= b.xmin < b.xmax <= 96 and 0 <= b.ymin < b.ymax <= 64 for i in reading.images for b in i.boxes)


def test_faults_of_voc(call, tmp_path):
    folder = tmp_path / "images"
    label_photo(folder, "a.jpg", 0, [Box("cat", 1, 1, 300, 30)])
    label_photo(folder / "sub", "b.jpg", 1)
    (folder / "sub/b.xml").write_text("<annotation>")
    (folder / "empty").mkdir()
    write_annotation(folder / "empty/gone.xml", "gone.jpg", 1, 1, [])
    arguments = ("--from", "voc", "--to", "coco", "-i", folder, "-o", tmp_path / "out.json")
    check_faults(
        call,
        arguments,
        f"{folder / 'a.xml'}: box 'cat' (1, 1, 300, 30) (xmin, ymin, xmax, ymax) reaches out",
        f"{folder / 'sub/b.xml'}: is not XML",
        f"{folder / 'empty/gone.xml'}: there is no image of its name",
    )
    check_faults(call, (*arguments, "-a", tmp_path / "none"), f"{tmp_path / 'none'}: there is no such folder")


def test_faults_of_classes_and_images(call, labelled_images, tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    arguments = ("--from", "voc", "--to", "yolo", "-i", labelled_images, "-o", tmp_path / "out")
    said = f"{tmp_path / 'names.txt'}: lacks the class 'dog' of 6 boxes, first in "
    check_faults(call, (*arguments, "-l", tmp_path / "names.txt"), said)
    label_photo(labelled_images, "stem.jpg", 1)
    label_photo(labelled_images, "stem.png", 1)
    check_faults(call, arguments, f"{labelled_images / 'stem.xml'}: belongs to 2 images")
    (tmp_path / "none").mkdir()
    check_faults(call, (*arguments[:4], "-i", tmp_path / "none", *arguments[6:]), "there are no images in it")
    check_faults(call, (*arguments[:4], "-i", tmp_path / "no", *arguments[6:]), "no: there is no such folder")
    draw_photo().save(tmp_path / "none/a.jpg")
    said = f"{tmp_path / 'none'}: says nothing of any image in {tmp_path / 'none'}; give the right ones"
    check_faults(call, (*arguments[:4], "-i", tmp_path / "none", *arguments[6:]), said)


def test_two_images_of_one_stem_do_not_share_a_file(call, tmp_path):
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for name in ("a.jpg", "a.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        draw_photo().save(tmp_path / "images" / name)
        rows.append(f"{name},96,64,cat,1,2,30,40")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    arguments = ("--from", "csv", "-a", tmp_path / "t.csv", "-i", tmp_path / "images", "-o", tmp_path / "out")
    check_faults(call, (*arguments, "--to", "yolo"), "a.png: its .txt file would be that of a.jpg, too; rename one")
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/a.txt").write_text("")
    (tmp_path / "yolo/classes.txt").write_text("cat")
    arguments = ("--from", "yolo", "-a", tmp_path / "yolo", *arguments[4:], "--to", "voc")
    check_faults(call, arguments, f"{tmp_path / 'yolo/a.txt'}: belongs to two images, a.jpg and a.png")


def test_a_class_that_no_file_can_hold(call, images, tmp_path):
    content = {"images": [], "categories": [{"id": 1, "name": "a\nb"}, {"id": 2, "name": "\ud800"}], "annotations": []}
    content["images"] = [{"id": 1, "file_name": "a photo.jpg"}]
    (tmp_path / "c.json").write_text(json.dumps(content))
    arguments = ("--from", "coco", "--to", "yolo", "-a", tmp_path / "c.json", "-i", images, "-o", tmp_path / "out")
    check_faults(call, arguments, r"the class 'a\nb' holds a char", r"the class '\ud800' holds a char")


def test_other_files_are_not_written_over_without_force(call, labelled_images, tmp_path):
    arguments = ("--from", "voc", "--to", "coco", "-i", labelled_images, "-o", tmp_path / "c.json")
    (tmp_path / "c.json").write_text("mine")
    check_faults(call, arguments, f"{tmp_path / 'c.json'}: is there and differs; --force writes over it")
    assert (tmp_path / "c.json").read_text() == "mine"
    assert call(SCRIPT, *arguments, "--force").returncode == 0
    assert len(json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["images"]) == 12
    out = tmp_path / "yolo"
    arguments = ("--from", "voc", "--to", "yolo", "-i", labelled_images, "-o", out)
    assert call(SCRIPT, *arguments).returncode == 0
    (out / "mine.md").write_text("mine")
    (out / "a.txt").write_text("0 0 0 0 0\n")
    (out / "b.txt").unlink()
    check_faults(call, arguments, f"{out / 'a.txt'}: is there and differs")
    assert not (out / "b.txt").exists()
    assert call(SCRIPT, *arguments, "--force").returncode == 0
    assert (out / "b.txt").exists()
    assert (out / "mine.md").read_text() == "mine"
    assert (out / "a.txt").read_text() != "0 0 0 0 0\n"
    check_faults(call, (*arguments[:-1], tmp_path / "c.json"), "c.json: is no folder, which yolo is written to")
    check_faults(call, ("--from", "voc", "--to", "csv", *arguments[4:]), "yolo: is no file, which csv is written to")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "voc", "--to", "voc", "-i", "a", "-o", "b"), "--from and --to are both voc"),
        (("--from", "coco", "--to", "voc", "-i", "a", "-o", "b"), "--from coco needs -a, the file to read"),
        (("--from", "tfrecord", "--to", "voc", "-i", "a", "-o", "b"), "invalid choice: 'tfrecord'"),
        (("--from", "voc", "--to", "csv", "-o", "b"), "the following arguments are required: -i"),
    ],
)
def test_a_wrong_call_ends_with_2(call, arguments, said):
    done = call(SCRIPT, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
