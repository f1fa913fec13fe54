#!/usr/bin/env python3
"""Starts TensorBoard on the event files of all models, and prints its address as soon as its page is ready.

    cd workspace/training_demo
    python ../../scripts/start_tensorboard.py --logdir models --port 6006

It shows what trainings and evaluations write while they run. Ctrl-C ends it; the files stay.
"""

import contextlib
import errno
import io
import itertools
import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path

from tfod.utils.console import InputError, make_parser, run, say

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # all of a machine's addresses: one to open on the machine itself
PATIENCE = 60  # seconds for the page, and again for the curves


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--logdir", type=Path, default=Path("models"), help="folder with the event files, at any depth")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is all of this machine's")
    parser.add_argument("--port", type=int, default=6006, help="port to listen on")
    arguments = parser.parse_args()
    if not 1 <= arguments.port <= 65535:
        parser.error(f"--port is {arguments.port}; give 1 to 65535")
    return arguments


def find_event_files(logdir):
    """The files that TensorBoard reads, sorted."""
    return sorted(path for path in logdir.rglob("*tfevents*") if path.is_file())


def format_address(host, port):
    """The address to open in a browser on this machine."""
    host = EVERYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def can_listen(host, port):
    """False if the port is taken. Raises InputError where the address or port can't be used at all."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(place[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        if error.errno == errno.EACCES:
            raise InputError(f"port {port}: is reserved for the system; take one from 1024 on, as PORT=6006") from None
        raise InputError(f"{host}: is not an address of this machine ({error.strerror}); 127.0.0.1 always is") from None
    return True


def ask(address, page):
    """The bytes of a page of TensorBoard, or None where nothing answers."""
    try:
        with urllib.request.urlopen(address + page, timeout=3) as answer:
            return answer.read()
    except (OSError, ValueError):  # ValueError: it is not a web server
        return None


def is_showing(address, logdir):
    """True if a TensorBoard there already shows this folder."""
    try:
        return json.loads(ask(address, "data/environment"))["data_location"] == str(logdir)
    except (TypeError, ValueError, KeyError):
        return False


def check_port(host, port, logdir):
    """True if TensorBoard already shows `logdir` there. Raises InputError with a free port where the port is used."""
    if can_listen(host, port):
        return False
    if is_showing(format_address(host, port), logdir):
        return True
    others = itertools.chain(range(port + 1, 65536), range(1024, port))
    free = next((other for other in others if can_listen(host, other)), None)
    what = "is used by another program, or by a TensorBoard that shows another folder"
    raise InputError(f"port {port}: {what}; end that one, or take a free one: make tensorboard PORT={free}")


def start(logdir, host, port):
    """Starts TensorBoard in a thread of this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # nothing is computed here: no messages about GPUs
    from tensorboard import default, program

    board = program.TensorBoard(plugins=default.get_plugins())
    board.configure(argv=[None, "--logdir", str(logdir), "--host", host, "--port", str(port)])
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a note on how it reads files
            board.launch()
    except program.TensorBoardServerException as error:
        raise InputError(f"port {port}: TensorBoard can't listen there ({error.msg}); try another PORT") from None


def wait_for(address, page, is_there):
    """True as soon as a page's bytes satisfy `is_there`, False if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not is_there(ask(address, page) or b""):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def main():
    arguments = parse_arguments()
    logdir = arguments.logdir.absolute()
    if not logdir.is_dir():
        raise InputError(f"{arguments.logdir}: is not a folder; `make train` makes it, or name another with --logdir")
    address = format_address(arguments.host, arguments.port)
    if check_port(arguments.host, arguments.port, logdir):
        print(f"TensorBoard already shows {arguments.logdir}: {address}")
        return
    found = find_event_files(logdir)
    if not found:
        say(f"{arguments.logdir}: holds no event files yet, so the page is empty; `make train` adds curves")
    start(logdir, arguments.host, arguments.port)
    if not wait_for(address, "", lambda page: b"<title>TensorBoard" in page):
        raise InputError(f"{address}: TensorBoard does not answer after {PATIENCE} s; try another PORT")
    if found:  # the page would say that there is no data until it has read some
        wait_for(address, "data/runs", lambda page: page.strip() not in (b"", b"[]"))
    runs = len({path.parent for path in found})
    try:
        say("TensorBoard is ready; Ctrl-C ends it")
        print(f"TensorBoard shows {runs} run{'s' * (runs != 1)} of {arguments.logdir}: {address}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        say("TensorBoard ended")


if __name__ == "__main__":
    run(main)
