// The TFLite model on LiteRT.js, in one thread: with several, the model's last step loses a class (TensorFlow issue
// 56058). Web pages of most hosts could not have several anyway.

import {Environment, Tensor, loadAndCompile, loadLiteRt} from "./litert/core.js";
import {prepare, resize} from "./pixels.js";

// Without a GPU: LiteRT.js would look for one, and warn on the console where there is none.
Environment.create = async () => new Environment({webGpuDevice: null});

// `detect(bitmap)`, which promises the list of [class from 0, score, ymin, xmin, ymax, xmax], best first, with edges as
// shares of the photo from 0 to 1.
export async function openDetector(model, base) {
  // What it says of its own start, line by line as errors on the console, is for its makers: what fails is thrown.
  self.Module = {locateFile: (name) => new URL(`litert/${name}`, base).href, printErr: () => {}};
  await loadLiteRt(new URL("litert/litert_wasm_compat_internal.js", base).href);
  const compiled = await loadAndCompile(await readFile(new URL(model.file, base)), {accelerator: "wasm"});
  const {width, height} = model.input;
  return async (bitmap) => {
    const input = new Tensor(prepare(resize(bitmap, width, height), model.input), [1, height, width, 3]);
    try {
      return readOutputs(await compiled.run(input), compiled, model.outputs);
    } finally {
      input.delete();
    }
  };
}

async function readFile(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.pathname}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// `names` are the outputs' names by what they hold: the runtime has them in another order than the file.
function readOutputs(tensors, compiled, names) {
  const places = new Map(compiled.getOutputDetails().map(({name, index}) => [name, index]));
  const read = (what) => tensors[places.get(names[what])].toTypedArray();
  const [boxes, classes, scores, [count]] = ["boxes", "classes", "scores", "count"].map(read);
  for (const tensor of tensors) tensor.delete();
  const found = [];
  for (let i = 0; i < count; i++) {
    const box = boxes.subarray(4 * i, 4 * i + 4).map((edge) => Math.min(Math.max(edge, 0), 1));
    found.push([Math.round(classes[i]), scores[i], ...box]);
  }
  return found.sort((one, other) => other[1] - one[1]);
}
