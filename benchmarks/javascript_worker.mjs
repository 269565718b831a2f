// The official JavaScript client as a worker: see worker.py, whose commands `open`, `block` and `close` it does.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../tests/interop/package.json", import.meta.url));
const { createFalClient } = require("@fal-ai/client");
const WebSocketOfWs = require("ws");

let port, app, message, connection, answered, closing;

// The client knows fal's addresses only: send them to the one place that there is.
globalThis.WebSocket = class extends WebSocketOfWs {
  constructor() {
    super(`ws://127.0.0.1:${port}/${app}/realtime`, { perMessageDeflate: false });
    this.binaryType = "arraybuffer";
  }
};

const ask = () =>
  new Promise((resolve) => {
    answered = resolve;
    connection.send(message);
  });

const commands = {
  async open(command) {
    await commands.close();
    ({ port, app } = command);
    message = { picture: require("node:crypto").randomBytes(command.size) };
    const client = createFalClient({ credentials: "id:secret", suppressLocalCredentialsWarning: true });
    connection = client.realtime.connect(app, {
      connectionKey: String(Math.random()),
      throttleInterval: 0,
      clientOnly: false,
      tokenProvider: async () => "a.b.c",
      onResult: () => answered(),
      onError: (error) => {
        if (!closing) throw error;
      },
    });
    for (let n = 0; n < 5; n++) await ask();
    return {};
  },
  async block({ count }) {
    const walls = [];
    const before = process.cpuUsage();
    for (let n = 0; n < count; n++) {
      const began = performance.now();
      await ask();
      walls.push((performance.now() - began) * 1e3);
    }
    const used = process.cpuUsage(before);
    walls.sort((a, b) => a - b);
    return {
      client_cpu: (used.user + used.system) / count,
      faults: null,
      p50: walls[Math.floor(count / 2)],
      p99: walls[Math.min(count - 1, Math.floor(count * 0.99))],
    };
  },
  async close() {
    closing = true;
    connection?.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    closing = false;
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(await commands[command.do](command)));
}
process.exit(0);
