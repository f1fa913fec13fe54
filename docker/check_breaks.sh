#!/usr/bin/env bash
# Tests docker/check.sh: breaks a copy of the files, one thing at a time, and expects check.sh to fail and to name the
# fault.
#     docker/check_breaks.sh        docker/check.sh also calls it
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
temp=$(mktemp -d /var/tmp/tfod-breaks.XXXXXX)
trap 'rm -rf "$temp"' EXIT

if [ -z "${CHECK_TOOLS:-}" ]; then
    export CHECK_TOOLS=$temp/tools
    python3 -m venv "$CHECK_TOOLS"
    "$CHECK_TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        -r docker/requirements-check.txt
fi

# WHAT FILE SED-COMMAND WORDS: runs the command on a copy of FILE; check.sh --static then has to fail and print WORDS
break_file() {
    local what=$1 file=$2 command=$3 words=$4 copy=$temp/copy
    rm -rf "$copy"
    mkdir -p "$copy/workspace"
    cp -r .env .hadolint.yaml docker "$copy"
    sed -i "$command" "$copy/$file"
    if cmp -s "$file" "$copy/$file"; then echo "error: $what: $command changes nothing in $file" >&2; exit 1; fi
    if "$copy/docker/check.sh" --static >"$temp/said" 2>&1; then
        echo "error: $what: docker/check.sh did not notice" >&2
        exit 1
    fi
    grep -q -e "$words" "$temp/said" || { cat "$temp/said" >&2; echo "error: $what: was not reported: $words" >&2; exit 1; }
    echo "noticed: $what ($(grep -e "$words" "$temp/said" | head -n 1))"
}

compose=docker/compose.yaml dockerfile=docker/Dockerfile
break_file "Dockerfile: an unknown instruction" $dockerfile 's/^WORKDIR/WORKDIRECTORY/' "docker/Dockerfile:.* missing whitespace"
break_file "Dockerfile: packages without their lists removed" $dockerfile '0,/    && rm -rf .*/s///; 0,/ python3-venv \\$/s// python3-venv/' DL3009
break_file "Dockerfile: no make doctor" $dockerfile '/"doctor"/d' "is not make doctor"
break_file "Dockerfile: the driver's libraries stay outside" $dockerfile 's/compute,utility/utility/' "NVIDIA_DRIVER_CAPABILITIES is not"
break_file "GPU: not reserved" $compose '/^  deploy:/,/capabilities/d' "tfod: reserves no NVIDIA GPU"
break_file "GPU: reserved for TensorBoard" $compose '/^  tensorboard:/,/tool$/s/\*tool/*gpu-tool/' "tensorboard: reserves GPUs"
break_file "GPU: still reserved by compose.cpu.yaml" docker/compose.cpu.yaml '/worker-1/,$d' "compose.cpu.yaml: worker-1: reserves GPUs"
break_file "GPU: its libraries in compose.cpu.yaml's image" docker/compose.cpu.yaml 's/CPU: 1/CPU: 0/' "builds with CUDA"
break_file "hosts: no network of the host" docker/compose.hosts.yaml '/network_mode/d' "compose.hosts.yaml: tfod: has the network"
break_file "hosts: TF_CONFIG not passed on" docker/compose.hosts.yaml '/- TF_CONFIG/d' "does not pass on TF_CONFIG"
break_file "limits: for everybody" $compose 's/^  shm_size.*/&\n  ulimits: {memlock: -1}/' "tfod: has ulimits"
break_file "limits: none in compose.memlock.yaml" docker/compose.memlock.yaml 's/memlock: -1/memlock: 65536/' "memlock is 65536"
break_file "SELinux: no label" $compose '/selinux: z/d' "can't write to workspace/ under SELinux"
break_file "port: on every address" $compose 's/127.0.0.1:\(\$\)/\1/' "tensorboard: port 6006 is published on every address"
break_file "user: root" $dockerfile 's/^USER .*/USER root/' "DL3002"
break_file "user: none" $dockerfile '/^USER/d' "the last user is root"
break_file "build argument: not declared" $dockerfile '/^ARG TFOD_GID/d' "passes TFOD_GID, which the Dockerfile does not declare"
break_file "build argument: not passed" $compose '/- TFOD_UID/d' "does not pass TFOD_UID"
break_file "build argument: fixed" $compose 's/- BASE_IMAGE/- BASE_IMAGE=debian/' "arrives as debian"
break_file "security: capabilities" $compose 's/cap_drop/cap_add/' "keeps capabilities"
break_file "workers: the same place twice" $compose 's/"index": 1/"index": 0/' "worker-1: TF_CONFIG"
