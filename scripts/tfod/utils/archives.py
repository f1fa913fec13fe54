""".tar.gz files that somebody else made, read within bounds."""

import contextlib
import gzip
import tarfile
import zlib
from pathlib import PurePosixPath

from tfod.utils.console import InputError

MOST_BYTES = 8 * 10**9  # unpacked; the zoo's largest model has about a quarter of that
MOST_FILES = 10_000
MOST_AT_ONCE = 1 << 25  # bytes; tarfile holds a header of any size in memory


class _Bounded:
    """The unpacked bytes of a .tar.gz, up to `most` of them, with the three methods that tarfile calls."""

    def __init__(self, stream, most, error):
        self.stream, self.most, self.error = stream, most, error
        self.tell = stream.tell

    def read(self, size):
        if not 0 <= size <= MOST_AT_ONCE:
            raise self.error
        content = self.stream.read(size)
        if self.stream.tell() > self.most:
            raise self.error
        return content

    def seek(self, position):
        if position > self.most:
            raise self.error
        return self.stream.seek(position)


@contextlib.contextmanager
def open_tarball(path, name, most_bytes=MOST_BYTES, most_files=MOST_FILES, advice="fetch it again"):
    """Yields an iterator of (member, file) of the .tar.gz file `path`: a tarfile.TarInfo, and what it holds.

    `file` is None unless the member is a regular file. After the block the rest is read, up to gzip's checksum:
    nothing is sure before. Raises InputError, which calls the archive `name`, if it is not a whole .tar.gz file or
    unpacks to more than `most_bytes` (headers and holes included) or `most_files`; `advice` ends the first of these.
    """
    most = f"{most_bytes / 1e9:g} GB or {most_files} files"
    too_large = InputError(f"{name}: unpacks to more than {most}, far more than it should; do not use it")

    def list_members(archive):
        size = 0
        for count, member in enumerate(archive, start=1):
            size += max(member.size, 0)  # what a hole takes is not in the stream
            if size > most_bytes or count > most_files:
                raise too_large
            yield member, archive.extractfile(member) if member.isfile() else None

    try:
        with gzip.open(path) as stream:
            bounded = _Bounded(stream, most_bytes, too_large)
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                yield list_members(archive)
            while bounded.read(1 << 20):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: is not a whole .tar.gz file ({error}); {advice}") from error


def check_member(member, name):
    """Raises InputError if `member` (TarInfo) of the archive `name` is no plain file or folder below the archive's."""
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()):
        raise InputError(f"{name}: holds a link or device, {member.name!r}; do not use this file")
    if path.is_absolute() or ".." in path.parts or not member.name.isprintable() or "\\" in member.name:
        raise InputError(f"{name}: holds the unsafe path {member.name!r}; do not use this file")
