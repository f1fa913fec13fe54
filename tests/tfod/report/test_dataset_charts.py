"""Charts and numbers of a data set: right numbers, readable pictures, for data sets of any size."""

import re

import numpy as np
import pytest
from conftest import ROOT, label_photo
from PIL import Image

from tfod.config.pipeline import pipeline_pb2, read_config
from tfod.data.labelled_images import check_photo
from tfod.data.voc import Box
from tfod.report.dataset_charts import describe_coverage, draw_boxes_per_class, draw_charts, draw_figures, draw_samples
from tfod.report.dataset_statistics import format_summary, measure, share_covered, share_sizes
from tfod.utils.console import InputError

CONFIG = ROOT / "scripts/configs/ssd_mobilenet_v2_fpnlite_320.config"


def load(folder, name, number=0, boxes=None):
    """A checked LabelledPhoto of 96 x 64 pixels, written for the test."""
    path = label_photo(folder, name, number, boxes)
    photo, _, faults, _ = check_photo(path, path.with_suffix(".xml"))
    assert photo, faults
    return photo


@pytest.fixture
def sides(tmp_path):
    """Two sides: 10 photos of cats and dogs and a negative; 3 photos with a box of 24 x 16 pixels at the origin."""
    train = [load(tmp_path / "train", f"{i}.jpg", i) for i in range(10)]
    train.append(load(tmp_path / "train", "nothing.jpg", 11, []))
    box = Box("浣熊-1", 0, 0, 24, 16)
    return {"train": train, "test": [load(tmp_path / "test", f"{i}.png", i, [box, box]) for i in range(3)]}


CLASSES = {"cat": 1, "dog": 2, "浣熊-1": 7, "never seen": 9}


def test_the_numbers_are_those_of_the_photos(sides):
    statistics = measure(sides, CLASSES, read_config(CONFIG))
    train, test = statistics.subsets.values()
    assert (train.counts, test.counts) == ({"cat": 5, "dog": 5}, {"浣熊-1": 6})
    assert train.per_image.tolist() == [1] * 10 + [0]
    # 96 x 64 pixels become 320 x 320: x times 10 / 3, y times 5
    np.testing.assert_allclose(train.sizes, [[100, 100]] * 10)
    np.testing.assert_allclose(test.sizes, [[80, 80]] * 6)
    np.testing.assert_allclose(test.centres, [[12 / 96, 8 / 64]] * 6)
    assert statistics.names_to_ids == CLASSES
    assert statistics.threshold == 0.5
    assert len(statistics.anchors) == 5 * 2 * 3  # levels 3 to 7, two scales, three aspect ratios
    # the nearest anchor of a box in the corner: 64 x 64 around (24, 24), (40, 40) and others, or 90.5 x 90.5
    assert 0.5 < test.best_iou.min() == test.best_iou.max() < 1


def test_the_summary_says_them_side_by_side(sides):
    lines = format_summary(measure(sides, CLASSES, read_config(CONFIG))).splitlines()
    table = {line.rsplit(None, 2)[0].strip(): line.rsplit(None, 2)[1:] for line in lines[1:-1] if " x " not in line}
    assert lines[0].split() == ["train", "test"]
    assert table["images"] == ["11", "3"]
    assert table["images without boxes"] == ["1", "0"]
    assert table["boxes"] == ["10", "6"]
    assert table["cat"] == ["5", "0"]
    assert table["浣熊-1"] == ["0", "6"]
    assert table["never seen"] == ["0", "0"]
    assert table["medium"] == ["0.0%", "100.0%"]
    assert table["reached by an anchor (IoU >= 0.5)"] == ["100.0%", "100.0%"]
    assert any(line.split()[:2] == ["median", "size"] and line.endswith("100 x 100  80 x 80") for line in lines)
    assert lines[-1] == "Sizes are in pixels at the model's input, 320 x 320."


def test_without_a_config_sizes_are_the_photos_and_no_anchor_is_claimed(sides):
    statistics = measure(sides, CLASSES)
    np.testing.assert_allclose(statistics.subsets["test"].sizes, [[24, 16]] * 6)
    assert statistics.subsets["test"].best_iou is None
    said = "no pipeline.config was given, so its anchors are not known"
    assert format_summary(statistics).endswith(f"Sizes are in the photos' pixels. No anchors: {said}.")
    assert describe_coverage(statistics) == f"No anchors: {said}."


def test_a_family_without_anchors_is_said(sides):
    config = pipeline_pb2.TrainEvalPipelineConfig()
    resizer = config.model.center_net.image_resizer.keep_aspect_ratio_resizer
    resizer.min_dimension = resizer.max_dimension = 512
    statistics = measure(sides, CLASSES, config)
    assert describe_coverage(statistics) == "No anchors: CenterNet has no anchors."
    assert statistics.unit == "in pixels at the model's input, 512"
    np.testing.assert_allclose(statistics.subsets["test"].sizes, [[128, 85.333]] * 6, atol=0.01)


def test_a_resizer_that_is_not_known_is_said(sides):
    config = pipeline_pb2.TrainEvalPipelineConfig()
    config.model.ssd.image_resizer.identity_resizer.SetInParent()
    assert "sizes at the model's input are not known" in describe_coverage(measure(sides, CLASSES, config))


def test_shares():
    sizes = np.array([[31.9, 32], [32, 32], [96, 95.9], [96, 96]])
    assert share_sizes(sizes) == (0.25, 0.5, 0.25)
    assert share_sizes(np.zeros((0, 2))) == (0, 0, 0)
    assert share_covered(np.array([0.49, 0.5, 1.0]), 0.5) == pytest.approx(2 / 3)
    assert share_covered(np.zeros(0), 0.5) == 0


def get_texts(figure):
    import matplotlib.text

    found = (text.get_text() for text in figure.findobj(matplotlib.text.Text))
    return [text for text in dict.fromkeys(found) if text]  # a tick has two labels, one of which is not drawn


def test_every_chart_is_there_and_says_its_numbers(sides, tmp_path):
    figures = draw_figures(measure(sides, CLASSES, read_config(CONFIG)))
    assert list(figures) == ["boxes_per_class", "boxes_per_image", "box_sizes", "box_centres"]
    classes = get_texts(figures["boxes_per_class"])
    assert "16 boxes of 4 classes; 1 of the label map have none" in classes
    rows = [text for text in classes if text in CLASSES]
    assert rows == ["浣熊-1", "cat", "dog", "never seen"]
    title = " ".join(get_texts(figures["box_sizes"]))
    assert "An anchor reaches IoU ≥ 0.5, the matcher's threshold, with 100.0% of the boxes." in title
    assert "mean: train 0.9, test 2.0; most: 2. Numbers on the bars count images." in get_texts(
        figures["boxes_per_image"]
    )
    assert "train: 10 boxes, 5 x 5 cells" in get_texts(figures["box_centres"])
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")


def test_chinese_names_have_glyphs_where_the_system_has_a_font(sides, tmp_path, recwarn):
    from tfod.utils.drawing import _find_missing, get_font

    if _find_missing(get_font("浣熊", 16), "浣熊"):
        pytest.skip("no font here has Chinese letters")
    draw_boxes_per_class(measure(sides, CLASSES)).savefig(tmp_path / "classes.png")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.attack
def test_class_names_are_no_formulas(tmp_path):
    names = ["$\\frac$", "a$b$c", "$", "_x", "{0}%s"]
    photo = load(tmp_path, "a.jpg", 0, [Box(name, 1, 1, 30, 30) for name in names])
    figures = draw_figures(measure({"train": [photo]}, {name: number for number, name in enumerate(names, 1)}))
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.svg")
    assert set(names) <= set(get_texts(figures["boxes_per_class"]))


@pytest.mark.parametrize("number", [1, 26, 90, 120])
def test_any_number_of_classes_has_its_rows(tmp_path, number):
    names = [f"class {i:03d}" for i in range(number)]
    boxes = [Box(name, 1, 1, 30, 30) for i, name in enumerate(names) for _ in range(1 + i % 3)]
    photo = load(tmp_path, "a.jpg", 0, boxes)
    ids = {name: i for i, name in enumerate(names, 1)}
    figure = draw_boxes_per_class(measure({"train": [photo], "test": [photo]}, ids))
    texts = get_texts(figure)
    figure.draw_without_rendering()
    rows = [text for text in texts if text.startswith("class ")]
    assert len(rows) == (89 if number == 120 else number)
    assert ("… and 31 more classes" in texts) == (number == 120)
    labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
    tops = sorted((label.get_window_extent().y0, label.get_window_extent().y1) for label in labels)
    assert all(below[1] <= above[0] + 1 for below, above in zip(tops, tops[1:], strict=False))


def test_no_boxes_and_no_photos_at_all(tmp_path, capsys):
    photo = load(tmp_path / "images", "a.jpg", 0, [])
    for number, sides in enumerate(({"train": [photo]}, {"train": [], "test": []}, {})):
        draw_charts(tmp_path / f"charts{number}", sides, {} if number else {"cat": 1}, read_config(CONFIG))
        assert len(list((tmp_path / f"charts{number}").iterdir())) == 4
    assert re.search(r"^boxes +0$", capsys.readouterr().out, re.M)


def test_boxes_per_image_in_ranges_count_every_image(tmp_path):
    crowd = load(tmp_path, "crowd.jpg", 0, [Box("cat", 1, 1, 20, 20)] * 130)
    few = [load(tmp_path, f"{i}.jpg", i) for i in range(3)]
    figure = draw_figures(measure({"train": [crowd, *few]}, {"cat": 1}))["boxes_per_image"]
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == pytest.approx(100)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][-1] == "100-130"


def test_samples_show_the_class_in_its_lasting_colour(sides):
    statistics = measure(sides, CLASSES)
    page = draw_samples(statistics, "cat")
    from tfod.utils.drawing import get_colour

    colours = {colour for _, colour in page.getcolors(1 << 24)}
    assert get_colour(1) in colours
    assert get_colour(2) not in colours


def test_the_folder_is_written_once_and_others_files_stay(sides, tmp_path, capsys):
    folder = tmp_path / "stats"
    draw_charts(folder, sides, CLASSES, read_config(CONFIG))
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "boxes_per_class.png",
        "boxes_per_image.png",
        "box_sizes.png",
        "box_centres.png",
        "class_01_cat.png",
        "class_02_dog.png",
        "class_07_浣熊-1.png",
    }
    for path in folder.iterdir():
        with Image.open(path) as image:
            image.load()
            assert min(image.size) >= 200
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert f"Wrote {folder}: 7 pictures" in capsys.readouterr().out
    draw_charts(folder, sides, CLASSES, read_config(CONFIG))
    assert f"{folder} is up to date (14 images)" in capsys.readouterr().err
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    draw_charts(folder, {"train": sides["train"]}, CLASSES)
    assert "class_07_浣熊-1.png" not in {path.name for path in folder.iterdir()}
    with pytest.raises(InputError, match="move it away, or give a new folder with --plots"):
        draw_charts(tmp_path / "train", sides, CLASSES)
    assert (tmp_path / "train" / "0.jpg").exists()


def test_the_same_photos_give_the_same_bytes(sides, tmp_path):
    for name in ("one", "two"):
        draw_charts(tmp_path / name, sides, CLASSES, read_config(CONFIG))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_check_dataset_draws_them(call, labelled_images, tmp_path):
    arguments = ("-i", labelled_images, "--config", CONFIG, "--plots", tmp_path / "stats")
    done = call("preprocessing/check_dataset.py", *arguments)
    assert "reached by an anchor (IoU >= 0.5)" in done.stdout, done.stderr
    assert f"Wrote {tmp_path / 'stats'}: 6 pictures" in done.stdout
    assert len(list((tmp_path / "stats").glob("*.png"))) == 6
