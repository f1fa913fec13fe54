"""Finds photos that are the same picture but for their size, compression or a narrow border.

A photo's thumbnail is grey, 16 rows of 17 pixels; its difference hash says of each two neighbours in a row which is
the brighter one: 256 bits, which a change of size or brightness hardly touches.
"""

import numpy as np
from PIL import Image

ROWS, COLUMNS = 16, 17
SAMPLES = 8  # a side of the square of pixels whose mean is a pixel of the thumbnail: as good as all, in half the time
SAMPLED = COLUMNS * SAMPLES, ROWS * SAMPLES  # width and height that a photo should have at least
# Measured on the 200 raccoon photos: copies at half and a third of the size, as JPEG of quality 10 to 30, brighter, and
# with 1 % cut off at every side differ in up to 52 bits and correlate by 0.96 or more; with 2 % cut off 99 % of them
# lie within these limits. Different photos differ in 76 bits or more (127 on average, standard deviation 10) and
# correlate by 0.80 at most. The four pairs between are one photo at two sizes, or two frames of one scene.
MOST_BITS = 60
LEAST_CORRELATION = 0.9


def make_thumbnail(image):
    """The thumbnail of an RGB PIL image, upright: bytes of ROWS x COLUMNS grey levels."""
    sampled = image.resize(SAMPLED, Image.Resampling.NEAREST)
    return sampled.reduce(SAMPLES).convert("L").tobytes()


def find_near_duplicates(thumbnails, others):
    """Which photos of `others` each of `thumbnails` resembles: a list of (index, list of indices), best first.

    Both are lists of what `make_thumbnail` returns. Photos that resemble none are left out.
    """
    if not thumbnails or not others:
        return []
    hashes, grey = _prepare(thumbnails)
    other_hashes, other_grey = _prepare(others)
    found = []
    rows = max(1, 2**22 // len(others))  # rows at a time, so that the table stays within some tens of megabytes
    for start in range(0, len(thumbnails), rows):
        part = hashes[start : start + rows]
        bits = np.zeros((len(part), len(others)), np.uint16)
        for word in range(part.shape[1]):
            bits += np.bitwise_count(part[:, word, None] ^ other_hashes[None, :, word])
        for row in np.flatnonzero((bits <= MOST_BITS).any(axis=1)):
            near = np.flatnonzero(bits[row] <= MOST_BITS)
            near = near[other_grey[near] @ grey[start + row] >= LEAST_CORRELATION]
            if len(near):
                best = np.argsort(bits[row, near], kind="stable")
                found.append((int(start + row), near[best].tolist()))
    return found


def _prepare(thumbnails):
    """(hashes: uint64 of shape (n, 4); grey levels of mean 0 and length 1: float32 of shape (n, 272))."""
    levels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, ROWS, COLUMNS)
    bits = levels[:, :, 1:] > levels[:, :, :-1]
    hashes = np.packbits(bits.reshape(len(levels), -1), axis=1).view(np.uint64)
    grey = levels.reshape(len(levels), -1).astype(np.float32)
    grey -= grey.mean(axis=1, keepdims=True)
    length = np.linalg.norm(grey, axis=1, keepdims=True)
    return hashes, grey / np.maximum(length, 1e-6)  # a photo of one colour resembles none
