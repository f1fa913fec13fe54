"""Runs a detector over photos and videos, with reading, model, drawing and writing side by side.

Each thread takes one image through all steps, so that while the model of one computes, others are read, drawn and
written. Few images are under way at any time: memory does not grow with their number.
"""

import collections
import contextlib
import dataclasses
import itertools
import threading
import time

import numpy as np
from PIL import Image

from tfod.data.images import check_image, map_in_threads, read_workable
from tfod.inference import results
from tfod.inference import writers as detections
from tfod.inference.detector import Detector
from tfod.inference.sources import Photo, open_video
from tfod.utils.console import InputError, make_printable, say, show_progress

ALONE = 25_000_000  # photos of more pixels are worked on one at a time, or each thread would take a gigabyte


@dataclasses.dataclass
class Totals:
    """What was done. `seconds` counts those of all threads for each step, `faults` are texts."""

    images: int = 0
    proposals: int = 0
    classes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list = dataclasses.field(default_factory=list)
    save: list = dataclasses.field(default_factory=list)
    seconds: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(("read", "model", "draw", "write"), 0.0))
    started: float = 0.0
    took: float = 0.0

    def describe(self, arguments, output):
        """The totals, as lines for a person."""
        what = f"{', '.join(self.save)} of {self.images} images"
        if "images" in self.save:
            what = f"{self.images} annotated images"
        number = sum(self.classes.values())
        lines = [f"Wrote {what} to {output}: {number} detections of score {arguments.score} or more"]
        lines += [f"  {make_printable(name)}: {count}" for name, count in self.classes.most_common()]
        rate = self.images / max(self.took - self.started, 1e-9)
        shares = ", ".join(
            f"{step} {spent / max(sum(self.seconds.values()), 1e-9):.0%}" for step, spent in self.seconds.items()
        )
        lines.append(f"{self.started:.1f} s to load the model, then {rate:.1f} images/s; of that time: {shares}")
        if "voc" in self.save:
            lines.append(
                f"{self.proposals} XML files with proposed boxes are in {output}/voc, beside links to the photos."
            )
            lines.append(f"Look at each (make label LABEL_IMAGES={output}/voc), correct and save it; then move them:")
            lines.append(f"  mv -n {output}/voc/*.xml {arguments.images_dir[0]}/")
        return "\n".join(lines)


class Work:
    """What the threads do with an image: `process`."""

    def __init__(self, detector, files, save, threads=None):
        self.detector, self.files, self.save, self.threads = detector, files, save, threads
        self.totals, self.lock, self.alone = Totals(save=save), threading.Lock(), threading.Lock()

    @contextlib.contextmanager
    def timed(self, step):
        began = time.perf_counter()
        try:
            yield
        finally:
            with self.lock:
                self.totals.seconds[step] += time.perf_counter() - began

    def read(self, photo):
        """(PIL image, photo, {}), or the fault's text if it can't be read."""
        try:
            with self.timed("read"):
                image, size = read_workable(photo.path)
                return image, photo, {"size": size}
        except InputError as error:
            return "\n".join(error.faults)

    def process(self, batch):
        """A list of (`Result`, drawn image if a video wants it), or a fault's text, for each image of `batch`.

        These are `Photo`s, or frames as (PIL image, `Photo` that names it, what its `Result` has beyond that).
        """
        with self.alone if any(map(is_large, batch)) else contextlib.nullcontext():
            return self.process_now(batch)

    def process_now(self, batch):
        """As `process`, whatever the sizes."""
        batch = [item if isinstance(item, tuple) else self.read(item) for item in batch]
        arrays = [np.asarray(item[0]) for item in batch if isinstance(item, tuple)]
        with self.timed("model"):
            found = iter(self.detector.detect(arrays))
        del arrays
        return [item if isinstance(item, str) else self.finish(*item, next(found)) for item in batch]

    def finish(self, image, photo, video, found):
        result = detections.make_result(photo.path, photo.name, image, found, self.detector.get_name, **video)
        drawn = None
        wants_video = "video" in self.save and result.frame is not None
        if "images" in self.save or wants_video:
            with self.timed("draw"):
                drawn = detections.draw(result)
        with self.timed("write"):
            if "images" in self.save:
                detections.write_image(self.files, result, drawn)
            if "crops" in self.save:
                detections.write_crops(self.files, result)
            if "voc" in self.save and detections.write_voc(self.files, result):
                with self.lock:
                    self.totals.proposals += 1
        result.image = None
        return result, drawn if wants_video else None

    def run(self, batches, writers, update, video_writer=None):
        """Processes `batches`, and gives each result to the `writers`, in order."""
        totals = self.totals
        for done in map_in_threads(self.process, batches, self.threads):
            for item in done:
                if isinstance(item, str):
                    totals.faults.append(item)
                    continue
                result, drawn = item
                totals.images += 1
                totals.classes.update(result.labels)
                with self.timed("write"):
                    for writer in writers:
                        writer.add(result)
                    if drawn:
                        video_writer.add(drawn)
            update(totals.images + len(totals.faults))


def is_large(item):
    """Whether an item of `Work.process` is the `Photo` of an image of more than `ALONE` pixels."""
    if isinstance(item, tuple):
        return False
    try:
        width, height = check_image(item.path, decode=False).size
    except InputError:
        return False  # reading it will say so
    return width * height > ALONE


def infer(arguments, photos, videos, output, room):
    """Does all photos and videos as the script's `arguments` say. `room` is a temporary folder.

    Returns (`Totals`, what `results.claim` returned, the names that were written of each kind).
    """
    save = results.choose_kinds(arguments.save, photos, videos)
    began = time.monotonic()
    # Before any thread reads a photo: TensorFlow's import sets environment variables, and libjpeg, which reads one,
    # crashes where that happens at the same time.
    detector = load_detector(arguments)
    former = results.claim(output, save, photos, videos, bool(arguments.save))
    files = detections.Files(output, room, former.get("voc", ()))
    makers = {"json": detections.JsonWriter, "csv": detections.CsvWriter, "coco": detections.CocoWriter}
    writers = [make(files) for kind, make in makers.items() if kind in save]
    work = Work(detector, files, save, arguments.threads)
    work.totals.started = time.monotonic() - began
    with contextlib.ExitStack() as stack:
        opened, faults = open_videos(videos)
        counts = [properties.frames for _, properties, _ in opened]
        update = stack.enter_context(show_progress("detecting", None if 0 in counts else len(photos) + sum(counts)))
        batch = arguments.batch or 1
        work.save = arguments.save or ["images"]
        work.run(group(photos, batch), writers, update)
        work.save = arguments.save or ["video"]
        for video, properties, frames in opened:
            run_video(work, video, properties, frames, batch, writers, update)
        for writer in writers:
            writer.close(work.detector.names)
        work.totals.faults += faults
    work.totals.took = time.monotonic() - began
    return work.totals, former, files.written


def load_detector(arguments):
    return Detector(
        arguments.saved_model_path,
        arguments.labels_path,
        score=arguments.score,
        iou=arguments.iou,
        class_agnostic=arguments.class_agnostic,
        max_boxes=arguments.max_boxes,
        classes=arguments.classes,
        batch=arguments.batch,
        threads=arguments.threads,
    )


def group(items, number):
    """Lists of `number` items each; the last may be shorter."""
    items = iter(items)
    while some := list(itertools.islice(items, number)):
        yield some


def open_videos(videos):
    """([(video, properties, frames)] of those that can be opened, faults of the others)."""
    opened, faults = [], []
    for video in videos:
        try:
            opened.append((video, *open_video(video)))
        except InputError as error:
            faults += error.faults
    return opened, faults


def run_video(work, video, properties, frames, batch, writers, update):
    """Processes the frames of a video; those of a camera until Ctrl-C."""
    stem = video.name.with_suffix("")
    is_camera = isinstance(video.path, int)
    path = stem if is_camera else video.path

    def read():
        try:
            while True:
                with work.timed("read"):
                    number, seconds, pixels = next(frames)
                name = stem / f"{stem.name}_{number:06d}.jpg"
                yield Image.fromarray(pixels), Photo(path, name), {"frame": number, "seconds": seconds}
        except StopIteration:
            return
        except InputError as error:
            work.totals.faults += error.faults

    writer = detections.VideoWriter(work.files, video.name.with_suffix(".mp4"), properties.fps)
    if is_camera:
        say(f"{path}: Ctrl-C ends it")
    try:
        work.run(group(read(), batch), writers, update, writer)
    except KeyboardInterrupt:
        if not is_camera:
            raise
    writer.close()
