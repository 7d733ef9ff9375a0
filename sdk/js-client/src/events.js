//! Listeners by name. A listener that throws ends neither the others nor the
//! connection: its error goes where errors of the platform's own events go.

import { ClientError, codes } from './error.js';

export class Emitter {
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();

  /**
   * @param {string} name
   * @param {(event: any) => void} listener
   * @returns {() => void} takes the listener away
   */
  on(name, listener) {
    if (typeof listener !== 'function') {
      throw new ClientError(codes.BAD_CONFIGURATION, `the listener of ${name} is not a function`);
    }
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => this.off(name, listener);
  }

  /**
   * @param {string} name
   * @param {(event: any) => void} listener
   */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /**
   * Calls the listeners that there are now.
   * @param {string} name
   * @param {unknown} [event]
   */
  _emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
