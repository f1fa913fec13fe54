"""scripts/install.sh with a Python that only notes what it is asked for, and the lock of CUDA's libraries."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

LINK = "nvidia/cusparse/lib/libcusolver.so.11"

# docker-check is where a real one installs
PYTHON = """#!/bin/sh
home=$(cd "$(dirname "$0")/.." && pwd)
case "$*" in
*version_info*) echo 3.12 ;;
*sysconfig*) echo "$home/site" ;;
"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
"-m pip"*requirements-cuda.txt)
    echo cuda >>"$CALLS"
    mkdir -p "$home/site/nvidia/cusparse/lib"
    exit "${CUDA_FAILS:-0}"
    ;;
"-m pip"*requirements.txt) echo base >>"$CALLS" ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    """`install(cuda, code, venv, python, **environment)` calls install.sh: (what pip was to install, what was said)."""
    clone, calls = tmp_path / "clone", tmp_path / "calls"
    (clone / "scripts").mkdir(parents=True)
    for name in ("install.sh", "environments.sh"):
        shutil.copy(ROOT / "scripts" / name, clone / "scripts")
    for name in ("requirements.txt", "requirements-cuda.txt"):
        (clone / name).write_text(f"{name} of today\n")
    python = tmp_path / "bin/python3.12"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)

    def install(cuda="", code=0, venv=clone / ".venv", python=python, **environment):
        calls.write_text("")
        words = ["sh", clone / "scripts/install.sh", python, venv, cuda]
        environment = {"PATH": "/usr/bin:/bin", "CALLS": str(calls), "CDPATH": "/", **environment}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return calls.read_text().split(), done.stdout + done.stderr

    install.clone = clone
    return install


@pytest.mark.attack
def test_only_an_environment_of_ours_is_emptied(install):
    folder = install.clone / ".venv"
    folder.mkdir()
    install()  # an empty one is taken
    (folder / "left.txt").touch()
    (folder / "requirements.txt").unlink()
    install()
    assert not (folder / "left.txt").exists()
    (folder / ".tfod").unlink()  # as those of before the mark are
    (folder / "pyvenv.cfg").touch()
    (folder / "requirements.txt").unlink()
    install()

    shutil.rmtree(folder)
    (folder / "bin").mkdir(parents=True)  # an environment of another project
    for name in ("pyvenv.cfg", "bin/python", "requirements.txt", "thesis.txt"):
        (folder / name).touch()
    before = sorted(folder.rglob("*"))
    called, said = install(code=1)
    assert called == []
    assert said.startswith(f"error: {folder}: holds files and is not an environment that make has made, so it stays")
    assert sorted(folder.rglob("*")) == before
    (folder / "build.txt").touch()
    (folder / "Makefile").touch()  # a clone in which somebody made one
    assert install(code=1)[0] == []


@pytest.mark.attack
@pytest.mark.parametrize(
    ("venv", "said"),
    [
        ("", "error: VENV is empty; name the environment's folder, such as VENV=.venv"),
        (".", "error: .: holds files and is not an environment that make has made"),
        ("..", "error: ..: holds files and is not"),
        ("/", "error: /: holds files and is not"),
        ("scripts", "error: scripts: holds files and is not"),
        ("requirements.txt", "error: requirements.txt: is not a folder; name another with VENV="),
        ("nowhere", "error: nowhere: is not a folder"),
        *(
            (
                name,
                f"error: {name}: no packages can be installed in a folder with : $ {{ or }} in its path; name another",
            )
            for name in ("a:b", "$HOME", "{a}")
        ),
    ],
)
def test_a_venv_that_is_something_else_is_refused(install, venv, said):
    (install.clone / "nowhere").symlink_to("nothing there")
    before = sorted(install.clone.rglob("*"))
    called, output = install(code=1, venv=venv)
    assert called == []
    assert output.splitlines()[-1].startswith(said)
    assert sorted(install.clone.rglob("*")) == before


@pytest.mark.attack
def test_an_environment_with_a_dash_is_made_and_an_odd_python_is_named(install):
    install(venv="-venv `touch canary`")
    assert (install.clone / "-venv `touch canary`/requirements.txt").exists()
    for python, what in (("", "PYTHON is empty"), ("-x", "-x: is not installed"), ("$(touch canary)", "is not inst")):
        assert what in install(code=1, python=python)[1]
    assert not (install.clone / "canary").exists()


def test_cuda_is_added_once_and_stays(install):
    assert install()[0] == ["base"]
    called, said = install("1")
    assert called == ["cuda"]
    assert "2.8 GB to download, 4.3 GB on disk" in said
    link = install.clone / ".venv/site" / LINK
    assert link.readlink() == Path("../../cusolver/lib/libcusolver.so.11")
    for cuda in ("1", "", "0"):
        assert install(cuda) == ([], "")
    assert link.is_symlink()


def test_everything_at_once(install):
    assert install("1")[0] == ["base", "cuda"]
    assert (install.clone / ".venv" / "site" / LINK).is_symlink()


def test_a_new_lock_of_cuda_installs_that_alone(install):
    install("1")
    (install.clone / "requirements-cuda.txt").write_text("another\n")
    assert install()[0] == ["cuda"]


def test_an_environment_made_again_gets_cuda_back_even_after_a_failure(install):
    install("1")
    (install.clone / "requirements.txt").write_text("another\n")
    assert install(code=1, CUDA_FAILS="1")[0] == ["base", "cuda"]
    assert install()[0] == ["cuda"]


def test_a_failed_download_is_tried_again_when_asked(install):
    install()
    assert install("1", code=1, CUDA_FAILS="1")[0] == ["cuda"]
    assert install()[0] == []  # it is not needed to go on without
    assert install("1")[0] == ["cuda"]


def test_another_value_of_cuda_is_refused(install):
    called, said = install("/usr/local/cuda", code=1)
    assert called == []
    assert "error: CUDA=/usr/local/cuda: is not 1; CUDA=1 installs CUDA's libraries" in said


def pretend(folder, machine):
    """A PATH on which uname says that this is `machine`."""
    folder.mkdir(exist_ok=True)
    (folder / "uname").write_text(f"#!/bin/sh\necho '{machine}'\n")
    (folder / "uname").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


@pytest.mark.parametrize("machine", ["Linux aarch64", "Darwin arm64"])
def test_the_lock_is_for_arm_too_and_cuda_is_not(install, tmp_path, machine):
    path = pretend(tmp_path / "there", machine)
    assert install(PATH=path)[0] == ["base"]
    for venv in (".venv", "other"):  # one that is there, and a new one
        called, said = install("1", code=1, venv=install.clone / venv, PATH=path)
        assert called == []
        assert said.startswith(
            "error: CUDA=1: TensorFlow uses an NVIDIA card on Linux x86_64 only, and this is " + machine
        )


def test_another_machine_is_refused(install, tmp_path):
    called, said = install(code=1, PATH=pretend(tmp_path / "there", "Linux armv7l"))
    assert called == []
    assert said.startswith(
        "error: Linux armv7l: the lock is for Linux x86_64, Linux aarch64 and Darwin arm64; use such"
    )


def test_the_labelling_tool_is_refused_where_qt_has_no_wheels(tmp_path):
    command = ["sh", ROOT / "scripts/install_label.sh", sys.executable, tmp_path / "label"]
    environment = {"PATH": pretend(tmp_path / "there", "Linux aarch64")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Linux aarch64: Qt has no wheels for it; label on another computer")
    assert not (tmp_path / "label").exists()


def test_make_install_offers_cuda_where_there_is_a_card(tmp_path):
    text = (ROOT / "Makefile").read_text()
    assert "[ -e /dev/nvidiactl ] || [ -e /dev/dxg ]" in text
    (tmp_path / "Makefile").write_text(text.replace("/dev/nvidiactl", "card").replace("/dev/dxg", "none"))
    (tmp_path / "scripts").mkdir()
    installer = tmp_path / "scripts/install.sh"
    installer.write_text('#!/bin/sh\necho "CUDA is $3"\n')
    installer.chmod(0o755)

    def make_install(*words):
        command = ["make", "-C", tmp_path, "install", "VENV=venv", *words]
        environment = {"PATH": "/usr/bin:/bin", "CUDA": "/usr/local/cuda"}  # as clusters have it
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "make install CUDA=1" not in make_install()
    (tmp_path / "card").touch()
    assert "CUDA is \n" in make_install()
    assert "make install CUDA=1 adds CUDA's libraries, 2.8 GB to download" in make_install()
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/requirements-cuda.txt").touch()
    said = make_install("CUDA=1")
    assert "CUDA is 1\n" in said
    assert "and CUDA's libraries, which requirements-cuda.txt names" in said


# ---------------------------------------------------------------- the locks

MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]


@pytest.mark.parametrize("lock", ["requirements.txt", "scripts/tfod/export/runner/requirements.txt"])
def test_each_package_of_the_locks_is_there_once_for_each_machine(lock):
    found = [
        Requirement(line.rstrip("\\")) for line in (ROOT / lock).read_text().splitlines() if re.match(r"\w.*==", line)
    ]
    names = {one.name for one in found}
    assert {"numpy", "pillow", "ai-edge-litert"} <= names
    for system, machine in MACHINES:
        for version in ("3.11.9", "3.12.4", "3.13.1"):
            there = {"sys_platform": system, "platform_machine": machine, "python_full_version": version}
            chosen = [one.name for one in found if one.marker.evaluate({**there, "implementation_name": "cpython"})]
            assert len(chosen) == len(set(chosen))
            assert names == set(chosen)


# ---------------------------------------------------------------- requirements-cuda.txt


def read_lock():
    """The packages of requirements-cuda.txt as name -> version."""
    text = (ROOT / "requirements-cuda.txt").read_text()
    return dict(re.findall(r"^([\w-]+)==([\d.]+)", text, re.MULTILINE))


def test_the_lock_is_what_tensorflow_asks_for():
    wanted = [Requirement(text) for text in metadata.requires("tensorflow") if "and-cuda" in text]
    assert len(wanted) > 10
    locked = read_lock()
    assert set(locked) == {one.name for one in wanted}
    assert [one for one in wanted if locked[one.name] not in one.specifier] == []
    assert "nvidia-cuda-nvcc-cu12" in locked  # ptxas and libdevice


def test_cudnn_has_kernels_for_old_cards():
    """9.11 dropped those below compute capability 7.5: GTX 10, Titan V, V100."""
    assert read_lock()["nvidia-cudnn-cu12"] == "9.10.2.21"


def test_every_package_of_the_lock_has_a_hash_and_a_wheel_for_each_python():
    """NVIDIA's wheels are `py3-none`, so one file does for 3.11, 3.12 and 3.13."""
    blocks = re.split(r"^(?=nvidia-)", (ROOT / "requirements-cuda.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(read_lock())
    assert all("--hash=sha256:" in block for block in blocks)
    assert not any("python_version" in block or "python_full_version" in block for block in blocks)
    assert sys.version_info[:2] >= (3, 11)
