"""utils/figures.py: charts as SVG that a page can hold."""

import re

from tfod.utils.figures import BLUE, PAGE_COLOURS, charting, make_figure, make_svg


def make_chart(name):
    figure = make_figure(4, 3)
    axes = figure.subplots()
    axes.set_title("$\\frac <b>猫")
    axes.plot([0, 1], [1, 0], "o-", color=BLUE)
    return make_svg(figure, name, 'a "chart"')


def test_charts_have_ids_of_their_own_and_text_as_it_is():
    with charting():
        first, again, second = (make_chart(name) for name in ("one", "one", "two"))
    assert first == again
    assert "$\\frac &lt;b&gt;猫" in first and 'aria-label="a &quot;chart&quot;"' in first
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', first))
    assert used and used <= ids[0]


def test_charts_leave_the_page_alone():
    with charting():
        svg = make_chart("one")
    assert "<style" not in svg and "metadata" not in svg  # a style would hold for the whole page
    colours = set(re.findall(r"(?:fill|stroke): (#\w+)", svg))
    assert "#0072b2" in colours and colours <= PAGE_COLOURS.keys()
