//! A host that sends anything: the client throws nothing, asks for nothing
//! without end, and works again as soon as the host does.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { kit, listen } from './kit.js';
import { chance } from './virtual.js';

const SAMPLES = [
  { id: 2, subscribe: { recoverable: true, epoch: 'e', offset: 3, publications: [{ data: 1, offset: 3 }] } },
  { id: 3, error: { code: 109, message: 'x', temporary: true } },
  { push: { channel: 'a', pub: { data: 1, offset: 9, tags: { 'openline-data': 'base64' }, info: {} } } },
  { push: { channel: 'a', join: { info: { client: 'c', user: 'u' } } } },
  { push: { channel: 'a', unsubscribe: { code: 2500, reason: 'r' } } },
  { push: { channel: 'b', subscribe: { recoverable: true, publications: [{ offset: 1 }] } } },
  { push: { channel: 'b', pub: { data: 1 } } },
  { push: { message: { data: 1 } } },
  { push: { refresh: { expires: true, ttl: 1 } } },
  { push: { disconnect: { code: 3001, reason: 'r' } } },
  { id: 1, connect: { client: 'x', subs: { b: {}, a: null }, ping: 1, pong: true } },
  {},
];

const VALUES = [null, true, 0, -1, 1e300, '', 'x', '__proto__', [], {}, [null], { code: {} }, [[]], NaN];

/** A value with parts of it replaced. */
function mutate(value, random) {
  if (random() < 0.15) return VALUES[Math.floor(random() * VALUES.length)];
  if (Array.isArray(value)) return value.map((part) => mutate(part, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, part]) => [name, mutate(part, random)]);
  return Object.fromEntries(entries);
}

test('anything that is JSON', async () => {
  let thrown;
  process.setUncaughtExceptionCaptureCallback((error) => (thrown ??= error));
  try {
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = chance(seed);
      const { client, host, time, connected } = kit({ getToken: () => 't', host: { ttl: 60 } });
      const { subscription } = listen(client, 'a', { getToken: () => 't' });
      await connected();
      for (let step = 0; step < 20; step += 1) {
        const sample = mutate(SAMPLES[Math.floor(random() * SAMPLES.length)], random);
        for (const { peer } of host.connections) peer.send(JSON.stringify(sample));
        client.publish('a', 1).catch(() => {});
        await time.pass(random() * 30);
      }
      assert.equal(thrown, undefined, `seed ${seed}: ${thrown?.stack}`);
      if (client.state === 'disconnected') client.connect();
      await time.pass(60_000);
      assert.equal(client.state, 'connected', `seed ${seed}`);
      assert.match(subscription.state, /^(un)?subscribed$/, `seed ${seed}`);
      client.disconnect();
      await time.pass(60_000);
      assert.equal(time.timers, 0, `seed ${seed}`);
    }
  } finally {
    process.setUncaughtExceptionCaptureCallback(null);
  }
});

test('text that is no JSON ends the connection', async () => {
  for (const text of ['{', 'x', '{}\nx', '"', '7', 'null', '{"id":1}{}', '\u0000']) {
    const { client, host, time, connected } = kit();
    await connected();
    for (const { peer } of host.connections) peer.send(text);
    await time.pass(100);
    assert.equal(client.state, 'disconnected', text);
  }
  const { client, host, time, connected } = kit({ host: { pong: false } });
  await connected();
  for (const { peer } of host.connections) peer.send('\n{}\r\n\n [] \n');
  await time.pass(100);
  assert.equal(client.state, 'connected');
});
