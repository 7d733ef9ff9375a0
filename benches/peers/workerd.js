// workerd: echoes from a plain fetch handler. A worker may not touch another
// request's sockets, so those that hear each other are in a Durable Object,
// with the hibernation API that its documentation recommends for them.

import { DurableObject } from "cloudflare:workers";

export default {
  fetch(request, env) {
    if (request.headers.get("Upgrade") !== "websocket") {
      return new Response("a WebSocket is expected\n", { status: 426 });
    }
    if (new URL(request.url).pathname.startsWith("/fan-out/")) {
      return env.ROOM.get(env.ROOM.idFromName("all")).fetch(request);
    }
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    // Not as a `Blob` that must be awaited.
    server.binaryType = "arraybuffer";
    server.addEventListener("message", ({ data }) => server.send(data));
    return new Response(null, { status: 101, webSocket: client });
  },
};

export class Room extends DurableObject {
  fetch(request) {
    const tag = new URL(request.url).pathname;
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server, [tag]);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(_socket, message) {
    for (const subscriber of this.ctx.getWebSockets("/fan-out/subscribe")) subscriber.send(message);
  }
}
