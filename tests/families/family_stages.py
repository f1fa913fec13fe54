"""One small model of a family, taken through every command, in a process that exists for nothing else.

The scripts run as a person would type them, with their words on `sys.argv`, but all in one process: an import of
TensorFlow for each would take longer than what they do here.
"""

import contextlib
import functools
import gc
import io
import json
import os
import runpy
import sys
import tarfile
import time
import traceback
from pathlib import Path

from tfod.model.checkpoints import FINE_TUNE_TYPES
from tfod.utils import files

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
LABELS, ZOO_LABELS = "annotations/label_map.pbtxt", "annotations/zoo_label_map.pbtxt"
# Base config -> side of the pictures that it is trained on here, in pixels. The slowest one comes first.
FAMILIES = {
    "efficientdet_d0": 256,
    "faster_rcnn_resnet50_v1": 128,
    "ssd_resnet50_v1_fpn": 160,
    "ssd_mobilenet_v2_fpnlite_320": 128,
    "centernet_mobilenet_v2_fpn": 128,
    "ssd_mobilenet_v2": 128,
}
TIMED_STEPS = 10  # of which the first one is not counted: it builds the graph


def call(*words):
    """Runs a script below scripts/ with `words` as a person would type it, in this process.

    Returns (exit code, what it said on standard error).
    """
    said = io.StringIO()
    print("$ python", *words, flush=True)
    sys.argv = [str(SCRIPTS / words[0]), *map(str, words[1:])]
    code = 0
    with contextlib.redirect_stderr(said):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except Exception:  # noqa: BLE001 - Python would print it and end with 1
            traceback.print_exc()
            code = 1
    print(said.getvalue(), flush=True)
    release_memory()
    return code, said.getvalue()


def release_memory():
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].keras.backend.clear_session()
    gc.collect()


def configure(name, base, *words, **settings):
    """Runs configure_pipeline.py for the model `name`."""
    words = ["--base", base, "-o", f"models/{name}/pipeline.config", "--num_steps", 2, "--batch_size", 2, *words]
    return call(
        "configure_pipeline.py", *words, *(word for key, value in settings.items() for word in (f"--{key}", value))
    )


def train(name):
    """Runs model_main_tf2.py for the model `name`."""
    return call(
        "model_main_tf2.py", f"--model_dir=models/{name}", f"--pipeline_config_path=models/{name}/pipeline.config"
    )


def evaluate(name):
    words = [f"--model_dir=models/{name}", f"--pipeline_config_path=models/{name}/pipeline.config"]
    return call("model_main_tf2.py", *words, f"--checkpoint_dir=models/{name}")


def export(name):
    words = ["--input_type", "image_tensor", "--pipeline_config_path", f"models/{name}/pipeline.config"]
    words += ["--trained_checkpoint_dir", f"models/{name}", "--output_directory", f"exported_models/{name}"]
    return call("exporter_main_v2.py", *words, "--samples", 2)


def infer(name):
    words = ["-m", f"exported_models/{name}/saved_model", "-l", ZOO_LABELS, "-i", "images", "--save", "json"]
    return call("inference_main_v2.py", *words, "-o", f"inference_result/{name}")


def make_tflite(name):
    place = f"exported_models/{name}"
    words = ["--pipeline_config_path", f"{place}/pipeline.config", "--trained_checkpoint_dir", f"{place}/checkpoint"]
    words += ["--output_directory", f"{place}/tflite"]
    code, said = call("export_tflite_graph_tf2.py", *words)
    if code:
        return code, said
    words += ["--saved_model_dir", f"{place}/tflite/saved_model", "--formats", "float32", "--samples", 2]
    return call("convert_tflite.py", *words)


def make_onnx(name):
    place = f"exported_models/{name}"
    words = ["--saved_model_dir", f"{place}/saved_model", "--output", f"{place}/model.onnx", "--samples", 2]
    return call("convert_onnx.py", *words)


def pack(name, size):
    """Packs the export as the zoo packs a model, and gets it as the zoo's models are got."""
    packed = f"{name}_{size}x{size}_demo_cpu-1"
    with tarfile.open(f"{packed}.tar.gz", "w:gz", compresslevel=1) as archive:
        for part in ("checkpoint", "saved_model", "pipeline.config"):
            archive.add(f"exported_models/{name}/{part}", f"{packed}/{part}")
    return call("download_model.py", f"{packed}.tar.gz", "-o", "pre_trained_models")


def fine_tune(name, size, kind):
    """Starts from the tarball's checkpoint; `kind` is the fine-tune type.

    The tarball's model has three classes. `except_class_head` takes it to two classes, as one does with the zoo's
    models, and trains two steps. The other types only differ in what is restored: --check restores it, too, and no step
    is traced. A detector's checkpoint has no weights for `classification`: a classification model's is made of its
    backbone.
    """
    base, tuned = f"pre_trained_models/{name}_{size}x{size}_demo_cpu-1", f"{name}_{kind}"
    settings = {"fine_tune_checkpoint_type": kind, "label_map": LABELS}
    if kind == "full":
        code, said = configure(tuned, base, **settings)
        if code != 1 or "has 3 classes where the config has 2" not in said:
            return 1, f"full took a model of other classes: {said}"
        settings["label_map"] = ZOO_LABELS
    if kind == "classification":
        code, said = configure(tuned, base, **settings)
        if code != 1 or "is a detector's; make the type except_class_head" not in said:
            return 1, f"classification took a detector's checkpoint: {said}"
        settings["fine_tune_checkpoint"] = save_backbone(name)
        code, said = configure(tuned, base, **{**settings, "fine_tune_checkpoint_type": "detection"})
        if code != 1 or "is a classification model's; make the type classification" not in said:
            return 1, f"detection took a classification checkpoint: {said}"
    trains = kind == "except_class_head"
    if trains and name == "efficientdet_d0":  # whose paper's models are averages of the weights
        settings["ema"] = 0.9
    code, said = configure(tuned, base, **settings)
    if code:
        return code, said
    return train(tuned) if trains else call("configure_pipeline.py", "--check", f"models/{tuned}/pipeline.config")


def save_backbone(name):
    """Saves the backbone of the trained model as a classification model's checkpoint, and returns its prefix."""
    import tfod.compat  # noqa: F401 - corrects object_detection at import

    import tensorflow as tf
    from object_detection.builders import model_builder

    from tfod.config import pipeline
    from tfod.model import weights
    from tfod.model.checkpoints import find_latest_checkpoint

    config = pipeline.read_config(f"models/{name}/pipeline.config")
    model = model_builder.build(config.model, is_training=True, add_summaries=False)
    weights.build_variables(model)
    tf.train.Checkpoint(model=model).restore(find_latest_checkpoint(f"models/{name}")).expect_partial()
    saved = tf.train.Checkpoint(feature_extractor=weights.find_backbone(model)).save(f"backbones/{name}/ckpt")
    release_memory()
    return saved


def time_steps(name, batch_size):
    """Trains at the base config's own size. Returns (exit code, what was said, seconds a step)."""
    from tfod.training import log as train_log

    words = ["--base", SCRIPTS / "configs" / f"{name}.config", "-o", f"models/{name}/pipeline.config"]
    words += ["--num_steps", TIMED_STEPS, "--batch_size", batch_size, "--label_map", ZOO_LABELS]
    code, said = call("configure_pipeline.py", *words)
    if not code:
        code, said = train(name)
    rows = {row["step"]: row for row in train_log.read_log(f"models/{name}/train_log.csv")}
    return code, said, rows[TIMED_STEPS]["step_seconds"] if not code else None


def list_stages(name, size):
    """(stage, function of no arguments -> (exit code, what was said)) in their order."""
    base = SCRIPTS / "configs" / f"{name}.config"
    return [
        ("configure", lambda: configure(name, base, input_size=size, label_map=ZOO_LABELS)),
        ("train", lambda: train(name)),
        ("evaluate", lambda: evaluate(name)),
        ("export", lambda: export(name)),
        ("infer", lambda: infer(name)),
        ("tflite", lambda: make_tflite(name)),
        ("onnx", lambda: make_onnx(name)),
        ("download", lambda: pack(name, size)),
        *((kind, functools.partial(fine_tune, name, size, kind)) for kind in FINE_TUNE_TYPES),
    ]


def work(name, size, batch_size, folder):
    """Takes a family through all stages in `folder`, in a process that exists for nothing else, and writes notes.json.

    A note is {stage: [exit code, seconds, what it said last]}. With a `batch_size` training steps are timed instead:
    {"step": [exit code, seconds a step, what it said last]}.
    """
    os.chdir(folder)
    with Path("log.txt").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if batch_size:
        code, said, seconds = time_steps(name, batch_size)
        files.write_text("notes.json", json.dumps({"step": [code, seconds, said[-2000:]]}))
        return
    notes = {}
    for stage, do in list_stages(name, size):
        start, spent = time.monotonic(), sum(os.times()[:4])
        code, said = do()
        notes[stage] = [code, round(time.monotonic() - start, 1), "\n".join(said.strip().splitlines()[-20:])]
        print(f"-- {stage}: {code}, {notes[stage][1]} s, {sum(os.times()[:4]) - spent:.1f} s of CPU", flush=True)
        files.write_text("notes.json", json.dumps(notes))
        if code and stage in ("configure", "train", "export", "download"):  # what comes next needs it
            break
