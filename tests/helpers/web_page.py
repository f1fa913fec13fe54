"""The page of export_web.py in headless Chromium, served as serve_web.py serves it and used as a person uses it.

with open_web(folder, tmp_path, camera=[photo]) as page:
    for found, size in detect_photos(page, [photo]):
        ...
"""

import contextlib
import io
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import open_page
from conftest import ROOT, load_script
from PIL import Image

CAMERA = (640, 480)  # pixels of the fake camera
VENV = ROOT / os.environ.get("TFOD_WEB_VENV", ".venv-web")
IS_READY = "'ready' in document.documentElement.dataset || document.getElementById('message').textContent"
SHOWN = "(({found, bitmap: {width, height}}) => ({found, width, height}))(app.getShown())"
FRAME = """(async () => {
  const {bitmap, found} = app.getShown(), canvas = document.createElement('canvas');
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  return {found, picture: canvas.toDataURL('image/png').split(',')[1]};
})()"""


def require_packages():
    """The node_modules folder of what the page runs on. Skips the test where it is not installed."""
    if not (VENV / "installed-lock.json").exists():
        pytest.skip(f"what the page runs on is not installed here: scripts/install_web.sh .venv/bin/python {VENV.name}")
    return VENV / "node_modules"


@contextlib.contextmanager
def open_web(folder, room, camera=(), language="en", options=(), **size):
    """Yields the `browser.Page` of the folder, as soon as its detector is ready; `page.origin` is its address.

    camera: photos that a camera of CAMERA pixels shows, half a second each, in a circle; without them there is none
    options: more words of Chromium's command line
    """
    server = load_script("serve_web.py").open_server(folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = [*options, f"--lang={language}", f"--accept-lang={language}"]
    if camera:
        film = Path(room) / "film.mjpeg"
        film.write_bytes(b"".join(15 * _make_frame(photo) for photo in camera))
        options += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        options += [f"--use-file-for-fake-video-capture={film}"]
    try:
        origin = f"http://127.0.0.1:{server.server_port}/"
        with open_page(origin, room, options=options, **size) as page:
            page.origin = origin
            page.wait_for(IS_READY)
            page.evaluate("import('./app.js').then(module => { window.app = module; })")
            yield page
    finally:
        server.shutdown()
        server.server_close()


def _make_frame(photo):
    image = Image.open(photo).convert("RGB").resize(CAMERA)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def open_files(page, paths):
    """Opens files as the page's file dialog does."""
    document = page.call("DOM.getDocument")["root"]["nodeId"]
    field = page.call("DOM.querySelector", nodeId=document, selector="#files")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=field, files=[str(Path(path).resolve()) for path in paths])


def detect_photos(page, paths):
    """Opens photos and yields (what was found, as by `read_found`; (width, height)) of each."""
    page.evaluate("void (window.before = app.getShown())")
    open_files(page, paths)
    for number, path in enumerate(paths, 1):
        is_new = f"app.getShown() !== before && app.getShown().file?.name == {json.dumps(Path(path).name)}"
        shown = page.wait_for(f"{is_new} && {SHOWN}")
        yield read_found(shown["found"]), (shown["width"], shown["height"])
        if number < len(paths):
            page.evaluate("window.before = app.getShown(), document.getElementById('next').click()")


def read_frame(page):
    """(what was found, the frame's pixels, uint8 [height, width, 3]) of what the page shows at the moment."""
    import base64

    shown = page.evaluate(FRAME)
    picture = Image.open(io.BytesIO(base64.b64decode(shown["picture"]))).convert("RGB")
    return read_found(shown["found"]), np.asarray(picture)


def read_found(rows):
    """(boxes [N, 4] `[ymin, xmin, ymax, xmax]` normalized, class ids [N] from 1, scores [N]) of the worker's answer."""
    rows = np.array(rows, np.float64).reshape(-1, 6)
    return rows[:, 2:], rows[:, 0].astype(int) + 1, rows[:, 1]


def compare(found, expected, size, least=0.05):
    """(largest distance of an edge in pixels, largest difference of score) between what the page found and `expected`
    (`Detections`), of every detection of at least the score `least`, in both directions.

    Infinite where one has no counterpart of its class, within ten pixels.
    """
    one, other = found, (expected.boxes, expected.classes, expected.scores)
    scale = np.array([size[1], size[0]] * 2)
    worst = [0.0, 0.0]
    for mine, theirs in ((one, other), (other, one)):
        for box, number, score in zip(*mine, strict=True):
            if score < least:
                continue
            same = np.flatnonzero(np.asarray(theirs[1]) == number)
            edges = np.abs((np.asarray(theirs[0])[same] - box) * scale).max(1, initial=0)
            scores = np.abs(np.asarray(theirs[2])[same] - score)
            near = np.flatnonzero(edges <= 10)
            if not len(near):
                return np.inf, np.inf
            best = near[np.argmin(edges[near] + 100 * scores[near])]
            worst = [max(worst[0], edges[best]), max(worst[1], scores[best])]
    return tuple(worst)


def measure_map(source, found):
    """mAP and mAP at an IoU of 0.50 of a list of (boxes, class ids, scores), one for each photo of the source."""
    from tfod.data import samples
    from tfod.evaluation.evaluator import collect
    from tfod.evaluation.metrics import measure_coco

    results = []
    for sample, (boxes, *rest) in zip(source.read(), found, strict=True):
        height, width = samples.decode_sample(sample).shape[:2]
        results.append(samples.Result(sample, (width, height), boxes.astype(np.float32), *rest, {}))
    metrics = measure_coco(collect(source.names, results)).metrics
    return tuple(metrics[f"DetectionBoxes_Precision/{name}"] for name in ("mAP", "mAP@.50IOU"))
