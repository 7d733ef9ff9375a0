// Socket.IO's client, driven by a test: a command a line on standard input, an
// observation a line on standard output, both JSON. Bytes are {"bytes": base64}.
//
//   node client.cjs ORIGIN
//
// {"open": NAME, namespace, path, auth}      a connection of its own
// {"open": NAME, "on": OTHER, namespace, auth}  on the connection of another one
// {"emit": NAME, "event": [...], "ack": true}   with a callback if `ack` is there
// {"acknowledge": NUMBER, "with": [...]}     a callback that an observation named
// {"close": NAME}
"use strict";
const { createInterface } = require("node:readline");
const { io } = require("socket.io-client");

const origin = process.argv[2];
const sockets = new Map();
const callbacks = [];

const say = (observation) => console.log(JSON.stringify(observation));

// Bytes to something that JSON has, and back.
function plain(value) {
  if (Buffer.isBuffer(value)) return { bytes: value.toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function rich(value) {
  if (Array.isArray(value)) return value.map(rich);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.bytes === "string") return Buffer.from(value.bytes, "base64");
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rich(each)]));
}

function open({ open: name, on, namespace, path, auth }) {
  const options = {
    path,
    auth,
    transports: ["websocket"],
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 100,
  };
  const socket = on
    ? sockets.get(on).io.socket(namespace, { auth })
    : io(origin + namespace, options);
  sockets.set(name, socket);
  const tell = (what, more) => say({ socket: name, what, ...more });
  socket.on("connect", () => tell("connect", { id: socket.id }));
  socket.on("connect_error", (error) =>
    tell("connect_error", { message: error.message, data: error.data }));
  socket.on("disconnect", (reason) => tell("disconnect", { reason }));
  socket.onAny((event, ...given) => {
    const last = given.at(-1);
    const more = {};
    if (typeof last === "function") {
      given.pop();
      more.callback = callbacks.push(last) - 1;
    }
    tell(event, { with: plain(given), ...more });
  });
  if (!on) socket.io.on("ping", () => say({ socket: `${name}'s heart`, what: "ping" }));
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.open) {
    open(command);
  } else if (command.emit) {
    const event = rich(command.event);
    const answer = (...given) =>
      say({ socket: command.emit, what: "acknowledged", with: plain(given) });
    sockets.get(command.emit).emit(...event, ...(command.ack ? [answer] : []));
  } else if (command.acknowledge !== undefined) {
    callbacks[command.acknowledge](...rich(command.with));
  } else if (command.close) {
    sockets.get(command.close).disconnect();
  } else {
    throw new Error(`no command: ${line}`);
  }
}).on("close", () => process.exit(0));
