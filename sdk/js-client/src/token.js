//! Tokens: asked for within a time, and again before they expire.

import { ClientError, TOKEN_EXPIRED, UNAUTHORIZED, codes, errorOf } from './error.js';

/** The longest delay of a timer. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Tokens are refreshed by a tenth of their time early, or by this. */
const EARLY_MS_MAX = 10_000;

/** Tokens that are short, or over, are refreshed this seldom at least. */
const REFRESH_MS_MIN = 500;

/** Delay until another try, when a refresh has failed for a while. */
const RETRY_MS = 5_000;

/**
 * Calls the user's function.
 * @param {(context: any) => unknown} getToken
 * @param {object} context
 * @param {any} runtime
 * @param {number} timeoutMs
 * @returns {Promise<string>}
 */
export async function fetchToken(getToken, context, runtime, timeoutMs) {
  /** @type {unknown} */
  let timer;
  const late = new Promise((_, reject) => {
    const text = `getToken has not answered within ${timeoutMs} ms`;
    const error = new ClientError(codes.TOKEN, text, { temporary: true });
    timer = runtime.setTimeout(() => reject(error), timeoutMs);
  });
  let token;
  try {
    token = await Promise.race([getToken(context), late]);
  } catch (error) {
    throw errorOf(error, codes.TOKEN, 'getToken has failed');
  } finally {
    runtime.clearTimeout(timer);
  }
  if (typeof token !== 'string' || token === '') {
    const hint = 'return a text; to keep trying, throw an error instead';
    throw new ClientError(UNAUTHORIZED, 'getToken has returned no token', { hint });
  }
  return token;
}

/** Keeps a connection or a subscription from expiring. */
export class Refresher {
  /** @type {unknown} */
  #timer;
  #generation = 0;
  #runtime;
  #parts;

  /**
   * @param {any} runtime
   * @param {object} parts
   * @param {() => Promise<string>} parts.fetch
   * @param {(token: string, callback: import('./connection.js').Callback) => void} parts.send
   * @param {(error: ClientError, isLast: boolean) => void} parts.failed
   */
  constructor(runtime, parts) {
    this.#runtime = runtime;
    this.#parts = parts;
  }

  /** @param {any} result with `expires` and `ttl` in seconds, or without */
  schedule(result) {
    this.stop();
    if (result.expires !== true) return;
    const ttlMs = Math.max(0, Number(result.ttl) || 0) * 1000;
    const early = Math.min(ttlMs / 10, EARLY_MS_MAX);
    this.#after(Math.max(ttlMs - early, REFRESH_MS_MIN));
  }

  stop() {
    this.#generation += 1;
    this.#runtime.clearTimeout(this.#timer);
  }

  /** @param {number} delayMs */
  #after(delayMs) {
    const refresh = () => void this.#refresh(this.#generation);
    this.#timer = this.#runtime.setTimeout(refresh, Math.min(delayMs, TIMER_MS_MAX));
  }

  /** @param {number} generation */
  async #refresh(generation) {
    let token;
    try {
      token = await this.#parts.fetch();
    } catch (error) {
      if (generation === this.#generation) this.#failed(/** @type {ClientError} */ (error));
      return;
    }
    if (generation !== this.#generation) return;
    this.#parts.send(token, (error, result) => {
      if (generation !== this.#generation) return;
      if (error) this.#failed(error);
      else this.schedule(result);
    });
  }

  /** @param {ClientError} error */
  #failed(error) {
    const isLast = !error.temporary && error.code !== TOKEN_EXPIRED;
    if (!isLast) this.#after(RETRY_MS);
    this.#parts.failed(error, isLast);
  }
}
