"""Drawn boxes: where they belong, in the class's colour, with labels that can be read and stay in the picture."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from tfod.utils import drawing
from tfod.utils.drawing import draw_detections, get_colour, get_font, get_text_colour, shorten

GREY = (128, 128, 128)


def make_photo(size=(400, 300)):
    return Image.new("RGB", size, GREY)


def measure_contrast(one, two):
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.asarray(colour) / 255]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


def find_colour(image, colour):
    """The (left, top, right, bottom) around all pixels of a colour, the last two exclusive."""
    ys, xs = np.nonzero((np.asarray(image) == colour).all(axis=-1))
    return (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else None


def test_the_photo_itself_stays_as_it_is():
    photo = make_photo()
    drawn = draw_detections(photo, [[0.2, 0.2, 0.6, 0.6]], ["cat"], [1], [0.9])
    assert not ImageChops.difference(photo, make_photo()).getbbox()
    assert drawn.size == photo.size and drawn.mode == "RGB"
    assert ImageChops.difference(photo, drawn).getbbox()


def test_without_boxes_it_is_a_copy():
    photo = make_photo()
    drawn = draw_detections(photo, np.zeros((0, 4), np.float32), [], [], np.zeros(0))
    assert drawn is not photo
    assert not ImageChops.difference(photo, drawn).getbbox()


@pytest.mark.parametrize("dashed", [False, True])
def test_the_box_is_where_it_was_said(dashed):
    """A box of [ymin, xmin, ymax, xmax]: its line runs on the border pixels inside it; the label is above."""
    drawn = draw_detections(make_photo(), np.array([[0.5, 0.25, 0.9, 0.75]]), [""], [2], dashed=dashed)
    left, _, right, bottom = find_colour(drawn, get_colour(2))
    assert (left, right, bottom) == (100, 300, 270)
    assert drawn.getpixel((200, 210)) == GREY  # the inside is free
    rows = np.asarray(drawn)[150:270, 100]
    on_line = (rows == get_colour(2)).all(axis=-1).mean()
    assert on_line == 1 if not dashed else 0.3 < on_line < 0.9


@given(
    boxes=st.lists(st.lists(st.floats(-1, 2), min_size=4, max_size=4), max_size=6),
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    label=st.text(max_size=30),
    with_scores=st.booleans(),
    dashed=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_box_and_any_label_can_be_drawn(boxes, size, label, with_scores, dashed):
    scores = [i / 6 for i in range(len(boxes))] if with_scores else None
    drawn = draw_detections(make_photo(size), boxes, [label] * len(boxes), range(1, len(boxes) + 1), scores, dashed)
    assert drawn.size == size


@given(
    box=st.tuples(*[st.integers(-50, 450)] * 4),
    size=st.tuples(st.integers(1, 400), st.integers(1, 60)),
    taken=st.lists(st.tuples(*[st.integers(0, 400)] * 4), max_size=3),
)
def test_a_label_is_always_within_the_image(box, size, taken):
    left, top, right, bottom = drawing._place_label(box, size, (400, 300), taken)
    assert (right - left, bottom - top) == size
    assert left >= 0 and top >= 0 and right <= 400 and bottom <= 300


def test_labels_of_boxes_in_one_place_do_not_cover_each_other():
    boxes = [[0.4, 0.4, 0.7, 0.7]] * 3
    places = []
    for _ in boxes:
        places.append(drawing._place_label((160, 120, 280, 210), (60, 20), (400, 300), places))
    for a, b in itertools.combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_long_label_is_cut_and_keeps_its_score():
    text = shorten("a very long class name " * 9, " 87%", 14, 200)
    assert text.startswith("a very long") and text.endswith("… 87%")
    assert get_font(text, 14).getlength(text) <= 200
    assert shorten("cat", " 87%", 14, 200) == "cat 87%"


def test_lines_and_text_grow_with_the_image():
    def measure_line(size):
        drawn = draw_detections(make_photo(size), [[0.5, 0.25, 0.9, 0.75]], ["x"], [2])
        column = np.asarray(drawn)[round(size[1] * 0.7), : size[0] // 2]
        return int((column == get_colour(2)).all(axis=-1).sum())

    assert measure_line((320, 240)) == 2
    assert measure_line((3200, 2400)) == 13


def test_a_class_keeps_its_colour_and_others_have_others():
    colours = [get_colour(class_id) for class_id in range(1, 91)]
    assert colours == [get_colour(class_id) for class_id in range(1, 91)]
    assert len(set(colours)) == 90
    for one, two in itertools.combinations(colours[:8], 2):
        assert np.abs(np.subtract(one, two)).sum() > 80


def test_text_can_be_read_on_each_colour():
    for class_id in range(0, 200):
        colour = get_colour(class_id)
        chosen = get_text_colour(colour)
        other = (255, 255, 255) if chosen == (0, 0, 0) else (0, 0, 0)
        assert measure_contrast(colour, chosen) >= max(4.5, measure_contrast(colour, other))


def test_the_best_detection_is_on_top_whatever_the_order():
    boxes, labels, ids = [[0.2, 0.2, 0.8, 0.8]] * 2, ["a", "b"], [1, 2]
    for scores in ([0.9, 0.3], [0.3, 0.9]):
        drawn = draw_detections(make_photo(), boxes, labels, ids, scores)
        assert drawn.getpixel((80, 200)) == get_colour(ids[int(np.argmax(scores))])


def test_scores_are_shown_as_percents(monkeypatch):
    shown = []
    monkeypatch.setattr(drawing, "shorten", lambda text, end, *_: shown.append(text + end) or text + end)
    draw_detections(make_photo(), [[0, 0, 1, 1]] * 2, ["cat", "two\nlines "], [1, 1], np.array([0.874, 1.0]))
    draw_detections(make_photo(), [[0, 0, 1, 1]], ["truth"], [1])
    assert shown == ["two lines 100%", "cat 87%", "truth"]


def test_every_script_on_a_label_has_glyphs_or_is_said_to_have_none(capsys):
    assert not drawing._find_missing(get_font("Größe Ελληνικά Привет ©", 16), "Größe Ελληνικά Привет ©")
    drawing._find_font.cache_clear()
    text = "浣熊"
    missing = drawing._find_missing(get_font(text, 16), text)
    said = capsys.readouterr().err
    if missing:
        assert said == f"no font here has the characters {missing}; {said.split('; ')[1]}"
        assert "install one" in said
    else:
        assert said == ""
    get_font(text, 30)
    assert capsys.readouterr().err == ""  # it is said once


def test_letters_that_the_chinese_font_lacks_come_from_another():
    text = "浣熊-1 87%"
    pieces = drawing._split_by_font(text, 16)
    assert "".join(piece for _, piece in pieces) == text
    if drawing._find_missing(get_font(text, 16), "浣熊"):
        pytest.skip("no font here has Chinese letters")
    assert not any(drawing._find_missing(font, piece) for font, piece in pieces)
    assert drawing.measure_text(text, 16)[0] == sum(font.getlength(piece) for font, piece in pieces)
    assert drawing.measure_text("", 16)[0] == 0
