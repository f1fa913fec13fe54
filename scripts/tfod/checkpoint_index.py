"""Middle module: the names and shapes of what a checkpoint holds, read from its .index file without TensorFlow.

The file is a table of sorted keys, as LevelDB's are, that TensorFlow writes uncompressed: blocks of entries, an
index block that says where they are, and a footer that says where the index is.
"""

import struct
from pathlib import Path

from tfod.console import InputError

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48  # bytes


def list_variables(prefix):
    """The variables of the checkpoint `prefix` (.../ckpt-0): a dict name -> shape (list of ints).

    Names are those of the objects, as `model/_feature_extractor/.../kernel`, without the suffix that all of them have.
    Raises InputError if there is no such file, or it is no checkpoint's.
    """
    path = Path(f"{prefix}.index")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a checkpoint without its suffix, as .../ckpt-0") from error
    try:
        if len(data) < _FOOTER or struct.unpack_from("<Q", data, len(data) - 8)[0] != _MAGIC:
            raise ValueError("it does not end as such a file does")
        _, position = _read_handle(data, len(data) - _FOOTER)
        index, _ = _read_handle(data, position)
        variables = {}
        for _, handle in _read_block(data, *index):
            for key, entry in _read_block(data, *_read_handle(handle, 0)[0]):
                if key.endswith(SUFFIX.encode()):
                    variables[key.decode().removesuffix(SUFFIX)] = _read_shape(entry)
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{path}: is no index of a checkpoint ({error}); download or export the model anew") from error
    return variables


def _read_varint(data, position):
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position


def _read_handle(data, position):
    """((first byte of a block, its length), the position after that)."""
    offset, position = _read_varint(data, position)
    size, position = _read_varint(data, position)
    return (offset, size), position


def _read_block(data, offset, size):
    """Yields (key, value) of a block. A key leaves out what it shares with the one before."""
    if data[offset + size] != 0:
        raise ValueError("it is compressed")
    block = data[offset : offset + size]
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    position, key = 0, b""
    while position < size - 4 * restarts - 4:
        shared, position = _read_varint(block, position)
        unshared, position = _read_varint(block, position)
        length, position = _read_varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _read_shape(entry):
    """The shape in a BundleEntryProto: its field 2 holds the dimensions, each a message with the size as field 1."""
    shape = [value for number, value in _read_fields(entry) if number == 2]
    dimensions = [value for number, value in _read_fields(shape[0]) if number == 2] if shape else []
    return [dict(_read_fields(dimension)).get(1, 0) for dimension in dimensions]


def _read_fields(message):
    """Yields (number, value) of the fields of a serialized protobuf message."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        if tag & 7 == 0:
            value, position = _read_varint(message, position)
        elif tag & 7 == 2:
            length, position = _read_varint(message, position)
            value, position = message[position : position + length], position + length
        elif tag & 7 in (1, 5):
            length = 8 if tag & 7 == 1 else 4
            value, position = message[position : position + length], position + length
        else:
            raise ValueError("an entry is broken")
        yield tag >> 3, value
