"""A page in headless Chromium, as a person sees and uses it, over Chromium's own debugging pipe.

with open_page((folder / "index.html").as_uri(), tmp_path, width=390) as page:
    page.press("Tab")
    page.wait_for("document.querySelector('dialog[open]')")
    page.screenshot(tmp_path / "page.png")
    assert page.messages == []
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

# --no-sandbox: tests may run as root, whom Chromium's sandbox does not take. What is opened is our own.
OPTIONS = [
    *("--remote-debugging-pipe", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--hide-scrollbars", "--mute-audio", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
KEYS = {  # name: (code for Windows, what it types)
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    " ": (32, " "),
    "ArrowLeft": (37, ""),
    "ArrowRight": (39, ""),
}
START = 60  # seconds; a busy machine takes its time


class Page:
    """What is on one page. Of it and its workers: `messages`, their errors and warnings, as texts; `requests`, the
    addresses that they asked for."""

    def __init__(self, send, receive):
        self._send, self._receive, self._number, self._loaded, self._session = send, receive, 0, False, None
        self.messages, self.requests = [], []

    def call(self, method, timeout=START, **parameters):
        """Calls a method of the DevTools protocol and returns its result, a dict; notes the events before it."""
        number = self._start(method, self._session, **parameters)
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline - time.monotonic(), method)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _start(self, method, session, **parameters):
        """Sends a call and returns its number, by which the answer is known."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._send(message | ({"sessionId": session} if session else {}))
        return self._number

    def _note(self, event, facts):
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Target.attachedToTarget" and facts["waitingForDebugger"]:  # a worker, which starts when it may
            for method in ("Runtime.enable", "Network.enable", "Log.enable", "Runtime.runIfWaitingForDebugger"):
                self._start(method, facts["sessionId"])
        elif event == "Network.requestWillBeSent":
            url = facts["request"]["url"]
            self.requests += [url] if not url.startswith("data:") else []
        elif event == "Runtime.exceptionThrown":
            details = facts["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description") or details["text"])
        elif event == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.messages.append(" ".join(str(one.get("value", one.get("description"))) for one in facts["args"]))
        elif event == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.messages.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}".strip())

    def open(self, url, timeout=START):
        """Goes to an address and waits until all that the page names is loaded."""
        self._loaded = False
        failed = self.call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        deadline = time.monotonic() + timeout
        while not self._loaded:
            event = self._receive(deadline - time.monotonic(), url)
            self._note(event.get("method"), event.get("params", {}))

    def evaluate(self, script):
        """The value of a JavaScript expression (of what it promises, if that), which json can hold."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, f"{script}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait_for(self, script, timeout=30):
        """Waits until a JavaScript expression is true, and returns its value."""
        deadline = time.monotonic() + timeout
        while not (value := self.evaluate(f"(found => found instanceof Node || found)({script})")):
            assert time.monotonic() < deadline, f"{script}: not true within {timeout} s; messages: {self.messages}"
            time.sleep(0.05)
        return value

    def press(self, key):
        """Presses a key: one of KEYS, or a letter."""
        code, text = KEYS.get(key) or (ord(key.upper()), key)
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def click(self, selector):
        """Clicks with the mouse on the middle of the first element that a CSS selector names."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.evaluate(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                            f"({find}.getBoundingClientRect())")  # fmt: skip
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def resize(self, width, height, scale=1, mobile=False):
        """Makes the page `width` x `height` CSS pixels large, of `scale` pixels each."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def set_media(self, **features):
        """Sets media features: prefers_color_scheme="dark" and the like."""
        values = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=values)

    def screenshot(self, path, whole=False):
        """Saves what is to be seen, or with `whole` all of the page, as a PNG file."""
        parameters = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            parameters = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        picture = self.call("Page.captureScreenshot", format="png", **parameters)["data"]
        Path(path).write_bytes(base64.b64decode(picture))


@contextlib.contextmanager
def open_page(url, room, width=1280, height=900, scale=1, mobile=False, options=()):
    """Yields the `Page` at `url` in a Chromium of its own, whose files lie in the folder `room`.

    options: more words of its command line

    Skips the test where there is no Chromium (on Debian: `apt-get install chromium`).
    """
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if not binary:
        pytest.skip("there is no chromium here to open the page in; Debian's package is chromium")
    with _start(binary, Path(room), options) as (send, receive):
        page = Page(send, receive)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page._session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        page.resize(width, height, scale, mobile)
        page.open(url)
        yield page


@contextlib.contextmanager
def _start(binary, room, options):
    """Starts Chromium, and yields `send(message)` and `receive(seconds, what is waited for)`; ends it after."""
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    # Chromium reads descriptor 3 and writes 4. What bash moves there must not be one of them itself.
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (read_commands, write_answers)]
    os.close(read_commands)
    os.close(write_answers)
    move = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    command = [
        "bash",
        "-c",
        move,
        "bash",
        binary,
        *OPTIONS,
        *options,
        f"--user-data-dir={room / 'chromium'}",
        "about:blank",
    ]
    log = room / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=theirs, start_new_session=True
        )
    for end in theirs:
        os.close(end)
    buffer = bytearray()

    def send(message):
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(commands, data) :]

    def receive(seconds, what):
        while (end := buffer.find(b"\0")) < 0:
            ready = select.select([answers], [], [], max(seconds, 0))[0]
            data = os.read(answers, 1 << 20) if ready else b""
            assert data, f"{what}: Chromium {'ended' if ready else 'did not answer'}: {log.read_text()[-2000:]}"
            buffer.extend(data)
        message = json.loads(buffer[:end])
        del buffer[: end + 1]
        return message

    try:
        yield send, receive
    finally:
        os.close(commands)  # Chromium ends when nobody is there to command it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its helpers, and itself where it did not end
        process.wait()
        os.close(answers)
