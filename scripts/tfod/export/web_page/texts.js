// What the page says, in English and in Chinese; the browser's language decides.

const english = {
  loading: "loading the detector…",
  ready: (seconds) => `ready after ${seconds.toFixed(1)} s`,
  rate: (rate, milliseconds) => `${rate.toFixed(rate < 10 ? 1 : 0)} frames/s · ${milliseconds.toFixed(0)} ms each`,
  took: (milliseconds) => `${milliseconds.toFixed(1)} ms`,
  invitation: "Turn the camera on, or open photos or a video.",
  hint: "You can drop them here, too.",
  privacy: "Everything is computed on this device. No picture leaves it.",
  camera: "Camera",
  stop: "Stop",
  open: "Photos, video",
  wrong: "This is wrong",
  flip: "the other camera",
  previous: "the photo before",
  next: "the next photo",
  play: "play or pause",
  seek: "place in the video",
  score: "Score threshold",
  scoreMeans: "Less certain detections are hidden.",
  overlap: "Overlap threshold (IoU)",
  overlapMeans: "Of boxes of one class that overlap by more, the best stays.",
  classes: "Classes",
  all: "all",
  none: "none",
  drop: "Drop photos or a video",
  keeping: "They stay on this page until you close it. Unpack the zip into the workspace's images folder, correct the boxes with make label, and train again.",
  download: "Download zip",
  forget: "Discard",
  count: (number) => `${number} ${number === 1 ? "photo" : "photos"} kept`,
  found: (number) => `${number} ${number === 1 ? "detection" : "detections"}`,
  place: (number, all) => `${number} of ${all}`,
  about: (file, megabytes) => `${file}, ${megabytes} MB, on LiteRT.js`,
  insecure: "Browsers give the camera only to pages from https or from localhost. docs/web.md says how a phone gets there.",
  refused: "The browser did not give the camera to this page. Allow it beside the address, and press Camera again.",
  absent: "There is no camera here, or another program uses it.",
  unreadable: (name) => `${name}: this browser can't read it; take a JPEG, PNG or WebP photo, or an MP4 or WebM video.`,
  failed: (reason) => `The detector can't be run here: ${reason}`,
};

const chinese = {
  loading: "正在加载检测器……",
  ready: (seconds) => `${seconds.toFixed(1)} 秒就绪`,
  rate: (rate, milliseconds) => `${rate.toFixed(rate < 10 ? 1 : 0)} 帧/秒 · 每帧 ${milliseconds.toFixed(0)} 毫秒`,
  took: (milliseconds) => `${milliseconds.toFixed(1)} 毫秒`,
  invitation: "打开摄像头，或者选择照片、视频。",
  hint: "也可以直接拖到这里。",
  privacy: "所有计算都在本机完成，图片不会离开这台设备。",
  camera: "摄像头",
  stop: "停止",
  open: "照片、视频",
  wrong: "检测错了",
  flip: "切换摄像头",
  previous: "上一张",
  next: "下一张",
  play: "播放或暂停",
  seek: "播放进度",
  score: "分数阈值",
  scoreMeans: "低于它的检测结果不显示。",
  overlap: "重叠阈值（IoU）",
  overlapMeans: "同一类别的框重叠超过它时，只留分数最高的。",
  classes: "类别",
  all: "全选",
  none: "全不选",
  drop: "松开即可检测",
  keeping: "关闭网页之前一直保留在这里。把压缩包解压到工作区的 images 目录，用 make label 改好框，再重新训练。",
  download: "下载压缩包",
  forget: "丢弃",
  count: (number) => `已留下 ${number} 张照片`,
  found: (number) => `检测到 ${number} 个目标`,
  place: (number, all) => `第 ${number} 张，共 ${all} 张`,
  about: (file, megabytes) => `${file}，${megabytes} MB，由 LiteRT.js 运行`,
  insecure: "浏览器只允许 https 或 localhost 的网页使用摄像头。手机怎样打开，见 docs/web.zh-CN.md。",
  refused: "浏览器没有允许本页使用摄像头。请在地址栏旁边改为允许，再按一次“摄像头”。",
  absent: "这里没有摄像头，或者它正被别的程序占用。",
  unreadable: (name) => `${name}：浏览器读不了这个文件；请用 JPEG、PNG、WebP 照片，或者 MP4、WebM 视频。`,
  failed: (reason) => `检测器无法在这里运行：${reason}`,
};

export const isChinese = /^zh\b/i.test(navigator.language);
export const texts = isChinese ? chinese : english;

// Puts the words into the page: data-text names an element's text, data-title its tooltip and its name for screen readers.
export function fillIn() {
  document.documentElement.lang = isChinese ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  for (const element of document.querySelectorAll("[data-title]")) {
    element.title = texts[element.dataset.title];
    element.setAttribute("aria-label", element.title);
  }
}
