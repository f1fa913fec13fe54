"""What a report says about the data set, and about how to make the model again."""

from pathlib import Path

from tfod.config.pipeline import list_record_files
from tfod.data import tfrecord
from tfod.data.faulty import describe_records
from tfod.data.images import StoredImage
from tfod.data.labelled_images import LabelledPhoto
from tfod.data.voc import Box
from tfod.report.analysis import Facts
from tfod.report.dataset_charts import draw_figures
from tfod.report.dataset_statistics import describe_units, list_rows, measure
from tfod.utils.console import InputError
from tfod.utils.files import parse_json, read_text

LISTED = 5  # files of one kind of fault
CHARTS = {
    "boxes_per_class": "How many boxes each class has, in each subset.",
    "boxes_per_image": "How many boxes an image has.",
    "box_sizes": "Widths, heights, areas and shapes of boxes at the model's input, and how well anchors fit them.",
    "box_centres": "Where in the images the boxes lie.",
}


def list_records(config) -> dict[str, list[Path]]:
    """dict subset -> record files, of those that the config's readers name and that are there."""
    if config is None:
        return {}
    readers = {"train": [config.train_input_reader], "test": config.eval_input_reader}
    found = {subset: [path for one in some for path in list_record_files(one)] for subset, some in readers.items()}
    return {subset: paths for subset, paths in found.items() if paths}


def describe_data(facts: Facts) -> tuple[list[tuple], dict, list[str]]:
    """(rows of texts as `list_rows` returns, dict file name -> (Figure, what it shows), sentences on what is missing).

    The training images come from the records that the config names, the test images are those that were evaluated.
    """
    records, notes = list_records(facts.config), []
    subsets = {}
    names = {name: label for label, name in facts.evaluated.names.items()}
    try:
        photos = [photo for path in records.get("train", []) for photo in _read_photos(path, facts.evaluated.names)]
        if photos:
            subsets["train"] = photos
    except (InputError, ValueError, KeyError, IndexError) as error:
        notes.append(f"The training records can't be read: {error}")
    if "train" not in subsets:
        notes.append("The training records are not there: the numbers are of the test images only.")
    subsets["test"] = _list_test_photos(facts)
    if facts.config is None:
        notes.append("There is no pipeline.config: sizes are those of the photos, not those at the model's input.")
    notes += [f"{sentence}." for paths in records.values() for sentence in describe_records(paths)]
    statistics = measure(subsets, names, facts.config)
    figures = {stem: (figure, CHARTS[stem]) for stem, figure in draw_figures(statistics).items()}
    notes.append(describe_units(statistics))
    return list_rows(statistics), figures, notes


def _make_photo(path, width, height, boxes):
    return LabelledPhoto(Path(path), None, StoredImage("JPEG", "RGB", (width, height), 1), width, height, boxes)


def _read_photos(path, names):
    """The images of a TFRecord file as `LabelledPhoto`, without a look at their pixels."""
    photos = []
    for data in tfrecord.read_records(path):
        features = tfrecord.parse_example(data)
        width, height = features["image/width"][0], features["image/height"][0]
        corners = [features.get(f"image/object/bbox/{edge}", []) for edge in ("xmin", "ymin", "xmax", "ymax")]
        labels = features.get("image/object/class/label", [])
        boxes = [
            Box(names.get(label, f"class {label}"), xmin * width, ymin * height, xmax * width, ymax * height)
            for label, xmin, ymin, xmax, ymax in zip(labels, *corners, strict=True)
        ]
        photos.append(_make_photo(path, width, height, boxes))
    return photos


def _list_test_photos(facts):
    ground_truth = facts.evaluated.ground_truth
    boxes = [[] for _ in facts.evaluated.images]
    for index, label, (ymin, xmin, ymax, xmax) in zip(
        ground_truth.image, ground_truth.label, ground_truth.box.tolist(), strict=True
    ):
        boxes[index].append(Box(facts.get_name(label), xmin, ymin, xmax, ymax))
    images = zip(facts.evaluated.images, boxes, strict=True)
    return [_make_photo(image.path, image.width, image.height, some) for image, some in images]


def read_check(path: Path) -> dict | None:
    """What `make check` wrote to `path`, grouped for a reader: a dict, or None where there is nothing of that kind.

    photos, boxes, errors, warnings: numbers; groups: list of dicts with kind, severity, number, files (texts).
    """
    try:
        report = parse_json(read_text(path))
        groups = {}
        for fault in report["faults"]:
            lines = groups.setdefault((fault["severity"], fault["kind"]), [])
            lines.append(f"{fault['file']}: {fault['text']}")
        return {name: int(report[name]) for name in ("photos", "boxes", "errors", "warnings")} | {
            "path": str(path),
            "groups": [
                {"severity": severity, "kind": kind.replace("-", " "), "number": len(lines), "files": lines[:LISTED]}
                for (severity, kind), lines in groups.items()
            ],
        }
    except (InputError, ValueError, KeyError, TypeError, AttributeError):  # the report says that it is not there
        return None


def describe_training(config) -> dict:
    """The training that a config asks for: a dict with steps, batch, checkpoint and its type; {} without a config."""
    if config is None:
        return {}
    train = config.train_config
    what = {"steps": train.num_steps, "batch": train.batch_size, "checkpoint": train.fine_tune_checkpoint}
    return what | {"type": train.fine_tune_checkpoint_type}


def read_settings(folder: Path) -> dict[str, str]:
    """The settings of the training as TensorBoard's hparams have them, a dict of texts; empty where there are none."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.hparams import metadata

    settings = {}
    for path in sorted(Path(folder).glob("train/events.out.*")):
        try:
            for number, data in enumerate(tfrecord.read_records(path)):
                for value in event_pb2.Event.FromString(data).summary.value:
                    if value.tag == metadata.SESSION_START_INFO_TAG:
                        content = value.metadata.plugin_data.content
                        found = metadata.parse_session_start_info_plugin_data(content).hparams
                        settings |= {name: _format_setting(one) for name, one in sorted(found.items())}
                if number > 20:  # they stand at the start
                    break
        except (InputError, ValueError):  # a file that is being written, or was cut short
            continue
    return settings


def _format_setting(value):
    one = getattr(value, value.WhichOneof("kind"))
    return f"{one:g}" if isinstance(one, float) else str(one)
