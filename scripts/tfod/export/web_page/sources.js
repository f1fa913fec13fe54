// Where pictures come from: the camera, video files, photos. One at a time; `close()` ends it.

const OPTIONS = {imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none"}; // as Pillow reads

// A running video element as a source of frames. `next()` promises the newest frame, an ImageBitmap; null after the end.
function makeFrames(video, end) {
  let seen = -1, closed = false;
  return {
    video,
    close() {
      closed = true;
      end();
    },
    async next() {
      while (!closed && (video.readyState < 2 || video.currentTime === seen)) {
        await new Promise((resolve) => setTimeout(resolve, 4));
      }
      seen = video.currentTime;
      return closed ? null : createImageBitmap(video);
    },
  };
}

function makeVideo() {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  return video;
}

// The camera: "environment" is a phone's back one, "user" the front one. Raises what getUserMedia raises.
export async function openCamera(facing) {
  const wanted = {facingMode: {ideal: facing}, width: {ideal: 1280}, height: {ideal: 720}};
  const stream = await navigator.mediaDevices.getUserMedia({video: wanted, audio: false});
  const video = makeVideo();
  const close = () => stream.getTracks().forEach((track) => track.stop());
  try {
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    close();
    throw error;
  }
  return {...makeFrames(video, close), live: true};
}

export async function countCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({kind}) => kind === "videoinput").length;
}

// A video file, which plays in a circle. Raises an error where the browser can't play it.
export async function openVideo(file) {
  const video = makeVideo(), address = URL.createObjectURL(file);
  const close = () => {
    video.pause();
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(address);
  };
  video.loop = true;
  video.src = address;
  try {
    await video.play();
  } catch (error) {
    close();
    throw error;
  }
  return {...makeFrames(video, close), name: file.name};
}

// A photo file as an ImageBitmap, upright. Raises an error where the browser can't read it.
export function readPhoto(file) {
  return createImageBitmap(file, OPTIONS);
}

// {bytes, suffix} of a photo file as it is, if it is a JPEG or a PNG; else, and of a frame, those of a new JPEG.
export async function encode(bitmap, file) {
  if (file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const suffix = {0xff: ".jpg", 0x89: ".png"}[bytes[0]];
    if (suffix) return {bytes, suffix};
  }
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return {bytes: new Uint8Array(await blob.arrayBuffer()), suffix: ".jpg"};
}
