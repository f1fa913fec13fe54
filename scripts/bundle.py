#!/usr/bin/env python3
"""Packs a TFLite file, the program that runs it without TensorFlow, and some test photos as one archive.

    cd workspace/training_demo
    python ../../scripts/bundle.py --export exported_models/my_model

EXPORT/bundle.tar.gz unpacks to detector/, with detect.py, requirements.txt, labels.txt, the model and photos/. It runs
on 64-bit Linux, x86-64 or ARM, with Python 3.10 to 3.14.
"""

from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, make_parser, run, say

MAKER = "bundle"  # of the output, as its stamp says
FORMATS = ["float32", "float16", "dynamic", "int8"]


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--export", required=True, help="folder of the export, with TFLite files in tflite/")
    parser.add_argument("--format", choices=FORMATS, default="int8", help="which of the TFLite files")
    parser.add_argument("--photos", type=int, default=20, help="number of test photos to pack")
    arguments = parser.parse_args()
    if arguments.photos < 1:
        parser.error(f"--photos is {arguments.photos}; give 1 or more")
    return arguments


def main():
    arguments = parse_arguments()
    export = Path(arguments.export)
    model, output = export / "tflite" / f"model_{arguments.format}.tflite", export / "bundle.tar.gz"
    if not model.is_file():
        raise InputError(f"{model}: is not there; `make tflite` makes it")
    files.refuse_foreign(output, MAKER, "rename it")
    from tfod.export import bundle

    source = bundle.find_test_records(export)
    runner = [bundle.RUNNER / name for name in bundle.RUNNER_FILES]
    state = files.fingerprint([model, *source.files, *runner], photos=arguments.photos)
    if files.is_current(output, state, MAKER):
        say(f"{output} is up to date")
        return
    with files.write_whole(output, MAKER) as fresh, fresh.open("wb") as stream:
        bundle.pack(stream, [model], bundle.read_photos(source, arguments.photos))
    files.mark_current(output, state, MAKER)
    count = min(arguments.photos, source.count)
    size = output.stat().st_size / 1e6
    print(f"{output}: {size:.1f} MB, with {model.name} and {count} photos; docs/deploy.md says how to run it")


if __name__ == "__main__":
    run(main)
