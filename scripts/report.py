#!/usr/bin/env python3
"""Writes a page about an evaluated model: is it good, what costs most, which images to look at, and all the numbers.

It is one HTML file that opens from the disk, in light and dark, and loads nothing from the network. Run evaluate.py
(`make eval`) first; the photos must still be where they were.

    cd workspace/training_demo
    python ../../scripts/report.py --model_dir models/my_model
"""

from pathlib import Path

from tfod.utils.console import make_parser, run, say

MAKER = "report"  # of the output, as its stamp says
PAGE = "report/index.html"


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument(
        "--model_dir", type=Path, required=True, help="folder of the model: metrics.json and the others"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=f"page to write; {PAGE} in the model's folder"
    )
    parser.add_argument(
        "--check", type=Path, default=Path("annotations/check.json"), metavar="FILE", help="what make check found"
    )
    parser.add_argument("--worst", type=int, default=24, help="images with errors to show, the worst first")
    parser.add_argument("--best", type=int, default=12, help="images without errors to show")
    parser.add_argument("--crops", type=int, default=24, help="wrong boxes to show, and as many missed objects")
    arguments = parser.parse_args()
    for name in ("worst", "best", "crops"):
        if not 0 <= getattr(arguments, name) <= 200:
            parser.error(f"--{name} is {getattr(arguments, name)}; give 0 to 200")
    return arguments


def main():
    arguments = parse_arguments()
    from tfod.report import analysis, data, page
    from tfod.utils.environment import list_versions
    from tfod.utils.files import fingerprint, is_current, mark_current, refuse_foreign, write_text

    output = arguments.output or arguments.model_dir / PAGE
    facts = analysis.read_facts(arguments.model_dir)
    records = [path for paths in data.list_records(facts.config).values() for path in paths]
    writers = [*sorted(page.TEMPLATES.iterdir()), *sorted(Path(page.__file__).parent.glob("*.py"))]
    inputs = analysis.list_inputs(arguments.model_dir, facts.evaluated, [*records, arguments.check, *writers])
    numbers = {name: getattr(arguments, name) for name in ("worst", "best", "crops")}
    state = fingerprint(inputs, versions=list_versions(), **numbers)
    if is_current(output, state, MAKER):
        say(f"{output} is up to date: nothing has changed since it was written")
        return
    refuse_foreign(output, MAKER, "name another file with --output")
    contents = page.collect(facts, arguments.check, **numbers)
    for fault in contents["unread"]:
        say(f"warning: {fault}")
    write_text(output, page.render(contents), MAKER)
    mark_current(output, state, MAKER)
    print(contents["summary"]["headline"], *contents["explanation"], sep="\n")
    size, pictures = output.stat().st_size / 1e6, len(contents["pictures"])
    print(f"Wrote {output}: {size:.1f} MB, {pictures} images; open it in a browser")


if __name__ == "__main__":
    run(main)
