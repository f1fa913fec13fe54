"""Ground module: what every script says and how it ends.

Results go to standard output, everything else to standard error. A script ends with 0 (done), 1 (the input is
wrong: `InputError`, every fault in one go) or 2 (the call is wrong: argparse's own).
"""

import argparse
import sys
import time

from tqdm import tqdm


class InputError(Exception):
    """The input is wrong. Holds one text per fault, each `FILE: what is wrong; what to do`."""

    def __init__(self, *faults):
        super().__init__("\n".join(faults))
        self.faults = faults


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the defaults, and the script's own docstring with its line breaks."""


def make_parser(doc):
    """An ArgumentParser whose description is the script's docstring; flags are never abbreviated."""
    return argparse.ArgumentParser(description=doc, formatter_class=_HelpFormatter, allow_abbrev=False)


def run(main):
    """Calls `main()` and exits as the module's docstring says. A person's mistake never shows a traceback."""
    try:
        sys.exit(main())
    except InputError as error:
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        if len(error.faults) > 1:
            print(f"{len(error.faults)} errors", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong with what we did.
        sys.stderr.close()
        sys.exit(0)


def say(text):
    """One line for the person who watches, on standard error."""
    tqdm.write(str(text), file=sys.stderr)


def progress(items, what, total=None):
    """Yields `items`; shows a bar on a terminal, and in a pipe one plain line every ten seconds and at the end."""
    total = len(items) if total is None else total
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, file=sys.stderr, leave=False)
        return
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{what}: {done} of {total}")
        yield item
    say(f"{what}: {total} of {total}")
