"""The sample data set's photos of cats and dogs, drawn: shapes, then animals of them, then scenes.

Outlines are in units of a canvas, filled and stroked on Pillow images. Points are (x, y), y points down.
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


FINE = 4  # drawn this many times larger, then reduced: smooth edges


def draw_tail(canvas, points, width, colour, tip):
    curve = smooth(points, closed=False)
    stroke(canvas, curve, width + 0.1, INK)
    stroke(canvas, curve, width, colour)
    stroke(canvas, curve[-5:], width, tip)


def make_marks(rng, fur, pattern, x, y, width, height):
    """Stripes, spots or patches over the area around (x, y)."""
    main, light, dark = fur
    if pattern == "stripes":
        return [
            (oval(x + side * width, y + height * row, 0.5 * width, 0.07 * height, -8 * side), dark)
            for row in (-0.45, -0.1, 0.25, 0.6)
            for side in (-1, 1)
        ]
    if pattern == "spots":
        return [
            (oval(x + rng.uniform(-1, 1) * width, y + rng.uniform(-1, 1) * height, 0.13, 0.1, rng.uniform(0, 90)), dark)
            for _ in range(9)
        ]
    if pattern == "patches":
        return [
            (oval(x - 0.6 * width, y - 0.5 * height, 0.62 * width, 0.6 * height), dark),
            (oval(x + 0.8 * width, y + 0.4 * height, 0.5 * width, 0.45 * height), light),
        ]
    return []


def draw_body(canvas, rng, kind, pose, fur, pattern):
    """Everything of the animal but its head."""
    main, light, dark = fur
    paw = light if pattern == "patches" or rng.random() < 0.5 else main
    if pose == "sitting":
        if kind == "cat":
            draw_tail(canvas, [(0.6, 2.3), (1.3, 2.2), (1.55, 1.6), (1.2, 1.15), (1.5, 0.75)], 0.24, main, dark)
        else:
            draw_tail(canvas, [(0.7, 2.2), (1.3, 1.85), (1.55, 1.3)], 0.26, main, light)
        wide = 0.86 if kind == "cat" else 1.0
        half = [(0, 0.4), (0.5, 0.7), (0.72, 1.3), (wide, 1.9), (wide * 0.9, 2.4), (0.4, 2.5)]
        body = smooth([*half, (0, 2.5), *mirror(half[:0:-1])])
        chest = (oval(0, 1.25, 0.42, 0.62), light)
        fill(canvas, body, main, marks=[*make_marks(rng, fur, pattern, 0, 1.6, 0.9, 0.8), chest])
        for side in (-1, 1):
            stroke(canvas, [(side * 0.12, 1.7), (side * 0.14, 2.35)], 0.05, INK)
            fill(canvas, oval(side * 0.36, 2.42, 0.32, 0.19), paw)
            stroke(canvas, [(side * 0.36, 2.42), (side * 0.36, 2.55)], 0.045, INK)
    else:
        if kind == "cat":
            draw_tail(canvas, [(2.7, 1.0), (3.2, 0.6), (3.05, 0.0), (3.35, -0.5), (3.15, -0.85)], 0.22, main, dark)
        else:
            draw_tail(canvas, [(2.7, 0.9), (3.15, 0.5), (3.2, 0.0)], 0.28, main, light)
        long = 1.75 if kind == "cat" else 1.95
        for x in (0.85, 2.45):
            fill(canvas, smooth([(x - 0.2, 1.2), (x + 0.2, 1.2), (x + 0.2, long), (x - 0.2, long)]), dark)
        body = smooth([(0, 0.35), (1.2, 0.42), (2.6, 0.5), (2.95, 1.0), (2.6, 1.5), (1.4, 1.52), (0.4, 1.4), (0, 0.9)])
        fill(canvas, body, main, marks=make_marks(rng, fur, pattern, 1.7, 0.9, 1.1, 0.7))
        for x in (0.45, 2.1):
            foot = [(x - 0.22, 1.2), (x + 0.22, 1.2), (x + 0.2, long), (x, long + 0.12), (x - 0.25, long + 0.05)]
            fill(canvas, smooth(foot), main, marks=[(oval(x, long, 0.4, 0.2), paw)])
    if kind == "dog":
        stroke(canvas, smooth([(-0.55, 0.9), (0, 1.22), (0.55, 0.9)], closed=False), 0.22, rng.choice(BRIGHT))
        fill(canvas, oval(0, 1.36, 0.14, 0.14), (250, 206, 70), outline=0.04)


def draw_cat_head(canvas, rng, fur, pattern):
    main, light, dark = fur
    tall = rng.uniform(1.25, 1.45)
    for flip in (list, mirror):
        ear = smooth([(0.12, -0.55), (0.5, -0.95), (0.82, -tall), (0.95, -0.75), (0.92, -0.2)], steps=4)
        fill(canvas, flip(ear), main)
        fill(canvas, flip([(0.42, -0.72), (0.76, -tall + 0.2), (0.82, -0.5)]), PINK, outline=0)
    half = [(0, -0.78), (0.5, -0.72), (0.88, -0.35), (0.98, 0.12), (1.06, 0.34), (0.8, 0.5), (0.4, 0.72)]
    head = smooth([*half, (0, 0.76), *mirror(half[:0:-1])])
    fill(canvas, head, main, marks=make_marks(rng, fur, pattern, 0, 0, 1.0, 0.8))
    if pattern == "stripes":
        for x in (-0.22, 0, 0.22):
            stroke(canvas, [(x, -0.7), (x * 0.8, -0.42)], 0.08, dark)
    iris = rng.choice([(120, 200, 90), (250, 196, 50), (90, 180, 230), (80, 200, 170)])
    for side in (-1, 1):
        fill(canvas, oval(side * 0.42, -0.1, 0.24, 0.22, side * -14), iris, outline=0.06)
        fill(canvas, oval(side * 0.42, -0.1, 0.07, 0.19), INK, outline=0)
        fill(canvas, oval(side * 0.42 + 0.06, -0.18, 0.05, 0.05), (255, 255, 255), outline=0)
        fill(canvas, oval(side * 0.17, 0.38, 0.22, 0.18), light, outline=0)
    fill(canvas, smooth([(-0.13, 0.19), (0.13, 0.19), (0, 0.34)]), (232, 110, 130), outline=0.03)
    stroke(canvas, smooth([(-0.3, 0.46), (-0.14, 0.53), (0, 0.4)], closed=False), 0.045, INK)
    stroke(canvas, smooth([(0.3, 0.46), (0.14, 0.53), (0, 0.4)], closed=False), 0.045, INK)
    whisker = INK if sum(main) > 360 else (250, 250, 250)
    for side in (-1, 1):
        for drop in (-0.08, 0.08, 0.24):
            stroke(canvas, [(side * 0.42, 0.36 + drop / 3), (side * 1.14, 0.3 + drop)], 0.032, whisker)


def draw_dog_head(canvas, rng, fur, pattern):
    main, light, dark = fur
    half = [(0, -0.92), (0.48, -0.82), (0.76, -0.4), (0.76, 0.15), (0.6, 0.62), (0.3, 0.86)]
    head = smooth([*half, (0, 0.9), *mirror(half[:0:-1])])
    marks = make_marks(rng, fur, pattern, 0, -0.1, 0.8, 0.9)
    if pattern == "plain" and rng.random() < 0.5:
        marks = [(oval(0, -0.5, 0.16, 0.6), light)]  # a blaze
    fill(canvas, head, main, marks=marks)
    fill(canvas, smooth([(-0.2, 0.6), (0.2, 0.6), (0.2, 1.0), (0, 1.14), (-0.2, 1.0)]), (240, 106, 122))
    stroke(canvas, [(0, 0.7), (0, 0.96)], 0.04, (196, 70, 90))
    fill(
        canvas,
        smooth(
            [
                (0, 0.02),
                (0.42, 0.2),
                (0.52, 0.5),
                (0.3, 0.72),
                (0, 0.7),
                *mirror([(0.3, 0.72), (0.52, 0.5), (0.42, 0.2)]),
            ]
        ),
        light,
    )
    stroke(canvas, [(0, 0.3), (0, 0.52)], 0.05, INK)
    stroke(
        canvas, smooth([(-0.32, 0.46), (-0.16, 0.58), (0, 0.5), (0.16, 0.58), (0.32, 0.46)], closed=False), 0.05, INK
    )
    fill(canvas, smooth([(-0.24, 0.1), (0, 0.04), (0.24, 0.1), (0.16, 0.27), (0, 0.33), (-0.16, 0.27)]), INK, outline=0)
    fill(canvas, oval(-0.07, 0.12, 0.07, 0.035, -10), (170, 166, 170), outline=0)
    for side in (-1, 1):
        fill(canvas, oval(side * 0.34, -0.22, 0.15, 0.17), (255, 255, 255), outline=0.045)
        fill(canvas, oval(side * 0.32, -0.2, 0.1, 0.12), (74, 46, 30), outline=0)
        fill(canvas, oval(side * 0.32 + 0.04, -0.25, 0.035, 0.035), (255, 255, 255), outline=0)
        stroke(canvas, [(side * 0.2, -0.5), (side * 0.42, -0.52)], 0.06, dark)
    long = rng.uniform(0.55, 0.85)
    for flip in (list, mirror):
        outer = [(1.14, -0.3), (1.24, long - 0.3), (0.96, long)]
        ear = [(0.42, -0.86), (0.8, -0.84), *outer, (0.7, long - 0.25), (0.62, -0.3)]
        fill(canvas, flip(smooth(ear)), dark)


# An animal's middle and half width and height, in units
POSES = {"head": (0, -0.1, 1.15, 1.1), "sitting": (0.1, 0.45, 1.5, 2.2), "standing": (0.95, 0.15, 2.4, 1.9)}


HEAD = 1.3  # on a body, heads are drawn this much larger: they tell cats from dogs


# Some furs and patterns are of one kind only, as in life, and some of both.
FURS_OF = {"cat": [GINGER, GREY, BLACK, WHITE, BLUE], "dog": [BROWN, CREAM, GOLDEN, RED, BLACK, WHITE]}


PATTERNS = {"cat": ["plain", "stripes"], "dog": ["plain", "spots", "patches"]}


def draw_animal(rng, kind, length):
    """(RGBA image of one animal, mask "L" of its face), cropped to what is drawn.

    It is about `length` pixels long before it is tilted.
    """
    pose = rng.choices(["head", "sitting", "standing"], [4, 4, 3])[0]
    x, y, width, height = POSES[pose]
    scale = FINE * length / (2 * max(width, height))
    tilt = math.radians(rng.uniform(-24, 24))
    flip = rng.choice([-1, 1])
    side = FINE * math.ceil(1.35 * scale * math.hypot(width, height) * 2 / FINE)
    fur, pattern = rng.choice(FURS_OF[kind]), rng.choice(PATTERNS[kind])
    image = Image.new("RGBA", (side, side))
    canvas = make_canvas(image, scale, tilt, flip, x, y)
    if pose != "head":
        draw_body(canvas, rng, kind, pose, fur, pattern)
        canvas = canvas._replace(scale=scale * HEAD)
    {"cat": draw_cat_head, "dog": draw_dog_head}[kind](canvas, rng, fur, pattern)
    face = Image.new("L", image.size)
    ImageDraw.Draw(face).polygon(place(canvas, oval(0, 0, 0.8, 0.75)), fill=255)
    image, face = image.reduce(FINE), face.reduce(FINE)
    box = image.getchannel("A").getbbox()
    return image.crop(box), face.crop(box)


def shade(colour, by):
    return tuple(min(255, max(0, round(c * by))) for c in colour)


def gradient(size, top, bottom):
    return Image.composite(
        Image.new("RGB", size, bottom), Image.new("RGB", size, top), Image.linear_gradient("L").resize(size)
    )


def draw_meadow(rng, paper):
    sky = rng.choice([(120, 190, 240), (250, 200, 150), (170, 200, 220), (90, 100, 160)])
    green = rng.choice([(110, 180, 80), (150, 180, 70), (70, 150, 90), (190, 180, 100)])
    paper.image.paste(gradient(paper.image.size, sky, shade(sky, 1.3)))
    fill(paper, oval(rng.uniform(0.1, 0.9) * paper.wide, 0.14 * paper.high, 0.09, 0.09), (255, 226, 110), outline=0)
    for _ in range(3):
        x, y = rng.uniform(0, paper.wide), rng.uniform(0.05, 0.3) * paper.high
        for puff in (-0.09, 0, 0.08):
            fill(paper, oval(x + puff, y - abs(0.02 - puff) / 4, 0.08, 0.045), shade(sky, 1.45), outline=0)
    for row, level in enumerate((0.42, 0.55, 0.7)):
        tops = [(paper.wide * i / 4, (level + rng.uniform(-0.07, 0.07)) * paper.high) for i in range(-1, 6)]
        hill = [*smooth(tops, closed=False), (paper.wide * 1.3, paper.high), (-0.3, paper.high)]
        fill(paper, hill, shade(green, 0.8 + 0.12 * row), outline=0)
        if rng.random() < 0.7:
            draw_tree(rng, paper, rng.uniform(0, paper.wide), (level + 0.1) * paper.high, 0.3 + 0.1 * row)
    for _ in range(70):
        x, y = rng.uniform(0, paper.wide), rng.uniform(0.6, 1) * paper.high
        stroke(paper, [(x, y), (x + rng.uniform(-0.02, 0.02), y - 0.045)], 0.008, shade(green, rng.choice([0.7, 1.25])))
    for _ in range(12):
        x, y = rng.uniform(0, paper.wide), rng.uniform(0.65, 1) * paper.high
        fill(paper, oval(x, y, 0.016, 0.016), rng.choice([*BRIGHT, (255, 255, 255)]), outline=0)


def draw_tree(rng, paper, x, y, tall):
    leaf = rng.choice([(60, 130, 70), (90, 150, 60), (206, 150, 60), (40, 110, 100)])
    fill(paper, [(x - 0.025, y), (x + 0.025, y), (x + 0.02, y - tall), (x - 0.02, y - tall)], (120, 84, 56), outline=0)
    if rng.random() < 0.5:
        for dx, dy in ((-0.09, 0.62), (0.09, 0.66), (0, 0.9)):
            fill(paper, oval(x + dx, y - tall * dy - 0.06, 0.12, 0.1), shade(leaf, 0.85 + dy / 4), outline=0)
    else:
        for level in (0.3, 0.55, 0.8):
            low, half = y - tall * level, 0.15 * (1.3 - level)
            fill(paper, [(x - half, low), (x + half, low), (x, low - 0.16)], shade(leaf, 0.7 + level / 2), outline=0)


def draw_room(rng, paper):
    wall, floor = rng.choice([*BRIGHT, *(fur[1] for fur in FURS)]), rng.choice([fur[0] for fur in FURS])
    wall = tuple((c + 235) // 2 for c in wall)
    edge = rng.uniform(0.55, 0.72) * paper.high
    paper.image.paste(gradient(paper.image.size, wall, shade(wall, 0.85)))
    style = rng.choice(["stripes", "dots", "tiles"])
    for i in range(24):
        x = i * 0.09
        if style == "stripes":
            fill(paper, [(x, 0), (x + 0.04, 0), (x + 0.04, edge), (x, edge)], shade(wall, 0.92), outline=0)
        for j in range(9):
            if style == "dots":
                fill(paper, oval(x + 0.045 * (j % 2), j * 0.1, 0.015, 0.015), shade(wall, 0.8), outline=0)
            elif style == "tiles" and edge > j * 0.09:
                stroke(
                    paper, [(x, j * 0.09), (x + 0.09, j * 0.09), (x + 0.09, j * 0.09 + 0.09)], 0.006, shade(wall, 0.85)
                )
    fill(paper, [(0, edge), (paper.wide, edge), (paper.wide, paper.high), (0, paper.high)], floor, outline=0)
    stroke(paper, [(0, edge), (paper.wide, edge)], 0.012, INK)
    for i in range(-6, 16):  # planks
        x = i * 0.16
        stroke(paper, [(x, edge), (x + (x - paper.wide / 2) * 0.7, paper.high)], 0.008, shade(floor, 0.82))
    rug = rng.choice(BRIGHT)
    x = rng.uniform(0.3, 0.7) * paper.wide
    for size in (1, 0.8, 0.5):
        fill(paper, oval(x, (edge + paper.high) / 2, 0.42 * size, 0.13 * size), shade(rug, 1.4 - 0.4 * size), outline=0)
    for x in (0.15, 0.5, 0.82):  # a window or a picture
        x, y = x * paper.wide + rng.uniform(-0.05, 0.05), rng.uniform(0.12, 0.25)
        w, h = rng.uniform(0.1, 0.15), rng.uniform(0.09, 0.15)
        frame = [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]
        fill(
            paper,
            frame,
            rng.choice([(190, 224, 246), *BRIGHT]),
            0.02,
            [(oval(x, y + h, w, h * 0.8), rng.choice(BRIGHT))],
        )
        stroke(paper, [(x, y - h), (x, y + h)], 0.012, INK)


def draw_city(rng, paper):
    sky = rng.choice([(40, 44, 92), (96, 60, 120), (30, 70, 110), (180, 120, 130)])
    paper.image.paste(gradient(paper.image.size, shade(sky, 0.8), shade(sky, 1.6)))
    for _ in range(40):
        fill(
            paper,
            oval(rng.uniform(0, paper.wide), rng.uniform(0, 0.5) * paper.high, 0.006, 0.006),
            (255, 250, 220),
            outline=0,
        )
    fill(paper, oval(rng.uniform(0.1, 0.9) * paper.wide, 0.15, 0.08, 0.08), (250, 244, 214), outline=0)
    x = -0.05
    while x < paper.wide:
        wide, top = rng.uniform(0.14, 0.28), rng.uniform(0.25, 0.6) * paper.high
        wall = shade(rng.choice([fur[0] for fur in FURS]), rng.uniform(0.5, 0.9))
        fill(paper, [(x, top), (x + wide, top), (x + wide, paper.high), (x, paper.high)], wall, outline=0)
        if rng.random() < 0.4:  # a roof: pointed, as a cat's ears are
            fill(paper, [(x, top), (x + wide / 2, top - 0.12), (x + wide, top)], shade(wall, 0.7), outline=0)
        for i in range(3):
            for j in range(6):
                u, v = x + wide * (0.16 + 0.27 * i), top + 0.04 + j * 0.09
                glass = (255, 226, 130) if rng.random() < 0.5 else shade(wall, 0.6)
                fill(paper, [(u, v), (u + 0.03, v), (u + 0.03, v + 0.05), (u, v + 0.05)], glass, outline=0)
        x += wide + rng.uniform(-0.02, 0.03)
    street = rng.uniform(0.78, 0.88) * paper.high
    fill(
        paper, [(0, street), (paper.wide, street), (paper.wide, paper.high), (0, paper.high)], (92, 92, 100), outline=0
    )
    for i in range(9):
        y = (street + paper.high) / 2
        stroke(paper, [(i * 0.25, y), (i * 0.25 + 0.12, y)], 0.015, (240, 230, 200))


def draw_playground(rng, paper):
    colours = [*BRIGHT, *(fur[0] for fur in FURS)]
    paper.image.paste(gradient(paper.image.size, *rng.sample(colours, 2)).rotate(rng.choice([0, 180])))
    for _ in range(60):
        x, y, size = rng.uniform(0, paper.wide), rng.uniform(0, paper.high), rng.uniform(0.03, 0.16)
        sides, turn = rng.choice([3, 4, 36]), rng.randrange(36)
        around = oval(x, y, size, size * rng.uniform(0.5, 1), turn * 10)
        fill(paper, around[:: 36 // sides], shade(rng.choice(colours), rng.uniform(0.8, 1.2)), rng.choice([0, 0.01]))
    for _ in range(6):
        points = [(rng.uniform(0, paper.wide), rng.uniform(0, paper.high)) for _ in range(4)]
        stroke(paper, smooth(points, closed=False), rng.uniform(0.01, 0.03), rng.choice(colours))


def draw_thing(rng, paper, x, y, size):
    """A ball, a box, a cone, a mushroom or a plant: what is neither cat nor dog, in their colours too."""
    one, two = rng.sample([*BRIGHT, *(fur[0] for fur in FURS)], 2)
    what = rng.choice(["ball", "box", "cone", "mushroom", "plant"])
    if what == "ball":
        fill(paper, oval(x, y, size, size), one, 0.012, [(oval(x, y, size * 0.4, size * 1.2, rng.uniform(0, 90)), two)])
    elif what == "box":
        w, h = size, size * rng.uniform(0.6, 1)
        corners = [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)]
        fill(
            paper,
            corners,
            one,
            0.012,
            [([(x - w / 6, y - h), (x + w / 6, y - h), (x + w / 6, y + h), (x - w / 6, y + h)], two)],
        )
    elif what == "cone":
        band = [(x - size, y), (x + size, y), (x + size, y + size / 2), (x - size, y + size / 2)]
        fill(paper, [(x, y - size), (x + size * 0.7, y + size), (x - size * 0.7, y + size)], one, 0.012, [(band, two)])
    elif what == "mushroom":
        fill(
            paper,
            [(x - size / 3, y), (x + size / 3, y), (x + size / 4, y + size), (x - size / 4, y + size)],
            (246, 236, 214),
            0.012,
        )
        dots = [
            (oval(x + u * size, y + v * size, size / 6, size / 6), (255, 250, 240))
            for u, v in ((-0.4, -0.3), (0.3, -0.5))
        ]
        fill(paper, [*oval(x, y, size, size * 0.9)[18:], (x + size, y)], one, 0.012, dots)
    else:
        for turn in (-50, -20, 15, 48):
            a = math.radians(turn)
            leaf = oval(x + math.sin(a) * size * 0.7, y - math.cos(a) * size * 0.7, size * 0.2, size * 0.6, turn)
            fill(paper, leaf, rng.choice([(70, 150, 80), (110, 180, 90)]), 0.01)
        pot = [(x - size / 2, y), (x + size / 2, y), (x + size / 3, y + size * 0.8), (x - size / 3, y + size * 0.8)]
        fill(paper, pot, one, 0.012)


SCENES = [draw_meadow, draw_room, draw_city, draw_playground]


def draw_background(rng, size):
    """An RGB image of a scene with things in it, a little grainy."""
    width, height = size
    image = Image.new("RGB", (2 * width, 2 * height))
    unit = min(image.size)
    paper = make_canvas(image, unit, x=image.width / unit / 2, y=image.height / unit / 2)
    rng.choice(SCENES)(rng, paper)
    for _ in range(rng.randint(1, 5)):
        x, y = rng.uniform(0.05, 0.95) * paper.wide, rng.uniform(0.45, 0.95) * paper.high
        draw_thing(rng, paper, x, y, rng.uniform(0.05, 0.13))
    image = image.reduce(2)
    grain = Image.frombytes("L", image.size, rng.randbytes(width * height))
    return Image.blend(image, Image.merge("RGB", [grain] * 3), 0.06)
