"""Conversions: box for box the same after any round trip, and each fault of the input named with its file."""

import csv
import itertools
import json

import pytest
from conftest import draw_photo, label_photo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags

from annotation_readers import READERS, read_voc
from annotation_writers import WRITERS
from convert_annotations import LACKING, read_classes
from labelled_images import LabelledImage, list_images_below
from tfod.console import InputError
from tfod.label_map import write_label_map
from tfod.voc import Box, read_annotation, write_annotation

SCRIPT = "preprocessing/convert_annotations.py"
FORMATS = ("voc", "coco", "yolo", "csv")
NAMES = {
    "a photo.jpg": (96, 64),
    "猫/浣熊 1.png": (333, 457),
    "deep/er/x.y.JPG": (31, 17),
    "deep/nothing.png": (50, 40),
}
CLASSES = {"zebra": 1, "浣熊": 2, "traffic light": 3, "never seen": 4}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of four images in sub-folders, with the names that people give."""
    folder = tmp_path_factory.mktemp("photos") / "images"
    for number, (name, size) in enumerate(NAMES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number, size).save(folder / name)
    return folder


@st.composite
def labelled(draw, name):
    """A LabelledImage with boxes anywhere in it, of fractions of pixels, too."""
    width, height = NAMES[name]
    boxes = []
    for _ in range(draw(st.integers(0, 0 if "nothing" in name else 4))):
        left, top = draw(st.floats(0, width - 1)), draw(st.floats(0, height - 1))
        right, bottom = draw(st.floats(left + 0.5, width)), draw(st.floats(top + 0.5, height))
        flags = [draw(st.integers(0, 1)) for _ in range(2)]
        label = draw(st.sampled_from(list(CLASSES)[:3]))
        boxes.append(Box(label, left, top, right, bottom, *flags, draw(st.sampled_from(["Unspecified", "Left"]))))
    return LabelledImage(name, width, height, boxes)


def convert(kind, folder, images, found, names_to_ids=CLASSES):
    """Writes `found` as `kind` and reads that again: the Reading."""
    place = folder / kind
    place = place if kind in ("voc", "yolo") else place.with_suffix(".json" if kind == "coco" else ".csv")
    place.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[kind](place, found, names_to_ids)
    return READERS[kind](place, list_images_below(images), list(names_to_ids))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize(("there", "back"), list(itertools.permutations(FORMATS, 2)))
@given(data=st.data())
def test_a_round_trip_keeps_every_box_within_half_a_pixel(images, tmp_path_factory, there, back, data):
    found = [data.draw(labelled(name)) for name in sorted(NAMES)]
    folder = tmp_path_factory.mktemp("round")
    reading = convert(there, folder, images, found)
    assert not reading.faults
    if "negatives" in LACKING[there]:
        reading.add_negatives(list_images_below(images))
    reading.images.sort(key=lambda image: image.name)
    reading = convert(back, folder, images, reading.images)
    assert not reading.faults
    if "negatives" in LACKING[back]:
        reading.add_negatives(list_images_below(images))
    reading.images.sort(key=lambda image: image.name)
    assert not reading.unlabelled
    assert [(i.name, i.width, i.height) for i in reading.images] == [(i.name, i.width, i.height) for i in found]
    keeps = not any("flags" in LACKING[kind] for kind in (there, back))
    for image, former in zip(reading.images, found, strict=True):
        for box, old in zip(image.boxes, former.boxes, strict=True):
            assert box.name == old.name
            for edge in ("xmin", "ymin", "xmax", "ymax"):
                assert abs(getattr(box, edge) - getattr(old, edge)) < 0.01  # 0.5 is asked for
            if keeps:
                assert (box.difficult, box.truncated, box.pose) == (old.difficult, old.truncated, old.pose)
    if back in ("coco", "yolo"):
        assert reading.classes == list(CLASSES)


def test_all_formats_one_after_another_give_the_same_xml(call, labelled_images, tmp_path):
    label_photo(labelled_images / "sub folder", "nothing.jpg", 3, [])
    steps = [("voc", "coco", "c.json"), ("coco", "yolo", "yolo"), ("yolo", "csv", "t.csv"), ("csv", "voc", "voc")]
    source = labelled_images
    for number, (one, other, name) in enumerate(steps):
        extra = ("--allow_unlabelled",) if one == "csv" else ()
        arguments = ("--from", one, "--to", other, "-i", labelled_images, "-a", source, "-o", tmp_path / name, *extra)
        done = call(SCRIPT, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"Wrote {tmp_path / name}: 13 images, 12 boxes, 2 classes\n"
        said = "csv can't name images without boxes: 1; read it with --allow_unlabelled\n" if number == 2 else ""
        assert done.stderr == said
        again = call(SCRIPT, *arguments)
        assert f"{tmp_path / name} is up to date (13 images, 12 boxes, 2 classes)" in again.stderr
        assert again.stdout == ""
        source = tmp_path / name
    xmls = sorted(path.relative_to(labelled_images) for path in labelled_images.rglob("*.xml"))
    assert len(xmls) == 13
    for xml in xmls:
        assert (tmp_path / "voc" / xml).read_bytes() == (labelled_images / xml).read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_coco_is_what_pycocotools_evaluates(images, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    boxes = [Box("zebra", 1, 2, 40.25, 50), Box("浣熊", 10, 20, 90, 60, difficult=1)]
    WRITERS["coco"](tmp_path / "c.json", [LabelledImage("a photo.jpg", 96, 64, boxes)], CLASSES)
    content = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert [node["id"] for node in content["annotations"]] == [1, 2]
    assert content["annotations"][0]["bbox"] == [1, 2, 39.25, 48]
    assert [node["attributes"]["difficult"] for node in content["annotations"]] == [False, True]
    assert {node["name"]: node["id"] for node in content["categories"]} == CLASSES
    truth = COCO(tmp_path / "c.json")
    found = [{**node, "score": 0.9} for node in content["annotations"]]
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_yolo_is_as_labelimg_writes_it(images, tmp_path):
    box = Box("traffic light", 24, 16, 72, 48)
    found = [LabelledImage("a photo.jpg", 96, 64, [box]), LabelledImage("deep/nothing.png", 50, 40, [])]
    WRITERS["yolo"](tmp_path / "yolo", found, CLASSES)
    assert (tmp_path / "yolo/a photo.txt").read_text() == "2 0.5 0.5 0.5 0.5\n"
    assert (tmp_path / "yolo/deep/nothing.txt").read_text() == ""
    assert (tmp_path / "yolo/classes.txt").read_text(encoding="utf-8") == "zebra\n浣熊\ntraffic light\nnever seen\n"


def test_csv_is_as_generate_tfrecord_writes_it(call, labelled_images, tmp_path):
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})
    arguments = ("-x", labelled_images, "-l", tmp_path / "map.pbtxt", "-o", tmp_path / "r", "-c", tmp_path / "t.csv")
    done = call("preprocessing/generate_tfrecord.py", *arguments)
    assert done.returncode == 0, done.stderr
    done = call(SCRIPT, "--from", "voc", "--to", "csv", "-i", labelled_images, "-o", tmp_path / "ours.csv")
    rows = [list(csv.DictReader(path.open(encoding="utf-8"))) for path in (tmp_path / "t.csv", tmp_path / "ours.csv")]
    assert len(rows[0]) == 12
    assert sorted(rows[0], key=str) == sorted(rows[1], key=str)


def test_what_is_lost_is_said(call, tmp_path):
    boxes = [Box("b", 1, 1, 30, 30, difficult=1), Box("a", 1, 1, 30, 30, truncated=1)]
    label_photo(tmp_path / "images", "x.jpg", 0, boxes)
    label_photo(tmp_path / "images", "nothing.jpg", 1, [])
    draw_photo(3).save(tmp_path / "images/bare.jpg")
    (tmp_path / "names.txt").write_text("b\na\nc\n")
    arguments = ("-i", tmp_path / "images", "-o", tmp_path / "t.csv", "--labels", tmp_path / "names.txt")
    done = call(SCRIPT, "--from", "voc", "--to", "csv", *arguments)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"{tmp_path / 'images'}: 1 of 3 images have no annotation and are left out; --allow_unlabelled takes them as"
        " images without boxes",
        "csv can't say that boxes are difficult: 1 were",
        "csv can't say that boxes are truncated: 1 were",
        "csv can't name images without boxes: 1; read it with --allow_unlabelled",
        "csv can't hold the list of classes and its order; convert back with --labels: b, a, c",
    ]


def test_crowds_and_outlines_of_coco(call, images, tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "a photo.jpg", "width": 96, "height": 64}],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 3, 4], "iscrowd": 1, "segmentation": {}},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]},
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    arguments = ("--from", "coco", "-a", tmp_path / "c.json", "-i", images)
    done = call(SCRIPT, *arguments, "--to", "voc", "-o", tmp_path / "voc")
    assert f"{tmp_path / 'c.json'}: 1 crowds (iscrowd) are taken as boxes that are difficult" in done.stderr
    assert "1 outlines (segmentation) are left out" in done.stderr
    boxes = read_annotation(tmp_path / "voc/a photo.xml").boxes
    assert boxes == (Box("toothbrush", 1, 2, 4, 6, difficult=1), Box("car", 1, 2, 4, 6))
    done = call(SCRIPT, *arguments, "--to", "yolo", "-o", tmp_path / "yolo")
    assert (tmp_path / "yolo/classes.txt").read_text() == "car\ntoothbrush\n"  # by their ids
    assert (tmp_path / "yolo/a photo.txt").read_text().split()[::5] == ["1", "0"]


def test_a_photo_that_the_camera_turned_is_labelled_upright(tmp_path):
    exif = draw_photo().getexif()
    exif[ExifTags.Base.Orientation] = 6
    photo = draw_photo()  # 96 x 64 as stored, 64 x 96 upright
    photo.save(tmp_path / "a.jpg", exif=exif)
    write_annotation(tmp_path / "a.xml", "a.jpg", 96, 64, [Box("cat", 0, 0, 48, 16)])
    (image,) = read_voc(tmp_path, list_images_below(tmp_path)).images
    assert (image.width, image.height) == (64, 96)
    assert image.boxes == [Box("cat", 48, 0, 64, 48)]


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
    check_faults(call, arguments, f"{source}: No such file or directory; give the file")
    for text, said in [
        ('{"images": [', f"{source}: is no JSON (line 1, column 13: "),
        ("[" * 100_000, f"{source}: is no COCO file, no program writes it like this"),
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
        f"{source}: the image '../a photo.jpg' leads out of the image folder",
        f"{source}: deep/nothing.png: is said to be 96 x 64, but it has 50 x 40 pixels",
        f"{source}: the image 'deep/er/x.y.JPG' is '31' x 64 pixels; correct its size",
        f"{source}: the category {{'id': 2, 'name': ''}} has no id and name of its own",
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
        f"{source}: line 5: width or height is no whole number",
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
    check_faults(call, arguments, r"the class 'a\nb' has letters", r"the class '\ud800' has letters")


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


def test_the_raccoons_come_back_as_they_were(call, raccoon_images, tmp_path):
    for one, other, source, target in [
        ("voc", "coco", raccoon_images, "c.json"),
        ("coco", "yolo", tmp_path / "c.json", "yolo"),
        ("yolo", "voc", tmp_path / "yolo", "voc"),
    ]:
        arguments = ("--from", one, "--to", other, "-i", raccoon_images, "-a", source, "-o", tmp_path / target)
        done = call(SCRIPT, *arguments)
        assert "200 images, 217 boxes, 1 classes" in done.stdout, done.stderr
    for xml in raccoon_images.glob("*.xml"):
        old, new = read_annotation(xml).boxes, read_annotation(tmp_path / "voc" / xml.name).boxes
        assert [(b.name, b.xmin, b.ymin, b.xmax, b.ymax) for b in old] == [
            (b.name, b.xmin, b.ymin, b.xmax, b.ymax) for b in new
        ]
