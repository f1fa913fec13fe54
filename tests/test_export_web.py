"""export_web.py's page: what is in the folder, and what the page does in headless Chromium with hostile class names."""

import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from conftest import ROOT, convert_detector, draw_photo, export_detector, run_script
from PIL import Image, ImageOps
from web_page import (
    IS_READY,
    VENV,
    compare,
    detect_photos,
    measure_map,
    open_files,
    open_web,
    read_frame,
    require_packages,
)

from tfod.data.images import list_images
from tfod.data.samples import open_folder
from tfod.data.voc import read_annotation
from tfod.export import web
from tfod.export.tflite_metadata import read_metadata, write_metadata
from tfod.inference.detector import Detector
from tfod.utils.drawing import get_colour

# finds one of each of five classes; made as test_tflite_threads.py makes it
FIVE = ROOT / "tests/helpers/five_classes.tflite"
NAMES = [
    "<img src=x onerror=window.harm=1><script>window.harm=1</script>",
    "\"quoted\" 'name' & &amp; ]]> ${harm} </name>",
    "x" * 200,
    "猫和狗" * 20,
    "../../etc/passwd\\..",
]
POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; \
img-src 'self' blob:; media-src 'self' blob:; style-src 'self'; base-uri 'none'; form-action 'none'"
LIST = "[...document.querySelectorAll('#classes bdi')].map(name => name.textContent)"
COUNTS = "[...document.querySelectorAll('#classes output')].map(count => count.textContent)"
ASK_ELSEWHERE = """new Promise(resolve => {
  const script = `addEventListener('securitypolicyviolation', event => postMessage(
    event.violatedDirective + ' ' + event.blockedURI)); fetch('http://127.0.0.2:9/').catch(() => {})`;
  new Worker(URL.createObjectURL(new Blob([script]))).onmessage = event => resolve(event.data);
})"""
ELEMENTS = "document.querySelectorAll('*').length"


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export of a detector of five classes with NAMES: exported_models/<b>model & co, with a TFLite file alone."""
    folder = tmp_path_factory.mktemp("export") / "<b>model & co"
    (folder / "tflite").mkdir(parents=True)
    data = write_metadata(FIVE.read_bytes(), NAMES, [0.0], [1.0], "five", "finds five")
    (folder / "tflite/model_float32.tflite").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def made(export):
    """The page's folder of `export`."""
    require_packages()
    words = ["--export", export, "--format", "float32", "--venv", VENV]
    output, _ = run_script("export_web.py", *words, cwd=export)
    assert output.startswith(f"Wrote {export}/web: 9.8 MB with model_float32.tflite, detects <img src=x")
    return export / "web"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three photos: one of them lies and EXIF says so, one is a PNG."""
    folder = tmp_path_factory.mktemp("photos")
    draw_photo(1).save(folder / "a.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    draw_photo(2, (200, 120)).save(folder / "b 猫.jpg", quality=95, exif=exif)
    draw_photo(3, (90, 160)).save(folder / "c.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def page(made, photos, tmp_path_factory):
    with open_web(made, tmp_path_factory.mktemp("chromium"), camera=photos) as page:
        yield page
        assert page.messages == []
        assert {url.removeprefix("blob:").startswith(page.origin) for url in page.requests} == {True}


def test_the_page_can_ask_no_other_host_and_takes_texts_as_texts():
    index = (web.PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', index) == [POLICY]
    assert not re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", index)
    for path in web.PAGE.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), path


def test_both_languages_say_the_same_things():
    text = (web.PAGE / "texts.js").read_text(encoding="utf-8")
    english, chinese = (re.findall(r"^  (\w+):", part, re.MULTILINE) for part in text.split("const chinese"))
    assert english == chinese
    words = {
        name for path in web.PAGE.iterdir() for name in re.findall(r"\btexts\.(?!js)(\w+)", path.read_text("utf-8"))
    }
    index = (web.PAGE / "index.html").read_text(encoding="utf-8")
    assert words | set(re.findall(r'data-(?:text|title)="(\w+)"', index)) == set(english)


def test_the_folder_holds_all_that_its_files_name(made, export, call):
    there = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    named = set()
    for name in there:
        if name.endswith((".js", ".html")) and not name.startswith("litert/litert_wasm"):
            text = (made / name).read_text(encoding="utf-8")
            found = re.findall(r'(?:from|href=|src=) ?"([\w./-]+)"', text)
            named |= {(made / name).parent.joinpath(one).resolve().relative_to(made).as_posix() for one in found}
    assert named <= there
    assert there - named == {
        "index.html", "worker.js", "runtime.js", "model.json", "model_float32.tflite", "LICENSES.txt",
        "litert/litert_wasm_compat_internal.js", "litert/litert_wasm_compat_internal.wasm",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in made.rglob("*")) < 20e6
    settings = json.loads((made / "model.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in settings["classes"]] == NAMES
    assert settings["classes"][0]["colours"]["line"] == "#{:02x}{:02x}{:02x}".format(*get_colour(1))
    assert (settings["title"], settings["overlap"]) == (export.name, 0.6)
    assert read_metadata(made / "model_float32.tflite")["labels"] == NAMES
    words = ["--export", export, "--format", "float32", "--venv", VENV]
    assert call("export_web.py", *words).stderr == f"{made} is up to date\n"


def test_hostile_names_are_shown_as_what_they_are(page, photos, tmp_path):
    assert page.evaluate(LIST) == NAMES
    assert page.evaluate("[document.title, document.getElementById('title').textContent]") == ["<b>model & co"] * 2
    elements = page.evaluate(ELEMENTS)
    found = list(detect_photos(page, photos))
    assert [sorted(classes) for (_, classes, _), _ in found] == [[1, 2, 3, 4, 5]] * 3  # TensorFlow issue 56058
    assert page.evaluate(COUNTS) == ["1"] * 5
    assert page.evaluate("[typeof harm, document.querySelectorAll('script').length]") == ["undefined", 1]
    assert page.evaluate(ELEMENTS) == elements
    for width in (1280, 390):
        page.resize(width, 844)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_sliders_and_switches_choose(page, photos):
    list(detect_photos(page, photos[:1]))
    set_score = (
        "(field => { field.value = %d; field.dispatchEvent(new Event('input')); })(document.getElementById('score'))"
    )
    page.evaluate(set_score % 95)
    assert page.evaluate(COUNTS) == [""] * 5
    page.evaluate(set_score % 50)
    page.click("#classes li:nth-child(2) label")
    assert page.evaluate(COUNTS) == ["1", "", "1", "1", "1"]
    page.click("#none")
    assert page.evaluate(COUNTS) == [""] * 5
    page.click("#all")
    assert page.evaluate(COUNTS) == ["1"] * 5


def test_what_was_wrong_comes_as_a_zip_that_make_check_takes(page, photos, tmp_path, call):
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for _ in detect_photos(page, photos):
        page.click("#wrong")
        page.click("#wrong")  # is kept once
    page.wait_for("document.getElementById('badge').textContent == '3'")
    page.click("#next")
    page.wait_for("app.getShown().file.name == 'a.jpg'")
    page.click("#none")
    page.click("#wrong")  # again, now without boxes: in the place of the former
    page.click("#all")
    page.click("#camera")
    page.wait_for("app.getShown().file === null")
    page.click("#wrong")
    page.wait_for("document.getElementById('badge').textContent == '4'")
    page.click("#camera")
    page.click("#download")
    page.wait_for("document.title")
    archive = wait_for_zip(tmp_path)
    page.click("#forget")
    assert page.evaluate("document.getElementById('kept').hidden")

    images = tmp_path / "images"
    zipfile.ZipFile(archive).extractall(images)
    assert sorted(re.sub(r"^wrong_\d{8}_\d{6}_", "", path.name) for path in images.iterdir()) == [
        "1_a.jpg", "2_b_猫.jpg", "2_b_猫.xml", "3_c.png", "3_c.xml", "4.jpg", "4.xml",
    ]  # fmt: skip
    first, second = next(images.glob("*_1_a.jpg")), next(images.glob("*_2_*.jpg"))
    assert (first.read_bytes(), second.read_bytes()) == (photos[0].read_bytes(), photos[1].read_bytes())
    first.unlink()  # has to be labelled first: nobody said that there is nothing on it
    annotation = read_annotation(second.with_suffix(".xml"))
    assert [box.name for box in annotation.boxes] == NAMES
    assert (annotation.width, annotation.height) == (120, 200)
    done = call("preprocessing/check_dataset.py", "-i", images)
    assert done.returncode == 0, done.stdout + done.stderr


def wait_for_zip(folder):
    import time

    deadline = time.monotonic() + 20
    while not (found := list(folder.glob("wrong_*.zip"))):
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)
    return found[0]


def test_what_can_not_be_read_is_named(page, tmp_path):
    broken = tmp_path / "<i>broken.jpg"
    broken.write_bytes(b"no photo")
    open_files(page, [broken])
    said = page.wait_for("document.getElementById('message').textContent")
    assert said == "<i>broken.jpg: this browser can't read it; take a JPEG, PNG or WebP photo, or an MP4 or WebM video."
    page.click("#camera")
    page.wait_for("document.getElementById('message').hidden")
    page.click("#camera")


def test_the_browsers_language_two_cameras_and_the_workers_policy(made, tmp_path):
    options = ["--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream"]
    with open_web(made, tmp_path, language="zh-CN", options=options, width=390) as page:
        assert page.evaluate("[document.documentElement.lang, document.querySelector('#wrong span').textContent]") == [
            "zh-CN", "检测错了",
        ]  # fmt: skip
        page.click("#camera")
        page.wait_for("!document.getElementById('flip').hidden && app.getShown()")
        assert page.evaluate("document.querySelector('#camera span').textContent") == "停止"
        page.click("#flip")
        page.wait_for("!document.getElementById('flip').hidden")
        page.click("#camera")
        assert page.evaluate("document.querySelector('#camera span').textContent") == "摄像头"
        assert page.messages == []
        # a worker such as the detector's is held to the page's policy, without a header of the host
        assert page.evaluate(ASK_ELSEWHERE) == "connect-src http://127.0.0.2:9/"


@pytest.mark.long
def test_what_keeps_the_page_from_working_is_said(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "web")
    elsewhere = "--host-resolver-rules=MAP elsewhere.test 127.0.0.1"
    said = "document.getElementById('message').textContent"
    with open_web(folder, tmp_path, options=[elsewhere]) as page:
        page.click("#camera")
        assert page.wait_for(said) == "There is no camera here, or another program uses it."
        page.open(page.origin.replace("127.0.0.1", "elsewhere.test"))  # http, and not localhost
        page.wait_for(IS_READY)
        page.click("#camera")
        assert page.wait_for(said).startswith("Browsers give the camera only to pages from https or from localhost.")
        (folder / "model_float32.tflite").unlink()
        page.open(f"{page.origin}?again")
        assert page.wait_for(said) == "The detector can't be run here: /model_float32.tflite: 404 File not found"
    with open_web(made, tmp_path, options=["--use-fake-device-for-media-stream", "--deny-permission-prompts"]) as page:
        page.click("#camera")
        assert page.wait_for(said).startswith("The browser did not give the camera to this page.")


def hold_to_python(page, model, paths):
    """Boxes within a pixel and scores within 0.01 of the Python interpreter's, on photos and on the camera's frame.

    Returns what either found in each photo: lists of (boxes, class ids, scores).
    """
    detector = Detector(model, score=0.0, max_boxes=1000, threads=1)
    ours, theirs = [], []
    for path, (found, size) in zip(paths, detect_photos(page, paths), strict=True):
        photo = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        assert size == photo.shape[1::-1]
        (expected,) = detector.detect([photo])
        edges, scores = compare(found, expected, size)
        assert edges < 1 and scores < 0.01, (path, edges, scores)
        ours.append(found)
        theirs.append(tuple(expected))
    page.click("#camera")
    page.wait_for("app.getShown().file === null")
    page.click("#camera")
    found, frame = read_frame(page)
    edges, scores = compare(found, detector.detect([frame])[0], frame.shape[1::-1])
    assert edges < 1 and scores < 0.01, (edges, scores)
    assert page.messages == []
    assert all(url.removeprefix("blob:").startswith(page.origin) for url in page.requests)
    return ours, theirs


def export_trained(workspace, kind, folder):
    """The TFLite file of the trained detector, after writing its page into `folder`."""
    require_packages()
    words = ["--export", workspace / "exported_models/my_model", "--format", kind, "--venv", VENV, "-o", folder]
    run_script("export_web.py", *words, cwd=workspace)
    return workspace / f"exported_models/my_model/tflite/model_{kind}.tflite"


def test_the_page_finds_what_python_finds(tflite_files, photos, tmp_path):
    model = export_trained(tflite_files[0], "int8", tmp_path / "web")
    paths = [*sorted((tflite_files[0] / "images").glob("*.jpg"))[:3], *photos]
    with open_web(tmp_path / "web", tmp_path, camera=paths) as page:
        hold_to_python(page, model, paths)


@pytest.fixture(scope="module")
def well_trained(trained, tmp_path_factory):
    """The workspace of `trained`, with the same detector trained for 800 steps, so that it has a mAP to speak of."""
    from tfod.config import pipeline, schedule

    place = tmp_path_factory.mktemp("well") / "workspace"
    shutil.copytree(
        trained, place, symlinks=True, ignore=shutil.ignore_patterns("ckpt-*", "checkpoint", "exported_models")
    )
    path = place / "models/my_model/pipeline.config"
    config = pipeline.read_config(path)
    schedule.scale_schedule(config, 4, 800)
    pipeline.write_config(path, config)
    words = ["--model_dir=models/my_model", "--pipeline_config_path=models/my_model/pipeline.config"]
    run_script("model_main_tf2.py", *words, cwd=place)
    export_detector(place)
    convert_detector(place)
    return place


@pytest.mark.long
@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8"])
def test_every_format_has_the_map_that_it_has_in_python(well_trained, tmp_path, kind):
    model = export_trained(well_trained, kind, tmp_path / "web")
    paths = list_images(well_trained / "images")
    with open_web(tmp_path / "web", tmp_path, camera=paths[:5]) as page:
        ours, theirs = hold_to_python(page, model, paths)
    source = open_folder(well_trained / "images", well_trained / "images", {1: "cat", 2: "dog"})
    (mine, _), (expected, _) = measure_map(source, ours), measure_map(source, theirs)
    assert expected > 0.05
    assert abs(mine - expected) < 0.005


@pytest.mark.long
def test_real_and_odd_photos_are_seen_as_python_sees_them(tflite_files, raccoon_images, tmp_path):
    model = export_trained(tflite_files[0], "float32", tmp_path / "web")
    odd = tmp_path / "odd"
    odd.mkdir()
    first = Image.open(min(raccoon_images.glob("*.jpg"))).convert("RGB")
    first.resize((5200, 3900)).save(odd / "20 megapixels.jpg", quality=95)  # is read in strips
    first.convert("L").save(odd / "grey.jpg")
    first.resize((40, 900)).save(odd / "narrow.png")
    first.resize((3, 2)).save(odd / "tiny.png")
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        first.save(odd / f"turned {orientation}.jpg", quality=95, exif=exif)
    paths = [*list_images(odd), *list_images(raccoon_images)[:40]]
    with open_web(tmp_path / "web", tmp_path, camera=paths[-3:]) as page:
        hold_to_python(page, model, paths)


def test_a_video_plays_and_pauses(page, tmp_path):
    open_files(page, [write_video(tmp_path / "film.webm")])
    page.wait_for("!document.getElementById('player').hidden && app.getShown().bitmap.width == 160")
    page.wait_for("Number(document.getElementById('seek').value) > 0")
    page.click("#play")
    assert page.evaluate("document.getElementById('player').className") == "is-paused"
    page.click("#camera")
    page.wait_for("document.getElementById('player').hidden && app.getShown().bitmap.width == 640")
    page.click("#camera")


def write_video(path):
    """A second of WebM, 160 x 120 pixels."""
    import cv2

    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"VP80"), 10, (160, 120))
    assert video.isOpened()
    for number in range(10):
        video.write(np.full((120, 160, 3), 20 * number, np.uint8))
    video.release()
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "model_float32.tflite: is not there; `make tflite` makes it"),
        (
            lambda path: path.write_bytes(b"no model"),
            "model_float32.tflite: is not a TFLite model; `make tflite` makes one",
        ),
        (lambda path: path.write_bytes(FIVE.read_bytes()[:2000]), "model_float32.tflite: "),
    ],
)
def test_what_is_not_a_detector_is_refused(export, tmp_path, call, change, message):
    require_packages()
    copy = shutil.copytree(export, tmp_path / "model", ignore=shutil.ignore_patterns("web", ".web*"))
    change(copy / "tflite/model_float32.tflite")
    done = call("export_web.py", "--export", copy, "--format", "float32", "--venv", VENV)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copy / "web").exists()


def test_missing_packages_and_a_folder_of_somebody_else_are_named(export, tmp_path, call):
    done = call("export_web.py", "--export", export, "--format", "float32", "--venv", tmp_path, "-o", tmp_path / "web")
    missing = tmp_path / "node_modules/@litertjs/core/dist/index.js"
    assert done.returncode == 1
    assert done.stderr == f"error: {missing}: is not there; `make web` installs what the page runs on\n"
    require_packages()
    (tmp_path / "web").mkdir()
    (tmp_path / "web/mine.txt").touch()
    done = call("export_web.py", "--export", export, "--format", "float32", "--venv", VENV, "-o", tmp_path / "web")
    assert done.returncode == 1
    assert f"error: {tmp_path}/web/mine.txt: is not what this script left there" in done.stderr
