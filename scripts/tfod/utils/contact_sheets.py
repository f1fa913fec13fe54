"""One picture of many photos with their boxes."""

import statistics

from PIL import Image, ImageDraw

from tfod.utils.drawing import draw_detections, draw_text, shorten

GREY = (90, 90, 90)


def draw_cell(image, boxes, ids, size):
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


def draw_sheet(loaded, columns, width, title, ids=None):
    """One RGB image, `width` pixels wide, of all the images in rows of `columns`, their file names below them.

    loaded: list of (path, PIL image, list of tfod.data.voc.Box in its pixels)
    ids:    dict class name -> id, for colours that last; None numbers the names of the boxes
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
