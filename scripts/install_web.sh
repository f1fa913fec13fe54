#!/bin/sh
# Makes the environment VENV for `make web` from its locks, with PYTHON: Node.js, and in VENV/node_modules what the page
# runs on. Does nothing where it stands already.
#     scripts/install_web.sh PYTHON VENV
# The locks' copies in VENV are written last: where they are the same as the locks, all that these name is installed.
set -eu
python=$1 venv=$2
CDPATH='' cd "$(dirname "$0")/.."
. scripts/environments.sh

[ -n "$venv" ] || fail "WEB_VENV is empty; name the environment's folder, as WEB_VENV=.venv-web"
case $venv in -*) venv=./$venv ;; esac
cmp -s requirements-web.txt "$venv/requirements-web.txt" && cmp -s package-lock.json "$venv/installed-lock.json" && exit 0
refuse_foreign "$venv" WEB_VENV
printf '%s\n' "installing Node.js and the page's packages into $venv: 75 MB to download, 270 MB on the disk" >&2
make_environment "$python" "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary :all: --no-deps --require-hashes \
    -r requirements-web.txt
cp package.json package-lock.json "$venv/"
# no package's own scripts: what is wanted of them are files
(cd "$venv" && PATH=$PWD/bin:$PATH npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) ||
    fail "package-lock.json: npm could not install what it names, as it says above; look at the connection, and try again"
cp requirements-web.txt "$venv/requirements-web.txt"
cp package-lock.json "$venv/installed-lock.json"
