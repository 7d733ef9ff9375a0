//! The options of a client: their defaults, and what is not valid.

import { ClientError, codes } from './error.js';

const DEFAULTS = {
  data: undefined,
  token: '',
  headers: undefined,
  name: 'openline-js',
  version: '0.1.0',
  protocols: [],
  minDelayMs: 200,
  maxDelayMs: 20_000,
  connectTimeoutMs: 10_000,
  timeoutMs: 5_000,
  pingDelayMs: 10_000,
  pendingMax: 1_024,
  bufferedBytesMax: 4 << 20,
  queueMax: 0,
  bufferMax: 1_024,
};

/** Counts, which may be 0; the others may not. */
const COUNTS = ['queueMax', 'pingDelayMs'];

/**
 * @param {string} what
 * @param {string} hint
 * @returns {never}
 */
export function misconfigured(what, hint) {
  throw new ClientError(codes.BAD_CONFIGURATION, what, { hint });
}

/**
 * What can be sent: JSON.
 * @param {unknown} data
 * @param {string} what
 */
export function asJson(data, what) {
  const hint = 'give a value that JSON has: no undefined, BigInt, function, cycle or bytes';
  // They would become an object with a member for each byte.
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) data = undefined;
  let json;
  try {
    json = JSON.stringify(data);
  } catch (error) {
    return misconfigured(`${what} cannot be sent as JSON: ${error}`, hint);
  }
  return json ?? misconfigured(`${what} cannot be sent as JSON`, hint);
}

/** @param {any} given */
export function optionsOf(given) {
  const options = { ...DEFAULTS, ...given };
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    if (options[name] === undefined) options[name] = standard;
    if (typeof standard !== 'number') continue;
    const value = options[name];
    const isValid = Number.isFinite(value) && value >= (COUNTS.includes(name) ? 0 : 1);
    if (!isValid) misconfigured(`the option ${name} is ${value}`, 'give a number from 1 on');
  }
  if (options.minDelayMs > options.maxDelayMs) {
    misconfigured('minDelayMs is more than maxDelayMs', 'lower the one or raise the other');
  }
  if (options.getToken !== undefined && typeof options.getToken !== 'function') {
    misconfigured('the option getToken is not a function', 'give a function that returns a token');
  }
  if (options.data !== undefined) asJson(options.data, 'the option data');
  options.websocket ??= globalThis.WebSocket;
  if (typeof options.websocket !== 'function') {
    const hint = "in Node before 22, install ws and give { websocket: WebSocket } from it";
    misconfigured('there is no WebSocket here', hint);
  }
  return options;
}

/**
 * The address of a connection; `http` and `https` are taken for `ws` and `wss`,
 * and in a page it may be a path of the page's host.
 * @param {unknown} url
 */
export function addressOf(url) {
  const hint = 'give an address such as wss://host.example/chat';
  // The query may have a secret, and messages are logged.
  const [shown] = String(url).split('?');
  let address;
  try {
    address = new URL(String(url), globalThis.location?.href);
  } catch {
    return misconfigured(`"${shown}" is not an address`, hint);
  }
  address.protocol = address.protocol.replace(/^http/, 'ws');
  address.hash = '';
  if (!/^wss?:$/.test(address.protocol)) misconfigured(`"${shown}" is not a WebSocket's`, hint);
  return address.href;
}

/** Time, chance and the page: tests have their own. */
export const platform = {
  now: () => performance.now(),
  random: () => Math.random(),
  setTimeout: (/** @type {() => void} */ call, /** @type {number} */ ms) => setTimeout(call, ms),
  clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
  /**
   * Calls when it may be worth to try at once: the page is back online, or seen.
   * @param {() => void} wake
   * @returns {() => void} ends it
   */
  onWake(wake) {
    const { document } = globalThis;
    const seen = () => document.visibilityState === 'visible' && wake();
    globalThis.addEventListener?.('online', wake);
    document?.addEventListener('visibilitychange', seen);
    return () => {
      globalThis.removeEventListener?.('online', wake);
      document?.removeEventListener('visibilitychange', seen);
    };
  },
};
