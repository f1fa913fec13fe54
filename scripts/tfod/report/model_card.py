"""The card of an exported detector, README.md: what it is, how good, made from what, and how to call it."""

from pathlib import Path

from tfod.config.edit import count_detections, get_nms
from tfod.config.pipeline import get_model, list_record_files
from tfod.data.faulty import describe_records
from tfod.data.tfrecord import count_records
from tfod.evaluation.metrics_files import format_metrics, read_metrics
from tfod.utils.console import InputError, format_table, say
from tfod.utils.environment import list_versions

PACKAGES = ("tensorflow", "tf-keras", "tf-models-research-object-detection", "numpy")
CALLS = {
    "image_tensor": "an image as uint8 [{batch}, height, width, 3], RGB, of any size",
    "float_image_tensor": "an image as float32 [{batch}, height, width, 3], RGB, 0 to 255, of any size",
    "encoded_image_string_tensor": "the bytes of JPEG or PNG files, as a string tensor [{batch}]",
    "tf_example": "serialized tf.Example, as in the records, as a string tensor [{batch}]",
    "image_and_boxes_tensor": "an image as uint8 [1, height, width, 3] and boxes as float32 [1, N, 4]",
}
# how to make what the model takes from a photo's path
FEEDS = {
    "image_tensor": "tf.constant(np.asarray(Image.open(path).convert('RGB'))[np.newaxis])",
    "float_image_tensor": "tf.constant(np.asarray(Image.open(path).convert('RGB'), np.float32)[np.newaxis])",
    "encoded_image_string_tensor": "tf.constant([open(path, 'rb').read()])",
}


def make_card(
    config, checkpoint: str, names: dict[int, str], folder: Path, input_type: str, batch: str, agreement: str
) -> str:
    """The text of README.md for the export in `folder`.

    `config` is the exported TrainEvalPipelineConfig, `checkpoint` the prefix that was exported, `names` a dict id ->
    name, `batch` what the model's first dimension is, as text, `agreement` a sentence on the comparison.
    """
    parts = [
        f"# {get_model(config).feature_extractor.type or config.model.WhichOneof('model')}, {Path(checkpoint).name}",
        f"Detects: {', '.join(names[number] for number in sorted(names))}.",
        "## What it finds\n\n" + _describe_metrics(checkpoint),
        "## How to call it\n\n" + _describe_call(input_type, batch),
        "## What it is\n\n" + _describe_model(config, input_type, batch, agreement),
        "## Files\n\n" + _list_sizes(folder),
        "## Made from\n\n" + _describe_data(config) + "\n- " + ", ".join(map(" ".join, list_versions(PACKAGES))),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_metrics(checkpoint):
    path = Path(checkpoint).parent / "metrics.json"
    if not path.is_file():
        return "Not measured when this was exported: `make eval`, then export again."
    try:
        report = read_metrics(path)
    except InputError as error:
        say(f"warning: {error}; the model card has no numbers")
        return "Not known when this was exported: `make eval`, then export again."
    table = f"```\n{format_metrics(report)}\n```"
    if Path(report["checkpoint"]).name != Path(checkpoint).name:
        return f"Another checkpoint was measured, {Path(report['checkpoint']).name}:\n\n{table}"
    return f"Measured on the evaluation records, with the post-processing of training:\n\n{table}"


def _describe_call(input_type, batch):
    takes = CALLS[input_type].format(batch=batch)
    text = f"It takes {takes}."
    if input_type in FEEDS and batch in ("1", "any number"):
        text += f"""

```python
import numpy as np
import tensorflow as tf
from PIL import Image

path = "photo.jpg"
model = tf.saved_model.load("saved_model")
found = model.signatures["serving_default"]({FEEDS[input_type]})
labels = open("labels.txt", encoding="utf-8").read().splitlines()
for index in range(int(found["num_detections"][0])):
    ymin, xmin, ymax, xmax = found["detection_boxes"][0, index].numpy()  # shares of the height and width, 0 to 1
    number = int(found["detection_classes"][0, index])  # 1 is the first line of labels.txt
    score = float(found["detection_scores"][0, index])
    if score >= 0.5:
        print(labels[number - 1], round(score, 3), ymin, xmin, ymax, xmax)
```"""
    return text


def _describe_model(config, input_type, batch, agreement):
    model, nms = get_model(config), get_nms(config)
    lines = [f"- input type {input_type}, batch: {batch}", f"- at most {count_detections(config)} detections an image"]
    if nms is not None:
        across = "across classes" if nms.use_class_agnostic_nms else "within each class"
        lines.append(
            f"- scores from {nms.score_threshold:.3g}; of boxes {across} that overlap by more than "
            f"{nms.iou_threshold:.3g} (IoU), the best one stays"
        )
    resizer = getattr(model.image_resizer, model.image_resizer.WhichOneof("image_resizer_oneof") or "", None)
    if hasattr(resizer, "height"):
        lines.append(f"- resizes to {resizer.width} x {resizer.height} pixels by itself")
    lines.append(f"- {agreement}")
    return "\n".join(lines)


def _list_sizes(folder):
    rows = []
    for name in ("saved_model", "checkpoint", "pipeline.config", "label_map.pbtxt", "labels.txt"):
        path = Path(folder) / name
        if path.exists():
            files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
            rows.append((name, f"{sum(file.stat().st_size for file in files) / 1e6:.3f}"))
    return format_table(rows, ("file", "MB"), markdown=True)


def _describe_data(config):
    lines = []
    for what, readers in (("trained", [config.train_input_reader]), ("evaluated", config.eval_input_reader)):
        for reader in readers:
            for path in list_record_files(reader):
                lines.append(f"- {what} on {path}: {count_records(path)} images")
            lines += [f"- {sentence}" for sentence in describe_records(list_record_files(reader))]
    train = config.train_config
    lines.append(f"- {train.num_steps} steps of {train.batch_size} images in the config")
    if train.fine_tune_checkpoint:
        lines.append(f"- started from {Path(train.fine_tune_checkpoint).name} ({train.fine_tune_checkpoint_type})")
    return "\n".join(lines)
