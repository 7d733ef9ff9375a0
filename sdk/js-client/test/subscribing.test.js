//! Subscriptions: made, lost, made again, ended; what arrives on them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codes } from '../src/index.js';
import { kit, listen, refusal } from './kit.js';

const sent = (host, kind) => host.commands.filter((command) => command[kind]).map((command) => command[kind]);

test('a subscription asks for what its options say', async () => {
  const { client, host, time, connected } = kit();
  const filter = { key: 'kind', cmp: 'eq', val: 'x' };
  listen(client, 'plain');
  listen(client, 'full', {
    token: 't',
    data: [1],
    since: { offset: 3, epoch: 'e' },
    joinLeave: true,
    positioned: true,
    recoverable: false,
    filter,
  });
  await connected();
  await time.pass(100);
  assert.deepEqual(sent(host, 'subscribe'), [
    { channel: 'plain', recoverable: true },
    {
      channel: 'full',
      token: 't',
      data: [1],
      recover: true,
      offset: 3,
      epoch: 'e',
      positioned: true,
      join_leave: true,
      tf: filter,
    },
  ]);
});

test('a publication has all that the host says of it', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const { events, subscription } = listen(client, 'a');
  await time.pass(100);
  await subscription.ready();
  host.publish('a', { x: 1 }, { tags: { k: 'v' }, info: { client: 'c9', user: 'u', conn_info: 1 } });
  host.publish('a', 'AP8B', { tags: { 'openline-data': 'base64' } });
  host.publish('a', '*', { tags: { 'openline-data': 'base64' } });
  await time.pass(10);
  const [, first, second, third] = events.map(([, event]) => event);
  assert.deepEqual(first, {
    channel: 'a',
    data: { x: 1 },
    offset: 1,
    tags: { k: 'v' },
    info: { client: 'c9', user: 'u', connInfo: 1, chanInfo: undefined },
    timeMs: undefined,
  });
  assert.deepEqual(second.data, new Uint8Array([0, 255, 1]));
  assert.equal(third.data, '*');
  assert.deepEqual(subscription.position, { offset: 3, epoch: host.channel('a').epoch });
});

test('what was missed comes in order and before what is new', async () => {
  const { client, host, network, time, connected } = kit();
  await connected();
  const { events, data, subscription } = listen(client, 'a');
  await time.pass(100);
  host.publish('a', 1);
  await time.pass(100);
  network.drop();
  for (const number of [2, 3]) host.publish('a', number);
  await time.pass(2_000);
  host.publish('a', 4);
  await time.pass(100);
  assert.deepEqual(data(), [1, 2, 3, 4]);
  const outcomes = events.filter(([name]) => name === 'subscribed').map(([, event]) => event);
  const told = ({ recovered, wasRecovering, missed }) => [recovered, wasRecovering, missed];
  assert.deepEqual(outcomes.map(told), [[false, false, false], [true, true, false]]);
  assert.equal(subscription.position.offset, 4);
});

test('what cannot be recovered is said once', async () => {
  const { client, host, network, time, connected } = kit();
  await connected();
  const { events, data } = listen(client, 'a');
  await time.pass(100);
  host.publish('a', 1);
  await time.pass(100);
  network.drop();
  host.publish('a', 2);
  host.evict('a');
  host.publish('a', 3);
  await time.pass(2_000);
  host.publish('a', 4);
  network.drop();
  await time.pass(2_000);
  assert.deepEqual(data(), [1, 4]);
  const missed = events.filter(([name, event]) => name === 'subscribed' && event.missed);
  assert.equal(missed.length, 1);
  assert.deepEqual(missed[0][1].position, { offset: 3, epoch: host.channel('a').epoch });
});

test('a channel that cannot recover says after each break that something may be missing', async () => {
  const subscribe = () => ({});
  const { client, network, time, connected } = kit({ host: { subscribe } });
  await connected();
  const { events, subscription } = listen(client, 'a');
  await time.pass(100);
  network.drop();
  await time.pass(2_000);
  const outcomes = events.filter(([name]) => name === 'subscribed').map(([, event]) => event);
  assert.deepEqual(outcomes.map(({ wasRecovering, missed }) => [wasRecovering, missed]), [
    [false, false],
    [false, true],
  ]);
  assert.equal(subscription.position, undefined);
});

test('a host that recovers the latest value alone, in a new epoch too', async () => {
  let answer = { recoverable: true, epoch: 'e', offset: 10 };
  const { client, network, time, connected } = kit({ host: { subscribe: () => answer } });
  await connected();
  const { data, subscription } = listen(client, 'a');
  await time.pass(100);
  const latest = { ...answer, recovered: true, was_recovering: true };
  answer = { ...latest, offset: 17, publications: [{ offset: 17, data: 'new' }] };
  network.drop();
  await time.pass(6_000);
  assert.deepEqual(data(), ['new']);
  // It is the one that is known, and so it is not told again.
  network.drop();
  await time.pass(6_000);
  assert.deepEqual(data(), ['new']);
  answer = { ...latest, epoch: 'f', offset: 2, publications: [{ offset: 2, data: 'of f' }] };
  network.drop();
  await time.pass(6_000);
  assert.deepEqual(data(), ['new', 'of f']);
  assert.deepEqual(subscription.position, { offset: 2, epoch: 'f' });
  // The same epoch, but behind: what was known is no measure.
  answer = { ...latest, epoch: 'f', recovered: false, offset: 1, publications: [] };
  network.drop();
  await time.pass(6_000);
  assert.deepEqual(subscription.position, { offset: 1, epoch: 'f' });
});

test('offsets that are none are let through', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const { data } = listen(client, 'a');
  await time.pass(100);
  const pubs = [{ data: 1 }, { data: 2, offset: -1 }, { data: 3, offset: 'x' }, { data: 4, offset: 1.5 }];
  for (const { peer } of host.connections) {
    for (const pub of pubs) peer.send(JSON.stringify({ push: { channel: 'a', pub } }));
  }
  await time.pass(10);
  assert.deepEqual(data(), [1, 2, 3, 4]);
});

test('a stop in the middle of a recovery loses nothing', async () => {
  const { client, host, network, time, connected } = kit();
  await connected();
  const { data, subscription } = listen(client, 'a');
  await time.pass(100);
  host.publish('a', 0);
  await time.pass(100);
  network.drop();
  for (const number of [1, 2, 3]) host.publish('a', number);
  subscription.on('publication', (event) => {
    if (event.data === 2) client.disconnect();
  });
  await time.pass(2_000);
  assert.deepEqual(data(), [0, 1, 2]);
  client.connect();
  await time.pass(100);
  assert.deepEqual(data(), [0, 1, 2, 3]);
});

test('a stop before the first publication keeps the position', async () => {
  const { client, host, time, connected } = kit();
  for (const number of [1, 2, 3]) host.publish('a', number);
  await connected();
  const { data, subscription } = listen(client, 'a');
  const off = subscription.on('subscribed', () => client.disconnect());
  await time.pass(100);
  off();
  host.publish('a', 4);
  client.connect();
  await time.pass(100);
  assert.deepEqual(data(), [4]);
});

test('unsubscribing, and subscribing again at once', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const first = listen(client, 'a');
  await time.pass(100);
  first.subscription.unsubscribe();
  first.subscription.unsubscribe();
  assert.deepEqual(first.names(), ['subscribed', 'unsubscribed']);
  const second = listen(client, 'a', { since: first.subscription.position });
  host.publish('a', 1);
  await time.pass(100);
  assert.deepEqual([first.data(), second.data()], [[], [1]]);
  assert.deepEqual(host.commands.map((command) => Object.keys(command)[1]), [
    'connect',
    'subscribe',
    'unsubscribe',
    'subscribe',
  ]);
  assert.equal((await refusal(first.subscription.ready())).code, codes.UNSUBSCRIBED);
  assert.throws(() => client.subscribe('a'), { code: codes.BAD_CONFIGURATION });
  for (const name of ['', undefined, 7]) {
    assert.throws(() => client.subscribe(name), { code: codes.BAD_CONFIGURATION });
  }
  assert.equal(client.subscription('a'), second.subscription);
});

test('an unsubscribe that crosses the answer to a subscribe', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const { subscription, names } = listen(client, 'a');
  await time.pass(1);
  subscription.unsubscribe();
  await time.pass(100);
  assert.deepEqual(names(), ['unsubscribed']);
  host.publish('a', 1);
  await time.pass(100);
  assert.deepEqual(names(), []);
  assert.equal([...host.connections][0].subscriptions.size, 0);
});

test('a disconnect while a subscribe waits is no error of it', async () => {
  const { client, time, connected } = kit();
  await connected();
  const { subscription, names } = listen(client, 'a');
  await time.pass(1);
  client.disconnect();
  await time.pass(100);
  assert.deepEqual([names(), subscription.state, time.timers], [[], 'subscribing', 0]);
});

test('the host ends subscriptions for good or for a while', async () => {
  for (const [code, isLast] of [[2000, true], [2499, true], [2500, false], [2999, false]]) {
    const { client, host, time, connected } = kit();
    await connected();
    const { subscription, events, names } = listen(client, 'a');
    await time.pass(100);
    host.unsubscribe('a', code, 'so it is');
    await time.pass(5);
    const [name, event] = events.at(-1);
    assert.deepEqual([name, event.code, event.reason], [isLast ? 'unsubscribed' : 'subscribing', code, 'so it is']);
    await time.pass(5_000);
    assert.equal(subscription.state, isLast ? 'unsubscribed' : 'subscribed');
    assert.equal(names().length, isLast ? 2 : 3);
  }
});

test('a state that is invalid is not continued', async () => {
  for (const act of [
    (host) => host.unsubscribe('a', 2502, 'state invalidated'),
    (host) => host.close(3014, 'state invalidated'),
  ]) {
    const { client, host, time, connected } = kit();
    await connected();
    const { events } = listen(client, 'a');
    await time.pass(100);
    host.publish('a', 1);
    await time.pass(100);
    act(host);
    await time.pass(3_000);
    const [name, { missed, recovered }] = events.at(-1);
    assert.deepEqual([name, missed, recovered], ['subscribed', true, false]);
  }
});

test('refusals that pass are repeated, others end the subscription', async () => {
  let failure = 111;
  const subscribe = () => {
    if (failure) throw failure;
  };
  const { client, host, time, connected } = kit({ host: { subscribe } });
  await connected();
  const { subscription } = listen(client, 'a');
  await time.pass(60_000);
  const tries = sent(host, 'subscribe').length;
  assert.ok(tries > 4 && tries < 30, `${tries} tries in a minute`);
  failure = 0;
  await time.pass(20_000);
  assert.equal(subscription.state, 'subscribed');
  failure = 103;
  const { events } = listen(client, 'b');
  await time.pass(100);
  const { code, reason, error } = events.at(-1)[1];
  assert.deepEqual([code, reason, error.hint.length > 0], [103, 'permission denied', true]);
});

test('a host that does not answer a subscribe is left', async () => {
  let answer = null;
  const { client, time, connected, network } = kit({ host: { subscribe: () => answer } });
  await connected();
  const { subscription, names } = listen(client, 'a');
  await time.pass(5_001);
  answer = undefined;
  await time.pass(2_000);
  assert.equal(network.sockets.length, 2);
  assert.equal(subscription.state, 'subscribed');
  assert.deepEqual(names(), ['error', 'subscribed']);
});

test('a thousand subscriptions come back in a few frames', async () => {
  const { client, host, time, connected, network } = kit();
  await connected();
  for (let number = 0; number < 1_000; number += 1) client.subscribe(`channel-${number}`);
  await time.pass(100);
  host.frames = [];
  network.drop();
  await time.pass(2_000);
  assert.equal(sent(host, 'subscribe').length, 2_000);
  assert.deepEqual(host.frames, [1, 256, 256, 256, 232]);
  assert.equal(client.subscription('channel-999').state, 'subscribed');
});

test('others are shown as they join and leave', async () => {
  const { client, host, network, time, connected } = kit();
  await connected();
  const { events } = listen(client, 'a', { joinLeave: true });
  await time.pass(100);
  const other = kit({ websocket: network.WebSocket });
  other.client.subscribe('a', { joinLeave: true });
  other.client.connect();
  await other.time.pass(1);
  await time.pass(10);
  await other.time.pass(1);
  await time.pass(100);
  for (const connection of host.connections) if (connection.id === 'c2') connection.gone();
  await time.pass(100);
  const member = { channel: 'a', user: '', connInfo: undefined, chanInfo: undefined };
  assert.deepEqual(events.slice(-2), [
    ['join', { ...member, client: 'c2' }],
    ['leave', { ...member, client: 'c2' }],
  ]);
});

test('subscriptions of the host are events of the client', async () => {
  const { client, host, network, time, connected, events, names } = kit({ host: { hosted: ['#me'] } });
  await connected();
  host.publish('#me', 1);
  await time.pass(100);
  network.drop();
  host.publish('#me', 2);
  await time.pass(2_000);
  const data = events.filter(([name]) => name === 'publication').map(([, event]) => [event.channel, event.data]);
  assert.deepEqual(data, [['#me', 1], ['#me', 2]]);
  names();
  host.subscribe('later');
  host.publish('later', 1);
  host.unsubscribe('later', 2000, 'enough');
  await time.pass(100);
  assert.deepEqual(names(), ['subscribed', 'publication', 'unsubscribed']);
  host.options.hosted = [];
  network.drop();
  await time.pass(2_000);
  assert.deepEqual(names(), ['connecting', 'connected', 'unsubscribed']);
  assert.equal(client.state, 'connected');
});

test('publications one by one', async () => {
  const { client, host, time, connected } = kit({ bufferMax: 3 });
  await connected();
  const subscription = client.subscribe('a');
  await time.pass(100);
  const iteration = subscription[Symbol.asyncIterator]();
  const waiting = iteration.next();
  for (const number of [1, 2, 3, 4]) host.publish('a', number);
  await time.pass(10);
  const read = [];
  read.push((await waiting).value.data);
  for (let number = 0; number < 3; number += 1) read.push((await iteration.next()).value.data);
  assert.deepEqual(read, [1, 2, 3, 4]);
  // One more than may wait.
  for (const number of [5, 6, 7, 8]) host.publish('a', number);
  await time.pass(10);
  for (let number = 0; number < 3; number += 1) read.push((await iteration.next()).value.data);
  assert.deepEqual(read.slice(4), [5, 6, 7]);
  assert.equal((await refusal(iteration.next())).code, codes.TOO_MUCH);
  assert.deepEqual(await iteration.next(), { done: true, value: undefined });

  const seen = [];
  const loop = (async () => {
    for await (const { data } of subscription) {
      seen.push(data);
      if (data === 10) break;
    }
    for await (const { data } of subscription) seen.push(data);
  })();
  host.publish('a', 9);
  host.publish('a', 10);
  await time.pass(10);
  host.publish('a', 11);
  await time.pass(10);
  subscription.unsubscribe();
  await loop;
  assert.deepEqual(seen, [9, 10, 11]);
  for await (const _ of subscription) assert.fail('it has ended');
});
