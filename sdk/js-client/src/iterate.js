//! Publications of a subscription one by one: `for await`. Those that wait for a
//! slow reader are bounded; past the bound the iteration fails.

import { ClientError, codes } from './error.js';

/**
 * @param {any} subscription
 * @param {number} bufferMax
 */
export function iterate(subscription, bufferMax) {
  /** @type {any[]} */
  const buffer = [];
  /** @type {Array<{ resolve: (value: any) => void, reject: (error: unknown) => void }>} */
  const readers = [];
  /** @type {unknown} */
  let failure;
  let isDone = subscription.state === 'unsubscribed';

  /** @param {unknown} [error] */
  const finish = (error) => {
    if (isDone) return;
    isDone = true;
    leave();
    for (const { resolve, reject } of readers.splice(0)) {
      if (error) reject(error);
      else resolve({ done: true, value: undefined });
      error = undefined;
    }
    failure = error;
  };
  const offs = [
    subscription.on('publication', (/** @type {any} */ publication) => {
      const reader = readers.shift();
      if (reader) reader.resolve({ done: false, value: publication });
      else if (buffer.length < bufferMax) buffer.push(publication);
      else {
        const hint = 'read faster, or raise the option bufferMax';
        const text = `more than ${bufferMax} publications wait for their reader`;
        finish(new ClientError(codes.TOO_MUCH, text, { hint }));
      }
    }),
    subscription.on('unsubscribed', (/** @type {any} */ { error }) => finish(error)),
  ];
  const leave = () => offs.forEach((off) => off());
  if (isDone) leave();

  return {
    next() {
      if (buffer.length > 0) return Promise.resolve({ done: false, value: buffer.shift() });
      if (failure) {
        const error = failure;
        failure = undefined;
        return Promise.reject(error);
      }
      if (isDone) return Promise.resolve({ done: true, value: undefined });
      return new Promise((resolve, reject) => readers.push({ resolve, reject }));
    },
    return() {
      buffer.length = 0;
      finish();
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
