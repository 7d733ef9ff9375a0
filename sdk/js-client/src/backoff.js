//! When to try again: the table of close codes, and the delays.
//!
//! Codes below 3000 are judged by the table of Openline's documentation, those
//! from 3000 on by Centrifugo's rule. A host that names a time in its reason has
//! chosen one for each peer. The `Retry-After` of a refused handshake cannot be
//! seen: browsers show scripts neither status nor headers of a failed one.

/** How long a connection must last for the next break to be a first one. */
const STABLE_MS = 5_000;

/** The first delay is up to this many times the least one. */
const SPREAD = 5;

/** A host that has too much to do is spared the first delays. */
const LATER_ATTEMPT = 3;

const NEVER = [1000, 1002, 1003, 1007, 1008, 1009, 1010];
const LATER = [1013, 1014, 3013];
const NOW = [1001, 1012, 3001, 3005, 3010, 3011, 3014];

/**
 * What to do after a close: connect `now`, `soon` or `later`, after the time
 * that was `told`, or `never`.
 * @typedef {{ again: 'now' | 'soon' | 'later' | 'told' | 'never', waitMs?: number }} Verdict
 */

/** Whether the host says that the token has expired: a new one helps.
 * @param {number} code
 * @param {string} reason
 */
export function isExpiry(code, reason) {
  return code === 3005 || reason === 'the token has expired' || reason === 'token_expired';
}

/**
 * @param {number} code of the close frame; 1006 if there was none
 * @param {string} reason
 * @returns {Verdict}
 */
export function afterClose(code, reason) {
  const isLast = code >= 3000 && code % 1000 >= 500;
  if (isLast || NEVER.includes(code)) return { again: 'never' };
  const told = /come back after (\d{1,9}) ms/.exec(reason);
  if (told) return { again: 'told', waitMs: Number(told[1]) };
  if (LATER.includes(code)) return { again: 'later' };
  return { again: NOW.includes(code) ? 'now' : 'soon' };
}

/** The delays between tries, with full jitter. */
export class Backoff {
  #attempts = 0;
  /** @type {number | undefined} */
  #since;
  #options;
  #runtime;

  /**
   * @param {{ minDelayMs: number, maxDelayMs: number }} options
   * @param {{ now(): number, random(): number }} runtime
   */
  constructor(options, runtime) {
    this.#options = options;
    this.#runtime = runtime;
  }

  /** It works now. */
  succeeded() {
    this.#since = this.#runtime.now();
  }

  /** What comes next is a first try. */
  reset() {
    this.#attempts = 0;
    this.#since = undefined;
  }

  /**
   * Milliseconds until the next try.
   * @param {Verdict} verdict
   */
  delayMs({ again, waitMs = 0 }) {
    // Whoever is accepted and thrown out at once has not succeeded.
    if (this.#since !== undefined && this.#runtime.now() - this.#since >= STABLE_MS) {
      this.#attempts = 0;
    }
    this.#since = undefined;
    const { minDelayMs: min, maxDelayMs: max } = this.#options;
    const attempt = this.#attempts++;
    if (again === 'told') return Math.min(waitMs, max) + this.#runtime.random() * min;
    const exponent = Math.min(again === 'later' ? Math.max(attempt, LATER_ATTEMPT) : attempt, 30);
    const most = Math.min(max, SPREAD * min * 2 ** exponent);
    let least = Math.min(min, most);
    if (again === 'now' && attempt === 0) least = 0;
    if (again === 'later') least = most / 2;
    return least + this.#runtime.random() * (most - least);
  }
}
