"""The workers that train a model together, as the environment variable TF_CONFIG names them."""

import contextlib
import json
import os
import re
import socket
import time

from tfod.utils.console import InputError, say

POLL_SECONDS, TELL_SECONDS = 0.5, 30


def check_tf_config(num_workers: int) -> list[str]:
    """What of TF_CONFIG keeps so many workers from training together, as texts."""
    if num_workers == 1:
        return []
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        others = dict(config["cluster"])
        workers, task = list(others.pop("worker")), dict(config.get("task") or {})
    except (KeyError, TypeError, ValueError):
        return ["TF_CONFIG: is not set, or names no workers; docs/gpu.md shows one for each machine"]
    faults = []
    if len(workers) != num_workers:
        faults.append(f"TF_CONFIG: names {len(workers)} workers, and --num_workers is {num_workers}; name all")
    if others:
        faults.append(f"TF_CONFIG: its cluster has {', '.join(others)}, too; name workers only, the first is the chief")
    if len(set(map(str, workers))) < len(workers):
        faults.append("TF_CONFIG: names a worker twice; each has an address of its own")
    what = "is not an address; give the host and a port, as 192.168.1.10:2222"
    faults += [f"TF_CONFIG: {one} {what}" for one in workers if not re.fullmatch(r".+:\d+", str(one))]
    if task.get("type") != "worker" or str(task.get("index")) not in map(str, range(len(workers))):
        faults.append(
            f"TF_CONFIG: its task is {json.dumps(task)}; make it"
            f' {{"type": "worker", "index": 0}} for the first worker, up to {len(workers) - 1} for the last'
        )
    return faults


def is_chief(num_workers: int) -> bool:
    """Whether this process writes the model: it is alone, or the first worker of TF_CONFIG, which has no faults."""
    return num_workers == 1 or int(json.loads(os.environ["TF_CONFIG"])["task"]["index"]) == 0


def wait_for_others():
    """Returns when all workers of TF_CONFIG, which has no faults, are there.

    TensorFlow would wait for them, too, but in silence, and Ctrl-C would not end it. A worker that waits is known by
    its port, on which it listens, and afterwards TensorFlow does. Raises InputError where that port is taken.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    missing = config["cluster"]["worker"]
    mine = missing.pop(int(config["task"]["index"]))
    both = {"family": socket.AF_INET6, "dualstack_ipv6": True} if socket.has_dualstack_ipv6() else {}
    try:
        server = socket.create_server(("", split_address(mine)[1]), **both)
    except OSError as error:
        what = f"this machine can't listen there ({os.strerror(error.errno)}); end what uses the port, or name another"
        raise InputError(f"TF_CONFIG: {mine}: {what}") from None
    with server:
        tell_at = time.monotonic() + 2
        while missing := [worker for worker in missing if not is_there(worker)]:
            if time.monotonic() > tell_at:
                say(f"worker {mine} waits for {', '.join(missing)}; start it, too; Ctrl-C ends the waiting")
                tell_at += TELL_SECONDS
            time.sleep(POLL_SECONDS)


def split_address(worker: str) -> tuple[str, int]:
    """(host, port) of `host:port`; an IPv6 address stands in brackets."""
    host, _, port = worker.rpartition(":")
    return host.strip("[]"), int(port)


def is_there(worker: str) -> bool:
    """Whether somebody listens at `host:port`."""
    with contextlib.suppress(OSError):  # not yet, or its host has no name yet
        socket.create_connection(split_address(worker), timeout=2).close()
        return True
    return False
