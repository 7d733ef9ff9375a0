//! Tokens of connections and of subscriptions: asked for, refreshed, refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClientError, codes } from '../src/index.js';
import { kit, listen, refusal } from './kit.js';

/** A `getToken` that gives t1, t2, …, and says how often it was called. */
function tokens() {
  const getToken = async () => `t${++getToken.calls}`;
  getToken.calls = 0;
  return getToken;
}

const sent = (host, kind) => host.commands.filter((command) => command[kind]).map((command) => command[kind]);

test('a token is asked for once, and kept for the next connection', async () => {
  const getToken = tokens();
  const { host, network, time, connected } = kit({ getToken });
  await connected();
  network.drop();
  await time.pass(2_000);
  assert.deepEqual(sent(host, 'connect').map(({ token }) => token), ['t1', 't1']);
});

test('a token that has expired is replaced', async () => {
  const getToken = tokens();
  const connect = ({ token }) => {
    if (token === 'old') throw 109;
  };
  const { host, time, client, connected } = kit({ token: 'old', getToken, host: { connect } });
  await connected();
  await time.pass(2_000);
  assert.equal(client.state, 'connected');
  host.close(3005, 'connection expired');
  await time.pass(2_000);
  assert.deepEqual(sent(host, 'connect').map(({ token }) => token), ['old', 't1', 't2']);

  const without = kit({ token: 'old', host: { connect } });
  without.client.connect();
  const ready = refusal(without.client.ready());
  await without.time.pass(100_000);
  const error = await ready;
  assert.deepEqual([error.code, error.message, error.temporary], [109, 'token expired', false]);
  assert.match(error.hint, /getToken/);
  assert.equal(without.network.sockets.length, 1);
});

test('a host that always says expired is asked ever more seldom', async () => {
  const getToken = tokens();
  const connect = () => {
    throw 109;
  };
  const { client, time, network } = kit({ getToken, host: { connect } });
  client.connect();
  await time.pass(600_000);
  assert.ok(network.sockets.length < 80, `${network.sockets.length} tries in ten minutes`);
  assert.equal(client.state, 'connecting');
});

test('a token is refreshed before its time is over', async () => {
  const getToken = tokens();
  const { host, time, client, connected } = kit({ getToken, host: { ttl: 60 } });
  await connected();
  await time.pass(53_000);
  assert.deepEqual(sent(host, 'refresh'), []);
  await time.pass(1_100);
  assert.deepEqual(sent(host, 'refresh'), [{ token: 't2' }]);
  await time.pass(54_100);
  assert.deepEqual(sent(host, 'refresh'), [{ token: 't2' }, { token: 't3' }]);
  client.disconnect();
  await time.pass(600_000);
  assert.equal(getToken.calls, 3);
});

test('a time of nothing is no storm, and a long one no surprise', async () => {
  for (const [ttl, least, most] of [[0, 19, 21], [-5, 19, 21], [2 ** 40, 1, 1]]) {
    const getToken = tokens();
    const { time, connected } = kit({ getToken, host: { ttl } });
    await connected();
    await time.pass(10_000);
    assert.ok(getToken.calls >= least && getToken.calls <= most, `${ttl}: ${getToken.calls}`);
  }
});

test('getToken may fail for a while, and may give up', async () => {
  let answer = () => {
    throw new Error('the backend is away');
  };
  const { client, time, events, network } = kit({ getToken: () => answer() });
  client.connect();
  await time.pass(5_000);
  assert.equal(client.state, 'connecting');
  assert.equal(network.sockets.length, 0);
  const errors = events.filter(([name]) => name === 'error').map(([, error]) => error);
  assert.ok(errors.length > 1);
  assert.deepEqual([errors[0].code, errors[0].temporary], [codes.TOKEN, true]);
  assert.match(errors[0].message, /the backend is away/);
  answer = () => '';
  await time.pass(60_000);
  assert.equal(client.state, 'disconnected');
  assert.equal(events.at(-1)[1].code, 101);

  answer = () => {
    throw new ClientError(101, 'signed out');
  };
  client.connect();
  await time.pass(100);
  assert.equal(events.at(-1)[1].reason, 'signed out');
});

test('getToken that never answers is not waited for, nor heard later', async () => {
  const answers = [];
  const getToken = () => new Promise((resolve) => answers.push(resolve));
  const { client, time, network, host } = kit({ getToken, connectTimeoutMs: 1_000 });
  client.connect();
  await time.pass(1_500);
  await time.pass(200);
  assert.equal(answers.length, 2);
  answers[0]('late');
  await time.pass(100);
  assert.equal(network.sockets.length, 0);
  client.disconnect();
  answers[1]('later');
  await time.pass(60_000);
  assert.equal(network.sockets.length, 0);
  assert.equal(time.timers, 0);
  assert.equal(host.commands.length, 0);
});

test('a refresh that fails is repeated, one that is refused ends it', async () => {
  let failure = 111;
  const refresh = () => {
    if (failure) throw failure;
  };
  const { client, time, host, connected, events } = kit({
    getToken: tokens(),
    host: { ttl: 10, refresh },
  });
  await connected();
  await time.pass(25_000);
  assert.ok(sent(host, 'refresh').length >= 3);
  assert.equal(client.state, 'connected');
  failure = 101;
  await time.pass(10_000);
  assert.equal(client.state, 'disconnected');
  assert.equal(events.at(-1)[1].code, 101);
});

test('the host may say how long the connection lasts', async () => {
  const getToken = tokens();
  const { host, time, connected } = kit({ getToken });
  await connected();
  for (const { peer } of host.connections) {
    peer.send(JSON.stringify({ push: { refresh: { expires: true, ttl: 10 } } }));
  }
  await time.pass(9_100);
  assert.equal(sent(host, 'refresh').length, 1);
});

test('subscriptions have tokens of their own', async () => {
  const getToken = tokens();
  const seen = [];
  const subscribe = ({ token }) => {
    if (token === 'old') throw 109;
  };
  const { host, time, client, connected } = kit({ host: { subscribe, ttl: 30 } });
  await connected();
  const { subscription, names } = listen(client, 'a', {
    token: 'old',
    getToken: (context) => (seen.push(context), getToken()),
  });
  await time.pass(2_000);
  assert.equal(subscription.state, 'subscribed');
  assert.deepEqual(names(), ['error', 'subscribed']);
  assert.deepEqual(seen, [{ channel: 'a' }]);
  host.unsubscribe('a', 2501, 'subscription expired');
  await time.pass(2_000);
  assert.deepEqual(sent(host, 'subscribe').map(({ token }) => token), ['old', 't1', 't2']);
  assert.deepEqual(names(), ['subscribing', 'subscribed']);
});

test('the token of a subscription is refreshed', async () => {
  const getToken = tokens();
  const subscribe = () => ({ expires: true, ttl: 20, epoch: 'e' });
  const { host, time, client, connected } = kit({ host: { subscribe, ttl: 20 } });
  await connected();
  const { subscription } = listen(client, 'a', { getToken });
  await time.pass(18_200);
  assert.deepEqual(sent(host, 'sub_refresh'), [{ channel: 'a', token: 't2' }]);
  subscription.unsubscribe();
  await time.pass(100_000);
  assert.equal(getToken.calls, 2);
});

test('a subscription without a way to a new token ends', async () => {
  const subscribe = () => {
    throw 109;
  };
  const { time, client, connected } = kit({ host: { subscribe } });
  await connected();
  const { subscription, events, names } = listen(client, 'a', { token: 'old' });
  const ready = refusal(subscription.ready());
  await time.pass(100);
  assert.equal(subscription.state, 'unsubscribed');
  assert.equal(events.at(-1)[1].error.code, 109);
  assert.equal((await ready).code, 109);
  assert.deepEqual(names(), ['error', 'unsubscribed']);
  assert.equal(client.subscription('a'), undefined);
});
