// The playground. Frames from a source go to the relay when another can be of use; what comes back is shown and measured.

import { Figures } from "./figures.js";
import { build } from "./options.js";
import { Film, Loop, download } from "./record.js";
import { Relay, picturesOf } from "./relay.js";
import { Camera, Drawing, File as FileSource, Scene, Words } from "./sources.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const SURPRISES = [
  "an oil painting, molten gold and sapphire", "a paper-cut forest at dusk", "a neon city in the rain, 1987", "stained glass, cathedral light",
  "a watercolor by the sea", "a claymation set", "a comic book, bold ink and halftone dots", "made of embroidered silk", "an ice palace at dawn",
  "a pixel art adventure game", "Van Gogh's night sky", "a pencil sketch on old paper", "a sunset over mountains, photo", "a tiny world inside a teacup",
];
const KEYS = [["/", "write"], ["Space", "pause"], ["1–5", "source"], ["V", "view"], ["← →", "slider"], ["D", "surprise me"], ["R", "film"], ["G", "GIF"], ["S", "save"], ["X", "second screen"], ["F", "full screen"], ["O", "options"], ["T", "dark or light"], ["C", "clear"], ["Ctrl+Z", "undo"]];
const STATES = { idle: "ready", connecting: "connecting", open: "live", waiting: "reconnecting", warming: "the model is starting", lost: "no server", closed: "closed" };
// A frame that changes is sent at most so often where nothing is known yet, and a drawing so long after its last change.
const FIRST_INTERVAL = 90, DEBOUNCE = 70;

const view = new View($("stage")), figures = new Figures();
const paper = $("source"), pen = paper.getContext("2d", { willReadFrequently: true });
let catalogue, offer, relay, source, values = {}, paused = false, film = null, loop = null;
let lastSent = 0, interval = FIRST_INTERVAL, lastAnswer = 0, sending = false, dirty = false, debounce = 0, firstChange = 0;

// --- sending

function changed() {
  if (source?.live) return; // it sends anyway
  const now = performance.now();
  firstChange = firstChange || now;
  clearTimeout(debounce);
  // The last change is sent when the hand rests; while it moves, now and then.
  debounce = setTimeout(() => { firstChange = 0; send(); }, now - firstChange > 160 ? 0 : DEBOUNCE);
}

async function send() {
  if (paused || !relay) return;
  if (sending || relay.busy) { dirty = true; return; }
  sending = true; dirty = false;
  try {
    const input = { prompt: $("prompt").value.trim() || "a picture", ...values };
    let frame = null;
    const has = source.draw(pen, paper.width);
    if (has && offer.picture) {
      const blob = await new Promise((resolve) => paper.toBlob(resolve, "image/jpeg", offer.quality));
      frame = await createImageBitmap(paper);
      input[offer.picture] = offer.picture === "image_bytes" ? new Uint8Array(await blob.arrayBuffer()) : await dataUri(blob);
    } else if (offer.needs_picture) return;
    lastSent = performance.now();
    relay.send(input, { at: lastSent, frame });
  } finally { sending = false; }
}

const dataUri = (blob) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.readAsDataURL(blob);
});

function turn() {
  requestAnimationFrame(turn);
  if (source && !paused) {
    if (source.live && performance.now() - lastSent >= interval && !sending && !relay?.busy) send();
    else if (dirty && !sending && !relay?.busy) send();
    if (view.stage.dataset.view === "beside" || view.stage.querySelector(".drawing") || !view.image) source.draw(pen, paper.width);
  }
}

// --- what comes back

async function answered({ result, words, about }) {
  const now = performance.now();
  if (lastAnswer) {
    // As often as the model answers and half again: the newest frame is then never old when the model is free.
    const gap = Math.min(400, now - lastAnswer);
    interval = Math.max(33, Math.min(150, 0.9 * interval + 0.1 * (gap / 1.5)));
  }
  lastAnswer = now;
  const pictures = await Promise.all(picturesOf(result).map((blob) => createImageBitmap(blob).then((image) => ({ blob, image }))));
  if (!pictures.length) return;
  pictures.forEach(({ image, blob }, number) => {
    const show = () => { view.show(image, about?.frame ?? null); saved = blob; loop?.add(view.picture); };
    number === 0 ? show() : setTimeout(show, number * Math.min(200, interval));
  });
  if (about) figures.add(performance.now() - about.at, words);
}
let saved = null;

function tell() {
  const number = (value, digits = 0) => (value === null || !Number.isFinite(value) ? "–" : value.toFixed(digits));
  $("p50").textContent = number(figures.percentile(0.5));
  $("p95").textContent = number(figures.percentile(0.95));
  $("fps").textContent = number(figures.rate, 1);
  $("drops").textContent = figures.drops;
  $("inference").textContent = number(figures.inference);
  $("cost").textContent = catalogue.offline ? "free" : offer.price ? `$${(figures.openSeconds * offer.price).toFixed(3)}` : `${figures.openSeconds.toFixed(0)} s`;
  const style = getComputedStyle(document.documentElement);
  figures.draw($("ages"), ["--deep", "--rose", "--hot"].map((name) => style.getPropertyValue(name)));
}

function toast(text, bad = false) {
  const known = [...$("toasts").children].find((each) => each.textContent === text);
  known?.remove();
  const line = document.createElement("div");
  line.className = `toast${bad ? " bad" : ""}`;
  line.textContent = text;
  $("toasts").append(line);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => line.remove(), bad ? 7000 : 3200);
}

function tellState(state) { $("state").dataset.state = state; $("state").textContent = STATES[state] || state; }

// --- choices

function choose(app) {
  offer = catalogue.models.find((each) => each.app === app) || catalogue.models[0];
  $("model").value = offer.app;
  relay?.close();
  figures.reset();
  paper.width = paper.height = offer.size_pixels;
  values = build($("controls"), offer, changed);
  relay = new Relay(offer.app, catalogue.channel);
  relay.addEventListener("answer", ({ detail }) => answered(detail));
  relay.addEventListener("state", ({ detail }) => tellState(detail));
  relay.addEventListener("trouble", ({ detail }) => toast(detail, true));
  interval = FIRST_INTERVAL; lastAnswer = 0;
  localStorage.setItem("falrt.model", offer.app);
  if (!offer.picture && source && !(source instanceof Words)) { toast(`${offer.title} draws from words alone.`); use("words"); }
  else if (offer.needs_picture && source instanceof Words) use("scene");
  else changed();
}

async function use(name, file) {
  if (name === "words" && offer.needs_picture) choose(catalogue.models.find((each) => !each.needs_picture).app);
  if (name !== "words" && !offer.picture) choose(catalogue.models[0].app);
  if (name === "file" && !file) return $("pickfile").click();
  const video = $("monitor");
  const made = {
    scene: () => new Scene(), words: () => new Words(), camera: () => new Camera(video), file: () => new FileSource(file, video),
    draw: () => new Drawing(paper, () => ({ colour: $("colour").value, width: Number($("width").value) }), () => { drawn(); changed(); }),
  }[name]();
  source?.stop();
  source = null;
  try { await made.start(); } catch (error) {
    toast(error.message, true);
    return name === "scene" ? undefined : use("scene");
  }
  source = made;
  $("stage").classList.toggle("words", name === "words");
  $("stage").classList.toggle("still", name === "words");
  $("brush").hidden = name !== "draw";
  for (const button of document.querySelectorAll("#sources button")) button.setAttribute("aria-pressed", button.dataset.source === name);
  document.body.dataset.source = name;
  if (name === "draw") drawn();
  view.paint();
  changed();
}

const drawn = () => source?.draw(pen, paper.width);

function pause(on = !paused) {
  paused = on;
  $("pause").setAttribute("aria-pressed", on);
  $("pause").querySelector("use").setAttribute("href", `/page/icons.svg#${on ? "play" : "pause"}`);
  if (!on) changed();
}

function recordFilm() {
  try {
    if (film) { film.stop(); film = null; toast("Saved the film."); } else { film = new Film(view.picture); toast("Recording. Press R to end."); }
  } catch (error) { toast(error.message, true); }
  $("record").classList.toggle("live", Boolean(film));
}

function recordLoop() {
  if (loop) { const count = loop.stop(); loop = null; toast(count ? `Saved a GIF of ${count} pictures.` : "There was nothing to record.", !count); }
  else { loop = new Loop(recordLoop); toast("Recording a GIF: up to 60 pictures."); }
  $("gif").classList.toggle("live", Boolean(loop));
}

function theme(next = document.documentElement.dataset.theme === "light" ? "dark" : "light") {
  document.documentElement.dataset.theme = next;
  localStorage.setItem("falrt.theme", next);
}

const actions = {
  "/": () => $("prompt").focus(), " ": () => pause(), v: () => view.next(), d: surprise, r: recordFilm, g: recordLoop, t: () => theme(), x: share,
  s: () => (saved ? download(saved, saved.type === "image/png" ? "png" : "jpg") : toast("There is no picture yet.", true)),
  f: () => (document.fullscreenElement ? document.exitFullscreen() : $("stage").requestFullscreen?.()),
  o: () => { const shown = $("options").toggleAttribute("hidden"); $("tune").setAttribute("aria-expanded", !shown); },
  c: () => source instanceof Drawing && source.clear(),
  1: () => use("scene"), 2: () => use("camera"), 3: () => use("draw"), 4: () => use("file"), 5: () => use("words"),
  arrowleft: () => view.move(view.at - 0.04), arrowright: () => view.move(view.at + 0.04),
};

function surprise() {
  const others = SURPRISES.filter((each) => each !== $("prompt").value);
  $("prompt").value = others[Math.floor(Math.random() * others.length)];
  changed();
}

function share() {
  // A window of its own: in a tab it would hide this page, which then rests.
  window.open("/screen", "falrt-screen", "popup,width=1000,height=1000");
  toast(`Second screen: ${location.host}/screen. Whoever can reach this address can watch.`);
}

// --- wiring

function wire() {
  $("model").addEventListener("change", () => choose($("model").value));
  $("prompt").addEventListener("input", changed);
  $("prompt").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); $("prompt").blur(); } });
  for (const [id, key] of Object.entries({ record: "r", gif: "g", save: "s", share: "x", theme: "t", full: "f", tune: "o", dice: "d", pause: " ", clear: "c" })) $(id).addEventListener("click", actions[key]);
  $("undo").addEventListener("click", () => source.undo?.());
  for (const button of document.querySelectorAll("#sources button")) button.addEventListener("click", () => use(button.dataset.source));
  for (const button of document.querySelectorAll("#views button")) button.addEventListener("click", () => view.set(button.dataset.view));
  $("pickfile").addEventListener("change", ({ target }) => { if (target.files[0]) use("file", target.files[0]); target.value = ""; });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) { event.preventDefault(); return source?.undo?.(); }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && event.target.tagName === "BUTTON")) return;
    if (event.target.id === "handle" && event.key.startsWith("Arrow")) return;
    const action = actions[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("dropping"); const [file] = event.dataTransfer.files; if (file) use("file", file); });
  document.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) use("file", file); });
  // Frames of a page that nobody sees cost money.
  document.addEventListener("visibilitychange", () => { if (document.hidden && !film) { pause(true); document.body.dataset.hidden = "1"; } else if (document.body.dataset.hidden) { delete document.body.dataset.hidden; pause(false); } });
  document.querySelector(".keys").innerHTML = KEYS.map(([key, what]) => `<kbd>${key}</kbd> ${what}`).join(" &nbsp; ");
}

async function start() {
  theme(localStorage.getItem("falrt.theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
  try { catalogue = await (await fetch("/models")).json(); } catch { return toast("The server does not answer. Start it again with: falrt playground", true); }
  $("model").append(...catalogue.models.map((each) => new Option(innerWidth < 760 ? each.title : `${each.title}: ${each.note}`, each.app)));
  $("prompt").value = SURPRISES[Math.floor(Math.random() * SURPRISES.length)];
  choose(localStorage.getItem("falrt.model"));
  wire();
  await use(offer.picture ? "scene" : "words");
  setInterval(tell, 200);
  turn();
}

start();
