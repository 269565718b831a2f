// The second screen: what the playground shows, as large as it goes.

import { decode } from "./msgpack.js";
import { picturesOf } from "./relay.js";

const canvas = document.getElementById("picture"), glow = document.getElementById("glow").getContext("2d"), words = document.getElementById("words");
const g = canvas.getContext("2d");
let tries = 0;

async function show(data) {
  const bytes = new Uint8Array(data);
  // An encoded picture as it is, or a model's result.
  const blobs = [0xff, 0x89, 0x52, 0x47].includes(bytes[0]) ? [new Blob([bytes])] : picturesOf(decode(bytes));
  if (!blobs.length) return;
  const image = await createImageBitmap(blobs.at(-1));
  if (canvas.width !== image.width || canvas.height !== image.height) { canvas.width = image.width; canvas.height = image.height; }
  g.drawImage(image, 0, 0);
  glow.globalAlpha = 0.25;
  glow.drawImage(image, 0, 0, 64, 64);
  image.close();
  document.body.className = "has live";
}

function watch() {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/api/fal/watch/stage`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => { tries = 0; if (typeof data !== "string") show(data); };
  socket.onclose = ({ code, reason }) => {
    document.body.classList.remove("live");
    words.textContent = code === 4429 ? "Too many viewers from here." : code >= 4400 ? reason : "The show has paused. Coming back …";
    setTimeout(watch, Math.min(8000, 400 * 2 ** tries++));
  };
}

document.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()));
watch();
