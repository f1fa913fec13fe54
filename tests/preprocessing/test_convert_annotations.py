"""Conversions: box for box the same after any round trip, and what a format can't hold is said."""

import csv
import itertools
import json

import pytest
from conftest import draw_photo, label_photo
from conversion_photos import CLASSES, NAMES, SCRIPT, draw_photos
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags
from tool_exports import EXPORTS

from convert_annotations import LACKING
from tfod.data.format_readers import READERS, read_voc
from tfod.data.formats import WRITERS, LabelledImage, list_images_below
from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, read_annotation, write_annotation

FORMATS = ("voc", "coco", "yolo", "csv")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_photos(tmp_path_factory.mktemp("photos") / "images")


@st.composite
def labelled(draw, name):
    """A LabelledImage with boxes anywhere in it, of fractions of pixels, too."""
    width, height = NAMES[name]
    boxes = []
    for _ in range(draw(st.integers(0, 0 if "nothing" in name else 4))):
        left, top = draw(st.floats(0, width - 1)), draw(st.floats(0, height - 1))
        # beyond the first pixel: edges from 0 to 1 would be fractions of the image
        right, bottom = (draw(st.floats(max(low + 0.5, 1.5), high)) for low, high in ((left, width), (top, height)))
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


def test_the_first_five_notes_are_said_and_the_others_counted(call, tmp_path):
    boxes = [Box("cat", left, 1, 96.5, 30) for left in range(7)]
    label_photo(tmp_path / "images", "x.jpg", 0, boxes)
    done = call(SCRIPT, "--from", "voc", "--to", "coco", "-i", tmp_path / "images", "-o", tmp_path / "c.json")
    assert done.returncode == 0
    *notes, last = done.stderr.splitlines()
    assert [f"box 'cat' ({left}, 1, 96.5, 30)" in note for left, note in enumerate(notes)] == [True] * 5
    assert last == "... and 2 lines more like these"


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


@pytest.mark.parametrize(
    ("export", "kind", "labels", "images"),
    [
        ("labelme", "labelme", ".", "."),
        ("cvat_images", "cvat", "annotations.xml", "images"),
        ("labelstudio", "labelstudio", "project-1.json", "photos"),
        ("supervisely", "supervisely", "ds/ann", "ds/img"),
        ("yolo_labelimg", "yolo", ".", "."),
    ],
)
def test_tools_own_formats_become_coco_and_come_back(call, tmp_path, export, kind, labels, images):
    expected = EXPORTS[export](tmp_path / "export")
    images = ("-i", tmp_path / "export" / images)
    words = ("--from", kind, "-a", tmp_path / "export" / labels, *images, "--to", "coco", "-o", tmp_path / "c.json")
    done = call(SCRIPT, *words)
    assert done.returncode == 0, done.stderr
    for text in expected.said:
        assert text in done.stderr
    done = call(SCRIPT, "--from", "coco", "-a", tmp_path / "c.json", *images, "--to", "voc", "-o", tmp_path / "voc")
    for photo, boxes in expected.boxes.items():
        found = read_annotation(tmp_path / "voc" / f"{photo}.xml").boxes
        assert [box.name for box in found] == [name for name, *_ in boxes]
        for box, (_, *edges) in zip(found, boxes, strict=True):
            assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx(edges, abs=0.01)
