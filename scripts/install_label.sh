#!/bin/sh
# Creates the labelling tool's environment VENV from its lock, with PYTHON; does nothing if it is complete.
#     scripts/install_label.sh PYTHON VENV
# The lock is copied into VENV last, so if the copy equals the lock, everything in it is installed.
set -eu
python=$1 venv=$2
CDPATH='' cd "$(dirname "$0")/.."
. scripts/environments.sh

[ -n "$venv" ] || fail "LABEL_VENV is empty; name the environment's folder, such as LABEL_VENV=.venv-label"
case $venv in -*) venv=./$venv ;; esac
cmp -s requirements-label.txt "$venv/requirements-label.txt" && "$venv/bin/python" -c "import lxml" 2>/dev/null && exit 0
[ "$(uname -sm)" != "Linux aarch64" ] ||
    fail "Linux aarch64: Qt has no wheels for it; label on another computer, and copy photos and XML files to images/"
refuse_foreign "$venv" LABEL_VENV
printf '%s\n' "installing the labelling tool into $venv: 75 MB to download, 230 MB on disk" >&2
make_environment "$python" "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps --require-hashes \
    -r requirements-label.txt
cp requirements-label.txt "$venv/requirements-label.txt"
