"""Matplotlib's figures as SVG within a page: its fonts, its colours in the light and in the dark."""

import contextlib
import io
import re
import warnings

from markupsafe import Markup, escape

# what chart_style draws with, and the page's own colours: a name of a CSS variable for each
COLOURS = {
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


@contextlib.contextmanager
def charting():
    """Figures that are made and saved in this block take texts as they are (no mathematics in class names), keep these
    as texts in SVG, and get the same ids each time."""
    import matplotlib

    settings = {"svg.fonttype": "none", "svg.hashsalt": "tfod", "text.parse_math": False, "font.size": 10}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser has others
        yield


def make_svg(figure, name, alt):
    """A Figure as an <svg> element for a page, `Markup`. `name`, letters only, sets its ids apart from other charts'.

    `alt` is what it shows, for people who do not see it.
    """
    text = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=empty)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub("|".join(COLOURS), lambda found: f"var(--{COLOURS[found[0]]})", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # the page's own font
    svg = re.sub(r"\n\s*", "\n", svg)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    head = f'<svg class="chart" role="img" aria-label="{escape(alt)}" style="--wide: {float(size[1]):.0f}" {size[0]}>'
    return Markup(head + svg[svg.index(">") + 1 :])
