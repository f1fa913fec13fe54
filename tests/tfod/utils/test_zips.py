"""Zip files: only plain files below the folder, within bounds, whatever the archive says of itself."""

import stat
import struct
import zipfile

import pytest

from tfod.utils.console import InputError
from tfod.utils.zips import unpack_zip


def make_zip(path, *members, **words):
    """A zip file of members, (name or ZipInfo, text)."""
    with zipfile.ZipFile(path, "w", **words) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return path


def list_files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_come_out_where_the_zip_has_them_and_what_systems_add_does_not(tmp_path):
    members = [("a/b.txt", "1"), ("a/", ""), ("猫.txt", "2"), ("__MACOSX/a/._b.txt", "x"), ("a/.DS_Store", "x")]
    unpack_zip(make_zip(tmp_path / "a.zip", *members, compression=zipfile.ZIP_DEFLATED), tmp_path / "out")
    assert list_files(tmp_path / "out") == {"a/b.txt": "1", "猫.txt": "2"}


def test_names_as_windows_and_macos_write_them(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a\\b.txt", "1"), ("x".join("ab") + "é.txt", "2"))
    data = bytearray(path.read_bytes())  # macOS: the same bytes, without the flag that says UTF-8
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := data.find(sign, start + 1)) >= 0:
            data[start + offset + 1] &= ~0x08
    path.write_bytes(data)
    unpack_zip(path, tmp_path / "out")
    assert list_files(tmp_path / "out") == {"a/b.txt": "1", "axbé.txt": "2"}


@pytest.mark.attack
@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:\\x", "..\\x", "a\nb", "a\u202eb"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    path = make_zip(tmp_path / "a.zip", ("fine.txt", "1"), (name, "2"))
    with pytest.raises(InputError, match=r"a\.zip: holds the unsafe path .*; do not use this file"):
        unpack_zip(path, tmp_path / "room/out")
    assert not (tmp_path / "x").exists() and not (tmp_path / "room/x").exists()


@pytest.mark.attack
def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="holds the link 'link'; unpack it yourself and give the folder"):
        unpack_zip(make_zip(tmp_path / "a.zip", (link, "/etc/passwd")), tmp_path / "out")


@pytest.mark.attack
def test_more_bytes_or_files_than_may_be_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a", "0" * 10**6), ("b", "0" * 10**6), compression=zipfile.ZIP_DEFLATED)
    for bounds in ((1_999_999, 2), (2 * 10**6, 1)):
        with pytest.raises(InputError, match=r"a\.zip: unpacks to more than .* GB or \d files; unpack it yourself"):
            unpack_zip(path, tmp_path / f"out{bounds[1]}", *bounds)
    unpack_zip(path, tmp_path / "out", 2 * 10**6, 2)
    data = path.read_bytes()  # a size that is told too small does not help
    path.write_bytes(data.replace(struct.pack("<L", 10**6), struct.pack("<L", 5)))
    with pytest.raises(InputError, match="is not a whole zip file|unpacks to more"):
        unpack_zip(path, tmp_path / "lied", 100, 2)


@pytest.mark.parametrize("harm", ["cut", "changed", "none"])
def test_a_damaged_zip_is_named(tmp_path, harm):
    path = make_zip(tmp_path / "a.zip", ("a.txt", "text" * 100))
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-30], "changed": data.replace(b"text", b"tent", 1), "none": b"no zip"}[harm])
    with pytest.raises(InputError, match=r"a\.zip: is not a whole zip file \(.*\); get it again, or unpack"):
        unpack_zip(path, tmp_path / "out")


def test_two_files_of_one_name_and_a_password_are_named(tmp_path):
    path = make_zip(tmp_path / "a.zip", ("a.txt", "1"), ("a.txt/b", "2"))
    with pytest.raises(InputError, match="holds two files of one name; unpack it and give the folder"):
        unpack_zip(path, tmp_path / "out")
    path = make_zip(tmp_path / "b.zip", ("a.txt", "1"))
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="is locked with a password; unpack it and give the folder"):
        unpack_zip(path, tmp_path / "out2")
