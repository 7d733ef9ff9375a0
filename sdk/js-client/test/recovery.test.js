//! Random breaks: each publication is delivered once and in order, or the break
//! is announced as not recovered, once. `SEEDS=1000 FIRST=1 node --test` for more.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from '../src/index.js';
import { Host } from './host.js';
import { Network, Time, chance } from './virtual.js';

const SEEDS = Number(process.env.SEEDS ?? 60);
const FIRST = Number(process.env.FIRST ?? 1);
const STEPS = 120;
const CHANNELS = ['a', 'b', '__proto__'];

const total = { seeds: 0, published: 0, delivered: 0, breaks: 0, recovered: 0, unrecovered: 0 };

/** Judges what a subscription says. What is wrong is told at the end: nobody
 * hears what a listener throws. */
class Judge {
  wrong = [];
  last;
  told = 0;
  delivered = 0;
  mayJump = true;

  constructor(name) {
    this.name = name;
  }

  hear(judging) {
    try {
      judging();
    } catch (error) {
      this.wrong.push(error);
    }
  }

  subscribed({ recovered, wasRecovering, missed, position }) {
    if (!wasRecovering) assert.equal(this.last, undefined, `${this.name} began anew`);
    assert.equal(missed, wasRecovering && !recovered);
    assert.ok(position.epoch);
    if (recovered) return;
    if (wasRecovering) this.told += 1;
    this.mayJump = true;
  }

  published({ data }) {
    this.delivered += 1;
    if (this.last !== undefined) {
      assert.ok(data > this.last, `${this.name}: ${data} after ${this.last}`);
      assert.ok(this.mayJump || data === this.last + 1, `${this.name}: ${data} after ${this.last}`);
    }
    this.last = data;
    this.mayJump = false;
  }
}

async function run(seed) {
  const random = chance(seed);
  const time = new Time(chance(seed + 1_000_000));
  const among = (count) => Math.floor(random() * count);
  const host = new Host(time, {
    historyMax: 1 + among(30),
    ping: 5,
    hosted: ['__proto__'],
    // Some hosts send what they have just recovered once more.
    answered: ({ peer }, kind, { channel }) => {
      if (kind !== 'subscribe' || random() < 0.5) return;
      for (const pub of host.channel(channel).history.slice(-3)) {
        peer.send(JSON.stringify({ push: { channel, pub } }));
      }
    },
  });
  const network = new Network(time, host);
  const options = { websocket: network.WebSocket, runtime: time, pingDelayMs: 2_000, maxDelayMs: 4_000 };
  const client = new Client('ws://host.test/', options);
  const judges = new Map(CHANNELS.map((name) => [name, new Judge(name)]));
  const published = new Map(CHANNELS.map((name) => [name, 0]));
  const publish = (name) => {
    const number = published.get(name) + 1;
    published.set(name, number);
    host.publish(name, number);
  };
  for (const name of ['a', 'b']) {
    const judge = judges.get(name);
    client.subscribe(name, {
      onSubscribed: (event) => judge.hear(() => judge.subscribed(event)),
      onPublication: (event) => judge.hear(() => judge.published(event)),
    });
  }
  const hosted = judges.get('__proto__');
  client.on('subscribed', (event) => hosted.hear(() => hosted.subscribed(event)));
  client.on('publication', (event) => hosted.hear(() => hosted.published(event)));
  client.connect();

  const actions = [
    () => network.drop(),
    () => network.drop(true),
    () => host.close(3001, 'shutdown'),
    () => host.close(3010, 'insufficient state'),
    () => host.close(1012, `redeployed: come back after ${among(2_000)} ms`),
    () => host.unsubscribe(CHANNELS[among(2)], 2500, 'insufficient state'),
    () => host.evict(CHANNELS[among(3)]),
    () => {
      const name = CHANNELS[among(3)];
      host.forget(name);
      // A host that has lost a channel does not go on as if it had not.
      if (name === '__proto__') host.close(3010, 'insufficient state');
      else host.unsubscribe(name, 2500, 'insufficient state');
    },
    () => {
      network.isUp = false;
      network.drop();
    },
    () => {
      client.disconnect();
      client.connect();
    },
    () => time.wake(),
  ];
  for (let step = 0; step < STEPS; step += 1) {
    if (random() < 0.25) {
      total.breaks += 1;
      actions[among(actions.length)]();
    } else {
      const burst = among(4);
      for (let number = 0; number <= burst; number += 1) publish(CHANNELS[among(3)]);
    }
    if (random() < 0.3) network.isUp = true;
    await time.pass(random() < 0.8 ? random() * 20 : random() * 5_000);
  }
  network.isUp = true;
  await time.pass(60_000);
  for (const name of CHANNELS) publish(name);
  await time.pass(1_000);
  let told = 0;
  for (const [name, judge] of judges) {
    if (judge.wrong.length > 0) throw judge.wrong[0];
    assert.equal(judge.last, published.get(name), `${name} is up to date`);
    told += judge.told;
    total.delivered += judge.delivered;
    total.published += published.get(name);
  }
  // The host may have answered what was lost on its way.
  assert.ok(told <= host.unrecovered);
  total.recovered += host.recovered;
  total.unrecovered += told;
  total.seeds += 1;
  client.disconnect();
  await time.pass(60_000);
  assert.equal(time.timers, 0, 'no timer is left');
  assert.equal(time.listeners, 0, 'no listener is left');
}

test('each publication once and in order, or a break that is told', async () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
    try {
      await run(seed);
    } catch (error) {
      throw new Error(`with FIRST=${seed} SEEDS=1: ${error.message}`, { cause: error });
    }
  }
  console.log(total);
});
