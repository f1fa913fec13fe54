"""A real https server on this machine for the tests of downloads, with the faults that servers and networks have."""

import contextlib
import hashlib
import os
import re
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")


class Site:
    """What the server has and does. `log` has the (path, Range, If-Range) of each request."""

    def __init__(self, port):
        self.address = f"https://localhost:{port}"
        self.files = {}  # path -> bytes
        self.moved = {}  # path -> the address that it redirects to
        self.statuses = []  # the next requests are answered with these instead
        self.breaks = []  # the next answers break off after this many bytes
        self.stalls = []  # the next answers say nothing more, for `silence` seconds, after this many bytes
        self.silence = 1
        self.pace = None  # how many bytes at most in 10 ms
        self.garbage = []  # the next requests are answered with these bytes, which are no HTTP
        self.headers = {}  # what to say instead of the right headers
        self.delay = 0  # seconds before each answer
        self.ranges = True  # whether Range is understood
        self.version = "etag"  # what tells two versions of a file apart: "etag", "weak etag", "date" or None
        self.length = True  # whether Content-Length is said
        self.log = []

    def get_version_headers(self, content):
        digest = hashlib.sha256(content).hexdigest()[:12]
        if self.version == "date":
            return {"Last-Modified": f"Fri, 10 Jul 2020 10:00:{int(digest, 16) % 60:02} GMT"}
        if self.version is None:
            return {}
        return {"ETag": f'"{digest}"' if self.version == "etag" else f'W/"{digest}"'}


@contextlib.contextmanager
def serve_https(with_tls=True):
    """Yields a `Site` that answers on localhost, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            site.log.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
            content = site.files.get(self.path)
            time.sleep(site.delay)
            if site.garbage:
                self.wfile.write(site.garbage.pop(0))
                self.close_connection = True
            elif site.statuses:
                self.send_error(site.statuses.pop(0))
            elif self.path in site.moved:
                self.send_response(302)
                self.send_header("Location", site.moved[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif content is None:
                self.send_error(404)
            else:
                self.send_content(content)

        def send_content(self, content):
            version = site.get_version_headers(content)
            span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if site.ranges else None
            if span and self.headers.get("If-Range") not in (None, *version.values()):
                span = None
            start = int(span[1]) if span else 0
            if span and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if span else 200)
            headers = dict(version)
            if span:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if site.length:
                headers["Content-Length"] = str(len(content) - start)
            for name, value in (headers | site.headers).items():
                self.send_header(name, value)
            self.end_headers()
            end = start + site.breaks.pop(0) if site.breaks else len(content)
            if site.stalls:
                stall = start + site.stalls.pop(0)
                self.wfile.write(content[start:stall])
                time.sleep(site.silence)
                start = stall
            for position in range(start, end, site.pace or len(content) or 1):
                self.wfile.write(content[position : min(end, position + (site.pace or end))])
                time.sleep(0.01 if site.pace else 0)
            self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            if not isinstance(sys.exception(), OSError):  # that is a client which went away, as some tests have it
                super().handle_error(request, client_address)

    server = Server(("localhost", 0), Handler)
    if with_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site = Site(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_environment():
    """This process's environment, where requests trusts the server and no proxy comes between."""
    without_proxies = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return without_proxies | {"REQUESTS_CA_BUNDLE": str(CERTIFICATE)}
