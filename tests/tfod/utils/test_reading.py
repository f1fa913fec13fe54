"""Files that a person gave: regular ones of a size that can be meant are read, all others named without a hang."""

import os

import pytest

from tfod.config.pipeline import read_config
from tfod.utils.console import Fault, InputError
from tfod.utils.files import find_oddity, is_file, parse_json, read_bytes, read_text

pytestmark = pytest.mark.attack


def make_odd(folder):
    """A dict path -> what is odd about it."""
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link to the pipe").symlink_to("pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "lost").symlink_to("nothing")
    replace = "not a file; replace it with a file, or take it away"
    return {
        folder / "folder": f"is a folder, {replace}",
        folder / "pipe": f"is a pipe, {replace}",
        folder / "link to the pipe": f"is a pipe, {replace}",
        folder / "loop": "is a link that leads nowhere (Too many levels of symbolic links); mend it, or take it away",
        folder / "lost": "is a link that leads nowhere (No such file or directory); mend it, or take it away",
        folder / "nothing": "can't be read (No such file or directory); check the name and its permissions",
        folder / "loop" / "a": "can't be read (Too many levels of symbolic links); check the name and its permissions",
        "/dev/null": f"is a device, {replace}",
    }


@pytest.mark.parametrize("read", [read_bytes, read_text, read_config])
def test_what_is_not_a_file_is_named(tmp_path, read):
    for path, what in make_odd(tmp_path).items():
        assert not is_file(path) and find_oddity(path) == what
        with pytest.raises(InputError) as caught:
            read(path)
        if read is not read_config or os.path.lexists(path):
            assert caught.value.faults == (f"{path}: {what}",)
            assert isinstance(caught.value.faults[0], Fault)
        else:
            assert str(caught.value).endswith(": No such file or directory; `make config` makes a pipeline.config")


def test_a_file_is_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("\ufeff猫".encode())
    assert is_file(path) and find_oddity(path) is None
    assert read_text(path) == "猫" and read_bytes(path, most=6) == path.read_bytes()
    with pytest.raises(InputError, match="a: has 0 MB, more than the 0 MB that such a file can need; replace it with"):
        read_bytes(path, most=5)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="a: is not in UTF-8; save it in that encoding"):
        read_text(path)


def test_a_file_of_500_mb_is_not_read(tmp_path):
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, 500_000_000)
    with pytest.raises(InputError, match="a: has 500 MB, more than the 16 MB that such a file can need"):
        read_bytes(path, most=16_000_000)


def test_a_file_that_the_system_does_not_let_us_read_is_named():
    with pytest.raises(InputError, match=r"mem: can't be read \(Input/output error\); check its permissions"):
        read_bytes("/proc/self/mem")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "", "{", b"\xff", "1" * 5000])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
    assert parse_json('{"a": [1]}') == {"a": [1]}
