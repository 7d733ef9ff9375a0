// Deno's own server: echoes, or sends to all of a set, as its documentation has
// it. Binary messages come as they are, not as a `Blob` that must be awaited.

const subscribers = new Set();

function upgrade(request) {
  if (request.headers.get("upgrade") !== "websocket") {
    return new Response("a WebSocket is expected\n", { status: 426 });
  }
  const { pathname } = new URL(request.url);
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = "arraybuffer";
  if (pathname === "/fan-out/subscribe") {
    socket.onopen = () => subscribers.add(socket);
    socket.onclose = () => subscribers.delete(socket);
  } else if (pathname === "/fan-out/publish") {
    socket.onmessage = ({ data }) => {
      for (const subscriber of subscribers) subscriber.send(data);
    };
  } else {
    socket.onmessage = ({ data }) => socket.send(data);
  }
  return response;
}

Deno.serve(
  {
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
  },
  upgrade,
);
