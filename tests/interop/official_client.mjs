// The official JavaScript client against a server on loopback.
//
// Takes one argument, JSON: {url, key, app, inputs, tokens}; sends each input when the one before was answered;
// prints one JSON object: {results, errors, tokenApps, upgrades}. Pictures are told by their size and first bytes.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { createFalClient } = require("@fal-ai/client");
const WebSocketOfWs = require("ws");

const task = JSON.parse(process.argv[2]);
const upgrades = [];
const tokenApps = [];

// The client knows fal's addresses only: send them to the one place that there is.
globalThis.WebSocket = class extends WebSocketOfWs {
  constructor(address) {
    const { pathname, search } = new URL(address);
    upgrades.push(pathname + search.replace(/fal_jwt_token=[^&]*/, "fal_jwt_token=..."));
    super(task.url.replace("http", "ws") + pathname + search);
    this.binaryType = "arraybuffer";
  }
};
const toLoopback = (address, options) => {
  const { pathname, search } = new URL(address);
  return fetch(task.url + pathname + search, options);
};

async function fetchToken(app) {
  tokenApps.push(app);
  const response = await fetch(`${task.url}/tokens/realtime`, {
    method: "POST",
    headers: { Authorization: `Key ${task.key}`, "Content-Type": "application/json" },
    body: JSON.stringify(
      task.tokens === "documented" ? { allowed_apps: [app], duration: 120 } : { app, token_expiration: 120 },
    ),
  });
  if (!response.ok) throw new Error(`token request: ${response.status}`);
  const answer = await response.json();
  return task.tokens === "documented" ? answer.token : answer;
}

// What JSON cannot hold.
const revive = (input) =>
  Object.fromEntries(
    Object.entries(input).map(([name, value]) =>
      value?.base64 ? [name, Uint8Array.from(Buffer.from(value.base64, "base64"))] : [name, value],
    ),
  );
const describe = (result) => ({
  ...result,
  images: result.images?.map((image) => ({
    ...image,
    content: { bytes: image.content.length, start: Buffer.from(image.content.slice(0, 4)).toString("hex") },
  })),
});

const client = createFalClient({ credentials: task.key, fetch: toLoopback, suppressLocalCredentialsWarning: true });
const inputs = task.inputs.map(revive);
const results = [];
const errors = [];
await new Promise((resolve) => {
  const connection = client.realtime.connect(task.app, {
    clientOnly: false,
    throttleInterval: 0,
    maxBuffering: 2,
    ...(task.tokens !== "default" ? { tokenProvider: fetchToken, tokenExpirationSeconds: 120 } : {}),
    onResult: (result) => {
      results.push(describe(result));
      next();
    },
    onError: (error) => {
      errors.push(`${error.status} ${error.message}`);
      resolve();
    },
  });
  function next() {
    if (inputs.length) connection.send(inputs.shift());
    else {
      connection.close();
      resolve();
    }
  }
  next();
});
process.stdout.write(JSON.stringify({ results, errors, tokenApps, upgrades }));
// The client's timer that renews tokens would keep the process alive.
process.exit(0);
