"""Ground module: what every script says and how it ends.

Results go to standard output, everything else to standard error. A script ends with 0 (done), 1 (the input is
wrong: `InputError`, every fault in one go) or 2 (the call is wrong: argparse's own).
"""

import argparse
import contextlib
import signal
import sys
import time

from tqdm import tqdm

from tfod.nvidia import explain_failure

# tqdm would start a thread that looks after slow bars (miniters=1 does without it). Worker processes are forked, and
# that is safe only where there are no threads; signals, too, would then come at any moment.
tqdm.monitor_interval = 0


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


def make_printable(text):
    """`text` with an escape for what is no visible character: line ends, and what a terminal would obey."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class InputError(Exception):
    """The input is wrong. Holds one text (or `Fault`) per fault, each `FILE: what is wrong; what to do`."""

    def __init__(self, *faults):
        super().__init__(*faults)
        self.faults = faults

    def __str__(self):
        return "\n".join(self.faults)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults where there are some, and the script's own docstring with its line breaks."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, "") else super()._get_help_string(action)


def make_parser(doc):
    """An ArgumentParser whose description is the script's docstring; flags are never abbreviated."""
    return argparse.ArgumentParser(description=doc, formatter_class=_HelpFormatter, allow_abbrev=False)


def add_flag(parser, name, default, text):
    """Adds a switch as absl spells them, which upstream's flags are: --name, --noname, --name=true, --name=false."""
    words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

    def parse(word):
        if word.lower() not in words:
            raise argparse.ArgumentTypeError(f"{word} is neither true nor false")
        return words[word.lower()]

    parser.add_argument(f"--{name}", type=parse, nargs="?", const=True, default=default, metavar="BOOL", help=text)
    hidden = argparse.SUPPRESS
    parser.add_argument(f"--no{name}", dest=name, action="store_false", default=hidden, help=hidden)


def run(main):
    """Calls `main()` and exits as the module's docstring says. A person's mistake never shows a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # clears away what is half done, as Ctrl-C does
    try:
        sys.exit(main())
    except InputError as error:
        failure = explain_failure(error)
        _exit_with([failure] if failure else error.faults)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        print(f"error: {error.filename}: {error.strerror}; check the name and your rights there", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong with what we did.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        failure = explain_failure(error)
        if failure is None:
            raise
        _exit_with([failure])


def _exit_with(faults):
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if len(faults) > 1:
        print(f"{len(faults)} errors", file=sys.stderr)
    sys.exit(1)


def say(text):
    """One line for the person who watches, on standard error."""
    tqdm.write(str(text), file=sys.stderr)


@contextlib.contextmanager
def show_progress(what, total, start=0):
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


def progress(items, what):
    """Yields the items of a list, and shows how far it is."""
    with show_progress(what, len(items)) as update:
        for done, item in enumerate(items, start=1):
            yield item
            update(done)


def format_seconds(seconds):
    """A duration as a person says it: 42 s, 3 min 05 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
