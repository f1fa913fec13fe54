import json
import os
import re
import shutil
from html import unescape

import numpy as np
import pytest
from conftest import ROOT
from report_models import ELSEWHERE, HOSTILE, LONG, QUOTED, WHOLE, write_log, write_model, write_page, write_typical

from tfod.evaluation import curves
from tfod.report import analysis, comparison, pictures, wording
from tfod.report import page as report
from tfod.report.charts import draw_class
from tfod.utils.console import InputError


def get_text(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S))).split())


def test_summary_says_what_was_found_and_how_sure_that_is(tmp_path):
    contents, page = write_page(write_typical(tmp_path))
    summary = contents["summary"]
    assert summary["headline"] == "It finds 10 of 12 objects, and 10 of the 12 boxes that it draws are right."
    assert (summary["grade"], summary["few"]) == ("fair", True)
    assert "only 12 images" in summary["honesty"] and "55% to 95%" in summary["honesty"]
    assert contents["explanation"][0] == (
        "2 of 12 objects are missed; the model sees 1 of them, but with too low a score. 2 of its boxes are wrong."
    )
    figures = {name: value for name, value, _ in summary["figures"]}
    assert figures["Found"] == figures["Right"] == "0.83"
    text = get_text(page)
    assert summary["headline"] in text and "n/a (no large objects)" in text
    assert "no train_log.csv" in text and "check.json is not there" in text and "no pipeline.config" in text


def test_kinds_of_error_come_with_cost_and_the_costliest_first(tmp_path):
    contents, _ = write_page(write_typical(tmp_path))
    rows = {row["kind"]: row for row in contents["errors"]}
    assert [rows[kind]["count"] for kind in ("missed", "localization", "background")] == [2, 1, 1]
    costs = [row["cost"] for row in contents["errors"]]
    assert costs == sorted(costs, reverse=True) and costs[0] > 0.05
    assert contents["errors"][0]["kind"] == "localization"  # fixed, it would find an object, too
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
    assert picture["uri"].startswith("data:image/webp;base64,") and "1 missed, 1 localization" in picture["alt"]
    wrong, missed = contents["crops"]["wrong"], contents["crops"]["missed"]
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
    assert len(contents["unread"]) == 12 and "12 of the photos can no longer be read" in get_text(page)
    assert page.count('class="absent"') == 12


def test_names_of_users_are_texts_wherever_they_stand(tmp_path):
    contents, page = write_page(write_typical(tmp_path, name=HOSTILE))
    assert HOSTILE not in page and "<b> &" not in page
    assert HOSTILE in get_text(page) and QUOTED in get_text(page)
    assert json.loads(re.search(r'id="facts">(.*?)</script>', page)[1])[0]["name"]
    assert contents["classes"][0]["name"] == HOSTILE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], ["No object is missed, and no box is wrong."]),
        (
            [(0, 1, ELSEWHERE, 0.95)],
            [
                "No object is missed; 1 of its boxes is wrong.",
                "Over all scores, errors of the kind “background” cost most:"
                " without them, AP50 would rise from 0.50 to 1.00.",
            ],
        ),
    ],
)
def test_explanation_says_what_is_wrong_and_what_costs_most(tmp_path, wrong, said):
    model = write_model(tmp_path, [(0, 1, WHOLE)], [(0, 1, WHOLE, 0.9), *wrong], {1: "dog"}, images=1)
    facts = analysis.read_facts(model)
    assert wording.explain_cost(facts, wording.describe_errors(facts)) == said


def test_cost_that_does_not_show_in_two_digits_is_left_out(tmp_path):
    facts = analysis.read_facts(write_model(tmp_path, [(0, 1, WHOLE)], [(0, 1, WHOLE, 0.9)], {1: "dog"}, images=1))
    assert len(wording.explain_cost(facts, [{"kind": "background", "cost": 0.01}])) == 1  # 1.00 already
    facts.report["classes"][0]["AP50"] = 0.986
    assert len(wording.explain_cost(facts, [{"kind": "background", "cost": 0.008}])) == 1  # 0.99 and 0.99
    assert wording.explain_cost(facts, [{"kind": "missed", "cost": 0.01}])[1] == (
        "Over all scores, missed objects cost most: without them, AP50 would rise from 0.99 to 1.00."
    )


NOTHING = {"no detections": ([(0, 1, WHOLE)], []), "no ground truth": ([], [(0, 1, WHOLE, 0.9)]), "neither": ([], [])}


@pytest.mark.parametrize("case", NOTHING)
def test_an_evaluation_of_nothing_is_said_in_words(tmp_path, case):
    labels, found = NOTHING[case]
    contents, page = write_page(write_model(tmp_path, labels, found, {1: "dog"}, images=2))
    text, grade = get_text(page), contents["summary"]["grade"]
    if labels:
        assert grade == "poor" and "It finds 0 of 1 object, and draws no boxes at all." in text
    else:
        assert grade == "unknown" and "Nothing could be measured: no object is labelled in 2 test images." in text
        assert contents["classes"][0]["cells"][0][1] == "n/a"


def test_no_image_at_all_is_a_page_too(tmp_path):
    contents, _ = write_page(write_model(tmp_path, [], [], {1: "dog"}, images=0))
    assert contents["pictures"] == [] and contents["chosen"]["top"] == []


def test_eighty_classes_show_the_worst_and_best(tmp_path):
    names = {label: LONG if label == 1 else f"class {label}" for label in range(1, 81)}
    places = {label: np.array([0, 0, 7, 9]) + [7 * (label // 10), 9 * (label % 10)] * 2 for label in names}
    labels = [(image, label, places[label].tolist()) for image in range(4) for label in names]
    found = [(image, label if label % 7 else 1 + label % 80, box, 0.9 - 0.001 * label) for image, label, box in labels]
    contents, page = write_page(write_model(tmp_path, labels, found, names, images=4))
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
    facts = analysis.read_facts(model)
    whole, *_ = pictures.draw_pictures(facts, range(12), {})
    monkeypatch.setattr(pictures, "EDGES", (880, 48))
    monkeypatch.setattr(pictures, "BUDGET", sum(map(len, whole.values())) - 1)
    small, *_ = pictures.draw_pictures(facts, range(12), {})
    assert sum(map(len, small.values())) < sum(map(len, whole.values()))


def test_wilsons_interval():
    assert wording.find_wilson_interval(0, 0) == (0, 1)
    assert wording.find_wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wording.find_wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wording.find_wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)


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
    assert done.returncode == 1 and "`make eval` makes it again" in done.stderr and "Traceback" not in done.stderr
    assert call("report.py", "--model_dir", model, "--worst", -1).returncode == 2


def test_templates_are_where_the_package_looks_for_them():
    assert {"report.html", "report.css", "report.js"} <= {
        path.name for path in (ROOT / "scripts/tfod/report/templates").iterdir()
    }


SPOILT = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "NUL bytes": lambda path: path.write_bytes(bytes(100)),
    "nested deeply": lambda path: path.write_bytes(b"[" * 100_000),
    "of another kind": lambda path: path.write_text('{"images": [{"id": []}], "metrics": [], "annotations": 7}'),
    "a number": lambda path: path.write_text("7"),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.attack
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", ["metrics.json", "ground_truth.json", "detections.json"])
def test_damaged_files_of_an_evaluation_are_named_with_what_makes_them_again(tmp_path, name, how):
    model = write_typical(tmp_path)
    SPOILT[how](model / name)
    for read in (analysis.read_facts, lambda folder: comparison.read_evaluated_models([folder, folder])):
        with pytest.raises(InputError) as raised:
            read(model)
        assert name in str(raised.value)
        assert "make eval" in str(raised.value)


@pytest.mark.attack
@pytest.mark.parametrize("how", SPOILT)
def test_damaged_log_check_and_benchmark_stop_no_page(tmp_path, how, capsys):
    model = write_typical(tmp_path)
    (model / "train_log.csv").write_text("step,total_loss\n1,2\n")
    (tmp_path / "check.json").write_text("{}")
    for path in (model / "train_log.csv", tmp_path / "check.json"):
        SPOILT[how](path)
    contents = report.collect(analysis.read_facts(model), tmp_path / "check.json", worst=1, best=1, crops=1)
    assert "check.json is not there" in get_text(report.render(contents))
    assert how == "empty" or "train_log.csv: " in capsys.readouterr().err
    benchmark = tmp_path / "exported_models/my_model/benchmark.json"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("{}")
    SPOILT[how](benchmark)
    with pytest.raises(InputError, match="benchmark.json: "):
        comparison.read_costs(analysis.read_facts(model), tmp_path / "exported_models")


@pytest.mark.attack
@pytest.mark.parametrize("script", ["report.py", "compare.py"])
def test_scripts_say_what_makes_a_damaged_file_again(call, tmp_path, script):
    model = write_typical(tmp_path)
    SPOILT["nested deeply"](model / "metrics.json")
    words = ["--model_dir", model] if script == "report.py" else [f"{model}/", f"{write_typical(tmp_path / 'b')}/"]
    done = call(script, *words)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error: {model}/metrics.json: can't be read (")
    assert done.stderr.endswith("; `make eval` makes it again\n")
