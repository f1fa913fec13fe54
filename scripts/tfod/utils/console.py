"""What every script says and how it ends.

Results go to standard output, everything else to standard error. A script ends with 0 (done), 1 (the input is
wrong: `InputError`, every fault in one go) or 2 (the call is wrong: argparse's own).
"""

import argparse
import contextlib
import errno
import io
import os
import re
import select
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn

from tqdm import tqdm

from tfod.utils.nvidia import explain_failure

# tqdm would start a thread that looks after slow bars (miniters=1 does without it). Worker processes are forked, and
# that is safe only where there are no threads; signals, too, would then come at any moment.
tqdm.monitor_interval = 0


IN_THE_WAY = "a file is where a folder should be; move it away, or give another name"
ROOM = "make room there, or name another folder"
ADVICE = {  # what to do where the system refuses
    errno.EACCES: "check the name and your permissions there",
    errno.ENOSPC: ROOM,
    errno.EDQUOT: "your quota is used up; " + ROOM,
    errno.EFBIG: "files there can't be that large; name another folder, or raise the limit (ulimit -f)",
    errno.EROFS: "nothing can be written there; name another folder",
    errno.EIO: "the disk or its connection fails; look at dmesg, and save what is on it",
    errno.EEXIST: IN_THE_WAY,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EISDIR: "a folder is in the file's place; move it away",
    errno.ELOOP: "links lead in a circle; remove one",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENOMEM: "the memory is too small; close other programs",
}
ENDING = (signal.SIGINT, signal.SIGTERM)  # the signals that ask a script to end
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class Fault(str):
    """One fault of a file, as the text `FILE: what is wrong; what to do`, that a report can group and count.

    `kind` is a short name that stays, as "box-outside", `file` the path as text, `what` the text after it, `severity`
    "error" or "warning". The text is one line that can be printed, whatever the file holds.
    """

    def __new__(cls, kind, file, what, severity="error"):
        what = make_printable(what)
        fault = super().__new__(cls, f"{make_printable(file)}: {what}")
        fault.kind, fault.file, fault.what, fault.severity = kind, str(file), what, severity
        return fault

    def __getnewargs__(self):  # what another process needs to make it again
        return self.kind, self.file, self.what, self.severity


_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories of controls, formats, surrogates and line ends
# Formats that are seen, or that words need: joiners in Persian, Hindi and emoji, Arabic's signs around numbers, and the
# letters after a black flag that make it England's.
_SEEN = re.compile(
    "[\u200c\u200d\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]"
    "|\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
)


def find_hidden(text: str) -> list[str]:
    """The characters of `text` that nobody sees: line ends, what a terminal would obey, marks that turn the direction
    of writing, and what no file may hold."""
    if text.isascii() and text.isprintable():
        return []
    return [c for c in _SEEN.sub("", text) if unicodedata.category(c) in _HIDDEN or c in "\ufffe\uffff"]


def make_printable(text: object, kept: str = "") -> str:
    """`text` with an escape for each character that `find_hidden` finds, but for those in `kept`."""
    text = str(text)
    for hidden in set(find_hidden(text)).difference(kept):
        text = text.replace(hidden, hidden.encode("unicode_escape").decode())
    return text


class InputError(Exception):
    """The input is wrong. Holds one text (or `Fault`) per fault, each `FILE: what is wrong; what to do`.

    `advice`, if there is some, is what to do about all of them: the last line that is said.
    """

    def __init__(self, *faults, advice=""):
        super().__init__(*faults)
        self.faults, self.advice = faults, advice

    def __str__(self):
        return "\n".join(self.faults)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults where there are some, and the script's own docstring with its line breaks."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, "") else super()._get_help_string(action)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """An ArgumentParser whose description is the script's docstring; flags are never abbreviated."""
    return argparse.ArgumentParser(description=doc, formatter_class=_HelpFormatter, allow_abbrev=False)


def add_flag(parser, name: str, default: bool | None, text: str) -> None:
    """Adds a switch as absl spells them, which upstream's flags are: --name, --noname, --name=true, --name=false."""
    words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

    def parse(word):
        if word.lower() not in words:
            raise argparse.ArgumentTypeError(f"{word} is neither true nor false")
        return words[word.lower()]

    parser.add_argument(f"--{name}", type=parse, nargs="?", const=True, default=default, metavar="BOOL", help=text)
    hidden = argparse.SUPPRESS
    parser.add_argument(f"--no{name}", dest=name, action="store_false", default=hidden, help=hidden)


def parse_count(word: str) -> int:
    """The value of a flag that counts, for argparse's `type`: a whole number of 1 or more."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a number of 1 or more")
    return int(word)


def parse_share(word: str) -> float:
    """The value of a flag that is a share, for argparse's `type`: a number from 0 to 1."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{word} is not a number from 0 to 1")
    return value


class _LastingStream(io.FileIO):
    """Standard output or error, which may fail (its reader is gone, its disk is full) without an effect on the work.

    `failure` is the OSError, after which nothing more is written.
    """

    failure = None

    def write(self, data):
        try:
            while self.failure is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # another program has set it to return instead of waiting
        except OSError as error:
            self.failure = error
        return len(data)


def _replace_streams():
    """Puts `_LastingStream`s in the place of standard output and error: the one of standard output, or None where it is
    nothing of the system's (as in a test). What their encoding lacks is written with escapes."""
    for number in range(3):  # a closed one would be the next file that is opened, and written into
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    lasting = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        try:
            if stream is not None and stream.fileno() != number:
                continue
        except (OSError, ValueError):
            continue
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()
        lasting[name] = _LastingStream(number, "w", closefd=False)
        encoding = stream.encoding if stream is not None else "utf-8"
        buffered = io.BufferedWriter(lasting[name])
        text = io.TextIOWrapper(buffered, encoding, "backslashreplace", line_buffering=number == 2 or buffered.isatty())
        setattr(sys, name, text)
    return lasting.get("stdout")


class _Ending:
    """The signal that asked for this process's end, if one did."""

    number = None

    def note(self, number, _):
        self.number = number
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def end_from_within(self, unraisable):
        """For what is raised where Python can't let it go on to the caller: as in a function that C calls."""
        if self.number is None:
            sys.__unraisablehook__(unraisable)
        else:
            os._exit(128 + self.number)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Calls `main()` and exits as the module's docstring says. A person's mistake never shows a traceback.

    Ctrl-C and SIGTERM clear away what is half done, and end with 130 and 143. Output that fails ends nothing; where it
    is standard output, what was to be told was not, and the exit code is 1.
    """
    output = _replace_streams()
    ending = _Ending()
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup, and a shell's background, ask for that
            signal.signal(number, ending.note)
    sys.unraisablehook = ending.end_from_within
    try:
        code = _call(main, ending)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except KeyboardInterrupt:
        code = 128 + (ending.number or signal.SIGINT)
    for number in ENDING:  # all is done: from here on they end Python at once
        if signal.getsignal(number) == ending.note:
            signal.signal(number, signal.SIG_DFL)
    if output and output.failure and code in (0, None):
        if not isinstance(output.failure, BrokenPipeError):  # as `| head` does
            said = f"{output.failure.strerror}; what was to be written there is lost"
            print(f"error: standard output: {said}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _call(main, ending):
    """The exit code of `main()`, after a message for what it raised."""
    try:
        return main()
    except SystemExit as error:
        return error.code
    except BaseException as error:
        if ending.number is not None or isinstance(error, KeyboardInterrupt):
            # whatever it was turned into on its way, as by an import that was broken off
            if ending.number != signal.SIGTERM:
                print("interrupted", file=sys.stderr)
            return 128 + (ending.number or signal.SIGINT)
        failure = explain_failure(error)
        if failure:
            return _report([failure])
        if isinstance(error, InputError):
            return _report(error.faults, error.advice)
        if isinstance(error, OSError):
            return _report([describe_os_error(error)])
        if number := find_disk_error(str(error)):
            text = re.sub(r"^\{\{.*?\}\} *", "", str(error)).strip().partition("\n")[0]
            return _report([f"{text}; {ADVICE[number]}"])
        raise


def _report(faults, advice=""):
    for fault in faults:
        print("error:", make_printable(fault, kept="\n"), file=sys.stderr)
    if len(faults) > 1:
        print(f"{len(faults)} errors", file=sys.stderr)
    if advice:
        print(make_printable(advice, kept="\n"), file=sys.stderr)
    return 1


def find_disk_error(text: str) -> int | None:
    """The one of DISK_ERRORS that `text` speaks of, or None: TensorFlow's errors and other programs have no errno."""
    return next((number for number in DISK_ERRORS if os.strerror(number) in text), None)


def describe_os_error(error: OSError, path: str | os.PathLike | None = None) -> str:
    """`FILE: what is wrong; what to do` of an OSError. FILE is the file that failed, or `path` where none is named."""
    what = error.strerror or str(error)
    place = error.filename2 or error.filename or path or "a file or connection"  # filename2: the new name of a file
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    return f"{place}: {what}; {ADVICE.get(error.errno, ADVICE[errno.EACCES])}"


def say(text: str) -> None:
    """One line for the person who watches, on standard error."""
    tqdm.write(make_printable(text, kept="\n"), file=sys.stderr)


def join_few(texts, most: int = 8, between: str = ", ") -> str:
    """The texts with commas between, of many the first few and how many more there are: no line fills a screen."""
    texts = list(map(str, texts))
    return between.join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


@contextlib.contextmanager
def show_progress(what: str, total: int | None, start: int = 0) -> Iterator[Callable[..., None]]:
    """Yields `update(done, text="")`: a bar on a terminal; in a pipe, one plain line every ten seconds.

    `total` is None where nobody knows it.
    """
    shown = sys.stderr.isatty()
    bar = tqdm(total=total, initial=start, desc=what, file=sys.stderr, leave=False, miniters=1, disable=not shown)
    said = time.monotonic()
    first = None  # what comes before the first item is done (building, tracing) says nothing of the others

    def update(done, text=""):
        nonlocal said, first
        now = time.monotonic()
        first = first or (done, now)
        if not bar.disable:
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
        elif now - said > 10 and done > first[0]:
            said = now
            text = text and f", {text}"
            if total is None:
                say(f"{what}: {done}{text}")
                return
            left = (now - first[1]) / (done - first[0]) * (total - done)
            say(f"{what}: {done} of {total}{text}, {format_seconds(left)} left")

    try:
        yield update
    finally:
        bar.close()


def progress(items: Sequence, what: str) -> Iterator:
    """Yields the items of a list, and shows how far it is."""
    with show_progress(what, len(items)) as update:
        for done, item in enumerate(items, start=1):
            yield item
            update(done)


def format_seconds(seconds: float) -> str:
    """A duration as a person says it: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def measure_width(text: str) -> int:
    """The columns that a text takes on a terminal, where Chinese letters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def format_table(rows: Iterable[Sequence[str]], header: Sequence[str], left: int = 1, markdown: bool = False) -> str:
    """Aligned lines of text. `rows` and `header` hold texts; the first `left` columns stand left, all others right."""
    table = [tuple(header), *map(tuple, rows)]
    widths = [max(map(measure_width, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        spaces = [" " * (width - measure_width(text)) for text, width in zip(row, widths, strict=True)]
        pairs = enumerate(zip(row, spaces, strict=True))
        cells = [text + space if number < left else space + text for number, (text, space) in pairs]
        lines.append(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells).rstrip())
    if markdown:
        rules = ["-" * (width + 1) + ("-" if number < left else ":") for number, width in enumerate(widths)]
        lines.insert(1, f"|{'|'.join(rules)}|")
    return "\n".join(lines)
