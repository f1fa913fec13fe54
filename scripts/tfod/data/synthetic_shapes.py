"""Shapes that the sample data set is drawn with: outlines in units of a canvas, filled and stroked on Pillow images.

Points are (x, y), y points down.
"""

import math
from collections import namedtuple

from PIL import Image, ImageDraw

# main, light and dark fur
GINGER = ((232, 150, 62), (255, 228, 186), (184, 96, 26))
GREY = ((146, 150, 160), (226, 230, 236), (88, 92, 104))
BLACK = ((62, 60, 70), (176, 172, 180), (30, 28, 36))
WHITE = ((244, 238, 228), (255, 255, 252), (196, 178, 156))
BROWN = ((146, 96, 60), (230, 196, 156), (92, 56, 34))
CREAM = ((240, 210, 160), (255, 244, 222), (204, 160, 104))
GOLDEN = ((206, 164, 104), (250, 232, 200), (150, 108, 58))
BLUE = ((120, 134, 164), (214, 222, 238), (76, 88, 118))
RED = ((176, 78, 48), (250, 214, 184), (118, 44, 26))
FURS = [GINGER, GREY, BLACK, WHITE, BROWN, CREAM, GOLDEN, BLUE, RED]
BRIGHT = [(226, 62, 62), (250, 190, 44), (60, 150, 220), (70, 176, 96), (158, 92, 196), (240, 120, 170), (40, 172, 172)]
PINK = (242, 150, 160)
INK = (44, 34, 36)

# Where shapes are drawn: units become pixels of `image` by flip, turn, scale and move. `wide` and `high` are its sides
# in units.
Canvas = namedtuple("Canvas", "draw image scale cos sin flip x y wide high")


def make_canvas(image, scale, turn=0.0, flip=1, x=0.0, y=0.0):
    """A canvas on `image`: `scale` pixels to a unit, turned by `turn` radians, unit (x, y) in the image's middle."""
    cos, sin = math.cos(turn), math.sin(turn)
    left = image.width / 2 - scale * (flip * x * cos - y * sin)
    top = image.height / 2 - scale * (flip * x * sin + y * cos)
    draw = ImageDraw.Draw(image)
    return Canvas(draw, image, scale, cos, sin, flip, left, top, image.width / scale, image.height / scale)


def oval(x, y, rx, ry, turn=0.0):
    """The outline of an ellipse, turned clockwise by `turn` degrees."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    circle = [(rx * math.cos(a), ry * math.sin(a)) for a in (2 * math.pi * i / 36 for i in range(36))]
    return [(x + u * c - v * s, y + u * s + v * c) for u, v in circle]


def smooth(points, closed=True, steps=6):
    """A soft curve through the points (Catmull-Rom)."""
    count = len(points)
    at = (lambda i: points[i % count]) if closed else (lambda i: points[min(max(i, 0), count - 1)])
    curve = []
    for i in range(count if closed else count - 1):
        a, b, c, d = at(i - 1), at(i), at(i + 1), at(i + 2)
        for t in (step / steps for step in range(steps)):
            curve.append(
                tuple(
                    0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t * t + (3 * q - p - 3 * r + s) * t**3)
                    for p, q, r, s in zip(a, b, c, d, strict=True)
                )
            )
    return curve if closed else [*curve, points[-1]]


def mirror(points):
    return [(-x, y) for x, y in points]


def place(canvas, points):
    """Units to pixels: flipped, turned, scaled, moved."""
    pixels = []
    for x, y in points:
        x *= canvas.flip
        pixels.append(
            (
                canvas.x + canvas.scale * (x * canvas.cos - y * canvas.sin),
                canvas.y + canvas.scale * (x * canvas.sin + y * canvas.cos),
            )
        )
    return pixels


def fill(canvas, points, colour, outline=0.055, marks=()):
    """Fills an outline; `marks`, pairs of outline and colour, are drawn within it only."""
    pixels = place(canvas, points)
    canvas.draw.polygon(pixels, fill=colour)
    if marks:
        inside = Image.new("L", canvas.image.size)
        ImageDraw.Draw(inside).polygon(pixels, fill=255)
        coat = canvas.image.copy()
        for mark, mark_colour in marks:
            ImageDraw.Draw(coat).polygon(place(canvas, mark), fill=mark_colour)
        canvas.image.paste(coat, mask=inside)
    if outline:
        stroke(canvas, [*points, points[0], points[1]], outline, INK)


def stroke(canvas, points, width, colour):
    pixels = place(canvas, points)
    thick = max(1, round(width * canvas.scale))
    canvas.draw.line(pixels, fill=colour, width=thick, joint="curve")
    for x, y in (pixels[0], pixels[-1]):  # round ends
        canvas.draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=colour)
