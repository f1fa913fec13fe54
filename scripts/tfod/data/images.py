"""Finds the photos of a folder and reads them as the detector is to see them.

Pixels are RGB, upright (the turn that a camera notes in EXIF is applied) and without alpha, which is dropped as
TensorFlow's decoder drops it.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import io
import os
import re
import sys
import warnings
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, ImageOps

from tfod.utils.console import Fault, InputError, say
from tfod.utils.files import find_oddity, is_file, read_bytes
from tfod.utils.parallel import count_cores

# in any case; .jfif and .jpe are JPEG under the names that Windows and browsers give
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif")
OTHER_SUFFIXES = (".heic", ".heif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".psd", ".svg")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF")  # no others: Pillow hands some to outside programs
MOST_MISSING = 0.1  # of a damaged photo's rows, for what is left of it to be used

MOST_BYTES = 10**9  # of an image file; more than any that Pillow decodes within its limit of pixels can need
WORKABLE = 50_000_000  # pixels; half the width and height of the largest that Pillow reads has fewer

# Pillow warns of sizes that today's phones have, and of EXIF data that many web sites cut; beyond twice that size it
# raises, which becomes an error, and so does a picture that can't be read.
warnings.filterwarnings("ignore", module=r"PIL\b")


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """How a file holds its picture: `format` and `mode` in Pillow's words, `size` (width, height) in pixels as
    stored, and the EXIF `orientation` (1 to 8, where 1 is upright). `is_cut`: it is damaged, and was decoded as far as
    it goes."""

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    is_cut: bool = False

    @property
    def upright_size(self):
        """(width, height) in pixels after the EXIF turn."""
        return self.size[::-1] if self.orientation >= 5 else self.size

    @property
    def is_workable(self):
        """Whether it has no more than `WORKABLE` pixels."""
        return self.size[0] * self.size[1] <= WORKABLE

    @property
    def is_plain(self):
        """Whether TensorFlow decodes the file, as it is, to the pixels of `read_image`."""
        if self.is_cut:
            return False
        if self.format in ("JPEG", "MPO"):  # MPO: a JPEG with more behind its end
            return self.orientation == 1 and self.mode in ("L", "RGB")
        return self.format == "PNG" and self.orientation == 1 and not self.mode.startswith("I;16")


def list_images(folder: Path, faults: list[Fault] | None = None) -> list[Path]:
    """The image files right in `folder`, known by their suffix, sorted; hidden ones are left out.

    Raises InputError if there is no such folder, for names that are not in UTF-8, pipes, and links that lead nowhere.
    With a list of `faults`, these files are left out, and noted there.
    """
    return list_files(folder, IMAGE_SUFFIXES, faults)


def list_files(folder: Path, suffixes: tuple[str, ...], faults: list[Fault] | None = None) -> list[Path]:
    """As `list_images`, for the files with one of the lower-case `suffixes`, in any case."""
    folder = Path(folder)
    return [folder / name for name in list_names(folder, suffixes, faults)]


def list_names(folder: Path, suffixes: tuple[str, ...], faults: list[Fault] | None = None) -> list[str]:
    """As `list_files`, but the files' names as texts, which take a fifth of the memory of paths."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; give the one that holds the {suffixes[0]} files")
    if fault := find_name_fault(folder):
        raise InputError(fault)
    found, wrong = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.lower().endswith(suffixes) or entry.name.startswith("."):
                continue
            if is_file(entry.path):
                found.append(entry.name)
            elif not os.path.isdir(entry.path):  # noqa: PTH112 - Path(path) takes longer
                wrong.append(Fault("not-a-file", entry.path, find_oddity(entry.path)))
    misnamed = {name: fault for name in found if not name.isascii() and (fault := find_name_fault(folder / name))}
    wrong += misnamed.values()
    if faults is not None:
        faults += sorted(wrong)
    elif wrong:
        raise InputError(*sorted(wrong))
    return sorted(name for name in found if name not in misnamed)


def find_name_fault(path):
    """A Fault if a path is not in UTF-8, as unpacking an old archive may leave names: neither XML nor JSON can hold it.
    None for all others."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        what = "the name is not in UTF-8; rename it"
        encoding = sys.getfilesystemencoding()
        with contextlib.suppress(UnicodeDecodeError):
            os.fsencode(name).decode()
            what = f"this session's encoding, {encoding}, can't name it; export LC_ALL=C.UTF-8 and run this again"
        return Fault("name-not-utf8", path, what)
    return None


def read_image(path: Path, repair: bool = False) -> Image.Image:
    """The picture of a file as a PIL image: RGB, upright, decoded to its last byte.

    With `repair`, a damaged one of which nine tenths can be read is decoded as far as it goes. Raises InputError if the
    file can't be decoded.
    """
    return _decode(path, read_bytes(path, MOST_BYTES), repair=repair)[0]


def read_workable(path: Path, repair: bool = False) -> tuple[Image.Image, tuple[int, int]]:
    """(the picture as by `read_image`, its upright size (width, height) in the file).

    The picture of more than `WORKABLE` pixels is half as wide and high, and a word on standard error says so: what
    works with all of its pixels would take gigabytes.
    """
    image, stored = _decode(path, read_bytes(path, MOST_BYTES), shrink=True, repair=repair)
    if not stored.is_workable:
        what = f"has {stored.size[0] * stored.size[1] / 1e6:.0f} million pixels, and is halved to"
        say(f"{path}: {what} {image.width} x {image.height} while it is read, to spare memory")
    return image, stored.upright_size


def read_small(path: Path, least: tuple[int, int], repair: bool = False) -> tuple[Image.Image, StoredImage]:
    """(the picture as by `read_image`, its `StoredImage`); a JPEG's is grey, and smaller where `least` allows.

    Every byte goes through the decoder, so whatever `read_image` finds is found; but no colours, and a half, a quarter
    or an eighth of the width and height are worked out, as long as they are `least` (width, height) or more.
    """
    return _decode(path, read_bytes(path, MOST_BYTES), least, repair=repair)


def decode_image(name, data):
    """As `read_image`, of the bytes of a file: (PIL image, `StoredImage`). `name` is what the faults call it."""
    return _decode(name, data)


def check_image(path: Path, decode: bool = True, repair: bool = False) -> StoredImage:
    """The `StoredImage` of a file. Raises InputError where `read_image` does, but takes less time.

    With `decode=False` only the header is read, and only what is wrong there is found.
    """
    if not decode:
        with _name_faults(path), Image.open(path, formats=_FORMATS) as image:
            return _describe(path, image)
    _, stored = _decode(path, read_bytes(path, MOST_BYTES), least=(1, 1), repair=repair)
    return stored


def _decode(path, data, least=None, shrink=False, repair=False):
    """`data`, the bytes of the file `path`, as (PIL image: RGB, upright; StoredImage).

    With `least`, a JPEG's image is grey and smaller, as `read_small` says. With `shrink`, one of more than `WORKABLE`
    pixels is halved, as `read_workable` says. `repair` is as in `read_image`.
    """
    try:
        return _decode_whole(path, data, least, shrink)
    except InputError as error:
        if not repair or error.faults[0].kind != "image-damaged":
            raise
        with contextlib.suppress(InputError), _take_cut_files():
            image, stored = _decode_whole(path, data, None, shrink, is_cut=True)
            if _measure_missing(image, stored.orientation) <= MOST_MISSING:
                return image, stored
        raise


@contextlib.contextmanager
def _take_cut_files():
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # for the whole process: only those that repair come here
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _measure_missing(image, orientation):
    """The share of rows, from the last one stored, of one colour only, as the decoder leaves what is missing."""
    import numpy as np

    if orientation > 1:
        back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose that undoes EXIF's turn
        image = image.transpose(Image.Transpose(back))
    rows = np.asarray(image).reshape(image.height, -1, 3)
    blank = (rows == rows[-1, 0]).all(axis=(1, 2))
    return float(np.argmin(blank[::-1]) / image.height if not blank.all() else 1)


def _decode_whole(path, data, least, shrink, is_cut=False):
    with _name_faults(path):
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        stored = _describe(path, image)
        if least:
            image.draft("L", least)
        shrink = shrink and not stored.is_workable
        if shrink:
            image.draft(None, (stored.size[0] // 2, stored.size[1] // 2))  # JPEG's decoder halves by itself
        image.load()
        if stored.orientation > 1:
            ImageOps.exif_transpose(image, in_place=True)
    if is_cut:
        stored = dataclasses.replace(stored, is_cut=True)
    elif not _is_complete(stored.format, data):
        raise InputError(
            Fault("image-damaged", path, "is cut off or damaged near its end; replace it with a sound copy")
        )
    image = _convert_to_rgb(image)
    if shrink and image.size == stored.upright_size:
        image = image.reduce(2)
    return image, stored


def _describe(path, image):
    if image.mode in ("I", "F", "LAB"):
        what = f"has {image.mode} pixels, which are not common colours; save it as 8-bit RGB"
        raise InputError(Fault("image-not-read", path, what))
    return StoredImage(image.format, image.mode, image.size, _read_orientation(image))


@contextlib.contextmanager
def _name_faults(path):
    """Makes an InputError of whatever Pillow raises at the file `path`."""
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        raise InputError(
            Fault("image-too-large", path, f"has more than {limit} million pixels; save it smaller")
        ) from None
    except Image.UnidentifiedImageError:
        known = "JPEG, PNG, GIF, BMP, WebP, TIFF and AVIF"
        what = f"is not an image, or is of a kind other than {known}; save it as JPEG"
        raise InputError(Fault("image-not-read", path, what)) from None
    # The decoders meet whatever a broken file holds, and then raise nearly anything.
    except Exception as error:
        what = f"can't be decoded ({error}); replace it with a sound copy"
        raise InputError(Fault("image-damaged", path, what)) from error


def _read_orientation(image):
    """1 to 8; what a file says beyond these is taken as upright, as viewers do."""
    if image.format == "TIFF":  # Pillow turns these by itself
        return 1
    if image.format in ("JPEG", "MPO") and not any(key in image.info for key in ("exif", "xmp")):
        return 1
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _convert_to_rgb(image):
    if image.mode.startswith("I;16"):
        import numpy as np

        # As TensorFlow and libpng do: the upper of the two bytes. Pillow would clip all above 255 to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("La", "RGBa"):  # colours already multiplied with alpha, which convert() wants undone first
        image = image.convert(image.mode.upper())
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_complete(image_format, data):
    """Whether a JPEG or PNG reaches its end mark: Pillow is content with all pixels, TensorFlow's decoder is not."""
    if image_format in ("JPEG", "MPO"):
        return data.endswith(b"\xff\xd9") or _find_jpeg_end(data) > 0
    if image_format == "PNG":
        try:
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()
        except (SyntaxError, OSError):
            return False
        return b"\0\0\0\0IEND\xaeB`\x82" in data  # length, name and checksum of the chunk, which has no content
    return True


# Neither a stuffed byte nor a restart mark. Of several 0xff, which may fill, the last one counts; `\xff+` would say so
# too, but keeps the search from leaping to the next 0xff: ten times as slow.
_JPEG_SEGMENT = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


def _find_jpeg_end(data):
    """The position after the end mark of the (first) picture in the bytes of a JPEG file, or 0 if there is none."""
    position = 2
    while segment := _JPEG_SEGMENT.search(data, position):
        if segment[1] == b"\xd9":
            return segment.end()
        # Every other segment says its own length; what follows is the next one, or the pixels' data.
        position = segment.end() + int.from_bytes(data[segment.end() : segment.end() + 2])
    return 0


def map_in_threads(function, items, workers=None):
    """Yields `function(item)` in the order of `items`, worked out by `workers` threads: None: one for each core.

    For what Pillow, hashing and files do, where Python's threads run at the same time. Few results wait at any
    moment, so that memory does not grow with the number of items.
    """
    workers = workers or count_cores()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
