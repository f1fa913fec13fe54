"""Every script with the words of a usual call, for the tests that attack them all: full disks, signals, odd streams.

In the words {out} is the folder that the results go to; all else is read from the workspace where the call is made.
"""

import shutil
import subprocess
import sys

from conftest import ROOT, label_photo, run_script
from made_models import detect, make_photos, write_model
from PIL import ExifTags, Image

from tfod.data.voc import Box

MODEL, EXPORT, LABELS = "models/my_model", "exported_models/my_model", "annotations/label_map.pbtxt"
CONFIG, RECORD = f"{MODEL}/pipeline.config", "annotations/train.record"
PAIRS = ["-x", "images", "-l", LABELS]
CHECKPOINT = [f"--pipeline_config_path={CONFIG}", f"--trained_checkpoint_dir={MODEL}"]
INFER = ["-l", LABELS, "-i", "images", "-o", "{out}/found"]

DATA = {
    "split": ["preprocessing/partition_dataset.py", "-x", "-i", "images", "-o", "{out}"],
    "label_map": ["preprocessing/generate_label_map.py", "-x", "images", "-o", "{out}/label_map.pbtxt"],
    "check": ["preprocessing/check_dataset.py", "-i", "images", "--json", "{out}/check.json"],
    "fix": ["preprocessing/check_dataset.py", "-i", "turned", "--fix", "{out}/fixed"],
    "plots": ["preprocessing/check_dataset.py", "-i", "images", "--plots", "{out}/stats"],
    "tfrecord": ["preprocessing/generate_tfrecord.py", *PAIRS, "-o", "{out}/a.record"],
    "csv": ["preprocessing/generate_tfrecord.py", *PAIRS, "-o", "made.record", "-c", "{out}/a.csv"],
    "inspect": ["preprocessing/inspect_tfrecord.py", "-l", LABELS, "--draw", "2", "-o", "{out}/drawn", RECORD],
    "convert": ["preprocessing/convert_annotations.py", "--from", "voc", "--to", "coco", "-i", "images"]
    + ["-o", "{out}/coco.json"],
    "sample": ["preprocessing/make_sample_dataset.py", "-o", "{out}/made", "-n", "3", "--size", "160"],
    "sheet": ["contact_sheet.py", "-i", "images", "-o", "{out}/sheet.png"],
    "config": ["configure_pipeline.py", "--base", ROOT / "scripts/configs/demo.config", "-o", "{out}/pipeline.config"]
    + ["--batch_size", "2"],
    "report": ["report.py", "--model_dir", "models/one", "-o", "{out}/report.html"],
    "compare": ["compare.py", "one", "two", "-o", "{out}/compare", "--resamples", "100"],
}
MODELS = {
    "train": ["model_main_tf2.py", "--model_dir={out}/m", f"--pipeline_config_path={CONFIG}", "--num_train_steps=2"],
    "eval": ["evaluate.py", "-m", MODEL, "-o", "{out}/measured"],
    "export": ["exporter_main_v2.py", *CHECKPOINT, "--output_directory={out}/export"],
    "tflite_graph": ["export_tflite_graph_tf2.py", *CHECKPOINT, "--output_directory={out}/tflite"],
    "infer": [
        "inference_main_v2.py",
        "-m",
        f"{EXPORT}/saved_model",
        *INFER,
        "--save",
        "images,json,csv,coco,voc,crops",
    ],
}
SLOW = {  # half a minute each: they see the two disks only
    "onnx": ["convert_onnx.py", f"--saved_model_dir={EXPORT}/saved_model", "--output={out}/model.onnx"],
    "tflite": ["convert_tflite.py", f"--saved_model_dir={EXPORT}/tflite/saved_model", "--formats", "float16"]
    + [f"--pipeline_config_path={EXPORT}/pipeline.config", f"--trained_checkpoint_dir={EXPORT}/checkpoint"]
    + ["--output_directory={out}/tflite"],
}
RACCOONS = ROOT.parent / "shared/raccoon/images"
if RACCOONS.is_dir():
    DATA["fetch"] = ["preprocessing/fetch_raccoon.py", "--data", RACCOONS, "-o", "{out}/raccoon"]
CALLS = DATA | MODELS


def lay_out(workspace):
    """Puts what the calls of DATA read into the folder `workspace`, and returns it."""
    for number in range(6):
        box = [Box(("dog", "猫")[number % 2], 8, 8, 40, 30)]
        label_photo(workspace / "images", f"浣熊 {number}.jpg", number, box)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    label_photo(workspace / "turned", "turned.jpg", exif=exif)
    run_script("preprocessing/generate_label_map.py", "-x", "images", "-o", LABELS, cwd=workspace)
    for name in ("train", "test"):
        record = f"annotations/{name}.record"
        run_script("preprocessing/generate_tfrecord.py", *PAIRS, "-o", record, cwd=workspace)
    empty = make_photos(workspace / "photos", 6)
    for seed, name in enumerate(("one", "two")):
        write_model(workspace / "models" / name, detect(empty, seed))
        shutil.copy(ROOT / "scripts/configs/demo.config", workspace / "models" / name / "pipeline.config")
    return workspace


def get_words(name, out):
    """The script and arguments of the call `name`, with results in the folder `out`."""
    return [str(word).replace("{out}", str(out)) for word in (CALLS | SLOW)[name]]


def start(name, out, cwd, **options):
    """Starts the call `name` in a Python of its own."""
    script, *words = get_words(name, out)
    command = [sys.executable, str(ROOT / "scripts" / script), *words]
    return subprocess.Popen(command, cwd=cwd, text=True, **options)
