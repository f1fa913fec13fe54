"""What the tests share: scripts called as a person calls them, and small photos that really are ones."""

import contextlib
import fcntl
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the tests say what a CPU does; TensorFlow reads this when it is imported

import forked
import pytest
from constant_detector import write_onnx_model
from hypothesis import settings
from PIL import Image, ImageDraw

from tfod.data.label_map import write_label_map
from tfod.data.voc import Box, write_annotation

ROOT = Path(__file__).parents[1]

# The files that take longest, the longest first. `make test` shares out the files to two processes in this order, so
# that neither of them is still at a long one when the other has nothing left.
LONGEST = ["trainer", "make", "distributed", "benchmark", "zoo_models", "forward", "replicas", "evaluate", "detector"]
LONGEST += ["exporter_main_v2", "doctor", "label", "split_manifest", "compat", "report", "input"]

# a shell's background, and nohup, have them ignored by all that they start; the tests' scripts have to hear them
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

settings.register_profile("ours", deadline=None)  # a busy machine is no fault
settings.load_profile("ours")


def call_script(script, *arguments, cwd=None):
    """Runs a script below scripts/ as a second process; stdout and stderr are texts."""
    about_imports = "--help" in arguments or "PYTHONPROFILEIMPORTTIME" in os.environ
    if Path(script).stem in forked.SCRIPTS and not about_imports:
        return forked.call_forked(script, *arguments, cwd=cwd)
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def call():
    """`call(script below scripts/, *arguments, cwd=None)`: see `call_script`."""
    return call_script


STARTED = []  # the processes that a test has started and not waited for


@pytest.fixture(autouse=True)
def end_started():
    """No process of STARTED goes on after its test, however that ended."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.join() if hasattr(process, "join") else process.wait()


# Below 32768, where Linux takes the ports of those who ask for any: a free one of these is not given to others. Two
# processes of `make test`, whose numbers are neighbours, count from different ones.
PORTS = itertools.count(10_000 + os.getpid() % 200 * 100)


def find_free_port():
    """A port of 127.0.0.1 on which nobody listens, another one each time."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", next(PORTS))) as server:
            return server.getsockname()[1]


def load_script(script):
    """A script below scripts/ as a module, for tests of its functions."""
    path = ROOT / "scripts" / script
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw_photo(number=0, size=(96, 64)):
    """A small RGB picture, another one for each number: a bright box on a gradient, well inside it."""
    gradient = Image.linear_gradient("L").resize(size)
    photo = Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.ROTATE_180), gradient))
    left, top = 8 + number * 5 % 40, 8 + number * 3 % 24
    ImageDraw.Draw(photo).rectangle((left, top, left + 30, top + 20), fill=(250, 40 * number % 256, 10))
    return photo


def label_photo(folder, name, number=0, boxes=None, photo=None, **saving):
    """Saves a photo as `folder/name` and its XML file beside it; the box is the drawn one unless `boxes` are given."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = photo or draw_photo(number)
    photo.save(folder / name, **saving)
    left, top = 8 + number * 5 % 40, 8 + number * 3 % 24
    boxes = [Box("cat" if number % 2 else "dog", left, top, left + 30, top + 20)] if boxes is None else boxes
    write_annotation((folder / name).with_suffix(".xml"), name, *photo.size, boxes)
    return folder / name


@pytest.fixture
def labelled_images(tmp_path):
    """A folder `images` of 12 labelled photos of cats and dogs, with the names that people give."""
    folder = tmp_path / "images"
    names = ["a.jpg", "b.PNG", "c d.jpeg", "-dash.jpg", "猫.jpg", "x.y.JPG", *(f"photo_{i}.jpg" for i in range(6))]
    for number, name in enumerate(names):
        label_photo(folder, name, number)
    return folder


@pytest.fixture(scope="session")
def raccoon_images():
    """The folder of the 200 raccoon photos, beside the repository."""
    folder = ROOT.parent / "shared" / "raccoon" / "images"
    if not folder.is_dir():
        pytest.skip("the raccoon photos are not beside the repository, in ../shared/raccoon/images")
    return folder


def run_script(script, *arguments, cwd, code=0):
    """Runs a script below scripts/, checks its exit code, and returns (standard output, standard error)."""
    done = call_script(script, *arguments, cwd=cwd)
    assert done.returncode == code, f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def count_seconds():
    """Processor time of the processes that were started from here and have ended: a busy machine makes it no longer."""
    return sum(os.times()[2:4])


@pytest.fixture(scope="session")
def onnx_model(tmp_path_factory):
    """The ONNX file of a detector that finds a dog (0.9) and a cat (0.4) in every image."""
    return write_onnx_model(tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture
def infer(call, tmp_path, onnx_model):
    """`infer(*words, model=onnx_model)` runs inference_main_v2.py on tmp_path/images: (code, output, said)."""
    write_label_map(tmp_path / "map.pbtxt", {"cat": 1, "dog": 2})

    def infer(*words, model=onnx_model):
        command = ["-m", model, "-l", "map.pbtxt", "-o", "result", *words]
        command += [] if "-i" in words else ["-i", "images"]
        done = call("inference_main_v2.py", *command, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return infer


def pytest_collection_modifyitems(items):
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def make_once(tmp_path_factory, stage, make):
    """This process's own copy of a workspace, in which the first of pytest's processes to come here has run
    `make(workspace)`, and the text that it returned. One workspace goes through all stages."""
    mine = tmp_path_factory.getbasetemp()
    common = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    workspace, text = common / "workspace", common / f"{stage}.txt"
    with (common / "workspace.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not text.exists():
            workspace.mkdir(exist_ok=True)
            text.write_text(make(workspace))
        shutil.copytree(workspace, mine / "my_workspace", symlinks=True, dirs_exist_ok=True)
    return mine / "my_workspace", text.read_text()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A workspace with a tiny detector of cats and dogs, trained for 80 steps: models/my_model, and records."""
    return make_once(tmp_path_factory, "trained", train_detector)[0]


def train_detector(place):
    from tiny_config import make_tiny_config

    from tfod.config import pipeline, schedule

    run_script("preprocessing/make_sample_dataset.py", "-o", "images", "--number", 12, "--size", 160, cwd=place)
    labels, records = "annotations/label_map.pbtxt", ["annotations/train.record", "annotations/test.record"]
    run_script("preprocessing/generate_label_map.py", "-x", "images", "-o", labels, cwd=place)
    for record in records:
        run_script("preprocessing/generate_tfrecord.py", "-x", "images", "-l", labels, "-o", record, cwd=place)
    path = place / "models/my_model/pipeline.config"
    make_tiny_config(path)
    config = pipeline.read_config(path)
    config.model.ssd.num_classes = 2
    schedule.scale_schedule(config, 4, 80)
    rate = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    rate.learning_rate_base *= 3  # after so few steps its scores shall differ, or rounding decides what comes first
    for reader, record in zip((config.train_input_reader, config.eval_input_reader[0]), records, strict=True):
        reader.label_map_path = labels
        reader.tf_record_input_reader.input_path[:] = [record]
    pipeline.write_config(path, config)
    model = ["--model_dir=models/my_model", "--pipeline_config_path=models/my_model/pipeline.config"]
    return run_script("model_main_tf2.py", *model, cwd=place)[0]


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    """(the workspace, the exporter's standard output): `trained`, exported to exported_models/my_model, any batch."""
    return make_once(tmp_path_factory, "exported", export_detector)


def export_detector(place):
    words = ["--pipeline_config_path=models/my_model/pipeline.config", "--trained_checkpoint_dir=models/my_model"]
    words += ["--output_directory=exported_models/my_model", "--batch_size=dynamic"]
    return run_script("exporter_main_v2.py", *words, cwd=place)[0]


@pytest.fixture(scope="session")
def tflite_files(exported, tmp_path_factory):
    """(the workspace, convert_tflite.py's standard output): `exported`, with its TFLite files in all formats."""
    return make_once(tmp_path_factory, "tflite", convert_detector)


def convert_detector(place):
    folder = "exported_models/my_model"
    words = [f"--pipeline_config_path={folder}/pipeline.config", f"--trained_checkpoint_dir={folder}/checkpoint"]
    words += [f"--output_directory={folder}/tflite"]
    run_script("export_tflite_graph_tf2.py", *words, cwd=place)
    words += [f"--saved_model_dir={folder}/tflite/saved_model"]
    return run_script("convert_tflite.py", *words, cwd=place)[0]


@pytest.fixture(scope="session")
def onnx_file(exported, tmp_path_factory):
    """(the workspace, convert_onnx.py's standard output): `exported`, with exported_models/my_model/model.onnx."""
    folder = "exported_models/my_model"
    words = [f"--saved_model_dir={folder}/saved_model", f"--output={folder}/model.onnx"]
    return make_once(tmp_path_factory, "onnx", lambda place: run_script("convert_onnx.py", *words, cwd=place)[0])
