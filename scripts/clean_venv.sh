#!/bin/sh
# Removes the environments that make created. Refuses any other folder before anything is removed.
#     scripts/clean_venv.sh VENV LABEL_VENV WEB_VENV
set -eu
CDPATH='' cd "$(dirname "$0")/.."
. scripts/environments.sh

[ -n "$1" ] || fail "VENV is empty; name the environment's folder"
[ -n "$2" ] || fail "LABEL_VENV is empty; name the environment's folder"
[ -n "$3" ] || fail "WEB_VENV is empty; name the environment's folder"
case $1 in -*) set -- "./$1" "$2" "$3" ;; esac
case $2 in -*) set -- "$1" "./$2" "$3" ;; esac
case $3 in -*) set -- "$1" "$2" "./$3" ;; esac
refuse_foreign "$1" VENV
refuse_foreign "$2" LABEL_VENV
refuse_foreign "$3" WEB_VENV
for folder in "$@"; do
    if [ -e "$folder" ]; then
        printf '%s\n' "removing $folder"
        rm -rf "$folder"
    else
        printf '%s\n' "nothing to remove: $folder"
    fi
done
