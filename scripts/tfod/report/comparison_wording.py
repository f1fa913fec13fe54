"""A comparison of models in words, and as a table for a terminal."""


def describe_difference(report, number, metric="mAP"):
    """A sentence about model `number` (1 or more) against the first."""
    first, other = report["models"][0]["name"], report["models"][number]["name"]
    one = report["models"][number]["differences"][metric]
    where = f"on these {report['images']} images"
    if one["verdict"] == "none":
        return f"{other} and {first}: {metric} has nothing to measure {where}"
    if one["verdict"] == "same":
        return f"{other} and {first} have the same {metric} {where}"
    figures = f"{metric} {format_interval(one, signed=True)}"
    if one["verdict"] == "few":
        few = report["images_with_objects"]
        return f"{other} and {first} can't be told apart on {few} images with objects, they are too few: {figures}"
    if one["verdict"] == "open":
        return f"{other} and {first} can't be told apart {where}: {figures}"
    return f"{other} is {one['verdict']} than {first} {where}: {figures}"


def format_interval(one, signed=False, digits=3):
    """A value with its interval: 0.531 [0.442, 0.619]."""
    if one["value"] is None:
        return "n/a"
    form = f"{'+' if signed else ''}.{digits}f"
    if one["low"] is None:
        return f"{one['value']:{form}}"
    return f"{one['value']:{form}} [{one['low']:{form}}, {one['high']:{form}}]"


def format_table(report):
    """The comparison as text, for a terminal."""
    shown = ("mAP", "AP50", "recall", "precision")
    rows = [["model", "step", *shown, "s/image", "export MB"]]
    for one in report["models"]:
        step = "" if one["step"] is None else f"{one['step']}"
        costs = one["costs"]
        size = next((row["megabytes"] for row in costs["exported"]), None)
        speed = "" if costs["evaluation"] is None else f"{costs['evaluation']:.3f}"
        figures = [format_interval(one["metrics"][name]) for name in shown]
        rows.append([one["name"], step, *figures, speed, "" if size is None else f"{size:.1f}"])
    lines = [
        f"{report['images']} images, {report['objects']} objects; [95 % intervals] of {report['resamples']:,} resamples"
        f" of the images, seed {report['seed']}",
        *_align(rows),
        "",
        f"against {report['models'][0]['name']}",
    ]
    rows = [["", *shown]]
    for one in report["models"][1:]:
        rows.append([one["name"], *(_format_difference(one["differences"][name]) for name in shown)])
    lines += _align(rows)
    lines += ["", *(describe_difference(report, number) for number in range(1, len(report["models"])))]
    return "\n".join(lines)


def _format_difference(one):
    return "the same" if one["verdict"] == "same" else format_interval(one, signed=True)


def _align(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
