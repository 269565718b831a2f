// The socket to our own server, which talks to fal. It comes back by itself, and says in words what is the matter.

import { decode, encode } from "./msgpack.js";

const WORDS = {
  1007: "The server could not read what this page sent.",
  1009: "The picture is too large for this server.",
  4401: "You are not logged in on this server.",
  4403: "This server does not allow that model, or this page.",
  4408: "This connection is too slow.",
  4429: "Too many requests: this server limits them. It goes on in a moment.",
};
const FINAL = new Set([1007, 1009, 4401, 4403]);

export class Relay extends EventTarget {
  constructor(app, channel) {
    super();
    this.url = `${location.protocol.replace("http", "ws")}//${location.host}/api/fal/realtime/${app}?channel=${channel}`;
    this.sent = 0;
    this.answered = 0;
    this.under = new Map(); // number -> what belongs to the frame: when it was taken, and its picture
    this.tries = 0;
    this.waiting = null; // the newest input while there is no socket
    this.closed = false;
    this.open();
  }

  open() {
    this.tell("connecting");
    this.socket = new WebSocket(this.url);
    this.socket.binaryType = "arraybuffer";
    this.sent = this.answered = 0;
    this.under.clear();
    this.result = null;
    this.socket.onopen = () => {
      this.tell("open");
      if (this.waiting) this.send(...this.waiting);
    };
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.heard(JSON.parse(data)) : (this.result = data));
    this.socket.onclose = ({ code, reason }) => this.lost(code, reason);
  }

  /** Send an input; `about` comes back with its answer. Without a socket the newest one waits. */
  send(input, about) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      this.waiting = [input, about];
      if (this.idle && !this.closed) { this.idle = false; this.open(); }
      return;
    }
    this.waiting = null;
    this.under.set(++this.sent, about);
    this.socket.send(encode(input));
  }

  /** Whether another frame would only lie about: the line is full, or enough are under way. */
  get busy() {
    return this.socket.readyState === WebSocket.OPEN && (this.socket.bufferedAmount > 0 || this.sent - this.answered > 3);
  }

  heard(words) {
    if (words.type === "x-fal-error") {
      if (words.error !== "TIMEOUT") this.complain(`The model says: ${words.reason || words.error}`);
      return;
    }
    if (words.action === "state") return this.tell(words.state);
    if (words.input === undefined || !this.result) return;
    this.tries = 0;
    this.answered = words.input;
    const about = this.under.get(words.input);
    for (const number of this.under.keys()) if (number <= words.input) this.under.delete(number);
    const result = decode(this.result);
    this.result = null;
    this.tell("open");
    this.dispatchEvent(new CustomEvent("answer", { detail: { result, words, about } }));
  }

  lost(code, reason) {
    if (this.closed) return;
    if (code === 1000) { this.idle = true; return this.tell("idle"); }
    if (FINAL.has(code)) { this.closed = true; this.tell("lost"); return this.complain(WORDS[code] + (reason ? ` (${reason})` : "")); }
    const seconds = Math.min(10, 0.5 * 2 ** this.tries++);
    const what = WORDS[code] || (code === 1011 ? `The model cannot be reached: ${reason}` : code === 1013 ? "fal cannot be reached just now." : "The server has gone.");
    this.tell("lost");
    if (this.tries < 3 || this.tries % 5 === 0) this.complain(`${what} Trying again …`);
    this.timer = setTimeout(() => this.open(), seconds * 1000 * (0.75 + Math.random() / 2));
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close(1000);
  }

  tell(state) { this.dispatchEvent(new CustomEvent("state", { detail: state })); }
  complain(text) { this.dispatchEvent(new CustomEvent("trouble", { detail: text })); }
}

/** Return the pictures of a result as blobs, and those that are elsewhere as URLs. */
export function picturesOf(result) {
  return (result.images || []).map((image) => {
    if (image.content instanceof Uint8Array) return new Blob([image.content], { type: image.content_type || "image/jpeg" });
    const [, type, body] = /^data:([^;,]+);base64,(.*)$/s.exec(image.url || "") || [];
    return body ? new Blob([Uint8Array.from(atob(body), (c) => c.charCodeAt(0))], { type }) : null;
  }).filter(Boolean);
}
