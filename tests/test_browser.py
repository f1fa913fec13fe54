"""The browser that other tests look at pages with sees what is wrong with one."""

import pytest
from browser import open_page
from PIL import Image

PAGE = """<!doctype html><meta charset=utf-8><title>猫</title><body style="background: #fff">
<button id=b onclick="this.textContent = 'pressed'">a</button>
<button id=c style="margin-top: 2000px" onclick="document.title = 'clicked'">c</button>
<script>console.error("it said", 1); setTimeout(() => { late = 1; missing() }, 200)</script><img src=nowhere.png>"""


@pytest.fixture
def page(tmp_path):
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    with open_page((tmp_path / "page.html").as_uri(), tmp_path, width=500, height=300) as page:
        yield page


def test_a_page_is_seen_and_used(page, tmp_path):
    assert page.evaluate("[innerWidth, innerHeight, document.title]") == [500, 300, "猫"]
    page.press("Tab")
    page.press("Enter")
    assert page.evaluate("document.getElementById('b').textContent") == "pressed"
    page.click("#c")
    assert page.evaluate("document.title") == "clicked"
    page.set_media(prefers_color_scheme="dark")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.screenshot(tmp_path / "seen.png")
    page.screenshot(tmp_path / "whole.png", whole=True)
    assert Image.open(tmp_path / "seen.png").size == (500, 300)
    assert Image.open(tmp_path / "whole.png").height > 2000


def test_what_goes_wrong_on_a_page_is_noted(page):
    page.wait_for("window.late", timeout=10)
    said = "\n".join(page.messages)
    assert "it said 1" in said
    assert "missing is not defined" in said
    assert "ERR_FILE_NOT_FOUND" in said
    assert [url.rpartition("/")[2] for url in page.requests] == ["page.html", "nowhere.png"]
    with pytest.raises(AssertionError, match="not true within"):
        page.wait_for("false", timeout=0.1)
