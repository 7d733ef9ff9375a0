//! Connecting, staying connected, and coming back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client, ClientError, codes } from '../src/index.js';
import { kit, refusal } from './kit.js';

test('a client connects, says who it is, and is ready', async () => {
  const options = { token: 'a.b.c', data: { x: 1 }, headers: { 'x-a': 'b' }, name: 'page', version: '7' };
  const { client, host, time, names, network } = kit({ ...options, protocols: ['p'] });
  assert.equal(client.state, 'disconnected');
  client.connect();
  client.connect();
  assert.equal(client.state, 'connecting');
  const ready = client.ready(1_000);
  await time.pass(100);
  await ready;
  await client.ready();
  assert.equal(client.state, 'connected');
  assert.equal(client.id, 'c1');
  assert.deepEqual(host.commands, [{ id: 1, connect: options }]);
  assert.deepEqual(names(), ['connecting', 'connected']);
  assert.equal(network.sockets[0].url, 'ws://host.test/');
  assert.deepEqual(network.sockets[0].protocols, ['p']);
  client.disconnect();
  client.disconnect();
  assert.equal(client.state, 'disconnected');
  assert.equal(client.id, '');
  assert.deepEqual(names(), ['disconnected']);
  await time.pass(100_000);
  assert.equal(host.connections.size, 0);
  assert.deepEqual([time.timers, time.listeners, network.sockets.length], [0, 0, 1]);
  assert.equal((await refusal(client.ready())).code, codes.NOT_CONNECTED);
});

test('addresses', async () => {
  const websocket = class {};
  for (const url of ['ws://h/', 'wss://h/a?b', 'http://h/', 'https://h/a', new URL('ws://h/')]) {
    assert.ok(new Client(url, { websocket }));
  }
  for (const url of ['', '/chat', 'ftp://h/', 'ws://', undefined, 7]) {
    assert.throws(() => new Client(url, { websocket }), { code: codes.BAD_CONFIGURATION }, url);
  }
  globalThis.location = { href: 'https://page.test/a/b?c' };
  const ofPage = kit({ url: '/chat' });
  ofPage.client.connect();
  await ofPage.time.pass(1);
  assert.equal(ofPage.network.sockets[0].url, 'wss://page.test/chat');
  delete globalThis.location;
  let ticket = 0;
  const { network, connected, time, host } = kit({ url: async () => `https://h/?ticket=${++ticket}#x` });
  await connected();
  host.close(1008, 'the token has expired');
  await time.pass(10_000);
  assert.deepEqual(network.sockets.map(({ url }) => url), ['wss://h/?ticket=1', 'wss://h/?ticket=2']);
});

test('options that make no sense', () => {
  const websocket = class {};
  const cyclic = {};
  cyclic.self = cyclic;
  for (const options of [
    { websocket: 'ws' },
    { websocket, minDelayMs: 0 },
    { websocket, maxDelayMs: 199 },
    { websocket, timeoutMs: Number.NaN },
    { websocket, connectTimeoutMs: Infinity },
    { websocket, queueMax: -1 },
    { websocket, pendingMax: '7' },
    { websocket, getToken: 'token' },
    { websocket, data: cyclic },
  ]) {
    assert.throws(() => new Client('ws://h/', options), (error) => {
      assert.ok(error instanceof ClientError && error instanceof Error);
      assert.equal(error.code, codes.BAD_CONFIGURATION);
      return error.hint.length > 0 && !error.temporary;
    });
  }
  assert.ok(new Client('ws://h/', { websocket, queueMax: 0, minDelayMs: 1, maxDelayMs: 1 }));
});

test('a host that speaks something else is not asked again', async () => {
  const answers = {
    echo: (text) => text,
    text: () => 'hello',
    nothing: () => '[',
    number: () => '7',
    bytes: () => new ArrayBuffer(3),
    empty: () => '{"id":1,"connect":{}}',
  };
  for (const [name, answer] of Object.entries(answers)) {
    const { client, network, time, events } = kit();
    network.host.accept = (peer) => ({ receive: (text) => peer.send(answer(text)), gone() {} });
    // A frame of bytes is no text that lines are joined to.
    network.time.random = () => 0.9;
    client.connect();
    const ready = refusal(client.ready());
    await time.pass(100_000);
    assert.equal(client.state, 'disconnected', name);
    assert.equal(network.sockets.length, 1, name);
    const [, disconnected] = events.find(([event]) => event === 'disconnected');
    assert.match(disconnected.reason, /protocol/, name);
    assert.equal((await ready).temporary, false, name);
  }
});

test('pings are answered, and a silent host is left', async () => {
  const { client, host, network, time, connected, names } = kit({ host: { ping: 5 }, pingDelayMs: 2_000 });
  await connected();
  await time.pass(60_000);
  assert.equal(client.state, 'connected');
  assert.equal(network.sockets.length, 1);
  names();
  // The last ping came 5 s after the one before; then nobody says anything.
  const silent = network.sockets[0];
  silent.drop(true);
  assert.equal(host.connections.size, 0);
  const { onmessage } = silent;
  onmessage({ data: '{}' });
  await time.pass(6_999);
  assert.equal(client.state, 'connected');
  await time.pass(1);
  assert.equal(client.state, 'connecting');
  await time.pass(1_000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(names(), ['connecting', 'connected']);
});

test('a host without pings is not suspected, nor answered', async () => {
  const { client, host, time, connected } = kit({ host: { ping: 0, pong: false } });
  await connected();
  for (const { peer } of host.connections) peer.send('{}');
  await time.pass(3_600_000);
  assert.equal(client.state, 'connected');
  assert.equal(host.commands.length, 1);
});

test('a machine that has slept does not wait for its timer', async () => {
  const { client, time, connected, network } = kit({ host: { ping: 25 } });
  await connected();
  network.sockets[0].drop(true);
  time.sleep(3_600_000);
  time.wake();
  assert.equal(client.state, 'connecting');
});

test('a page that is back tries at once, but not before a time that was told', async () => {
  const { client, host, time, connected, network } = kit({ random: () => 0.999 });
  await connected();
  network.isUp = false;
  network.drop();
  await time.pass(60_000);
  const tries = network.sockets.length;
  assert.ok(tries > 4 && tries < 12);
  network.isUp = true;
  for (let again = 0; again < 50; again += 1) time.wake();
  await time.pass(250);
  assert.equal(network.sockets.length, tries + 1);
  assert.equal(client.state, 'connected');

  host.close(1012, 'redeployed: come back after 3000 ms');
  await time.pass(100);
  time.wake();
  await time.pass(2_850);
  assert.equal(client.state, 'connecting');
  await time.pass(300);
  assert.equal(client.state, 'connected');
});

test('codes decide who comes back', async () => {
  for (const [code, reason, state, delayMs] of [
    [1000, '', 'disconnected'],
    [1008, 'the token has expired', 'disconnected'],
    [3500, 'invalid token', 'disconnected'],
    [4999, '', 'disconnected'],
    [1006, '', 'connecting', [200, 1_000]],
    [1011, 'function fault: trap', 'connecting', [200, 1_000]],
    [1013, 'no instance has room', 'connecting', [4_000, 8_000]],
    [3001, 'shutdown', 'connecting', [0, 1_000]],
    [1012, 'redeployed: come back after 900 ms', 'connecting', [900, 1_100]],
  ]) {
    for (const random of [0, 0.999]) {
      const { client, host, time, connected, network, events } = kit({ random: () => random });
      await connected();
      host.close(code, reason);
      await time.pass(5);
      assert.equal(client.state, state, `${code}`);
      const [, event] = events.at(-1);
      assert.deepEqual([event.code, event.reason], [code, reason]);
      const left = time.now();
      await time.pass(100_000);
      assert.equal(network.sockets.length, delayMs ? 2 : 1);
      if (!delayMs) continue;
      const delay = network.sockets[1].startedMs - left;
      assert.ok(delay >= delayMs[0] && delay <= delayMs[1], `${code} after ${delay} ms`);
    }
  }
});

test('a disconnect that is pushed counts like a close', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const push = { disconnect: { code: 3503, reason: 'force disconnect' } };
  for (const { peer } of host.connections) peer.send(JSON.stringify({ push }));
  await time.pass(10);
  assert.equal(client.state, 'disconnected');
});

test('a connection that does not come about is given up', async () => {
  const { client, network, time, events, names } = kit({ connectTimeoutMs: 3_000 });
  network.host.accept = () => ({ receive() {}, gone() {} });
  client.connect();
  await time.pass(2_999);
  assert.equal(network.sockets.length, 1);
  assert.deepEqual(names(), ['connecting']);
  await time.pass(1);
  const [name, error] = events[0];
  assert.deepEqual([name, error.code, error.temporary], ['error', codes.CONNECTION_LOST, true]);
  await time.pass(600);
  assert.equal(network.sockets.length, 2);
  client.disconnect();
  await time.pass(100);
  assert.equal(time.timers, 0);
});

test('an address that the platform refuses is not tried again', async () => {
  const websocket = class {
    constructor() {
      throw new SyntaxError('wss://host.test/?ticket=secret');
    }
  };
  const { client, events, time } = kit({ websocket, url: 'wss://host.test/?ticket=secret' });
  client.connect();
  await time.pass(100_000);
  assert.equal(client.state, 'disconnected');
  assert.equal(events.at(-1)[1].error.message, 'wss://host.test is refused here: SyntaxError');
  assert.throws(() => new Client('x?ticket=secret', { websocket }), { message: '"x" is not an address' });
});

test('a listener that throws stops nobody', async () => {
  const { client, time, names, connected } = kit();
  const thrown = [];
  const catching = (error) => thrown.push(error.message);
  process.setUncaughtExceptionCaptureCallback(catching);
  try {
    client.on('connected', () => {
      throw new Error('mine');
    });
    const last = [];
    const off = client.on('connected', () => last.push(1));
    await connected();
    assert.deepEqual([last, thrown, client.state], [[1], ['mine'], 'connected']);
    off();
    assert.deepEqual(names(), ['connecting', 'connected']);
    await time.pass(1);
  } finally {
    process.setUncaughtExceptionCaptureCallback(null);
  }
  assert.throws(() => client.on('connected', undefined), { code: codes.BAD_CONFIGURATION });
});

test('a listener may do anything in the middle', async () => {
  for (const event of ['connecting', 'connected']) {
    const { client, time, network } = kit();
    const subscription = client.subscribe('a');
    client.on(event, () => client.disconnect());
    client.connect();
    await time.pass(100_000);
    assert.equal(client.state, 'disconnected', event);
    assert.equal(subscription.state, 'subscribing');
    assert.ok(network.sockets.length <= 1);
    assert.equal(time.timers, 0);
  }
  const { client, time, host, connected, names } = kit();
  await connected();
  client.on('disconnected', () => client.connect());
  host.close(3500, 'invalid token');
  await time.pass(1_000);
  assert.equal(client.state, 'connected');
  assert.deepEqual(names(), ['connecting', 'connected', 'disconnected', 'connecting', 'connected']);
});
