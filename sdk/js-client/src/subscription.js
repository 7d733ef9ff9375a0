//! One channel of a client: subscribed, lost, and subscribed again where it was.
//!
//! Each publication is delivered once and in order. If the host cannot say what
//! was missed, the event `subscribed` says so, once for each break.

import { Backoff } from './backoff.js';
import { Cursor } from './cursor.js';
import { ClientError, TOKEN_EXPIRED, codes } from './error.js';
import { Emitter } from './events.js';
import { iterate } from './iterate.js';
import { Refresher, fetchToken } from './token.js';

/** Unsubscribed with a code from here on, a peer subscribes again. */
const AGAIN_CODE_MIN = 2500;
const EXPIRED = 2501;
const STATE_INVALIDATED = 2502;

const LISTENERS = {
  onPublication: 'publication',
  onSubscribing: 'subscribing',
  onSubscribed: 'subscribed',
  onUnsubscribed: 'unsubscribed',
  onJoin: 'join',
  onLeave: 'leave',
  onError: 'error',
};

export class Subscription extends Emitter {
  #client;
  #channel;
  #options;
  #state = 'subscribing';
  #cursor;
  #token;
  #backoff;
  #refresher;
  /** Counts what ends an attempt, so that late answers are known as such. */
  #attempt = 0;
  /** Whether the host knows, or is about to know, of this subscription. */
  #isTold = false;
  /** @type {unknown} */
  #retry;

  /**
   * @param {any} client
   * @param {string} channel
   * @param {any} options
   */
  constructor(client, channel, options) {
    super();
    this.#client = client;
    this.#channel = channel;
    this.#options = { recoverable: true, ...options };
    this.#cursor = new Cursor(options.since);
    this.#token = options.token ?? '';
    this.#backoff = new Backoff(client._options, client._runtime);
    this.#refresher = new Refresher(client._runtime, {
      fetch: () => this.#fetchToken(),
      send: (token, callback) => {
        this.#token = token;
        client._request('sub_refresh', { channel, token }, callback);
      },
      failed: (error, isLast) => this.#failed(error, isLast),
    });
    for (const [option, name] of Object.entries(LISTENERS)) {
      if (options[option] !== undefined) this.on(name, options[option]);
    }
  }

  get channel() {
    return this.#channel;
  }

  get state() {
    return this.#state;
  }

  get position() {
    return this.#cursor.position;
  }

  /** @param {number} [timeoutMs] */
  ready(timeoutMs) {
    return this.#client._ready(this, 'subscribed', 'unsubscribed', codes.UNSUBSCRIBED, timeoutMs);
  }

  unsubscribe() {
    this.#end(0, 'unsubscribe was called');
  }

  /** @param {unknown} data */
  publish(data) {
    return this.#client.publish(this.#channel, data);
  }

  /** @param {any} [query] */
  history(query) {
    return this.#client.history(this.#channel, query);
  }

  presence() {
    return this.#client.presence(this.#channel);
  }

  presenceStats() {
    return this.#client.presenceStats(this.#channel);
  }

  [Symbol.asyncIterator]() {
    return iterate(this, this.#client._options.bufferMax);
  }

  /** Subscribes, if there is a connection that is free to. */
  _start() {
    const client = this.#client;
    if (this.#state !== 'subscribing' || !client._canSubscribe(this.#channel)) return;
    client._runtime.clearTimeout(this.#retry);
    const attempt = ++this.#attempt;
    if (this.#token || !this.#options.getToken) return this.#send();
    this.#fetchToken().then(
      (token) => {
        if (attempt !== this.#attempt) return;
        this.#token = token;
        this.#send();
      },
      (error) => {
        if (attempt === this.#attempt) this.#failed(error, !error.temporary);
      },
    );
  }

  /** The connection is gone. Whether that changes anything. */
  _break() {
    const wasSubscribed = this.#state === 'subscribed';
    this.#halt();
    this.#isTold = false;
    if (wasSubscribed) this.#state = 'subscribing';
    return wasSubscribed;
  }

  /** What the peer knows is no longer valid. */
  _invalidate() {
    this.#token = '';
    this.#cursor.invalidate();
  }

  /** @param {any} push */
  _push(push) {
    if (push.unsubscribe) return this.#unsubscribed(push.unsubscribe);
    if (this.#state === 'subscribed') this.#cursor.push(this, this.#channel, push);
  }

  #halt() {
    this.#attempt += 1;
    this.#client._runtime.clearTimeout(this.#retry);
    this.#refresher.stop();
  }

  #fetchToken() {
    const { getToken } = this.#options;
    const { _runtime: runtime, _options: options } = this.#client;
    if (!getToken) {
      return Promise.reject(new ClientError(TOKEN_EXPIRED, 'the token of the channel has expired'));
    }
    return fetchToken(getToken, { channel: this.#channel }, runtime, options.timeoutMs);
  }

  #send() {
    const attempt = this.#attempt;
    const { data, filter, joinLeave, positioned, recoverable } = this.#options;
    const request = {
      channel: this.#channel,
      token: this.#token || undefined,
      data,
      ...this.#cursor.request,
      positioned: positioned || undefined,
      recoverable: recoverable || undefined,
      join_leave: joinLeave || undefined,
      tf: filter,
    };
    this.#isTold = true;
    /** @type {import('./connection.js').Callback} */
    const answered = (error, result) => {
      if (attempt !== this.#attempt) return;
      if (error) this.#refused(error);
      else this.#subscribed(result);
    };
    this.#client._request('subscribe', request, answered);
  }

  /** @param {any} result */
  #subscribed(result) {
    const attempt = this.#attempt;
    this.#state = 'subscribed';
    this.#backoff.succeeded();
    if (this.#options.getToken) this.#refresher.schedule(result);
    this.#cursor.deliver(this, this.#channel, result, () => attempt === this.#attempt);
  }

  /** @param {ClientError} error */
  #refused(error) {
    if (error.code === codes.TIMEOUT) {
      // Nobody knows whether it is subscribed: a new connection is not.
      this._emit('error', error);
      return this.#client._restart('the host has not answered subscribe');
    }
    this.#isTold = false;
    let isLast = !error.temporary;
    if (error.code === TOKEN_EXPIRED && this.#options.getToken) {
      this.#token = '';
      isLast = false;
    }
    this.#failed(error, isLast);
  }

  /**
   * @param {ClientError} error
   * @param {boolean} isLast
   */
  #failed(error, isLast) {
    const attempt = this.#attempt;
    this._emit('error', error);
    if (attempt !== this.#attempt) return;
    if (isLast) this.#end(error.code, error.message, error);
    else if (this.#state === 'subscribing') this.#startLater('soon');
  }

  /** @param {'now' | 'soon'} again */
  #startLater(again) {
    const { _runtime: runtime } = this.#client;
    const delayMs = this.#backoff.delayMs({ again });
    this.#retry = runtime.setTimeout(() => this._start(), delayMs);
  }

  /** @param {any} unsubscribe */
  #unsubscribed(unsubscribe) {
    const code = Number(unsubscribe.code) || 0;
    const reason = String(unsubscribe.reason ?? '');
    // A push that has crossed the wish to subscribe is not about that.
    if (this.#state !== 'subscribed') return;
    this.#isTold = false;
    if (code < AGAIN_CODE_MIN) return this.#end(code, reason);
    this.#halt();
    if (code === EXPIRED) this.#token = '';
    if (code === STATE_INVALIDATED) this._invalidate();
    this.#state = 'subscribing';
    this.#startLater('now');
    this._emit('subscribing', { channel: this.#channel, code, reason });
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {ClientError} [error]
   */
  #end(code, reason, error) {
    if (this.#state === 'unsubscribed') return;
    this.#halt();
    this.#state = 'unsubscribed';
    this.#client._forget(this, this.#isTold);
    this.#isTold = false;
    this._emit('unsubscribed', { channel: this.#channel, code, reason, error });
  }
}
