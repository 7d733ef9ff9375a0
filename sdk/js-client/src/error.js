//! What goes wrong, as one class. Errors of the host keep their codes, which
//! begin at 100; those of this library are below.

/**
 * Codes of errors that arise in this library.
 */
export const codes = Object.freeze({
  /** The host has not answered in time. What was asked may have been done. */
  TIMEOUT: 1,
  /** The connection was lost. What was asked may have been done. */
  CONNECTION_LOST: 2,
  /** There is no connection, so nothing was sent. */
  NOT_CONNECTED: 3,
  /** `getToken` has failed. */
  TOKEN: 5,
  /** The subscription has ended. */
  UNSUBSCRIBED: 7,
  /** An option or an argument is not valid. */
  BAD_CONFIGURATION: 12,
  /** As much as may wait, or be queued, waits. Nothing was sent. */
  TOO_MUCH: 20,
  /** What was received is not the protocol. */
  BAD_PROTOCOL: 21,
});

/** Codes of the host that this library acts on. */
export const UNAUTHORIZED = 101;
export const TOKEN_EXPIRED = 109;

/** @type {Record<number, string>} */
const HINTS = {
  101: 'check the token, and the key that the host knows',
  102: 'check the name of the channel, and the channels that the host has',
  103: "check what the host's channel, and the token, allow",
  105: 'the host has subscribed this connection to the channel: listen on the client',
  106: 'unsubscribe from what is no longer needed, or raise the limit of the host',
  108: 'the channel does not keep what was asked for: configure it on the host',
  109: 'give the option getToken, which is called for a new token',
};

/** The one error of this library. */
export class ClientError extends Error {
  /**
   * @param {number} code
   * @param {string} message
   * @param {{ temporary?: boolean, hint?: string, cause?: unknown }} [more]
   */
  constructor(code, message, { temporary = false, hint = HINTS[code], cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ClientError';
    this.code = code;
    this.temporary = temporary;
    this.hint = hint;
  }
}

/**
 * The error of a reply.
 * @param {any} error
 */
export function errorOfHost(error) {
  const code = Number.isSafeInteger(error?.code) ? error.code : 100;
  return new ClientError(code, String(error?.message || 'the host gives no reason'), {
    temporary: error?.temporary === true,
  });
}

/**
 * Whatever was thrown, as an error of this library.
 * @param {unknown} error
 * @param {number} code
 * @param {string} what
 */
export function errorOf(error, code, what) {
  if (error instanceof ClientError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new ClientError(code, `${what}: ${text}`, { temporary: true, cause: error });
}
