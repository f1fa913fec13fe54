"""Ground module: names as cells of a CSV file, which a spreadsheet shows as they are.

A spreadsheet takes a cell that begins with = or + or - or @ for a formula, and runs it. So such a name gets an
apostrophe before it, which a spreadsheet takes for "this is text", and `read_cell` takes it off again. A name that
begins with apostrophes and then such a sign gets one more, so that each name comes back as it was.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the wide ones count in Japanese and Chinese Excel


def write_cell(name):
    """The text of a name's cell."""
    name = str(name)
    return f"'{name}" if _FORMULA.match(name) else name


def read_cell(cell):
    """The name that `write_cell` made the cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
