"""Makes one picture of a folder's images, to look at them all at once.

Boxes of labelImg's XML files beside the images are drawn; images that show boxes already, as inference_main_v2.py
makes them, are taken as they are. Where the folder holds more than --number, they are picked evenly over it.

    python scripts/contact_sheet.py -i inference_result -o inference_result.png
"""

import statistics
from pathlib import Path

from PIL import Image, ImageDraw

from tfod.console import InputError, make_parser, progress, run, say
from tfod.drawing import draw_detections, get_font, shorten
from tfod.files import fingerprint, is_current, mark_current, write_whole
from tfod.images import list_images, read_image
from tfod.voc import read_annotation

GREY = (90, 90, 90)
OUTPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="FOLDER", help="folder with the images")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="picture to write, .png or .jpg"
    )
    parser.add_argument("--columns", type=int, default=4, help="images in a row")
    parser.add_argument("--number", type=int, default=12, help="images at most")
    parser.add_argument("--width", type=int, default=1600, help="width of the picture, in pixels")
    parser.add_argument("--title", default="", help="line above the images")
    arguments = parser.parse_args()
    if arguments.columns < 1:
        parser.error("--columns must be 1 or more")
    if arguments.number < 1:
        parser.error("--number must be 1 or more")
    if not 100 * arguments.columns <= arguments.width <= 16000:
        parser.error(f"--width must be from {100 * arguments.columns} (100 for each column) to 16000 pixels")
    if arguments.output.suffix.lower() not in OUTPUT_SUFFIXES:
        parser.error(f"--output must end with one of {' '.join(OUTPUT_SUFFIXES)}")
    return arguments


def choose_images(folder, number, output):
    """At most `number` of the folder's images, picked evenly over their sorted names."""
    images = [path for path in list_images(folder) if path.resolve() != output.resolve()]
    if not images:
        raise InputError(f"{folder}: holds no images; give the folder that does")
    if len(images) <= number:
        return images
    return [images[i * len(images) // number] for i in range(number)]


def find_annotation(image_path):
    path = image_path.with_suffix(".xml")
    return path if path.is_file() else None


def read_all(paths):
    """(path, PIL image, boxes) for each image; `boxes` are those of the XML file beside it. Raises every fault."""
    loaded, faults = [], []
    for path in progress(paths, "reading"):
        try:
            xml = find_annotation(path)
            loaded.append((path, read_image(path), read_annotation(xml).boxes if xml else ()))
        except InputError as error:
            faults.extend(error.faults)
    if faults:
        raise InputError(*faults)
    return loaded


def draw_cell(image, boxes, ids, size):
    """The image scaled to fit into `size` (width, height) pixels, with its boxes."""
    scale = min(size[0] / image.width, size[1] / image.height)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.LANCZOS)
    normalized = [
        [box.ymin / image.height, box.xmin / image.width, box.ymax / image.height, box.xmax / image.width]
        for box in boxes
    ]
    names = [box.name for box in boxes]
    return draw_detections(small, normalized, names, [ids[name] for name in names])


def draw_sheet(loaded, columns, width, title):
    """One RGB image, `width` pixels wide, of all the images in rows of `columns`, their file names below them."""
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
        draw.text((width / 2, margin), text, font=get_font(text, 2 * text_size), fill="black", anchor="ma")
    ids = {name: i for i, name in enumerate(sorted({box.name for *_, boxes in loaded for box in boxes}), start=1)}
    for i, (path, image, boxes) in enumerate(loaded):
        left = margin + i % columns * (cell_width + margin)
        upper = top + i // columns * (cell_height + line + margin // 2)
        cell = draw_cell(image, boxes, ids, (cell_width, cell_height))
        sheet.paste(cell, (left + (cell_width - cell.width) // 2, upper + cell_height - cell.height))
        name = shorten(path.name, "", text_size, cell_width)
        place = (left + cell_width / 2, upper + cell_height + text_size // 3)
        draw.text(place, name, font=get_font(name, text_size), fill=GREY, anchor="ma")
    return sheet


def main():
    arguments = parse_arguments()
    output = arguments.output
    chosen = choose_images(arguments.input, arguments.number, output)
    annotations = [xml for xml in map(find_annotation, chosen) if xml]
    settings = {"columns": arguments.columns, "width": arguments.width, "title": arguments.title}
    state = fingerprint([*chosen, *annotations], **settings)
    if is_current(output, state):
        say(f"{output} is up to date ({len(chosen)} images)")
        return
    sheet = draw_sheet(read_all(chosen), arguments.columns, arguments.width, arguments.title)
    with write_whole(output) as fresh:
        sheet.save(fresh)
    mark_current(output, state)
    print(f"Wrote {output}: {len(chosen)} images, {sheet.width} x {sheet.height} pixels")


if __name__ == "__main__":
    run(main)
