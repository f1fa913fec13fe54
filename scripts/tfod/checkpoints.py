"""Middle module: the checkpoints in a folder, looked at without TensorFlow."""

import re
from pathlib import Path

from tfod.console import InputError


def find_latest_checkpoint(folder):
    """The newest checkpoint's prefix in `folder` (`models/my_model/ckpt-600`), or None.

    The file named `checkpoint`, which TensorFlow writes after a checkpoint is whole, says which is the newest; one
    whose files are gone does not count.
    """
    state = Path(folder) / "checkpoint"
    if not state.exists():
        return None
    found = re.search(r'^model_checkpoint_path: "(.*)"', state.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        return None
    # joinpath keeps an absolute path as it is; a folder that was copied elsewhere holds the file beside its state
    for prefix in (Path(folder) / found.group(1), Path(folder) / Path(found.group(1)).name):
        if Path(f"{prefix}.index").exists():
            return str(prefix)
    return None


def require_checkpoint(folder):
    """Like `find_latest_checkpoint`, but raises InputError where there is none."""
    checkpoint = find_latest_checkpoint(folder)
    if checkpoint is None:
        raise InputError(f"{folder}: holds no checkpoint; train first (`make train`), or name the folder that has one")
    return checkpoint


def list_checkpoint_files(prefix):
    """The files that make up the checkpoint `prefix`."""
    prefix = Path(prefix)
    return sorted(prefix.parent.glob(f"{prefix.name}.index")) + sorted(prefix.parent.glob(f"{prefix.name}.data-*"))
