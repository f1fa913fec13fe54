"""Top module: TFRecord files of labelled images, with the feature keys that the OD API reads.

They are written without TensorFlow, whose import takes longer than the work itself. Two small formats make that
possible: protobuf's wire format of a `tf.train.Example`, and the TFRecord frame of a length and two checksums.
"""

import functools
import hashlib
import io
import struct
from pathlib import Path

import numpy as np

from tfod.files import write_whole
from tfod.images import read_image


def encode_image(path, stored):
    """The file of an image as TensorFlow is to get it: (bytes, "jpeg" or "png"). `stored` is its `StoredImage`.

    An upright JPEG or PNG that TensorFlow decodes to the pixels of `read_image` is copied as it is. All else is
    encoded anew from these pixels: as JPEG (quality 95) where the file was compressed with loss, as PNG where not.
    """
    data = Path(path).read_bytes()
    if stored.orientation == 1:
        if stored.format in ("JPEG", "MPO") and stored.mode in ("L", "RGB"):  # MPO: a JPEG with more behind its end
            return data, "jpeg"
        if stored.format == "PNG" and not stored.mode.startswith("I;16"):
            return data, "png"
    image = read_image(path)
    lossy = stored.format in ("JPEG", "MPO") or (stored.format == "WEBP" and b"VP8L" not in data)
    image.info.clear()  # nothing but the pixels goes on
    encoded = io.BytesIO()
    if lossy:
        image.save(encoded, "JPEG", quality=95)
    else:
        image.save(encoded, "PNG")
    return encoded.getvalue(), "jpeg" if lossy else "png"


def make_example(filename, encoded, image_format, width, height, boxes, names_to_ids):
    """A serialized `tf.train.Example` of one image.

    `encoded` are the image's bytes, `image_format` says what they are, "jpeg" or "png", `width` and `height` are its
    size in pixels. `boxes` are `tfod.voc.Box`, in pixels within the image; they are stored normalized to 0..1.
    """
    text = filename.encode()
    features = {
        "image/height": _int64s([height]),
        "image/width": _int64s([width]),
        "image/filename": _bytes([text]),
        "image/source_id": _bytes([text]),
        "image/key/sha256": _bytes([hashlib.sha256(encoded).hexdigest().encode()]),
        "image/encoded": _bytes([encoded]),
        "image/format": _bytes([image_format.encode()]),
        "image/object/bbox/xmin": _floats([box.xmin / width for box in boxes]),
        "image/object/bbox/xmax": _floats([box.xmax / width for box in boxes]),
        "image/object/bbox/ymin": _floats([box.ymin / height for box in boxes]),
        "image/object/bbox/ymax": _floats([box.ymax / height for box in boxes]),
        "image/object/class/text": _bytes([box.name.encode() for box in boxes]),
        "image/object/class/label": _int64s([names_to_ids[box.name] for box in boxes]),
        "image/object/difficult": _int64s([box.difficult for box in boxes]),
        "image/object/truncated": _int64s([box.truncated for box in boxes]),
        "image/object/view": _bytes([box.pose.encode() for box in boxes]),
    }
    entries = [_field(1, _field(1, key.encode()) + _field(2, feature)) for key, feature in sorted(features.items())]
    return _field(1, b"".join(entries))  # Example.features


def _varint(number):
    """A non-negative integer in protobuf's variable length."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _field(number, content):
    """A protobuf field of wire type 2: bytes, a message or packed numbers."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


# The three kinds of tf.train.Feature; each holds a message whose field 1 are the values.
def _bytes(values):
    return _field(1, b"".join(_field(1, value) for value in values))


def _floats(values):
    return _field(2, _packed(struct.pack(f"<{len(values)}f", *values)))


def _int64s(values):
    return _field(3, _packed(b"".join(map(_varint, values))))


def _packed(numbers):
    return _field(1, numbers) if numbers else b""  # protobuf leaves out a list of none


def write_records(path, examples):
    """Writes a TFRecord file whole, from an iterable of serialized examples."""
    with write_whole(path) as fresh, fresh.open("wb") as file:
        for example in examples:
            length = struct.pack("<Q", len(example))
            file.write(length + _masked_crc(length))
            file.write(example)
            file.write(_masked_crc(example))


def _masked_crc(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data):
    """The CRC-32C (Castagnoli) of at least 4 bytes, as an int.

    A CRC is linear: the state after a stretch of zeros follows from the state before it by a fixed matrix over
    GF(2). So the front half of the data, moved forward over the length of the back half, can be added (xor) to the
    back half, and so on until one word is left; numpy does each halving at once.
    """
    words = np.zeros(-(-len(data) // 4), "<u4")
    content = words.view(np.uint8)[-len(data) :]  # zeros in front of the data change nothing
    content[:] = np.frombuffer(data, np.uint8)
    content[:4] ^= 0xFF  # the state before the first byte is all ones
    while len(words) > 1:
        power = (len(words) - 1).bit_length() - 1
        front = len(words) - 2**power
        moved = _advance(words[:front], power)
        words = words[front:].copy()
        words[2**power - front :] ^= moved
    return int(_advance(words, 0)[0]) ^ 0xFFFFFFFF


def _advance(states, power):
    """CRC states (uint32) after another 2**power words of zeros."""
    low, high = _tables(power)
    return low[states & 0xFFFF] ^ high[states >> 16]


@functools.cache
def _tables(power):
    """For `_advance`: where every value of the lower and of the upper 16 bits of a state goes, [65536] uint32 each."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if power == 0:
        for _ in range(32):  # one word of zeros, bit by bit
            bits = (bits >> 1) ^ np.where(bits & 1, np.uint32(0x82F63B78), np.uint32(0))
    else:
        bits = _advance(_advance(bits, power - 1), power - 1)
    tables = np.zeros((2, 65536), np.uint32)
    for i in range(16):
        tables[:, 2**i : 2 ** (i + 1)] = tables[:, : 2**i] ^ bits[[i, 16 + i], None]
    return tables
