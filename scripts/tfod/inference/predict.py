"""Runs a detector over photos and videos, reading, detecting, drawing and writing in parallel.

Each thread takes one image through all steps, so that while the model of one computes, others are read, drawn and
written. Few images are in memory at any time, however many there are.
"""

import collections
import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfod.data.images import check_image, map_in_threads, read_workable
from tfod.inference import writers
from tfod.inference.detector import Detector
from tfod.inference.sources import ImageFile, Video, VideoProperties, open_video
from tfod.utils.console import InputError, make_printable, say, show_progress

ALONE = 25_000_000  # pixels; larger photos are processed one at a time, or each thread would take a gigabyte


@dataclasses.dataclass
class Totals:
    """What was done. `seconds` counts those of all threads for each step, `took` those of the clock."""

    images: int = 0
    proposals: int = 0
    classes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(("read", "model", "draw", "write"), 0.0)
    )
    took: float = 0.0


def describe_totals(totals: Totals, kinds: list[str], output: Path, score: float, source: str, loading: float) -> str:
    """What was written into the folder `output`, as lines for a person.

    kinds: those of --save that were written; source: the first word of -i; loading: seconds to load the model
    """
    what = f"{', '.join(kinds)} of {totals.images} images"
    if "images" in kinds:
        what = f"{totals.images} annotated images"
    number = sum(totals.classes.values())
    lines = [f"Wrote {what} to {output}: {number} detections of score {score} or more"]
    lines += [f"  {make_printable(name)}: {count}" for name, count in totals.classes.most_common()]
    rate = totals.images / max(totals.took, 1e-9)
    spent = max(sum(totals.seconds.values()), 1e-9)
    shares = ", ".join(f"{step} {seconds / spent:.0%}" for step, seconds in totals.seconds.items())
    lines.append(f"{loading:.1f} s to load the model, then {rate:.1f} images/s; of that time: {shares}")
    if "voc" in kinds:
        lines.append(
            f"{totals.proposals} XML files with proposed boxes are in {output}/voc, beside links to the photos."
        )
        lines.append(f"Look at each (make label LABEL_IMAGES={output}/voc), correct and save it; then move them:")
        lines.append(f"  mv -n {output}/voc/*.xml {source}/")
    return "\n".join(lines)


@dataclasses.dataclass
class Work:
    """What the threads do with an image: `process`.

    save: the kinds that are written; None: images of photos, video of videos
    """

    detector: Detector
    files: writers.Files
    save: list[str] | None = None
    threads: int | None = None
    totals: Totals = dataclasses.field(default_factory=Totals)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    alone: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
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
        """A list of (`Prediction`, drawn image if a video wants it), or a fault's text, for each image of `batch`.

        These are `ImageFile`s, or frames as (PIL image, `ImageFile` that names it, what its `Prediction` has beyond).
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

    def finish(self, image, photo, more, found):
        result = writers.make_prediction(photo.path, photo.name, image, found, self.detector.get_name, **more)
        is_frame, drawn = result.frame is not None, None
        save = self.save or ["video" if is_frame else "images"]
        wants_video = is_frame and "video" in save
        if "images" in save or wants_video:
            with self.timed("draw"):
                drawn = writers.draw(result)
        with self.timed("write"):
            if "images" in save:
                writers.write_image(self.files, result, drawn)
            if "crops" in save:
                writers.write_crops(self.files, result)
            if "voc" in save and writers.write_voc(self.files, result):
                with self.lock:
                    self.totals.proposals += 1
        result.image = None
        return result, drawn if wants_video else None

    def run(self, batches, tables, update, video_writer=None):
        """Processes `batches`, and gives each result to the writers `tables` and to `video_writer`, in order."""
        totals = self.totals
        # closed at once where a signal ends this: no thread writes any more when the temporary folder is removed
        with contextlib.closing(map_in_threads(self.process, batches, self.threads)) as results:
            for item in itertools.chain.from_iterable(results):
                if isinstance(item, str):
                    totals.faults.append(item)
                    continue
                result, drawn = item
                totals.images += 1
                totals.classes.update(result.labels)
                with self.timed("write"):
                    for table in tables:
                        table.add(result)
                    if drawn:
                        video_writer.add(drawn)
                update(totals.images + len(totals.faults))


def is_large(item: ImageFile | tuple) -> bool:
    """Whether an item of `Work.process` is the `ImageFile` of an image of more than `ALONE` pixels."""
    if isinstance(item, tuple):
        return False
    try:
        width, height = check_image(item.path, decode=False).size
    except InputError:
        return False  # reading it reports the fault
    return width * height > ALONE


def infer(
    detector: Detector,
    photos: list[ImageFile],
    videos: list[Video],
    files: writers.Files,
    save: list[str] | None = None,
    batch: int = 1,
    threads: int | None = None,
) -> Totals:
    """Runs the detector over all photos and videos, and writes what it finds into `files`.

    save:    the kinds to write, as --save has them; None: images of photos, video of videos
    batch:   images that a thread takes at a time
    threads: images worked on at a time; None: one for each core
    """
    began = time.monotonic()
    makers = {"json": writers.JsonWriter, "csv": writers.CsvWriter, "coco": writers.CocoWriter}
    tables = [make(files) for kind, make in makers.items() if kind in (save or ())]
    work = Work(detector, files, save, threads)
    opened, faults = open_videos(videos)
    counts = [properties.frames for _, properties, _ in opened]
    with show_progress("detecting", None if 0 in counts else len(photos) + sum(counts)) as update:
        work.run(group(photos, batch), tables, update)
        for video, properties, frames in opened:
            run_video(work, video, properties, frames, batch, tables, update)
        for table in tables:
            table.close(detector.names)
    work.totals.faults += faults
    work.totals.took = time.monotonic() - began
    return work.totals


def group(items: Iterable, number: int) -> Iterator[list]:
    """Lists of `number` items each; the last may be shorter."""
    items = iter(items)
    while some := list(itertools.islice(items, number)):
        yield some


def open_videos(videos: list[Video]) -> tuple[list[tuple], list[str]]:
    """([(video, properties, frames)] of those that can be opened, faults of the others)."""
    opened, faults = [], []
    for video in videos:
        try:
            opened.append((video, *open_video(video)))
        except InputError as error:
            faults += error.faults
    return opened, faults


def run_video(
    work: Work,
    video: Video,
    properties: VideoProperties,
    frames: Iterator,
    batch: int,
    tables: list,
    update: Callable,
) -> None:
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
                yield Image.fromarray(pixels), ImageFile(path, name), {"frame": number, "seconds": seconds}
        except StopIteration:
            return
        except InputError as error:
            work.totals.faults += error.faults

    writer = writers.VideoWriter(work.files, video.name.with_suffix(".mp4"), properties.fps)
    if is_camera:
        say(f"{path}: Ctrl-C ends it")
    try:
        work.run(group(read(), batch), tables, update, writer)
    except KeyboardInterrupt:
        if not is_camera:
            raise
    writer.close()
