"""An ssh server on 127.0.0.1, for one test, that runs what is asked with a PATH and settings of the test's own."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import STARTED, find_free_port


def start_server(folder, path=None, environment=(), proxy=None, file_limit=None):
    """Starts sshd with keys of its own in `folder`, and returns a file for ssh -F that knows it as the host `board`.

    path: the PATH there; None: one with this Python as python3. environment: more, as "NAME=value". proxy: a command
    that ssh talks to instead. file_limit: bytes that a file there may have, as on a disk that is full.
    """
    sshd = shutil.which("sshd", path=f"/usr/sbin:{os.environ['PATH']}")
    if not sshd or not shutil.which("ssh"):
        pytest.skip("ssh or sshd is not installed: apt-get install openssh-client openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in as root
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = find_free_port()
    if path is None:
        path = folder / "bin"
        path.mkdir()
        (path / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (path / "python3").chmod(0o755)
        path = f"{path}:/usr/bin:/bin"
    # this user's shell may set a PATH of its own at its start
    settings = " ".join([f"PATH='{path}'", *environment])
    (folder / "shell").write_text(f'#!/bin/sh\nexport {settings}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    (folder / "shell").chmod(0o755)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PasswordAuthentication no\nStrictModes no\nPidFile none\nForceCommand {folder}/shell\n"
    )
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    jump = f"    ProxyCommand {proxy.format(port=port)}\n" if proxy else ""
    (folder / "ssh_config").write_text(
        f"Host board\n    HostName 127.0.0.1\n    Port {port}\n    IdentityFile {folder}/user\n    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {folder}/known\n    BatchMode yes\n{jump}"
    )

    def limit():
        if file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    log = (folder / "log").open("w")
    STARTED.append(subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=log, preexec_fn=limit))
    wait_for(port, folder / "log")
    return folder / "ssh_config"


def wait_for(port, log):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
