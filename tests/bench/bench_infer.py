"""How fast photos are annotated, beside the tutorial's way; one table (`make bench-infer`).

    python tests/bench/bench_infer.py -m exported_models/my_model/saved_model -l annotations/label_map.pbtxt \\
        -i images --tflite exported_models/my_model/tflite/model_float32.tflite

The tutorial's way is written again here: one image a call, the OD API's own drawing, matplotlib's imsave, one thread,
and a figure an image that stays open. Photos are hard links of the given ones under other names. Each side is a
process, measured from its start; rounds alternate, figures are medians.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tfod.data.images import list_images
from tfod.utils.console import InputError, make_parser, run, say

SCRIPT = Path(__file__).parents[2] / "scripts" / "inference_main_v2.py"
WANTED = {"SavedModel": 2.2, "TFLite": 2.8}  # times the tutorial's images/s
WANTED_FIRST, WANTED_MEMORY = 0.6, 1.1


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("-m", "--model", type=Path, required=True, help="saved_model folder")
    parser.add_argument("-l", "--labels", type=Path, required=True, help="label map")
    parser.add_argument("-i", "--images", type=Path, required=True, help="folder of photos to make links of")
    parser.add_argument("--tflite", type=Path, help="TFLite file of the same model")
    parser.add_argument("--photos", type=int, default=1000, help="number of photos")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all sides")
    parser.add_argument("--memory", type=int, nargs=2, default=[500, 5000], help="numbers of photos for the memory")
    parser.add_argument("--way", help="folder for the results: runs the tutorial's way, once, instead of all this")
    return parser.parse_args()


def annotate_as_the_tutorial(model_path, labels, images, output):
    """Annotates the photos of a folder, one by one, in this process."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import matplotlib
    import numpy as np
    import tensorflow as tf
    from object_detection.utils import label_map_util, visualization_utils
    from PIL import Image

    matplotlib.use("Agg")
    from matplotlib import pyplot

    model = tf.saved_model.load(str(model_path))
    categories = label_map_util.create_category_index_from_labelmap(str(labels), use_display_name=True)
    Path(output).mkdir(parents=True)
    for path in list_images(images):
        pixels = np.array(Image.open(path).convert("RGB"))
        found = model(tf.convert_to_tensor(pixels)[tf.newaxis])
        count = int(found["num_detections"][0])
        boxes, classes, scores = (found[f"detection_{key}"][0].numpy() for key in ("boxes", "classes", "scores"))
        drawn = visualization_utils.visualize_boxes_and_labels_on_image_array(
            pixels.copy(),
            boxes[:count],
            classes[:count].astype(int),
            scores[:count],
            categories,
            use_normalized_coordinates=True,
            max_boxes_to_draw=100,
            min_score_thresh=0.5,
        )
        pyplot.figure()
        pyplot.imsave(Path(output) / path.name, drawn)


def link_photos(folder, output, number):
    """Makes `number` hard links (or copies, across disks) of the photos of a folder."""
    photos = list_images(folder)
    if not photos:
        raise InputError(f"{folder}: holds no images; give the folder of the raccoon photos")
    output.mkdir()
    for i in range(number):
        path = photos[i % len(photos)]
        link = output / f"{path.stem}_{i // len(photos):03d}{path.suffix}"
        try:
            link.hardlink_to(path)
        except OSError:
            shutil.copyfile(path, link)


def measure(command, output, number):
    """(seconds of the whole process, seconds to the first annotated image, peak memory in MB) of a command."""
    shutil.rmtree(output, ignore_errors=True)
    said = output.parent / "said.txt"
    began, first = time.perf_counter(), None
    with said.open("w") as stream:
        process = subprocess.Popen(list(map(str, command)), stdout=stream, stderr=stream)
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            if first is None and output.is_dir() and any(path.suffix == ".jpg" for path in output.iterdir()):
                first = time.perf_counter() - began
            time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode or len(list_images(output)) != number:
        raise InputError(f"{command[1]}: ended with {process.returncode}: {said.read_text()[-800:]}")
    return seconds, first or seconds, usage.ru_maxrss / 1024


def main():
    arguments = parse_arguments()
    model, labels = arguments.model.resolve(), arguments.labels.resolve()
    if arguments.way:
        annotate_as_the_tutorial(model, labels, arguments.images, arguments.way)
        return 0
    if arguments.tflite and not arguments.tflite.is_file():
        raise InputError(f"{arguments.tflite}: is not there; `make tflite` makes it, or omit --tflite")
    misses = []
    with tempfile.TemporaryDirectory(prefix="bench_infer.") as room:
        output = Path(room) / "result"

        def make_commands(photos):
            common = ["-l", labels, "-i", photos]
            ways = {
                "tutorial": [sys.executable, __file__, "-m", model, *common, "--way", output],
                "SavedModel": [sys.executable, SCRIPT, "-m", model, *common, "-o", output],
            }
            if arguments.tflite:
                ways["TFLite"] = [sys.executable, SCRIPT, "-m", arguments.tflite.resolve(), *common, "-o", output]
            return ways

        photos = Path(room) / "photos"
        link_photos(arguments.images, photos, arguments.photos)
        ways = make_commands(photos)
        rounds = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, command in ways.items():
                rounds[way].append(measure(command, output, arguments.photos))
                say(f"{way}: {rounds[way][-1][0]:.1f} s, first image after {rounds[way][-1][1]:.1f} s")
        print(f"{arguments.photos} photos, {arguments.rounds} rounds; all from the start of the process")
        print(f"{'':<12}{'seconds':>10}{'images/s':>10}{'times':>8}{'first image':>13}{'times':>8}{'MB':>8}")
        base = [statistics.median(column) for column in zip(*rounds["tutorial"], strict=True)]
        for way, runs in rounds.items():
            seconds, first, memory = (statistics.median(column) for column in zip(*runs, strict=True))
            faster, sooner = base[0] / seconds, first / base[1]
            rate = arguments.photos / seconds
            print(f"{way:<12}{seconds:>10.1f}{rate:>10.1f}{faster:>8.2f}{first:>13.2f}{sooner:>8.2f}{memory:>8.0f}")
            if way != "tutorial":
                misses += [f"{way}: {faster:.2f} times the images/s, wanted {WANTED[way]}"] * (faster < WANTED[way])
                misses += [f"{way}: first image {sooner:.2f}, wanted {WANTED_FIRST}"] * (sooner > WANTED_FIRST)
        if arguments.memory[0]:
            peaks = []
            for number in arguments.memory:
                photos = Path(room) / f"photos{number}"
                link_photos(arguments.images, photos, number)
                peaks.append(measure(make_commands(photos)["SavedModel"], output, number)[2])
            grown = peaks[1] / peaks[0]
            few, many = arguments.memory
            print(f"memory: {peaks[0]:.0f} MB at {few} photos, {peaks[1]:.0f} MB at {many}: {grown:.3f} times")
            misses += [f"memory: {grown:.3f} times, wanted {WANTED_MEMORY}"] * (grown > WANTED_MEMORY)
    for miss in misses:
        print(f"missed: {miss}")
    return int(bool(misses))


if __name__ == "__main__":
    run(main)
