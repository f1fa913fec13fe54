// A photo as the model takes it: to the bit what `resize` and `_prepare` of tfod/inference/backends.py make of it.

const STRIP = 4_000_000; // pixels that are read from a photo at a time; some phones' canvases hold 16 million
const round = Math.fround; // to float32, in which Python calculates

// Where the pixels of a row or column of `wanted` pixels come from in one of `size`: TensorFlow 1's bilinear way, in
// which pixel i lies at i * size / wanted, without half a pixel's offset.
function findNeighbours(size, wanted) {
  const step = round(size / wanted);
  const lower = new Int32Array(wanted), upper = new Int32Array(wanted), share = new Float32Array(wanted);
  for (let i = 0; i < wanted; i++) {
    const place = round(i * step);
    lower[i] = Math.trunc(place);
    upper[i] = Math.min(lower[i] + 1, size - 1);
    share[i] = place - lower[i];
  }
  return {lower, upper, share};
}

// A function of (top, bottom) that gives the pixels of these two rows and all between, RGBA, and the number of the first.
function makeReader(bitmap) {
  const rows = Math.max(2, Math.min(bitmap.height, Math.floor(STRIP / bitmap.width)));
  const canvas = new OffscreenCanvas(bitmap.width, rows);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  let first = -1, pixels = null;
  return (top, bottom) => {
    if (first < 0 || bottom >= first + rows) {
      first = top;
      context.clearRect(0, 0, bitmap.width, rows);
      context.drawImage(bitmap, 0, -first);
      pixels = context.getImageData(0, 0, bitmap.width, rows).data;
    }
    return {pixels, first};
  };
}

// Float32Array [height * width * 3], RGB from 0 to 255: the ImageBitmap in the model's size.
export function resize(bitmap, width, height) {
  const read = makeReader(bitmap);
  const columns = findNeighbours(bitmap.width, width), rows = findNeighbours(bitmap.height, height);
  const resized = new Float32Array(height * width * 3);
  let place = 0;
  for (let y = 0; y < height; y++) {
    const {pixels, first} = read(rows.lower[y], rows.upper[y]);
    const above = (rows.lower[y] - first) * bitmap.width, below = (rows.upper[y] - first) * bitmap.width;
    const down = rows.share[y];
    for (let x = 0; x < width; x++) {
      const left = columns.lower[x], right = columns.upper[x], along = columns.share[x];
      for (let colour = 0; colour < 3; colour++) {
        const a = pixels[4 * (above + left) + colour], b = pixels[4 * (above + right) + colour];
        const c = pixels[4 * (below + left) + colour], d = pixels[4 * (below + right) + colour];
        const upper = round(a + round((b - a) * along)), lower = round(c + round((d - c) * along));
        resized[place++] = upper + round(round(lower - upper) * down);
      }
    }
  }
  return resized;
}

// What lies half way between two steps goes up, as in Python (`tfod.export.tflite.quantize`).
const HALF = round(0.501);

// What the model takes, of what `resize` gives. `input` is that of model.json: mean and std for each colour, type
// (float32, uint8 or int8), and scale and zero of the two latter.
export function prepare(resized, input) {
  const mean = input.mean.map(round), std = input.std.map(round), scale = round(input.scale);
  const limits = {uint8: [0, 255], int8: [-128, 127]}[input.type];
  const Values = {float32: Float32Array, uint8: Uint8Array, int8: Int8Array}[input.type];
  const prepared = new Values(resized.length);
  for (let i = 0, colour = 0; i < resized.length; i++, colour = colour === 2 ? 0 : colour + 1) {
    const value = round(round(resized[i] - mean[colour]) / std[colour]);
    prepared[i] = limits
      ? Math.min(Math.max(Math.floor(round(round(value / scale) + HALF)) + input.zero, limits[0]), limits[1])
      : value;
  }
  return prepared;
}
