#!/usr/bin/env python3
"""Makes a web page of an exported detector, which detects in the browser: camera, photos, videos.

Any static web host can serve the folder. It holds one page, the TFLite file and what runs it. The page asks no other
host for anything, and pictures stay on the device. `make tflite` comes first; `make web-serve` shows the page.

    cd workspace/training_demo
    python ../../scripts/export_web.py --export exported_models/my_model
"""

from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, make_parser, run, say

MAKER = "export_web"  # of the output, as its stamp says
ROOT = Path(__file__).resolve().parents[1]
FORMATS = ["int8", "float16", "float32", "dynamic"]
MOST_BYTES = 20e6  # of the folder, which a phone loads once


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--export", type=Path, required=True, metavar="FOLDER", help="exported_models/NAME")
    parser.add_argument("--format", choices=FORMATS, default="int8", help="which of the TFLite files the page runs")
    parser.add_argument("--title", help="the page's title; the export's name")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="folder to write; web in the export's")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-web", help="environment of what the page runs on")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    output = arguments.output or arguments.export / "web"
    model = arguments.export / "tflite" / f"model_{arguments.format}.tflite"
    title = arguments.title or arguments.export.resolve().name
    if not model.is_file():
        raise InputError(f"{model}: is not there; `make tflite` makes it")
    from tfod.export import web

    packages = arguments.venv / "node_modules"
    made_from = files.fingerprint([model, *web.list_sources(packages), Path(web.__file__)], title=title)
    if files.is_current(output, made_from, MAKER):
        say(f"{output} is up to date")
        return
    files.refuse_foreign(output, MAKER, "name another folder with --output")
    with files.write_whole(output, MAKER) as fresh:
        settings = web.write_page(fresh, model, title, packages)
    files.mark_current(output, made_from, MAKER)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        say(f"warning: {output}: is larger than {MOST_BYTES / 1e6:.0f} MB; --format int8 makes it smaller")
    names = ", ".join(one["name"] for one in settings["classes"])
    print(f"Wrote {output}: {size / 1e6:.1f} MB with {model.name}, detects {names}")
    print("make web-serve shows it here; for phones, copy the folder to any static web host with https")


if __name__ == "__main__":
    run(main)
