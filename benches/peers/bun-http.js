// Bun's own server: the answers of `guests/faults/hello`, and the events of
// `guests/notify`.

const PIECE = new Uint8Array(64 << 10).fill(120);
const PIECES = 16;

const encoder = new TextEncoder();
const subscribers = new Set();

function events() {
  let own;
  const body = new ReadableStream({
    start(controller) {
      own = controller;
      subscribers.add(controller);
      controller.enqueue(encoder.encode(": connected\n\n"));
    },
    cancel() {
      subscribers.delete(own);
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  switch (pathname) {
    case "/hello":
      return new Response("hello\n");
    case "/download": {
      let left = PIECES;
      return new Response(
        new ReadableStream({
          pull(controller) {
            if (left-- > 0) controller.enqueue(PIECE.slice());
            else controller.close();
          },
        }),
      );
    }
    case "/upload": {
      let bytes = 0;
      for await (const chunk of request.body) bytes += chunk.length;
      return new Response(`${bytes}\n`);
    }
    case "/echo":
      return new Response(request.body);
    case "/call": {
      const greeting = await fetch(`http://${search.slice(1)}/hello`);
      return new Response(await greeting.text());
    }
    case "/notify/all": {
      if (request.method === "GET") return events();
      const order = await request.json();
      const event = JSON.stringify({ message: "Order complete!", order });
      const bytes = encoder.encode(`data: ${event}\n\n`);
      for (const subscriber of subscribers) subscriber.enqueue(bytes);
      return new Response(`${subscribers.size}\n`);
    }
  }
  return new Response("no such answer\n", { status: 404 });
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  // Of what listens; those that are quiet are not closed.
  idleTimeout: 0,
  fetch: answer,
});

console.log(`listening on http://127.0.0.1:${server.port}`);
