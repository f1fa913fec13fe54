"""Zip files of others, unpacked within bounds: only below the folder, only plain files, no more bytes than they may."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tfod.utils.console import InputError, find_hidden

MOST_BYTES = 50 * 10**9  # unpacked: the photos of COCO take 26
MOST_FILES = 500_000
CHUNK = 1 << 20  # bytes
LEFT_OUT = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")  # what systems add


def unpack_zip(path, folder, most_bytes=MOST_BYTES, most_files=MOST_FILES):
    """Unpacks the zip file `path` into the new folder `folder`.

    Raises InputError if it is not a whole zip file, is locked with a password, holds a link or a path that leads out of
    the folder, or unpacks to more than `most_bytes` or `most_files`.
    """
    folder, left = Path(folder), most_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > most_files:
                raise InputError(_describe_size(path, most_bytes, most_files))
            for member in members:
                name = _check(path, member)
                if name.name in LEFT_OUT or name.parts[0] in LEFT_OUT:
                    continue
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("xb") as file:
                    while chunk := source.read(CHUNK):
                        left -= len(chunk)
                        if left < 0:  # what a member says of its size need not be so
                            raise InputError(_describe_size(path, most_bytes, most_files))
                        file.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        what = f"is not a whole zip file ({error})"
        raise InputError(f"{path}: {what}; get it again, or unpack it and give the folder") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"{path}: holds two files of one name; unpack it and give the folder") from None


def _describe_size(path, most_bytes, most_files):
    most = f"{most_bytes / 1e9:g} GB or {most_files} files"
    return f"{path}: unpacks to more than {most}; unpack it yourself if that is meant, and give the folder"


def _check(path, member):
    """The path of a member below the folder. Raises InputError if it is not a plain file there."""
    name = member.filename
    if not member.flag_bits & 0x800:  # no encoding is told: macOS writes UTF-8 all the same
        try:
            name = name.encode("cp437").decode()
        except UnicodeError:
            name = member.filename
    name = name.replace("\\", "/")  # as .NET wrote them
    parts = PurePosixPath(name)
    if member.flag_bits & 1:
        raise InputError(f"{path}: is locked with a password; unpack it and give the folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{path}: holds the link {name!r}; unpack it yourself and give the folder")
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or ":" in parts.parts[0] or find_hidden(name):
        raise InputError(f"{path}: holds the unsafe path {name!r}; do not use this file")
    return parts
