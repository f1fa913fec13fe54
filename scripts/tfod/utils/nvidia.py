"""NVIDIA's driver and cards, CUDA's libraries for TensorFlow, and what their failures mean.

Nothing slow is imported here. No card is touched: the driver's management library (NVML) names them.
"""

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # Linux's, and WSL's for a card of any make
ROOT = Path(__file__).resolve().parents[3]

# What TensorFlow says where a card fails, and what to do; the first that is found in the text is taken.
FAILURES = {
    r"CUDA_ERROR_(NO_BINARY_FOR_GPU|INVALID_PTX|UNSUPPORTED_PTX_VERSION)|no kernel image is available": "the driver"
    " can't run this code on this card; update the driver; docs/gpu.md says for which cards TensorFlow has code",
    r"JIT (compilation|invocation) failed|libdevice (not found|is required)|No PTX compilation provider|Failed to"
    r" launch ptxas|Couldn't get ptxas": "a part of TensorFlow's code is compiled for the card when it first runs, and"
    " that failed; `make doctor` says whether ptxas and libdevice are there, and `make install CUDA=1` brings them",
    r"DNN library (is not found|initialization failed)|CUDNN_STATUS_NOT_INITIALIZED": "cuDNN does not start; `make"
    " doctor` names a library that is missing, and `make install CUDA=1` brings the version that fits; if none is"
    " missing, the card's memory is full, and nvidia-smi names the programs on it",
    r"NCCL: (unhandled|internal|invalid|remote) [\w ]*\w": "the cards can't exchange their gradients; NCCL_DEBUG=INFO"
    " before the command says why, CUDA_VISIBLE_DEVICES=0 trains on one card, and docs/gpu.md has more on several",
    r"No algorithm worked": "cuDNN found no way to compute a convolution; most often the card's memory is full: close"
    " other programs on it (nvidia-smi names them), or halve BATCH; if it fails with BATCH=1, update the driver",
}


@dataclasses.dataclass
class Driver:
    """NVIDIA's driver: its version, and of each card the name and the compute capability, as (8, 6)."""

    version: str
    cards: list


def read_driver() -> Driver | None:
    """The `Driver` of this machine, whether TensorFlow uses its cards or not; None where there is none, or no card."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        if library.nvmlInit_v2():
            return None
    except (OSError, AttributeError):  # is not there, or is something else of that name
        return None
    try:
        text, count = ctypes.create_string_buffer(96), ctypes.c_uint()
        if library.nvmlSystemGetDriverVersion(text, len(text)) or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return None
        version, cards = text.value.decode(), []
        for index in range(count.value):
            card, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
            faults = [
                library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(card)),
                library.nvmlDeviceGetName(card, text, len(text)),
                library.nvmlDeviceGetCudaComputeCapability(card, ctypes.byref(major), ctypes.byref(minor)),
            ]
            if not any(faults):
                cards.append((text.value.decode(), (major.value, minor.value)))
        return Driver(version, cards) if cards else None
    finally:
        library.nvmlShutdown()


def is_hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES keeps every card from TensorFlow."""
    return re.match(r"\s*(-|$)", os.environ.get("CUDA_VISIBLE_DEVICES", "0")) is not None


def may_have_card() -> bool:
    """Whether TensorFlow may find a card: a driver's device is there, and no card is hidden."""
    return not is_hidden() and any(Path(name).exists() for name in DEVICES)


def find_compiler() -> tuple[Path | None, Path | None]:
    """Paths of ptxas and of libdevice.10.bc, each None where TensorFlow won't find it."""
    spec = importlib.util.find_spec("tensorflow")
    packages = Path(spec.origin).parents[1] if spec else ROOT
    roots = [packages / "nvidia/cuda_nvcc", Path("/usr/local/cuda")]
    on_path = shutil.which("ptxas")
    tools = [root / "bin/ptxas" for root in roots] + ([Path(on_path)] if on_path else [])
    libraries = [root / "nvvm/libdevice/libdevice.10.bc" for root in roots]
    return tuple(next(filter(Path.is_file, paths), None) for paths in (tools, libraries))


def ask_tensorflow() -> tuple[list[str], list[str]]:
    """(names of the GPUs that TensorFlow uses, libraries that it did not find), seen in a process of its own.

    Raises RuntimeError with the last line that it says where it can't be started.
    """
    program = (
        "import json, tfod.compat, tensorflow as tf\n"
        "details = tf.config.experimental.get_device_details\n"
        "gpus = tf.config.list_physical_devices('GPU')\n"
        "print(json.dumps([details(gpu).get('device_name', gpu.name) for gpu in gpus]))"
    )
    # the loader's own words, which name each library, are INFO lines
    told = {"TF_CPP_VMODULE": "dso_loader=1", "TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "TensorFlow does not start").splitlines()[-1])
    missing = re.findall(r"Could not load dynamic library '([^']+)'", done.stderr)
    return json.loads(done.stdout.splitlines()[-1]), list(dict.fromkeys(missing))


def keep_compiled_code(driver: Driver | None) -> None:
    """Has TensorFlow and the `Driver` keep what they compile for the card in workspace/.cache, for the next start.

    TensorFlow finds its own by the source's text alone: hence a folder for each of its versions and each compute
    capability, and none where the cards differ. Workers of one training, who write at the same time, don't share one.
    """
    capabilities = {capability for _, capability in driver.cards} if driver else set()
    if len(capabilities) != 1 or not (ROOT / "workspace").is_dir():
        return
    (major, minor), version = capabilities.pop(), importlib.metadata.version("tensorflow")
    worker = re.search(r'"index": *"?(\d+)', os.environ.get("TF_CONFIG", ""))
    folder = ROOT / f"workspace/.cache/tensorflow-{version}-sm_{major}{minor}{f'-worker-{worker[1]}' if worker else ''}"
    os.environ.setdefault("TF_JIT_CACHE_DIR", str(folder / "kernels"))
    os.environ.setdefault("CUDA_CACHE_PATH", str(folder / "driver"))
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(4 << 30))  # bytes; the most that the driver takes


def explain_failure(error: BaseException | None) -> str | None:
    """What a failure of the card means and what to do, as one text, or None for any other exception.

    Exceptions that `error` was raised from, or while handling, count too.
    """
    while error is not None:
        if any(kind.__name__ == "OpError" for kind in type(error).__mro__):  # TensorFlow's
            for pattern, advice in FAILURES.items():
                if found := re.search(pattern, error.message):
                    return f"the NVIDIA card: {found[0]}: {advice}"
        error = error.__cause__ or error.__context__
    return None
