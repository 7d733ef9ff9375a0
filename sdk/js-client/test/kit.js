//! What tests of a client begin with: a host, a network to it, and a client
//! whose events are written down.

import { Client } from '../src/index.js';
import { Host } from './host.js';
import { Network, Time } from './virtual.js';

const EVENTS = ['connecting', 'connected', 'disconnected', 'error', 'message'];
const HOSTED = ['subscribed', 'unsubscribed', 'publication', 'join', 'leave'];

/** @param {any} [options] of the client; `host` are those of the host */
export function kit({ host: ofHost, random, url = 'ws://host.test/', ...options } = {}) {
  const time = new Time(random ?? (() => 0.5));
  const host = new Host(time, { ping: 0, ...ofHost });
  const network = new Network(time, host);
  const client = new Client(url, { websocket: network.WebSocket, runtime: time, ...options });
  const events = [];
  for (const name of [...EVENTS, ...HOSTED]) client.on(name, (event) => events.push([name, event]));
  return {
    time,
    host,
    network,
    client,
    events,
    /** The names of what has happened since this was last asked. */
    names: () => events.splice(0).map(([name]) => name),
    connected: async () => {
      client.connect();
      await time.pass(100);
    },
  };
}

/** A subscription whose events are written down, with the names of `of`. */
export function listen(client, channel, options = {}) {
  const events = [];
  const subscription = client.subscribe(channel, options);
  const names = ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'join', 'leave', 'error'];
  for (const name of names) subscription.on(name, (event) => events.push([name, event]));
  return {
    subscription,
    events,
    names: () => events.splice(0).map(([name]) => name),
    data: () => events.filter(([name]) => name === 'publication').map(([, { data }]) => data),
  };
}

/** The error of a promise that is settled by now; the promise must be refused. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}
