//! What comes late, in the middle, or twice: answers to what nobody asks any
//! more, and listeners that change what they are told of.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codes } from '../src/index.js';
import { kit, listen, refusal } from './kit.js';

const kinds = (host) => host.commands.map((command) => Object.keys(command).find((name) => name !== 'id'));
const numbers = (count) => Array.from({ length: count }, (_, index) => index + 1);

/** A function whose answers come when the test says so. */
function deferred() {
  const calls = [];
  const call = () => new Promise((resolve, reject) => calls.push({ resolve, reject }));
  return { calls, call };
}

test('an address that comes after the end', async () => {
  const { calls, call } = deferred();
  const { client, time, network } = kit({ url: call });
  client.connect();
  await time.pass(1);
  client.disconnect();
  calls[0].resolve('ws://host.test/');
  await time.pass(60_000);
  assert.equal(network.sockets.length, 0);
  client.connect();
  client.disconnect();
  calls[1].reject(new Error('away'));
  await time.pass(60_000);
  assert.deepEqual([client.state, time.timers], ['disconnected', 0]);
});

test('a token of a channel that comes after its end', async () => {
  const { calls, call } = deferred();
  const { client, host, time, connected } = kit();
  await connected();
  const { subscription, names } = listen(client, 'a', { getToken: call });
  await time.pass(1);
  subscription.unsubscribe();
  calls[0].resolve('t');
  await time.pass(100);
  assert.deepEqual([kinds(host), names(), time.timers], [['connect'], ['unsubscribed'], 0]);
});

test('a refresh that comes after a break', async () => {
  const { calls, call } = deferred();
  const { client, host, time, connected, network, names } = kit({
    token: 'first',
    getToken: call,
    host: { ttl: 10 },
  });
  await connected();
  await time.pass(9_100);
  network.drop();
  await time.pass(5_000);
  names();
  assert.equal(calls.length, 1);
  calls[0].resolve('late');
  await time.pass(100);
  assert.deepEqual(kinds(host), ['connect', 'connect']);
  await time.pass(9_000);
  network.drop();
  await time.pass(1_000);
  calls[1].reject(new Error('late'));
  await time.pass(3_000);
  assert.deepEqual(names(), ['connecting', 'connected']);
  assert.equal(client.state, 'connected');
});

test('a subscription that was refused is not ended twice', async () => {
  const subscribe = () => {
    throw 111;
  };
  const { client, host, time, connected } = kit({ host: { subscribe } });
  await connected();
  const { subscription, names } = listen(client, 'a');
  await time.pass(15);
  subscription.unsubscribe();
  await time.pass(60_000);
  assert.deepEqual(kinds(host), ['connect', 'subscribe']);
  assert.deepEqual(names(), ['error', 'unsubscribed']);
});

test('an unsubscribe that is not answered, and one that is lost', async () => {
  let answer = null;
  const { client, time, connected, network } = kit({ host: { unsubscribe: () => answer } });
  await connected();
  client.subscribe('a');
  await time.pass(100);
  client.subscription('a').unsubscribe();
  await time.pass(5_100);
  assert.equal(client.state, 'connecting', 'nobody knows whether it is subscribed');
  await time.pass(3_000);
  assert.equal(client.state, 'connected');
  assert.equal(network.sockets.length, 2);
  answer = undefined;
  const second = client.subscribe('a');
  await time.pass(100);
  second.unsubscribe();
  const third = client.subscribe('a');
  network.drop();
  await time.pass(6_000);
  assert.equal(third.state, 'subscribed');
});

test('breaks that are far apart are first ones', async () => {
  const { client, host, time, connected, network } = kit({ random: () => 0.999 });
  await connected();
  const subscription = client.subscribe('a');
  await time.pass(100);
  for (let round = 0; round < 10; round += 1) {
    await time.pass(10_000);
    network.drop();
    await time.pass(1_100);
    assert.deepEqual([client.state, subscription.state], ['connected', 'subscribed']);
    await time.pass(10_000);
    host.unsubscribe('a', 2500);
    await time.pass(1_100);
    assert.equal(subscription.state, 'subscribed');
  }
});

test('a page that is looked at all the time does not ask all the time', async () => {
  const { time, connected, network } = kit();
  await connected();
  network.isUp = false;
  network.drop();
  const before = network.sockets.length;
  for (let turn = 0; turn < 200; turn += 1) {
    time.wake();
    await time.pass(10);
  }
  const tries = network.sockets.length - before;
  assert.ok(tries >= 8 && tries <= 11, `${tries} tries in two seconds`);
});

test('a listener that ends a subscription of which it hears', async () => {
  const { client, time, connected, network } = kit();
  await connected();
  const { subscription, names } = listen(client, 'a');
  await time.pass(100);
  client.on('connecting', () => subscription.unsubscribe());
  network.drop();
  await time.pass(5_000);
  assert.deepEqual(names(), ['subscribed', 'unsubscribed']);
});

test('a listener that ends in the middle of a frame', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const { subscription, data } = listen(client, 'a');
  await time.pass(100);
  subscription.on('publication', () => client.disconnect());
  const lines = [1, 2].map((offset) => JSON.stringify({ push: { channel: 'a', pub: { data: offset, offset } } }));
  for (const { peer } of host.connections) peer.send(lines.join('\n'));
  await time.pass(100);
  assert.deepEqual(data(), [1]);
  assert.equal(subscription.position.offset, 1);
});

test('the same with messages to the connection', async () => {
  const { client, host, time, connected, events } = kit();
  await connected();
  client.on('message', () => client.disconnect());
  const lines = [1, 2].map((data) => JSON.stringify({ push: { message: { data } } }));
  for (const { peer } of host.connections) peer.send(lines.join('\n'));
  await time.pass(100);
  assert.deepEqual(events.filter(([name]) => name === 'message').map(([, { data }]) => data), [1]);
});

test('a listener that ends in the middle of what was missed', async () => {
  const all = numbers(3).map((offset) => ({ offset, data: offset }));
  const subscribe = ({ offset = 0 }) => ({
    recoverable: true,
    epoch: 'e',
    recovered: true,
    offset: 3,
    publications: all.filter((pub) => pub.offset > offset),
  });
  const { client, time, connected } = kit({ host: { subscribe } });
  const { subscription, data } = listen(client, 'a', { since: { offset: 0, epoch: 'e' } });
  subscription.on('publication', () => client.disconnect());
  for (const offset of numbers(3)) {
    await connected();
    assert.deepEqual(data(), numbers(offset));
    assert.equal(subscription.position.offset, offset);
  }
});

test('the same in a channel of the host', async () => {
  const { client, host, time, connected, network, events } = kit({ host: { hosted: ['#me'] } });
  await connected();
  network.drop();
  for (const number of numbers(3)) host.publish('#me', number);
  client.on('publication', () => client.disconnect());
  const data = () => events.filter(([name]) => name === 'publication').map(([, event]) => event.data);
  await time.pass(1_000);
  for (let round = 1; round <= 3; round += 1) {
    assert.deepEqual(data(), numbers(round));
    await connected();
  }
});

test('a connect command names as many channels of the host as it may', async () => {
  const hosted = numbers(1_025).map((number) => `#${number}`);
  const { host, connected, network, time } = kit({ host: { hosted } });
  await connected();
  network.drop();
  await time.pass(1_000);
  const { subs } = host.commands.at(-1).connect;
  assert.equal(Object.keys(subs).length, 1_024);
  host.options.connect = () => ({ client: 'c', subs: { b: { positioned: true, epoch: 'e' } } });
  network.drop();
  await time.pass(3_000);
  network.drop();
  await time.pass(5_000);
  assert.equal(host.commands.at(-1).connect.subs, undefined, 'what cannot recover is not named');
});

test('nothing is left after an end', async () => {
  const { client, time, connected } = kit({ queueMax: 2, host: { ping: 25, ttl: 60 }, getToken: () => 't' });
  await connected();
  client.subscribe('a', { getToken: () => 't' });
  await time.pass(100);
  const pending = refusal(client.rpc('x'));
  client.disconnect();
  await pending;
  await time.pass(10);
  assert.deepEqual([time.timers, time.listeners], [0, 0]);
  client.connect();
  const queued = refusal(client.publish('a', 1));
  client.disconnect();
  assert.equal((await queued).code, codes.NOT_CONNECTED);
  await time.pass(10);
  assert.equal(time.timers, 0);
});

test('a platform that says error, and nothing else', async () => {
  const sockets = [];
  const websocket = class {
    constructor() {
      sockets.push(this);
      setImmediate(() => this.onerror({ message: 'refused' }));
    }
    close() {}
  };
  const { client, time, events } = kit({ websocket });
  client.connect();
  await time.pass(1);
  await time.pass(1_000);
  assert.ok(sockets.length > 1);
  assert.match(events[1][1].message, /refused/);
});

test('listeners that come and go while they are called', async () => {
  const { client, connected } = kit();
  const called = [];
  const off = client.on('connected', () => {
    called.push('once');
    off();
    client.on('connected', () => called.push('new'));
  });
  await connected();
  assert.deepEqual(called, ['once']);
  client.disconnect();
  await connected();
  assert.deepEqual(called, ['once', 'new']);
});

test('readers of a subscription that fails, and of one that is left', async () => {
  const subscribe = ({ channel }) => {
    if (channel === 'a') throw 103;
  };
  const { client, host, time, connected } = kit({ host: { subscribe } });
  await connected();
  const failing = client.subscribe('a')[Symbol.asyncIterator]();
  const first = refusal(failing.next());
  const second = failing.next();
  await time.pass(100);
  assert.equal((await first).code, 103);
  assert.deepEqual(await second, { done: true, value: undefined });
  assert.equal((await failing.next()).done, true);

  const left = client.subscribe('b')[Symbol.asyncIterator]();
  await time.pass(100);
  await left.return();
  host.publish('b', 1);
  await time.pass(100);
  assert.equal((await left.next()).done, true);
});
