// Node with `ws`: echoes, or sends to all of a set, as the documentation of
// `ws` has it; with `bufferutil`, which it recommends, and without compression
// unless it is measured.

import { WebSocket, WebSocketServer } from "ws";

// With COMPRESSION: no context takeover, from the host's threshold on, and zlib's
// default level, which `ws` uses. Its documentation does not recommend more.
const perMessageDeflate = process.env.COMPRESSION
  ? { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 512 }
  : false;
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
const subscribers = new Set();

server.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url === "/fan-out/subscribe") {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
  } else if (request.url === "/fan-out/publish") {
    socket.on("message", (data, isBinary) => {
      for (const subscriber of subscribers) {
        if (subscriber.readyState === WebSocket.OPEN) subscriber.send(data, { binary: isBinary });
      }
    });
  } else {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  }
});

server.on("listening", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
