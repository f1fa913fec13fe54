"""How far two models' detections of the same photos lie apart."""

import dataclasses

import numpy as np

ALIKE = 1e-3  # of scores within what a format may differ by, either may come first and suppress the other
SURE = 0.3  # a detection of such a score does not come and go by rounding


@dataclasses.dataclass
class Agreement:
    """What comparing detections found. `boxes` holds, for each pair of detections, by how many pixels of the photo
    the corner moved that moved most; `scores` by how much the score changed; `missing` counts those without a pair, and
    `left_out` the photos in which nothing stands out that could be compared."""

    boxes: list = dataclasses.field(default_factory=list)
    scores: list = dataclasses.field(default_factory=list)
    missing: int = 0
    left_out: int = 0

    @property
    def mean_box(self):
        return float(np.mean(self.boxes)) if self.boxes else 0.0

    @property
    def largest_box(self):
        return max(self.boxes, default=0.0)

    @property
    def largest_score(self):
        return max(self.scores, default=0.0)

    def holds(self, pixels, score):
        """True if each detection has its pair and none lies further apart than that; so, too, where there is none."""
        return not self.missing and self.largest_box <= pixels and self.largest_score <= score

    def __str__(self):
        photos = f"{self.left_out} photo{'s' * (self.left_out != 1)}"
        alike = f"; left out: what is found in {photos}, all of one score" if self.left_out else ""
        if not self.boxes and not self.missing:
            return f"no detections to compare{alike}"
        lost = f", {self.missing} without a counterpart" if self.missing else ""
        return (
            f"{len(self.boxes)} detections{lost}: boxes by {self.mean_box:.3f} pixels, at most {self.largest_box:.3f}, "
            f"scores by at most {self.largest_score:.5f}{alike}"
        )


def compare_detections(expected, found, sizes, least_score=0.0, top=10, least_spread=0.0):
    """The `Agreement` of two lists of detections, one per photo, each (boxes, classes, scores), best first.

    Boxes are float [N, 4] `[ymin, xmin, ymax, xmax]` normalized, classes [N] and scores [N]; `sizes` holds each photo's
    (width, height) in pixels. The `top` best of each photo with at least `least_score` look for their pair among all
    of the other side: the nearest box of the same class that overlaps it by half. Those of `found` look, too, so that
    a detection too many counts. Which of two boxes of nearly one score comes first makes no difference.

    A photo is left out where the scores of its `top` best lie within `least_spread`, as those of a model that is hardly
    trained: rounding decides there which boxes come first, which others they suppress, and which come in their place.
    """
    agreement = Agreement()
    for ours, theirs, (width, height) in zip(expected, found, sizes, strict=True):
        if len(ours[2]) >= top and np.ptp(ours[2][:top]) < least_spread:
            agreement.left_out += 1
            continue
        scale = np.array([height, width, height, width], np.float64)
        agreement.missing += _pair(theirs, ours, scale, least_score, top, [], [])
        agreement.missing += _pair(ours, theirs, scale, least_score, top, agreement.boxes, agreement.scores)
    return agreement


def compare_formats(expected, found, sizes, family):
    """The `Agreement` of one model in two formats, as `compare_detections` has it, without what rounding decides.

    `family` is "ssd", "center_net" or "faster_rcnn". Of an SSD that is hardly trained nothing may be left: its anchors
    have to be compared, too (`saved_model.compare_anchors`).
    """
    agreement = compare_detections(expected, found, sizes, least_spread=ALIKE if family == "ssd" else 0.0)
    # CenterNet finds the cells that no neighbour exceeds: of two that are equal either may be the one, or both
    if family == "center_net" and agreement.missing <= (len(agreement.boxes) + agreement.missing) / 10:
        agreement.missing = compare_detections(expected, found, sizes, SURE).missing
    return agreement


def _pair(these, those, scale, least_score, top, boxes, scores):
    """Pairs the best of `these` with `those`, notes the differences, and returns how many found no pair."""
    missing, taken = 0, set()
    for box, number, score in zip(*(np.asarray(part)[:top] for part in these), strict=True):
        if score < least_score or score <= 0 or not (box[2:] > box[:2]).all():
            continue
        best = None
        for index in np.flatnonzero(np.asarray(those[1]) == number):
            difference = float(np.abs((np.asarray(those[0][index], np.float64) - box) * scale).max())
            # between two boxes in one place, the score tells which is the same
            distance = difference + abs(float(those[2][index]) - float(score))
            if index not in taken and (best is None or distance < best[0]) and _overlap(box, those[0][index]) >= 0.5:
                best = distance, index, difference
        if best is None:
            missing += 1
            continue
        _, index, difference = best
        taken.add(index)
        boxes.append(difference)
        scores.append(abs(float(those[2][index]) - float(score)))
    return missing


def _overlap(one, other):
    """The intersection over union of two boxes; 1 for two equal ones without an area."""
    if np.array_equal(one, other):
        return 1.0
    top, left = np.maximum(one[:2], other[:2])
    bottom, right = np.minimum(one[2:], other[2:])
    shared = max(bottom - top, 0) * max(right - left, 0)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / both if both > 0 else 0.0
