// Bun's own server: echoes, or publishes to a topic, as its documentation has
// it. `publish` frames a message once for all who are subscribed.

const TOPIC = "all";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (server.upgrade(request, { data: { pathname } })) return;
    return new Response("a WebSocket is expected\n", { status: 426 });
  },
  websocket: {
    // With COMPRESSION: one compressor for all, without context takeover.
    perMessageDeflate: process.env.COMPRESSION ? { compress: "shared", decompress: "shared" } : false,
    open(socket) {
      if (socket.data.pathname === "/fan-out/subscribe") socket.subscribe(TOPIC);
    },
    message(socket, message) {
      if (socket.data.pathname === "/fan-out/publish") {
        server.publish(TOPIC, message);
      } else {
        socket.send(message, Boolean(process.env.COMPRESSION));
      }
    },
  },
});

console.log(`listening on http://127.0.0.1:${server.port}`);
