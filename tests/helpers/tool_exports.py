"""Exports of labelling tools, made as each tool's documentation describes them: four photos, with the boxes that a
reader has to find in them. `EXPORTS` is a dict name -> function that makes the export in a folder and returns an
`Expected`."""

import base64
import dataclasses
import io
import json
import math
import shutil
import zlib

from conftest import draw_photo
from PIL import Image

from tfod.data.voc import Box, write_annotation

SIZES = {"p0": (96, 64), "p1": (120, 90), "p2": (64, 96), "p3": (80, 80)}
BOXES = {
    "p0": [("cat", 10, 8, 50, 40), ("dog", 60, 20, 90, 60)],
    "p1": [("cat", 12, 9, 60, 45), ("cat", 66, 18, 114, 81)],
    "p2": [],
    "p3": [("dog", 20, 16, 60, 64)],
}
SUBSETS = {"p0": "train", "p1": "train", "p2": "val", "p3": "test"}
CLASSES = ("cat", "dog")
TILTED = ("dog", 40, 30, 60, 70)  # in p1, turned by DEGREES around its middle
DEGREES = 30.0
OUTLINE = [(70, 10), (110, 20), (90, 60)]  # in p1


@dataclasses.dataclass
class Expected:
    """What an import has to find: photo -> list of (class, xmin, ymin, xmax, ymax), photo -> subset, and texts that are
    said; `tolerance`: pixels that the format's own digits leave open."""

    boxes: dict
    subsets: dict = dataclasses.field(default_factory=dict)
    said: tuple = ()
    tolerance: float = 0.01


def surround(box, degrees, pivot=None):
    """(class, xmin, ymin, xmax, ymax) around a box turned by `degrees`, from its four corners."""
    name, xmin, ymin, xmax, ymax = box
    x, y = pivot or ((xmin + xmax) / 2, (ymin + ymax) / 2)
    corners = turn_corners(box, degrees, (x, y))
    return (name, *(pick(axis) for pick in (min, max) for axis in zip(*corners, strict=True)))


def turn_corners(box, degrees, pivot):
    _, xmin, ymin, xmax, ymax = box
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (pivot[0] + (x - pivot[0]) * cos - (y - pivot[1]) * sin, pivot[1] + (x - pivot[0]) * sin + (y - pivot[1]) * cos)
        for x, y in ((xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax))
    ]


def with_more(photo, *more):
    """BOXES with more boxes in one photo."""
    return BOXES | {photo: [*BOXES[photo], *more]}


def around_outline():
    xs, ys = zip(*OUTLINE, strict=True)
    return ("dog", min(xs), min(ys), max(xs), max(ys))


def put_photo(folder, photo, suffix=".jpg", name=None):
    folder.mkdir(parents=True, exist_ok=True)
    draw_photo(int(photo[1]), SIZES[photo]).save(folder / f"{name or photo}{suffix}", quality=95)


def put_photos(folder):
    for photo in SIZES:
        put_photo(folder, photo)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def subset_folder(photo, val="valid"):
    return {"val": val}.get(SUBSETS[photo], SUBSETS[photo])


# ---------------------------------------------------------------- Pascal VOC


def write_xml(folder, photo):
    folder.mkdir(parents=True, exist_ok=True)
    write_annotation(folder / f"{photo}.xml", f"{photo}.jpg", *SIZES[photo], [Box(*box) for box in BOXES[photo]])


def voc_labelimg(folder):
    put_photos(folder)
    for photo in SIZES:
        write_xml(folder, photo)
    return Expected(BOXES)


def voc_folders(folder):
    """Pascal VOC's own tree, as VOCdevkit has it."""
    top = folder / "VOCdevkit/VOC2007"
    put_photos(top / "JPEGImages")
    for photo in SIZES:
        write_xml(top / "Annotations", photo)
    for subset in ("train", "val", "test"):
        write(top / f"ImageSets/Main/{subset}.txt", "".join(f"{p}\n" for p in SIZES if SUBSETS[p] == subset))
        write(top / f"ImageSets/Main/cat_{subset}.txt", "p0  1\np3 -1\n")
    write(top / "ImageSets/Main/trainval.txt", "p0\np1\np2\n")
    return Expected(BOXES, SUBSETS)


def voc_cvat(folder):
    put_photos(folder / "JPEGImages")
    for photo in SIZES:
        write_xml(folder / "Annotations", photo)
    xml = folder / "Annotations/p1.xml"
    turned = f"<attributes><attribute><name>rotation</name><value>{DEGREES}</value></attribute></attributes>"
    edges = "".join(f"<{e}>{n}</{e}>" for e, n in zip(("xmin", "ymin", "xmax", "ymax"), TILTED[1:], strict=True))
    node = f"<object><name>dog</name><occluded>0</occluded><bndbox>{edges}</bndbox>{turned}</object>"
    write(xml, xml.read_text().replace("</annotation>", f"{node}</annotation>"))
    write(
        folder / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"
    )
    write(folder / "ImageSets/Main/default.txt", "p0\np1\np2\np3\n")
    return Expected(with_more("p1", surround(TILTED, DEGREES)), said=("turned",))


def voc_rolabelimg(folder):
    put_photos(folder)
    for photo in SIZES:
        write_xml(folder, photo)
    xml = folder / "p1.xml"
    _, xmin, ymin, xmax, ymax = TILTED
    numbers = {"cx": (xmin + xmax) / 2, "cy": (ymin + ymax) / 2, "w": xmax - xmin, "h": ymax - ymin}
    numbers["angle"] = math.radians(DEGREES)
    inner = "".join(f"<{tag}>{number}</{tag}>" for tag, number in numbers.items())
    node = f"<object><type>robndbox</type><name>dog</name><robndbox>{inner}</robndbox></object>"
    write(xml, xml.read_text().replace("</annotation>", f"{node}</annotation>"))
    return Expected(with_more("p1", surround(TILTED, DEGREES)), said=("turned",))


def voc_roboflow(folder):
    for photo in SIZES:
        put_photo(folder / subset_folder(photo), photo)
        write_xml(folder / subset_folder(photo), photo)
    write(folder / "README.roboflow.txt", "my-project - v1\n==============\n")
    return Expected(BOXES, SUBSETS)


# ---------------------------------------------------------------- COCO


def make_coco(photos, name="{}.jpg", categories=None, more=()):
    categories = categories or [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    ids = {node["name"]: node["id"] for node in categories}
    images = [
        {"id": int(p[1]), "file_name": name.format(p), "width": SIZES[p][0], "height": SIZES[p][1]} for p in photos
    ]
    nodes = [
        {"image_id": int(photo[1]), "category_id": ids[label], "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
        for photo in photos
        for label, xmin, ymin, xmax, ymax in BOXES[photo]
    ]
    nodes += more
    nodes = [{"id": number, "iscrowd": 0, "segmentation": [], **node} for number, node in enumerate(nodes, 1)]
    return {"images": images, "categories": categories, "annotations": nodes}


def coco_2017(folder):
    for subset in ("train", "val", "test"):
        photos = [p for p in SIZES if SUBSETS[p] == subset]
        for photo in photos:
            put_photo(folder / f"{subset}2017", photo)
        write(folder / f"annotations/instances_{subset}2017.json", make_coco(photos))
        write(folder / f"annotations/person_keypoints_{subset}2017.json", make_coco(photos))
        write(folder / f"annotations/captions_{subset}2017.json", {"images": [], "annotations": []})
    return Expected(BOXES, SUBSETS)


def coco_cvat(folder):
    _, xmin, ymin, xmax, ymax = TILTED
    node = {"image_id": 1, "category_id": 2, "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
    node["attributes"] = {"occluded": True, "rotation": DEGREES, "color": "red"}
    put_photos(folder / "images/default")
    write(folder / "annotations/instances_default.json", make_coco(SIZES, more=[node]))
    said = ("1 turned boxes are taken as", "attributes of boxes", "occluded (1), color (1)")
    return Expected(with_more("p1", surround(TILTED, DEGREES)), said=said)


def coco_roboflow(folder):
    categories = [{"id": 0, "name": "dog", "supercategory": "none"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    for subset in ("train", "valid", "test"):
        photos = [p for p in SIZES if subset_folder(p) == subset]
        for photo in photos:
            put_photo(folder / subset, photo)
        write(folder / subset / "_annotations.coco.json", make_coco(photos, categories=categories))
    return Expected(BOXES, SUBSETS)


def coco_labelstudio(folder):
    for photo in SIZES:
        put_photo(folder / "images", photo, name=f"1234abcd-{photo}")
    content = make_coco(SIZES, name="..\\..\\label-studio\\data\\media\\upload\\1\\1234abcd-{}.jpg")
    write(folder / "result.json", content)
    return Expected({f"1234abcd-{photo}": boxes for photo, boxes in BOXES.items()})


def coco_outlines(folder):
    """Outlines alone: a polygon, a mask as COCO packs it, an unpacked one, and a crowd."""
    from pycocotools import mask

    width, height = SIZES["p1"]
    flat = [number for point in OUTLINE for number in point]
    (packed,) = mask.frPyObjects([[20, 30, 40, 30, 40, 50, 20, 50]], height, width)
    unpacked = {"size": [height, width], "counts": [30 + 20 * height, 20, height * width - 50 - 20 * height]}
    packed["counts"] = packed["counts"].decode()
    node = {"image_id": 1, "category_id": 2}
    nodes = [
        {**node, "segmentation": [flat], "bbox": []},
        {**node, "segmentation": packed, "bbox": [0, 0, 0, 0]},
        {**node, "segmentation": unpacked},
        {**node, "segmentation": unpacked, "bbox": [5, 5, 20, 20], "iscrowd": 1},
        {**node, "segmentation": [[30, 5, 50, 5, 50, 25]], "bbox": [30, 5, 20, 20]},
    ]
    put_photos(folder / "images")
    write(folder / "instances.json", make_coco(SIZES, more=nodes))
    more = [
        around_outline(),
        ("dog", 20, 30, 40, 50),
        ("dog", 20, 30, 21, 50),
        ("dog", 5, 5, 25, 25),
        ("dog", 30, 5, 50, 25),
    ]
    said = ("3 outlines without a box", "1 crowds (iscrowd)", "1 outlines (segmentation) are left out")
    return Expected(with_more("p1", *more), said=said)


# ---------------------------------------------------------------- YOLO


def yolo_line(photo, box):
    (width, height), (label, xmin, ymin, xmax, ymax) = SIZES[photo], box
    numbers = (xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height, (xmax - xmin) / width, (ymax - ymin) / height
    return f"{CLASSES.index(label)} {' '.join(f'{number:.6f}' for number in numbers)}\n"


def points_line(photo, label, points):
    width, height = SIZES[photo]
    return f"{CLASSES.index(label)} {' '.join(f'{x / width:.6f} {y / height:.6f}' for x, y in points)}\n"


def write_yolo(folder, photo, more="", **files):
    write(folder / f"{photo}.txt", "".join(yolo_line(photo, box) for box in BOXES[photo]) + more)


def yolo_ultralytics(folder, more="", expected=None):
    for photo in SIZES:
        put_photo(folder / "images" / SUBSETS[photo], photo)
        if BOXES[photo]:  # Ultralytics needs none where nothing is in the photo
            write_yolo(folder / "labels" / SUBSETS[photo], photo, more if photo == "p1" else "")
    yaml = (
        "path: ../datasets/mine\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n  0: cat\n  1: dog\n"
    )
    write(folder / "data.yaml", yaml)
    return expected or Expected(BOXES, SUBSETS, ("1 photos without a txt file",))


def yolo_obb(folder):
    _, xmin, ymin, xmax, ymax = TILTED
    corners = turn_corners(TILTED, DEGREES, ((xmin + xmax) / 2, (ymin + ymax) / 2))
    boxes = with_more("p1", surround(TILTED, DEGREES))
    return yolo_ultralytics(folder, points_line("p1", "dog", corners), Expected(boxes, SUBSETS, ("1 turned boxes",)))


def yolo_outlines(folder):
    boxes = with_more("p1", around_outline())
    said = ("1 outlines without a box",)
    return yolo_ultralytics(folder, points_line("p1", "dog", OUTLINE), Expected(boxes, SUBSETS, said))


def yolo_other_folders(folder):
    """A data.yaml whose folders do not say which subset they are."""
    sets = {"train": "first", "val": "second", "test": "third"}
    for photo in SIZES:
        put_photo(folder / "images" / sets[SUBSETS[photo]], photo)
        write_yolo(folder / "labels" / sets[SUBSETS[photo]], photo)
    write(
        folder / "data.yaml", "train: ./images/first\nval: ./images/second\ntest: ./images/third\nnames: [cat, dog]\n"
    )
    return Expected(BOXES, SUBSETS)


def yolo_cvat(folder):
    """CVAT's YOLO 1.1, which is Darknet's."""
    put_photos(folder / "obj_train_data")
    for photo in SIZES:
        write_yolo(folder / "obj_train_data", photo)
    write(folder / "obj.names", "cat\ndog\n")
    write(folder / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    write(folder / "train.txt", "".join(f"data/obj_train_data/{photo}.jpg\n" for photo in SIZES))
    return Expected(BOXES)


def yolo_darknet_lists(folder):
    put_photos(folder / "obj")
    for photo in SIZES:
        write_yolo(folder / "obj", photo)
    write(folder / "obj.names", "cat\ndog\n")
    for subset in ("train", "valid", "test"):
        photos = [photo for photo in SIZES if subset_folder(photo) == subset]
        write(folder / f"{subset}.txt", "".join(f"/home/me/data/obj/{photo}.jpg\n" for photo in photos))
    return Expected(BOXES, SUBSETS)


def yolo_labelimg(folder):
    put_photos(folder)
    for photo in SIZES:
        write_yolo(folder, photo)
    write(folder / "classes.txt", "cat\ndog\n")
    return Expected(BOXES)


def yolo_roboflow(folder):
    for photo in SIZES:
        put_photo(folder / subset_folder(photo) / "images", photo)
        write_yolo(folder / subset_folder(photo) / "labels", photo)
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['cat', 'dog']\n"
    write(folder / "data.yaml", yaml)
    write(folder / "README.dataset.txt", "# mine > v1\n")
    return Expected(BOXES, SUBSETS)


def yolo_dota(folder):
    _, xmin, ymin, xmax, ymax = TILTED
    corners = turn_corners(TILTED, DEGREES, ((xmin + xmax) / 2, (ymin + ymax) / 2))
    put_photo(folder / "images", "p1")
    numbers = " ".join(f"{number:.3f}" for corner in corners for number in corner)
    write(folder / "labelTxt/p1.txt", f"imagesource:GoogleEarth\ngsd:0.146\n{numbers} dog 1\n")
    return Expected({"p1": [surround(TILTED, DEGREES)]}, said=("1 turned boxes",))


# ---------------------------------------------------------------- CSV

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"


def csv_rows(photos, name="{}.jpg"):
    return [
        f"{name.format(p)},{SIZES[p][0]},{SIZES[p][1]},{','.join(map(str, box))}" for p in photos for box in BOXES[p]
    ]


def without_negatives():
    return {photo: boxes for photo, boxes in BOXES.items() if boxes}


def csv_tutorial(folder):
    for subset, photos in {"train": ("p0", "p1"), "test": ("p3",)}.items():
        for photo in photos:
            put_photo(folder / "images" / subset, photo)
        write(folder / f"annotations/{subset}_labels.csv", "\n".join([HEADER, *csv_rows(photos)]) + "\n")
    return Expected(without_negatives(), {"p0": "train", "p1": "train", "p3": "test"})


def csv_semicolons(folder):
    put_photos(folder)
    rows = [HEADER, *csv_rows(SIZES)]
    text = "\n".join(rows).replace(",", ";").replace(";10;8;50;40", ";10,0;8,0;50,0;40,0")
    (folder / "labels.csv").write_bytes(text.encode("utf-8-sig"))
    return Expected(without_negatives(), said=("1 photo without labels",))


def csv_tabs_utf16(folder):
    put_photos(folder)
    rows = ["image\tlabel\tx_min\ty_min\tx_max\ty_max"]
    rows += [f"C:\\photos\\{p}.jpg\t" + "\t".join(map(str, box)) for p in SIZES for box in BOXES[p]]
    (folder / "labels.csv").write_bytes("\r\n".join(rows).encode("utf-16"))
    return Expected(without_negatives())


def csv_fractions(folder):
    put_photos(folder)
    rows = [HEADER]
    for photo in SIZES:
        width, height = SIZES[photo]
        for label, xmin, ymin, xmax, ymax in BOXES[photo]:
            rows.append(f"{photo}.jpg,,,{label},{xmin / width},{ymin / height},{xmax / width},{ymax / height}")
    write(folder / "labels.csv", "\n".join(rows))
    return Expected(without_negatives(), said=("fractions",))


def csv_retinanet(folder):
    for photo in SIZES:
        put_photo(folder / subset_folder(photo), photo)
        rows = [f"{photo}.jpg,{','.join(map(str, box[1:]))},{box[0]}" for box in BOXES[photo]] or [f"{photo}.jpg,,,,,"]
        path = folder / subset_folder(photo) / "_annotations.csv"
        write(path, (path.read_text() if path.exists() else "") + "\n".join(rows) + "\n")
        write(folder / subset_folder(photo) / "_classes.csv", "cat,0\ndog,1\n")
    return Expected(BOXES, SUBSETS)


def keras_txt(folder):
    """Roboflow's "YOLO v4 PyTorch" and "YOLO v3 Keras"."""
    for photo in SIZES:
        put_photo(folder / subset_folder(photo), photo)
        boxes = [f"{','.join(map(str, edges))},{CLASSES.index(label)}" for label, *edges in BOXES[photo]]
        path = folder / subset_folder(photo) / "_annotations.txt"
        write(path, (path.read_text() if path.exists() else "") + " ".join([f"{photo}.jpg", *boxes]) + "\n")
        write(folder / subset_folder(photo) / "_classes.txt", "cat\ndog\n")
    return Expected(BOXES, SUBSETS)


# ---------------------------------------------------------------- tools' own


def labelme(folder):
    put_photos(folder)
    for photo in SIZES:
        shapes = [
            {"label": box[0], "points": [box[3:], box[1:3]], "shape_type": "rectangle", "flags": {}}
            for box in BOXES[photo]
        ]
        if photo == "p1":
            shapes.append({"label": "dog", "points": OUTLINE, "shape_type": "polygon", "flags": {"wet": True}})
            shapes.append({"label": "cat", "points": [[40, 40], [46, 48]], "shape_type": "circle", "flags": {}})
            shapes.append({"label": "cat", "points": [[1, 1]], "shape_type": "point", "flags": {}})
        size = {"imageWidth": SIZES[photo][0], "imageHeight": SIZES[photo][1]}
        content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\img\\{photo}.jpg", **size}
        write(folder / f"{photo}.json", {**content, "imageData": None})
    said = ("2 outlines without a box", "1 points, lines and other marks", "wet (1)")
    return Expected(with_more("p1", around_outline(), ("cat", 30, 30, 50, 50)), said=said)


def make_cvat(photos=SIZES, name="{}.jpg", more=""):
    images = []
    for number, photo in enumerate(photos):
        shapes = "".join(
            f'<box label="{label}" source="manual" occluded="0" xtl="{xmin:.2f}" ytl="{ymin:.2f}" xbr="{xmax:.2f}"'
            f' ybr="{ymax:.2f}" z_order="0"></box>'
            for label, xmin, ymin, xmax, ymax in BOXES[photo]
        )
        size = 'width="{}" height="{}"'.format(*SIZES[photo])
        named = name.format(photo)
        images.append(f'<image id="{number}" name="{named}" {size}>{shapes}{more if photo == "p1" else ""}</image>')
    labels = "".join(f"<label><name>{name}</name><attributes></attributes></label>" for name in CLASSES)
    meta = f"<meta><task><id>1</id><name>mine</name><size>{len(photos)}</size><labels>{labels}</labels></task></meta>"
    start = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    return f"{start}{meta}{''.join(images)}</annotations>"


def cvat_images(folder):
    _, xmin, ymin, xmax, ymax = TILTED
    more = f'<box label="dog" occluded="1" xtl="{xmin}" ytl="{ymin}" xbr="{xmax}" ybr="{ymax}" rotation="{DEGREES}" />'
    more += f'<polygon label="dog" occluded="0" points="{";".join(f"{x},{y}" for x, y in OUTLINE)}" />'
    more += '<ellipse label="cat" cx="40" cy="40" rx="20" ry="10" rotation="90" />'
    more += '<mask label="cat" rle="0, 4" left="5" top="6" width="10" height="12" />'
    more += '<polyline label="cat" points="1,2;3,4" /><tag label="night" />'
    more += '<box label="cat" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"><attribute name="wet">true</attribute></box>'
    put_photos(folder / "images")
    write(folder / "annotations.xml", make_cvat(more=more))
    boxes = [
        surround(TILTED, DEGREES),
        around_outline(),
        ("cat", 30, 20, 50, 60),
        ("cat", 5, 6, 15, 18),
        ("cat", 1, 1, 9, 9),
    ]
    said = ("1 turned boxes", "3 outlines without a box", "1 points, lines", "1 tags of whole photos")
    return Expected(with_more("p1", *boxes), said=(*said, "occluded (1), wet (1)"))


def cvat_video(folder):
    """Frames of one size, as a video has them."""
    for frame, photo in ((0, "p0"), (1, "p0")):
        put_photo(folder / "images", photo, suffix=".PNG", name=f"frame_{frame:06d}")
    box = '<box frame="{}" outside="{}" occluded="0" keyframe="1" xtl="10" ytl="8" xbr="50" ybr="40" z_order="0"></box>'
    track = f'<track id="0" label="cat" source="manual">{box.format(0, 0)}{box.format(1, 1)}</track>'
    write(folder / "annotations.xml", f"<annotations><version>1.1</version>{track}</annotations>")
    return Expected({"frame_000000": [("cat", 10, 8, 50, 40)]}, said=("1 photo without labels",))


def make_labelstudio(more=True):
    tasks = []
    for number, photo in enumerate(SIZES, 1):
        width, height = SIZES[photo]
        results = [
            make_region(
                photo, "rectanglelabels", label, x=xmin, y=ymin, width=xmax - xmin, height=ymax - ymin, rotation=0
            )
            for label, xmin, ymin, xmax, ymax in BOXES[photo]
        ]
        if photo == "p1" and more:
            _, xmin, ymin, xmax, ymax = TILTED
            edges = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
            results.append(make_region(photo, "rectanglelabels", "dog", **edges, rotation=DEGREES))
            results.append(make_region(photo, "polygonlabels", "dog", points=OUTLINE))
            results.append(
                {
                    "id": "k",
                    "type": "keypointlabels",
                    "value": {"x": 1, "y": 2, "width": 0.5, "keypointlabels": ["cat"]},
                }
            )
            results.append({"id": "c", "type": "choices", "value": {"choices": ["night"]}})
        done = [{"id": 1, "was_cancelled": True, "result": []}, {"id": 2, "was_cancelled": False, "result": results}]
        tasks.append({"id": number, "annotations": done, "data": {"image": f"/data/upload/1/1234abcd-{photo}.jpg"}})
    return tasks


def make_region(photo, kind, label, **numbers):
    width, height = SIZES[photo]
    scale = {"x": width, "width": width, "y": height, "height": height}
    value = {key: number * 100 / scale[key] if key in scale else number for key, number in numbers.items()}
    if "points" in value:
        value["points"] = [[x * 100 / width, y * 100 / height] for x, y in numbers["points"]]
    region = {
        "id": f"{kind}{sorted(numbers.items())}",
        "type": kind,
        "original_width": width,
        "original_height": height,
    }
    return {**region, "image_rotation": 0, "value": {**value, kind: [label]}}


def labelstudio(folder):
    put_photos(folder / "photos")
    write(folder / "project-1.json", make_labelstudio())
    boxes = with_more("p1", surround(TILTED, DEGREES, TILTED[1:3]), around_outline())
    return Expected(boxes, said=("1 turned boxes", "1 outlines without a box", "1 points, lines"))


def labelstudio_min(folder):
    put_photos(folder)
    tasks = []
    for task in make_labelstudio(more=False):
        regions = [
            {
                **region["value"],
                "original_width": region["original_width"],
                "original_height": region["original_height"],
            }
            for region in task["annotations"][1]["result"]
        ]
        name = task["data"]["image"].rpartition("-")[2]
        local = {"image": f"/data/local-files/?d=my%20photos/{name}", "id": task["id"], "annotator": 1}
        tasks.append({**local, **({"label": regions} if regions else {})})
    write(folder / "min.json", tasks)
    return Expected(BOXES)


def supervisely(folder):
    def object_of(label, kind, **more):
        return {"classTitle": label, "geometryType": kind, "tags": [], **more}

    mask = io.BytesIO()
    Image.new("1", (12, 14), 1).save(mask, "PNG")
    data = base64.b64encode(zlib.compress(mask.getvalue())).decode()
    for photo in SIZES:
        put_photo(folder / "ds/img", photo)
        nodes = [
            object_of(box[0], "rectangle", points={"exterior": [box[1:3], box[3:]], "interior": []})
            for box in BOXES[photo]
        ]
        if photo == "p1":
            nodes.append(object_of("dog", "polygon", points={"exterior": OUTLINE, "interior": []}))
            nodes.append(object_of("cat", "bitmap", bitmap={"origin": [20, 30], "data": data}))
            nodes.append(object_of("cat", "point", points={"exterior": [[1, 2]], "interior": []}))
            nodes[0]["tags"] = [{"name": "wet"}]
        size = dict(zip(("width", "height"), SIZES[photo], strict=True))
        write(folder / f"ds/ann/{photo}.jpg.json", {"description": "", "tags": [], "size": size, "objects": nodes})
    write(folder / "meta.json", {"classes": [{"title": "cat", "shape": "rectangle"}], "tags": []})
    said = ("2 outlines without a box", "1 points, lines", "wet (1)")
    return Expected(with_more("p1", around_outline(), ("cat", 20, 30, 32, 44)), said=said)


def openimages(folder):
    mids = {"cat": "/m/01yrx", "dog": "/m/0bt9lr"}
    columns = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    for subset, name in {"train": "train", "val": "validation", "test": "test"}.items():
        rows = [columns]
        for photo in (photo for photo in SIZES if SUBSETS[photo] == subset):
            put_photo(folder / name / "data", photo)
            width, height = SIZES[photo]
            rows += [
                f"{photo},xclick,{mids[label]},1,{xmin / width},{xmax / width},{ymin / height},{ymax / height},0,0,"
                f"{int(photo == 'p3')}"
                for label, xmin, ymin, xmax, ymax in BOXES[photo]
            ]
        write(folder / f"annotations/{name}-annotations-bbox.csv", "\n".join(rows) + "\n")
    write(folder / "annotations/class-descriptions-boxable.csv", "/m/01yrx,cat\n/m/0bt9lr,dog\n")
    said = ("1 groups (IsGroupOf)", "1 photo without labels, brought in without an XML file: validation/data/p2.jpg")
    return Expected(without_negatives(), SUBSETS, said)


def createml(folder):
    for subset in ("train", "valid", "test"):
        photos = [photo for photo in SIZES if subset_folder(photo) == subset]
        rows = []
        for photo in photos:
            put_photo(folder / subset, photo)
            spots = [
                {"x": (xmin + xmax) / 2, "y": (ymin + ymax) / 2, "width": xmax - xmin, "height": ymax - ymin}
                for _, xmin, ymin, xmax, ymax in BOXES[photo]
            ]
            nodes = [{"label": box[0], "coordinates": spot} for box, spot in zip(BOXES[photo], spots, strict=True)]
            rows.append({"image": f"{photo}.jpg", "annotations": nodes})
        write(folder / subset / "_annotations.createml.json", rows)
    return Expected(BOXES, SUBSETS)


def several_tasks(folder):
    """Two tasks of CVAT, each with photos of the same names."""
    boxes = {}
    for task, photos in {"task_1": ("p0", "p1"), "task_2": ("p2", "p3")}.items():
        for number, photo in enumerate(photos):
            put_photo(folder / task / "images", photo, name=f"frame_{number:06d}")
            boxes[f"{task}_frame_{number:06d}"] = BOXES[photo]
        xml = make_cvat(photos)
        for number, photo in enumerate(photos):
            xml = xml.replace(f'"{photo}.jpg"', f'"frame_{number:06d}.jpg"')
        write(folder / task / "annotations.xml", xml)
    return Expected(boxes, said=("4 photos renamed, since others have the same name",))


EXPORTS = {
    function.__name__: function
    for function in (
        *(voc_labelimg, voc_folders, voc_cvat, voc_rolabelimg, voc_roboflow),
        *(coco_2017, coco_cvat, coco_roboflow, coco_labelstudio, coco_outlines),
        *(yolo_ultralytics, yolo_obb, yolo_outlines, yolo_other_folders, yolo_cvat, yolo_darknet_lists),
        *(yolo_labelimg, yolo_roboflow, yolo_dota),
        *(csv_tutorial, csv_semicolons, csv_tabs_utf16, csv_fractions, csv_retinanet, keras_txt),
        *(labelme, cvat_images, cvat_video, labelstudio, labelstudio_min, supervisely, openimages, createml),
        several_tasks,
    )
}


def zip_export(folder):
    """The export as a zip file beside its folder."""
    return shutil.make_archive(str(folder), "zip", folder)
