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


def list_checkpoints(folder):
    """The prefixes of the whole checkpoints in `folder`, ckpt-N with its index and all its data, by rising number."""
    numbers = {}
    for index in Path(folder).glob("ckpt-*.index"):
        number = index.stem.removeprefix("ckpt-")
        data = [path.name.rpartition("-of-") for path in index.parent.glob(f"{index.stem}.data-*")]
        if number.isdigit() and data and len(data) == int(data[0][2]):
            numbers[int(number)] = str(index.with_suffix(""))
    return [numbers[number] for number in sorted(numbers)]


def choose_checkpoint(folder, which=None):
    """The prefix of the checkpoint `which` in the model's folder: "latest", "best" or a number, as 600 for ckpt-600.

    None takes the best where there is one, else the newest. Raises InputError where there is none.
    """
    folder = Path(folder)
    if which in (None, "best"):
        best = find_latest_checkpoint(folder / "best")
        if best:
            return best
        if which:
            raise InputError(
                f"{folder}: holds no best/ with a checkpoint, which training writes; give latest, or a number"
            )
    if which in (None, "latest"):
        return require_checkpoint(folder)
    if not (folder / f"ckpt-{which}.index").exists():
        numbers = sorted(int(path.stem.removeprefix("ckpt-")) for path in folder.glob("ckpt-*.index"))
        there = f"there are {', '.join(map(str, numbers))}" if numbers else "there is none; train first (`make train`)"
        raise InputError(f"{folder}: holds no checkpoint ckpt-{which}; {there}")
    return str(folder / f"ckpt-{which}")
