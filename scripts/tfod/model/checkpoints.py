"""The checkpoints in a folder, and which of them to use. TensorFlow is imported where one is read."""

import re
import time
from pathlib import Path

from tfod.utils import files
from tfod.utils.console import InputError, say

UNREADABLE = (ValueError, IndexError, KeyError, RuntimeError, MemoryError)  # from TensorFlow, of a damaged checkpoint
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"  # of a variable's name in a checkpoint
EXCEPT_CLASS_HEAD = "except_class_head"  # upstream has the other types
FINE_TUNE_TYPES = {
    EXCEPT_CLASS_HEAD: "all but the layers whose shapes depend on the number of classes",
    "detection": "backbone and FPN",
    "classification": "the backbone, from a network that was trained to classify whole photos",
    "full": "everything, for the same classes",
}


def list_candidates(folder) -> list[str]:
    """The prefixes (`models/my_model/ckpt-600`) of the whole checkpoints in `folder`, the newest first.

    The file named `checkpoint`, which TensorFlow writes after a checkpoint is whole, says which is the newest and which
    came before it; what it does not name comes after those, by falling number. Whether a checkpoint can be read is not
    looked at: see `use_checkpoint`.
    """
    newest, named = read_state(folder)
    # a folder that was copied holds its own beside its state, which may still name the former folder
    places = [Path(folder) / place for name in (newest, *reversed(named)) if name for place in (Path(name).name, name)]
    known = [str(prefix) for prefix in places if is_whole(prefix)]
    return list(dict.fromkeys([*known, *reversed(list_checkpoints(folder))]))


def read_state(folder) -> tuple[str, list[str]]:
    """What the file `checkpoint` in `folder` says: (name of the newest one or "", names in the order of writing).

    Where it is not there, is damaged, or is something else, it says nothing.
    """
    state = Path(folder) / "checkpoint"
    try:
        # a pretrained model has a folder of this name; a pipe would never end
        text = state.read_bytes().decode(errors="replace") if files.is_file(state) else ""
    except OSError:
        return "", []
    found = re.findall(r'^(all_)?model_checkpoint_paths?: "([^"\0]+)"\r?$', text, re.MULTILINE)
    return next((name for some, name in found if not some), ""), [name for some, name in found if some]


def find_latest_checkpoint(folder) -> str | None:
    """The newest whole checkpoint's prefix in `folder`, or None; see `list_candidates`."""
    return next(iter(list_candidates(folder)), None)


def require_checkpoint(folder) -> str:
    """Like `find_latest_checkpoint`, but raises InputError where there is none."""
    return choose_checkpoint(folder, "latest")


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
    except (tf.errors.OpError, *UNREADABLE) as error:
        what = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: can't be read as a checkpoint's index ({what}); download or export the model again"
        ) from error
    return {name.removesuffix(SUFFIX): shape for name, shape in found if name.endswith(SUFFIX)}


def list_checkpoint_files(prefix) -> list[Path]:
    """The files that make up the checkpoint `prefix`, its index first. A copy named .bak does not count."""
    prefix = Path(prefix)
    pattern = re.compile(re.escape(prefix.name) + r"\.(index|data-\d{5}-of-\d{5})")
    try:
        names = [path.name for path in prefix.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:  # there is no such folder
        return []
    return [prefix.parent / name for name in sorted(names, key=lambda name: (not name.endswith(".index"), name))]


def is_whole(prefix) -> bool:
    """Whether the checkpoint `prefix` has its index and all of its data files, whatever is in them."""
    index, *data = [path.name for path in list_checkpoint_files(prefix)] or [""]
    return index.endswith(".index") and bool(data) and len(data) == int(data[0].rpartition("-")[2])


def list_checkpoints(folder) -> list[str]:
    """The prefixes of the whole checkpoints in `folder`, ckpt-N with its index and all its data, by rising number."""
    folder = Path(folder)
    indexes = folder.glob("ckpt-*.index") if folder.is_dir() else ()
    numbers = {int(found[1]): path for path in indexes if (found := re.fullmatch(r"ckpt-([0-9]+)\.index", path.name))}
    return [
        str(numbers[number].with_suffix("")) for number in sorted(numbers) if is_whole(numbers[number].with_suffix(""))
    ]


def choose_checkpoint(folder, which: str | None = None, without=()) -> str:
    """The prefix of the checkpoint `which` in the model's folder: "latest", "best" or a number, as 600 for ckpt-600.

    None takes the best where there is one, else the newest. Those of `without`, which could not be read, are left out.
    Raises InputError where there is none.
    """
    folder = Path(folder)
    best = list_candidates(folder / "best") if which in (None, "best") else []
    latest = list_candidates(folder) if which in (None, "latest") else []
    for prefix in (*best, *latest):
        if prefix not in without:
            return prefix
    if best or latest:
        tried = ", ".join(map(str, without))
        raise InputError(
            f"{folder}: none of its checkpoints can be read ({tried}); put back a copy of one, or train again: remove"
            " them (make clean-model), then `make train`"
        )
    if which == "best":
        raise InputError(f"{folder}: holds no best/ with a checkpoint, which training writes; give latest, or a number")
    if which in (None, "latest"):
        raise InputError(f"{folder}: holds no checkpoint; train first (`make train`), or name the folder that has one")
    prefix = str(folder / f"ckpt-{which}")
    if prefix in without or not is_whole(prefix):
        names = [Path(one).name for one in list_checkpoints(folder) if one not in without]
        numbers = ", ".join(name.removeprefix("ckpt-") for name in names)
        there = f"there are {numbers}" if names else "there is none; train first (`make train`)"
        what = f"its checkpoint ckpt-{which} {find_damage(prefix)}"
        if not list_checkpoint_files(prefix):
            what = f"holds no checkpoint ckpt-{which}"
        raise InputError(f"{folder}: {what}; {there}")
    return prefix


def find_damage(prefix) -> str | None:
    """What keeps the checkpoint `prefix` from being read, as text, or None. TensorFlow checks every variable's sum."""
    if not is_whole(prefix):
        return "is gone" if not list_checkpoint_files(prefix) else "lacks a file"
    import tfod.compat  # noqa: F401 - a quiet TensorFlow

    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, *UNREADABLE):
        return "is damaged" if is_whole(prefix) else "is gone"
    return None


def try_checkpoints(folder, which):
    """Yields the checkpoint that `choose_checkpoint` gives, then, to a caller who could not read it, the next, and so
    on: all of a checkpoint need not be read before it is used. Raises InputError where none is left."""
    failed = []
    while True:
        failed.append(choose_checkpoint(folder, which, failed))
        yield failed[-1]


def watch_checkpoints(folder, timeout: float):
    """Yields the newest checkpoint of `folder` and each newer one, until none came for `timeout` seconds.

    Raises InputError where none came at all.
    """
    found, until = None, time.monotonic() + timeout
    while time.monotonic() < until:
        newest = find_latest_checkpoint(folder)
        if newest in (None, found):
            time.sleep(1)
            continue
        found = newest
        yield found
        until = time.monotonic() + timeout
    if found is None:
        raise InputError(f"{folder}: no checkpoint came in {timeout} s; train first")


def leave_out(prefix) -> bool:
    """True where the checkpoint `prefix` is damaged, or was removed by a training in the meantime, which is said."""
    damage = find_damage(prefix)
    if damage:
        say(f"warning: {prefix} {damage} and is left out{explain_loss(damage)}")
    return damage is not None


def use_checkpoint(folder, which, work):
    """Returns `work(prefix)` for the first of `try_checkpoints` that can be read."""
    for prefix in try_checkpoints(folder, which):
        try:
            return work(prefix)
        except Exception:
            if not leave_out(prefix):  # it was something else
                raise
    return None


def explain_loss(damage: str) -> str:
    """What to add to a message on the `damage` of `find_damage`."""
    return ": training has removed it in the meantime" if damage == "is gone" else ""
