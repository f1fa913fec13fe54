"""What labelling tools write in formats of their own: LabelMe, CVAT, Label Studio, Supervisely, CreateML; and Open
Images.

globox knows LabelMe's, CVAT's and Open Images' plain rectangles, and makes the boxes of these; it drops all that is
turned or has an outline without a word, so those are found here. Readers are as in `tfod.data.format_readers`.
"""

import base64
import binascii
import csv
import functools
import io
import json
import math
import zlib

from PIL import Image

from tfod.data.format_reading import (
    NAMED,
    NO_BOX,
    OUTLINED,
    TURNED,
    Photos,
    Reading,
    create_from_corners,
    create_from_points,
    create_from_size,
    find_place,
    find_subset,
    make_box,
    match_labels,
    place_images,
)
from tfod.data.formats import walk_folders
from tfod.data.images import list_files
from tfod.data.voc import parse_xml, surround_turned
from tfod.utils.console import InputError, join_few
from tfod.utils.files import parse_json, read_bytes, read_text

MOST_CVAT = 250 * 10**6  # bytes of a file: a million boxes


MOST_MASK = 10**8  # bytes of a mask, unpacked


def load_json(path):
    """What a JSON file holds. Raises InputError where it is none."""
    try:
        return parse_json(read_bytes(path))
    except json.JSONDecodeError as error:
        what = f"is no JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        raise InputError(f"{path}: {what}; export it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not in UTF-8; save it in that encoding") from None
    except ValueError:  # a number of thousands of digits, or lists in lists in lists
        raise InputError(f"{path}: is JSON as no program writes it; export it again") from None


def list_json(source):
    """A dict name -> path of the JSON files below a folder."""
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder; give the one that holds the JSON files with -a")
    paths = [path for folder in walk_folders(source) for path in list_files(folder, (".json",))]
    return {path.relative_to(source).as_posix(): path for path in paths}


def _refuse(path, tool, error):
    return f"{path}: is not as {tool} writes it ({type(error).__name__}: {error}); export it again"


def _read_size(width, height):
    """(width, height) in pixels as a file says, or None."""
    sizes = [int(float(side)) if side else 0 for side in (width, height)]
    return tuple(sizes) if all(sizes) else None


def _finish(reading, source, photos, labels):
    """Places what was read of one file, `labels` a dict image name -> (size, boxes)."""
    reading.faults += photos.list_faults(source)
    reading.unlabelled = [name for name in photos.images if name not in labels]
    place_images(reading, lambda name: f"{source}: {name}", photos.images, dict(sorted(labels.items())))
    return reading


def _add_ellipse(x, y, x_reach, y_reach, degrees):
    """xmin, ymin, xmax, ymax of the box around an ellipse, turned by `degrees`."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = math.hypot(x_reach * cosine, y_reach * sine), math.hypot(x_reach * sine, y_reach * cosine)
    return x - across, y - down, x + across, y + down


# ---------------------------------------------------------------- a file for each image: LabelMe, Supervisely


def _read_files(source, images, files, tool, read_file, repair):
    """The Reading of one JSON file for each image; `read_file(content, place, reading)` gives (name of the image as the
    file says it, size or None, list of Box)."""
    reading, labels, owners = Reading(repair=repair), {}, {}
    pairs, _, shared = match_labels(files, images)
    for name, path in files.items():
        try:
            content = load_json(path)
            said, size, boxes = read_file(content, path, reading)
        except InputError as error:
            reading.faults += error.faults
            continue
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            reading.faults.append(_refuse(path, tool, error))
            continue
        photos = Photos(images, name)
        image = pairs.get(name) or (photos.find(said) if said and name not in shared else None)
        if image is None:
            both = f"belongs to {join_few(shared[name], NAMED)}; rename all but one" if name in shared else None
            lacks = f"there is no image of its name, nor {said!r}; add the image, or take the file away"
            reading.faults.append(f"{path}: {both or lacks}")
        elif image in labels:
            reading.faults.append(f"{path}: {image} has another file, {owners[image]}; keep one of them")
        else:
            owners[image], labels[image] = path, (size, [box for box in boxes if box])
    reading.unlabelled = [name for name in images if name not in labels]
    place_images(reading, owners.get, images, labels)
    return reading


def read_labelme(source, images, classes=None, files=None, repair=False):
    """The Reading of LabelMe's JSON files, one for each image, below the folder `source`."""
    files = list_json(source) if files is None else files

    def read_file(content, path, reading):
        boxes = [_read_labelme_shape(shape, source, path, reading) for shape in content["shapes"]]
        size = _read_size(content.get("imageWidth"), content.get("imageHeight"))
        return str(content.get("imagePath") or ""), size, boxes

    return _read_files(source, images, files, "LabelMe", read_file, repair)


def _read_labelme_shape(shape, source, path, reading):
    from globox import BoundingBox

    kind, points, label = shape.get("shape_type") or "polygon", shape["points"], str(shape["label"]).strip()
    place = f"{path}: {label!r}"
    flags = {"difficult": int(bool(shape.get("difficult")))}
    reading.attributes.update(name for name, value in (shape.get("flags") or {}).items() if value)
    reading.attributes.update(name for name, value in (shape.get("attributes") or {}).items() if value)
    if kind == "circle":
        (x, y), rim = points
        reach = math.dist((x, y), rim)
        reading.counts[source, OUTLINED] += 1
        edges = x - reach, y - reach, x + reach, y + reach
        return make_box(place, reading.faults, label, create_from_corners, edges, **flags, around=True)
    if kind not in ("rectangle", "polygon", "rotation", "oriented_rectangle", "mask"):
        reading.counts[source, NO_BOX] += 1
        return None
    if kind != "rectangle":
        reading.counts[source, TURNED if kind in ("rotation", "oriented_rectangle") else OUTLINED] += 1
    node = {"label": label, "points": points}
    return make_box(place, reading.faults, label, BoundingBox.from_labelme, node, **flags, around=kind != "rectangle")


def read_supervisely(source, images, classes=None, files=None, repair=False):
    """The Reading of Supervisely's JSON files, ann/a.jpg.json of img/a.jpg, below the folder `source`."""
    files = list_json(source) if files is None else files
    files = {
        name: path for name, path in files.items() if path.name not in ("meta.json", "obj_class_to_machine_color.json")
    }

    def read_file(content, path, reading):
        boxes = [_read_supervisely_object(node, source, path, reading) for node in content["objects"]]
        size = content["size"]
        return path.stem, _read_size(size.get("width"), size.get("height")), boxes

    return _read_files(source, images, files, "Supervisely", read_file, repair)


def _read_supervisely_object(node, source, path, reading):
    kind, label = node.get("geometryType"), str(node["classTitle"]).strip()
    place = f"{path}: {label!r}"
    reading.attributes.update(str(tag["name"]) for tag in node.get("tags") or ())
    if kind not in ("rectangle", "polygon", "bitmap"):
        reading.counts[source, NO_BOX] += 1
        return None
    if kind != "rectangle":
        reading.counts[source, OUTLINED] += 1
    if kind == "bitmap":
        x, y = node["bitmap"]["origin"]
        edges = x, y, *_measure_mask(node["bitmap"]["data"])
        return make_box(place, reading.faults, label, create_from_size, edges, around=True)
    points = node["points"]["exterior"]
    return make_box(place, reading.faults, label, create_from_points, points, around=kind == "polygon")


def _measure_mask(data):
    """(width, height) of Supervisely's mask: a PNG, packed by zlib and written as base64."""
    try:
        unpacked = zlib.decompressobj().decompress(base64.b64decode(data), MOST_MASK)
        with Image.open(io.BytesIO(unpacked), formats=("PNG",)) as image:
            return image.size
    except (binascii.Error, zlib.error, OSError, SyntaxError) as error:
        raise ValueError(f"the mask can't be read: {error}") from None


# ---------------------------------------------------------------- CVAT


def read_cvat(source, images, classes=None, repair=False):
    """The Reading of CVAT's own XML, for images or for a video."""
    root = parse_xml(source, "annotations", MOST_CVAT)
    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    try:
        for element in root.iterchildren("image"):
            name = photos.find(element.get("name") or "")
            boxes = [_read_cvat_shape(shape, shape.get("label"), source, reading) for shape in element]
            if name in labels:
                reading.faults.append(f"{source}: {name} is there twice; export the task again")
            elif name:
                labels[name] = _read_size(element.get("width"), element.get("height")), [box for box in boxes if box]
            if name and (subset := find_subset(f"{element.get('subset') or ''}/")):
                reading.subsets[name] = subset
        for track in root.iterchildren("track"):
            for shape in track:
                if shape.get("outside") == "1":
                    continue
                box = _read_cvat_shape(shape, track.get("label"), source, reading)
                name = photos.find(f"frame_{int(shape.get('frame')):06d}")
                if box and name:
                    labels.setdefault(name, (None, []))[1].append(box)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(_refuse(source, "CVAT", error)) from None
    return _finish(reading, source, photos, labels)


def _read_cvat_shape(shape, label, source, reading):
    """The Box of a child of <image> or <track>; None, counted, where it has no area."""
    from globox import BoundingBox

    if not isinstance(shape.tag, str):  # a comment
        return None
    get = functools.partial(_get_number, shape)
    place = f"{source}: line {shape.sourceline}: {label!r}"
    kind, degrees, create = shape.tag, get("rotation"), create_from_corners
    if kind == "tag":
        reading.counts[source, "tags of whole photos are left out"] += 1
        return None
    reading.attributes.update(one.get("name") for one in shape.iterchildren("attribute") if _is_set(one.text))
    reading.attributes.update(["occluded"] if shape.get("occluded") == "1" else [])
    if kind == "box" and not degrees:
        shape.set("label", label or "")
        return make_box(place, reading.faults, label, BoundingBox.from_cvat, shape)
    if kind == "box":
        left, top, right, bottom = map(get, ("xtl", "ytl", "xbr", "ybr"))
        middle = (left + right) / 2, (top + bottom) / 2
        numbers = surround_turned(*middle, right - left, bottom - top, math.radians(degrees))
    elif kind == "ellipse":
        numbers = _add_ellipse(*map(get, ("cx", "cy", "rx", "ry")), degrees)
    elif kind == "mask":
        create, numbers = create_from_size, list(map(get, ("left", "top", "width", "height")))
    elif kind == "polygon":
        create = create_from_points
        numbers = [point.split(",") for point in shape.get("points", "").split(";")]
    elif kind == "cuboid":
        create = create_from_points
        numbers = [(get(key), get(f"y{key[1:]}")) for key in shape.keys() if key.startswith("x")]  # noqa: SIM118
    else:  # points, polyline, skeleton
        reading.counts[source, NO_BOX] += 1
        return None
    reading.counts[source, TURNED if kind == "box" else OUTLINED] += 1
    return make_box(place, reading.faults, label, create, numbers, around=True)


def _get_number(element, key):
    return float(element.get(key) or 0)


def _is_set(text):
    return (text or "").strip().lower() not in ("", "false", "0")


# ---------------------------------------------------------------- Label Studio


def read_labelstudio(source, images, classes=None, repair=False):
    """The Reading of Label Studio's JSON, whole (JSON) or short (JSON-MIN). Predictions are not taken."""
    tasks = load_json(source)
    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{source}: is no list of tasks; export it from Label Studio as JSON")
    for number, task in enumerate(tasks, 1):
        place = f"{source}: task {task.get('id', number)}"
        try:
            said = _find_task_image(task, photos)
            results = _list_results(task, place, source, reading)
            if results is None:
                continue
            size = next((_read_size(*one) for one in map(_get_original, results) if all(one)), None)
            boxes = [box for result in results for box in _read_result(result, results, place, source, reading)]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reading.faults.append(_refuse(place, "Label Studio", error))
            continue
        name = photos.find(said)
        if name in labels:
            reading.faults.append(f"{place}: {name} has another task; remove one of them")
        elif name:
            labels[name] = size, functools.partial(_make_boxes, boxes, place, reading)
    return _finish(reading, source, photos, labels)


def _find_task_image(task, photos):
    """What a task calls its image: the first text of its data that names one, else the first that looks like it."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in data.values() if isinstance(value, str) and "." in value]
    return next((text for text in texts if photos.search(text)), texts[0] if texts else str(task.get("id")))


def _list_results(task, place, source, reading):
    """The regions of a task, a list of dicts; None for a task that nobody has finished."""
    done = task.get("annotations", task.get("completions"))
    if done is None:  # JSON-MIN
        lists = [value for value in task.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        return [{"value": region, **region} for value in lists for region in value]
    done = [one for one in done if isinstance(one, dict) and not one.get("was_cancelled")]
    if not done:
        return None
    if len(done) > 1:
        reading.counts[source, "tasks were labelled several times: the last annotation of each is taken"] += 1
    results = done[-1]["result"]
    if any(result.get("image_rotation") for result in results):
        reading.faults.append(f"{place}: the photo was turned in Label Studio; turn it back there, and export again")
    return results


def _get_original(result):
    return result.get("original_width"), result.get("original_height")


def _read_result(result, results, place, source, reading):
    """Yields (label, kind, numbers in percent) of a region."""
    value = result.get("value")
    if not isinstance(value, dict):
        return
    names = [
        name
        for one in results
        if one.get("id") == result.get("id") and one.get("id") or one is result
        for key, name in (one.get("value") or {}).items()
        if key.endswith("labels") and isinstance(name, list)
    ]
    names = list(dict.fromkeys(str(name) for some in names for name in some))
    if "points" in value:
        kind, numbers = "polygon", value["points"]
    elif "radiusX" in value:
        kind = "ellipse"
        numbers = [float(value.get(key) or 0) for key in ("x", "y", "radiusX", "radiusY", "rotation")]
    elif "width" in value and "height" in value and "x" in value:
        kind = "rectangle"
        numbers = [float(value.get(key) or 0) for key in ("x", "y", "width", "height", "rotation")]
        if result.get("type") == "keypointlabels" or "keypointlabels" in value:
            kind = ""
    else:
        kind = ""
    if not kind:
        if result.get("type") not in ("labels", "choices", "textarea", "rating"):
            reading.counts[source, NO_BOX] += 1
        return
    if result.get("type") in ("rectangle", "polygon", "ellipse") and not names:
        names = [""]
    if not names or not names[0]:
        reading.faults.append(f"{place}: a {kind} has no label; give it one in Label Studio")
        return
    if kind != "rectangle" or numbers[4] % 360:
        reading.counts[source, TURNED if kind == "rectangle" else OUTLINED] += 1
    for name in names:
        yield name, kind, numbers


def _make_boxes(regions, place, reading, size):
    """The list of Box of regions in percent of an image of `size` (width, height)."""
    width, height = (side / 100 for side in size)
    boxes = []
    for label, kind, numbers in regions:
        create = create_from_corners
        if kind == "polygon":
            create, numbers = create_from_points, [(x * width, y * height) for x, y in numbers]
        elif kind == "ellipse":
            x, y, x_reach, y_reach, degrees = numbers
            numbers = _add_ellipse(x * width, y * height, x_reach * width, y_reach * height, degrees)
        else:  # turned around its upper left corner
            x, y, across, down = (number * side for number, side in zip(numbers, (width, height) * 2, strict=False))
            angle = math.radians(numbers[4])
            middle_x = x + (across * math.cos(angle) - down * math.sin(angle)) / 2
            middle_y = y + (across * math.sin(angle) + down * math.cos(angle)) / 2
            turned = surround_turned(middle_x, middle_y, across, down, angle)
            numbers, kind = (turned, "turned") if numbers[4] % 360 else ((x, y, x + across, y + down), kind)
        boxes.append(
            make_box(f"{place}: {label!r}", reading.faults, label, create, numbers, around=kind != "rectangle")
        )
    return [box for box in boxes if box]


# ---------------------------------------------------------------- CreateML


def read_createml(source, images, classes=None, repair=False):
    """The Reading of Apple's CreateML JSON: for each image the middles and sizes of its boxes in pixels."""
    from globox import BoundingBox, BoxFormat

    def create(spot):
        numbers = tuple(float(spot[key]) for key in ("x", "y", "width", "height"))
        return BoundingBox.create(label="", coords=numbers, box_format=BoxFormat.XYWH)

    rows = load_json(source)
    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    try:
        for row in rows:
            name = photos.find(str(row.get("image") or row["imagefilename"]))
            nodes = row.get("annotations", row.get("annotation")) or []
            place = f"{source}: {name}"
            boxes = [make_box(place, reading.faults, str(node["label"]), create, node["coordinates"]) for node in nodes]
            if name:
                labels.setdefault(name, (None, []))[1].extend(box for box in boxes if box)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(_refuse(source, "CreateML", error)) from None
    return _finish(reading, source, photos, labels)


# ---------------------------------------------------------------- Open Images


def read_openimages(source, images, classes=None, repair=False):
    """The Reading of Open Images' CSV: fractions of the image, classes as /m/01yrx that another CSV file names."""
    from globox import BoundingBox

    reading, labels, photos = Reading(repair=repair), {}, Photos(images, find_place(source, images))
    titles = _find_titles(source)
    rows = csv.DictReader(io.StringIO(read_text(source), newline=""))
    if lacks := sorted({"ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"} - set(rows.fieldnames or ())):
        raise InputError(f"{source}: has no column {', '.join(lacks)}; add it")
    regions = {}
    for row in rows:
        place = f"{source}: line {rows.line_num}"
        name = photos.find(row["ImageID"] or "")
        if name is None:
            continue
        if row.get("IsGroupOf") == "1":
            reading.counts[source, "groups (IsGroupOf) are taken as boxes that are difficult"] += 1
        reading.attributes.update(key for key in ("IsOccluded", "IsDepiction", "IsInside") if row.get(key) == "1")
        flags = {"difficult": int(row.get("IsGroupOf") == "1"), "truncated": int(row.get("IsTruncated") == "1")}
        edges = [row[edge] for edge in ("XMin", "YMin", "XMax", "YMax")]
        label = titles.get(row["LabelName"], row["LabelName"])
        regions.setdefault(name, []).append((place, label, edges, flags))

    def make(some, size):
        def create(edges):
            coords = tuple(map(float, edges))
            return BoundingBox.create(label="", coords=coords, relative=True, image_size=size)

        boxes = [make_box(place, reading.faults, label, create, edges, **flags) for place, label, edges, flags in some]
        return [box for box in boxes if box]

    labels = {name: (None, functools.partial(make, some)) for name, some in regions.items()}
    return _finish(reading, source, photos, labels)


def _find_titles(source):
    """A dict /m/... -> name, of the class descriptions beside the file or in the folders around it."""
    for folder in (source.parent, source.parent.parent, source.parent.parent / "metadata"):
        for path in sorted(folder.glob("*.csv")):
            if "class" in path.stem.lower() and path != source:
                rows = csv.reader(io.StringIO(read_text(path), newline=""))
                return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}
    return {}


TOOL_READERS = {
    "labelme": read_labelme,
    "cvat": read_cvat,
    "labelstudio": read_labelstudio,
    "supervisely": read_supervisely,
    "createml": read_createml,
    "openimages": read_openimages,
}
