"""The pictures of a report: test images with the boxes to draw on them, and crops of what went wrong.

Pictures are data URIs of WebP files, and boxes are numbers beside them: the page draws the lines, so that they stay
sharp at any size.
"""

import base64
import io

import numpy as np
from PIL import Image

from tfod.evaluation.results import load_photo
from tfod.evaluation.tide import CORRECT, KINDS
from tfod.report.analysis import Facts
from tfod.report.wording import SEEN, count, join
from tfod.utils.console import InputError, progress

BUDGET = 6_500_000  # letters of all pictures' data URIs together: the whole page stays below 10 MB
EDGES = (880, 720, 600, 480, 360, 240)  # pixels of a picture's longer side: the first that keeps to the budget
CROP = 168  # pixels of a crop's longer side
QUALITY = 74
LABEL = 24  # letters of a class's name on a picture


def encode(photo: Image.Image, edge: int) -> str:
    """A PIL image as a data URI of a WebP file of at most `edge` pixels a side."""
    scale = min(1.0, edge / max(photo.size))
    size = [max(1, round(side * scale)) for side in photo.size]
    data = io.BytesIO()
    photo.resize(size, Image.LANCZOS, reducing_gap=2.0).save(data, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def choose_images(facts: Facts, worst: int, best: int) -> tuple[list[int], list[int]]:
    """(indexes of the worst images, worst first; of the best ones, best first); none is in both.

    Only an image with an error can be one of the worst. The best have objects and no errors, the surest first.
    """
    bad = [index for index, badness, _ in facts.ranked if badness > 0][:worst]
    correct = {index: counts["correct"] for index, _, counts in facts.ranked}
    fine = [(not correct[index], doubt, index) for index, doubt, _ in rank_doubts(facts)]
    best_first = [index for *_, index in sorted(fine)]
    if len(best_first) < best:  # then those with the fewest errors
        best_first += [index for index, badness, _ in reversed(facts.ranked) if badness > 0 and index not in bad]
    return bad, best_first[:best]


def rank_doubts(facts: Facts) -> list[tuple[int, float, str]]:
    """List of (index of an image without an error, doubt, what it is, or ""), the greatest doubt first.

    Doubt is 1 where a wrong box nearly reaches the score threshold, or a correct one only just does.
    """
    detections, images = facts.evaluated.detections, len(facts.evaluated.images)
    least = np.array([facts.thresholds.get(int(label), 1.0) for label in detections.label], float)
    share = detections.score / np.maximum(least, 1e-9)
    right = facts.errors.kind == CORRECT
    near, sure = np.zeros(images), np.full(images, np.inf)
    for ufunc, values, chosen in (
        (np.maximum, near, (facts.errors.kind >= 0) & ~right & ~facts.confident),
        (np.minimum, sure, right & facts.confident),
    ):
        ufunc.at(values, detections.image[chosen], share[chosen])
    rows = []
    for index in [index for index, badness, _ in facts.ranked if badness == 0]:
        wrong, weak = float(near[index]), float(1 / max(sure[index], 1e-9))
        why = "" if max(wrong, weak) < 0.5 else "nearly a wrong box" if wrong > weak else "only just found"
        rows.append((index, max(wrong, weak), why))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def choose_mistakes(facts: Facts, most: int) -> dict[str, list[int]]:
    """wrong: indexes of the wrong detections at the recommended scores, the surest first; missed: indexes of the missed
    objects, those of the worst images first; at most `most` of each."""
    wrong = np.flatnonzero(facts.confident & (facts.errors.kind != CORRECT))
    wrong = wrong[np.argsort(-facts.evaluated.detections.score[wrong], kind="stable")]
    place = {index: at for at, (index, _, _) in enumerate(facts.ranked)}
    missed = sorted(
        np.flatnonzero(facts.missed).tolist(), key=lambda t: place[int(facts.evaluated.ground_truth.image[t])]
    )
    return {"wrong": wrong[:most].tolist(), "missed": missed[:most]}


def describe_image(facts: Facts, index: int) -> dict:
    """What is there and what was found in an image: a dict of texts and boxes, without its pixels."""
    image = facts.evaluated.images[index]
    ground_truth, detections = facts.evaluated.ground_truth, facts.evaluated.detections
    boxes = []
    for d in reversed(np.flatnonzero((detections.image == index) & facts.confident).tolist()):  # the best is drawn last
        state = "right" if facts.errors.kind[d] == CORRECT else "wrong"
        label = f"{_shorten(facts.get_name(detections.label[d]))} {detections.score[d]:.0%}"
        boxes.append(
            _place(detections.box[d], image) | {"state": state, "label": label, "text": describe_detection(facts, d)}
        )
    for t in np.flatnonzero(ground_truth.image == index).tolist():  # dashed: what is below stays visible
        state = "missed" if facts.missed[t] else "there" if facts.counted[t] else "crowd"
        label = _shorten(facts.get_name(ground_truth.label[t]))
        boxes.append(
            _place(ground_truth.box[t], image) | {"state": state, "label": label, "text": _describe_object(facts, t)}
        )
    counts = next(counts for number, _, counts in facts.ranked if number == index)
    return {
        "index": index,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "boxes": boxes,
        "objects": int((facts.counted & (ground_truth.image == index)).sum()),
        "summary": describe_counts(counts),
        "brief": describe_briefly(counts),
    }


def _shorten(name):
    return name if len(name) <= LABEL else name[: LABEL - 1] + "…"


def describe_counts(counts: dict[str, int]) -> str:
    """A dict kind -> count in words: 2 missed, 1 background; or: all correct."""
    return ", ".join(f"{counts[kind]} {kind}" for kind in reversed(KINDS[1:]) if counts[kind]) or "all correct"


def describe_briefly(counts: dict[str, int]) -> str:
    """The same in the fewest words: 2 missed, 1 wrong."""
    wrong = sum(counts[kind] for kind in KINDS[1:-1])
    parts = [f"{number} {word}" for number, word in ((counts["missed"], "missed"), (wrong, "wrong")) if number]
    return ", ".join(parts) or "all correct"


def describe_detection(facts: Facts, d: int) -> str:
    """A detection in a line: class, score, kind, and IoU with the object that it is compared with."""
    kind = KINDS[facts.errors.kind[d]]
    text = f"{facts.get_name(facts.evaluated.detections.label[d])}, score {facts.evaluated.detections.score[d]:.2f}: "
    text += kind
    t = facts.errors.target[d]
    if t < 0:
        return text
    if kind in ("classification", "both"):
        text += f", should be {facts.get_name(facts.evaluated.ground_truth.label[t])}"
    return f"{text} (IoU {facts.errors.iou[d]:.2f})"


def _describe_object(facts, t):
    name = facts.get_name(facts.evaluated.ground_truth.label[t])
    if not facts.counted[t]:
        return f"{name}: a crowd, not counted"
    return f"{name}: {explain_missed(facts, t) if facts.missed[t] else 'found'}"


def explain_missed(facts: Facts, t: int) -> str:
    """Why an object counts as missed."""
    if facts.seen[t] >= SEEN:
        return f"seen, but only with a score of {facts.seen[t]:.2f}"
    return "not seen"


def _place(box, image):
    """A box, `[ymin, xmin, ymax, xmax]` in pixels, as x, y, width and height within the image, rounded."""
    ymin, ymax = sorted(min(max(float(y), 0), image.height) for y in box[::2])
    xmin, xmax = sorted(min(max(float(x), 0), image.width) for x in box[1::2])
    return {"x": round(xmin, 1), "y": round(ymin, 1), "w": round(xmax - xmin, 1), "h": round(ymax - ymin, 1)}


def draw_pictures(
    facts: Facts, indexes: list[int], mistakes: dict[str, list[int]]
) -> tuple[dict[int, str], dict, list[str]]:
    """(dict index -> data URI of its picture or "" where the photo can't be read, dict ("wrong" or "missed", number) ->
    crop, list of what can't be read).

    indexes: the images wanted; mistakes: what `choose_mistakes` returns, of images among `indexes`
    A crop is a dict: uri, width and height of what it shows, in the photo's pixels, and `box` in these.
    """
    crops, faults, kept = {}, [], {}
    for index in progress(indexes, "drawing images"):
        try:
            photo = load_photo(facts.evaluated.images[index])
        except InputError as error:
            faults.extend(error.faults)
            kept[index] = None
            continue
        for what, boxes in (("wrong", facts.evaluated.detections), ("missed", facts.evaluated.ground_truth)):
            for number in mistakes.get(what, ()):
                if boxes.image[number] == index:
                    crops[what, number] = _crop(photo, boxes.box[number])
        photo.thumbnail((EDGES[0], EDGES[0]), Image.LANCZOS)
        kept[index] = photo
    for edge in EDGES:
        pictures = {index: encode(photo, edge) if photo else "" for index, photo in kept.items()}
        if sum(map(len, pictures.values())) <= BUDGET:
            break
    return pictures, crops, faults


def _crop(photo, box):
    """A square around a box, `[ymin, xmin, ymax, xmax]` in pixels, with some of what is around it."""
    (ymin, ymax), (xmin, xmax) = (sorted(map(float, some)) for some in (box[::2], box[1::2]))
    half = max(16.0, 0.75 * max(ymax - ymin, xmax - xmin))
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    left, top = (max(0, int(value - half)) for value in (x, y))
    left, top = min(left, photo.width - 1), min(top, photo.height - 1)
    right = max(left + 1, min(photo.width, int(x + half) + 1))
    bottom = max(top + 1, min(photo.height, int(y + half) + 1))
    piece = photo.crop((left, top, right, bottom))
    frame = {"x": xmin - left, "y": ymin - top, "w": xmax - xmin, "h": ymax - ymin}
    frame = {name: round(value, 1) for name, value in frame.items()}
    return {"uri": encode(piece, CROP), "width": piece.width, "height": piece.height, "box": frame}


def make_alt_text(picture: dict) -> str:
    """The text for people who can't see a picture that `describe_image` describes."""
    objects = picture["objects"]
    drawn = [box["text"] for box in picture["boxes"] if box["state"] in ("right", "wrong")]
    text = f"{picture['name']}: {count(objects, 'object')}, {picture['summary']}"
    return text + (f". Boxes: {join(drawn[:6])}." if drawn else ". No boxes.")
