"""Draws the cats and dogs of the sample data set."""

import math

from PIL import Image, ImageDraw

from tfod.data.synthetic_shapes import (
    BLACK,
    BLUE,
    BRIGHT,
    BROWN,
    CREAM,
    GINGER,
    GOLDEN,
    GREY,
    INK,
    PINK,
    RED,
    WHITE,
    fill,
    make_canvas,
    mirror,
    oval,
    place,
    smooth,
    stroke,
)

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
