//! Subscriptions that the host makes by itself: the client's events name their
//! channels, and after a break they continue where they were.

import { Cursor, isObject } from './cursor.js';

/** The most channels that a connect command may name. */
const RECOVERED_MAX = 1_024;

export class Hosted {
  #client;
  /** @type {Map<string, Cursor>} */
  #cursors = new Map();

  /** @param {any} client */
  constructor(client) {
    this.#client = client;
  }

  /** The member `subs` of a connect command. */
  get request() {
    const entries = [...this.#cursors]
      .map(([channel, cursor]) => [channel, cursor.request])
      .filter(([, request]) => /** @type {any} */ (request).recover)
      .slice(0, RECOVERED_MAX);
    return entries.length > 0 ? Object.fromEntries(entries) : undefined;
  }

  invalidate() {
    for (const cursor of this.#cursors.values()) cursor.invalidate();
  }

  /**
   * Takes the member `subs` of the reply to a connect command.
   * @param {any} subs
   * @param {() => boolean} isCurrent
   */
  connected(subs, isCurrent) {
    const entries = Object.entries(isObject(subs) ? subs : {});
    const names = new Set(entries.map(([channel]) => channel));
    for (const channel of [...this.#cursors.keys()]) {
      if (isCurrent() && !names.has(channel)) this.#leave(channel, 0, 'not subscribed again');
    }
    for (const [channel, result] of entries) {
      if (isCurrent() && isObject(result)) this.#begin(channel, result, isCurrent);
    }
  }

  /**
   * @param {string} channel
   * @param {any} push
   * @param {() => boolean} isCurrent
   */
  push(channel, push, isCurrent) {
    if (isObject(push.subscribe)) return this.#begin(channel, push.subscribe, isCurrent);
    const cursor = this.#cursors.get(channel);
    if (!cursor) return;
    if (isObject(push.unsubscribe)) {
      const { code, reason } = push.unsubscribe;
      this.#leave(channel, Number(code) || 0, String(reason ?? ''));
    } else {
      cursor.push(this.#client, channel, push);
    }
  }

  /**
   * @param {string} channel
   * @param {any} result
   * @param {() => boolean} isCurrent
   */
  #begin(channel, result, isCurrent) {
    let cursor = this.#cursors.get(channel);
    if (!cursor) this.#cursors.set(channel, (cursor = new Cursor()));
    cursor.deliver(this.#client, channel, result, isCurrent);
  }

  /**
   * @param {string} channel
   * @param {number} code
   * @param {string} reason
   */
  #leave(channel, code, reason) {
    this.#cursors.delete(channel);
    this.#client._emit('unsubscribed', { channel, code, reason });
  }
}
