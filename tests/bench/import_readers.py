"""Reads exports with other libraries, for bench_import.py: runs in an environment of its own that has them.

    python import_readers.py FOLDER     # in which are the exports of tests/helpers/tool_exports.py

Prints one JSON object: library -> export -> {photo: [[class, xmin, ymin, xmax, ymax], ...]}, or a text: why it can't.
"""

import contextlib
import importlib.metadata
import io
import json
import shutil
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")


def read_supervision(name, folder):
    import supervision as sv

    def collect(dataset):
        return {
            Path(path.replace("\\", "/")).stem: [
                [dataset.classes[number], *map(float, box)]
                for number, box in zip(found.class_id, found.xyxy, strict=True)
            ]
            for path, found in dataset.annotations.items()
        }

    read = sv.DetectionDataset
    subsets = {"train": "train", "valid": "val", "test": "test"}
    found = {}
    if name in ("voc_labelimg", "voc_rolabelimg"):
        found = collect(read.from_pascal_voc(str(folder), str(folder)))
    elif name == "voc_folders":
        top = folder / "VOCdevkit/VOC2007"
        found = collect(read.from_pascal_voc(str(top / "JPEGImages"), str(top / "Annotations")))
    elif name == "voc_cvat":
        found = collect(read.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations")))
    elif name == "voc_roboflow":
        for subset in subsets:
            found |= collect(read.from_pascal_voc(str(folder / subset), str(folder / subset)))
    elif name == "coco_2017":
        for subset in subsets.values():
            images, labels = folder / f"{subset}2017", folder / f"annotations/instances_{subset}2017.json"
            found |= collect(read.from_coco(str(images), str(labels)))
    elif name == "coco_roboflow":
        for subset in subsets:
            found |= collect(read.from_coco(str(folder / subset), str(folder / subset / "_annotations.coco.json")))
    elif name in ("coco_cvat", "coco_labelstudio", "coco_outlines"):
        (labels,) = folder.rglob("*.json")
        images = next(folder.rglob("*.jpg")).parent
        found = collect(read.from_coco(str(images), str(labels)))
    elif name in ("yolo_ultralytics", "yolo_obb", "yolo_outlines"):
        for subset in subsets.values():
            images, labels = folder / "images" / subset, folder / "labels" / subset
            labels.mkdir(exist_ok=True)
            yaml = str(folder / "data.yaml")
            found |= collect(read.from_yolo(str(images), str(labels), yaml, is_obb=name == "yolo_obb"))
    elif name == "yolo_roboflow":
        for subset in subsets:
            images, labels = folder / subset / "images", folder / subset / "labels"
            found |= collect(read.from_yolo(str(images), str(labels), str(folder / "data.yaml")))
    elif name == "labelme":
        found = collect(read.from_labelme(str(folder), str(folder)))
    elif name == "createml":
        for subset in subsets:
            file = folder / subset / "_annotations.createml.json"
            found |= collect(read.from_createml(str(folder / subset), str(file)))
    else:
        return "has no reader for it"
    return found


def read_labelformat(name, folder):
    from labelformat.formats import COCOObjectDetectionInput, CVATObjectDetectionInput, YOLOv8ObjectDetectionInput

    inputs = []
    if name == "cvat_images":
        inputs = [CVATObjectDetectionInput(input_file=folder / "annotations.xml")]
    elif name == "coco_2017":
        inputs = [
            COCOObjectDetectionInput(input_file=path) for path in sorted(folder.glob("annotations/instances*.json"))
        ]
    elif name in ("coco_cvat", "coco_labelstudio", "coco_outlines"):
        inputs = [COCOObjectDetectionInput(input_file=path) for path in folder.rglob("*.json")]
    elif name == "coco_roboflow":
        inputs = [COCOObjectDetectionInput(input_file=path) for path in sorted(folder.glob("*/*.json"))]
    elif name in ("yolo_ultralytics", "yolo_obb", "yolo_outlines", "yolo_other_folders"):
        splits = ("train", "val", "test")
        inputs = [YOLOv8ObjectDetectionInput(input_file=folder / "data.yaml", input_split=split) for split in splits]
    if not inputs:
        return "has no reader for it"
    found = {}
    for one in inputs:
        for label in one.get_labels():
            stem = Path(label.image.filename.replace("\\", "/")).stem
            boxes = [[o.category.name, o.box.xmin, o.box.ymin, o.box.xmax, o.box.ymax] for o in label.objects]
            found.setdefault(stem, []).extend(boxes)
    return found


def set_apart(folder):
    """A folder of the photos of `folder` alone, which FiftyOne asks for."""
    photos = folder / "photos apart"
    photos.mkdir()
    for path in folder.glob("*.jpg"):
        shutil.copy(path, photos)
    return str(photos)


def read_fiftyone(name, folder):
    """FiftyOne's importers, which need no database as long as no Dataset is made."""
    import fiftyone.utils.coco as coco
    import fiftyone.utils.cvat as cvat
    import fiftyone.utils.voc as voc
    import fiftyone.utils.yolo as yolo
    from PIL import Image

    importers = []
    if name == "voc_labelimg":
        importers = [voc.VOCDetectionDatasetImporter(data_path=set_apart(folder), labels_path=str(folder))]
    elif name in ("voc_cvat", "voc_folders"):
        top = folder if name == "voc_cvat" else folder / "VOCdevkit/VOC2007"
        paths = {"data_path": str(top / "JPEGImages"), "labels_path": str(top / "Annotations")}
        importers = [voc.VOCDetectionDatasetImporter(**paths)]
    elif name == "voc_roboflow":
        places = [folder / subset for subset in ("train", "valid", "test")]
        importers = [voc.VOCDetectionDatasetImporter(data_path=set_apart(p), labels_path=str(p)) for p in places]
    elif name == "coco_2017":
        for subset in ("train", "val", "test"):
            paths = {"data_path": str(folder / f"{subset}2017")}
            paths["labels_path"] = str(folder / f"annotations/instances_{subset}2017.json")
            importers.append(coco.COCODetectionDatasetImporter(**paths, label_types=["detections"]))
    elif name in ("coco_cvat", "coco_outlines"):
        (labels,) = folder.rglob("*.json")
        paths = {"data_path": str(next(folder.rglob("*.jpg")).parent), "labels_path": str(labels)}
        importers = [coco.COCODetectionDatasetImporter(**paths, label_types=["detections"])]
    elif name == "coco_roboflow":
        for subset in ("train", "valid", "test"):
            paths = {"data_path": str(folder / subset), "labels_path": str(folder / subset / "_annotations.coco.json")}
            importers.append(coco.COCODetectionDatasetImporter(**paths, label_types=["detections"]))
    elif name in ("yolo_ultralytics", "yolo_outlines", "yolo_obb"):
        text = (folder / "data.yaml").read_text().replace("path: ../datasets/mine", f"path: {folder}")
        (folder / "data.yaml").write_text(text)
        importers = [
            yolo.YOLOv5DatasetImporter(
                dataset_dir=str(folder), yaml_path="data.yaml", split=split, include_all_data=True
            )
            for split in ("train", "val", "test")
        ]
    elif name in ("yolo_cvat", "yolo_labelimg"):
        data, names = (folder / "obj_train_data", "obj.names") if name == "yolo_cvat" else (folder, "classes.txt")
        paths = {"data_path": set_apart(data), "labels_path": str(data), "objects_path": str(folder / names)}
        importers = [yolo.YOLOv4DatasetImporter(**paths, include_all_data=True)]
    elif name == "cvat_images":
        paths = {"data_path": str(folder / "images"), "labels_path": str(folder / "annotations.xml")}
        importers = [cvat.CVATImageDatasetImporter(**paths)]
    if not importers:
        return "has no reader for it"
    found = {}
    for importer in importers:
        with importer:
            for path, _, label in importer:
                label = label.get("detections") if isinstance(label, dict) else label
                with Image.open(path) as image:
                    width, height = image.size
                boxes = [(one.label, *one.bounding_box) for one in (label.detections if label else ())]
                found[Path(path).stem] = [
                    [name, x * width, y * height, (x + w) * width, (y + h) * height] for name, x, y, w, h in boxes
                ]
    return found


def main():
    folder, found = Path(sys.argv[1]), {}
    for library, read in (
        ("supervision", read_supervision),
        ("fiftyone", read_fiftyone),
        ("labelformat", read_labelformat),
    ):
        try:
            version = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
        its_found = found[f"{library} {version}"] = {}
        for export in sorted(path for path in folder.iterdir() if path.is_dir()):
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    its_found[export.name] = read(export.name, export)
                except Exception as error:  # noqa: BLE001 - whatever a library raises is its entry in the table
                    its_found[export.name] = f"fails ({type(error).__name__})"
                    print(f"{library}, {export.name}: {error}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
