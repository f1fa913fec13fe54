"""Writes the table in docs/models.md and docs/models.zh-CN.md, from the catalogue of the zoo and what was run here.

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
from tfod.utils.console import InputError, format_table, make_parser, run, say

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
STAGES = ("train", "evaluate", "export", "tflite", "onnx", *FINE_TUNE_TYPES)
# Page -> the words of its table.
WORDS = {
    "models.md": {
        "head": ["family: `scripts/configs/...`", "zoo: ms, mAP", "input", "s a step"],
        "stages": ["trains", "evaluates", "SavedModel", "TFLite", "ONNX"],
        "fine-tunes": "fine-tunes: {}",
        "padded": "{}, padded",
        "yes": "yes",
        "no": "no ({})",
        "reason": "{}. {}, {}: {}.",
        "step": "A step is of {} images of the config's own input size, on {} CPU cores, in seconds.",
    },
    "models.zh-CN.md": {
        "head": ["类别：`scripts/configs/...`", "Zoo：毫秒，mAP", "输入", "每步秒数"],
        "stages": ["训练", "评估", "SavedModel", "TFLite", "ONNX"],
        "fine-tunes": "微调：{}",
        "padded": "{}，补边",
        "yes": "可以",
        "no": "不行（{}）",
        "reason": "{}. {}，{}：“{}”。",
        "step": "每步秒数的测量条件：{} 张图片，输入尺寸为配置自身的大小，{} 个 CPU 核心。",
    },
}


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--results", default=DOCS / "models.json", type=Path, help="what run_families.py noted")
    parser.add_argument("--docs", default=DOCS, type=Path, help="folder of the pages")
    return parser.parse_args()


def make_table(results, words):
    """The table and the reasons below it, as Markdown; `results` are run_families.py's, `words` a page's of WORDS.

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
    titles = [*words["stages"], *map(words["fine-tunes"].format, FINE_TUNE_TYPES)]
    header = [*words["head"], *titles]
    rows, reasons = [], []
    for name, zoo_name in ZOO.items():
        model, result = MODELS[zoo_name], results[name]
        config = pipeline.read_config(SCRIPTS / "configs" / f"{name}.config")
        cells = [f"{model.family}: `{name}`", f"{model.ms:g}, {model.map:g}", describe_input(config, words)]
        cells.append(f"{result['step']['seconds']:.2g}")
        for stage, title in zip(STAGES, titles, strict=True):
            outcome = result["stages"][stage]
            if outcome != "yes":
                reasons.append(words["reason"].format(len(reasons) + 1, model.family, title, outcome))
            cells.append(words["yes"] if outcome == "yes" else words["no"].format(len(reasons)))
        rows.append(cells)
    steps = [results[name]["step"] for name in ZOO]
    (batch,), (cores,) = ({step[key] for step in steps} for key in ("batch_size", "cores"))
    table = format_table(rows, header, left=len(header), markdown=True)
    lines = [table, "", words["step"].format(batch, cores), ""]
    return "\n".join([*lines, *reasons])


def describe_input(config, words):
    resizer = pipeline.get_model(config).image_resizer
    if resizer.HasField("fixed_shape_resizer"):
        size = resizer.fixed_shape_resizer
        return f"{size.width} x {size.height}"
    size = resizer.keep_aspect_ratio_resizer
    return words["padded"].format(f"{size.max_dimension} x {size.max_dimension}")


def replace_table(text, table, path):
    """The page's text with `table` between the two marks. Raises InputError if a mark is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path}: has not both marks, {BEGIN} and {END}; put them where the table belongs")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main():
    arguments = parse_arguments()
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    for name, words in WORDS.items():
        path = arguments.docs / name
        text = path.read_text(encoding="utf-8")
        fresh = replace_table(text, make_table(results, words), path)
        if fresh == text:
            say(f"{path} is up to date")
            continue
        files.write_text(path, fresh)
        print(f"Wrote {path}")


if __name__ == "__main__":
    run(main)
