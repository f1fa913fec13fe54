"""The report's page in a browser."""

import pytest
from browser import open_page
from PIL import Image as PillowImage
from report_models import (
    BADLY_PLACED,
    ELSEWHERE,
    HOSTILE,
    LONG,
    QUOTED,
    WHOLE,
    write_log,
    write_model,
    write_page,
    write_typical,
)

LINES = ('svg.chart path[style*="stroke: #0072b2"]', 'svg.chart defs path[style*="stroke: #000000"]')
BLUE_AND_BLACK = {
    "light": ("rgb(0, 114, 178)", "rgb(22, 25, 29)"),
    "dark": ("rgb(86, 180, 233)", "rgb(236, 239, 242)"),
}
# the least contrast of any text with what is behind it, and that text
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.fillStyle = "#fff"; canvas.fillRect(0, 0, 1, 1);
    for (const one of colours) { canvas.fillStyle = one; canvas.fillRect(0, 0, 1, 1); }
    const [r, g, b] = Array.from(canvas.getImageData(0, 0, 1, 1).data, (c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const text = Array.from(element.childNodes).map((n) => (n.nodeType === 3 ? n.data.trim() : "")).join("");
    if (!text || element.closest("symbol, script, dialog:not([open])") || !element.getClientRects().length) continue;
    const behind = [];
    for (let one = element; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
    const style = getComputedStyle(element), own = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [paint(behind), paint([...behind, own])].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, text.slice(0, 60)];
  }
  return least;
})()"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page with every part, and names that would break a careless one."""
    folder = tmp_path_factory.mktemp("report")
    ground_truth = [(number, 1 + number % 2, WHOLE) for number in range(12)]
    found = [(number, 1 + number % 2, WHOLE, 0.95 - 0.02 * number) for number in range(9)]
    found += [(10, 1, BADLY_PLACED, 0.9), (3, 1, ELSEWHERE, 0.97), (11, 1, WHOLE, 0.93)]
    found += [(4, 1, [-9, 30, 20, 25], 0.98)]  # with its corners swapped, and out of the image
    model = write_model(folder, ground_truth, found, {1: HOSTILE, 2: LONG, 3: "cat"})
    write_log(model)
    path = folder / "index.html"
    path.write_text(write_page(model)[1], encoding="utf-8")
    return path


def test_page_in_a_browser_asks_for_nothing_and_finds_no_fault(page_file, tmp_path):
    with open_page(page_file.as_uri(), tmp_path) as page:
        assert page.evaluate("document.querySelector('h1').textContent").startswith("It finds")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        for scheme in ("light", "dark"):
            page.set_media(prefers_color_scheme=scheme)
            for width, mobile in ((1280, False), (390, True)):
                page.resize(width, 844, 1, mobile)
                assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
                line, mark = (
                    page.evaluate(f"getComputedStyle(document.querySelector('{one}')).stroke") for one in LINES
                )
                assert (line, mark) == BLUE_AND_BLACK[scheme], "the charts have colours of another page"
                ratio, text = page.evaluate(CONTRAST)
                assert ratio >= 4.5, f"{text!r} has a contrast of {ratio:.1f} in {scheme}"
                picture = tmp_path / f"{scheme}_{width}.png"
                page.screenshot(picture, whole=True)
                colours = PillowImage.open(picture).convert("RGB").getcolors(1 << 24)
                shown = {colour for count, colour in colours if count > 20}
                assert {(86, 180, 233), (240, 228, 66), (255, 122, 46)} <= shown, "the lines of the boxes are not drawn"
                assert any(r > 235 and b < 40 for r, _, b in shown), "the photos are not shown"
        assert page.messages == []
        assert page.requests == [page_file.as_uri()]


def test_tables_sort_by_click_and_by_keyboard(page_file, tmp_path):
    with open_page(page_file.as_uri(), tmp_path) as page:
        read = "Array.from(document.querySelectorAll('#images tbody tr'), row => row.cells[{}].textContent)"
        assert page.evaluate("document.querySelector('#images th[aria-sort]').textContent") == "Badness"
        head = "#images thead th:nth-child(1)"
        page.click(f"{head} button")
        names = page.evaluate(read.format(0))
        assert names[0] == QUOTED and names[1:] == [f"photo_{number}.png" for number in range(1, 12)]  # 2 before 10
        assert page.evaluate(f"document.querySelector('{head}').ariaSort") == "ascending"
        page.press("Enter")  # the button has the focus
        assert page.evaluate(read.format(0)) == names[::-1]
        assert page.evaluate(f"document.querySelector('{head}').ariaSort") == "descending"
        page.press("Tab")
        page.press(" ")
        assert page.evaluate("document.querySelector('#images th[aria-sort]').textContent") == "Objects"
        page.click("#scores thead th:nth-child(7) button")  # AP, of which one class has none
        values = page.evaluate(
            "Array.from(document.querySelectorAll('#scores .sortable tbody tr'), r => r.cells[6].textContent)"
        )
        assert values[-1] == "n/a" and values[:-1] == sorted(values[:-1], reverse=True)
        page.click("#scores thead th:nth-child(7) button")
        assert page.evaluate("document.querySelector('#scores .sortable tbody').rows[2].cells[6].textContent") == "n/a"
        assert page.messages == []


def test_an_image_opens_large_and_closes_by_keyboard(page_file, tmp_path):
    with open_page(page_file.as_uri(), tmp_path) as page:
        title = "document.getElementById('viewer-title').textContent"
        is_open = "document.getElementById('viewer').open"
        page.evaluate("document.querySelector('.gallery button.open').focus()")
        page.press("Enter")
        assert page.evaluate(is_open) and "photo_" in page.evaluate(title)
        first = page.evaluate(title)
        drawn = page.evaluate("document.getElementById('viewer-picture').getBoundingClientRect().width")
        assert drawn > 500
        assert page.evaluate("document.querySelectorAll('#viewer-boxes li').length") > 0
        page.press("ArrowRight")
        assert page.evaluate(title) != first
        page.press("ArrowLeft")
        assert page.evaluate(title) == first
        page.screenshot(tmp_path / "open.png")
        page.press("Escape")
        assert not page.evaluate(is_open)
        assert page.evaluate("document.activeElement === document.querySelector('.gallery button.open')")
        page.click(".crops button.open")
        assert page.evaluate(is_open)
        page.click("#close")
        assert not page.evaluate(is_open)
        page.click("#show-detections")
        hidden = "getComputedStyle(document.querySelector('symbol .{}')).visibility"
        assert page.evaluate(hidden.format("right")) == "hidden" and page.evaluate(hidden.format("missed")) == "visible"
        assert page.messages == []


def test_the_switch_turns_the_colours_and_remembers(page_file, tmp_path):
    with open_page(page_file.as_uri(), tmp_path) as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(colour)
        page.click("#theme")
        assert page.evaluate(colour) != light
        page.open(page_file.as_uri())
        assert page.evaluate(colour) != light
        page.click("#theme")
        assert page.evaluate(colour) == light


def test_the_three_answers_stand_in_one_screen(tmp_path):
    path = tmp_path / "index.html"
    path.write_text(write_page(write_typical(tmp_path))[1], encoding="utf-8")
    with open_page(path.as_uri(), tmp_path, width=1280, height=800) as page:
        for selector in ("#verdict", ".costs li:last-child", ".top li:last-child"):
            assert page.evaluate(f"document.querySelector('{selector}').getBoundingClientRect().bottom") <= 800, (
                selector
            )
        assert page.evaluate("document.querySelectorAll('.top li').length") == 10
