"""Names as cells of a CSV file, which a spreadsheet shows as they are.

A spreadsheet takes a cell that begins with = or + or - or @ for a formula, and runs it. A class name of that kind gets
an apostrophe before it, which a spreadsheet takes for "this is text", and `read_class` takes it off again; one that
begins with apostrophes and then such a sign gets one more, so that each comes back as it was. A file's name gets ./
before it, which every program understands.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the wide ones count in Japanese and Chinese Excel


def write_class(name):
    """The cell of a class name."""
    return f"'{name}" if _FORMULA.match(name) else name


def read_class(cell):
    """The class name that `write_class` made the cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_path(path):
    """The cell of a file's path, which names the same file."""
    return f"./{path}" if _FORMULA.match(str(path)) else str(path)
