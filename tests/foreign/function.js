// A function as componentize-js has them: an event of the browser's service workers.

// Not kept from one request to the next, as each has an instance of its own.
let requests = 0;

async function answer(request) {
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/":
      requests += 1;
      return new Response(`hello ${requests}\n`);
    case "/echo":
      return new Response(request.body);
    case "/pieces": {
      const text = new TextEncoder();
      let next = 0;
      return new Response(
        new ReadableStream({
          async pull(controller) {
            if (next === 3) return controller.close();
            if (next > 0) await new Promise((done) => setTimeout(done, 20));
            next += 1;
            controller.enqueue(text.encode(`${next};`));
          },
        }),
      );
    }
    case "/ask":
      return new Response((await fetch(request.headers.get("x-ask"))).body);
    case "/fail":
      // Endless recursion, which the engine makes an exception of.
      return (function deeper(n) { return deeper(n + 1) + 1; })(0);
    default:
      return new Response("no such path\n", { status: 404 });
  }
}

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
