"""Boxes drawn on photos, and many photos on one contact sheet."""

import colorsys
import functools
import importlib.util
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tfod.utils.console import say

# Okabe and Ito's colours, which colour-blind people tell apart too; white stands in for black, which photos hide.
PALETTE = [
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # purple
    (255, 255, 255),
]

# For text that DejaVu Sans has no glyphs for: Chinese, Japanese, Korean. As the files are named on Linux, macOS
# and Windows; Pillow looks for them where the system keeps its fonts.
OTHER_FONTS = [
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "PingFang.ttc",
    "msyh.ttc",
    "simhei.ttf",
    "Arial Unicode.ttf",
    "unifont.ttf",
]
Colour = tuple[int, int, int]
GREY = (90, 90, 90)


def get_colour(class_id: int) -> Colour:
    """The lasting colour (r, g, b) of a class: of the palette for ids 1 to 8, of its own hue for later ones."""
    if 1 <= class_id <= len(PALETTE):
        return PALETTE[class_id - 1]
    hue = class_id * 0.618034 % 1  # the golden ratio spreads any number of hues
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (class_id % 2), 0.95))


def get_text_colour(background: Colour) -> Colour:
    """Black or white, whichever has the greater contrast (as WCAG defines it) with the colour (r, g, b)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)


@functools.cache
def _load_font(name, size):
    """A font by its file's path or name, or None where the system has none of that name."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _find_missing(font, characters):
    missing = bytes(font.getmask("\uffff"))  # no font has this: it is drawn as the font's sign for a missing glyph
    return "".join(c for c in characters if c.isprintable() and not c.isspace() and bytes(font.getmask(c)) == missing)


@functools.cache
def _find_font(characters):
    """The path or name of a font that has all the characters; DejaVu Sans, and a line to say so, where none has."""
    # matplotlib brings DejaVu Sans along: labels look the same on every machine. (It need not be imported for that.)
    plain = str(Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf")
    for name in (plain, *OTHER_FONTS):
        font = _load_font(name, 16)
        if font and not _find_missing(font, characters):
            return name
    missing = _find_missing(_load_font(plain, 16), characters)
    say(f"no font here has the characters {missing}; install one, for instance `apt-get install fonts-noto-cjk`")
    return plain


def get_font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A Pillow font of `size` pixels that has the glyphs of `text` beyond ASCII, where the system has one."""
    beyond_ascii = "".join(sorted(c for c in set(text) if not c.isascii()))
    return _load_font(_find_font(beyond_ascii), size)


@functools.cache
def _has_ascii(name):
    return not _find_missing(_load_font(name, 16), "a1%")


def _split_by_font(text, size):
    """The list of (font, piece of the text): some systems' Chinese font has no Latin letters, and no digits."""
    font = get_font(text, size)
    if _has_ascii(font.path):
        return [(font, text)]
    runs = [(plain, "".join(letters)) for plain, letters in itertools.groupby(text, str.isascii)]
    return [(get_font("", size) if plain else font, piece) for plain, piece in runs]


def measure_text(text: str, size: int) -> tuple[float, int, int]:
    """(width, height above the baseline, height below it) of a text of `size`, all in pixels."""
    pieces = _split_by_font(text, size)
    ascents, descents = zip(*(font.getmetrics() for font, _ in pieces or [(get_font("", size), "")]), strict=True)
    return sum(font.getlength(piece) for font, piece in pieces), max(ascents), max(descents)


def draw_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour | str,
    centred: bool = False,
) -> None:
    """Draws a text of `size` pixels, in any script; `place` = (x, y) is its upper left corner, or its upper middle."""
    width, ascent, _ = measure_text(text, size)
    x = place[0] - width / 2 if centred else place[0]
    for font, piece in _split_by_font(text, size):
        draw.text((x, place[1] + ascent), piece, font=font, fill=colour, anchor="ls")
        x += font.getlength(piece)


def shorten(text: str, end: str, font_size: int, width: float) -> str:
    """`text` + `end`, with `text` cut and `…` put where it is wider than `width` pixels."""
    if measure_text(text + end, font_size)[0] <= width:
        return text + end
    while text and measure_text(text + "…" + end, font_size)[0] > width:
        text = text[:-1]
    return text + "…" + end


def _draw_box(draw, box, width, colour, dashed):
    """A rectangle, `box` = [left, top, right, bottom] pixels; its line is edged, to stand out on any photo."""
    left, top, right, bottom = box
    edge = get_text_colour(colour)
    if not dashed:
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=edge, width=width + 2)
        draw.rectangle((left, top, right, bottom), outline=colour, width=width)
        return
    dash = 4 * width
    for x in range(left, right + 1, 2 * dash):
        end = min(x + dash, right)
        for y in (top, max(top, bottom - width + 1)):
            draw.rectangle((x - 1, y - 1, end + 1, y + width), fill=edge)
            draw.rectangle((x, y, end, y + width - 1), fill=colour)
    for y in range(top, bottom + 1, 2 * dash):
        end = min(y + dash, bottom)
        for x in (left, max(left, right - width + 1)):
            draw.rectangle((x - 1, y - 1, x + width, end + 1), fill=edge)
            draw.rectangle((x, y, x + width - 1, end), fill=colour)


def _place_label(box, size, image_size, taken):
    """Where a label of `size` goes: at its box, within the image, and clear of the labels in `taken` if possible."""
    (left, top, _, bottom), (wide, high), (width, height) = box, size, image_size
    x = min(max(left, 0), max(width - wide, 0))
    places = []
    for y in (top - high, bottom + 1, top, bottom - high, top + high):
        y = min(max(y, 0), max(height - high, 0))
        places.append((x, y, x + wide, y + high))
    for place in places:
        if not any(place[0] < t[2] and t[0] < place[2] and place[1] < t[3] and t[1] < place[3] for t in taken):
            return place
    return places[0]


def draw_detections(
    image: Image.Image,
    boxes: Sequence[Sequence[float]],
    labels: Sequence[str],
    ids: Sequence[int],
    scores: Sequence[float] | None = None,
    dashed: bool = False,
) -> Image.Image:
    """A copy of the photo with boxes and labels drawn on it.

    image:  PIL image, RGB
    boxes:  float [N, 4], `[ymin, xmin, ymax, xmax]` normalized; what reaches out of the image is clipped
    labels: N texts, in any script
    ids:    N class ids: each class has one fixed colour
    scores: N floats from 0 to 1, shown as percents, the highest on top; None for ground truth
    dashed: draw dashed lines, to tell ground truth from detections
    """
    image = image.copy()
    draw = ImageDraw.Draw(image)
    width, height = image.size
    line = max(2, round(min(image.size) / 180))
    font_size = max(11, round(min(image.size) / 26))
    pad = max(2, font_size // 5)
    order = range(len(boxes)) if scores is None else sorted(range(len(boxes)), key=lambda i: float(scores[i]))
    frames = {}
    for i in order:
        ys = sorted(min(max(round(float(y) * height), 0), height) for y in boxes[i][::2])
        xs = sorted(min(max(round(float(x) * width), 0), width) for x in boxes[i][1::2])
        left, top = min(xs[0], width - 1), min(ys[0], height - 1)
        frames[i] = (left, top, max(left, xs[1] - 1), max(top, ys[1] - 1))
        _draw_box(draw, frames[i], line, get_colour(int(ids[i])), dashed)
    taken = []
    for i in reversed(order):  # the best first: it gets the best place
        end = "" if scores is None else f" {float(scores[i]):.0%}"
        text = shorten(" ".join(str(labels[i]).split()), end, font_size, width - 2 * pad)
        wide, ascent, descent = measure_text(text, font_size)
        size = (round(wide) + 2 * pad, ascent + descent + pad)
        place = _place_label(frames[i], size, image.size, taken)
        taken.append(place)
        colour = get_colour(int(ids[i]))
        draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=colour)
        draw_text(draw, (place[0] + pad, place[1] + pad // 2), text, font_size, get_text_colour(colour))
    return image


def draw_cell(image: Image.Image, boxes: Sequence, ids: dict[str, int], size: tuple[int, int]) -> Image.Image:
    """The image scaled to fit into `size` (width, height) pixels, with its boxes.

    image: PIL image, RGB; boxes: list of tfod.data.voc.Box in its pixels; ids: dict class name -> id, for the colours
    """
    scale = min(size[0] / image.width, size[1] / image.height)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.LANCZOS)
    normalized = [
        [box.ymin / image.height, box.xmin / image.width, box.ymax / image.height, box.xmax / image.width]
        for box in boxes
    ]
    names = [box.name for box in boxes]
    return draw_detections(small, normalized, names, [ids[name] for name in names])


def draw_sheet(
    loaded: Sequence[tuple[Path, Image.Image, Sequence]],
    columns: int,
    width: int,
    title: str,
    ids: dict[str, int] | None = None,
) -> Image.Image:
    """One RGB image, `width` pixels wide, of all the images in rows of `columns`, their file names below them.

    loaded: list of (path, PIL image, list of tfod.data.voc.Box in its pixels)
    ids:    dict class name -> id, for the colours; None numbers the names of the boxes
    """
    columns = min(columns, len(loaded))
    margin = max(8, width // 80)
    text_size = max(11, width // 110)
    line = 2 * text_size
    shape = statistics.median(image.height / image.width for _, image, _ in loaded)
    cell_width = (width - margin * (columns + 1)) // columns
    cell_height = round(cell_width * min(max(shape, 0.5), 1.25))
    top = margin + (3 * text_size if title else 0)
    rows = -(-len(loaded) // columns)
    sheet = Image.new("RGB", (width, top + rows * (cell_height + line + margin // 2)), "white")
    draw = ImageDraw.Draw(sheet)
    if title:
        text = shorten(title, "", 2 * text_size, width - 2 * margin)
        draw_text(draw, (width / 2, margin), text, 2 * text_size, "black", centred=True)
    if ids is None:
        ids = {name: i for i, name in enumerate(sorted({box.name for *_, boxes in loaded for box in boxes}), start=1)}
    for i, (path, image, boxes) in enumerate(loaded):
        left = margin + i % columns * (cell_width + margin)
        upper = top + i // columns * (cell_height + line + margin // 2)
        cell = draw_cell(image, boxes, ids, (cell_width, cell_height))
        sheet.paste(cell, (left + (cell_width - cell.width) // 2, upper + cell_height - cell.height))
        name = shorten(path.name, "", text_size, cell_width)
        place = (left + cell_width / 2, upper + cell_height + text_size // 3)
        draw_text(draw, place, name, text_size, GREY, centred=True)
    return sheet
