import struct

import pytest

from tfod.checkpoint_index import SUFFIX, list_variables
from tfod.console import InputError


def write_index(prefix, shapes):
    """Writes the .index of a checkpoint `prefix` without its data: one block, as TensorFlow lays it out."""

    def varint(number):
        return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])

    def pack(entries):
        data = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
        return data + struct.pack("<II", 0, 1)  # one restart point, at 0

    entries = []
    for name, shape in sorted(shapes.items()):
        sizes = [b"\x08" + varint(size) for size in shape]
        dimensions = b"".join(b"\x12" + varint(len(size)) + size for size in sizes)
        entries.append(((name + SUFFIX).encode(), b"\x08\x01\x12" + varint(len(dimensions)) + dimensions))
    block = pack([(b"", b""), *entries])
    tail = b"\0" + bytes(4)  # uncompressed, and a checksum
    index = pack([(b"z", varint(0) + varint(len(block)))])
    handles = varint(0) + varint(0) + varint(len(block) + 5) + varint(len(index))
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.index").write_bytes(block + tail + index + tail + footer)


def test_names_and_shapes_are_those_that_tensorflow_reads(tmp_path):
    import tfod.compat  # noqa: F401 - a quiet TensorFlow

    import tensorflow as tf

    layers = {f"layer_{i:03}": tf.Variable(tf.zeros([i % 7, 300])) for i in range(200)}
    prefix = tf.train.Checkpoint(model=tf.train.Checkpoint(**layers), step=tf.Variable(3)).write(str(tmp_path / "ckpt"))
    theirs = {
        name.removesuffix(SUFFIX): shape for name, shape in tf.train.list_variables(prefix) if name.endswith(SUFFIX)
    }
    assert list_variables(prefix) == theirs
    assert theirs["model/layer_009"] == [2, 300]


def test_what_our_own_tests_write_is_read(tmp_path):
    shapes = {"model/a": [3, 3, 1000], "model/b": [], "feature_extractor/c": [2]}
    write_index(tmp_path / "ckpt-0", shapes)
    assert list_variables(tmp_path / "ckpt-0") == shapes


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(InputError, match="ckpt-0.index: No such file or directory; name a checkpoint without"):
        list_variables(tmp_path / "ckpt-0")
    write_index(tmp_path / "ckpt-0", {"model/a": [3]})
    path = tmp_path / "ckpt-0.index"
    whole = path.read_bytes()
    for broken in (b"", whole[:-3], bytes(len(whole) - 48) + whole[-48:], whole[-48:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="ckpt-0.index: is no index of a checkpoint"):
            list_variables(tmp_path / "ckpt-0")
