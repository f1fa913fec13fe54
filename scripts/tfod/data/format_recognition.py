"""What a folder from another tool holds: which annotations in which format, and which photo belongs to which subset."""

import collections
import dataclasses
from pathlib import Path, PurePosixPath

from lxml import etree

from tfod.data.format_readers import COLUMNS, DOTA_NOTES, name_column, read_table
from tfod.data.format_reading import SUBSET_NAMES, Photos, find_place, find_subset, match_labels
from tfod.data.format_tool_readers import load_json
from tfod.data.formats import list_below
from tfod.utils.console import InputError
from tfod.utils.files import read_bytes, read_text

TITLES = {
    "voc": "Pascal VOC XML",
    "coco": "COCO JSON",
    "yolo": "YOLO txt",
    "csv": "CSV",
    "keras": "txt of YOLO for Keras",
    "labelme": "LabelMe JSON",
    "cvat": "CVAT XML",
    "labelstudio": "Label Studio JSON",
    "supervisely": "Supervisely JSON",
    "createml": "CreateML JSON",
    "openimages": "Open Images CSV",
}


CLASS_FILES = (".yaml", ".yml", ".names", ".labels")  # of YOLO, beside classes.txt


SUFFIXES = (".json", ".xml", ".txt", ".csv", *CLASS_FILES)


UNKNOWN = (".tfrecord", ".tfrecords", ".record", ".parquet", ".mat", ".pkl", ".h5")  # of annotations, too


ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")


@dataclasses.dataclass
class Part:
    """Annotations in one format: `source`, the file or the folder that holds them, for formats with a file for each
    image `files`, a dict name -> path, and for YOLO the file that names the classes."""

    kind: str
    source: Path
    files: dict | None = None
    classes: Path | None = None


def find_parts(root, images, without=(), only=None):
    """The list of `Part` of the folder `root`, whose `images` are a dict name -> path; of files but those in `without`,
    or of the file `only`.

    Raises InputError where a file can't be read, and where YOLO's classes have no names.
    """
    files = {name: path for name, path in list_below(root, SUFFIXES).items() if path.absolute() not in without}
    if only:
        files = {name: path for name, path in files.items() if path.absolute() == only.absolute()}
    kinds = collections.defaultdict(dict)
    for name, path in files.items():
        recognize = RECOGNIZE.get(path.suffix.lower())
        if recognize and (kind := recognize(path)):
            kinds[kind][name] = path
    parts = [Part(kind, root, kinds.pop(kind)) for kind in ("voc", "labelme", "supervisely") if kinds[kind]]
    for kind, its_files in kinds.items():
        parts += [Part(kind, path) for path in _leave_out_keypoints(its_files)]
    return parts + _find_yolo(root, images, files)


def _leave_out_keypoints(files):
    """COCO comes with the same boxes twice: instances_*.json, and person_keypoints_*.json of people only."""
    doubled = {path.parent / path.name.replace("person_keypoints", "instances") for path in files.values()}
    whole = doubled & set(files.values())
    return [path for path in files.values() if not (path.name.startswith("person_keypoints") and whole)]


def recognize_json(path):
    """The kind of a JSON file, or None."""
    content = load_json(path)
    if isinstance(content, dict):
        if all(isinstance(content.get(key), list) for key in ("images", "annotations", "categories")):
            return "coco"
        if isinstance(content.get("shapes"), list):
            return "labelme"
        return "supervisely" if isinstance(content.get("objects"), list) and "size" in content else None
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        return None
    row = content[0]
    if isinstance(row.get("data"), dict) and ("annotations" in row or "completions" in row):
        return "labelstudio"
    if isinstance(row.get("image", row.get("imagefilename")), str) and ("annotations" in row or "annotation" in row):
        return "createml"
    regions = [one for row in content for some in row.values() if isinstance(some, list) for one in some]
    named = any(isinstance(one, dict) and any(key.endswith("labels") for key in one) for one in regions)
    return "labelstudio" if named else None


def recognize_xml(path):
    """The kind of an XML file, or None; what is no XML is taken for labelImg's, so that it gets its fault."""
    try:
        events = etree.iterparse(str(path), events=("start",), resolve_entities=False, no_network=True, load_dtd=False)
        tag = next(events)[1].tag
    except (etree.XMLSyntaxError, StopIteration):
        return "voc"
    return {"annotation": "voc", "annotations": "cvat"}.get(tag)


def recognize_csv(path):
    """The kind of a CSV file, or None."""
    try:
        header, _, _ = read_table(path)
    except InputError:
        return None
    if {"ImageID", "LabelName", "XMin"} <= set(header):
        return "openimages"
    return "csv" if {"filename", "class", *COLUMNS[4:]} <= set(map(name_column, header)) else None


def recognize_txt(path):
    """The kind of a txt file that holds the boxes of many images, or None."""
    return "keras" if path.stem.lower().endswith("annotations") else None


RECOGNIZE = {".json": recognize_json, ".xml": recognize_xml, ".csv": recognize_csv, ".txt": recognize_txt}

# ---------------------------------------------------------------- YOLO


def _find_yolo(root, images, files):
    """A Part for each file of classes with the txt files below its folder that are labels."""
    txts = {name: path for name, path in files.items() if path.suffix.lower() == ".txt"}
    pairs, lone, shared = match_labels(txts, images)
    labels = {name: txts[name] for name in (*pairs, *shared) if _is_yolo(txts[name])}
    if not any(path.stat().st_size for path in labels.values()):
        return []
    # what looks like labels, and has no photo, is a fault that the reader names
    labels |= {name: txts[name] for name in lone if _is_yolo(txts[name], empty=False)}
    owners = {}  # folder -> file of classes; of several the one that comes first here
    for suffix in ("data.yaml", ".yaml", ".yml", ".names", ".labels", "classes.txt"):
        for path in files.values():
            if path.name.lower().endswith(suffix) and (suffix == "classes.txt" or _names_classes(path)):
                folder = path.parent
                while folder != root and not any(one.is_relative_to(folder) for one in images.values()):
                    folder = folder.parent
                owners.setdefault(folder, path)
    parts = {folder: Part("yolo", folder, {}, path) for folder, path in owners.items()}
    nameless = []
    for name, path in labels.items():
        folder = next((folder for folder in path.parents if folder in parts), None)
        if path in owners.values():
            continue
        if folder is None:
            nameless.append(path)
        else:
            parts[folder].files[name] = path
    if nameless and not _has_names_in_lines(nameless[0]):
        what = f"{len(nameless)} txt files, first {nameless[0].name}, number their classes, and nothing names these"
        raise InputError(f"{root}: {what}; write the names, one a line, into {root / 'classes.txt'}")
    if nameless:
        parts[root] = Part("yolo", root, {path.relative_to(root).as_posix(): path for path in nameless})
    return [part for part in parts.values() if part.files]


def _names_classes(path):
    """Whether a YAML file has `names`; other files of classes hold nothing else."""
    return path.suffix.lower() not in (".yaml", ".yml") or "names" in read_yaml(path)


def read_yaml(path):
    """What a YAML file holds, as a dict; an empty one if that is no mapping."""
    import yaml

    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no YAML ({' '.join(str(error).split())}); correct it") from None
    return content if isinstance(content, dict) else {}


def _is_yolo(path, empty=True):
    """Whether the lines of a txt file are boxes, at least the first one."""
    try:
        lines = [line.split() for line in read_bytes(path).decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return False
    lines = [values for values in lines if not values[0].startswith(DOTA_NOTES)]
    if not lines:
        return empty
    return len(lines[0]) >= 5 and all(map(_is_number, lines[0][1:5]))


def _has_names_in_lines(path):
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    lines = [values for values in lines if not values[0].startswith(DOTA_NOTES)]
    return all(len(values) in (9, 10) and not _is_number(values[8]) for values in lines)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- subsets


def find_subsets(root, images, parts, readings):
    """A dict image name -> "train", "val" or "test" of the photos that the export shares out itself.

    Lists of photos (data.yaml, ImageSets/Main/train.txt, CVAT's train.txt) come first, then what the annotations say,
    then the folders, then the names of the annotation files. An export that has training photos only has no split;
    where it has no test photos, its validation photos are those.
    """
    photos, found = Photos(images), {}
    for part in parts:
        if part.kind == "yolo" and part.classes and part.classes.suffix.lower() in (".yaml", ".yml"):
            _read_data_yaml(part.classes, photos, images, root, found)
    for name, path in list_below(root, (".txt",)).items():
        stem = path.stem.lower().removeprefix("autosplit_")
        if stem in SUBSET_NAMES and ("imagesets" not in name.lower() or path.parent.name.lower() == "main"):
            _read_list(path, SUBSET_NAMES[stem], Photos(images, name), found, whole=stem == "trainval")
    for reading in readings:
        for name, subset in reading.subsets.items():
            found.setdefault(name, subset)
    for name in images:
        if subset := find_subset(name, by_name=False):
            found.setdefault(name, subset)
    for part, reading in zip(parts, readings, strict=True):
        if part.files is None and (subset := find_subset(find_place(part.source, images))):
            for image in reading.images:
                found.setdefault(image.name, subset)
    found = {name: subset.removesuffix("?") for name, subset in found.items()}
    there = set(found.values())
    if "train" not in there or len(there) < 2:
        return {}
    return found if "test" in there else {name: "test" if side == "val" else side for name, side in found.items()}


def _read_list(path, subset, photos, found, whole=False):
    """Notes the subset of the photos that a text file names, one a line. `whole`: train and val together, of which
    other lists know better."""
    for line in read_text(path).splitlines():
        names = photos.search(line) or (photos.search(line.split()[0]) if line.split() else [])
        if len(names) == 1 and (found.get(names[0], "?").endswith("?") or not whole):
            if whole:
                found.setdefault(names[0], f"{subset}?")
            elif found.get(names[0], "?").endswith("?"):
                found[names[0]] = subset


def _read_data_yaml(path, photos, images, root, found):
    """Notes the subsets of the folders and lists that a data.yaml of Ultralytics names."""
    content = read_yaml(path)
    for key in ("train", "val", "valid", "test"):
        places = content.get(key)
        for place in places if isinstance(places, list) else [places]:
            if not isinstance(place, str):
                continue
            parts = [part for part in PurePosixPath(place.replace("\\", "/")).parts if part not in ("..", ".", "/")]
            if place.endswith(".txt"):
                for name, listed in list_below(root, (".txt",)).items():
                    if f"/{name}".endswith(f"/{'/'.join(parts[-2:])}"):
                        _read_list(listed, SUBSET_NAMES[key], photos, found)
                continue
            for name in images:
                folders = list(PurePosixPath(name).parts[:-1])
                if any(folders[i : i + len(parts)] == parts for i in range(len(folders))):
                    found.setdefault(name, SUBSET_NAMES[key])
