#!/usr/bin/env python3
"""Serves the page that export_web.py made to this machine, and says how a phone gets there. Ctrl-C ends it.

    cd workspace/training_demo
    python ../../scripts/serve_web.py --folder exported_models/my_model/web --port 8000

It listens on 127.0.0.1, so that nobody else on the network sees the page.
"""

import errno
import functools
import http.server
from pathlib import Path

from tfod.utils.console import InputError, make_parser, run, say

HOST = "127.0.0.1"
# WebAssembly and modules need these types; the system's own table may lack or change them
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    "": "application/octet-stream",
}
WAYS = """A browser gives the camera only to pages from https or localhost. A phone gets there in one of these ways:
  an Android phone on USB:  adb reverse tcp:{port} tcp:{port}   then open http://localhost:{port}/ on the phone
    (without adb: chrome://inspect/#devices in this computer's Chrome, "Port forwarding", {port} to localhost:{port})
  any phone:                copy the folder to any static web host with https
  another computer:         ssh -L {port}:127.0.0.1:{port} THIS_COMPUTER   then open http://localhost:{port}/ there"""


class Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = TYPES

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")  # otherwise the browser might go on showing the page of before
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_):  # a line for each request, which says nothing here
        pass


def parse_arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="what export_web.py wrote")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    arguments = parser.parse_args()
    if not 1 <= arguments.port <= 65535:
        parser.error(f"--port is {arguments.port}; give 1 to 65535")
    return arguments


def open_server(folder, port):
    """A server of the folder's files on HOST. Raises InputError where the port can't be had."""
    handler = functools.partial(Handler, directory=str(folder))
    try:
        return http.server.ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port}: is used by another program; take another, as WEB_PORT={port + 1}") from None
        if error.errno == errno.EACCES:
            raise InputError(f"port {port}: is for the system alone; take one from 1024 on, as WEB_PORT=8000") from None
        raise


def main():
    arguments = parse_arguments()
    if not (arguments.folder / "index.html").is_file():
        raise InputError(f"{arguments.folder}: holds no page; `make web` makes it")
    with open_server(arguments.folder, arguments.port) as server:
        say(WAYS.format(port=arguments.port))
        say("Ctrl-C ends it")
        print(f"{arguments.folder} is at http://{HOST}:{arguments.port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")


if __name__ == "__main__":
    run(main)
