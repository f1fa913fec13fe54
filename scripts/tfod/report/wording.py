"""What a report says in words: is the detector good, what costs most, and what to do about it."""

import math

import numpy as np

from tfod.evaluation.tide import BOTH, CLASSIFICATION, CORRECT, KINDS
from tfod.report.analysis import Facts

GOOD, FAIR = 0.85, 0.6  # F1, a mean over the classes
FEW_OBJECTS = 100  # with fewer in the test images, the numbers say little
SMALL = 32  # pixels at the model's input: COCO's limit of small objects
SEEN = 0.1  # a box with a lower score is one of hundreds, and says nothing
MEANINGS = {
    "classification": "The box fits an object, but names another class.",
    "localization": "Right class, but box and object overlap too little (IoU 0.1 to 0.5).",
    "both": "Another class, and the box does not fit either.",
    "duplicate": "Another box has already found the object.",
    "background": "No labelled object is there (IoU below 0.1).",
    "missed": "No correct box at the recommended score.",
}


def count(number: int, what: str, many: str | None = None) -> str:
    """A number with its noun: 1 object, 1,234 objects."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def join(words: list[str]) -> str:
    """Words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def find_wilson_interval(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval (low, high) of a share, by Wilson's score: 0 to 1 where nothing was counted."""
    if not whole:
        return 0.0, 1.0
    z, share = 1.959964, part / whole
    middle = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return max(0.0, (middle - spread) / (1 + z * z / whole)), min(1.0, (middle + spread) / (1 + z * z / whole))


def summarize(facts: Facts) -> dict:
    """What the first lines of the report say: a dict of texts.

    grade: "good", "fair", "poor" or "unknown", the F1's grade; headline: one sentence with the numbers; honesty: how
    far these can be trusted; few: True if that is not far; weak: the weakest class, or ""; figures: list of (name,
    value, what it is).
    """
    objects, found = int(facts.counted.sum()), int((facts.counted & ~facts.missed).sum())
    boxes = int(facts.confident.sum())
    images = len(facts.evaluated.images)
    scores = [curve.best_f1 for curve in facts.curves.values() if curve.objects]
    f1 = float(np.mean(scores)) if scores else -1.0
    grade = "unknown" if not objects else "good" if f1 >= GOOD else "fair" if f1 >= FAIR else "poor"
    figures = _list_figures(facts, objects, found, boxes, f1)
    if not objects:
        text = f"Nothing could be measured: no object is labelled in {count(images, 'test image')}."
        return {"grade": grade, "few": False, "headline": text, "honesty": "", "weak": "", "figures": figures}
    headline = f"It finds {found:,} of {count(objects, 'object')}"
    if boxes:
        headline += f", and {found:,} of the {count(boxes, 'box', 'boxes')} that it draws {_be(found)} right."
    else:
        headline += ", and draws no boxes at all."
    return {
        "grade": grade,
        "few": objects < FEW_OBJECTS,
        "headline": headline,
        "honesty": _say_how_sure(facts, objects, found, images),
        "weak": _name_weakest(facts),
        "figures": figures,
    }


def _be(number):
    return "is" if number == 1 else "are"


def _say_how_sure(facts, objects, found, images):
    low, high = find_wilson_interval(found, objects)
    few = objects < FEW_OBJECTS
    text = f"Measured on {'only ' if few else ''}{count(images, 'image')}: in other photos like these it may find "
    text += f"anything from {low:.0%} to {high:.0%} of the objects"
    text += ". More test images would narrow that down." if few else " (95 % interval)."
    if facts.confident.any():
        text += " The recommended scores were chosen on these same images, which flatters the numbers a little."
    return text


def _name_weakest(facts):
    """A sentence about the class with the lowest F1, where there are several."""
    there = [(curve.best_f1, label) for label, curve in facts.curves.items() if curve.objects]
    if len(there) < 2:
        return ""
    f1, label = min(there)
    curve = facts.curves[label]
    found = f"{round(curve.best_recall * curve.objects):,} of {curve.objects:,} found, F1 {f1:.2f}"
    return f"The weakest of {len(there)} classes is {facts.get_name(label)}: {found}."


def _list_figures(facts, objects, found, boxes, f1):
    values = [
        ("Found", found / objects if objects else -1, "recall: share of the objects that have a correct box"),
        ("Right", found / boxes if boxes else -1, "precision: share of the boxes that are correct"),
        ("F1", f1, "both in one number, a mean over the classes"),
        ("AP50", _average(facts, "AP50"), "over all scores; a box fits from IoU 0.50"),
        ("mAP", _average(facts, "AP"), "COCO's: the mean over IoU 0.50 to 0.95"),
    ]
    return [(name, format_share(value), text) for name, value, text in values]


def _average(facts, metric):
    """The mean of a metric over the classes that have it, as COCO takes it; -1 where none has."""
    values = [one[metric] for one in facts.report["classes"] if one[metric] >= 0]
    return float(np.mean(values)) if values else -1.0


def format_share(value: float | None, digits: int = 2) -> str:
    """A share as text; "n/a" for None, NaN and -1, which stand for nothing to measure."""
    return "n/a" if value is None or value < 0 or math.isnan(value) else f"{value:.{digits}f}"


def describe_errors(facts: Facts) -> list[dict]:
    """The kinds of error, what costs most first: dicts with kind, meaning, count, what, cost, advice."""
    rows = []
    for kind in KINDS[1:]:
        number = facts.counts[kind]
        what = ("object", "objects") if kind == "missed" else ("box", "boxes")
        row = {"kind": kind, "meaning": MEANINGS[kind], "count": number, "what": count(number, *what)}
        rows.append(row | {"cost": max(0.0, facts.costs[kind]), "advice": _ADVICE[kind](facts)})
    return sorted(rows, key=lambda row: (-round(row["cost"], 4), -row["count"]))


def explain_cost(facts: Facts, rows: list[dict]) -> list[str]:
    """One or two sentences: what is wrong at the recommended scores, and what costs most over all scores."""
    objects = int(facts.counted.sum())
    if not objects:
        return ["Label some test images, and evaluate again."]
    lines = []
    missed, unsure = facts.counts["missed"], int((facts.missed & (facts.seen >= SEEN)).sum())
    wrong = int(facts.confident.sum()) - facts.counts["correct"]
    if missed:
        text = f"{missed:,} of {count(objects, 'object')} {_be(missed)} missed"
        some = "it" if missed == 1 else "all of them" if unsure == missed else f"{unsure:,} of them"
        text += f"; the model sees {some}, but with too low a score" if unsure else ""
        lines.append(text + (f". {wrong:,} of its boxes {_be(wrong)} wrong." if wrong else "."))
    elif wrong:
        lines.append(f"No object is missed; {wrong:,} of its boxes {_be(wrong)} wrong.")
    else:
        lines.append("No object is missed, and no box is wrong.")
    average = _average(facts, "AP50")
    before, after = f"{average:.2f}", f"{min(1, average + rows[0]['cost']):.2f}"
    if average >= 0 and before != after:
        kind = rows[0]["kind"]
        errors = "missed objects" if kind == "missed" else f"errors of the kind “{kind}”"
        lines.append(f"Over all scores, {errors} cost most: without them, AP50 would rise from {before} to {after}.")
    return lines


# ---------------------------------------------------------------- advice


def _advise_classification(facts):
    pairs = list_mix_ups(facts)[:2]
    named = join([f"{true} taken for {said} ({number})" for true, said, number in pairs])
    text = "Label more photos of the classes that are mixed up, and check that their labels are right"
    return text + (f": {named}." if named else ".")


def list_mix_ups(facts: Facts) -> list[tuple[str, str, int]]:
    """Rows (true class, detected class, number of boxes at the recommended score), the most frequent first."""
    chosen = facts.confident & np.isin(facts.errors.kind, [CLASSIFICATION, BOTH])
    labels = facts.evaluated.ground_truth.label[facts.errors.target[chosen]]
    pairs = np.stack([labels, facts.evaluated.detections.label[chosen]], 1)
    unique, number = np.unique(pairs, axis=0, return_counts=True)
    rows = [(facts.get_name(a), facts.get_name(b), int(n)) for (a, b), n in zip(unique, number, strict=True)]
    return sorted(rows, key=lambda row: -row[2])


def _advise_localization(facts):
    return "Draw boxes tight around the object, always in the same way; train longer, or with a larger INPUT_SIZE."


def _advise_both(facts):
    return "Look at these images first: often an object is half hidden, or labelled inconsistently."


def _advise_duplicate(facts):
    return (
        "Suppress more overlapping boxes: inference_main_v2.py --iou 0.5, or a lower iou_threshold in the config's"
        " post_processing."
    )


def _advise_background(facts):
    return (
        "Look at the wrong boxes under Mistakes. Where there is an object, label it. Where there is none, add photos of"
        " such places without any boxes (ALLOW_UNLABELLED=1), or raise the score threshold."
    )


def _advise_missed(facts):
    number = int(facts.missed.sum())
    unsure = facts.seen[facts.missed & (facts.seen >= SEEN)]
    small = int((measure_box_sides(facts)[facts.missed] < SMALL).sum())
    if small * 2 > number:
        text = f"{small:,} of the {count(number, 'missed object')} {_be(small)} smaller than {SMALL} pixels at the "
        return text + "model's input: use a larger input (INPUT_SIZE=640), or cut photos into parts."
    text = "Label more photos like those with missed objects, and train longer."
    if not len(unsure):
        return text
    score = math.floor(100 * unsure.min()) / 100
    more = (facts.errors.kind > CORRECT) & ~facts.confident & (facts.evaluated.detections.score >= score)
    price = count(int(more.sum()), "more wrong box", "more wrong boxes")
    some = "it" if number == 1 else "all of them" if len(unsure) == number else f"{len(unsure):,} of them"
    return f"{text} A lower score threshold, make infer SCORE={score:.2f}, would find {some}, at the price of {price}."


_ADVICE = {
    "classification": _advise_classification,
    "localization": _advise_localization,
    "both": _advise_both,
    "duplicate": _advise_duplicate,
    "background": _advise_background,
    "missed": _advise_missed,
}


def measure_box_sides(facts: Facts) -> np.ndarray:
    """float64 [T]: each ground truth box's side (square root of its area) in pixels at the model's input."""
    ground_truth, images = facts.evaluated.ground_truth, facts.evaluated.images
    factor = np.array([np.prod(facts.get_scale(image.width, image.height)) for image in images])
    sizes = np.maximum(ground_truth.box[:, 2:] - ground_truth.box[:, :2], 0)
    return np.sqrt(sizes.prod(1) * factor[ground_truth.image]) if len(images) else np.zeros(0)
