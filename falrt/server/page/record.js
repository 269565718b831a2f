// Recording: WebM by the browser, GIF by ourselves.

import { gif } from "./gif.js";

const GIF_SIZE = 320, GIF_MOST = 60;

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `falrt-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.${name}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Records a canvas until stopped; the file is then downloaded. */
export class Film {
  constructor(canvas) {
    if (!window.MediaRecorder) throw new Error("This browser cannot record. Try the GIF.");
    const kind = ["video/webm;codecs=vp9", "video/webm", "video/mp4"].find((each) => MediaRecorder.isTypeSupported(each));
    const parts = [];
    this.recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: kind, videoBitsPerSecond: 8_000_000 });
    this.recorder.ondataavailable = ({ data }) => parts.push(data);
    this.recorder.onstop = () => download(new Blob(parts, { type: kind }), kind.includes("mp4") ? "mp4" : "webm");
    this.recorder.start(500);
  }
  stop() { this.recorder.stop(); }
}

/** Collects pictures as they come; packs and downloads them when stopped or when there are enough. */
export class Loop {
  constructor(full) {
    this.frames = [];
    this.full = full;
    this.canvas = new OffscreenCanvas(GIF_SIZE, GIF_SIZE);
    this.g = this.canvas.getContext("2d", { willReadFrequently: true });
  }
  add(canvas) {
    const now = performance.now(), last = this.frames.at(-1);
    if (last) last.delay = Math.min(500, now - this.at);
    this.at = now;
    this.g.drawImage(canvas, 0, 0, GIF_SIZE, GIF_SIZE);
    this.frames.push({ pixels: this.g.getImageData(0, 0, GIF_SIZE, GIF_SIZE).data, delay: 100 });
    if (this.frames.length >= GIF_MOST) this.full();
  }
  stop() { if (this.frames.length) download(gif(this.frames, GIF_SIZE, GIF_SIZE), "gif"); return this.frames.length; }
}
