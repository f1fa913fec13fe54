#!/bin/sh
# Makes the labelling tool's environment VENV from its lock, with PYTHON; does nothing where it stands already.
#     scripts/install_label.sh PYTHON VENV
# The lock's copy in VENV is written last: where it is the same as the lock, all that it names is installed.
set -eu
python=$1 venv=$2
cd "$(dirname "$0")/.."

cmp -s requirements-label.txt "$venv/requirements-label.txt" && "$venv/bin/python" -c "import lxml" 2>/dev/null && exit 0
if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    echo "error: $venv: holds files and is not an environment, so it is not emptied; name another with LABEL_VENV=" >&2
    exit 1
fi
echo "installing the labelling tool into $venv: 75 MB to download, 230 MB on the disk" >&2
rm -f "$venv/requirements-label.txt"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps --require-hashes \
    -r requirements-label.txt
cp requirements-label.txt "$venv/requirements-label.txt"
