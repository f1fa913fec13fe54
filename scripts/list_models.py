"""Lists the models of the TF2 Detection Zoo, which `make pretrained PRETRAINED=NAME` downloads, as a table.

Milliseconds and COCO mAP (percent) are those of the zoo's page; two numbers are of boxes and of keypoints or masks. The
input is HEIGHTxWIDTH in pixels. Batch and learning rate are what the model's config was made for; make config fits them
to yours. TFLite "if resized": with a fixed_shape_resizer in the config.

    python scripts/list_models.py --max-ms 50 --min-map 25 --tflite
"""

from tfod.config.zoo import MODELS, describe_tflite
from tfod.utils.console import InputError, format_table, make_parser, run, say

FAMILIES = list(dict.fromkeys(model.family for model in MODELS.values()))
SORTS = {  # what is not known comes last
    "name": lambda model: model.name,
    "family": lambda model: (model.family, model.ms or 0),
    "ms": lambda model: (model.ms is None, model.ms),
    "map": lambda model: -(model.map or 0),
    "megabytes": lambda model: (model.bytes is None, model.bytes or 0),
}
FIRST = {  # the models to try first, and why
    "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8": (
        "start here: small enough to train on a laptop's CPU, and it becomes a TFLite file for phones and boards"
    ),
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8": (
        "the same network with four times the pixels: where the objects are small in the photos"
    ),
    "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8": (
        "the tutorial's own: finds more than the two above, but wants a GPU to train on"
    ),
}
HEADER = ("name", "family", "input", "ms", "mAP", "MB", "TFLite", "batch", "learning rate", "fine-tune type")


def parse_arguments():
    parser = make_parser(__doc__)
    lower = {family.lower(): family for family in FAMILIES}
    parser.add_argument(
        "--family",
        type=lambda text: lower.get(text.lower(), text),
        choices=FAMILIES,
        action="append",
        help="only this family; may be given again",
    )
    parser.add_argument(
        "--max-ms", type=float, metavar="MS", help="only models that take this many milliseconds or fewer"
    )
    parser.add_argument("--min-map", type=float, metavar="MAP", help="only models with at least this mAP, in percent")
    parser.add_argument("--tflite", action="store_true", help="only models that can be TFLite files as they are")
    parser.add_argument("--sort", choices=SORTS, default="ms", help="what to sort by; mAP from the highest on")
    return parser.parse_args()


def choose_models(family=None, max_ms=None, min_map=None, tflite=False, sort="ms"):
    """The models of the catalogue that fit, sorted. What is not known of a model fits no limit."""
    chosen = [
        model
        for model in MODELS.values()
        if (not family or model.family in family)
        and (max_ms is None or (model.ms is not None and model.ms <= max_ms))
        and (min_map is None or (model.map is not None and model.map >= min_map))
        and (not tflite or describe_tflite(model) == "yes")
    ]
    return sorted(chosen, key=SORTS[sort])


def describe(model):
    """The texts of a model's line, as HEADER names them."""

    def show(value, form="{:g}"):
        return "unknown" if value in (None, "") else form.format(value)

    found = show(model.map, "{:.1f}")
    if model.second_map is not None:
        found = f"{found}/{model.second_map:.1f}"
    return (
        model.name,
        model.family,
        show(model.input, "{}"),
        show(model.ms),
        found,
        show(model.bytes and model.bytes / 1e6, "{:.0f}"),
        describe_tflite(model),
        show(model.batch),
        show(model.learning_rate),
        show(model.fine_tune_type, "{}"),
    )


def main():
    arguments = parse_arguments()
    models = choose_models(**vars(arguments))
    if not models:
        raise InputError("the zoo: has no such model; allow more milliseconds or a lower mAP, or another family")
    print(format_table(map(describe, models), HEADER, left=len(HEADER)))
    say(f"{len(models)} of the zoo's {len(MODELS)} models. Three to try first:")
    for name, reason in FIRST.items():
        say(f"  {name} ({MODELS[name].ms:g} ms, mAP {MODELS[name].map}): {reason}")
    say("Then: make train PRETRAINED=NAME")


if __name__ == "__main__":
    run(main)
