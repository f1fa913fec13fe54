// The page: its buttons and sliders, and the loop from a picture to its boxes.

import {choose} from "./detections.js";
import {draw} from "./drawing.js";
import {makeName, makeZip} from "./keep.js";
import {countCameras, encode, openCamera, openVideo, readPhoto} from "./sources.js";
import {fillIn, texts} from "./texts.js";

const $ = (id) => document.getElementById(id);
const SECOND = 1000;

let model = null; // what model.json holds
let worker = null;
let source = null; // the camera or video that runs
let photos = []; // the files that were opened, and which of them is shown
let photo = 0;
let shown = null; // {bitmap, found, file (of a photo)}: what is on the canvas
let turn = 0; // counts what was begun: what an older turn still finds is not shown
let facing = "environment";
let times = []; // when the last frames were finished
const kept = []; // what makeZip takes
const limits = {score: 0.5, overlap: 1, hidden: new Set()};

// ---------------------------------------------------------------- the detector

const waiting = new Map(); // id of a question -> {resolve, reject} of who waits for its answer
let questions = 0;

function ask(question, transfer = []) {
  return new Promise((resolve, reject) => {
    const id = ++questions;
    waiting.set(id, {resolve, reject});
    worker.postMessage({id, ...question}, transfer);
  });
}

// The worker comes from a blob, since such a one is held to this page's content security policy on any host.
function startWorker() {
  const script = `importScripts(${JSON.stringify(new URL("worker.js", document.baseURI).href)})`;
  const address = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
  worker = new Worker(address);
  worker.onmessage = ({data}) => {
    const {resolve, reject} = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error === undefined) resolve(data);
    else reject(new Error(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    for (const {reject} of waiting.values()) reject(new Error(event.message));
    waiting.clear();
  };
  return ask({start: model, base: document.baseURI}).finally(() => URL.revokeObjectURL(address));
}

// {bitmap, found, milliseconds} of an ImageBitmap, which goes to the worker and comes back.
const detect = (bitmap) => ask({bitmap}, [bitmap]);

// ---------------------------------------------------------------- what is shown

// {bitmap, found, file} of what the canvas shows, before the sliders; null at first. For the console, and for tests.
export const getShown = () => shown;

function say(text) {
  $("message").textContent = text;
  $("message").hidden = !text;
}

function listShown() {
  return choose(shown.found, limits).map((one) => ({...one, ...model.classes[one.number]}));
}

function refresh() {
  $("score-shown").textContent = `${Math.round(100 * limits.score)}%`;
  $("overlap-shown").textContent = `${Math.round(100 * limits.overlap)}%`;
  $("wrong").disabled = !shown;
  if (!shown) return;
  const detections = listShown(), {width, height} = shown.bitmap;
  $("stage").style.setProperty("--ratio", width / height);
  draw($("picture"), shown.bitmap, detections);
  $("picture").setAttribute("aria-label", texts.found(detections.length));
  const counts = new Map();
  for (const {number} of detections) counts.set(number, (counts.get(number) ?? 0) + 1);
  for (const output of $("classes").querySelectorAll("output")) {
    output.textContent = counts.get(Number(output.dataset.number)) ?? "";
  }
}

function show(bitmap, found, file) {
  shown?.bitmap.close();
  shown = {bitmap, found, file};
  $("welcome").hidden = true;
  $("picture").hidden = false;
  refresh();
}

function showRate(milliseconds) {
  const now = performance.now();
  times = [...times.filter((time) => now - time < 2 * SECOND), now];
  const rate = times.length > 1 ? ((times.length - 1) * SECOND) / (now - times[0]) : 0;
  $("status").textContent = rate ? texts.rate(rate, milliseconds) : texts.took(milliseconds);
}

// ---------------------------------------------------------------- camera, videos, photos

// Ends what runs, and says which turn it is now.
function stop() {
  source?.close();
  source = null;
  times = [];
  say("");
  $("camera").querySelector("span").textContent = texts.camera;
  for (const id of ["flip", "player", "pager"]) $(id).hidden = true;
  return ++turn;
}

function reportFailure(error) {
  stop();
  say(texts.failed(error.message));
}

// What the detector finds on the next frame; null after the end of the source.
async function detectNext(from) {
  const frame = await from.next();
  return frame && detect(frame);
}

// Detects on one frame after the other, as fast as it goes, until another turn begins.
async function watch(mine) {
  const from = source;
  try {
    let coming = detectNext(from);
    while (turn === mine) {
      const answer = await coming;
      if (!answer || turn !== mine) {
        answer?.bitmap.close();
        return;
      }
      coming = detectNext(from); // is worked on while this one is drawn
      show(answer.bitmap, answer.found, null);
      showRate(answer.milliseconds);
      if (!from.live) $("seek").value = from.video.currentTime / from.video.duration;
      await new Promise(requestAnimationFrame); // rests while the page is not seen
    }
    (await coming)?.bitmap.close();
  } catch (error) {
    if (turn === mine) reportFailure(error);
  }
}

async function useCamera() {
  const mine = stop();
  if (!navigator.mediaDevices) {
    say(texts.insecure);
    return;
  }
  try {
    const opened = await openCamera(facing);
    if (turn !== mine) {
      opened.close();
      return;
    }
    source = opened;
  } catch (error) {
    say(error.name === "NotAllowedError" ? texts.refused : texts.absent);
    return;
  }
  $("camera").querySelector("span").textContent = texts.stop;
  $("flip").hidden = (await countCameras()) < 2;
  watch(mine);
}

async function useVideo(file) {
  const mine = stop();
  try {
    source = await openVideo(file);
  } catch {
    say(texts.unreadable(file.name));
    return;
  }
  $("player").hidden = false;
  showPlaying();
  watch(mine);
}

function showPlaying() {
  $("player").classList.toggle("is-paused", source.video.paused);
}

async function usePhoto() {
  const mine = stop(), file = photos[photo];
  $("pager").hidden = photos.length < 2;
  $("place").textContent = texts.place(photo + 1, photos.length);
  let bitmap;
  try {
    bitmap = await readPhoto(file);
  } catch {
    say(texts.unreadable(file.name));
    return;
  }
  try {
    const answer = await detect(bitmap);
    if (turn !== mine) {
      answer.bitmap.close();
      return;
    }
    show(answer.bitmap, answer.found, file);
    $("status").textContent = texts.took(answer.milliseconds);
  } catch (error) {
    reportFailure(error);
  }
}

function openFiles(files) {
  const video = files.find(({type}) => type.startsWith("video/"));
  if (video) useVideo(video);
  else if (files.length) {
    photos = files;
    photo = 0;
    usePhoto();
  }
}

function turnPage(step) {
  photo = (photo + step + photos.length) % photos.length;
  usePhoto();
}

// ---------------------------------------------------------------- what was wrong

function showKept() {
  $("kept").hidden = $("badge").hidden = !kept.length;
  $("badge").textContent = kept.length;
  $("count").textContent = texts.count(kept.length);
}

async function keep() {
  const {bitmap, file} = shown, boxes = listShown().map(({name, box}) => ({name, box}));
  const {width, height} = bitmap;
  $("wrong").disabled = true; // the same frame is kept once
  const {bytes, suffix} = await encode(bitmap, file);
  const former = kept.findIndex((one) => file && one.file === file); // a photo, with other boxes than before
  const place = former < 0 ? kept.length : former;
  kept[place] = {file, name: makeName(place + 1, file?.name ?? "", suffix), bytes, width, height, boxes};
  showKept();
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([makeZip(kept)], {type: "application/zip"}));
  link.download = makeName(kept.length, "", ".zip");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60 * SECOND);
}

// ---------------------------------------------------------------- the controls

function listClasses() {
  model.classes.forEach(({name, colours}, number) => {
    const row = document.createElement("li"), label = document.createElement("label");
    const [box, chip, text, count] = ["input", "i", "bdi", "output"].map((kind) => document.createElement(kind));
    box.type = "checkbox";
    box.checked = true;
    box.dataset.number = count.dataset.number = number;
    chip.style.background = colours.line;
    text.textContent = text.title = name;
    label.append(box, chip, text, count);
    row.append(label);
    $("classes").append(row);
  });
  $("switches").hidden = model.classes.length < 3;
}

function readClasses() {
  const off = [...$("classes").querySelectorAll("input:not(:checked)")];
  limits.hidden = new Set(off.map(({dataset}) => Number(dataset.number)));
  refresh();
}

function switchAll(on) {
  for (const box of $("classes").querySelectorAll("input")) box.checked = on;
  readClasses();
}

function setUpSliders() {
  limits.overlap = model.overlap; // the model itself leaves out what overlaps by more
  $("score").value = 100 * limits.score;
  $("overlap").max = $("overlap").value = Math.round(100 * model.overlap);
  for (const id of ["score", "overlap"]) {
    $(id).addEventListener("input", () => {
      limits[id] = Number($(id).value) / 100;
      refresh();
    });
  }
}

function setUpDropping() {
  const wanted = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!wanted(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!wanted(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    openFiles([...event.dataTransfer.files]);
  });
}

function setUpButtons() {
  const press = (id, act) => $(id).addEventListener("click", act);
  press("camera", () => (source?.live ? stop() : useCamera()));
  press("open", () => $("files").click());
  press("wrong", keep);
  press("flip", () => {
    facing = facing === "user" ? "environment" : "user";
    useCamera();
  });
  press("previous", () => turnPage(-1));
  press("next", () => turnPage(1));
  press("play", async () => {
    if (source.video.paused) await source.video.play();
    else source.video.pause();
    showPlaying();
  });
  press("all", () => switchAll(true));
  press("none", () => switchAll(false));
  press("download", download);
  press("forget", () => {
    kept.length = 0;
    showKept();
  });
  $("files").addEventListener("change", () => {
    openFiles([...$("files").files]);
    $("files").value = "";
  });
  $("seek").addEventListener("input", () => (source.video.currentTime = $("seek").value * source.video.duration));
  $("classes").addEventListener("change", readClasses);
  addEventListener("keydown", ({key, target}) => {
    if (photos.length < 2 || source || target.type === "range") return;
    if (key === "ArrowLeft" || key === "ArrowRight") turnPage(key === "ArrowLeft" ? -1 : 1);
  });
  addEventListener("beforeunload", (event) => kept.length && event.preventDefault());
  new ResizeObserver(refresh).observe($("stage"));
}

async function start() {
  const began = performance.now();
  fillIn();
  $("status").textContent = texts.loading;
  try {
    model = await (await fetch("model.json")).json();
    document.title = $("title").textContent = model.title;
    $("about").textContent = texts.about(model.file, (model.bytes / 1e6).toFixed(1));
    listClasses();
    setUpSliders();
    refresh();
    await startWorker();
  } catch (error) {
    $("status").textContent = "";
    say(texts.failed(error.message));
    return;
  }
  setUpDropping();
  setUpButtons();
  $("status").textContent = texts.ready((performance.now() - began) / SECOND);
  document.documentElement.dataset.ready = "";
}

start();
