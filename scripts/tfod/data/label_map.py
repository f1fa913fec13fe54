"""Label maps, the .pbtxt files that give every class of objects its id."""

import difflib
import re
from pathlib import Path

from tfod.utils.console import Fault, InputError, find_hidden
from tfod.utils.files import read_text, write_text

MOST_BYTES = 10**7  # of the file: 100,000 classes
MOST_GAPS = 10_000  # ids without a class; COCO's 80 classes leave out 10 of 90


class LabelMap(dict):
    """A dict class name -> id. Where an item has two names, `others` is a dict other name -> name, and the other one is
    found, too: annotations may have either."""

    def __init__(self, names_to_ids, others=()):
        super().__init__(names_to_ids)
        self.others = dict(others)

    def __missing__(self, name):
        return super().__getitem__(self.others[name])

    def __contains__(self, name):
        return super().__contains__(name) or name in self.others


def read_label_map(path):
    """The classes of a label map as a `LabelMap`, name -> id (from 1 up), in the order of the file.

    A class's name is the item's `name`, as upstream's get_label_map_dict has it; but `display_name` where there is no
    other, or where `name` is an id of the Knowledge Graph, as /m/01yrx in COCO's and Open Images' label maps. An item
    that is the background, with the id 0, is left out. Raises InputError with every fault of the file.
    """
    return _read(path)[0]


def read_names(path):
    """The classes of a label map as a dict id -> the name to show: `display_name` where there is one."""
    return _read(path)[1]


def _read(path):
    """(the LabelMap, the dict id -> name to show) of a label map."""
    import tfod.compat  # noqa: F401  (lets object_detection be imported)

    from google.protobuf import text_format
    from object_detection.protos import string_int_label_map_pb2

    path = Path(path)
    if not path.exists():
        raise InputError(Fault("label-map", path, "there is no such label map; make one with generate_label_map.py"))
    text = read_text(path, MOST_BYTES, kind="label-map")
    try:
        items = text_format.Parse(text, string_int_label_map_pb2.StringIntLabelMap()).item
    except text_format.ParseError as error:
        place = f"line {error.GetLine()}: " if error.GetLine() else ""
        what = re.sub(r"^\d+:\d+ : ", "", str(error))
        what = f"{place}{what}; an item looks like: item {{ id: 1 name: 'cat' }}"
        raise InputError(Fault("label-map", path, what)) from None
    if not items:
        what = "has no item; make it again with generate_label_map.py --force"
        raise InputError(Fault("label-map", path, what))

    names_to_ids, others, shown, faults = {}, {}, {}, []
    for item, line in zip(items, _find_lines(text, len(items)), strict=True):
        names = [name for name in (item.name, item.display_name) if name]
        if item.id == 0 and "background" in names:
            continue
        if len(names) == 2 and names[0].startswith(("/m/", "/g/", "/t/")):
            names.reverse()
        name, *other = names or [""]
        if not name:
            faults.append(f"{line}the item has no name; give it one")
        elif hidden := next((one for one in names if find_hidden(one)), None):
            faults.append(f"{line}the name {hidden!r} holds a character that can't be seen; type it again")
        elif name in names_to_ids:
            faults.append(f"{line}the name {name!r} is there twice; remove one of the items")
        if item.id < 1:
            faults.append(f"{line}{name!r} has the id {item.id}; ids begin at 1, since 0 is the background")
        elif item.id > len(items) + MOST_GAPS:
            what = f"{name!r} has the id {item.id}, and the model gets an output for each id up to it"
            faults.append(f"{line}{what}; number the {len(items)} classes from 1 up")
        elif item.id in shown:
            faults.append(f"{line}the id {item.id} is there twice; give every class its own")
        names_to_ids.setdefault(name, item.id)
        others |= {one: name for one in other if one != name}
        shown[item.id] = item.display_name or item.name
    if not faults and not names_to_ids:
        faults.append("has no item but the background; make it again with generate_label_map.py --force")
    if faults:
        raise InputError(*(Fault("label-map", path, what) for what in faults))
    # a text that is one item's name and another one's display_name is the first one's
    return LabelMap(names_to_ids, {one: name for one, name in others.items() if one not in names_to_ids}), shown


def _find_lines(text, number):
    """For each of `number` items the text `line N: `; empty texts where the file writes its items unlike others."""
    # Strings and comments are matched first, so that an "item" within them does not count.
    tokens = re.finditer(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|#[^\n]*|\bitem\b""", text)
    lines = [f"line {text.count(chr(10), 0, token.start()) + 1}: " for token in tokens if token[0] == "item"]
    return lines if len(lines) == number else [""] * number


def number_classes(names):
    """The label map of class names that have none yet: a dict name -> id, from 1 up in alphabetical order."""
    return {name: number for number, name in enumerate(sorted(set(names), key=lambda n: (n.casefold(), n)), 1)}


def write_label_map(path, names_to_ids):
    """Writes a label map whole, in the tutorial's syntax and in the order of the dict name -> id."""
    items = [f"item {{\n    id: {number}\n    name: '{_escape(name)}'\n}}\n" for name, number in names_to_ids.items()]
    write_text(path, "\n".join(items))


def _escape(name):
    """`name` as it stands between single quotes; letters of every script stay readable."""
    name = name.replace("\\", "\\\\").replace("'", "\\'")
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match[0]):03o}", name)


def find_near_name(name, names):
    """(the one of `names` that `name` was perhaps meant to be, or None; whether that is sure enough to correct it).

    It is sure if exactly one of them differs in nothing but case and white space, or, of four letters or more, in one
    letter that is another, missing or too many.
    """

    def fold(text):
        return "".join(text.split()).casefold()

    names = [other for other in names if other != name]
    same = [other for other in names if fold(other) == fold(name)]
    by_a_letter = [other for other in names if len(fold(name)) >= 4 and _differ_by_a_letter(fold(other), fold(name))]
    for near in (same, by_a_letter):
        if len(near) == 1:
            return near[0], True
    known = {fold(other): other for other in names}
    near = difflib.get_close_matches(fold(name), known, 1)
    return (known[near[0]] if near else None), False


def _differ_by_a_letter(one, other):
    i = 0
    while i < min(len(one), len(other)) and one[i] == other[i]:
        i += 1
    ends = one[i:], other[i:]
    return one != other and (ends[0][1:] == ends[1][1:] or ends[0][1:] == ends[1] or ends[0] == ends[1][1:])


def find_unknown_names(path, names_to_ids, places):
    """Faults for the class names that the label map `path` lacks: a list of texts.

    `places` is a dict: name of a class -> list of the XML paths of its boxes.
    """
    faults = []
    for name in sorted(name for name in places if name not in names_to_ids):
        boxes = len(places[name])
        near, _ = find_near_name(name, names_to_ids)
        hint = f"did you mean {near!r}? " if near else ""
        what = f"lacks the class {name!r} of {boxes} {'box' if boxes == 1 else 'boxes'}, first in {places[name][0]}"
        what += f"; {hint}correct the XML, or add the class to the label map"
        faults.append(Fault("class-unknown", path, what))
    return faults
