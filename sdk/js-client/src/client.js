//! A client: one connection at a time to one address, made again whenever it
//! breaks, and the subscriptions that live on it.

import { Backoff, afterClose, isExpiry } from './backoff.js';
import { Connection, LOST } from './connection.js';
import { isObject, memberOf, publicationOf, publicationsOf } from './cursor.js';
import { ClientError, TOKEN_EXPIRED, codes, errorOf } from './error.js';
import { Emitter } from './events.js';
import { Hosted } from './hosted.js';
import { addressOf, asJson, misconfigured, optionsOf, platform } from './options.js';
import { Subscription } from './subscription.js';
import { Refresher, fetchToken } from './token.js';

/** What is asked for unless a query of history says how much. */
const HISTORY_LIMIT = 100;

/** The code of a host that has lost trust in what its peers know. */
const STATE_INVALIDATED = 3014;

const NORMAL = 1000;

/** @typedef {import('./connection.js').Callback} Callback */
/** @typedef {{ kind: string, json: string, callback: Callback, timer: unknown }} Queued */

export class Client extends Emitter {
  #url;
  #state = 'disconnected';
  #token;
  /** @type {Connection | undefined} */
  #connection;
  #clientId = '';
  /** Counts connections and their ends, so that late answers are known as such. */
  #generation = 0;
  #backoff;
  #refresher;
  #hosted;
  /** @type {unknown} */
  #attemptTimer;
  /** @type {{ timer: unknown, isTold: boolean } | undefined} */
  #retry;
  #attemptMs = 0;
  /** @type {(() => void) | undefined} */
  #asleep;
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** Channels that the host is asked to unsubscribe. @type {Set<string>} */
  #leaving = new Set();
  /** @type {Set<Queued>} */
  #queue = new Set();

  /**
   * @param {string | URL | (() => unknown)} url
   * @param {any} [options]
   */
  constructor(url, options = {}) {
    super();
    this._options = optionsOf(options);
    this._runtime = { ...platform, ...options.runtime };
    if (typeof url !== 'function') addressOf(url);
    this.#url = url;
    this.#token = this._options.token;
    this.#backoff = new Backoff(this._options, this._runtime);
    this.#hosted = new Hosted(this);
    this.#refresher = new Refresher(this._runtime, {
      fetch: () => this.#fetchToken(),
      send: (token, callback) => {
        this.#token = token;
        this._request('refresh', { token }, callback);
      },
      failed: (error, isLast) => {
        this._emit('error', error);
        if (isLast) this.#finish(error.code, error.message, error);
      },
    });
  }

  get state() {
    return this.#state;
  }

  /** The host's name of the connection; empty if there is none. */
  get id() {
    return this.#clientId;
  }

  connect() {
    if (this.#state !== 'disconnected') return;
    this.#state = 'connecting';
    this.#backoff.reset();
    this.#asleep = this._runtime.onWake(() => this.#wake());
    const generation = this.#generation;
    this._emit('connecting', { code: 0, reason: 'connect was called' });
    if (generation === this.#generation) void this.#attempt();
  }

  disconnect() {
    this.#finish(0, 'disconnect was called');
  }

  /** @param {number} [timeoutMs] */
  ready(timeoutMs) {
    return this._ready(this, 'connected', 'disconnected', codes.NOT_CONNECTED, timeoutMs);
  }

  /**
   * @param {string} channel
   * @param {any} [options]
   */
  subscribe(channel, options = {}) {
    const hint = 'use that one, or unsubscribe it first';
    if (typeof channel !== 'string' || channel === '') {
      misconfigured('the name of a channel is a text', 'give the name of a channel');
    }
    if (this.#subscriptions.has(channel)) {
      misconfigured(`there is a subscription to ${channel}`, hint);
    }
    if (options.data !== undefined) asJson(options.data, 'the option data');
    if (options.filter !== undefined) asJson(options.filter, 'the option filter');
    const subscription = new Subscription(this, channel, options);
    this.#subscriptions.set(channel, subscription);
    subscription._start();
    return subscription;
  }

  /** @param {string} channel */
  subscription(channel) {
    return this.#subscriptions.get(channel);
  }

  /**
   * @param {string} channel
   * @param {unknown} data
   */
  async publish(channel, data) {
    asJson(data, 'the publication');
    await this.#command('publish', { channel, data });
  }

  /**
   * @param {string} method
   * @param {unknown} [data]
   */
  async rpc(method, data = null) {
    asJson(data, 'the data of the call');
    const result = await this.#command('rpc', { method, data });
    return result.data;
  }

  /** @param {unknown} data */
  async send(data) {
    const json = `{"data":${asJson(data, 'the message')}}`;
    if (!this.#connection || this.#state !== 'connected') throw notConnected();
    if (!this.#connection.hasRoom) throw tooMuch();
    this.#connection.send(json);
  }

  /**
   * @param {string} channel
   * @param {any} [query]
   */
  async history(channel, { since, limit = HISTORY_LIMIT, reverse } = {}) {
    const result = await this.#command('history', { channel, since, limit, reverse });
    const { offset = 0, epoch = '' } = result;
    const publications = publicationsOf(result).map((pub) => publicationOf(channel, pub));
    return { publications, position: { offset, epoch } };
  }

  /** @param {string} channel */
  async presence(channel) {
    const { presence } = await this.#command('presence', { channel });
    return Object.values(isObject(presence) ? presence : {}).map(memberOf);
  }

  /** @param {string} channel */
  async presenceStats(channel) {
    const result = await this.#command('presence_stats', { channel });
    return { clients: result.num_clients ?? 0, users: result.num_users ?? 0 };
  }

  // === What subscriptions use ===

  /**
   * Sends a command of this library's own.
   * @param {string} kind
   * @param {object} parameters
   * @param {Callback} callback
   */
  _request(kind, parameters, callback) {
    this.#connection?.request(kind, JSON.stringify(parameters), callback);
  }

  /** @param {string} channel */
  _canSubscribe(channel) {
    return this.#state === 'connected' && !this.#leaving.has(channel);
  }

  /**
   * A subscription has ended.
   * @param {Subscription} subscription
   * @param {boolean} isTold whether the host is to be told
   */
  _forget({ channel }, isTold) {
    this.#subscriptions.delete(channel);
    if (!isTold || this.#state !== 'connected') return;
    // A new subscription to the channel waits until the old one is gone.
    this.#leaving.add(channel);
    this._request('unsubscribe', { channel }, (error) => {
      if (error?.code === codes.TIMEOUT) return this._restart(error.message);
      this.#leaving.delete(channel);
      this.#subscriptions.get(channel)?._start();
    });
  }

  /**
   * Nobody knows what the host thinks: a new connection makes it clear.
   * @param {string} reason
   */
  _restart(reason) {
    this.#connection?.end(LOST, reason);
  }

  /**
   * Waits for a state.
   * @param {any} subject
   * @param {string} wanted
   * @param {string} last
   * @param {number} code
   * @param {number} [timeoutMs]
   * @returns {Promise<void>}
   */
  _ready(subject, wanted, last, code, timeoutMs) {
    return new Promise((resolve, reject) => {
      if (subject.state === wanted) return resolve();
      if (subject.state === last) return reject(new ClientError(code, `it is ${last}`));
      /** @type {unknown} */
      let timer;
      /** @param {ClientError} [error] */
      const settle = (error) => {
        this._runtime.clearTimeout(timer);
        offs.forEach((off) => off());
        if (error) reject(error);
        else resolve();
      };
      const offs = [
        subject.on(wanted, () => settle()),
        subject.on(last, (/** @type {any} */ { reason, error }) => {
          settle(error ?? new ClientError(code, `it is ${last}: ${reason}`));
        }),
      ];
      if (timeoutMs === undefined) return;
      timer = this._runtime.setTimeout(() => {
        const text = `it is not ${wanted} after ${timeoutMs} ms`;
        settle(new ClientError(codes.TIMEOUT, text, { temporary: true }));
      }, timeoutMs);
    });
  }

  // === Connecting ===

  async #attempt() {
    const generation = ++this.#generation;
    const isCurrent = () => generation === this.#generation;
    const { connectTimeoutMs } = this._options;
    this.#attemptMs = this._runtime.now();
    this.#attemptTimer = this._runtime.setTimeout(() => {
      this.#lost(LOST, `no connection within ${connectTimeoutMs} ms`);
    }, connectTimeoutMs);
    try {
      const url = typeof this.#url === 'function' ? await this.#url() : this.#url;
      if (!isCurrent()) return;
      if (!this.#token && this._options.getToken) {
        const token = await this.#fetchToken();
        if (!isCurrent()) return;
        this.#token = token;
      }
      this.#open(addressOf(url));
    } catch (error) {
      if (isCurrent()) this.#failed(errorOf(error, codes.CONNECTION_LOST, 'cannot connect'));
    }
  }

  /** @param {string} address */
  #open(address) {
    const { websocket: WebSocket, protocols } = this._options;
    let socket;
    try {
      socket = new WebSocket(address, protocols);
    } catch (error) {
      // The platform refuses the address; it would refuse it again.
      const { name } = /** @type {Error} */ (error);
      const { origin } = new URL(address);
      misconfigured(`${origin} is refused here: ${name}`, 'a page of https takes wss only');
    }
    /** @type {Connection} */
    const connection = new Connection(socket, this._options, this._runtime, {
      opened: () => this.#greet(connection),
      pushed: (push) => this.#pushed(push),
      closed: (code, reason) => this.#lost(code, reason),
    });
    this.#connection = connection;
  }

  /** @param {Connection} connection */
  #greet(connection) {
    const { data, headers, name, version, connectTimeoutMs } = this._options;
    const subs = this.#hosted.request;
    const request = { token: this.#token || undefined, data, headers, name, version, subs };
    /** @type {Callback} */
    const answered = (error, result) => {
      if (connection !== this.#connection) return;
      if (error) this.#refused(error);
      else this.#connected(connection, result);
    };
    connection.request('connect', JSON.stringify(request), answered, connectTimeoutMs);
  }

  /**
   * @param {Connection} connection
   * @param {any} result
   */
  #connected(connection, result) {
    if (typeof result.client !== 'string') {
      const text = 'what answers does not speak the protocol of channels';
      const hint = 'check the address; on Openline, its trigger needs dialect = "centrifugo"';
      return this.#failed(new ClientError(codes.BAD_PROTOCOL, text, { hint }));
    }
    this._runtime.clearTimeout(this.#attemptTimer);
    this.#state = 'connected';
    this.#clientId = result.client;
    this.#backoff.succeeded();
    connection.expectPings(result);
    if (this._options.getToken) this.#refresher.schedule(result);
    for (const subscription of [...this.#subscriptions.values()]) subscription._start();
    for (const queued of this.#queue) this.#dequeue(queued, connection);
    const isCurrent = () => connection === this.#connection;
    this._emit('connected', { client: result.client, version: result.version, data: result.data });
    this.#hosted.connected(result.subs, isCurrent);
  }

  /** @param {ClientError} error */
  #refused(error) {
    if (error.code === TOKEN_EXPIRED && this._options.getToken) {
      this.#token = '';
      error.temporary = true;
    }
    this.#failed(error);
  }

  /** An attempt has failed. @param {ClientError} error */
  #failed(error) {
    if (!error.temporary) {
      this._emit('error', error);
      return this.#finish(error.code, error.message, error);
    }
    this.#halt();
    this.#retryAfter({ again: 'soon' });
    this._emit('error', error);
  }

  // === Breaks ===

  /**
   * The connection, or the attempt, is over.
   * @param {number} code
   * @param {string} reason
   */
  #lost(code, reason) {
    const wasConnected = this.#state === 'connected';
    let verdict = afterClose(code, reason);
    if (isExpiry(code, reason) && (this._options.getToken || typeof this.#url === 'function')) {
      if (this._options.getToken) this.#token = '';
      if (verdict.again === 'never') verdict = { again: 'soon' };
    }
    if (code === STATE_INVALIDATED) this.#invalidate();
    const text = `the connection was lost: ${code} ${reason}`.trim();
    const temporary = verdict.again !== 'never';
    const error = new ClientError(codes.CONNECTION_LOST, text, { temporary });
    if (!temporary) {
      if (!wasConnected) this._emit('error', error);
      return this.#finish(code, reason, error);
    }
    this.#state = 'connecting';
    const broken = this.#break();
    this.#halt();
    this.#retryAfter(verdict);
    if (wasConnected) this._emit('connecting', { code, reason });
    else this._emit('error', error);
    this.#tell(broken, code, reason);
  }

  /** The host does not trust what its peers know. */
  #invalidate() {
    if (this._options.getToken) this.#token = '';
    this.#hosted.invalidate();
    for (const subscription of this.#subscriptions.values()) subscription._invalidate();
  }

  /**
   * There is no connection, and there will be none before `connect` is called.
   * @param {number} code
   * @param {string} reason
   * @param {ClientError} [error]
   */
  #finish(code, reason, error) {
    if (this.#state === 'disconnected') return;
    this.#state = 'disconnected';
    // First: what waited for answers hears of the end, and must not mind.
    const broken = this.#break();
    this.#halt();
    this.#asleep?.();
    for (const queued of this.#queue) {
      this._runtime.clearTimeout(queued.timer);
      queued.callback(notConnected(), undefined);
    }
    this.#queue.clear();
    this._emit('disconnected', { code, reason, error });
    this.#tell(broken, code, reason);
  }

  /** Nothing of the connection, or the attempt, is left. */
  #halt() {
    this.#generation += 1;
    this.#clientId = '';
    this._runtime.clearTimeout(this.#attemptTimer);
    this._runtime.clearTimeout(this.#retry?.timer);
    this.#retry = undefined;
    this.#refresher.stop();
    this.#leaving.clear();
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.drop(NORMAL);
  }

  /** The subscriptions that were subscribed, and are no longer. */
  #break() {
    return [...this.#subscriptions.values()].filter((subscription) => subscription._break());
  }

  /**
   * @param {Subscription[]} broken
   * @param {number} code
   * @param {string} reason
   */
  #tell(broken, code, reason) {
    for (const subscription of broken) {
      const { channel } = subscription;
      if (subscription.state !== 'subscribing') continue;
      subscription._emit('subscribing', { channel, code, reason });
    }
  }

  /** @param {import('./backoff.js').Verdict} verdict */
  #retryAfter(verdict) {
    const isTold = verdict.again === 'told' || verdict.again === 'later';
    const delayMs = this.#backoff.delayMs(verdict);
    this.#retryIn(delayMs, isTold);
  }

  /**
   * @param {number} delayMs
   * @param {boolean} isTold
   */
  #retryIn(delayMs, isTold) {
    const timer = this._runtime.setTimeout(() => {
      this.#retry = undefined;
      void this.#attempt();
    }, delayMs);
    this.#retry = { timer, isTold };
  }

  /** The network, or somebody who looks, is back. */
  #wake() {
    this.#connection?.check();
    // A host that has named a time is not asked before it.
    if (!this.#retry || this.#retry.isTold) return;
    this._runtime.clearTimeout(this.#retry.timer);
    const earliestMs = this.#attemptMs + this._options.minDelayMs;
    this.#retryIn(Math.max(0, earliestMs - this._runtime.now()), false);
  }

  #fetchToken() {
    const { getToken, connectTimeoutMs } = this._options;
    return fetchToken(getToken, {}, this._runtime, connectTimeoutMs);
  }

  // === Commands and pushes ===

  /**
   * A command of the user: sent now, queued, or refused.
   * @param {string} kind
   * @param {object} parameters
   * @returns {Promise<any>}
   */
  async #command(kind, parameters) {
    const json = JSON.stringify(parameters);
    const connection = this.#state === 'connected' ? this.#connection : undefined;
    if (!connection && (this.#state === 'disconnected' || this._options.queueMax === 0)) {
      throw notConnected();
    }
    if (connection ? !connection.hasRoom : this.#queue.size >= this._options.queueMax) {
      throw tooMuch();
    }
    return new Promise((resolve, reject) => {
      /** @type {Callback} */
      const callback = (error, result) => (error ? reject(error) : resolve(result));
      if (connection) connection.request(kind, json, callback);
      else this.#enqueue(kind, json, callback);
    });
  }

  /**
   * @param {string} kind
   * @param {string} json
   * @param {Callback} callback
   */
  #enqueue(kind, json, callback) {
    const { timeoutMs } = this._options;
    /** @type {Queued} */
    const queued = { kind, json, callback, timer: undefined };
    queued.timer = this._runtime.setTimeout(() => {
      this.#queue.delete(queued);
      const text = `there was no connection for ${kind} within ${timeoutMs} ms`;
      callback(new ClientError(codes.NOT_CONNECTED, text, { temporary: true }), undefined);
    }, timeoutMs);
    this.#queue.add(queued);
  }

  /**
   * @param {Queued} queued
   * @param {Connection} connection
   */
  #dequeue(queued, connection) {
    this.#queue.delete(queued);
    this._runtime.clearTimeout(queued.timer);
    connection.request(queued.kind, queued.json, queued.callback);
  }

  /** @param {any} push */
  #pushed(push) {
    const connection = this.#connection;
    const isCurrent = () => connection !== undefined && connection === this.#connection;
    if (push.disconnect) {
      const { code, reason } = push.disconnect;
      connection?.end(Number(code) || LOST, String(reason ?? ''));
    } else if (push.message) {
      this._emit('message', { data: push.message.data });
    } else if (push.refresh) {
      if (this._options.getToken) this.#refresher.schedule(push.refresh);
    } else if (typeof push.channel === 'string') {
      const subscription = this.#subscriptions.get(push.channel);
      if (subscription && !push.subscribe) subscription._push(push);
      else this.#hosted.push(push.channel, push, isCurrent);
    }
  }
}

function notConnected() {
  const hint = 'wait for ready(), or give the option queueMax';
  const more = { temporary: true, hint };
  return new ClientError(codes.NOT_CONNECTED, 'there is no connection', more);
}

function tooMuch() {
  const hint = 'await earlier commands, or raise pendingMax, bufferedBytesMax or queueMax';
  const more = { temporary: true, hint };
  return new ClientError(codes.TOO_MUCH, 'too much waits to be sent or answered', more);
}
