"""Images that no reader should believe."""

import struct
import zlib


def make_png_of_30000_pixels_a_side():
    """The bytes of a PNG whose header promises 900 million pixels, and that holds none."""
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, content in (
        (b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ):
        bomb += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return bomb
