#!/bin/sh
# Creates the environment VENV from the lock, with PYTHON; does nothing if it is complete.
#     scripts/install.sh PYTHON VENV [CUDA]
# CUDA=1 adds CUDA's libraries for an NVIDIA card, from a lock of their own; an environment that has them keeps them.
# The lock is copied into VENV last, so if the copy equals the lock, everything in it is installed.
set -eu
python=$1 venv=$2 cuda=${3:-}
CDPATH='' cd "$(dirname "$0")/.."
. scripts/environments.sh
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

add_cuda() {
    [ "$cuda" = 1 ] || [ -e "$venv/requirements-cuda.txt" ] || return 0
    ! cmp -s requirements-cuda.txt "$venv/requirements-cuda.txt" || return 0
    printf '%s\n' "installing CUDA's libraries into $venv: 2.8 GB to download, 4.3 GB on disk"
    pip install --no-deps --require-hashes -r requirements-cuda.txt
    # TensorFlow 2.21 looks for libcusolver only in the other libraries' folders, not in its own
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sf ../../cusolver/lib/libcusolver.so.11 "$packages/nvidia/cusparse/lib/libcusolver.so.11"
    cp requirements-cuda.txt "$venv/requirements-cuda.txt"
    echo "installed; make doctor says whether TensorFlow uses the card"
}

[ -n "$python" ] || fail "PYTHON is empty; name a Python, such as PYTHON=python3"
[ -n "$venv" ] || fail "VENV is empty; name the environment's folder, such as VENV=.venv"
case $venv in -*) venv=./$venv ;; esac
case $cuda in
"" | 0 | 1) ;;
*) fail "CUDA=$cuda: is not 1; CUDA=1 installs CUDA's libraries, and without it they are left out" ;;
esac
machine=$(uname -sm)
case $machine in
"Linux x86_64" | "Linux aarch64" | "Darwin arm64") ;;
*) fail "$machine: the lock is for Linux x86_64, Linux aarch64 and Darwin arm64; use such a machine, WSL 2 or a container" ;;
esac
[ "$cuda" != 1 ] || [ "$machine" = "Linux x86_64" ] ||
    fail "CUDA=1: TensorFlow uses an NVIDIA card on Linux x86_64 only, and this is $machine; leave it out"
command -v -- "$python" >/dev/null || fail "$python: is not installed; apt install python3 python3-venv, or name one with PYTHON="
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if cmp -s requirements.txt "$venv/requirements.txt" && "$venv/bin/python" -c "import tfod" 2>/dev/null; then
    there=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # PYTHON=python3 does not ask for a particular version, so the environment's own will do
    if [ "$there" = "$version" ] || [ "$python" = python3 ]; then
        add_cuda
        exit 0
    fi
fi
case $version in
3.11 | 3.12 | 3.13) ;;
*) fail "$python: is Python $version, and TensorFlow 2.21 has wheels for 3.11, 3.12 and 3.13; name one of these with PYTHON=" ;;
esac
"$python" -c "import ensurepip, venv" 2>/dev/null || fail "$python: has no venv module; apt install python$version-venv"

refuse_foreign "$venv" VENV
[ ! -e "$venv/requirements-cuda.txt" ] || cuda=1
printf '%s\n' "installing into $venv with Python $version: 0.8 GB to download, 2.9 GB on disk"
make_environment "$python" "$venv"
[ "$cuda" != 1 ] || : >"$venv/requirements-cuda.txt" # so that they are installed even if this is interrupted and run again
# The OD API is published as source. Its build tools come first, from the same lock, so that pip fetches no others.
sed -n '/^setuptools==/,/[^\\]$/p; /^wheel==/,/[^\\]$/p' requirements.txt >"$venv/build.txt"
pip install --quiet --no-deps --require-hashes -r "$venv/build.txt"
pip install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements.txt
pip install --quiet --no-deps --no-build-isolation --editable .
cp requirements.txt "$venv/requirements.txt"
echo "installed; make doctor checks that everything works"
add_cuda
