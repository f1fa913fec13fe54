"""Two runs that bring the same model or photos at the same time: the second waits, and takes what the first brought."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, STARTED
from https_site import make_environment, serve_https
from packed_models import FILES as MODEL
from packed_models import NAME, list_names, pack, read_tree
from packed_photos import DIGEST, FILES, pack_repository

pytestmark = pytest.mark.attack


@pytest.fixture
def site():
    """A server that takes a second or so for a model."""
    with serve_https() as server:
        files = MODEL | {"checkpoint/ckpt-0.data-00000-of-00001": os.urandom(400_000)}
        server.files = {f"/{name}.tar.gz": pack(files, name) for name in (NAME, "other")}
        server.model, server.pace = files, 4000
        yield server


def start(folder, script, *arguments):
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([str(part) for part in command], cwd=folder, env=make_environment(), **pipes)
    STARTED.append(process)
    return process


def start_model(folder, site, name=NAME):
    return start(folder, "download_model.py", "-o", "models", "--pause", "0.01", f"{site.address}/{name}.tar.gz")


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def finish(process):
    """(exit code, standard error)."""
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    return process.returncode, said


def test_the_second_waits_and_takes_what_the_first_brought(site, tmp_path):
    first = start_model(tmp_path, site)
    wait_for(lambda: site.log)
    second = start_model(tmp_path, site)
    assert finish(first)[0] == 0
    code, said = finish(second)
    assert code == 0
    assert said == f"models/{NAME}: another run is bringing it; waiting for that\nmodels/{NAME} is there already\n"
    assert len(site.log) == 1
    assert read_tree(tmp_path / "models" / NAME) == site.model
    assert list_names(tmp_path / "models") == ["SHA256SUMS", NAME]


def test_after_a_kill_the_second_goes_on_where_the_first_was(site, tmp_path):
    first = start_model(tmp_path, site)
    part = tmp_path / "models" / f"..{NAME}.tar.gz.part"
    wait_for(lambda: part.exists() and part.stat().st_size)
    second = start_model(tmp_path, site)
    assert "waiting for that" in second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    finish(first)
    assert finish(second)[0] == 0
    assert [bool(span) for _, span, _ in site.log] == [False, True]
    assert read_tree(tmp_path / "models" / NAME) == site.model
    assert list_names(tmp_path / "models") == ["SHA256SUMS", NAME]


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_pipe_in_place_of_what_a_broken_download_left_is_named(site, tmp_path, suffix):
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / f"models/..{NAME}.tar.gz.part{suffix}")
    code, said = finish(start_model(tmp_path, site))
    assert code == 1
    assert said.startswith(f"error: models/..{NAME}.tar.gz.part{suffix}: is a pipe, not a file; replace it with a file")


def test_two_models_at_once_do_not_wait_and_both_sums_are_noted(site, tmp_path):
    both = [start_model(tmp_path, site, name) for name in (NAME, "other")]
    for process in both:
        code, said = finish(process)
        assert code == 0 and f"{NAME}: another run" not in said and "other: another run" not in said
    assert len((tmp_path / "models/SHA256SUMS").read_text().splitlines()) == 2
    assert list_names(tmp_path / "models") == ["SHA256SUMS", "other", NAME]


def test_the_raccoon_photos(site, tmp_path):
    site.files = {"/raccoon.tar.gz": pack_repository(FILES)}
    site.pace = 100
    words = ["-o", "images", "--url", f"{site.address}/raccoon.tar.gz", "--sha256", DIGEST]
    first = start(tmp_path, "preprocessing/fetch_raccoon.py", *words)
    wait_for(lambda: site.log)
    second = start(tmp_path, "preprocessing/fetch_raccoon.py", *words)
    assert finish(first)[0] == 0
    code, said = finish(second)
    assert code == 0
    assert said == "images: another run is bringing it; waiting for that\nimages is up to date (200 photos)\n"
    assert len(site.log) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()} == FILES
    assert list_names(tmp_path) == ["images"]
