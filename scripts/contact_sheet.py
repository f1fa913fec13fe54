"""Makes one picture of a folder's images, to see them all at once.

Boxes from labelImg's XML files beside the images are drawn; images that already show boxes, as inference_main_v2.py
makes them, need no XML. Of more than --number images, some are picked evenly.

    python scripts/contact_sheet.py -i inference_result -o inference_result.png
"""

from pathlib import Path

from tfod.data.images import list_images, read_image
from tfod.data.voc import read_annotation
from tfod.utils.console import InputError, make_parser, progress, run, say
from tfod.utils.drawing import draw_sheet
from tfod.utils.files import fingerprint, is_current, mark_current, refuse_foreign, write_whole

MAKER = "contact_sheet"  # of the output, as its stamp says
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
        raise InputError(f"{folder}: holds no images; name the folder that does")
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


def main():
    arguments = parse_arguments()
    output = arguments.output
    chosen = choose_images(arguments.input, arguments.number, output)
    annotations = [xml for xml in map(find_annotation, chosen) if xml]
    settings = {"columns": arguments.columns, "width": arguments.width, "title": arguments.title}
    state = fingerprint([*chosen, *annotations], **settings)
    if is_current(output, state, MAKER):
        say(f"{output} is up to date ({len(chosen)} images)")
        return
    refuse_foreign(output, MAKER, "name another file with -o")
    sheet = draw_sheet(read_all(chosen), arguments.columns, arguments.width, arguments.title)
    with write_whole(output, MAKER) as fresh:
        sheet.save(fresh)
    mark_current(output, state, MAKER)
    print(f"Wrote {output}: {len(chosen)} images, {sheet.width} x {sheet.height} pixels")


if __name__ == "__main__":
    run(main)
