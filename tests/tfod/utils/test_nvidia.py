"""Cards: a pretended driver that lists some, and the failures that TensorFlow has with real ones."""

import concurrent.futures
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow

import pretended_driver
import pytest
from conftest import ROOT, load_script

from tfod.inference import tensorflow_backend
from tfod.utils import nvidia
from tfod.utils.console import InputError, run
from tfod.utils.nvidia import Driver

CARD = Driver("575.64.03", [("Pretended RTX", (8, 6))])


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """`driver(program, **environment)` runs Python where a driver lists a card: its standard output. `driver.folder`
    holds the libraries."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed, which makes the pretended driver")
    folder = tmp_path_factory.mktemp("driver")
    pretended_driver.build(folder)

    def run_python(program, **environment):
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "TF_"))}
        own |= {"LD_LIBRARY_PATH": str(folder), "CARDS": "86", "PYTHONPATH": str(ROOT / "scripts"), **environment}
        done = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run_python.folder = folder
    return run_python


# ---------------------------------------------------------------- make doctor

SEE = "import doctor\nfor name in ('NVIDIA driver', 'devices'): doctor.check(name, doctor.CHECKS[name])"


def test_doctor_sees_the_card(driver):
    assert driver(SEE).splitlines() == [
        "NVIDIA driver          575.64.03, Pretended RTX (compute capability 8.6)  ok",
        "devices                1 GPU: Pretended RTX  ok",
    ]


def test_doctor_names_the_library_that_is_missing(driver):
    if Path(sysconfig.get_path("purelib"), "nvidia/cufft").exists():
        pytest.skip("CUDA's own libraries are in this environment, and TensorFlow would find them")
    (driver.folder / "libcufft.so.11").rename(driver.folder / "away")
    try:
        said = driver(SEE).splitlines()
    finally:
        (driver.folder / "away").rename(driver.folder / "libcufft.so.11")
    assert said[1] == (
        "devices                a card is here, and TensorFlow does not use it: it does not find libcufft.so.11;"
        " `make install CUDA=1` installs CUDA's libraries"
    )


@pytest.fixture
def doctor(monkeypatch):
    monkeypatch.setattr(nvidia, "read_driver", lambda: CARD)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return load_script("doctor.py")


def test_a_card_that_is_not_used_makes_doctor_fail(doctor, monkeypatch, capsys):
    monkeypatch.setattr(nvidia, "ask_tensorflow", lambda: ([], []))
    assert not doctor.check("devices", doctor.see_devices)
    assert "a card is here, and TensorFlow does not use it: all its libraries are there" in capsys.readouterr().out


def test_a_hidden_card_is_no_fault(doctor, monkeypatch):
    for value in ("-1", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert doctor.see_devices() == "CPU only, CUDA_VISIBLE_DEVICES hides the card"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert not nvidia.is_hidden()


def test_a_driver_that_does_not_answer_is_a_fault(doctor, monkeypatch, tmp_path):
    monkeypatch.setattr(nvidia, "read_driver", lambda: None)
    monkeypatch.setattr(nvidia, "DEVICES", (str(tmp_path), "/none"))
    with pytest.raises(InputError, match="a card is here .*, and the driver does not answer; if nvidia-smi fails"):
        doctor.see_devices()
    monkeypatch.setattr(nvidia, "DEVICES", ("/none", str(tmp_path)))  # WSL has the second for cards of any make
    assert doctor.see_devices() == "CPU only, no GPU seen"


def test_the_compiler_is_found_or_named(doctor, monkeypatch, tmp_path):
    monkeypatch.setattr(nvidia, "find_compiler", lambda: (Path("/a/ptxas"), None))
    with pytest.raises(InputError, match=r"^libdevice.10.bc: not found, .*; `make install CUDA=1` installs"):
        doctor.see_compiler()
    monkeypatch.setattr(nvidia, "find_compiler", lambda: (Path("/a/ptxas"), Path("/a/libdevice.10.bc")))
    assert doctor.see_compiler() == "/a/ptxas, libdevice.10.bc"
    monkeypatch.setattr(nvidia, "read_driver", lambda: None)
    monkeypatch.setattr(nvidia, "find_compiler", lambda: (None, None))
    assert doctor.see_compiler() == "not needed without a card"


def test_the_compiler_is_looked_for_where_the_wheel_puts_it(monkeypatch, tmp_path):
    origin = tmp_path / "tensorflow/__init__.py"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None, origin=origin)
    )
    expected = [tmp_path / "nvidia/cuda_nvcc" / name for name in ("bin/ptxas", "nvvm/libdevice/libdevice.10.bc")]
    for path in expected:
        path.parent.mkdir(parents=True)
        path.touch()
    assert nvidia.find_compiler() == tuple(expected)


# ---------------------------------------------------------------- what is compiled for the card is kept

KEEP = (
    "import json, os\nfrom tfod.utils import nvidia\nnvidia.keep_compiled_code(nvidia.read_driver())\n"
    "print(json.dumps({name: value for name, value in os.environ.items() if 'CACHE' in name}))"
)


def keep(driver, **environment):
    return {name: value.replace(str(ROOT), "ROOT") for name, value in json.loads(driver(KEEP, **environment)).items()}


def test_compiled_code_is_kept_below_the_workspace_by_compute_capability(driver):
    folder = "ROOT/workspace/.cache/tensorflow-2.21.0-sm_86"
    assert keep(driver) == {
        "TF_JIT_CACHE_DIR": f"{folder}/kernels",
        "CUDA_CACHE_PATH": f"{folder}/driver",
        "CUDA_CACHE_MAXSIZE": "4294967296",
    }
    assert keep(driver, CARDS="75 75")["TF_JIT_CACHE_DIR"].endswith("sm_75/kernels")
    config = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
    assert keep(driver, TF_CONFIG=config)["TF_JIT_CACHE_DIR"] == f"{folder}-worker-1/kernels"


def test_nothing_is_kept_where_cards_differ_or_there_is_none(driver):
    assert keep(driver, CARDS="86 75") == {}
    assert keep(driver, CARDS="") == {}


def test_another_library_of_that_name_is_no_driver(driver, tmp_path):
    shutil.copy(driver.folder / "libcufft.so.11", tmp_path / "libnvidia-ml.so.1")
    assert keep(driver, LD_LIBRARY_PATH=str(tmp_path)) == {}


def test_the_users_own_place_stays(driver):
    assert keep(driver, TF_JIT_CACHE_DIR="/mine")["TF_JIT_CACHE_DIR"] == "/mine"


# ---------------------------------------------------------------- failures of a card


def fail_with(error, context=None):
    if context is None:
        raise error
    try:
        raise context
    except type(context):
        raise error from None


def end(capsys, *errors):
    """(exit code, standard error) of a script that ends in an exception, as `fail_with` raises it."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            run(lambda: fail_with(*errors))
    finally:
        signal.signal(signal.SIGTERM, handler)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        (
            "UnknownError",
            "{{function_node __wrapped__Exp}} JIT compilation failed. [Op:Exp]",
            "`make install CUDA=1` brings them",
        ),
        ("InternalError", "libdevice not found at ./libdevice.10.bc", "whether ptxas and libdevice are there"),
        (
            "UnimplementedError",
            "DNN library is not found.\n\t [[{{node model/conv}}]]",
            "cuDNN does not start; `make doctor`",
        ),
        ("FailedPreconditionError", "DNN library initialization failed. Look at the errors above", "nvidia-smi names"),
        ("NotFoundError", "No algorithm worked!  Error messages: ...", "halve BATCH; if it fails with BATCH=1, update"),
        (
            "UnknownError",
            "Error invoking NCCL: unhandled cuda error (run with NCCL_DEBUG=INFO for details)\n\t [[{{node N}}]]",
            "NCCL: unhandled cuda error: the cards can't exchange their gradients; NCCL_DEBUG=INFO before the command",
        ),
        ("InternalError", "CUDA_ERROR_INVALID_PTX: a PTX JIT compilation failed", "docs/gpu.md says for which cards"),
    ],
)
def test_a_failure_of_the_card_is_one_sentence_with_a_remedy(kind, text, advice, capsys):
    import tensorflow as tf

    error = getattr(tf.errors, kind)(None, None, text)
    code, said = end(capsys, error)
    assert code == 1
    assert said.startswith("error: the NVIDIA card: ")
    assert said.count("\n") == 1
    assert advice in said
    # what a script took it for does not hide it
    assert end(capsys, InputError("pipeline.config: does not fit; change it"), error) == (1, said)


def test_other_errors_of_tensorflow_are_ours_and_those_of_the_input_stay(capsys):
    import tensorflow as tf

    with pytest.raises(tf.errors.InternalError):
        run(lambda: fail_with(tf.errors.InternalError(None, None, "something else")))
    with pytest.raises(RuntimeError):  # not TensorFlow's, so not the card's
        run(lambda: fail_with(RuntimeError("No algorithm worked!")))
    assert end(capsys, InputError("a: b; c")) == (1, "error: a: b; c\n")


# ---------------------------------------------------------------- what differs where there is a card


def test_every_command_takes_the_cards_memory_as_it_needs_it():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


@pytest.fixture
def card(monkeypatch):
    """TensorFlow says that it sees a card."""
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU:0"])


def count_at_once(run):
    """How many of 12 threads are in `run`, which is made of a function, at the same time at most."""
    inside, most, lock = 0, 0, threading.Lock()

    def compute(image):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.02)
        with lock:
            inside -= 1
        return image

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(run(compute), range(24))) == list(range(24))
    return most


def test_a_card_gets_a_few_calls_at_a_time(card):
    assert 2 <= count_at_once(tensorflow_backend.limit_calls) <= tensorflow_backend.CALLS_ON_CARD == 3


def test_the_cpu_gets_one_call_from_each_thread():
    assert tensorflow_backend.limit_calls(len) is len


@pytest.mark.parametrize(("gpus", "way"), [(["GPU:0"], "NCCL"), ([], "AUTO")])
def test_workers_with_cards_talk_over_nccl(gpus, way, monkeypatch):
    import tensorflow as tf

    from tfod.config import pipeline
    from tfod.training import trainer

    config = pipeline.pipeline_pb2.TrainEvalPipelineConfig()
    config.train_config.batch_size = 8
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus)
    monkeypatch.setattr(trainer.distributed, "wait_for_others", lambda: None)
    monkeypatch.setattr(
        tf.distribute, "MultiWorkerMirroredStrategy", lambda communication_options: communication_options
    )
    assert trainer.make_strategy(config, num_workers=2).implementation.value == way
