"""What becomes of faulty photos: FAULTY=stop, skip or fix; and the file that lists what was left out or repaired."""

import collections
import csv
import dataclasses
import io
import re
from pathlib import Path

from tfod.data.csv_cells import write_path
from tfod.utils.console import Fault, InputError, make_printable, say
from tfod.utils.files import mark_current, read_text, write_text

NAME = "faulty.csv"  # of the list, beside the records
MAKER = "faulty"  # of the list, as its stamp says
COLUMNS = ["step", "photo", "done", "kind", "text"]
_SHARD = re.compile(r"-(?:\d{5}|\?{5})-of-\d{5}$")
SHOWN = 5  # photos that are named before the rest is counted
HELP = (
    "what becomes of faulty photos: stop, skip (leave them out), or fix (repair in the records what needs no guess, and"
    " leave the rest out)"
)


def add_faulty_flag(parser, list_help: str | None = None) -> None:
    """Adds --faulty, and with `list_help` --faulty_list, the place of the list."""
    parser.add_argument("--faulty", choices=["stop", "skip", "fix"], default="stop", help=HELP)
    if list_help:
        parser.add_argument("--faulty_list", type=Path, metavar="FILE", help=list_help)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the list: what was "left out" or "repaired" in a `step` ("split", "train.record"), and why."""

    step: str
    photo: str
    done: str
    kind: str
    text: str


def list_rows(step: str, left_out: dict[Path, list[Fault]], repaired: dict[Path, list[Fault]]) -> list[Row]:
    """The rows of a step, from the faults of each photo that was left out or repaired."""
    return [
        Row(step, make_printable(path.name), done, fault.kind, str(fault))
        for done, photos in (("left out", left_out), ("repaired", repaired))
        for path, faults in sorted(photos.items())
        for fault in faults
    ]


def advise(number: int, total: int, repairable: int, target: str) -> str:
    """What to do about `number` faulty photos of `total`, of which FAULTY=fix can repair some: the two commands; ""
    where neither would leave a photo.
    """
    photos = f"{number} of {total} photos {'is' if number == 1 else 'are'} concerned"
    skip = f"`make {target} FAULTY=skip` leaves {'it' if number == 1 else 'them'} out"
    ways = [skip] if number < total else []  # or no photo would be left
    if repairable:
        rest = number - repairable
        fix = f"`make {target} FAULTY=fix` repairs {repairable} of them in the records, without a guess"
        ways.append(fix + (f", and leaves {rest} out" if rest else ""))
    elif ways:
        ways.append("`FAULTY=fix` can repair none of them without a guess")
    return f"{photos}: {'; '.join(ways)}. (By hand: --faulty skip or fix.)" if ways else ""


def say_rows(rows: list[Row], total: int, place: Path) -> None:
    """Says how many photos of `total` were left out and repaired, and names the first few."""
    for done in ("left out", "repaired"):
        photos = collections.defaultdict(list)
        for row in rows:
            if row.done == done:
                photos[row.photo].append(row.text)
        if photos:
            say(f"warning: {len(photos)} of {total} photos {done}; {place} lists them:")
            for texts in list(photos.values())[:SHOWN]:
                say(f"  {texts[0]}" + (f" (and {len(texts) - 1} more)" if texts[1:] else ""))
            if len(photos) > SHOWN:
                say(f"  and {len(photos) - SHOWN} more")


def read_rows(path: Path) -> list[Row]:
    """The rows of the list; none if there is no such file. Raises InputError if it is another file."""
    if not Path(path).exists():
        return []
    table = csv.reader(io.StringIO(read_text(path), newline=""))
    if next(table, None) != COLUMNS:
        raise InputError(f"{path}: is not the list of faulty photos, which is to be written there; move it away")
    return [Row(*cells) for cells in table if len(cells) == len(COLUMNS)]


def note_rows(path: Path, step: str, rows: list[Row]) -> None:
    """Writes the rows of a step into the list, in place of its former ones; a list without rows is removed."""
    former = read_rows(path)
    others = [row for row in former if row.step != step]
    if former == [*others, *rows]:
        return
    if not others and not rows:
        path.unlink()
        path.with_name(f".{path.name}.stamp").unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in [*others, *rows]:
        table.writerow([row.step, write_path(row.photo), row.done, row.kind, write_path(row.text)])
    write_text(path, text.getvalue(), MAKER)
    mark_current(path, None, MAKER)


def count_photos(records: Path) -> dict[str, int]:
    """How many photos were "left out" of the records at this path, and how many "repaired" in them; {} if none."""
    records = Path(records)
    step = _SHARD.sub("", records.name)
    try:
        rows = {(row.done, row.photo) for row in read_rows(records.parent / NAME) if row.step == step}
    except InputError:  # another file: it says nothing of the records
        return {}
    return dict(collections.Counter(done for done, _ in rows))


def describe_records(records: list[Path]) -> list[str]:
    """One sentence for each set of records of which photos were left out, or in which some were repaired."""
    found = {}
    for path in map(Path, records):
        if counts := count_photos(path):
            photos = " and ".join(f"{counts[done]} {done}" for done in ("left out", "repaired") if done in counts)
            name = path.with_name(_SHARD.sub("", path.name))
            found[name] = f"{name}: of the faulty photos {photos} ({path.parent / NAME} lists them)"
    return list(found.values())
