"""How this project's charts look. Figures are matplotlib's, without pyplot and its global state.

Colours are those of `tfod.utils.drawing.PALETTE`, which colour-blind people tell apart; the first ones differ in
brightness, too, for prints in grey.
"""

import numpy as np

from tfod.utils.drawing import PALETTE

DOTS_PER_INCH = 150
BLUE, ORANGE, GREEN, PURPLE, RED = ([part / 255 for part in PALETTE[i]] for i in (4, 0, 2, 6, 5))
INK, FAINT = "0.25", "0.88"


def get_side_colour(side):
    """The lasting colour of a side of the split."""
    return {"train": BLUE, "test": ORANGE, "val": GREEN}.get(side, PURPLE)


def make_figure(width, height, title, subtitle=""):
    """An empty Figure of `width` x `height` inches with a title, and a smaller line below it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    figure.suptitle(title + ("\n" if subtitle else ""), x=0.02, ha="left", fontsize=13, fontweight="bold")
    if subtitle:
        figure.text(0.02, 1 - 0.36 / height, subtitle, ha="left", va="top", fontsize=9, color=INK)
    return figure


def tidy(axes, grid, title=""):
    """Only the lines that a reader needs; `grid` is "x", "y" or "both"."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0 if grid != "both" else 3, labelsize=9)


def show_empty(axes, text):
    """An empty chart that says why it is empty."""
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=INK, transform=axes.transAxes, wrap=True)


def set_plain_ticks(axis, low, high):
    """Ticks at powers of two between `low` and `high`, written as numbers, on a logarithmic axis."""
    exponents = range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)
    step = -(-len(exponents) // 9) or 1
    ticks = [2.0**e for e in exponents if e % step == 0]
    axis.set_ticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    axis.set_ticks([], minor=True)
