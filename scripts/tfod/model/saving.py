"""Checkpoints written so that none is lost, and none is half there."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

import tfod.compat  # noqa: F401 - a quiet TensorFlow, with Keras 2

from tfod.model.checkpoints import (
    SUFFIX,
    UNREADABLE,
    find_damage,
    find_latest_checkpoint,
    is_whole,
    leave_out,
    list_candidates,
    list_checkpoint_files,
    list_checkpoints,
    read_state,
)
from tfod.utils import files
from tfod.utils.console import InputError, say

KEPT = 7  # checkpoints, as upstream keeps
PAUSES = (1, 5)  # seconds before the second and the third try


class SaveError(Exception):
    """A checkpoint could not be written. Says why."""


def save_checkpoint(write, folder, step: int, kept: int = KEPT) -> str:
    """Writes the checkpoint `folder`/ckpt-`step`, and removes the oldest beyond `kept`. Returns its prefix.

    The oldest are those that were written first, as the file `checkpoint` names them: a number says nothing, since a
    training that goes back writes lower ones. What that file does not name is not counted and not removed.

    `write(prefix)` writes a checkpoint's files, as tf.train.Checkpoint.write does. They take their place when they are
    whole and on the disk, the index last: a checkpoint with an index is a whole one. Raises SaveError.
    """
    import tensorflow as tf

    folder = Path(folder)
    prefix = folder / f"ckpt-{step}"
    try:
        with files.make_room(prefix) as room:
            write(str(room / prefix.name))
            written = list_checkpoint_files(room / prefix.name)
            for path in sorted(written, key=lambda path: path.suffix == ".index"):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                path.replace(folder / path.name)
        names = [name for name in _list_written(folder) if name != prefix.name] + [prefix.name]
        for old in names[:-kept]:
            remove_checkpoint(folder / old)
        files.write_text(folder / "checkpoint", _describe_state(names[-kept:]))
    except (OSError, tf.errors.OpError) as error:
        raise SaveError(describe_failure(error)) from error
    return str(prefix)


def describe_failure(error: Exception) -> str:
    """The first line of what an OSError or TensorFlow's OpError says, without the name of the function of a graph."""
    text = re.sub(r"^\{\{.*?\}\} *", "", getattr(error, "message", str(error)))
    return text.strip().partition("\n")[0] or type(error).__name__


def _list_written(folder):
    """The names of the whole checkpoints ckpt-N that the file `checkpoint` names, in the order of writing."""
    newest, named = read_state(folder)
    names = dict.fromkeys(Path(name).name for name in (*named, newest))
    return [name for name in names if re.fullmatch(r"ckpt-[0-9]+", name) and is_whole(folder / name)]


def _describe_state(names):
    """The file `checkpoint`, from which TensorFlow and upstream know which is the newest, the last of `names`."""
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    return "\n".join(lines) + "\n"


def remove_checkpoint(prefix):
    """Removes the files of a checkpoint, the index first."""
    for path in sorted(list_checkpoint_files(prefix), key=lambda path: path.suffix != ".index"):
        path.unlink(missing_ok=True)


def save_with_retries(write, folder, step: int) -> str:
    """As `save_checkpoint`, tried three times. Says what fails; raises SaveError after the last try."""
    for pause in PAUSES:
        try:
            return save_checkpoint(write, folder, step)
        except SaveError as error:
            say(f"warning: {folder}/ckpt-{step} could not be written ({error}); trying again in {pause} s")
            time.sleep(pause)
    return save_checkpoint(write, folder, step)


def rehearse(write, folder) -> tuple[int, dict]:
    """Writes a checkpoint and removes it: returns (its size in bytes, dict of its variables' names -> shapes).

    Raises InputError if the folder can't be written to, or its disk has no room for two checkpoints; says so if it has
    no room for all that will be kept.
    """
    import tensorflow as tf

    folder = Path(folder)
    if (folder / "checkpoint").is_dir():
        raise InputError(
            f"{folder}/checkpoint: is a folder, and training notes there which checkpoint is the newest; "
            "move it away, or give another --model_dir"
        )
    try:
        with files.make_room(folder / "rehearsal") as room:
            write(str(room / "ckpt"))
            size = sum(path.stat().st_size for path in list_checkpoint_files(room / "ckpt"))
            shapes = dict(tf.train.list_variables(str(room / "ckpt")))
    except (OSError, tf.errors.OpError) as error:
        free = shutil.disk_usage(folder).free / 1e6 if folder.exists() else 0
        raise InputError(
            f"{folder}: a checkpoint can't be written there ({describe_failure(error)}), and {free:.0f} MB are"
            " free; make room or check your permissions there, or give another --model_dir"
        ) from error
    return size, shapes


def require_room(folder, size: int):
    """Raises InputError if the disk of `folder` has no room for two checkpoints of `size` bytes; says so if it has
    none for all that will be kept."""
    free = shutil.disk_usage(folder).free
    there = sum(path.stat().st_size for path in Path(folder).glob("ckpt-*"))
    wanted = max((KEPT + 2) * size - there, 2 * size)  # those kept, the best, and the one that is being written
    if free < 2 * size:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free on its disk, and two checkpoints take {2 * size / 1e6:.0f} MB;"
            " make room, or give another --model_dir"
        )
    if free < wanted:
        say(
            f"warning: {folder}: {free / 1e6:.0f} MB are free on its disk, and the checkpoints to be kept take"
            f" {wanted / 1e6:.0f} MB; make room soon"
        )


def read_step(prefix) -> int:
    """The step that a checkpoint was written at. Raises InputError if it does not say that."""
    import tensorflow as tf

    try:
        return int(tf.train.load_variable(prefix, f"step{SUFFIX}"))
    except (tf.errors.OpError, *UNREADABLE) as error:
        what = find_damage(prefix) or "holds no step, so it is not of a training"
        raise InputError(f"{prefix}: {what}; move it out of this folder, or name another folder") from error


def find_sound_checkpoint(folder) -> str | None:
    """The prefix of the newest checkpoint of `folder` that can be read, all of it, or None. Says which ones can't.

    The newest is as in `list_candidates`.
    """
    return next((prefix for prefix in list_candidates(folder) if not leave_out(prefix)), None)


def find_step(folder, last: int, chief: bool) -> int:
    """The step of the newest checkpoint of `folder` that can be read, 0 where there is none.

    One of step `last` or later is read as a whole: nobody would look at it again. The `chief` notes which it is.
    """
    checkpoint = find_latest_checkpoint(folder)
    if not checkpoint:
        return 0
    with contextlib.suppress(InputError):  # it is damaged, and looked at below
        step = read_step(checkpoint)
        if step < last:
            return step  # training looks at all of it
    checkpoint = find_sound_checkpoint(folder)
    if checkpoint and chief:
        name_newest(folder, checkpoint)
    return read_step(checkpoint) if checkpoint else 0


def name_newest(folder, prefix):
    """Has the file `checkpoint` name `prefix`, which `find_sound_checkpoint` found in `folder`, as the newest.

    Those after it, which are damaged, are not named any more: they stay where they are, take no sound one's place, and
    are not taken by others, who do not look so closely.
    """
    folder, name = Path(folder), Path(prefix).name
    if read_state(folder)[0] == name or Path(prefix).parent != folder:
        return
    written = _list_written(folder) or [Path(one).name for one in list_checkpoints(folder)]
    names = written[: written.index(name) + 1] if name in written else [name]
    try:
        files.write_text(folder / "checkpoint", _describe_state(names))
    except OSError as error:  # the training says so itself when it comes to save
        say(f"warning: {folder}/checkpoint could not be written ({error.strerror})")


@contextlib.contextmanager
def keep_best(write, folder, step):
    """Yields the folder that becomes `folder`/best: the caller adds to the checkpoint of `step` what belongs to it."""
    with files.write_whole(Path(folder) / "best") as fresh:
        fresh.mkdir()
        save_checkpoint(write, fresh, step)
        yield fresh
