// The official JavaScript client's calls over HTTP against a server on loopback.
//
// Takes one argument, JSON: {url, key}; prints one JSON object with what each call gave.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { createFalClient } = require("@fal-ai/client");

const task = JSON.parse(process.argv[2]);
// The client knows fal's addresses only: send them to the one place that there is, under the names of their hosts.
const toLoopback = (address, options) => {
  const { host, pathname, search } = new URL(address);
  const target = address.toString().startsWith(task.url) ? address : `${task.url}/${host}${pathname}${search}`;
  return fetch(target, options);
};
globalThis.XMLHttpRequest = undefined;

const fal = createFalClient({ credentials: task.key, fetch: toLoopback, suppressLocalCredentialsWarning: true });
const app = "fal-ai/flux/schnell";
const input = { prompt: "a red fox", image_size: { width: 64, height: 64 }, seed: 7 };
const seen = {};

seen.run = (await fal.run(app, { input })).data;

const statuses = [];
seen.subscribe = (
  await fal.subscribe(app, { input, logs: true, onQueueUpdate: (update) => statuses.push(update.status) })
).data;
seen.statuses = statuses;

const stream = await fal.stream(app, { input });
seen.parts = [];
for await (const event of stream) seen.parts.push(event.images.length);
seen.streamed = await stream.done();

const { request_id } = await fal.queue.submit(app, { input });
let status;
do status = await fal.queue.status(app, { requestId: request_id, logs: true });
while (status.status !== "COMPLETED");
seen.logs = status.logs.length;
seen.result = (await fal.queue.result(app, { requestId: request_id })).data;

const text = new Blob(["hello"], { type: "text/plain" });
const small = await fal.storage.upload(text);
seen.small = await (await fetch(small)).text();

try {
  await fal.run(app, { input: { image_size: 3 } });
} catch (error) {
  seen.error = { status: error.status, fields: error.body.detail.map((problem) => problem.loc[1]) };
}

console.log(JSON.stringify(seen));
