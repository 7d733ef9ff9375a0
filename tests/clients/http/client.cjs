// Asks a function as programs in Node do: with `fetch`, `http` and `http2`.
//
// Arguments: the origin, without TLS. Prints what it was told, one JSON document a
// line.
'use strict';

const http = require('http');
const http2 = require('http2');
const {once} = require('events');

const origin = process.argv[2];
const told = (word, value) => console.log(JSON.stringify([word, value]));

const texts = ['one', 'é𝄞', 'x'.repeat(100_000), 'last'];

async function text(readable) {
  readable.setEncoding('utf8');
  let text = '';
  for await (const piece of readable) text += piece;
  return text;
}

// Sends each text when the one before has come back, and ends after the last. A plain
// function answers when the first piece is there.
async function inTurns(writable, answered) {
  writable.write(texts[0]);
  const readable = await answered;
  readable.setEncoding('utf8');
  const pieces = readable[Symbol.asyncIterator]();
  const turns = [];
  for (const text of texts) {
    if (turns.length > 0) writable.write(text);
    let came = '';
    while (came.length < text.length) came += (await pieces.next()).value;
    turns.push(came === text);
  }
  writable.end();
  turns.push((await pieces.next()).done);
  return turns;
}

async function fetches() {
  const left = [...texts];
  const body = new ReadableStream({
    pull(controller) {
      const text = left.shift();
      if (text === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(text));
    },
  });
  const up = await fetch(`${origin}/echo`, {method: 'POST', body, duplex: 'half'});
  told('fetch up', [up.status, (await up.text()) === texts.join('')]);

  const document = {number: 17, text: 'é𝄞'};
  const posted = await fetch(`${origin}/echo`, {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify(document),
  });
  told('fetch json', [posted.headers.get('content-type'), await posted.json()]);

  const controller = new AbortController();
  const {signal} = controller;
  const endless = await fetch(`${origin}/forever?pause=1`, {signal});
  const reader = endless.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('3\n')) text += (await reader.read()).value;
  controller.abort();
  const after = await reader.read().catch((error) => error.name);
  told('fetch aborted', [text.startsWith('1\n2\n3\n'), after]);
}

async function keepAlive() {
  const agent = new http.Agent({keepAlive: true, maxSockets: 1});
  const ask = async (path, body) => {
    const method = body === undefined ? 'GET' : 'POST';
    const request = http.request(`${origin}${path}`, {agent, method});
    request.end(body);
    const [answer] = await once(request, 'response');
    const port = answer.socket.localPort;
    return [answer.statusCode, (await text(answer)).length, port];
  };
  const answers = [
    await ask('/hello'),
    await ask('/swallow', 'x'.repeat(200_000)),
    await ask('/status/404'),
    // A body that nobody reads is no reason to end the connection, if it is small.
    await ask('/ignore', 'x'.repeat(1000)),
    await ask('/count/3'),
    await ask('/hello'),
  ];
  told('keep-alive', answers.map(([status, length]) => [status, length]));
  told('connections', new Set(answers.map(([, , port]) => port)).size);

  const request = http.request(`${origin}/echo`, {agent, method: 'POST'});
  const answered = once(request, 'response').then(([answer]) => answer);
  told('http in turns', await inTurns(request, answered));
  agent.destroy();
}

async function overHttp2() {
  const session = http2.connect(origin);
  const post = session.request(
    {':method': 'POST', ':path': '/echo', te: 'trailers'},
    {endStream: false, waitForTrailers: true},
  );
  post.on('wantTrailers', () => post.sendTrailers({'x-checksum': 'abc'}));
  const trailers = once(post, 'trailers');
  told('http2 in turns', await inTurns(post, post));
  told('http2 trailers', {...(await trailers)[0]}['x-checksum']);

  const many = await Promise.all(Array.from({length: 20}, () =>
    text(session.request({':path': '/count/5?pause=1'}))));
  told('http2 many', [...new Set(many)]);

  const endless = session.request({':path': '/forever?pause=1'});
  await once(endless, 'data');
  endless.close(http2.constants.NGHTTP2_CANCEL);
  await once(endless, 'close');
  // The functions learn that two peers have gone.
  let left;
  do left = JSON.parse(await text(session.request({':path': '/state'}))).left;
  while (left < 2);
  told('left', left);
  session.close();
}

(async () => {
  await fetches();
  await keepAlive();
  await overHttp2();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
