"""One training at a time in a model's folder, and none that is over keeps the next one out."""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys

import pytest
from conftest import ROOT, STARTED

from tfod.model import training_lock
from tfod.model.training_lock import lock_folder
from tfod.utils.console import InputError

HOLD = """
import time
from tfod.model.training_lock import lock_folder
with lock_folder("m"):
    print("held", flush=True)
    time.sleep(99)
"""


@pytest.mark.attack
def test_second_training_is_refused_until_the_first_is_over_even_by_a_kill(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=tmp_path, stdout=subprocess.PIPE, env=environment)
    STARTED.append(process)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(InputError) as raised, lock_folder(tmp_path / "m"):
        raise AssertionError("two trainings in one folder")
    said = str(raised.value)
    assert said.startswith(f"{tmp_path}/m: another training writes there (process {process.pid} on ")
    assert said.endswith("; wait for its end or stop it, or give this one another --model_dir (MODEL=)")
    with lock_folder(tmp_path / "other"):
        pass
    process.kill()
    process.wait()
    for _ in range(2):
        with lock_folder(tmp_path / "m"):
            assert f"process {os.getpid()} on" in (tmp_path / "m" / training_lock.NAME).read_text()
        assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.attack
def test_lock_whose_file_was_removed_in_the_meantime_is_taken_again(tmp_path, monkeypatch):
    """As by a training that ended after this one opened the file: two would hold a lock, each of its own file."""
    real, opened = os.open, []

    def open_late(path, *flags):
        opened.append(real(path, *flags))
        if len(opened) == 1:
            path.unlink()
        return opened[-1]

    monkeypatch.setattr(os, "open", open_late)
    with lock_folder(tmp_path), pytest.raises(InputError, match="another training writes"), lock_folder(tmp_path):
        pass
    assert len(opened) == 3


@pytest.mark.attack
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_folder_without_locks_is_said_and_used(tmp_path, number, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []
    why = os.strerror(number)
    said = f"warning: {tmp_path}: can't be locked ({why}); see to it that no other training writes there\n"
    assert capsys.readouterr().err == said


@pytest.mark.attack
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_what_is_in_the_place_of_the_lock_hangs_nothing(tmp_path, make, capsys):
    make(tmp_path / training_lock.NAME)
    with lock_folder(tmp_path), contextlib.suppress(InputError), lock_folder(tmp_path):
        pass
    assert "Traceback" not in capsys.readouterr().err
