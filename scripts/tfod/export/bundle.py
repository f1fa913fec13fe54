"""Takes a TFLite file to a machine without TensorFlow: the runner beside it, and both with photos in one archive."""

import gzip
import io
import re
import tarfile
import zipfile
from pathlib import Path

from tfod.config import pipeline
from tfod.data import samples, tfrecord
from tfod.model import trained_on
from tfod.utils import files
from tfod.utils.console import InputError, say

RUNNER = Path(__file__).with_name("runner")
RUNNER_FILES = ("detect.py", "requirements.txt")
FOLDER = "detector"  # in the archive


def read_labels(model):
    """The text of labels.txt in a TFLite file of ours. Raises InputError where there is none."""
    try:
        with zipfile.ZipFile(model) as archive:
            return archive.read("labels.txt").decode()
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{model}: holds no class names ({error}); `make tflite` makes it again") from error


def write_runner(folder, model, maker):
    """Writes detect.py, its requirements.txt and the labels.txt of `model` into `folder`, beside the TFLite files.

    One that a person changed stays, and a line says so.
    """
    contents = {name: (RUNNER / name).read_text(encoding="utf-8") for name in RUNNER_FILES}
    for name, text in {**contents, "labels.txt": read_labels(model)}.items():
        path = Path(folder) / name
        if path.exists() and path.read_bytes() == text.encode():
            continue
        if files.list_foreign(path, maker):
            say(f"{path}: was changed and stays as it is; remove it, and the next run writes it again")
            continue
        files.write_text(path, text, maker)
        files.mark_current(path, None, maker)


def choose_requirements(python, machine):
    """The text of the runner's requirements.txt as it is for one Python, as "3.11.2", and one machine, as "aarch64":
    without markers, which pip looks at for the computer that it runs on."""
    from packaging.requirements import Requirement

    there = {"python_full_version": python, "platform_machine": machine, "sys_platform": "linux"}
    text, chosen = (RUNNER / "requirements.txt").read_text(encoding="utf-8"), ""
    for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        first, _, hashes = block.partition("\\\n")
        requirement = Requirement(first)
        if requirement.marker.evaluate(there):
            chosen += f"{requirement.name}{requirement.specifier} \\\n{hashes}"
    return chosen


def find_test_records(export, config_path=None):
    """The `Source` of the test records that the export's pipeline.config names, or another config."""
    path = Path(config_path or Path(export) / "pipeline.config")
    config = pipeline.read_config(path)
    records = [record for reader in config.eval_input_reader for record in pipeline.list_record_files(reader)]
    if not records:
        raise InputError(f"{path}: its test records are not there, seen from {Path.cwd()}; `make tfrecord` makes them")
    trained_on.hold_label_map(export, *pipeline.list_label_maps(config))
    return samples.open_records(records, pipeline.read_class_names(config, Path(export)))


def read_photos(source, number=None):
    """Yields (file name, bytes) of the photos of a `Source`, or of `number` of them, at equal distances.

    A name begins with the photo's place in the source, so it is another one for each, and is safe on any system.
    """
    step = max(1, source.count / number) if number else 1
    wanted = {int(i * step) for i in range(min(number or source.count, source.count))}
    for place, sample in enumerate(source.read()):
        if place not in wanted:
            continue
        features = tfrecord.parse_example(sample.example)
        if not features.get("image/encoded"):
            raise InputError(f"{sample.path}: record {place + 1}: holds no image; make the records again")
        data = features["image/encoded"][0]
        suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        stem = re.sub(r"[^\w-]", "_", Path(sample.name).stem)[:60]
        yield f"{place + 1:04}_{stem}{suffix}", data


def pack(stream, models, photos, extra=()):
    """Writes the archive to a binary stream: the runner, the TFLite files `models`, `photos`, (name, bytes) each, and
    the files `extra`, (name in the archive, path) each."""
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):

        def add(name, data, mode=0o644):
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))

        for name in RUNNER_FILES:
            add(name, (RUNNER / name).read_bytes(), 0o755 if name == "detect.py" else 0o644)
        add("labels.txt", read_labels(models[0]).encode())
        for model in models:
            add(model.name, model.read_bytes())
        for name, data in photos:
            add(f"photos/{name}", data)
        for name, path in extra:
            add(name, path.read_bytes())
