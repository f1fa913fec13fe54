"""A careful user's bad day, for every script: what the system refuses is one plain error, and nothing is half there."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import attacks
import pytest
from forked import call_forked

pytestmark = pytest.mark.attack


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return attacks.lay_out(tmp_path_factory.mktemp("attacked"))


@contextlib.contextmanager
def mount(place, *options):
    """Mounts a small file system at the folder `place`."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting a file system is root's: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextlib.contextmanager
def fill(place):
    """A disk on which names can be made, and no byte can be written."""
    with mount(place, "-o", "size=64k") as full:
        with contextlib.suppress(OSError), (full / "filler").open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        yield full


def list_files(folder):
    """The names of all files in a folder, those of TensorBoard without the time and the process in them."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(re.sub(r"(events\.out)\..*", r"\1", name) for name in names)


def assert_plain(done, place, reason):
    """The script ended with one plain error that names a file in `place` and the reason."""
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 1, (done.stdout, done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors, done.stderr
    assert any(str(place) in line and reason in line for line in errors), done.stderr


CASES = [
    pytest.param(name, marks=[pytest.mark.long] * (name not in attacks.DATA)) for name in attacks.CALLS | attacks.SLOW
]


@pytest.fixture
def place_of(request):
    """`place_of(name)`: the workspace that a call is made in, with a trained model where it needs one."""

    def find(name):
        if name in attacks.DATA:
            return request.getfixturevalue("workspace")
        return request.getfixturevalue("tflite_files" if name == "tflite" else "exported")[0]

    return find


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk(name, place_of, tmp_path):
    cwd = place_of(name)
    with fill(tmp_path / "full") as full:
        script, *words = attacks.get_words(name, full)
        assert_plain(call_forked(script, *words, cwd=cwd), full, "No space left on device")
        # what TensorBoard reads is written as it comes, line by line
        assert [path for path in list_files(full) if path != "filler" and "events.out" not in path] == []


@pytest.mark.parametrize("name", CASES)
def test_a_disk_that_is_only_to_be_read(name, place_of, tmp_path):
    cwd = place_of(name)
    with mount(tmp_path / "fixed", "-o", "ro") as fixed:
        script, *words = attacks.get_words(name, fixed)
        assert_plain(call_forked(script, *words, cwd=cwd), fixed, "Read-only file system")


ODD = {"PYTHONIOENCODING": "ascii", "PYTHONSAFEPATH": "1", "LC_ALL": "C", "LANG": "C"}
SOME = ("split", "check", "tfrecord")  # the others are for test-long


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in SOME)) for name in attacks.CALLS]
)
def test_odd_streams_change_no_work(name, place_of, tmp_path):
    """A terminal that knows no letter beyond ASCII; then standard output on a full disk, and standard error with nobody
    who reads it: the results are the same, and what could not be said is not called a success."""
    cwd, results = place_of(name), []
    for odd in ("ascii", "lost"):
        out = tmp_path / odd
        out.mkdir()
        with contextlib.ExitStack() as stack:
            if odd == "lost":
                reader, writer = os.pipe()
                os.close(reader)
                stack.callback(os.close, writer)
                full = stack.enter_context(Path("/dev/full").open("w"))
                process = attacks.start(name, out, cwd, stdout=full, stderr=writer)
            else:
                streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
                process = attacks.start(name, out, cwd, **streams, env={**os.environ, **ODD})
            said, more = process.communicate(timeout=300)
        files = [re.sub(r"tfevents\..*", "tfevents", path) for path in list_files(out)]
        results.append((process.returncode, files, said, more))
    assert results[0][0] == 0, results[0]
    assert results[1][:2] == (bool(results[0][2]), results[0][1])


def wait_for_imports(process):
    """Waits until the script has come to its first import from the package: until then a Ctrl-C is Python's own."""
    caught, wanted = (
        f"/proc/{process.pid}/status",
        [True, False],
    )  # Python's handler is set, and then ours takes it away
    while wanted and process.poll() is None:
        (line,) = (line for line in Path(caught).read_text().splitlines() if line.startswith("SigCgt:"))
        if bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1) == wanted[0]:
            wanted.pop(0)


def count_seconds(name, cwd, out):
    """How long the call takes from its imports on, and the names of its results."""
    out.mkdir()
    process = attacks.start(name, out, cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_imports(process)
    began = time.monotonic()
    assert process.wait(timeout=300) == 0
    return time.monotonic() - began, list_files(out)


@pytest.mark.long
@pytest.mark.parametrize("name", attacks.CALLS)
def test_a_signal_at_any_moment(name, place_of, tmp_path):
    cwd = place_of(name)
    seconds, whole = count_seconds(name, cwd, tmp_path / "whole")
    moments = 4 if name in attacks.MODELS else 10
    for moment in range(moments):
        for number in (signal.SIGINT, signal.SIGTERM):
            out = tmp_path / f"{moment} {number}"
            out.mkdir()
            process = attacks.start(name, out, cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            wait_for_imports(process)
            time.sleep(seconds * moment / moments)
            process.send_signal(number)
            said = process.communicate(timeout=300)[1]
            assert "Traceback" not in said and "Exception ignored" not in said, (moment, number, said)
            assert process.returncode in (128 + number, -number, 0), (moment, number, said)
            if process.returncode == 0:
                assert list_files(out) == whole
            left = list(out.rglob(".*.tmp"))
            if left:  # what C code was at when it was asked to end is left to the next run
                assert attacks.start(name, out, cwd, stdout=subprocess.DEVNULL).wait(timeout=300) == 0
                assert not list(out.rglob(".*.tmp")), moment
