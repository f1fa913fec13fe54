"""Draws the backgrounds of the sample data set: a meadow, a room, a city, a playground, with things in them.

The image's shorter side is 1 unit.
"""

import math

from PIL import Image

from tfod.data.synthetic_shapes import BRIGHT, FURS, INK, fill, make_canvas, oval, smooth, stroke


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
