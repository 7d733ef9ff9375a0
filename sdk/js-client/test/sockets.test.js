//! Real sockets: the WebSocket of Node and that of the package `ws`, whichever
//! are here, against a host that is killed and comes back on its port.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { Client, codes } from '../src/index.js';
import { Host } from './host.js';
import { refusal } from './kit.js';
import { real, serve } from './server.js';

/** Where Debian has it. */
const DEBIAN = '/usr/share/nodejs/ws';

function ws() {
  for (const name of ['ws', DEBIAN]) {
    try {
      return createRequire(import.meta.url)(name).WebSocket;
    } catch {
      // Not there.
    }
  }
  return undefined;
}

const classes = { "Node's": globalThis.WebSocket, ws: ws() };

/** A promise, and what resolves it. */
function deferred() {
  let resolve;
  const promise = new Promise((call) => (resolve = call));
  return { promise, resolve };
}

for (const [name, websocket] of Object.entries(classes)) {
  const options = { skip: websocket ? false : 'it is not here', timeout: 30_000 };

  test(`${name} WebSocket: a host that is killed, restarted and closes`, options, async () => {
    const host = new Host(real, { ping: 1 });
    let server = await serve(host);
    const { port } = server;
    const client = new Client(`ws://127.0.0.1:${port}/chat`, { websocket, minDelayMs: 20 });
    const seen = [];
    const missed = [];
    const last = deferred();
    client.subscribe('numbers', {
      onPublication: ({ data }) => {
        seen.push(data);
        if (data === 40) last.resolve();
      },
      onSubscribed: (event) => event.missed && missed.push(event),
    });
    client.connect();
    await client.ready();
    await client.subscription('numbers').ready();
    let number = 0;
    const publish = (count) => {
      for (let index = 0; index < count; index += 1) host.publish('numbers', ++number);
    };
    publish(10);
    await client.rpc('echo', 'ä'.repeat(70_000));
    for (const act of [() => server.kill(), () => host.close(1012, 'redeployed: come back after 50 ms')]) {
      const again = deferred();
      const off = client.on('connected', again.resolve);
      await act();
      publish(10);
      if (act.toString().includes('kill')) server = await serve(host, port);
      await again.promise;
      off();
    }
    await client.subscription('numbers').ready();
    publish(10);
    await last.promise;
    assert.deepEqual(seen, Array.from({ length: 40 }, (_, index) => index + 1));
    assert.deepEqual(missed, []);
    const ended = deferred();
    client.on('disconnected', ended.resolve);
    host.close(3503, 'force disconnect');
    assert.equal((await ended.promise).code, 3503);
    await server.kill();
  });

  test(`${name} WebSocket: a port where nobody listens, and a stop`, options, async () => {
    const server = await serve(new Host(real));
    await server.kill();
    const url = `ws://127.0.0.1:${server.port}/`;
    const client = new Client(url, { websocket, minDelayMs: 5, maxDelayMs: 5 });
    const failed = deferred();
    let failures = 0;
    client.on('error', (error) => {
      failures += 1;
      if (failures === 3) failed.resolve(error);
    });
    client.connect();
    const error = await failed.promise;
    assert.deepEqual([error.code, error.temporary], [codes.CONNECTION_LOST, true]);
    const ready = refusal(client.ready());
    client.disconnect();
    assert.equal((await ready).code, codes.NOT_CONNECTED);
    // While it connects, too.
    client.connect();
    client.disconnect();
    assert.equal(client.state, 'disconnected');
  });
}

test('some WebSocket is here', () => assert.ok(classes.ws || classes["Node's"]));
