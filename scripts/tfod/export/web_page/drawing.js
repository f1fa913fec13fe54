// A photo or frame on the page's canvas, with its boxes in the colours of `make infer`.

const FONT = '600 14px system-ui, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
const LINE = 3, HEIGHT = 22, PAD = 6; // pixels of the page: of a box's line, of a label

// Where a picture of `width` x `height` lies in a canvas: as large as fits, in the middle.
function fit(width, height, canvas) {
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const size = [width * scale, height * scale];
  return {left: (canvas.width - size[0]) / 2, top: (canvas.height - size[1]) / 2, width: size[0], height: size[1]};
}

function shorten(context, text, end, width) {
  if (context.measureText(text + end).width <= width) return text + end;
  const letters = [...text];
  let least = 0, most = letters.length; // letters that certainly fit, that may fit
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (context.measureText(`${letters.slice(0, middle).join("")}…${end}`).width <= width) least = middle;
    else most = middle - 1;
  }
  return `${letters.slice(0, least).join("")}…${end}`;
}

function meets(one, other) {
  return one.x < other.x + other.width && other.x < one.x + one.width && one.y < other.y + HEIGHT && other.y < one.y + HEIGHT;
}

// Above its box, below, or inside it: the first place that no better detection's label takes.
function placeLabel(frame, width, within, taken) {
  const x = Math.max(within.left, Math.min(frame.left - LINE / 2, within.left + within.width - width));
  const lowest = within.top + within.height - HEIGHT;
  const heights = [frame.top - HEIGHT, frame.top + frame.height, frame.top, frame.top + frame.height - HEIGHT];
  const places = heights.map((y) => ({x, y: Math.max(within.top, Math.min(y, lowest)), width}));
  return places.find((place) => !taken.some((other) => meets(place, other))) ?? places[0];
}

// Draws the ImageBitmap, and the detections {name, score, box, colours: {line, text}} on it, the best on top.
export function draw(canvas, bitmap, detections) {
  const scale = devicePixelRatio || 1, {clientWidth, clientHeight} = canvas;
  canvas.width = Math.round(clientWidth * scale);
  canvas.height = Math.round(clientHeight * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const place = fit(bitmap.width, bitmap.height, canvas);
  context.drawImage(bitmap, place.left, place.top, place.width, place.height);
  context.scale(scale, scale); // from here on in pixels of the page
  const within = Object.fromEntries(Object.entries(place).map(([key, value]) => [key, value / scale]));
  const frames = detections.map(({box: [ymin, xmin, ymax, xmax]}) => ({
    left: within.left + xmin * within.width, top: within.top + ymin * within.height,
    width: (xmax - xmin) * within.width, height: (ymax - ymin) * within.height,
  }));
  context.lineJoin = "round";
  for (let i = detections.length - 1; i >= 0; i--) {
    const {left, top, width, height} = frames[i], {line, text} = detections[i].colours;
    for (const [colour, thickness] of [[text, LINE + 2], [line, LINE]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.strokeRect(left, top, width, height);
    }
  }
  context.font = FONT;
  context.textBaseline = "middle";
  const taken = [];
  detections.forEach(({name, score, colours}, i) => {
    const words = name.split(/\s+/).filter(Boolean).join(" ");
    const label = shorten(context, words, ` ${Math.round(100 * score)}%`, within.width - 2 * PAD);
    const where = placeLabel(frames[i], context.measureText(label).width + 2 * PAD, within, taken);
    taken.push(where);
    context.fillStyle = colours.line;
    context.fillRect(where.x, where.y, where.width, HEIGHT);
    context.fillStyle = colours.text;
    context.fillText(label, where.x + PAD, where.y + HEIGHT / 2 + 0.5);
  });
}
