//! How far a channel has been read: what to ask for after a break, and which
//! publications are new.
//!
//! Only the host knows whether one is missing: offsets also skip those that a
//! filter keeps from this subscriber. So a step of more than one is no gap.

/** The tag that says that the data is bytes, which JSON has not. */
const DATA_TAG = 'openline-data';

/** @param {any} offset */
const asOffset = (offset) => (Number.isSafeInteger(offset) && offset > 0 ? offset : 0);

/** @param {any} value */
export const isObject = (value) => typeof value === 'object' && value !== null;

/** @param {any} info */
export function memberOf(info) {
  return {
    client: String(info?.client ?? ''),
    user: String(info?.user ?? ''),
    connInfo: info?.conn_info,
    chanInfo: info?.chan_info,
  };
}

/** @param {any} pub */
function dataOf(pub) {
  if (pub.tags?.[DATA_TAG] !== 'base64') return pub.data;
  try {
    return Uint8Array.from(atob(pub.data), (char) => char.charCodeAt(0));
  } catch {
    return pub.data;
  }
}

/**
 * A publication, as users see it.
 * @param {string} channel
 * @param {any} pub
 */
export function publicationOf(channel, pub) {
  return {
    channel,
    data: dataOf(pub),
    offset: asOffset(pub.offset) || undefined,
    tags: pub.tags ?? {},
    info: pub.info ? memberOf(pub.info) : undefined,
    timeMs: pub.time,
  };
}

/**
 * The publications of a result, oldest first.
 * @param {any} result
 * @returns {any[]}
 */
export const publicationsOf = (result) =>
  Array.isArray(result.publications) ? result.publications.filter(isObject) : [];

export class Cursor {
  #epoch = '';
  #offset = 0;
  #isKnown = false;
  #canRecover = false;
  #wasSubscribed = false;

  /** @param {{ offset?: number, epoch?: string }} [since] */
  constructor(since) {
    if (!since) return;
    this.#offset = asOffset(since.offset);
    this.#epoch = since.epoch ?? '';
    this.#isKnown = true;
    this.#canRecover = true;
  }

  /** The position of the last publication that was delivered. */
  get position() {
    return this.#isKnown ? { offset: this.#offset, epoch: this.#epoch } : undefined;
  }

  /** The members of a request that continues here. */
  get request() {
    return this.#canRecover ? { recover: true, ...this.position } : {};
  }

  /**
   * Tells listeners the outcome of a subscription, and what was missed.
   * @param {import('./events.js').Emitter} listeners
   * @param {string} channel
   * @param {any} result
   * @param {() => boolean} isCurrent whether no listener has ended it
   */
  deliver(listeners, channel, result, isCurrent) {
    listeners._emit('subscribed', this.begin(channel, result));
    for (const pub of publicationsOf(result)) {
      // What is not delivered now is asked for when it begins again.
      if (!isCurrent()) return;
      this.push(listeners, channel, { pub });
    }
    this.caughtUp(result);
  }

  /**
   * Tells listeners of a push: a publication that is new, or who comes and goes.
   * @param {import('./events.js').Emitter} listeners
   * @param {string} channel
   * @param {any} push
   */
  push(listeners, channel, { pub, join, leave }) {
    if (isObject(pub)) {
      if (this.accept(pub)) listeners._emit('publication', publicationOf(channel, pub));
    } else if (join) listeners._emit('join', { channel, ...memberOf(join.info) });
    else if (leave) listeners._emit('leave', { channel, ...memberOf(leave.info) });
  }

  /**
   * Takes the outcome of a subscription.
   * @param {string} channel
   * @param {any} result
   */
  begin(channel, result) {
    const epoch = String(result.epoch ?? '');
    const offset = asOffset(result.offset);
    const wasRecovering = this.#canRecover;
    const recovered = wasRecovering && result.recovered === true;
    const missed = !recovered && (this.#wasSubscribed || wasRecovering);
    // An offset means nothing in another epoch, nor in a channel that is behind
    // it. An unknown epoch is whichever the host has.
    const isSame = wasRecovering && (!this.#epoch || epoch === this.#epoch);
    const [first] = publicationsOf(result);
    if (!isSame || offset < this.#offset) {
      this.#offset = first ? Math.max(0, asOffset(first.offset) - 1) : offset;
    }
    this.#epoch = epoch;
    this.#isKnown = result.positioned === true || result.recoverable === true || epoch !== '';
    this.#canRecover = result.recoverable === true;
    this.#wasSubscribed = true;
    return {
      channel,
      recovered,
      wasRecovering,
      missed,
      recoverable: result.recoverable === true,
      positioned: this.#isKnown,
      position: this.#isKnown ? { offset, epoch } : undefined,
      data: result.data,
    };
  }

  /** What was read is no longer valid: the next request asks for no epoch that
   * there is, so that the host answers that it cannot be recovered. */
  invalidate() {
    this.#offset = 0;
    this.#epoch = '_';
  }

  /**
   * The publications that came with the outcome have been delivered.
   * @param {any} result
   */
  caughtUp(result) {
    this.#offset = Math.max(this.#offset, asOffset(result.offset));
  }

  /**
   * Whether a publication is new.
   * @param {any} pub
   */
  accept(pub) {
    const offset = asOffset(pub.offset);
    if (!offset) return true;
    if (offset <= this.#offset) return false;
    this.#offset = offset;
    return true;
  }
}
