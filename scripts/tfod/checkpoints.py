"""Middle module: the checkpoints in a folder. Only `list_variables` imports TensorFlow."""

import re
from pathlib import Path

from tfod.console import InputError

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"  # of a variable's name in a checkpoint
EXCEPT_CLASS_HEAD = "except_class_head"  # upstream has the other types
FINE_TUNE_TYPES = {
    EXCEPT_CLASS_HEAD: "all but the layers whose shapes depend on the number of classes",
    "detection": "backbone and FPN",
    "classification": "the backbone, from a network that was trained to classify whole photos",
    "full": "everything, for the same classes",
}


def find_latest_checkpoint(folder):
    """The newest checkpoint's prefix in `folder` (`models/my_model/ckpt-600`), or None.

    The file named `checkpoint`, which TensorFlow writes after a checkpoint is whole, says which is the newest; one
    whose files are gone does not count.
    """
    state = Path(folder) / "checkpoint"
    if not state.is_file():  # a pretrained model has a folder of this name
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


def list_variables(prefix: str) -> dict[str, list[int]]:
    """The variables of the checkpoint `prefix` (.../ckpt-0), a dict name -> shape.

    Names are those of the objects, as `model/_feature_extractor/.../kernel`, without SUFFIX. Raises InputError if
    there is no such file, or if TensorFlow can't read it.
    """
    path = Path(f"{prefix}.index")
    if not path.is_file():
        raise InputError(f"{path}: is not there; name a checkpoint without its suffix, as .../ckpt-0")
    import tfod.compat  # noqa: F401 - a quiet TensorFlow

    import tensorflow as tf

    try:
        found = tf.train.list_variables(str(prefix))
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
        what = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: can't be read as a checkpoint's index ({what}); download or export the model again"
        ) from error
    return {name.removesuffix(SUFFIX): shape for name, shape in found if name.endswith(SUFFIX)}


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
