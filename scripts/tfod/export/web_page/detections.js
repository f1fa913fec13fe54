// What of the model's detections is shown: as `Detector._choose` and `suppress` of tfod/inference/detector.py choose.

// The share of their union that two boxes [ymin, xmin, ymax, xmax] have in common.
function overlap(one, other) {
  const area = (box) => Math.max(box[2] - box[0], 0) * Math.max(box[3] - box[1], 0);
  const shared = area([
    Math.max(one[0], other[0]), Math.max(one[1], other[1]), Math.min(one[2], other[2]), Math.min(one[3], other[3]),
  ]);
  return shared / (area(one) + area(other) - shared || 1);
}

// The detections {number, score, box} of `found` (as the worker gives it, best first) with at least the score
// `limits.score`, of classes that are not in the set `limits.hidden`, and that overlap no better one of their class by
// more than `limits.overlap`.
export function choose(found, limits) {
  const chosen = [];
  for (const [number, score, ...box] of found) {
    if (score < limits.score || limits.hidden.has(number)) continue;
    if (box[2] <= box[0] || box[3] <= box[1]) continue;
    const better = chosen.some((one) => one.number === number && overlap(one.box, box) > limits.overlap);
    if (!better) chosen.push({number, score, box});
  }
  return chosen;
}
