"""The files that a pipeline.config names: whether they are there, and what to write where they are not.

Paths in a pipeline.config are relative to the folder that a command runs in, as the OD API reads them.
"""

import glob
import re
from pathlib import Path

from tfod.config.pipeline import PLACEHOLDER
from tfod.model.checkpoints import find_latest_checkpoint
from tfod.utils.console import make_printable

# What the text of a config makes of a backslash and a letter: \t is a tab.
ESCAPES = {"\a": r"\a", "\b": r"\b", "\t": r"\t", "\n": r"\n", "\v": r"\v", "\f": r"\f", "\r": r"\r"}


def find_file_faults(name: str, value: str, advice: str) -> list[str]:
    """Why `value` of the field `name` is not the path, or the pattern of paths, of a file that is there: texts.

    `advice` says how such a file is made.
    """
    if not value:
        return [f"{name} is not set; {advice}"]
    if PLACEHOLDER in value:
        return [f"{name} is still {PLACEHOLDER}; name the file, or `make config`"]
    found = [value] if Path(value).exists() else glob.glob(value)
    if any(Path(path).is_file() for path in found):
        return []
    if found:
        return [f"{name} {value} is a folder; name the file in it"]
    return [f"{name} {explain_foreign_path(value) or _say_where(value) + '; ' + advice}"]


def _say_where(value):
    where = f"relative to {Path.cwd()}" if not Path(value).is_absolute() else "an absolute path"
    return f"{value} ({where}) is not there"


def explain_foreign_path(value: str) -> str | None:
    """What is wrong with the way that a path is written, and how to write it; None where that is not the trouble."""
    typed = "".join(ESCAPES.get(character, character) for character in value)
    plain = typed.replace("\\", "/")
    drive = re.match(r"([A-Za-z]):/", plain)
    if drive:
        plain = f"/mnt/{drive[1].lower()}/{plain[3:]}"
    if not typed.isprintable():
        return f"{make_printable(value)} holds a character that can't be seen; write the path again"
    if typed != value:
        escape = ESCAPES[next(character for character in value if character in ESCAPES)]
        return f"{typed} has a backslash, and {escape} is a control character in a config; write {plain}"
    if "://" in value:
        return f"{value} is an address, and only files of this machine are read; copy it here, and write its path"
    if drive:
        return f"{value} is a path of Windows, which WSL has below /mnt; write {plain}"
    if "\\" in value:
        return f"{value} has backslashes, and paths take slashes; write {plain}"
    return None


def find_checkpoint_path_faults(checkpoint: str) -> list[str]:
    """Why fine_tune_checkpoint, which is set, is not the name of a checkpoint that is there: texts."""
    if PLACEHOLDER in checkpoint:
        return [
            f"train_config.fine_tune_checkpoint is still {PLACEHOLDER}; name the file, `make config`, or leave "
            "it empty to train from scratch"
        ]
    if Path(f"{checkpoint}.index").is_file():
        return []
    foreign = explain_foreign_path(checkpoint)
    if foreign:
        return [f"fine_tune_checkpoint {foreign}"]
    meant = suggest_checkpoint(checkpoint)
    advice = (
        f"did you mean {meant}?"
        if meant
        else "`make pretrained` downloads a model, and an empty fine_tune_checkpoint trains from scratch"
    )
    return [f"fine_tune_checkpoint {checkpoint} is not there (no {checkpoint}.index, seen from {Path.cwd()}); {advice}"]


def suggest_checkpoint(given: str) -> str | None:
    """The name of the checkpoint that `given` may stand for: its folder, the model's, `checkpoint`, one of its files.

    None where nothing near it is a checkpoint.
    """
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", given)
    if prefix != given and Path(f"{prefix}.index").is_file():
        return prefix
    folder = Path(given) if Path(given).is_dir() else Path(given).parent
    for place in (folder, folder / "checkpoint", folder.parent / "checkpoint"):
        found = find_latest_checkpoint(place) or max(map(str, place.glob("ckpt-*.index")), default="", key=_number)
        if found:
            return found.removesuffix(".index")
    return None


def _number(index):
    return int(re.sub(r"\D", "", Path(index).name) or 0)
