#!/usr/bin/env python3
"""Compares evaluated models: is one better, or can these test images not tell? And where do the models disagree?

Every metric has a 95 % interval from resampling the test images many times, with the same draws for all models. The
others are compared with the first model. The result is a page, index.html, and compare.json.

    cd workspace/training_demo
    python ../../scripts/compare.py my_model other_model
"""

import json
from pathlib import Path

from tfod.utils.console import make_parser, run, say

MAKER = "compare"  # of the output, as its stamp says


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a model's name in --models, or its folder")
    parser.add_argument("--models", dest="folder", type=Path, default=Path("models"), help="folder of the models")
    parser.add_argument(
        "--exports", type=Path, default=Path("exported_models"), help="folder of the exports, for speed and size"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("compare"), help="folder for the page")
    parser.add_argument("--resamples", type=int, default=1000, help="how many times the images are resampled")
    parser.add_argument("--seed", type=int, default=42, help="seed of the draws")
    parser.add_argument("--images", type=int, default=12, help="images to show, those where the models disagree most")
    arguments = parser.parse_args()
    if not 100 <= arguments.resamples <= 100_000:
        parser.error(f"--resamples is {arguments.resamples}; give 100 to 100000")
    if arguments.seed < 0:
        parser.error(f"--seed is {arguments.seed}; give 0 or more")
    if not 0 <= arguments.images <= 100:
        parser.error(f"--images is {arguments.images}; give 0 to 100")
    folders = [Path(name) if "/" in name else arguments.folder / name for name in arguments.models if name]
    if len(folders) < 2:
        parser.error(f'{len(folders)} models are named; name two or more: make compare MODELS="my_model other_model"')
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            parser.error(f"{folder} is named twice; name different models")
    return arguments, folders


def main():
    arguments, folders = parse_arguments()
    from tfod.report import analysis, comparison, comparison_page
    from tfod.report.comparison_page import format_comparison
    from tfod.report.page import TEMPLATES
    from tfod.utils.files import fingerprint, is_current, mark_current, refuse_foreign, write_text, write_whole

    models = comparison.read_evaluated_models(folders)
    for warning in comparison.list_warnings(models):
        say(f"warning: {warning}")
    inputs = [path for one in models for path in analysis.list_inputs(one.folder, one.evaluated)]
    inputs += [path for one in models for path in comparison.list_cost_files(one, arguments.exports)]
    numbers = {name: getattr(arguments, name) for name in ("resamples", "seed", "images")}
    state = fingerprint([*inputs, *sorted(TEMPLATES.iterdir())], **numbers)
    if is_current(arguments.output, state, MAKER):
        say(f"{arguments.output} is up to date")
        print(format_comparison(json.loads((arguments.output / "compare.json").read_text(encoding="utf-8"))))
        return
    refuse_foreign(arguments.output, MAKER, "name another folder with --output")
    say(f"drawing {len(models[0].evaluated.images)} images {arguments.resamples:,} times, seed {arguments.seed}")
    found = comparison.compare(models, arguments.resamples, arguments.seed)
    for one, facts in zip(found["models"], models, strict=True):
        one["costs"] = comparison.read_costs(facts, arguments.exports)
    page, faults = comparison_page.render(models, found, arguments.images)
    for fault in faults:
        say(f"warning: {fault}")
    with write_whole(arguments.output, MAKER) as fresh:
        fresh.mkdir()
        write_text(fresh / "compare.json", json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        write_text(fresh / "index.html", page)
    mark_current(arguments.output, state, MAKER)
    print(format_comparison(found))
    print(f"Wrote {arguments.output}/index.html; open it in a browser")


if __name__ == "__main__":
    run(main)
