"""The report of a data set's faults: as text for a person, as JSON for programs."""

import collections
import json

from tfod.utils.console import Fault, make_printable
from tfod.utils.files import write_text
from tfod.utils.reading import parse_json, read_text

SHOWN = 5  # files of one kind, unless all are asked for
KINDS = {
    "xml-not-xml": "files that are no XML",
    "xml-not-voc": "XML files that are no labelImg annotation",
    "xml-entity": "XML files with entities",
    "file-not-read": "files that can't be read",
    "name-not-utf8": "file names that are not in UTF-8",
    "image-not-read": "files that are no image, or of an unknown kind",
    "image-damaged": "damaged images",
    "image-too-large": "images of too many pixels",
    "xml-without-image": "XML files without an image",
    "image-without-xml": "images without an XML file",
    "xml-of-two-images": "XML files of two images",
    "image-with-two-xml": "images with two XML files",
    "filename-leads-out": "<filename> that leads out of the folder",
    "size-differs": "<size> that is not the image's",
    "size-not-number": "<size> that is no number",
    "box-no-name": "boxes without a class",
    "class-hidden": "class names with characters that can't be seen",
    "box-no-bndbox": "objects without a box",
    "box-not-number": "coordinates that are no numbers",
    "box-flag": "flags other than 0 and 1",
    "box-swapped": "boxes with swapped corners",
    "box-no-area": "boxes without area",
    "box-outside": "boxes that reach out of the image",
    "class-unknown": "classes that the label map lacks",
    "label-map": "faults of the label map",
    "photo-on-two-sides": "photos on two sides of the split",
    "near-duplicate": "nearly the same photo on two sides of the split",
    "not-in-split": "files that are not in the split",
    "not-a-file": "names of images that are no files",
    "class-spelling": "classes that are perhaps one",
    "class-few-boxes": "classes with few boxes",
    "class-on-one-side": "classes on one side of the split only",
    "exif-turned": "photos that the camera turned",
    "filename-differs": "<filename> of another image",
    "path-differs": "<path> of another image",
    "box-overhangs": "boxes that hang over by up to a pixel",
    "box-duplicate": "boxes that are there twice",
    "box-small": "boxes that the model sees as tiny",
    "boxes-many": "photos with very many boxes",
    "negatives": "photos without boxes",
    "difficult": "boxes marked difficult",
    "truncated": "boxes marked truncated",
}


def make_report(looks, faults, counts):
    """The report as what json can write. `counts` is a dict class -> dict side -> boxes."""
    order = list(KINDS)
    faults = sorted(faults, key=lambda fault: (fault.severity, order.index(fault.kind), fault))
    return {
        "photos": len(looks),
        "boxes": sum(sum(sides.values()) for sides in counts.values()),
        "classes": {name: dict(sides) for name, sides in counts.items()},
        "errors": sum(fault.severity == "error" for fault in faults),
        "warnings": sum(fault.severity == "warning" for fault in faults),
        "faults": [
            {
                "kind": fault.kind,
                "severity": fault.severity,
                "file": make_printable(fault.file),
                "text": fault.what,
            }
            for fault in faults
        ],
    }


def write_report(path, report, maker):
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n", maker)


def read_report(path):
    return parse_json(read_text(path))


def print_report(report, json_path=None, show_all=False):
    """Errors before warnings, grouped by kind; then one line that sums up."""
    groups = collections.defaultdict(list)
    for entry in report["faults"]:
        fault = Fault(entry["kind"], entry["file"], entry["text"], entry["severity"])
        groups[entry["severity"], entry["kind"]].append(fault)
    for (severity, kind), faults in groups.items():
        print(f"{severity} {kind} ({KINDS[kind]}): {len(faults)}")
        shown = faults if show_all else faults[:SHOWN]
        for fault in shown:
            print(f"  {fault}")
        if rest := len(faults) - len(shown):
            print(f"  and {rest} more: --all shows them{f', {json_path} has them' if json_path else ''}")
    print_summary(report)


def print_summary(report):
    classes = ", ".join(f"{name} {sum(sides.values())}" for name, sides in report["classes"].items())
    found = ", ".join(_count(report[what], what.removesuffix("s")) for what in ("photos", "boxes"))
    wrong = ", ".join(_count(report[what], what.removesuffix("s")) for what in ("errors", "warnings"))
    print(f"{found} ({classes}); {wrong}" if classes else f"{found}; {wrong}")


def _count(number, word):
    plural = {"boxe": ("box", "boxes")}.get(word, (word, f"{word}s"))
    return f"{number} {plural[number != 1]}"
