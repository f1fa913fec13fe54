"""serve_web.py as a person starts and ends it."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from conftest import ROOT, STARTED, find_free_port


@pytest.fixture
def folder(tmp_path):
    """A folder with a page, a WebAssembly file, and a secret beside it."""
    (tmp_path / "secret").touch()
    (tmp_path / "web").mkdir()
    for name in ("index.html", "a.wasm", "b.js"):
        (tmp_path / "web" / name).write_text(name)
    return tmp_path / "web"


def test_it_serves_this_machine_alone_says_how_a_phone_gets_there_and_ends_on_ctrl_c(folder):
    port = find_free_port()
    command = [sys.executable, ROOT / "scripts/serve_web.py", "--folder", folder, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    STARTED.append(process)
    assert process.stdout.readline() == f"{folder} is at http://127.0.0.1:{port}/\n"
    for name, kind in (("", "text/html; charset=utf-8"), ("a.wasm", "application/wasm"), ("b.js", "text/javascript")):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith(kind)
            assert answer.read().decode() == (name or "index.html")
    for name in ("nothing", "../secret", "%2e%2e/secret"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10)
    with pytest.raises(ConnectionRefusedError):  # 127.0.0.2 is this machine as well
        socket.create_connection(("127.0.0.2", port), timeout=10)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"adb reverse tcp:{port} tcp:{port}" in said
    assert said.endswith("ended\n")


def test_a_taken_port_and_a_missing_page_are_named(folder, tmp_path, call):
    with socket.create_server(("127.0.0.1", find_free_port())) as taken:
        port = taken.getsockname()[1]
        done = call("serve_web.py", "--folder", folder, "--port", port)
    assert done.returncode == 1
    assert done.stderr == f"error: port {port}: is used by another program; take another, as WEB_PORT={port + 1}\n"
    done = call("serve_web.py", "--folder", tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}: holds no page; `make web` makes it\n")
    done = call("serve_web.py", "--folder", tmp_path, "--port", "0")
    assert done.returncode == 2
    assert "--port is 0; give 1 to 65535" in done.stderr
