"""Runs a script, and says on standard error what it must not do while another of its threads runs.

TensorFlow and others set environment variables while they are imported. libjpeg reads one, and where that happens at
the same time, both crash in libc's getenv: so nothing heavy is imported, nothing is set in the environment and no
process is forked while another thread runs.

    python tests/helpers/thread_guard.py scripts/inference_main_v2.py -m model.onnx -i images
"""

import os
import runpy
import sys
import threading
from pathlib import Path

SAID = "while another thread runs"
HEAVY = {"tensorflow", "tf_keras", "keras", "object_detection", "official", "tensorboard", "tf2onnx"}
HEAVY |= {"ai_edge_litert", "onnx", "onnxruntime", "cv2", "matplotlib", "pycocotools", "numpy", "scipy", "pandas"}


def guard(event, arguments):
    """An audit hook, which cannot be taken away again."""
    if event == "import":
        what = arguments[0] if arguments[0].partition(".")[0] in HEAVY else None
    else:
        what = event if event in ("os.putenv", "os.unsetenv", "os.fork") else None
    if what and threading.active_count() > 1:
        os.write(2, f"{what} {SAID}\n".encode())


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)  # which Python puts there for a script
    sys.addaudithook(guard)
    runpy.run_path(sys.argv[0], run_name="__main__")
