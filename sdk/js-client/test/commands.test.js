//! Commands of users: their answers, their errors, and how many may wait.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codes } from '../src/index.js';
import { kit, listen, refusal } from './kit.js';

const kinds = (host) => host.commands.map((command) => Object.keys(command).find((name) => name !== 'id'));

test('everything that a connection can do', async () => {
  const { client, host, time, connected, events } = kit();
  await connected();
  const { subscription, data } = listen(client, 'a');
  const published = [client.publish('a', 'x'), subscription.publish(null)];
  await time.pass(100);
  await Promise.all(published);
  assert.deepEqual(data(), ['x', null]);
  const answers = [
    client.rpc('echo', { y: 2 }),
    client.rpc('nothing'),
    client.send(7),
    subscription.history(),
    subscription.history({ limit: 1, reverse: true }),
    client.history('a', { since: { offset: 1, epoch: 'e' }, limit: -1 }),
    subscription.presence(),
    subscription.presenceStats(),
  ];
  await time.pass(100);
  const [echoed, nothing, sent, all, last, since, presence, stats] = await Promise.all(answers);
  assert.deepEqual([echoed, nothing, sent], [{ y: 2 }, null, undefined]);
  const { epoch } = host.channel('a');
  assert.deepEqual(all.position, { offset: 2, epoch });
  assert.deepEqual(all.publications.map(({ data }) => data), ['x', null]);
  assert.equal(all.publications[0].info.client, client.id);
  assert.deepEqual([last, since].map(({ publications }) => publications.map(({ data }) => data)), [[null], [null]]);
  assert.deepEqual(presence, [{ client: client.id, user: '', connInfo: undefined, chanInfo: undefined }]);
  assert.deepEqual(stats, { clients: 1, users: 1 });
  assert.deepEqual(host.commands.find(({ send }) => send), { send: { data: 7 } });
  host.message({ z: 3 });
  await time.pass(100);
  assert.deepEqual(events.at(-1), ['message', { data: { z: 3 } }]);
});

test('an error of the host is the error of its command', async () => {
  const rpc = ({ method }) => {
    throw Number(method);
  };
  const { client, time, connected } = kit({ host: { rpc } });
  await connected();
  for (const [code, temporary] of [[103, false], [111, true], [1_000, false]]) {
    const error = refusal(client.rpc(`${code}`));
    await time.pass(20);
    const { code: said, temporary: passes, name } = await error;
    assert.deepEqual([said, passes, name], [code, temporary, 'ClientError']);
  }
  assert.equal(client.state, 'connected');
});

test('what is not JSON is refused before it is sent', async () => {
  const { client, host, connected } = kit({ queueMax: 1 });
  await connected();
  const cyclic = {};
  cyclic.self = cyclic;
  for (const data of [undefined, 1n, () => 1, Symbol('x'), cyclic, new Uint8Array(2)]) {
    const refused = [refusal(client.publish('a', data)), refusal(client.send(data))];
    for (const { code, hint } of await Promise.all(refused)) {
      assert.deepEqual([code, typeof hint], [codes.BAD_CONFIGURATION, 'string']);
    }
  }
  assert.throws(() => client.subscribe('a', { data: cyclic }), { code: codes.BAD_CONFIGURATION });
  assert.deepEqual(kinds(host), ['connect']);
});

test('without a connection nothing is kept unless it may', async () => {
  const { client, time, host } = kit();
  for (let turn = 0; turn < 2; turn += 1) {
    for (const promise of [client.publish('a', 1), client.rpc('x'), client.send(1), client.history('a')]) {
      const { code, temporary, hint } = await refusal(promise);
      assert.deepEqual([code, temporary], [codes.NOT_CONNECTED, true]);
      assert.match(hint, /queueMax/);
    }
    client.connect();
  }
  await time.pass(100);
  assert.deepEqual(kinds(host), ['connect']);
});

test('a queue has its last and its first too many', async () => {
  const { client, time, host, connected } = kit({ queueMax: 3 });
  assert.equal((await refusal(client.publish('a', 0))).code, codes.NOT_CONNECTED);
  client.connect();
  const kept = [1, 2, 3].map((data) => client.publish('a', data));
  const { code, temporary } = await refusal(client.publish('a', 4));
  assert.deepEqual([code, temporary], [codes.TOO_MUCH, true]);
  await time.pass(100);
  await Promise.all(kept);
  assert.deepEqual(host.channel('a').history.map(({ data }) => data), [1, 2, 3]);

  // There is room again, and what waits is told when it waits for nothing.
  client.disconnect();
  client.connect();
  const late = refusal(client.publish('a', 5));
  client.disconnect();
  assert.equal((await late).code, codes.NOT_CONNECTED);
  await connected();
  assert.equal(host.channel('a').offset, 3);
});

test('a queue is not waited for forever', async () => {
  const { client, time, network, host } = kit({ queueMax: 1, timeoutMs: 1_000 });
  network.isUp = false;
  client.connect();
  const waiting = refusal(client.publish('a', 1));
  await time.pass(999);
  assert.equal((await refusal(client.publish('a', 2))).code, codes.TOO_MUCH);
  await time.pass(1);
  assert.equal((await waiting).code, codes.NOT_CONNECTED);
  network.isUp = true;
  await time.pass(60_000);
  assert.equal(client.state, 'connected');
  assert.equal(host.channel('a').offset, 0);
});

test('commands that wait have their last and their first too many', async () => {
  const { client, time, connected } = kit({ pendingMax: 2, host: { rpc: () => null }, timeoutMs: 1_000 });
  await connected();
  const waiting = [refusal(client.rpc('a')), refusal(client.rpc('b'))];
  assert.equal((await refusal(client.rpc('c'))).code, codes.TOO_MUCH);
  await time.pass(1_001);
  for (const { code, temporary } of await Promise.all(waiting)) {
    assert.deepEqual([code, temporary], [codes.TIMEOUT, true]);
  }
  const after = refusal(client.rpc('d'));
  client.disconnect();
  assert.equal((await after).code, codes.CONNECTION_LOST);
});

test('a network that takes nothing is not fed', async () => {
  const { client, network, connected } = kit({ bufferedBytesMax: 1_000 });
  await connected();
  const [socket] = network.sockets;
  socket.bufferedAmount = 1_000;
  await client.send(1);
  socket.bufferedAmount = 1_001;
  assert.equal((await refusal(client.send(1))).code, codes.TOO_MUCH);
  assert.equal((await refusal(client.publish('a', 1))).code, codes.TOO_MUCH);
  socket.bufferedAmount = 0;
  // What waits for the end of this turn counts as well.
  const first = client.send('x'.repeat(1_000));
  assert.equal((await refusal(client.send(1))).code, codes.TOO_MUCH);
  await first;
});

test('what was under way when the connection broke is told so', async () => {
  const { client, host, network, time, connected } = kit();
  await connected();
  const lost = refusal(client.publish('a', 1));
  await time.pass(6);
  assert.equal(host.channel('a').offset, 1, 'it was done, but nobody knows');
  network.drop();
  const { code, temporary } = await lost;
  assert.deepEqual([code, temporary], [codes.CONNECTION_LOST, true]);
  await time.pass(2_000);
  assert.equal(host.channel('a').offset, 1, 'and it is not done again');
});

test('the last message before a disconnect is sent', async () => {
  const { client, host, time, connected } = kit();
  await connected();
  const sent = client.send('bye');
  client.disconnect();
  await sent;
  await time.pass(100);
  assert.deepEqual(host.commands.at(-1), { send: { data: 'bye' } });
});
