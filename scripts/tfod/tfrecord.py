"""Top module: TFRecord files of labelled images, with the feature keys that the OD API reads.

They are written and read without TensorFlow, whose import takes longer than the work itself. Two small formats make
that possible: protobuf's wire format of a `tf.train.Example`, and the TFRecord frame of a length and two checksums.
"""

import hashlib
import io
import mmap
import struct
from pathlib import Path

import google_crc32c

from tfod.console import InputError
from tfod.files import write_whole
from tfod.images import read_image


def encode_image(path, stored):
    """The file of an image as TensorFlow is to get it: (bytes, "jpeg" or "png"). `stored` is its `StoredImage`.

    An upright JPEG or PNG that TensorFlow decodes to the pixels of `read_image` is copied as it is. All else is
    encoded anew from these pixels: as JPEG (quality 95) where the file was compressed with loss, as PNG where not.
    """
    data = Path(path).read_bytes()
    if stored.is_plain:
        return data, "png" if stored.format == "PNG" else "jpeg"
    image = read_image(path)
    lossy = stored.format in ("JPEG", "MPO") or (stored.format == "WEBP" and b"VP8L" not in data)
    image.info.clear()  # nothing but the pixels goes on
    encoded = io.BytesIO()
    if lossy:
        image.save(encoded, "JPEG", quality=95)
    else:
        image.save(encoded, "PNG")
    return encoded.getvalue(), "jpeg" if lossy else "png"


# ---------------------------------------------------------------- writing


def make_example(filename, encoded, image_format, width, height, boxes, names_to_ids):
    """A serialized `tf.train.Example` of one image, as three pieces of bytes to be put together.

    `encoded` are the image's bytes, which become the second piece without being copied; `image_format` says what
    they are, "jpeg" or "png"; `width` and `height` are its size in pixels. `boxes` are `tfod.voc.Box`, in pixels
    within the image; they are stored normalized to 0..1.
    """
    text = filename.encode()
    values = (  # in the order of _KEYS
        _bytes([text]),
        _bytes([image_format.encode()]),
        _int64s([height]),
        _bytes([hashlib.sha256(encoded).hexdigest().encode()]),
        _floats([box.xmax / width for box in boxes]),
        _floats([box.xmin / width for box in boxes]),
        _floats([box.ymax / height for box in boxes]),
        _floats([box.ymin / height for box in boxes]),
        _int64s([names_to_ids[box.name] for box in boxes]),
        _bytes([box.name.encode() for box in boxes]),
        _int64s([box.difficult for box in boxes]),
        _int64s([box.truncated for box in boxes]),
        _bytes([box.pose.encode() for box in boxes]),
        _bytes([text]),
        _int64s([width]),
    )
    rest = b"".join([_field(1, key + _field(2, value)) for key, value in zip(_KEYS, values, strict=True)])
    # image/encoded is the first key. Before its bytes stand the heads of all that holds them, the innermost last.
    start = b""
    for number, before in ((1, b""), (1, b""), (2, b""), (1, _field(1, b"image/encoded"))):
        start = before + start
        start = _head(number, len(start) + len(encoded)) + start
    start = _head(1, len(start) + len(encoded) + len(rest)) + start  # Example.features
    return start, encoded, rest


def _varint(number):
    """A non-negative integer in protobuf's variable length."""
    if number < 0x80:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_ONE_BYTE = [bytes([number]) for number in range(0x80)]


def _head(number, size):
    """What stands before a protobuf field of wire type 2: bytes, a message or packed numbers, of `size` bytes."""
    return _varint(number << 3 | 2) + _varint(size)


def _field(number, content):
    return _head(number, len(content)) + content


# in protobuf's deterministic order; image/encoded comes before them
_KEYS = [
    _field(1, key)
    for key in (
        b"image/filename",
        b"image/format",
        b"image/height",
        b"image/key/sha256",
        b"image/object/bbox/xmax",
        b"image/object/bbox/xmin",
        b"image/object/bbox/ymax",
        b"image/object/bbox/ymin",
        b"image/object/class/label",
        b"image/object/class/text",
        b"image/object/difficult",
        b"image/object/truncated",
        b"image/object/view",
        b"image/source_id",
        b"image/width",
    )
]


# The three kinds of tf.train.Feature; each holds a message whose field 1 are the values.
def _bytes(values):
    return _field(1, b"".join([_field(1, value) for value in values]))


def _floats(values):
    return _field(2, _packed(struct.pack(f"<{len(values)}f", *values)))


def _int64s(values):
    return _field(3, _packed(b"".join(map(_varint, values))))


def _packed(numbers):
    return _field(1, numbers) if numbers else b""  # protobuf leaves out a list of none


def frame_record(pieces):
    """The pieces of a record as they stand in a TFRecord file: with its length before them, and two checksums."""
    length = struct.pack("<Q", sum(map(len, pieces)))
    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, piece)
    return [length + _mask(google_crc32c.value(length)), *pieces, _mask(crc)]


def write_records(path, examples):
    """Writes a TFRecord file whole, from an iterable of examples as `make_example` makes them."""
    with write_whole(path) as fresh, fresh.open("wb") as file:
        for pieces in examples:
            file.writelines(frame_record(pieces))


def _mask(crc):
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


# ---------------------------------------------------------------- reading


def find_records(path):
    """Yields (number from 0, first byte, byte after the last) of each record's example in a TFRecord file.

    Only the frames are read, not what they hold. Raises InputError where a frame is broken: nothing after it can be
    found.
    """
    with Path(path).open("rb", buffering=0) as file:
        size = file.seek(0, io.SEEK_END)
        position = number = 0
        while position < size:
            file.seek(position)
            head = file.read(12)
            place = f"{path}: record {number + 1}, at byte {position}"
            if len(head) == 12 and head[8:] != _mask(google_crc32c.value(head[:8])):
                raise InputError(f"{place}: its length is damaged, or this is no TFRecord file; make the records anew")
            end = position + 16 + int.from_bytes(head[:8], "little")
            if len(head) < 12 or end > size:
                raise InputError(f"{place}: the file ends within it, {size} bytes long; make the records anew")
            yield number, position + 12, end - 4
            position, number = end, number + 1


def read_record(file, path, number, start, stop):
    """The example's bytes of a record that `find_records` found, from the open file. Checks them.

    Raises InputError if they are damaged.
    """
    file.seek(start)
    data = file.read(stop - start + 4)
    if len(data) < stop - start + 4 or data[-4:] != _mask(google_crc32c.value(data[:-4])):
        raise InputError(f"{path}: record {number + 1}, at byte {start - 12}: is damaged; make the records anew")
    return data[:-4]


def read_records(path):
    """Yields the example's bytes of each record of a TFRecord file. Raises InputError where one is damaged."""
    with Path(path).open("rb") as file:
        for number, start, stop in find_records(path):
            yield read_record(file, path, number, start, stop)


def count_boxes(path):
    """Yields the number of boxes of each example of a TFRecord file, without reading the images."""
    if Path(path).stat().st_size == 0:  # can't be mapped
        return
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, start, stop in find_records(path):
            try:
                features = parse_example(data, start, stop, skip=("image/encoded",))
            except ValueError as error:
                raise InputError(f"{path}: record {number + 1}: {error}; make the records anew") from error
            yield len(features.get("image/object/bbox/xmin", ()))
            if number % 256 == 255:
                data.madvise(mmap.MADV_DONTNEED)  # what was read stays in the system's cache, not in our memory


def parse_example(data, start=0, stop=None, skip=()):
    """The features of a serialized `tf.train.Example`: dict key -> list of bytes, floats or ints.

    `data` are bytes or a mapped file that hold it from `start` to `stop`. Features of the keys in `skip` are left
    out, and not read. Raises ValueError if it is no Example.
    """
    features = {}
    for number, message in _read_messages(data, start, len(data) if stop is None else stop):
        if number == 1:  # Example.features
            for _, entry in _read_messages(data, *message):
                parts = dict(_read_messages(data, *entry))
                key = data[slice(*parts[1])].decode() if 1 in parts else ""
                if key not in skip:
                    features[key] = _read_feature(data, *parts[2]) if 2 in parts else []
    return features


def _read_feature(data, start, stop):
    values = []
    for kind, its_list in _read_messages(data, start, stop):
        values = []  # of several kinds the last one counts, as in protobuf
        if kind == 1:
            values += (data[slice(*value)] for _, value in _read_messages(data, *its_list))
            continue
        for _, value in _read_fields(data, *its_list):
            if not isinstance(value, tuple):
                values.append(_to_signed(value) if kind == 3 else value)
            elif kind == 3:
                values += _read_int64s(data, *value)
            elif (value[1] - value[0]) % 4 == 0:
                values += struct.unpack(f"<{(value[1] - value[0]) // 4}f", data[slice(*value)])
            else:
                raise ValueError("is no tf.train.Example (a list of floats is cut)")
    return values


def _read_int64s(data, start, stop):
    while start < stop:
        value, start = _read_varint(data, start, stop)
        yield _to_signed(value)


def _to_signed(number):
    return number - (1 << 64) if number >> 63 else number


def _read_varint(data, position, stop):
    """(value, position after it)."""
    value = shift = 0
    while True:
        if position >= stop or shift > 63:
            raise ValueError("is no tf.train.Example (a number goes on beyond its end)")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position


def _read_fields(data, start, stop):
    """Yields (number, value) of each field of a protobuf message; a value is an int, a float, or (start, stop)."""
    while start < stop:
        tag, start = _read_varint(data, start, stop)
        kind = tag & 7
        if kind == 0:
            value, start = _read_varint(data, start, stop)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, start = _read_varint(data, start, stop)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"is no tf.train.Example (a field of wire type {kind})")
        if start + size > stop:
            raise ValueError("is no tf.train.Example (a field goes on beyond its end)")
        yield tag >> 3, struct.unpack_from("<f", data, start)[0] if kind == 5 else (start, start + size)
        start += size


def _read_messages(data, start, stop):
    """As `_read_fields`, where each field must be (start, stop)."""
    for number, value in _read_fields(data, start, stop):
        if not isinstance(value, tuple):
            raise ValueError("is no tf.train.Example (a number where a message should be)")
        yield number, value


def count_records(path):
    """How many records a TFRecord file holds, without reading what is in them."""
    return sum(1 for _ in find_records(path))
