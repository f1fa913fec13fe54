"""labelImg's XML files: read without trust, written as labelImg does, matched to their images."""

import dataclasses
import math
import re

import pytest
from conftest import draw_photo, label_photo
from hypothesis import assume, given
from hypothesis import strategies as st
from lxml import etree
from PIL import Image, ImageDraw

from tfod.data.images import list_images
from tfod.data.voc import (
    Annotation,
    Box,
    clip_boxes,
    find_images_of,
    leads_out,
    list_annotations,
    pair_files,
    parse_annotation,
    read_annotation,
    turn_box,
    write_annotation,
)
from tfod.utils.console import InputError

# What XML can hold and a person can see, without the white space around a name that reading takes off
names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Cn", "Zs", "Zl", "Zp")), min_size=1, max_size=20)
edges = st.floats(0, 10000, allow_subnormal=False)


@st.composite
def boxes(draw, xs=edges, ys=edges):
    (xmin, xmax), (ymin, ymax) = sorted(draw(st.tuples(xs, xs))), sorted(draw(st.tuples(ys, ys)))
    assume(xmin < xmax and ymin < ymax)
    flag = st.integers(0, 1)
    return Box(
        draw(names), xmin, ymin, xmax, ymax, draw(flag), draw(flag), draw(st.sampled_from(["Left", "Unspecified"]))
    )


def write_xml(path, text):
    path.write_text(f"<annotation>{text}</annotation>", encoding="utf-8")
    return path


def expect_faults(path, *texts):
    with pytest.raises(InputError) as caught:
        read_annotation(path)
    assert len(caught.value.faults) == len(texts)
    for fault, text in zip(caught.value.faults, texts, strict=True):
        assert fault.startswith(f"{path}: ")
        assert text in fault


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("voc")


@given(names, st.integers(1, 99999), st.integers(1, 99999), st.lists(boxes(), max_size=4))
def test_what_is_written_is_read(folder, filename, width, height, its_boxes):
    assume(not leads_out(filename))  # of which reading takes the last part
    write_annotation(folder / "a.xml", filename, width, height, its_boxes)
    assert read_annotation(folder / "a.xml") == Annotation(folder / "a.xml", filename, width, height, tuple(its_boxes))


def test_it_is_written_as_labelimg_does(raccoon_images, tmp_path):
    for theirs in sorted(raccoon_images.glob("*.xml"))[:20]:
        annotation = read_annotation(theirs)
        ours = tmp_path / theirs.name
        write_annotation(ours, annotation.filename, annotation.width, annotation.height, annotation.boxes)
        # labelImg's own notes of folder, path and review are the only difference
        text = re.sub(r' verified="\w+"', "", theirs.read_text())
        text = re.sub(r"<folder>.*</folder>", "<folder/>", text)
        text = re.sub(r"<path>.*</path>", f"<path>{annotation.filename}</path>", text)
        assert ours.read_text().strip() == text.strip()


def test_other_tools_leave_things_out(tmp_path):
    xml = write_xml(
        tmp_path / "a.xml",
        """<object><bndbox><ymax>40</ymax><xmax>30.5</xmax><ymin>20</ymin><xmin> 1e1 </xmin></bndbox>
        <name> cat </name><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>
        <truncated>Unspecified</truncated><difficult>true</difficult></object>""",
    )
    annotation = read_annotation(xml)
    assert (annotation.filename, annotation.width, annotation.height) == ("", 0, 0)
    assert annotation.boxes == (Box("cat", 10, 20, 30.5, 40, difficult=1),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_any_encoding_that_is_declared(tmp_path, encoding):
    text = "<annotation><filename>猫.jpg</filename></annotation>"
    declared = "" if "utf-8" in encoding else f'<?xml version="1.0" encoding="{encoding}"?>'
    (tmp_path / "a.xml").write_bytes((declared + text).encode(encoding))
    assert read_annotation(tmp_path / "a.xml").filename == "猫.jpg"


def test_every_fault_of_a_file_is_told_with_its_line(tmp_path):
    xml = write_xml(
        tmp_path / "a.xml",
        """<size><width>wide</width><height>40</height></size>
        <object><name>cat</name></object>
        <object><name> </name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>
        <object><name>dog</name><bndbox><xmin>1</xmin><ymin>nan</ymin><xmax>3</xmax></bndbox></object>
        <object><name>dog</name><difficult>2</difficult>
          <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>1</xmax><ymax>4</ymax></bndbox></object>
        <object><name>cat</name><bndbox><xmin>1</xmin><ymin>9</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>""",
    )
    expect_faults(
        xml,
        "line 1: <size/width> is 'wide', not a number; correct it",
        "line 2: 'cat' has no <bndbox>; draw its box in labelImg",
        "line 3: the box has no <name>; give it its class",
        "line 4: <bndbox/ymin> is 'nan', not a number",
        "line 4: <bndbox/ymax> is missing; draw the box again",
        "line 5: <difficult> is '2'; it must be 0 or 1",
        "line 5: box 'dog' (1, 2, 1, 4) (xmin, ymin, xmax, ymax) has no area; draw it again",
        "line 7: box 'cat' (1, 9, 3, 4) (xmin, ymin, xmax, ymax) has its corners swapped; draw it again",
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty; put back a copy of the file, or label the photo again"),
        ("<annotation><object></annotation>", "is not XML (Opening and ending tag mismatch"),
        ("<html/>", "is <html>, not <annotation>; save it as Pascal VOC in labelImg"),
        ("<annotation/>", "has neither <filename> nor <size> nor <object>; save it as Pascal VOC in labelImg"),
    ],
)
def test_what_is_no_annotation_is_named(tmp_path, text, fault):
    (tmp_path / "a.xml").write_text(text)
    expect_faults(tmp_path / "a.xml", fault)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE annotation [<!ENTITY e SYSTEM 'secret'>]>",
        "<!DOCTYPE annotation [<!ENTITY e 'secret'>]>",
        "<!DOCTYPE annotation SYSTEM 'definitions.dtd'>",
        "<!DOCTYPE annotation [<!ENTITY % more SYSTEM 'definitions.dtd'> %more;]>",
    ],
)
def test_entities_are_neither_expanded_nor_read_from_other_files(tmp_path, doctype):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "definitions.dtd").write_text("<!ENTITY e 'secret'>")
    (tmp_path / "a.xml").write_text(f"{doctype}<annotation><filename>&e;</filename></annotation>")
    expect_faults(tmp_path / "a.xml", "holds the entity &e;, which is not expanded; write its text instead")


def test_entities_are_not_blown_up(tmp_path):
    levels = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 12))
    document = f"<!DOCTYPE annotation [<!ENTITY e0 'lol'>{levels}]><annotation><filename>&e11;</filename></annotation>"
    (tmp_path / "a.xml").write_text(document)
    expect_faults(tmp_path / "a.xml", "is not XML (Maximum entity amplification factor exceeded")


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_clipping_keeps_what_lies_inside_and_cuts_a_pixel_at_most(width, height, data):
    box = data.draw(boxes(st.floats(-3, width + 3), st.floats(-3, height + 3)))
    inside = min(box.xmax, width) > max(box.xmin, 0) and min(box.ymax, height) > max(box.ymin, 0)
    near = box.xmin >= -1 and box.ymin >= -1 and box.xmax <= width + 1 and box.ymax <= height + 1
    annotation = Annotation("a.xml", "a.jpg", width, height, (box,))
    if not (inside and near):
        none, (fault,) = clip_boxes(annotation, width, height)
        assert not none
        assert f"reaches out of the image of {width} x {height} pixels; draw it again" in fault
        assert (fault.kind, fault.severity) == ("box-outside", "error")
        return
    (clipped,), faults = clip_boxes(annotation, width, height)
    assert [(fault.kind, fault.severity) for fault in faults] == [("box-overhangs", "warning")] * (clipped != box)
    assert 0 <= clipped.xmin < clipped.xmax <= width and 0 <= clipped.ymin < clipped.ymax <= height
    for edge in ("xmin", "ymin", "xmax", "ymax"):
        assert abs(getattr(clipped, edge) - getattr(box, edge)) <= 1
    if min(box.xmin, box.ymin) >= 0 and box.xmax <= width and box.ymax <= height:
        assert clipped == box


def test_every_box_that_reaches_out_is_named():
    boxes = (Box("cat", 1, 1, 12, 5), Box("dog", 1, 1, 5, 5), Box("cat", -2, 1, 5, 5))
    kept, faults = clip_boxes(Annotation("a.xml", "", 10, 10, boxes), 10, 10)
    assert kept == [boxes[1]]
    assert [fault[:30] for fault in faults] == [
        "a.xml: box 'cat' (1, 1, 12, 5)",
        "a.xml: box 'cat' (-2, 1, 5, 5)",
    ]


@given(st.integers(1, 8), st.integers(2, 40), st.integers(2, 40), st.data())
def test_a_box_turns_as_the_pixels_under_it(orientation, width, height, data):
    box = data.draw(boxes(st.integers(0, width), st.integers(0, height)))
    stored = Image.new("L", (width, height))
    ImageDraw.Draw(stored).rectangle((box.xmin, box.ymin, box.xmax - 1, box.ymax - 1), fill=255)
    turn = [
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    ][orientation - 1]
    upright = stored.transpose(turn) if turn is not None else stored
    turned = turn_box(box, orientation, width, height)
    assert upright.getbbox() == (turned.xmin, turned.ymin, turned.xmax, turned.ymax)
    assert dataclasses.replace(turned, xmin=box.xmin, ymin=box.ymin, xmax=box.xmax, ymax=box.ymax) == box


def pair_folders(image_dir, xml_dir):
    pairs, faults = pair_files(list_annotations(xml_dir), list_images(image_dir))
    if faults:
        raise InputError(*faults)
    return pairs


def test_images_and_xml_files_are_paired_by_their_own_names(labelled_images):
    (labelled_images / "a.xml").rename(labelled_images / "a.XML")
    draw_photo().save(labelled_images / "bare.jpg")
    (labelled_images / ".hidden.xml").touch()
    pairs = pair_folders(labelled_images, labelled_images)
    assert len(pairs) == 12
    assert all(image.stem == xml.stem for image, xml in pairs)
    assert pairs == sorted(pairs)


def test_the_own_stem_wins_over_filename_and_filename_over_nothing(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        label_photo(tmp_path, name)
    write_annotation(tmp_path / "a.xml", "b.jpg", 96, 64, [])  # renamed together with its image
    (tmp_path / "b.xml").rename(tmp_path / "label-7.xml")
    pairs = pair_folders(tmp_path, tmp_path)
    assert [(image.name, xml.name) for image, xml in pairs] == [("a.jpg", "a.xml"), ("b.jpg", "label-7.xml")]


def test_two_folders(tmp_path):
    label_photo(tmp_path / "images", "a.jpg")
    (tmp_path / "xml").mkdir()
    (tmp_path / "images" / "a.xml").rename(tmp_path / "xml" / "a.xml")
    pairs = pair_folders(tmp_path / "images", tmp_path / "xml")
    assert pairs == [(tmp_path / "images" / "a.jpg", tmp_path / "xml" / "a.xml")]


def test_path_never_says_which_image(tmp_path):
    label_photo(tmp_path, "a.jpg")
    write_xml(tmp_path / "b.xml", f"<path>{tmp_path / 'a.jpg'}</path>")
    with pytest.raises(InputError, match=r"b.xml: there is no image of its name; add the image, or take"):
        pair_folders(tmp_path, tmp_path)


def test_every_fault_of_the_pairing_is_told(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg", "two.jpg"):
        label_photo(tmp_path, name)
    (tmp_path / "b.jpg").unlink()
    draw_photo().save(tmp_path / "two.PNG")
    write_annotation(tmp_path / "other.xml", "c.jpg", 96, 64, [])
    (tmp_path / "broken.xml").write_text("<annotation>")
    with pytest.raises(InputError) as caught:
        pair_folders(tmp_path, tmp_path)
    text = "\n".join(sorted(caught.value.faults))
    assert len(caught.value.faults) == 4
    assert "b.xml: there is no image of its name, nor the one that its <filename> names, 'b.jpg'; add" in text
    assert "broken.xml: is not XML" in text
    assert "other.xml: c.jpg has another XML file, c.xml; keep one of them" in text
    assert "two.xml: belongs to 2 images, two.PNG, two.jpg; rename or remove all but one" in text


def test_images_of_one_stem_share_an_xml_file(tmp_path):
    label_photo(tmp_path, "a.jpg")
    found, faults = find_images_of([tmp_path / "a.xml"], [tmp_path / "a.jpg", tmp_path / "a.png"])
    assert found == {tmp_path / "a.xml": [tmp_path / "a.jpg", tmp_path / "a.png"]}
    assert faults == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder; give the one that holds the .xml files"):
        pair_folders(tmp_path, tmp_path / "nowhere")


def test_written_files_are_plain_xml(tmp_path):
    write_annotation(tmp_path / "a.xml", "a & <b>.jpg", 4, 4, [Box('R&D\'s <"猫">', 0, 0, 1.5, 4)])
    root = etree.parse(tmp_path / "a.xml").getroot()
    assert root.findtext("object/name") == 'R&D\'s <"猫">'
    assert [edge.text for edge in root.find("object/bndbox")] == ["0", "0", "1.5", "4"]


def write_objects(path, *objects, size=(320, 240)):
    said = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return write_xml(path, said + "".join(f"<object>{text}</object>" for text in objects))


def frame(xmin, ymin, xmax, ymax):
    return f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"


def turn(degrees):
    return f"<attributes><attribute><name>rotation</name><value>{degrees}</value></attribute></attributes>"


def read_with_warnings(path):
    annotation, faults = parse_annotation(path)
    assert {fault.severity for fault in faults} <= {"warning"}
    return annotation, [fault.kind for fault in faults]


def test_several_boxes_in_one_object_are_all_taken(tmp_path):
    xml = write_objects(tmp_path / "a.xml", "<name>car</name>" + frame(1, 2, 30, 40) + frame(50, 60, 70, 80))
    annotation, kinds = read_with_warnings(xml)
    assert annotation.boxes == (Box("car", 1, 2, 30, 40), Box("car", 50, 60, 70, 80)) and kinds == ["box-several"]
    assert annotation.names == ("car", "car")
    write_objects(xml, "<name>car</name>" + frame(1, 2, 30, 40) + frame(50, 60, 50, 80))
    expect_faults(xml, "box 'car' (50, 60, 50, 80) (xmin, ymin, xmax, ymax) has no area; draw it again")


@pytest.mark.parametrize("degrees", [45, -45, 90, 180.0, 30, 359.5])
def test_the_upright_box_around_a_turned_one_touches_all_of_its_corners(tmp_path, degrees):
    xml = write_objects(tmp_path / "a.xml", "<name>cat</name>" + frame(150, 40, 170, 140) + turn(degrees))
    annotation, kinds = read_with_warnings(xml)
    (box,) = annotation.boxes
    turned = Image.new("L", (320, 240))  # drawn by another way: the corners, turned around the middle
    angle = math.radians(degrees)
    corners = [
        (160 + x * math.cos(angle) - y * math.sin(angle), 90 + x * math.sin(angle) + y * math.cos(angle))
        for x, y in ((-10, -50), (10, -50), (10, 50), (-10, 50))
    ]
    ImageDraw.Draw(turned).polygon(corners, fill=255)
    left, top, right, bottom = turned.getbbox()
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx((left, top, right, bottom), abs=1.5)
    assert kinds == ["box-turned"] and box.around


def test_a_rotation_of_nothing_leaves_the_box_as_it_is(tmp_path):
    for said in ("0.0", "", "none", "nan"):
        xml = write_objects(tmp_path / "a.xml", "<name>cat</name>" + frame(150, 40, 170, 140) + turn(said))
        assert read_with_warnings(xml)[0].boxes == (Box("cat", 150, 40, 170, 140),)


def test_a_robndbox_is_the_upright_box_around_it(tmp_path):
    turned = "<robndbox><cx>100</cx><cy>80</cy><w>60</w><h>20</h><angle>1.5707963</angle></robndbox>"
    annotation, kinds = read_with_warnings(write_objects(tmp_path / "a.xml", "<name>ship</name>" + turned))
    (box,) = annotation.boxes
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx((90, 50, 110, 110), abs=0.01)
    assert kinds == ["box-turned"]
    bad = turned.replace("<w>60</w>", "<w>wide</w>")
    expect_faults(write_objects(tmp_path / "a.xml", "<name>s</name>" + bad), "<robndbox/w> is 'wide', not a number")


@pytest.mark.parametrize(
    "points",
    [
        "<x1>10</x1><y1>20</y1><x2>60</x2><y2>25</y2><x3>40</x3><y3>90</y3>",
        "<pt><x>10</x><y>25</y></pt><pt><x>60</x><y>20</y></pt><pt><x>40</x><y>90</y></pt>",
    ],
)
def test_an_outline_without_a_box_is_the_box_around_it(tmp_path, points):
    outline = f"<name>cat</name><polygon>{points}</polygon>"
    annotation, kinds = read_with_warnings(write_objects(tmp_path / "a.xml", outline))
    assert annotation.boxes == (Box("cat", 10, 20, 60, 90),) and kinds == ["box-outline"]
    annotation, kinds = read_with_warnings(write_objects(tmp_path / "a.xml", outline + frame(1, 2, 3, 4)))
    assert annotation.boxes == (Box("cat", 1, 2, 3, 4),) and kinds == []


@pytest.mark.parametrize(("said", "flag"), [("0.0597", 1), ("0.0", 0), ("1.0", 1), ("Yes", 1), ("", 0)])
def test_a_share_above_0_is_truncated(tmp_path, said, flag):
    xml = write_objects(tmp_path / "a.xml", f"<name>cat</name><truncated>{said}</truncated>" + frame(1, 2, 3, 4))
    assert read_with_warnings(xml)[0].boxes[0].truncated == flag


def test_an_empty_object_is_left_out_with_a_word(tmp_path):
    xml = write_objects(tmp_path / "a.xml", "", "<name> </name><bndbox/>", "<name>cat</name>" + frame(1, 2, 3, 4))
    annotation, kinds = read_with_warnings(xml)
    assert len(annotation.boxes) == 1 and kinds == ["object-empty"] * 2


def test_a_box_around_a_turned_one_is_cut_at_the_border(tmp_path):
    xml = write_objects(tmp_path / "a.xml", "<name>cat</name>" + frame(2, 40, 22, 140) + turn(45))
    (box,), faults = clip_boxes(read_annotation(xml), 320, 240)
    assert (box.xmin, faults) == (0, [])


@pytest.mark.parametrize(("xml", "image"), [("IMG_1.xml", "img_1.JPG"), ("Ba\u0308r.xml", "B\u00e4r.jpg")])
def test_names_in_other_letters_belong_together(tmp_path, xml, image):
    assert find_images_of([tmp_path / xml], [tmp_path / image]) == ({tmp_path / xml: [tmp_path / image]}, [])
    # where the very name is there, it is that one
    own = (tmp_path / xml).with_suffix(".png")
    assert find_images_of([tmp_path / xml], [own, tmp_path / image])[0] == {tmp_path / xml: [own]}


@pytest.mark.parametrize("filename", ["b.jpg", r"C:\me\b.jpg", "/home/me/b.jpg", "B.JPG"])
def test_a_filename_names_the_image_wherever_it_lay(tmp_path, filename):
    xml = write_xml(tmp_path / "a.xml", f"<filename>{filename}</filename>")
    assert find_images_of([xml], [tmp_path / "b.jpg"])[0] == {xml: [tmp_path / "b.jpg"]}
