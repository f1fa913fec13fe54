"""A virtual screen (Xvfb), and a person before it: xdotool's mouse and keyboard. DISPLAY names the screen."""

import contextlib
import ctypes
import os
import subprocess
import time


@contextlib.contextmanager
def open_screen(size):
    """Yields the name of a new virtual screen of `size`, as "1400x1000x24": width, height, bits a pixel."""
    reading, writing = os.pipe()
    words = ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp"]
    with subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as file:
                yield f":{file.readline().strip()}"
        finally:
            server.terminate()


def wait_for(what, seconds=20):
    """What `what()` returns as soon as it is neither None nor false; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s in vain for {what.__name__}")


class ClientMessage(ctypes.Structure):
    """Xlib's XClientMessageEvent, with room for every other event."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("room", ctypes.c_long * 16),
    ]


def close_window(window):
    """Asks a window to close, as the x in its title bar does; the virtual screen has no window manager to do so."""
    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    xlib.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(xlib.XOpenDisplay(None))
    protocols, delete = (xlib.XInternAtom(display, name, False) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    data = (ctypes.c_long * 5)(delete, 0)
    message = ClientMessage(33, 0, 1, display.value, window, protocols, 32, data)
    assert xlib.XSendEvent(display, ctypes.c_ulong(window), False, ctypes.c_long(0), ctypes.byref(message))
    xlib.XCloseDisplay(display)


def use(*words):
    """What xdotool prints for these words; the pause is a person's."""
    time.sleep(0.25)
    done = subprocess.run(["xdotool", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or words[0] == "search", done.stderr  # a search that finds nothing ends with 1
    return done.stdout.strip()


def drag(xmin, ymin, xmax, ymax):
    """Draws with the mouse from one corner to the other, in pixels of the screen."""
    use("mousemove", xmin, ymin)
    use("mousedown", 1)
    for part in range(1, 6):
        use("mousemove", xmin + (xmax - xmin) * part // 5, ymin + (ymax - ymin) * part // 5)
    use("mouseup", 1)
