"""Top module: TFRecord files of labelled images, with the feature keys that the OD API reads.

They are written without TensorFlow, whose import takes longer than the work itself. Two small formats make that
possible: protobuf's wire format of a `tf.train.Example`, and the TFRecord frame of a length and two checksums.
"""

import hashlib
import io
import struct
from pathlib import Path

import google_crc32c

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
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
