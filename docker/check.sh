#!/usr/bin/env bash
# Checks the container files as far as possible on a machine without Docker (make docker-check):
#     docker/check.sh            everything: also builds the image with buildah and runs the six verbs in it; needs root
#     docker/check.sh --static   only what needs no image: hadolint, and assertions on Compose's reading of the files
# Ubuntu's image is replaced by a bare Debian or Ubuntu of this machine's release. The image is built with CPU=1. Of
# CUDA's 2.8 GB, only the packages that something depends on are added afterwards: the compiler, and the link between two
# libraries. Not checked: the real base image, a GPU, and Docker's own runtime (health check, init, the workers' network).
# Everything is made in a temporary folder, which is removed at the end. CHECK_TOOLS=FOLDER names an environment that
# already has docker/requirements-check.txt installed.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
fail() { echo "error: $*" >&2; exit 1; }
step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

temp=$(mktemp -d /var/tmp/tfod-check.XXXXXX)
child=
# runs a long command in the background, in its own process group, so that this shell can react to a signal at once
attend() {
    set -m
    "$@" &
    set +m
    child=$!
    wait "$child"
    child=
}
clean() {
    local code=$? path
    trap - EXIT
    if [ -n "$child" ]; then
        kill -KILL -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    # an interrupted run leaves file systems mounted
    awk -v temp="$temp/" 'index($2, temp) == 1 {print $2}' /proc/mounts | sort -r |
        while read -r path; do umount "$path" || umount --lazy "$path"; done
    rm -rf "$temp" || code=1
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ------------------------------------------------------------ the files
tools=${CHECK_TOOLS:-$temp/tools}
if [ -z "${CHECK_TOOLS:-}" ]; then
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        -r docker/requirements-check.txt
fi
# prints Compose's reading of the files, without the caller's environment; $1 is a list of variables to set instead
compose_config() {
    # shellcheck disable=SC2086 # a list
    env -i PATH="$PATH" HOME="$temp" $1 "$tools/bin/docker-compose" --profile '*' config --format json
}
compose_config "" >"$temp/gpu.json"
for name in cpu memlock; do
    compose_config "COMPOSE_FILE=docker/compose.yaml:docker/compose.$name.yaml" >"$temp/$name.json"
done
compose_config "COMPOSE_FILE=docker/compose.yaml:docker/compose.hosts.yaml TF_CONFIG={} NCCL_SOCKET_IFNAME=eth0" >"$temp/hosts.json"
compose_config "BASE_IMAGE=other:1 CPU=1 TFOD_UID=4321 TFOD_GID=1234" >"$temp/other.json"
faults=0
"$tools/bin/hadolint" --no-color --config .hadolint.yaml docker/Dockerfile || faults=1
python3 docker/check_files.py docker/Dockerfile "$temp"/{gpu,cpu,hosts,memlock,other}.json || faults=1
[ $faults = 0 ] || fail "docker/: see the faults above"
step "hadolint and Compose's reading of the files: ok"
[ "${1:-}" != --static ] || exit 0
CHECK_TOOLS=$tools docker/check_breaks.sh
step "each deliberate fault is noticed: ok"

# ------------------------------------------------------------ a base
[ "$(id -u)" = 0 ] || fail "this user: is not allowed to build images; run it as root, or only docker/check.sh --static"
for tool in buildah mmdebstrap; do
    command -v "$tool" >/dev/null || fail "$tool: is not installed; apt-get install --no-install-recommends buildah mmdebstrap"
done
export TMPDIR=$temp/tmp BUILDAH_ISOLATION=chroot
mkdir "$TMPDIR" "$temp/home"
buildah() { command buildah --root "$temp/storage" --runroot "$temp/runroot" --storage-driver overlay "$@"; }

codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt-get fills these in
apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v name="$codename" '$3 == name || index($3, name "-") == 1' | sort -u >"$temp/sources.list"
[ -s "$temp/sources.list" ] || fail "apt: has no source for $codename; run apt-get update"
# Ubuntu's images come with a user 1000, which the Dockerfile has to handle
base_name=$(sed -n 's/^ARG BASE_IMAGE=//p' docker/Dockerfile)
base=$(buildah from --quiet scratch)
attend mmdebstrap --quiet --variant=minbase --include=ca-certificates --dpkgopt=force-unsafe-io --format=directory \
    --customize-hook='chroot "$1" useradd --create-home --uid 1000 ubuntu' \
    "$codename" "$(buildah mount "$base")" "$temp/sources.list"
buildah umount "$base" >/dev/null
# what this machine needs to reach its package index: certificates and pip's settings
for path in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip ~/.config/pip ~/.pip; do
    [ ! -e "$path" ] || buildah copy --quiet "$base" "$path" "$path" >/dev/null
done
while read -r setting; do buildah config --env "$setting" "$base"; done \
    < <(env | grep -E '^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE=|CURL_CA_BUNDLE=|https?_proxy=|no_proxy=)' || true)
buildah config --env PIP_NO_CACHE_DIR=1 "$base" # nothing is installed twice here
buildah commit --quiet --rm "$base" "$base_name" >/dev/null
step "a stand-in for $base_name: ok"

# ------------------------------------------------------------ the image
uid=54321 gid=54322 # unused here, and neither root's nor the default: they can only come from the build arguments
# The environment stays out of the image: writing 3 GB into a layer takes as long as installing them.
mkdir "$temp/venv"
attend buildah bud --volume "$temp/venv:/opt/venv" --quiet --pull-never --format docker -f docker/Dockerfile -t tfod:check \
    --build-arg CPU=1 --build-arg TFOD_UID=$uid --build-arg TFOD_GID=$gid . >"$temp/build.log" 2>&1 ||
    { tail -n 40 "$temp/build.log" >&2; fail "docker/Dockerfile: does not build"; }
step "the image, with make doctor in it: ok"
read_config() { buildah inspect --type image --format "{{$1}}" tfod:check; }
[ "$(read_config .Docker.Config.User)" = "$uid:$gid" ] || fail "the image's user is $(read_config .Docker.Config.User)"
[ "$(read_config .Docker.Config.Entrypoint)" = "[make]" ] || fail "the image's entrypoint is not make"
ready=$(buildah from --quiet --pull-never tfod:check)
root=$(buildah mount "$ready")
for compiler in cc gcc g++ clang nvcc; do
    found=$(find "$root/usr/bin" "$root/usr/local" "$temp/venv/bin" -name "$compiler*" -print -quit)
    [ -z "$found" ] || fail "the image contains a compiler: ${found#"$root"}"
done
[ -z "$(find "$temp/venv" "$root/tfod" -xdev -user $uid ! -path "$root/tfod/workspace" -print -quit)" ] ||
    fail "the image's user can change the environment or the scripts"

# ------------------------------------------------------------ the six verbs in it, as docker compose run would
install -d -o $uid -g $gid "$temp/workspace/check"
touch "$temp/before"
# runs make, the image's entrypoint, or another command, as the image's user and without capabilities; env finds the
# programs of the mounted environment, too
run() {
    attend buildah run --cap-drop ALL --volume "$temp/workspace:/tfod/workspace" --volume "$temp/venv:/opt/venv:ro" \
        "$ready" -- "$@"
}
run make install # does nothing if the environment is complete
run env python scripts/preprocessing/make_sample_dataset.py -o workspace/check/images --number 10 --size 160
run make split tfrecord train eval export infer WORKSPACE=workspace/check PRETRAINED= STEPS=3 BATCH=2 RATIO=0.3 SCORE=0 \
    BASE_CONFIG=scripts/configs/demo.config
step "the six verbs in the image: ok"
for path in annotations/train.record models/my_model/ckpt-3.index models/my_model/metrics.json \
    exported_models/my_model/saved_model/saved_model.pb inference_result; do
    [ -e "$temp/workspace/check/$path" ] || fail "workspace/check/$path: was not written"
done
foreign=$(find "$temp/workspace/check" ! \( -user $uid -group $gid \) -print -quit)
[ -z "$foreign" ] || fail "$foreign: does not belong to the user who called"
# compose.yaml makes everything but these read-only, so nothing else may have been written
written=$(find "$root" "$temp/venv" -xdev -newer "$temp/before" -type f ! -path "$root/tmp/*" ! -path "$root/tfod/workspace/*" \
    ! -path "$root/etc/hosts" ! -path "$root/etc/resolv.conf" ! -path "$root/run/*" -print -quit)
[ -z "$written" ] || fail "${written#"$root"}: was written, but compose.yaml makes the file system read-only"
step "the files belong to the user who called, and nothing was written elsewhere: ok"

# ------------------------------------------------------------ CUDA's libraries, as a build without CPU=1 adds them
for name in nvcc cusolver cusparse; do sed -n "/^nvidia-.*$name-cu12==/,/[^\\\\]\$/p" requirements-cuda.txt; done >"$temp/requirements-cuda.txt"
[ "$(grep -c == "$temp/requirements-cuda.txt")" = 3 ] || fail "requirements-cuda.txt: lacks nvcc, cusolver or cusparse"
buildah copy --quiet "$ready" "$temp/requirements-cuda.txt" /tfod/requirements-cuda.txt >/dev/null
attend buildah run --user root --volume "$temp/venv:/opt/venv" "$ready" -- scripts/install.sh python3 /opt/venv 1
nvidia=$(echo "$temp"/venv/lib/python3*/site-packages/nvidia)
[ -s "$nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc" ] || fail "nvidia-cuda-nvcc-cu12: has no libdevice.10.bc"
[ -s "$nvidia/cusparse/lib/libcusolver.so.11" ] || fail "nvidia/cusparse/lib/libcusolver.so.11: is a dead link"
run env python -c 'import subprocess; from tfod.utils import nvidia; subprocess.run([nvidia.find_compiler()[0], "--version"], check=True)'
step "ptxas, libdevice and the link to libcusolver are where TensorFlow looks for them: ok"
echo "not checked, because it needs Docker and an NVIDIA card: the real base image, GPUs, the health check, the workers' network"
