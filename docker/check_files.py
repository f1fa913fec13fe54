"""Checks Compose's reading of the files, and the Dockerfile. Called by check.sh --static; standard library only.

python3 docker/check_files.py docker/Dockerfile GPU.json CPU.json HOSTS.json MEMLOCK.json OTHER.json

GPU.json is what `docker-compose --profile '*' config --format json` prints for compose.yaml; CPU.json, HOSTS.json and
MEMLOCK.json are the same with compose.cpu.yaml and so on, and OTHER.json with the environment of OTHER below.
"""

import json
import re
import sys
from pathlib import Path

GPU_SERVICES = {"tfod", "worker-0", "worker-1"}  # those that train and infer
OTHER = {"BASE_IMAGE": "other:1", "CPU": "1", "TFOD_UID": "4321", "TFOD_GID": "1234"}
# ulimits: rootless Docker can't raise them, and refuses to start the container
FORBIDDEN = ("privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "userns_mode", "user", "ulimits")
DRIVER = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}


def find_gpus(service):
    """The device reservations of a service, as Compose writes them; `gpus:` counts too."""
    deploy = service.get("deploy") or {}
    reserved = deploy.get("resources", {}).get("reservations", {}).get("devices", [])
    return reserved + (service.get("gpus") or [])


def check_gpus(services, wanted):
    for name, service in services.items():
        gpus = find_gpus(service)
        if name in wanted and [(gpu.get("driver"), gpu.get("capabilities")) for gpu in gpus] != [("nvidia", ["gpu"])]:
            yield f"{name}: reserves no NVIDIA GPU, or more than once: {gpus}"
        if name not in wanted and gpus:
            yield f"{name}: reserves GPUs and needs none: {gpus}"
    for name in wanted - services.keys():
        yield f"{name}: is not there"


def check_security(services, allowed=()):
    for name, service in services.items():
        if service.get("read_only") is not True or "/tmp" not in service.get("tmpfs", []):
            yield f"{name}: the root file system is not read-only with a tmpfs on /tmp"
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name}: keeps capabilities"
        if "no-new-privileges:true" not in service.get("security_opt", []):
            yield f"{name}: lacks no-new-privileges"
        if service.get("pull_policy") != "never":
            yield f"{name}: may pull somebody else's image"
        for key in set(FORBIDDEN) - set(allowed):
            if service.get(key):
                yield f"{name}: has {key}: {service[key]}"
        if service.get("entrypoint"):
            yield f"{name}: has an entrypoint other than make: {service['entrypoint']}"
        mounts = [(mount["type"], mount["target"]) for mount in service.get("volumes", [])]
        if mounts != [("bind", "/tfod/workspace")]:
            yield f"{name}: mounts something other than workspace/: {mounts}"
        if any(mount.get("bind", {}).get("selinux") != "z" for mount in service.get("volumes", [])):
            yield f"{name}: can't write to workspace/ under SELinux"
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                yield f"{name}: port {port.get('published')} is published on {port.get('host_ip') or 'every address'}"
    if not services.get("tensorboard", {}).get("ports") or not services["tensorboard"].get("healthcheck"):
        yield "tensorboard: has no port or no health check"


def check_hosts(services):
    """With compose.hosts.yaml, tfod alone has the host's network, and gets what the shell says of the others."""
    for name, service in services.items():
        if (service.get("network_mode") == "host") != (name == "tfod"):
            yield f"{name}: has the network {service.get('network_mode')}"
    lacks = {"TF_CONFIG", "NCCL_SOCKET_IFNAME"} - (services["tfod"].get("environment") or {}).keys()
    if lacks:
        yield f"tfod: does not pass on {', '.join(sorted(lacks))}"


def check_limits(services):
    """With compose.memlock.yaml, those on GPUs may pin as much memory as they like."""
    for name in GPU_SERVICES:
        limit = (services[name].get("ulimits") or {}).get("memlock")
        if limit not in (-1, {"soft": -1, "hard": -1}):
            yield f"{name}: memlock is {limit}, not unlimited"


def check_workers(services):
    """TF_CONFIG of each worker names all workers' services, and its own place among them."""
    workers = sorted(name for name in services if name.startswith("worker-"))
    for index, name in enumerate(workers):
        service = services[name]
        if service.get("profiles") != ["workers"]:
            yield f"{name}: starts without the profile workers"
        config = json.loads(service["environment"]["TF_CONFIG"])
        wanted = {
            "cluster": {"worker": [f"{worker}:2222" for worker in workers]},
            "task": {"type": "worker", "index": index},
        }
        if config != wanted:
            yield f"{name}: TF_CONFIG is {config}, not {wanted}"
        if f"WORKERS={len(workers)}" not in service["command"]:
            yield f"{name}: trains with another number of workers than {len(workers)}: {service['command']}"


def check_build(dockerfile, services, other_services):
    """Every build argument is declared in the Dockerfile and used there, and gets through from the environment."""
    declared = set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    given = other_services["tfod"]["build"]["args"]
    for name in given.keys() - declared:
        yield f"compose.yaml: passes {name}, which the Dockerfile does not declare"
    for name in declared - given.keys():
        yield f"compose.yaml: does not pass {name}, which the Dockerfile declares"
    for name in declared:
        if not re.search(r"\$\{?" + name, dockerfile):
            yield f"Dockerfile: ARG {name} is not used"
    for name, value in OTHER.items():
        if given.get(name) != value:
            yield f"compose.yaml: {name}={value} of the environment arrives as {given.get(name)}"
    for name in ("BASE_IMAGE", "CPU"):
        if services["tfod"]["build"]["args"].get(name):
            yield f"compose.yaml: has a {name} of its own; the Dockerfile's is the one"
    builds = [name for name, service in services.items() if "build" in service]
    images = {service["image"] for service in services.values()}
    if builds != ["tfod"] or len(images) != 1:
        yield f"compose.yaml: builds {builds} and runs {images}, not one image, built once"


def check_dockerfile(dockerfile):
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    users = re.findall(r"^USER (.+)", stages[-1], re.MULTILINE)
    if users[-1:] != ["${TFOD_UID}:${TFOD_GID}"]:
        yield f"Dockerfile: the last user is {(users or ['root'])[-1]}, not the one of the build arguments"
    for name, value in DRIVER.items():
        if not re.search(rf"\b{name}={value}\s", stages[-1]):
            yield f"Dockerfile: {name} is not {value}, so NVIDIA's toolkit does not bring the driver in"
    if re.search(r"^# *syntax *=", dockerfile, re.MULTILINE | re.IGNORECASE):
        yield "Dockerfile: a syntax line asks a registry for another builder"
    if re.search(r"<<-?['\"]?[A-Z]|--link\b|--mount=type=secret", dockerfile):
        yield "Dockerfile: here-documents, --link and secrets are not for every builder"
    if not re.search(r'^RUN \["make", "doctor"\]\nENTRYPOINT \["make"\]', stages[-1], re.MULTILINE):
        yield "Dockerfile: the last thing that the build does is not make doctor, or make is not the entrypoint"


def main():
    dockerfile = Path(sys.argv[1]).read_text(encoding="utf-8")
    gpu, cpu, hosts, memlock, other = (
        json.loads(Path(name).read_text(encoding="utf-8"))["services"] for name in sys.argv[2:]
    )
    faults = [
        *check_dockerfile(dockerfile),
        *check_gpus(gpu, GPU_SERVICES),
        *(f"compose.cpu.yaml: {fault}" for fault in check_gpus(cpu, set())),
        *check_security(gpu),
        *(f"compose.cpu.yaml: {fault}" for fault in check_security(cpu)),
        *(f"compose.hosts.yaml: {fault}" for fault in check_security(hosts, ["network_mode"])),
        *(f"compose.hosts.yaml: {fault}" for fault in check_gpus(hosts, GPU_SERVICES)),
        *(f"compose.hosts.yaml: {fault}" for fault in check_hosts(hosts)),
        *(f"compose.memlock.yaml: {fault}" for fault in check_security(memlock, ["ulimits"])),
        *(f"compose.memlock.yaml: {fault}" for fault in check_limits(memlock)),
        *check_workers(gpu),
        *check_build(dockerfile, gpu, other),
        *([] if cpu["tfod"]["build"]["args"].get("CPU") == "1" else ["compose.cpu.yaml: builds with CUDA"]),
    ]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print(f"compose: {len(gpu)} services, GPUs on {', '.join(sorted(GPU_SERVICES))}  ok")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
