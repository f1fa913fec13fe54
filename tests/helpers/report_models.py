"""Models' folders with an evaluation for tests of the report, and its page, held to what must be true of each."""

import re

from conftest import draw_photo

from tfod.evaluation import curves, metrics
from tfod.evaluation.metrics_files import list_classes, write_metrics
from tfod.evaluation.results import Evaluated, Image, make_detections, make_ground_truth, write_evaluated
from tfod.report import analysis
from tfod.report import page as report

HOSTILE, QUOTED = "<script>alert(1)</script>", "a \"quoted\" 'name' <b> & $x_$ 猫.png"
LONG = "一只在森林里的非常非常大的浣熊" * 4
WHOLE = [10, 10, 40, 50]  # [ymin, xmin, ymax, xmax] of the object in each image, 96 x 64 pixels
BADLY_PLACED, ELSEWHERE = [10, 10, 40, 22], [45, 60, 63, 95]


def write_model(folder, ground_truth, detections, names, images=12, photos=True):
    """A model's folder with an evaluation of rows (image, class id, box), and for detections (.., score)."""
    (folder / "images").mkdir(parents=True)
    listed = []
    for number in range(images):
        path = folder / "images" / (f"photo_{number}.png" if number else QUOTED)
        if photos:
            draw_photo(number).save(path)
        listed.append(Image(path.name, 96, 64, str(path)))
    columns = [list(one) for one in zip(*ground_truth, strict=True)] or [[], [], []]
    detections = [list(one) for one in zip(*detections, strict=True)] or [[], [], [], []]
    evaluated = Evaluated(names, listed, make_ground_truth(*columns), make_detections(*detections))
    model = folder / "models" / "my_model"
    model.mkdir(parents=True)
    write_evaluated(model, evaluated)
    result = metrics.measure_coco(evaluated)
    classes = list_classes(result, curves.measure_curves(evaluated))
    more = {"data": ["annotations/test.record"], "images": images, "classes": classes, "errors": []}
    write_metrics(model / "metrics.json", 300, "models/my_model/ckpt-300", result.metrics, **more)
    return model


def write_typical(folder, name="dog", **more):
    """Twelve images with an object each: ten found, one with a badly placed box, one only at a score of 0.2, as six
    wrong boxes are; and a wrong box that is surer than any."""
    ground_truth = [(number, 1, WHOLE) for number in range(12)]
    detections = [(number, 1, WHOLE, 0.95 - 0.01 * number) for number in range(10)]
    detections += [(10, 1, BADLY_PLACED, 0.9), (3, 1, ELSEWHERE, 0.97), (11, 1, WHOLE, 0.2)]
    detections += [(number, 1, ELSEWHERE, 0.3) for number in range(4, 10)]
    return write_model(folder, ground_truth, detections, {1: name, 2: "cat"}, **more)


def write_log(model):
    lines = [
        "step,total_loss,learning_rate,mAP",
        *(f"{step},{9 / step:.3f},0.01,{step / 1000}" for step in range(1, 300)),
    ]
    (model / "train_log.csv").write_text("\n".join(lines) + "\n")


def write_page(model):
    """Collects and renders; checks what must hold for every page, and returns (contents, page)."""
    contents = report.collect(analysis.read_facts(model), model.parent.parent / "annotations/check.json")
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
