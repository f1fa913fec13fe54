"""scripts/compare.py as a person calls it, and its page in a browser."""

import json
import re

import pytest
from browser import open_page
from made_models import detect, make_photos, write_model

from tfod.evaluation.results import Evaluated, make_ground_truth
from tfod.training.log import append_log, start_log

NAMES = ["my_model", "浣熊 <b>&", "third"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with three models that were evaluated on 12 photos; the second is much worse."""
    room = tmp_path_factory.mktemp("compare")
    photos = make_photos(room / "images/test", 12)
    for number, name in enumerate(NAMES):
        worse = {"noise": 3, "missed": 0.4, "wrong": 0.6} if number == 1 else {"wrong": 0.2}
        folder = write_model(room / "models" / name, detect(photos, number, **worse))
        start_log(folder / "train_log.csv", 0)
        for step in range(100, 601, 100):
            append_log(folder / "train_log.csv", step, {"total_loss": 100 / step, "mAP": step / 1000})
    return room


@pytest.fixture
def compare(workspace, call):
    """`compare(*words)` in the workspace: (exit code, standard output, standard error)."""

    def run(*words):
        done = call("compare.py", *words, cwd=workspace)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def page_path(workspace):
    """The page that compares the three."""
    from conftest import run_script

    run_script("compare.py", *NAMES, "--output", "page", cwd=workspace)
    return workspace / "page/index.html"


def test_table_says_what_is_real_and_what_may_be_chance(compare, workspace):
    code, output, said = compare(*NAMES, "--output", "table")
    assert code == 0
    assert "drawing 12 images 1,000 times, seed 42" in said
    assert "12 images, 12 objects; [95 % intervals] of 1,000 resamples of the images, seed 42" in output
    assert re.search(
        r"浣熊 <b>& is worse than my_model on these 12 images: mAP -0\.\d{3} \[-0.\d{3}, -0.\d{3}\]\n", output
    )
    assert "third and my_model can't be told apart on these 12 images: mAP" in output
    assert output.endswith("Wrote table/index.html; open it in a browser\n")
    report = json.loads((workspace / "table/compare.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in report["models"]] == NAMES
    assert report["models"][1]["differences"]["mAP"]["verdict"] == "worse"


def test_again_does_nothing_and_elsewhere_gives_the_same_bytes(compare, workspace, page_path):
    folder = page_path.parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, output, said = compare(*NAMES, "--output", "page")
    assert (code, "page is up to date" in said) == (0, True)
    assert "is worse than my_model" in output
    compare(*NAMES, "--output", "other")
    assert {path.name: path.read_bytes() for path in (workspace / "other").iterdir()} == before
    assert before.keys() == {"index.html", "compare.json"}
    _, _, said = compare(*NAMES, "--output", "other", "--seed", 7)
    assert "seed 7" in said
    assert (workspace / "other/compare.json").read_bytes() != before["compare.json"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "0 models are named; name two or more"),
        (["my_model"], 2, "name two or more: make compare MODELS="),
        (["my_model", "models/third/../my_model"], 2, "my_model is named twice; name different models"),
        (["my_model", "third", "--resamples", 10], 2, "--resamples is 10; give 100 to 100000"),
        (["my_model", "third", "--seed", -1], 2, "--seed is -1; give 0 or more"),
        (["my_model", "third", "--images", 101], 2, "--images is 101; give 0 to 100"),
        (
            ["my_model", "nobody"],
            1,
            "error: models/nobody: is not there; evaluated models here are my_model, third, 浣熊",
        ),
        (["my_model", "elsewhere/x"], 1, "error: elsewhere/x: is not there; no model here was evaluated"),
    ],
)
def test_what_can_not_be_compared_is_named(compare, words, code, message):
    ended, output, said = compare(*words)
    assert (ended, output) == (code, "")
    assert message in said
    assert "drawing" not in said  # nothing is measured for a call that fails


def test_other_images_are_refused_with_what_to_do(compare, workspace):
    write_model(workspace / "others/less", detect(make_photos(workspace / "images/less", 11), 1))
    code, _, said = compare("my_model", "others/less")
    assert code == 1
    assert "error: others/less: was evaluated on other images than models/my_model: lacks photo 11.jpg" in said
    assert "evaluate both on the same ones: make eval MODEL=my_model and evaluate.py -m others/less" in said


def test_photos_that_are_gone_are_told_and_shown_as_grey_areas(compare, workspace):
    photos = make_photos(workspace / "images/gone", 8)
    for name, missed in (("a", 0), ("b", 0.7)):
        write_model(workspace / "gone" / name, detect(photos, 1, missed=missed))
    for image in photos.images:
        (workspace / "images/gone" / image.name).unlink()
    code, output, said = compare("gone/a", "gone/b", "--output", "grey")
    assert code == 0
    assert re.search(r"warning: .*images/gone/photo \d.jpg: ", said)
    assert "Wrote grey/index.html" in output
    assert 'class="absent"' in (workspace / "grey/index.html").read_text(encoding="utf-8")


def test_models_with_one_name_are_called_by_their_paths(compare, workspace):
    photos = make_photos(workspace / "images/test", 12)
    write_model(workspace / "later/third", detect(photos, 9, missed=0.5))
    _, output, _ = compare("third", "later/third", "--output", "paths")
    assert re.search(r"^later/third and models/third|^later/third is worse than models/third", output, re.MULTILINE)


def test_models_without_any_object_or_detection(compare, workspace):
    photos = make_photos(workspace / "images/empty", 7)
    none = Evaluated(photos.names, photos.images, make_ground_truth(), photos.detections)
    for name in ("a", "b"):
        write_model(workspace / "empty" / name, none)
    code, output, _ = compare("empty/a", "empty/b", "--output", "nothing")
    assert code == 0
    assert "b and a: mAP has nothing to measure on these 7 images" in output


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)])
def test_page_is_whole_and_opens_images(page_path, tmp_path, width, mobile):
    with open_page(page_path.as_uri(), tmp_path, width=width, mobile=mobile) as page:
        assert page.messages == []
        assert [url for url in page.requests if not url.startswith(("data:", page_path.as_uri()))] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heads = page.evaluate("Array.from(document.querySelectorAll('.verdicts .grade'), one => one.textContent)")
        assert heads == ["Worse", "Can't be told apart"]
        assert page.evaluate("document.querySelectorAll('svg.chart').length") >= 3
        assert page.evaluate("document.title") == "Compared: " + ", ".join(NAMES)
        shown = page.evaluate("document.querySelectorAll('.side:first-of-type li').length")
        assert shown % 3 == 0
        page.click(".side button.open")
        page.wait_for("document.querySelector('dialog[open]')")
        title = "document.getElementById('viewer-title').textContent"
        first = page.evaluate(title)
        assert first.startswith("my_model, photo ")
        page.screenshot(tmp_path / "open.png")
        page.press("ArrowRight")
        assert page.evaluate(title).startswith(first.replace("my_model", NAMES[1]).split(":")[0])
        page.press("Escape")
        page.wait_for("!document.querySelector('dialog[open]')")
        page.screenshot(tmp_path / "page.png", whole=True)
        assert page.messages == []


def test_page_sorts_its_classes_and_asks_nobody(page_path, tmp_path):
    text = page_path.read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "<b>&" not in text
    with open_page(page_path.as_uri(), tmp_path) as page:
        page.click("#classes button.sort")
        names = "Array.from(document.querySelectorAll('#classes tbody th'), one => one.textContent)"
        assert page.evaluate(names) == ["cat", "dog"]
        page.click("#classes button.sort")
        assert page.evaluate(names) == ["dog", "cat"]
        alternatives = page.evaluate(
            "Array.from(document.querySelectorAll('main svg[role=img]'), one => one.ariaLabel)"
        )
        assert all(alternatives)
