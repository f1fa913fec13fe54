"""make import: exports of each tool, as a folder and as a zip, become photos and XML files; what is lost is said."""

import json
import random
from pathlib import Path

import pytest
from tool_exports import (
    BOXES,
    EXPORTS,
    SIZES,
    SUBSETS,
    make_coco,
    put_photo,
    put_photos,
    voc_labelimg,
    write,
    zip_export,
)

from import_dataset import choose_names, main
from tfod.data.voc import read_annotation
from tfod.utils.console import InputError


@pytest.fixture
def bring(monkeypatch, capsys, tmp_path):
    """`bring(source)` imports into tmp_path/images: (standard output, standard error)."""

    def bring(source, *words):
        monkeypatch.setattr("sys.argv", ["import_dataset.py", str(source), "-o", str(tmp_path / "images"), *words])
        main()
        return capsys.readouterr()

    return bring


def read_boxes(folder):
    """A dict photo -> list of (class, xmin, ymin, xmax, ymax) of the XML files in a folder and its subsets."""
    return {
        path.stem: [(b.name, b.xmin, b.ymin, b.xmax, b.ymax) for b in read_annotation(path).boxes]
        for subset in ("", "train", "val", "test")
        for path in sorted((folder / subset).glob("*.xml"))
    }


def assert_boxes(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for photo, boxes in expected.items():
        assert [box[0] for box in found[photo]] == [box[0] for box in boxes], photo
        for box, wanted in zip(found[photo], boxes, strict=True):
            assert box[1:] == pytest.approx(wanted[1:], abs=tolerance), photo


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_comes_in_with_its_boxes_and_its_split(bring, tmp_path, name):
    expected = EXPORTS[name](tmp_path / "export")
    files = {path: path.read_bytes() for path in (tmp_path / "export").rglob("*") if path.is_file()}
    output, said = bring(tmp_path / "export")
    images = tmp_path / "images"
    assert_boxes(read_boxes(images), expected.boxes, expected.tolerance)
    for text in expected.said:
        assert text in said
    for subset in ("train", "val", "test"):
        there = sorted(path.stem for path in (images / subset).glob("*.jpg"))
        assert there == sorted(photo for photo, its_subset in expected.subsets.items() if its_subset == subset)
    assert bool(expected.subsets) != any(path.suffix in (".jpg", ".PNG") for path in images.iterdir())
    assert files == {path: path.read_bytes() for path in (tmp_path / "export").rglob("*") if path.is_file()}
    assert max(map(len, (output + said).splitlines())) < 400
    assert ("its own split" in said) == bool(expected.subsets)
    assert "is up to date" in bring(tmp_path / "export").err


@pytest.mark.parametrize("name", ["coco_roboflow", "yolo_ultralytics", "voc_folders", "several_tasks"])
def test_a_zip_gives_the_same_as_its_folder(bring, tmp_path, name):
    expected = EXPORTS[name](tmp_path / "export")
    output, said = bring(zip_export(tmp_path / "export"))
    assert_boxes(read_boxes(tmp_path / "images"), expected.boxes, expected.tolerance)
    assert f"{tmp_path / 'export.zip'}: " in said and ".tmp" not in output + said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "export.zip", "images"]


def test_an_export_that_lies_in_images_itself(bring, tmp_path):
    EXPORTS["yolo_labelimg"](tmp_path / "images")
    put_photo(tmp_path / "images", "p0", name="done")
    (tmp_path / "images/done.xml").write_text("<annotation><filename>done.jpg</filename></annotation>")
    bring(tmp_path / "images")
    assert_boxes(read_boxes(tmp_path / "images"), BOXES | {"done": []}, 0.01)
    assert "up to date" in bring(tmp_path / "images").err


def test_roboflows_folders_in_images_itself(bring, tmp_path):
    EXPORTS["voc_roboflow"](tmp_path / "images")
    bring(tmp_path / "images")
    assert_boxes(read_boxes(tmp_path / "images"), BOXES, 0.01)
    for photo, subset in SUBSETS.items():
        assert (tmp_path / "images" / subset / f"{photo}.xml").is_file()
    assert "up to date" in bring(tmp_path / "images").err


def test_two_exports_with_equal_names_do_not_meet(bring, tmp_path):
    for task, photo in (("task_a", "p0"), ("task_b", "p1")):
        put_photo(tmp_path / task, photo, name="frame")
        write(tmp_path / task / "labels.csv", f"filename,class,xmin,ymin,xmax,ymax\nframe.jpg,{photo},1,2,30,40\n")
    bring(tmp_path / "task_a")
    assert "1 photo renamed, since others have the same name: task_b_frame.jpg" in bring(tmp_path / "task_b").err
    assert read_boxes(tmp_path / "images") == {"frame": [("p0", 1, 2, 30, 40)], "task_b_frame": [("p1", 1, 2, 30, 40)]}
    assert "up to date" in bring(tmp_path / "task_a").err and "up to date" in bring(tmp_path / "task_b").err


def test_a_corrected_export_corrects_what_was_imported_and_nothing_else(bring, tmp_path):
    voc_labelimg(tmp_path / "export")
    bring(tmp_path / "export")
    labels, images = tmp_path / "export/p0.xml", tmp_path / "images"
    labels.write_text(labels.read_text().replace("<xmax>50<", "<xmax>55<"))
    bring(tmp_path / "export")
    assert read_boxes(images)["p0"][0] == ("cat", 10, 8, 55, 40)
    (images / "p1.xml").write_text((images / "p1.xml").read_text().replace("cat", "fox"))  # by a person
    mine = (images / "p1.xml").read_bytes()
    labels.write_text(labels.read_text().replace("<xmax>55<", "<xmax>56<"))
    with pytest.raises(InputError, match=r"images: holds other files than .*, 1 in all: p1.xml; move yours elsewhere"):
        bring(tmp_path / "export")
    assert (images / "p1.xml").read_bytes() == mine
    assert read_boxes(images)["p0"][0] == ("cat", 10, 8, 55, 40)


def test_photos_without_labels_come_along_and_are_counted(bring, tmp_path):
    put_photos(tmp_path / "photos")
    output, said = bring(tmp_path / "photos")
    assert "4 photos without labels, brought in without an XML file: p0.jpg, p1.jpg, p2.jpg and 1 more" in said
    assert len(list((tmp_path / "images").glob("*.jpg"))) == 4
    EXPORTS["coco_cvat"](tmp_path / "export")
    put_photo(tmp_path / "export/docs", "p0", name="logo")
    assert "1 photo left out, in folders without any labels" in bring(tmp_path / "export").err
    assert not list((tmp_path / "images").glob("*logo*"))


def test_beside_other_photos_those_of_a_subset_lie_in_images_too(bring, tmp_path):
    put_photo(tmp_path / "images", "p3", name="mine")
    EXPORTS["yolo_roboflow"](tmp_path / "export")
    bring(tmp_path / "export")
    for photo, subset in SUBSETS.items():
        for name in (f"{photo}.jpg", f"{photo}.xml"):
            assert (tmp_path / "images" / name).read_bytes() == (tmp_path / "images" / subset / name).read_bytes()


@pytest.mark.parametrize("name", ["voc_roboflow", "coco_2017", "csv_tutorial"])
def test_make_split_keeps_the_split_of_an_export(bring, call, tmp_path, name):
    expected = EXPORTS[name](tmp_path / "export")
    bring(tmp_path / "export")
    before = {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.*") if path.is_file()}
    done = call("preprocessing/partition_dataset.py", "-x", "-i", "images", "-r", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert before.items() <= {p: p.read_bytes() for p in (tmp_path / "images").rglob("*.*") if p.is_file()}.items()
    for subset in set(expected.subsets.values()):
        assert f"{subset}: {list(expected.subsets.values()).count(subset)} images" in done.stdout


def test_training_photos_alone_are_no_split(bring, tmp_path):
    for photo in ("p0", "p1"):
        put_photo(tmp_path / "export/train", photo)
    write(tmp_path / "export/train/_annotations.csv", "filename,class,xmin,ymin,xmax,ymax\np0.jpg,cat,1,2,3,4\n")
    assert "make split tfrecord" in bring(tmp_path / "export").out
    assert not (tmp_path / "images/train").exists()


def test_validation_photos_are_the_test_photos_where_there_are_no_others(bring, tmp_path):
    for photo, folder in (("p0", "train"), ("p3", "val")):
        put_photo(tmp_path / "export/images" / folder, photo)
        write(tmp_path / "export/labels" / folder / f"{photo}.txt", "0 0.5 0.5 0.2 0.2\n")
    write(tmp_path / "export/data.yaml", "train: images/train\nval: images/val\nnames: [cat]\n")
    assert "train 1, test 1" in bring(tmp_path / "export").err
    assert (tmp_path / "images/test/p3.xml").is_file() and not (tmp_path / "images/val").exists()


def test_one_file_of_several_formats_is_chosen_by_name(bring, tmp_path):
    EXPORTS["yolo_labelimg"](tmp_path / "export")
    write(tmp_path / "export/labels.csv", "filename,class,xmin,ymin,xmax,ymax\np0.jpg,fox,1,2,30,40\n")
    said = r"holds labels in 2 formats, CSV \(labels.csv\), YOLO txt \(export\); give the folder or file of one of them"
    with pytest.raises(InputError, match=said):
        bring(tmp_path / "export")
    assert not (tmp_path / "images").exists()
    bring(tmp_path / "export/labels.csv")
    assert read_boxes(tmp_path / "images")["p0"] == [("fox", 1, 2, 30, 40)]
    (tmp_path / "images/p0.xml").unlink()
    classes = tmp_path / "export/classes.txt"
    classes.rename(tmp_path / "classes.txt")  # what is wrong with the others does not matter
    bring(tmp_path / "export/labels.csv")
    (tmp_path / "classes.txt").rename(classes)
    (tmp_path / "images/p0.xml").unlink()
    bring(tmp_path / "export", "--kind", "yolo")
    assert_boxes(read_boxes(tmp_path / "images"), BOXES, 0.01)


def make_broken(folder):
    """A dict name of a broken export -> (how it is made, what is said)."""

    def photo_and(name, text):
        put_photo(folder, "p0")
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return {
        "missing": (lambda: None, "is not there; give the folder or zip of the export"),
        "empty": (folder.mkdir, "there are no photos in it or its folders; put them beside the labels"),
        "tfrecord": (
            lambda: photo_and("a.tfrecord", "x"),
            "holds no labels that are known, but 1 .tfrecord; export it as",
        ),
        "zips": (
            lambda: photo_and("task.zip", "x"),
            "holds 1 .zip; unpack them, or give each to make import by itself",
        ),
        "json": (lambda: photo_and("a.json", '{"images": ['), "is no JSON (line 1, column 13"),
        "unknown": (
            lambda: photo_and("a.json", '{"a": 1}'),
            "holds no labels that are known, but 1 .json; export it as",
        ),
        "xml": (lambda: photo_and("p0.xml", "<annotation>"), "p0.xml: is not XML"),
        "cvat": (lambda: photo_and("a.xml", "<annotations><image>"), "a.xml: is not XML"),
        "classes": (lambda: photo_and("p0.txt", "0 0.5 0.5 0.2 0.2"), "number their classes, and nothing names these"),
        "yaml": (
            lambda: [photo_and("p0.txt", "0 0.5 0.5 0.2 0.2"), photo_and("data.yaml", "[")],
            "data.yaml: is no YAML",
        ),
        "twice": (
            lambda: [
                photo_and(f"{n}.csv", f"filename,class,xmin,ymin,xmax,ymax\np0.jpg,cat,{n},2,30,40\n") for n in (1, 2)
            ],
            "1 photo labelled twice: p0.jpg (1.csv, 2.csv); take one of the files away",
        ),
        "nameless": (
            lambda: photo_and("p0.json", json.dumps({"shapes": [{"label": "", "points": [[1, 2], [9, 9]]}]})),
            "the class '' of p0.jpg has no name; rename it",
        ),
        "labelme": (lambda: photo_and("p0.json", '{"shapes": [{}]}'), "p0.json: is not as LabelMe writes it (KeyError"),
        "studio": (
            lambda: photo_and("a.json", '[{"id": 7, "data": {"image": "p0.jpg"}, "annotations": [{}]}]'),
            "task 7: is not as Label Studio writes it (KeyError",
        ),
    }


@pytest.mark.parametrize("name", make_broken(Path()))
def test_each_fault_is_said_in_one_line_and_leaves_nothing(bring, tmp_path, name):
    make, said = make_broken(tmp_path / "export")[name]
    make()
    with pytest.raises(InputError) as caught:
        bring(tmp_path / "export")
    (fault,) = caught.value.faults
    assert said in fault and str(tmp_path / "export") in fault
    assert not (tmp_path / "images").exists()


def test_photos_that_are_missing_are_counted_in_one_line(bring, tmp_path):
    EXPORTS["coco_cvat"](tmp_path / "export")
    for photo in ("p0", "p2", "p3"):
        (tmp_path / f"export/images/default/{photo}.jpg").unlink()
    with pytest.raises(InputError) as caught:
        bring(tmp_path / "export")
    what = "3 images are not in the image folder: 'p0.jpg', 'p2.jpg', 'p3.jpg'; add them, or take them out of the file"
    assert caught.value.faults == (f"{tmp_path / 'export/annotations/instances_default.json'}: {what}",)


def test_boxes_beyond_the_border_are_cut_and_those_without_area_left_out_with_a_word(bring, tmp_path):
    content = make_coco(SIZES)
    node = {"image_id": 0, "category_id": 1, "iscrowd": 0}
    for number, bbox in enumerate(([60, 30, 80, 20], [5, 5, 0, 9], [5, 5, 9, 0]), 90):
        content["annotations"].append({**node, "id": number, "bbox": bbox})
    put_photos(tmp_path / "export")
    write(tmp_path / "export/a.json", content)
    said = bring(tmp_path / "export").err
    assert_boxes(read_boxes(tmp_path / "images"), BOXES | {"p0": [*BOXES["p0"], ("cat", 60, 30, 96, 50)]}, 0.01)
    assert "(60, 30, 140, 50) (xmin, ymin, xmax, ymax) reaches 44 pixels out of the image" in said
    assert said.count("without an area, or without an end; it is left out") == 2
    content["annotations"] = [{**node, "id": number, "bbox": [200, 5, 9, 9]} for number in range(60)]
    write(tmp_path / "export/a.json", content)
    with pytest.raises(InputError) as caught:
        bring(tmp_path / "export")
    assert len(caught.value.faults) == 41
    assert "20 more faults, most of them of the same kinds; correct these first" in caught.value.faults[-1]


def test_a_folder_around_images_is_refused(bring, tmp_path):
    put_photos(tmp_path / "images")
    with pytest.raises(InputError, match="lies in it; give the folder of the export alone"):
        bring(tmp_path)


def test_names_of_photos_never_meet():
    names = ["a/images/x.jpg", "b/images/x.jpg", "b/x.png", "y.jpg", "train/z.jpg", "val/z.jpg", "Z.jpg"]
    chosen = choose_names(names, {"y"}, "zip")
    assert chosen["a/images/x.jpg"] == "a_x.jpg" and chosen["y.jpg"] == "zip_y.jpg"
    stems = [Path(name).stem.casefold() for name in chosen.values()]
    assert len(set(stems)) == len(names)


PIECES = [
    "",
    "-",
    "0",
    "1e999",
    "NaN",
    "9" * 400,
    "null",
    "[",
    "{}",
    '"',
    ",",
    "\n",
    "..",
    "\x00",
    "猫",
    "-1",
    "<a/>",
    ";",
]


@pytest.mark.attack
@pytest.mark.parametrize("seed", range(len(EXPORTS)))
def test_a_damaged_export_comes_in_or_its_faults_are_named(bring, tmp_path, seed):
    chance = random.Random(seed)
    EXPORTS[list(EXPORTS)[seed % len(EXPORTS)]](tmp_path / "export")
    files = [path for path in sorted((tmp_path / "export").rglob("*.*")) if path.suffix not in (".jpg", ".PNG")]
    path = chance.choice([path for path in files if path.is_file()])
    text = path.read_bytes().decode("utf-8", "replace")
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(text))
        end = start + chance.randint(0, 12)
        text = text[:start] + chance.choice([*PIECES, text[start : start + 30] * 2]) + text[end:]
    path.write_text(text, encoding="utf-8")
    try:
        bring(tmp_path / "export")
    except InputError as error:
        assert all(str(tmp_path) in fault for fault in error.faults)
        assert not (tmp_path / "images").exists()
        return
    for xml in (tmp_path / "images").rglob("*.xml"):
        assert read_annotation(xml).filename
