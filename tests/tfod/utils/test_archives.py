"""Archives that somebody else made: what they take is bounded, and a broken one is named, whatever is in it."""

import gzip
import io
import random
import tarfile

import pytest

from tfod.utils.console import InputError
from tfod.utils.download import MOST_AT_ONCE, open_tarball


def make_member(name, size, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member


def make_tar(*sizes):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number, size in enumerate(sizes):
            archive.addfile(make_member(f"{number}", size), io.BytesIO(bytes(size)))
    return packed.getvalue()


def read(path, **limits):
    with open_tarball(path, "m", **limits) as members:
        return {member.name: file and file.read() for member, file in members}


def write(folder, tar):
    (folder / "m.tar.gz").write_bytes(gzip.compress(tar, 1))
    return folder / "m.tar.gz"


def test_what_was_packed_is_read(tmp_path):
    path = write(tmp_path, make_tar(0, 1, 70_000))
    assert read(path, most_bytes=100_000, most_files=3) == {"0": b"", "1": bytes(1), "2": bytes(70_000)}


@pytest.mark.parametrize("limits", [{"most_bytes": 69_000}, {"most_files": 2}])
def test_more_than_is_allowed_is_refused_before_it_is_read(tmp_path, limits):
    path = write(tmp_path, make_tar(1, 1, 70_000))
    names = []
    far = r"^m: unpacks to more than .* GB or \d+ files, far more than it should; do not use it$"
    with pytest.raises(InputError, match=far), open_tarball(path, "m", **limits) as members:
        for member, _ in members:
            names.append(member.name)
    assert names == ["0", "1"]


def test_zeros_after_the_archives_end_are_bounded_too(tmp_path):
    path = write(tmp_path, make_tar(1) + bytes(1_000_000))
    assert read(path, most_bytes=2_000_000) == {"0": bytes(1)}
    with pytest.raises(InputError, match=r"unpacks to more than 0.0005 GB"):
        read(path, most_bytes=500_000)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_is_not_held_in_memory_whatever_its_size(tmp_path, kind):
    header = make_member("header", MOST_AT_ONCE + 1, kind).tobuf(tarfile.GNU_FORMAT)
    path = write(tmp_path, header + bytes(MOST_AT_ONCE + 1024))
    with pytest.raises(InputError, match=r"unpacks to more than"):
        read(path)


def test_holes_count(tmp_path):
    sparse = make_member("hole", 0, tarfile.GNUTYPE_SPARSE)
    block = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"77777777777\0"  # the size with its hole: 8.6 GB
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(InputError, match=r"unpacks to more than 8 GB"):
        read(write(tmp_path, bytes(block) + bytes(10_240)))


def test_a_header_of_a_size_below_zero_is_not_read(tmp_path):
    block = bytearray(make_member("m", 0, tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(InputError, match=r"unpacks to more than"):
        read(write(tmp_path, bytes(block) * 3 + bytes(10_240)))


@pytest.mark.parametrize("key", ["GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.realsize", "size", "mtime"])
def test_a_header_with_words_for_numbers_is_named(tmp_path, key):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = make_member("m", 0)
        member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"} | {key: "abc"}
        archive.addfile(member)
    try:
        assert read(write(tmp_path, packed.getvalue())).keys() == {"m"}
    except InputError as error:
        assert str(error).startswith("m: is not a whole .tar.gz file (")


def test_headers_of_headers_of_headers_end(tmp_path):
    name = make_member("header", 1, tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT) + bytes(512)
    with pytest.raises(InputError, match=r"is not a whole .tar.gz file"):
        read(write(tmp_path, name * 3000 + bytes(10_240)))


def test_a_damaged_archive_is_read_or_named(tmp_path):
    """300 archives with a few bytes changed: what is not an InputError fails the test."""
    chance = random.Random(1)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(make_member("long" * 60, 10), io.BytesIO(bytes(10)))
        tar.addfile(make_member("schön", 700), io.BytesIO(bytes(700)))
    for _ in range(300):
        content = bytearray(archive.getvalue())
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(2560)] = chance.randrange(256)
        packed = bytearray(gzip.compress(bytes(content), 1))
        if chance.random() < 0.3:
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        (tmp_path / "m.tar.gz").write_bytes(packed)
        try:
            read(tmp_path / "m.tar.gz", most_bytes=10**6)
        except InputError as error:
            assert str(error).startswith("m: ")
