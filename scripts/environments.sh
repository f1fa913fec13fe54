# shellcheck shell=sh
# Which folders are environments that make has made, for those who empty or remove them: install.sh, install_label.sh
# and clean_venv.sh read this file. Any other folder may hold somebody's work: an environment of another project, too,
# or a project with an environment made in its own folder.

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# True if the folder $1 is such an environment: by its mark, or by what was installed into it before there were marks.
is_ours() {
    [ ! -e "$1/.tfod" ] || return 0
    [ -e "$1/pyvenv.cfg" ] && [ ! -e "$1/Makefile" ] || return 1
    [ -e "$1/build.txt" ] || [ -e "$1/requirements-label.txt" ]
}

# Ends with an error if $1, which the variable $2 names, is anything else than such an environment or an empty folder.
refuse_foreign() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    [ -d "$1" ] || fail "$1: is not a folder; name another with $2="
    [ -n "$(ls -A "$1")" ] || return 0
    is_ours "$1" || fail "$1: holds files and is not an environment that make has made, so it stays as it is;" \
        "name another folder with $2=, or remove this one yourself"
}

# make_environment PYTHON FOLDER: makes it new there, without what it held.
make_environment() {
    case $(cd "$(dirname "$2")" 2>/dev/null && pwd)/$2 in
    *[:\$\{\}]*) # venv takes no colon, and setuptools reads the others as names of variables
        fail "$2: no packages can be installed in a folder with : \$ { or } in its path; name another folder"
        ;;
    esac
    mkdir -p "$2"
    : >"$2/.tfod" # first of all and never removed: broken off here, it is known the next time
    find "$2/" -mindepth 1 -maxdepth 1 ! -name .tfod -exec rm -rf {} +
    "$1" -m venv "$2"
}
