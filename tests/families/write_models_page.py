"""Writes the table in docs/models.md again, from the catalogue of the zoo and from what was run on this machine.

python tests/families/run_families.py --results docs/models.json
python tests/families/run_families.py --time --results docs/models.json
python tests/families/write_models_page.py
"""

import json
from pathlib import Path

from family_stages import SCRIPTS

from tfod.config import pipeline
from tfod.config.zoo import MODELS
from tfod.model.checkpoints import FINE_TUNE_TYPES
from tfod.utils import files
from tfod.utils.console import InputError, make_parser, run, say

DOCS = SCRIPTS.parent / "docs"
BEGIN = "<!-- made by tests/families/write_models_page.py -->"
END = "<!-- end of what it makes -->"
# Base config -> the zoo's model of the same network.
ZOO = {
    "ssd_mobilenet_v2": "ssd_mobilenet_v2_320x320_coco17_tpu-8",
    "ssd_mobilenet_v2_fpnlite_320": "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8",
    "ssd_resnet50_v1_fpn": "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8",
    "efficientdet_d0": "efficientdet_d0_coco17_tpu-32",
    "centernet_mobilenet_v2_fpn": "centernet_mobilenetv2fpn_512x512_coco17_od",
    "faster_rcnn_resnet50_v1": "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8",
}
STAGES = {
    "train": "trains",
    "evaluate": "evaluates",
    "export": "SavedModel",
    "tflite": "TFLite",
    "onnx": "ONNX",
    **{kind: f"fine-tunes: {kind}" for kind in FINE_TUNE_TYPES},
}


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--results", default=DOCS / "models.json", type=Path, help="what run_families.py noted")
    parser.add_argument("--page", default=DOCS / "models.md", type=Path, help="page whose table to write")
    return parser.parse_args()


def make_table(results):
    """The table and the reasons below it, as Markdown; `results` is what run_families.py wrote.

    Raises InputError if a family's runs are not all there.
    """
    faults = [
        f"{name}: has no {what} in the results; run run_families.py{option} --results"
        for name in ZOO
        for what, option in (("stages", ""), ("step", " --time"))
        if what not in results.get(name, {})
    ]
    if faults:
        raise InputError(*faults)
    header = ["family: `scripts/configs/...`", "zoo: ms, mAP", "input", "s a step", *STAGES.values()]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    reasons = []
    for name, zoo_name in ZOO.items():
        model, result = MODELS[zoo_name], results[name]
        config = pipeline.read_config(SCRIPTS / "configs" / f"{name}.config")
        cells = [f"{model.family}: `{name}`", f"{model.ms:g}, {model.map:g}", describe_input(config)]
        cells.append(f"{result['step']['seconds']:.2g}")
        for stage, title in STAGES.items():
            outcome = result["stages"][stage]
            if outcome != "yes":
                reasons.append(f"{len(reasons) + 1}. {model.family}, {title}: {outcome}.")
            cells.append("yes" if outcome == "yes" else f"no ({len(reasons)})")
        lines.append("| " + " | ".join(cells) + " |")
    steps = [results[name]["step"] for name in ZOO]
    (batch,), (cores,) = ({step[key] for step in steps} for key in ("batch_size", "cores"))
    lines += ["", f"A step is of {batch} images of the config's own input size, on {cores} CPU cores, in seconds.", ""]
    return "\n".join([*lines, *reasons])


def describe_input(config):
    resizer = pipeline.get_model(config).image_resizer
    if resizer.HasField("fixed_shape_resizer"):
        size = resizer.fixed_shape_resizer
        return f"{size.width} x {size.height}"
    size = resizer.keep_aspect_ratio_resizer
    return f"{size.max_dimension} x {size.max_dimension}, padded"


def replace_table(text, table, path):
    """The page's text with `table` between the two marks. Raises InputError where they are not."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: has not both marks, {BEGIN} and {END}; put them where the table belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main():
    arguments = parse_arguments()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    text = arguments.page.read_text(encoding="utf-8")
    fresh = replace_table(text, make_table(results), arguments.page)
    if fresh == text:
        say(f"{arguments.page} is up to date")
        return
    files.write_text(arguments.page, fresh)
    print(f"Wrote {arguments.page}")


if __name__ == "__main__":
    run(main)
