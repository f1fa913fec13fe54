"""What a script says and how it ends, seen from a second process as a person sees it."""

import argparse
import errno
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfod.utils import console
from tfod.utils.console import format_seconds, format_table

BEGIN = "import sys, time\nfrom tfod.utils.console import *\nfrom tfod.utils.console import add_flag, format_seconds\n"


def run_program(text, *arguments):
    command = [sys.executable, "-c", BEGIN + text, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("result", "code", "stderr"),
    [
        ("return None", 0, ""),
        ("return 3", 3, ""),
        ("raise InputError('a.jpg: is empty; replace it')", 1, "error: a.jpg: is empty; replace it\n"),
        ("raise InputError('a: b; c', '猫: d; e')", 1, "error: a: b; c\nerror: 猫: d; e\n2 errors\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        (
            "open('/none/x')",
            1,
            "error: /none/x: No such file or directory; check the name and your permissions there\n",
        ),
    ],
)
def test_how_a_script_ends(result, code, stderr):
    done = run_program(f"def main():\n    print('result')\n    {result}\nrun(main)")
    assert (done.returncode, done.stdout, done.stderr) == (code, "result\n", stderr)


def test_our_own_mistakes_show_where_they_are():
    done = run_program("def main():\n    1 / 0\nrun(main)")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr


@pytest.mark.attack
def test_an_interrupt_from_the_keyboard_ends_without_a_traceback():
    text = BEGIN + "def main():\n    print('ready', flush=True)\n    time.sleep(60)\nrun(main)"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"interrupted\n")


@pytest.mark.attack
def test_a_reader_that_went_away_ends_nothing_and_is_not_served():
    text = BEGIN + "def main():\n    for i in range(10**6):\n        print(i)\n    say('all done')\nrun(main)"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert stderr == b"all done\n"


PARSER = """
parser = make_parser('What it does.\\n\\n    python it.py\\n')
parser.add_argument('--number', type=int, default=7, help='photos')
add_flag(parser, 'shuffle', True, 'mix them')
args = parser.parse_args()
print(args.number, args.shuffle)
"""


def test_help_keeps_the_docstrings_lines_and_shows_defaults():
    done = run_program(PARSER, "--help")
    assert done.returncode == 0
    assert "What it does.\n\n    python it.py\n" in done.stdout
    assert "photos (default: 7)" in done.stdout
    assert "mix them (default: True)" in done.stdout
    assert "--noshuffle" not in done.stdout.partition("options:")[2]


@pytest.mark.parametrize(
    ("arguments", "stdout"),
    [
        ((), "7 True\n"),
        (("--shuffle",), "7 True\n"),
        (("--noshuffle",), "7 False\n"),
        (("--shuffle=false",), "7 False\n"),
        (("--shuffle=T", "--number=8"), "8 True\n"),
        (("--shuffle", "0"), "7 False\n"),
        (("--noshuffle", "--shuffle"), "7 True\n"),
    ],
)
def test_switches_are_spelled_as_upstreams(arguments, stdout):
    done = run_program(PARSER, *arguments)
    assert (done.returncode, done.stdout) == (0, stdout)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--shuffle=maybe", "maybe is neither true nor false"),
        ("--num=8", "unrecognized arguments: --num=8"),
        ("--number=x", "invalid int value: 'x'"),
    ],
)
def test_a_wrong_call_ends_with_2(argument, text):
    done = run_program(PARSER, argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


def test_say_leaves_the_results_alone():
    done = run_program("say('for the person'); print('result')")
    assert (done.stdout, done.stderr) == ("result\n", "for the person\n")


SLOW = """
clock = [0.0]
time.monotonic = lambda: clock[0]
for item in progress(['a', 'b', 'c', 'd'], 'reading'):
    clock[0] += 6
    print(item)
"""


def test_progress_in_a_pipe_is_a_plain_line_every_ten_seconds():
    done = run_program(SLOW)
    assert done.stdout == "a\nb\nc\nd\n"
    assert done.stderr == "reading: 2 of 4, 12 s left\nreading: 4 of 4, 0 s left\n"


def test_quick_work_in_a_pipe_says_nothing():
    done = run_program("print(list(progress([1, 2], 'reading')))")
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


def test_progress_on_a_terminal_is_a_bar_that_goes_away():
    text = "with show_progress('reading', 4) as update:\n    time.sleep(0.3)\n    update(4, 'loss 0.4')"
    keyboard, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    done = subprocess.run([sys.executable, "-c", BEGIN + text], stdout=subprocess.PIPE, stderr=terminal, check=True)
    os.set_blocking(keyboard, False)
    seen = os.read(keyboard, 100000).decode()  # before the other end is closed, since then nothing is left to read
    os.close(terminal)
    os.close(keyboard)
    assert done.stdout == b""
    assert "reading:" in seen and "4/4" in seen and "loss 0.4" in seen
    assert seen.endswith("\r")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_said_as_people_do(seconds, text):
    assert format_seconds(seconds) == text


@given(st.floats(0, 10**7))
def test_no_duration_has_sixty_seconds_or_minutes(seconds):
    *_, number, unit = format_seconds(seconds).split()
    assert unit in ("s", "min")
    assert int(number) < 60


def test_tables_are_aligned_whatever_the_script_and_in_markdown():
    rows = [("浣熊", "7"), ("a dog", "1,234")]
    assert format_table(rows, ("class", "boxes")) == "class  boxes\n浣熊       7\na dog  1,234"
    assert format_table([("a", "")], ("x", "left"), left=2) == "x  left\na"  # no spaces at the end
    assert format_table(rows, ("class", "boxes"), markdown=True) == (
        "| class | boxes |\n|-------|------:|\n| 浣熊  |     7 |\n| a dog | 1,234 |"
    )
    assert format_table([], ("class", "boxes")) == "class  boxes"


def test_what_the_system_refuses_is_named_by_the_file_that_a_person_knows():
    refused = OSError(errno.EISDIR, os.strerror(errno.EISDIR), "out/.a.tmp/a.jpg", None, "out/a.jpg")
    said = ": Is a directory; a folder is in the file's place; move it away"
    assert console.describe_os_error(refused) == f"out/a.jpg{said}"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # of a write, which names no file
    assert console.describe_os_error(full, "m").startswith("m: No space left on device; make room there")
    assert console.describe_os_error(full).startswith("a file or connection: No space left")


def test_counts_and_shares_are_numbers_within_their_bounds():
    assert [console.parse_count(word) for word in ("1", "20")] == [1, 20]
    assert [console.parse_share(word) for word in ("0", "0.5", "1")] == [0, 0.5, 1]
    for parse, words in (
        (console.parse_count, ("0", "-1", "1.5", "x")),
        (console.parse_share, ("-0.1", "2", "nan", "x")),
    ):
        for word in words:
            with pytest.raises(argparse.ArgumentTypeError, match=f"^{word} is not a number "):
                parse(word)
