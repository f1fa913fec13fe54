"""Matplotlib figures in one style, made without pyplot and its global state, and the same as SVG for a page."""

import contextlib
import io
import warnings
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from tfod.utils.drawing import PALETTE

DOTS_PER_INCH = 150
POINTS = 300  # of a curve: more can't be told apart
BLUE, ORANGE, GREEN, PURPLE, RED = ([part / 255 for part in PALETTE[i]] for i in (4, 0, 2, 6, 5))
INK, FAINT = "0.25", "0.88"
LEGEND = {"loc": "outside upper right", "frameon": False, "fontsize": 9.5}

# The colours above as matplotlib writes them: the page's style sheet puts its own variables in their place.
PAGE_COLOURS = {
    "#000000": "ink",
    "#404040": "soft",
    "#737373": "soft",
    "#e0e0e0": "line",
    "#ffffff": "paper",
    "#0072b2": "blue",
    "#e69f00": "orange",
    "#009e73": "green",
    "#cc79a7": "purple",
    "#d55e00": "red",
}
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def make_figure(width: float, height: float, title: str = "", subtitle: str = ""):
    """An empty Figure of `width` x `height` inches; a title has a smaller line below it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    if title:
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        figure.suptitle(title + ("\n" if subtitle else ""), x=0.02, ha="left", fontsize=13, fontweight="bold")
        figure.text(0.02, 1 - 0.36 / height, subtitle, ha="left", va="top", fontsize=9, color=INK)
    return figure


def tidy(axes, grid: str, title: str = "", x: str | None = None, y: str | None = None) -> None:
    """Only the lines that a reader needs; `grid` is "x", "y" or "both", `x` and `y` name the axes."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, which="major", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0 if grid != "both" else 3, labelsize=9)
    if x is not None:
        axes.set_xlabel(x, fontsize=10, color=INK)
    if y is not None:
        axes.set_ylabel(y, fontsize=10, color=INK)


def show_empty(axes, text: str) -> None:
    """An empty chart that says why it is empty."""
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, color=INK, transform=axes.transAxes, wrap=True)


def set_plain_ticks(axis, low: float, high: float) -> None:
    """Ticks at powers of two between `low` and `high`, written as numbers, on a logarithmic axis."""
    exponents = range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)
    step = -(-len(exponents) // 9) or 1
    ticks = [2.0**e for e in exponents if e % step == 0]
    axis.set_ticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    axis.set_ticks([], minor=True)


@contextlib.contextmanager
def charting():
    """Figures that are made and saved in this block take text as it is (no mathematics in class names), and keep it as
    text in SVG."""
    import matplotlib

    settings = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 10}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has others
        yield


def make_svg(figure, name: str, alt: str) -> Markup:
    """A Figure as an <svg> element for a page, `Markup`. `name` keeps its ids apart from those of other charts.

    `alt` is what it shows, for people who can't see it.
    """
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    root = ElementTree.fromstring(text.getvalue())
    for part in (root.find(f"{{{SVG}}}metadata"), root.find(f"{{{SVG}}}defs")):  # the first defs: a style for the page
        if part is not None:
            root.remove(part)
    for group in root.iter(f"{{{SVG}}}g"):
        group.attrib.pop("id", None)  # figure_1 and the like: the same in each chart, and nothing refers to them
    *_, width, height = root.get("viewBox").split()
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"class": "chart", "role": "img", "aria-label": alt, "style": f"--wide: {float(width):.0f}"}
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))
