// The official JavaScript client's HTTP calls against a server on loopback.
//
// Takes one argument, JSON: {url, key, app, bad}; calls run, subscribe, stream and storage.upload, then run with a bad
// input; prints one JSON object of what it saw.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { createFalClient } = require("@fal-ai/client");

const task = JSON.parse(process.argv[2]);

// The client knows fal's addresses only: send them to the one place that there is, each host below its own name.
const toLoopback = (address, options) => {
  const { hostname, pathname, search } = new URL(address);
  const local = hostname === "127.0.0.1" ? "" : `/${hostname}`;
  return fetch(task.url + local + pathname + search, options);
};

const fal = createFalClient({ credentials: task.key, fetch: toLoopback, suppressLocalCredentialsWarning: true });
const input = { prompt: "a red fox in the snow", image_size: "square" };
const seen = { statuses: [], logs: [], events: [] };

const run = await fal.run(task.app, { input });
seen.run = run.data.images[0].url;
seen.requestId = run.requestId;

const subscribed = await fal.subscribe(task.app, {
  input,
  logs: true,
  pollInterval: 50,
  onEnqueue: (id) => (seen.enqueued = id),
  onQueueUpdate: (update) => {
    seen.statuses.push(update.status);
    seen.logs.push(...(update.logs ?? []).map((line) => line.message));
  },
});
seen.subscribed = { id: subscribed.requestId, image: subscribed.data.images[0].url };

const streaming = await fal.subscribe(task.app, { input, mode: "streaming" });
seen.streamedStatus = streaming.data.images[0].url;

const stream = await fal.stream(task.app, { input });
for await (const event of stream) seen.events.push(event.images.length);
seen.done = (await stream.done()).images[0].url;

seen.upload = await fal.storage.upload(new Blob(["a small file"], { type: "text/plain" }));
seen.uploaded = await (await fetch(seen.upload)).text();

const failure = async (call) => {
  try {
    await call();
  } catch (error) {
    return { status: error.status, detail: error.body?.detail };
  }
};
seen.invalid = await failure(() => fal.run(task.app, { input: task.bad }));
seen.unknown = await failure(() => fal.run("acme/nothing/here", { input }));
const stranger = createFalClient({ credentials: "", fetch: toLoopback, suppressLocalCredentialsWarning: true });
seen.unauthorized = await failure(() => stranger.run(task.app, { input }));

process.stdout.write(JSON.stringify(seen));
process.exit(0);
