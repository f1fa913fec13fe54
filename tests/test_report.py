"""The report says what the evaluation found, in any case that an evaluation can be, and works in a browser."""

import json
import re
import shutil
from html import unescape

import numpy as np
import pytest
from browser import open_page
from conftest import ROOT, draw_photo
from PIL import Image as PillowImage

from tfod import coco_metrics, curves, report, report_facts, report_pictures, report_words
from tfod.evaluated import Evaluated, Image, make_detections, make_truths, write_evaluated
from tfod.metrics_files import list_classes, write_metrics
from tfod.report_charts import draw_class
from tfod.report_svg import charting, make_svg

HOSTILE, QUOTED = "<script>alert(1)</script>", "a \"quoted\" 'name' <b> & $x_$ 猫.png"
LONG = "一只在森林里的非常非常大的浣熊" * 4
WHOLE = [10, 10, 40, 50]  # [ymin, xmin, ymax, xmax] of the object in each image, 96 x 64 pixels
BADLY_PLACED, ELSEWHERE = [10, 10, 40, 22], [45, 60, 63, 95]


def write_model(folder, truths, found, names, images=12, photos=True):
    """A model's folder with an evaluation's files: truths are rows (image, class id, box), found ones have a score."""
    (folder / "images").mkdir(parents=True)
    listed = []
    for number in range(images):
        path = folder / "images" / (f"photo_{number}.png" if number else QUOTED)
        if photos:
            draw_photo(number).save(path)
        listed.append(Image(path.name, 96, 64, str(path)))
    columns = [list(one) for one in zip(*truths, strict=True)] or [[], [], []]
    found = [list(one) for one in zip(*found, strict=True)] or [[], [], [], []]
    evaluated = Evaluated(names, listed, make_truths(*columns), make_detections(*found))
    model = folder / "models" / "my_model"
    model.mkdir(parents=True)
    write_evaluated(model, evaluated)
    result = coco_metrics.measure_coco(evaluated)
    classes = list_classes(result, curves.measure_curves(evaluated))
    more = {"data": ["annotations/test.record"], "images": images, "classes": classes, "errors": []}
    write_metrics(model / "metrics.json", 300, "models/my_model/ckpt-300", result.metrics, **more)
    return model


def write_typical(folder, name="dog", **more):
    """Twelve images with an object each: ten found, one with a badly placed box, one only at a score of 0.2, as six
    wrong boxes are; and a wrong box that is surer than any."""
    truths = [(number, 1, WHOLE) for number in range(12)]
    found = [(number, 1, WHOLE, 0.95 - 0.01 * number) for number in range(10)]
    found += [(10, 1, BADLY_PLACED, 0.9), (3, 1, ELSEWHERE, 0.97), (11, 1, WHOLE, 0.2)]
    found += [(number, 1, ELSEWHERE, 0.3) for number in range(4, 10)]
    return write_model(folder, truths, found, {1: name, 2: "cat"}, **more)


def write_log(model):
    lines = [
        "step,total_loss,learning_rate,mAP",
        *(f"{step},{9 / step:.3f},0.01,{step / 1000}" for step in range(1, 300)),
    ]
    (model / "train_log.csv").write_text("\n".join(lines))


def write_page(model):
    """Collects and renders; checks what must hold for every page, and returns (contents, page)."""
    contents = report.collect(report_facts.read_facts(model), model.parent.parent / "annotations/check.json")
    page = report.render(contents)
    assert not re.search(r">\s*(nan|None|-1(\.0+)?|inf)\s*<", page), "a number that is none is shown as one"
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "two elements have the same id"
    wanted = re.findall(r'(?:href|src)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert all(one.startswith(("#", "data:")) for one in wanted), "something is to be fetched from elsewhere"
    inside = {one[1:] for one in wanted if one.startswith("#")}
    assert inside <= set(ids), "a link leads to nothing"
    assert len(page) < 10e6
    return contents, page


def get_text(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S))).split())


def test_summary_says_what_was_found_and_how_sure_that_is(tmp_path):
    contents, page = write_page(write_typical(tmp_path))
    summary = contents["summary"]
    assert summary["headline"] == "It finds 10 of 12 objects, and 10 of the 12 boxes that it draws are right."
    assert (summary["grade"], summary["few"]) == ("fair", True)
    assert "only 12 images" in summary["honesty"] and "55% to 95%" in summary["honesty"]
    assert contents["explanation"][0] == (
        "2 of 12 objects are missed; 1 of them it does see, but with too low a score. 2 of its boxes are wrong."
    )
    figures = {name: value for name, value, _ in summary["figures"]}
    assert figures["Found"] == figures["Right"] == "0.83"
    text = get_text(page)
    assert summary["headline"] in text and "n/a (no large objects)" in text
    assert "no train_log.csv" in text and "check.json is not there" in text and "no pipeline.config" in text


def test_kinds_of_error_come_with_cost_and_the_costliest_first(tmp_path):
    contents, _ = write_page(write_typical(tmp_path))
    rows = {row["kind"]: row for row in contents["errors"]}
    assert [rows[kind]["count"] for kind in ("missed", "poorly placed", "background")] == [2, 1, 1]
    costs = [row["cost"] for row in contents["errors"]]
    assert costs == sorted(costs, reverse=True) and costs[0] > 0.05
    assert contents["errors"][0]["kind"] == "poorly placed"  # mended, it would find an object, too
    assert "SCORE=0.20, would find 1 of them, at the price of 6 more wrong boxes" in rows["missed"]["advice"]


def test_images_to_look_at_are_the_worst_then_those_that_were_nearly_wrong(tmp_path):
    contents, _ = write_page(write_typical(tmp_path))
    names = [contents["pictures"][number]["name"] for number in contents["chosen"]["top"]]
    assert len(names) == len(set(names)) == 10
    assert names[:3] == ["photo_10.png", "photo_11.png", "photo_3.png"]
    assert names[3] == "photo_9.png"  # the correct box with the lowest score
    worst, best = ({*contents["chosen"][side]} for side in ("worst", "best"))
    assert len(worst) == 3 and len(best) == 9 and not worst & best
    listed = [row["badness"] for row in contents["images"]]
    assert listed == sorted(listed, reverse=True) and len(listed) == 12


def test_pictures_hold_the_boxes_and_crops_the_mistakes(tmp_path):
    contents, page = write_page(write_typical(tmp_path))
    picture = next(one for one in contents["pictures"] if one["name"] == "photo_10.png")
    assert [(box["state"], box["x"], box["y"], box["w"], box["h"]) for box in picture["boxes"]] == [
        ("wrong", 10, 10, 12, 30),
        ("missed", 10, 10, 40, 30),
    ]
    assert picture["uri"].startswith("data:image/webp;base64,") and "1 missed, 1 badly placed" in picture["alt"]
    wrong, missed = contents["crops"]["found"], contents["crops"]["truth"]
    assert [one["name"] for one in wrong] == ["photo_3.png", "photo_10.png"]
    assert sorted(one["name"] for one in missed) == ["photo_10.png", "photo_11.png"]
    for one in wrong + missed:
        box = one["crop"]["box"]
        assert box["x"] >= 0 and box["x"] + box["w"] <= one["crop"]["width"]
        assert contents["pictures"][one["number"]]["name"] == one["name"]
    assert page.count("<symbol") == len(contents["pictures"]) == 12


def test_photos_that_are_gone_are_said_and_shown_as_grey(tmp_path):
    model = write_typical(tmp_path)
    shutil.rmtree(tmp_path / "images")
    contents, page = write_page(model)
    assert len(contents["unread"]) == 12 and "12 of the photos can't be read any more" in get_text(page)
    assert page.count('class="absent"') == 12


def test_names_of_users_are_texts_wherever_they_stand(tmp_path):
    contents, page = write_page(write_typical(tmp_path, name=HOSTILE))
    assert HOSTILE not in page and "<b> &" not in page
    assert HOSTILE in get_text(page) and QUOTED in get_text(page)
    assert json.loads(re.search(r'id="facts">(.*?)</script>', page)[1])[0]["name"]
    assert contents["classes"][0]["name"] == HOSTILE


NOTHING = {"no detections": ([(0, 1, WHOLE)], []), "no ground truth": ([], [(0, 1, WHOLE, 0.9)]), "neither": ([], [])}


@pytest.mark.parametrize("case", NOTHING)
def test_an_evaluation_of_nothing_is_said_in_words(tmp_path, case):
    truths, found = NOTHING[case]
    contents, page = write_page(write_model(tmp_path, truths, found, {1: "dog"}, images=2))
    text, grade = get_text(page), contents["summary"]["grade"]
    if truths:
        assert grade == "poor" and "It finds 0 of 1 object, and draws no box at all." in text
    else:
        assert grade == "unknown" and "Nothing could be measured: no object is labelled in 2 test images." in text
        assert contents["classes"][0]["cells"][0][1] == "n/a"


def test_no_image_at_all_is_a_page_too(tmp_path):
    contents, _ = write_page(write_model(tmp_path, [], [], {1: "dog"}, images=0))
    assert contents["pictures"] == [] and contents["chosen"]["top"] == []


def test_eighty_classes_show_the_worst_and_best(tmp_path):
    names = {label: LONG if label == 1 else f"class {label}" for label in range(1, 81)}
    places = {label: np.array([0, 0, 7, 9]) + [7 * (label // 10), 9 * (label % 10)] * 2 for label in names}
    truths = [(image, label, places[label].tolist()) for image in range(4) for label in names]
    found = [(image, label if label % 7 else 1 + label % 80, box, 0.9 - 0.001 * label) for image, label, box in truths]
    contents, page = write_page(write_model(tmp_path, truths, found, names, images=4))
    assert len(contents["classes"]) == 80 and contents["charts"]["classes_left_out"] == 72
    assert len(contents["confusions"]["rows"]) == 13 and contents["confusions"]["left_out"] == 68
    assert contents["mix_ups"][0][2] == 4
    assert LONG in get_text(page)
    assert contents["summary"]["weak"].startswith("The weakest of 80 classes is")


def test_training_curves_and_check_are_shown_where_they_are(tmp_path):
    model = write_typical(tmp_path)
    write_log(model)
    fault = {"kind": "box-small", "severity": "warning", "file": "<x>.xml", "text": "is tiny"}
    found = {"photos": 12, "boxes": 12, "errors": 0, "warnings": 7, "faults": [fault] * 7}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/check.json").write_text(json.dumps(found))
    contents, page = write_page(model)
    assert [title for title, _ in contents["charts"]["training"]] == [
        "Losses",
        "Learning rate",
        "mAP on the test images, while training",
    ]
    text = get_text(page)
    assert "12 photos, 12 boxes: 0 errors, 7 warnings" in text
    assert "warning box small: 7 <x>.xml: is tiny" in text and "and 2 more" in text


def test_pictures_keep_to_their_budget(tmp_path, monkeypatch):
    model = write_typical(tmp_path)
    facts = report_facts.read_facts(model)
    whole, *_ = report_pictures.draw_pictures(facts, range(12), ([], []))
    monkeypatch.setattr(report_pictures, "EDGES", (880, 48))
    monkeypatch.setattr(report_pictures, "BUDGET", sum(map(len, whole.values())) - 1)
    small, *_ = report_pictures.draw_pictures(facts, range(12), ([], []))
    assert sum(map(len, small.values())) < sum(map(len, whole.values()))


def test_wilsons_interval():
    assert report_words.find_interval(0, 0) == (0, 1)
    assert report_words.find_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert report_words.find_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert report_words.find_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_a_curve_of_many_detections_is_drawn_with_few_points_and_meets_its_threshold(tmp_path):
    score = np.linspace(0.999, 0.001, 50_000)
    recall = np.minimum(1, np.arange(1, 50_001) / 500)
    precision = np.where(recall < 1, 1, 500 / np.arange(1, 50_001))
    f1 = 2 * precision * recall / (precision + recall)
    best = int(f1.argmax())
    figure = draw_class(
        curves.Curve(precision, recall, score, f1, score[best], precision[best], recall[best], f1[best], 500)
    )
    line, dot = figure.axes[0].lines
    assert len(line.get_xdata()) <= 301
    near = np.hypot(line.get_xdata() - dot.get_xdata(), line.get_ydata() - dot.get_ydata()).min()
    assert near < 0.01


def test_charts_have_ids_of_their_own_and_texts_as_they_are():
    with charting():
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().set_title("$\\frac <b>猫")
        first, second = (make_svg(figure, name, 'a "chart"') for name in ("one", "two"))
    assert "$\\frac &lt;b&gt;猫" in first and "#000000" not in first and 'aria-label="a &#34;chart&#34;"' in first
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]


# ---------------------------------------------------------------- the script


def test_script_writes_once_says_so_and_gives_the_same_bytes(call, tmp_path):
    model = write_typical(tmp_path)
    page = model / "report/index.html"
    done = call("report.py", "--model_dir", "models/my_model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "It finds 10 of 12 objects" in done.stdout and "Wrote models/my_model/report/index.html: 0." in done.stdout
    before = page.read_bytes()
    again = call("report.py", "--model_dir", "models/my_model", cwd=tmp_path)
    assert "is up to date" in again.stderr and again.stdout == ""
    page.unlink()
    assert call("report.py", "--model_dir", "models/my_model", cwd=tmp_path).returncode == 0
    assert page.read_bytes() == before
    write_log(model)
    assert "Wrote" in call("report.py", "--model_dir", "models/my_model", cwd=tmp_path).stdout


def test_script_names_what_is_missing_and_what_to_do(call, tmp_path):
    done = call("report.py", "--model_dir", tmp_path / "none")
    assert done.returncode == 1
    for name in ("metrics.json", "ground_truth.json", "detections.json"):
        assert f"error: {tmp_path / 'none' / name}: is not there; `make eval` makes it" in done.stderr
    model = write_typical(tmp_path)
    metrics = json.loads((model / "metrics.json").read_text())
    (model / "metrics.json").write_text(json.dumps(metrics | {"images": 3}))
    done = call("report.py", "--model_dir", model)
    assert done.returncode == 1 and "is of another evaluation (3 images there, 12 in ground_truth.json)" in done.stderr
    (model / "metrics.json").write_text('{"metrics": {}}')
    done = call("report.py", "--model_dir", model)
    assert done.returncode == 1 and "`make eval` again" in done.stderr and "Traceback" not in done.stderr
    assert call("report.py", "--model_dir", model, "--worst", -1).returncode == 2


# ---------------------------------------------------------------- the browser

OVERFLOWS = "document.documentElement.scrollWidth > innerWidth"
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
    truths = [(number, 1 + number % 2, WHOLE) for number in range(12)]
    found = [(number, 1 + number % 2, WHOLE, 0.95 - 0.02 * number) for number in range(9)]
    found += [(10, 1, BADLY_PLACED, 0.9), (3, 1, ELSEWHERE, 0.97), (11, 1, WHOLE, 0.93)]
    found += [(4, 1, [-9, 30, 20, 25], 0.98)]  # with its corners swapped, and out of the image
    model = write_model(folder, truths, found, {1: HOSTILE, 2: LONG, 3: "cat"})
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
                assert not page.evaluate(OVERFLOWS), f"at {width} pixels the page scrolls sideways"
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
        page.click("#show-found")
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


def test_templates_are_where_the_package_looks_for_them():
    assert {"report.html", "report.css", "report.js"} <= {
        path.name for path in (ROOT / "scripts/tfod/templates").iterdir()
    }
