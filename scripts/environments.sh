# shellcheck shell=sh
# Tells which folders are environments that make created. install.sh, install_label.sh, install_web.sh and clean_venv.sh,
# which empty or remove them, source this file. Any other folder may hold somebody's work, such as another project's
# environment, or a project with an environment created in its own folder.

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# True if the folder $1 is such an environment: it has our mark, or what we installed before there were marks.
is_ours() {
    [ ! -e "$1/.tfod" ] || return 0
    [ -e "$1/pyvenv.cfg" ] && [ ! -e "$1/Makefile" ] || return 1
    [ -e "$1/build.txt" ] || [ -e "$1/requirements-label.txt" ]
}

# Exits with an error if $1, given by the variable $2, is anything other than such an environment or an empty folder.
refuse_foreign() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    [ -d "$1" ] || fail "$1: is not a folder; name another with $2="
    [ -n "$(ls -A "$1")" ] || return 0
    is_ours "$1" || fail "$1: holds files and is not an environment that make has made, so it stays as it is;" \
        "name another folder with $2=, or remove this one yourself"
}

# make_environment PYTHON FOLDER: creates an environment in FOLDER, after emptying it.
make_environment() {
    case $(cd "$(dirname "$2")" 2>/dev/null && pwd)/$2 in
    *[:\$\{\}]*) # venv refuses a colon, and setuptools reads the others as names of variables
        fail "$2: no packages can be installed in a folder with : \$ { or } in its path; name another folder"
        ;;
    esac
    mkdir -p "$2"
    : >"$2/.tfod" # first of all and never removed: if this is interrupted, the folder is still known as ours
    find "$2/" -mindepth 1 -maxdepth 1 ! -name .tfod -exec rm -rf {} +
    "$1" -m venv "$2"
}
