"""Scripts in processes that begin with TensorFlow imported: an import takes three seconds of a core, most tests less.

They are forked from a process that has imported it and not used it yet. What a script imports, what the import says
and how soon `--help` answers is seen only in a Python that was started for it: see `call` and `run_script`.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tfod.compat", "tensorflow", "object_detection.model_lib_v2", "object_detection.exporter_lib_v2", "tf_keras"]
    + ["matplotlib.figure", "matplotlib.backends.backend_agg", "tfod.training.trainer", "tfod.export.parity"]
)
# The scripts that import TensorFlow. What inference and benchmark do depends on whether it was imported already.
SCRIPTS = {
    "model_main_tf2",
    "evaluate",
    "exporter_main_v2",
    "export_tflite_graph_tf2",
    "convert_tflite",
    "convert_onnx",
}
SCRIPTS |= {"configure_pipeline"}


def start_forked(script, *arguments, output, errors=None, cwd=None, **environment):
    """Starts a script below scripts/ with this process's environment and more, and returns its multiprocessing.Process.

    What it says is appended to the file `output`, and that on standard error to `errors` if it is given.
    """
    words = [str(word) for word in (ROOT / "scripts" / script, *arguments)]
    logs = (str(output), str(errors or output))
    place = str(cwd or Path.cwd())
    process = CONTEXT.Process(target=be_script, args=(words, logs, place, {**os.environ, **environment}))
    process.start()
    return process


def be_script(words, logs, cwd, environment):
    """What the process does: it goes where the script would have been started, and becomes it."""
    os.environ.clear()
    os.environ.update(environment)
    for number, log in enumerate(logs, 1):
        with Path(log).open("a") as file:
            os.dup2(file.fileno(), number)
    os.chdir(cwd)
    sys.argv = words
    ours = (str(ROOT / "scripts"), str(ROOT / "tests"))  # which pytest put there
    others = [path for path in sys.path if not path.startswith(ours)]
    sys.path[:] = [str(Path(words[0]).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep), *others]
    runpy.run_path(words[0], run_name="__main__")


def call_forked(script, *arguments, cwd=None):
    """Runs a script to its end. Returns what subprocess.run would: the exit code and the texts."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, name) for name in ("output", "errors")]
        process = start_forked(script, *arguments, output=logs[0], errors=logs[1], cwd=cwd)
        process.join()
        words = [script, *map(str, arguments)]
        texts = [log.read_text(encoding="utf-8") if log.exists() else "" for log in logs]
        return subprocess.CompletedProcess(words, process.exitcode, *texts)
