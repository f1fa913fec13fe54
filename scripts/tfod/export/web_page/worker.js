// Runs the detector beside the page, so that the page goes on answering. This is a classic worker, since the runtime
// loads its own script by importScripts, which workers made of modules do not have; the modules come by import().
//
// It is asked {id, start: model.json's content, base: the page's address} once, then {id, bitmap}. It answers {id}, and
// {id, bitmap (the same), found: [[class, score, ymin, xmin, ymax, xmax], ...], milliseconds}, or {id, error}.

let detect = null;

self.onmessage = async ({data: {id, start, base, bitmap}}) => {
  try {
    if (start) {
      const {openDetector} = await import(new URL("runtime.js", base));
      detect = await openDetector(start, base);
      self.postMessage({id});
      return;
    }
    const began = performance.now();
    const found = await detect(bitmap);
    self.postMessage({id, bitmap, found, milliseconds: performance.now() - began}, [bitmap]);
  } catch (error) {
    self.postMessage({id, error: String(error?.message ?? error)});
  }
};
