"""Where a detector's images come from: folders, patterns, files, videos, cameras."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tfod.data.images import IMAGE_SUFFIXES, find_name_fault
from tfod.utils.console import InputError
from tfod.utils.files import find_oddity

if TYPE_CHECKING:
    import numpy as np

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")  # in any case


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file, and the `name` (a relative path) under which its results are written."""

    path: Path
    name: Path


@dataclasses.dataclass(frozen=True)
class Video:
    """A video file, or a camera by its number, and the `name` under which its results are written."""

    path: Path | int
    name: Path


def find_sources(
    words: list[str], recursive: bool = False, leave_out: Path | None = None
) -> tuple[list[ImageFile], list[Video], list[str]]:
    """What the words of `-i` name: (list of `ImageFile`, list of `Video`, faults of single files).

    A word is a folder (of photos; with those below it if `recursive`), a file, a pattern as `photos/*.jpg`, or the
    number of a camera. Of a folder, what is below `leave_out`, where the results go, is not taken. A thing with the
    name of a photo that is not a file, as a folder, is a fault that leaves the others as they are.

    Raises InputError with every word that names nothing, and where two photos' results would have one name.
    """
    photos, videos, files, wrong, odd = [], [], [], [], []
    for word in words:
        path = Path(word)
        try:
            if fault := find_name_fault(path):
                wrong.append(fault)
            elif path.is_dir():
                found, faults = _list_folder(path, recursive, leave_out)
                photos += found
                odd += faults
            elif os.path.lexists(path):
                files.append(path)
            elif str(word).isdecimal():
                videos.append(Video(int(word), Path(f"camera{int(word)}")))
            elif glob.has_magic(str(word)):
                found = [path for path in _expand(str(word)) if not path.is_dir()]
                files += found
                if not found:
                    wrong.append(f"{word}: no file's name is like that; check the pattern")
            else:
                wrong.append(f"{word}: is not there; name a folder, a file, a pattern in quotes, or a camera's number")
        except InputError as error:
            wrong += error.faults
    parents = {path.parent.absolute() for path in files}
    common = Path(os.path.commonpath(parents)) if parents else None
    for path in files:
        name = path.absolute().relative_to(common)
        if fault := _find_oddity(path):
            odd.append(fault)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(Video(path, name))
        else:  # it may be an image under another name; its result gets a suffix that says so
            known = path.suffix.lower() in IMAGE_SUFFIXES
            photos.append(ImageFile(path, name if known else name.with_name(f"{name.name}.jpg")))
    wrong += _find_equal_names(photos)
    if wrong:
        raise InputError(*wrong)
    return photos, videos, odd


def _expand(pattern):
    """The paths that a pattern names, sorted; hidden ones only where it names these."""
    if "**" not in pattern:
        return sorted(map(Path, glob.glob(pattern)))
    # glob would follow links to a parent folder again and again
    start = Path(Path(pattern).anchor)
    found = start.glob(str(Path(pattern).relative_to(start)))
    wants_hidden = any(map(_is_hidden, Path(pattern).parts))
    return sorted(path for path in found if wants_hidden or not any(map(_is_hidden, path.parts)))


def _is_hidden(part):
    return part.startswith(".") and part not in (".", "..")


def _list_folder(folder, recursive, leave_out):
    folders = [folder]
    if recursive:
        folders = []
        for place, names, _ in os.walk(folder):
            names[:] = sorted(name for name in names if not name.startswith("."))
            if faults := [fault for name in names if (fault := find_name_fault(Path(place, name)))]:
                raise InputError(*faults)
            folders.append(Path(place))
    found, odd = [], []
    left_out = leave_out and Path(os.path.realpath(leave_out))
    below = left_out and Path(os.path.realpath(folder)) in left_out.parents
    for place in folders:
        if below and Path(os.path.realpath(place)).is_relative_to(left_out):
            continue
        with os.scandir(place) as entries:
            paths = sorted(
                Path(entry.path)
                for entry in entries
                if entry.name.lower().endswith(IMAGE_SUFFIXES) and not entry.name.startswith(".")
                if not (recursive and os.path.isdir(entry.path))  # noqa: PTH112 - which a loop of links does not raise in
            )
        for path in paths:
            if fault := _find_oddity(path):
                odd.append(fault)
            else:
                found.append(ImageFile(path, path.relative_to(folder)))
    return found, odd


def _find_oddity(path):
    """What keeps `path` from being read as a photo or video and named in the results, as a fault, or None."""
    odd = find_oddity(path)
    return f"{path}: {odd}" if odd else find_name_fault(path)


def _find_equal_names(photos):
    names = collections.defaultdict(list)
    for photo in photos:
        names[photo.name].append(str(photo.path))
    return [
        f"{paths[0]}: its result would have the name of {', '.join(paths[1:])}'s; give them in two runs, with two -o"
        for paths in names.values()
        if len(paths) > 1
    ]


@dataclasses.dataclass(frozen=True)
class VideoProperties:
    """Of an opened video: frames a second, and how many frames (0: not known)."""

    fps: float
    frames: int


def open_video(video: Video) -> tuple[VideoProperties, Iterator[tuple[int, float, np.ndarray]]]:
    """(`VideoProperties`, iterator over (frame number from 1, its time in seconds, uint8 [height, width, 3] RGB)).

    Frames are upright. Raises InputError, at the call or while iterating, for what is not a video, has no frames, or
    ends before its end.
    """
    # silences cv2 and its libraries: our own error says what is wrong
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    if isinstance(video.path, int):
        capture = cv2.VideoCapture(video.path)
        if not capture.isOpened():
            capture.release()
            raise InputError(f"camera {video.path}: is not there, or another program uses it; see `ls /dev/video*`")
    else:
        capture = cv2.VideoCapture(str(video.path.absolute()), cv2.CAP_FFMPEG)  # no other: some take name patterns
        if not capture.isOpened():
            capture.release()
            raise InputError(f"{video.path}: is not a video that can be read; convert it to MP4 (H.264)")
    fps, frames = capture.get(cv2.CAP_PROP_FPS), int(max(0, capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    fps = fps if 0 < fps <= 1000 else 30.0  # cameras may not know it
    return VideoProperties(fps, frames), _read_frames(video, capture, fps, frames)


def _read_frames(video, capture, fps, frames):
    import cv2

    number = 0
    try:
        while True:
            there, frame = capture.read()
            if not there:
                break
            number += 1
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield number, seconds or (number - 1) / fps, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
    if isinstance(video.path, int):
        raise InputError(f"camera {video.path}: gave no more images after {number}; check its cable")
    if not number:
        raise InputError(f"{video.path}: is a video without frames; record it again")
    if number < 0.9 * frames:  # the count is an estimate in some formats
        raise InputError(f"{video.path}: ends after {number} of {frames} frames; replace it with a sound copy")
