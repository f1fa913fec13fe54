"""What a report says in words: is the detector good, what costs most, and what to do about it."""

import math

import numpy as np

from tfod.evaluation.tide import CORRECT, KINDS

GOOD, FAIR = 0.85, 0.6  # F1, a mean over the classes
FEW_OBJECTS = 100  # with fewer in the test images, what is measured says little
SMALL = 32  # pixels at the model's input: COCO's limit of small objects
SEEN = 0.1  # a box of a lower score is one of hundreds, and says nothing
NAMES = {
    "wrong class": "Wrong class",
    "poorly placed": "Badly placed box",
    "both": "Wrong class and badly placed",
    "duplicate": "Second box for one object",
    "background": "Box where nothing is",
    "missed": "Missed object",
}
MANY = {  # as a sentence names them
    "wrong class": "wrong classes",
    "poorly placed": "badly placed boxes",
    "both": "badly placed boxes of wrong classes",
    "duplicate": "second boxes for one object",
    "background": "boxes where nothing is",
    "missed": "missed objects",
}
MEANINGS = {
    "wrong class": "The box fits an object, but names another class.",
    "poorly placed": "Right class, but box and object share less than half of what both cover (IoU 0.1 to 0.5).",
    "both": "Another class, and the box does not fit either.",
    "duplicate": "The object has a better box already.",
    "background": "No labelled object is there (IoU below 0.1).",
    "missed": "No correct box at the recommended score.",
}


def count(number, what, many=None):
    """A number with its noun: 1 object, 1,234 objects."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"


def join(words):
    """Words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def find_interval(part, whole):
    """The 95 % interval (low, high) of a share, by Wilson's score: 0 to 1 where nothing was counted."""
    if not whole:
        return 0.0, 1.0
    z, share = 1.959964, part / whole
    middle = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    return max(0.0, (middle - spread) / (1 + z * z / whole)), min(1.0, (middle + spread) / (1 + z * z / whole))


def summarize(facts):
    """What the first lines of the report say: a dict of texts.

    grade: "good", "fair", "poor" or "unknown", the F1's grade; headline: one sentence with the numbers; honesty: how
    far these can be trusted; few: True if that is not far; weak: the weakest class, or ""; figures: list of (name,
    value, what it is).
    """
    objects, found = int(facts.counted.sum()), int((facts.counted & ~facts.missed).sum())
    boxes = int(facts.shown.sum())
    images = len(facts.evaluated.images)
    scores = [curve.best_f1 for curve in facts.curves.values() if curve.truths]
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
        headline += ", and draws no box at all."
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
    low, high = find_interval(found, objects)
    few = objects < FEW_OBJECTS
    text = f"Measured on {'only ' if few else ''}{count(images, 'image')}: of other photos like these it may find "
    text += f"anything from {low:.0%} to {high:.0%} of the objects"
    text += ". More test images would tell." if few else " (95 % interval)."
    if facts.shown.any():
        text += " The score from which a box counts was chosen on these same images, which flatters a little."
    return text


def _name_weakest(facts):
    """A sentence about the class with the lowest F1, where there are several."""
    there = [(curve.best_f1, label) for label, curve in facts.curves.items() if curve.truths]
    if len(there) < 2:
        return ""
    f1, label = min(there)
    curve = facts.curves[label]
    found = f"{round(curve.best_recall * curve.truths):,} of {curve.truths:,} found, F1 {f1:.2f}"
    return f"The weakest of {len(there)} classes is {facts.get_name(label)}: {found}."


def _list_figures(facts, objects, found, boxes, f1):
    values = [
        ("Found", found / objects if objects else -1, "recall: share of the objects that have a correct box"),
        ("Right", found / boxes if boxes else -1, "precision: share of the boxes that are correct"),
        ("F1", f1, "both in one number, a mean over the classes"),
        ("AP50", _average(facts, "AP50"), "over all scores; a box fits from IoU 0.50"),
        (
            "mAP",
            _average(facts, "AP"),
            "COCO's: boxes are to fit ever better, IoU 0.50 to 0.95",
        ),
    ]
    return [(name, show_share(value), text) for name, value, text in values]


def _average(facts, metric):
    """The mean of a metric over the classes that have it, as COCO takes it; -1 where none has."""
    values = [one[metric] for one in facts.report["classes"] if one[metric] >= 0]
    return float(np.mean(values)) if values else -1.0


def show_share(value, digits=2):
    """A share as text; "n/a" for -1, which stands for nothing to measure."""
    return "n/a" if value is None or value < 0 or math.isnan(value) else f"{value:.{digits}f}"


def describe_errors(facts):
    """The kinds of error, what costs most first: dicts with kind, name, meaning, count, what, cost, advice."""
    rows = []
    for kind in KINDS[1:]:
        number = facts.counts[kind]
        what = "object" if kind == "missed" else "box"
        rows.append(
            {
                "kind": kind,
                "name": NAMES[kind],
                "meaning": MEANINGS[kind],
                "count": number,
                "what": count(number, what, "boxes" if what == "box" else None),
                "cost": max(0.0, facts.costs[kind]),
                "advice": _ADVICE[kind](facts),
            }
        )
    return sorted(rows, key=lambda row: (-round(row["cost"], 4), -row["count"]))


def explain_cost(facts, rows):
    """Two or three sentences: what is wrong at the recommended score, and what costs most at all scores."""
    objects = int(facts.counted.sum())
    if not objects:
        return ["Label some test images, and evaluate again."]
    lines = []
    missed, unsure = facts.counts["missed"], int((facts.missed & (facts.seen >= SEEN)).sum())
    wrong = int(facts.shown.sum()) - facts.counts["correct"]
    if missed:
        text = f"{missed:,} of {count(objects, 'object')} {_be(missed)} missed"
        some = "all" if unsure == missed else f"{unsure:,}"
        text += f"; {some} of them it does see, but with too low a score" if unsure else ""
        lines.append(text + (f". {wrong:,} of its boxes {_be(wrong)} wrong." if wrong else "."))
    elif wrong:
        lines.append(f"No object is missed; {wrong:,} of its boxes {_be(wrong)} wrong.")
    else:
        lines.append("No object is missed, and no box is wrong.")
    before = _average(facts, "AP50")
    if rows[0]["cost"] >= 0.0005 and before >= 0:
        gain = f"from {before:.2f} to {min(1, before + rows[0]['cost']):.2f}"
        lines.append(f"Over all scores, {MANY[rows[0]['kind']]} cost most: without them, AP50 would go {gain}.")
    return lines


# ---------------------------------------------------------------- advice


def _advise_wrong_class(facts):
    pairs = list_mix_ups(facts)[:2]
    named = join([f"{true} taken for {said} ({number})" for true, said, number in pairs])
    text = "Label more photos of the classes that are mixed up, and look whether their labels are right"
    return text + (f": {named}." if named else ".")


def list_mix_ups(facts):
    """Rows (true class, detected class, number of boxes at the recommended score), the most frequent first."""
    chosen = facts.shown & np.isin(facts.errors.kind, [KINDS.index("wrong class"), KINDS.index("both")])
    truths = facts.evaluated.truths.label[facts.errors.truth[chosen]]
    pairs = np.stack([truths, facts.evaluated.detections.label[chosen]], 1)
    unique, number = np.unique(pairs, axis=0, return_counts=True)
    rows = [(facts.get_name(a), facts.get_name(b), int(n)) for (a, b), n in zip(unique, number, strict=True)]
    return sorted(rows, key=lambda row: -row[2])


def _advise_poorly_placed(facts):
    return "Draw boxes tight around the object, all in the same way; train longer, or with a larger input (INPUT_SIZE)."


def _advise_both(facts):
    return "Look at these images first: often an object is half hidden, or labelled in two ways."


def _advise_duplicate(facts):
    return (
        "Let overlapping boxes go: inference_main_v2.py --iou 0.5, or a lower iou_threshold in the config's"
        " post_processing."
    )


def _advise_background(facts):
    return (
        "Look at the wrong boxes that are cut out. What is an object: label it. What is none: add photos of such places"
        " without a box (ALLOW_UNLABELLED=1), or ask for a higher score."
    )


def _advise_missed(facts):
    number = int(facts.missed.sum())
    unsure = facts.seen[facts.missed & (facts.seen >= SEEN)]
    small = int((measure_sides(facts)[facts.missed] < SMALL).sum())
    if small * 2 > number:
        return (
            f"{small:,} of {number:,} are smaller than {SMALL} pixels at the model's input: take a larger one"
            " (INPUT_SIZE=640), or cut photos into parts."
        )
    text = "Label more photos like those with missed objects, and train longer."
    if not len(unsure):
        return text
    score = math.floor(100 * unsure.min()) / 100
    more = (facts.errors.kind > CORRECT) & ~facts.shown & (facts.evaluated.detections.score >= score)
    price = count(int(more.sum()), "more wrong box", "more wrong boxes")
    some = "it" if number == 1 else "all of them" if len(unsure) == number else f"{len(unsure):,} of them"
    return f"{text} A lower score, make infer SCORE={score:.2f}, would find {some}, at the price of {price}."


_ADVICE = {
    "wrong class": _advise_wrong_class,
    "poorly placed": _advise_poorly_placed,
    "both": _advise_both,
    "duplicate": _advise_duplicate,
    "background": _advise_background,
    "missed": _advise_missed,
}


def measure_sides(facts):
    """float [T]: each ground truth box's side (square root of its area) in pixels at the model's input."""
    truths, images = facts.evaluated.truths, facts.evaluated.images
    factor = np.array([np.prod(facts.get_scale(image.width, image.height)) for image in images])
    sizes = np.maximum(truths.box[:, 2:] - truths.box[:, :2], 0)
    return np.sqrt(sizes.prod(1) * factor[truths.image]) if len(images) else np.zeros(0)
