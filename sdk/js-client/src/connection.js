//! One connection: commands and their replies by number, pings, and its end.
//! It ends once, for one reason; then it says nothing more.
//!
//! Bounded: the commands that wait for replies and the bytes that wait for the
//! network by the client's options, a frame of commands by `FRAME_COMMANDS_MAX`.

import { ClientError, codes, errorOfHost } from './error.js';

/** The most commands of a frame, far below what hosts take. */
const FRAME_COMMANDS_MAX = 256;

/** The most characters of a frame of several commands. */
const FRAME_CHARACTERS_MAX = 32 << 10;

/** The code of a connection that ends without a close frame. */
export const LOST = 1006;

/** @typedef {(error: ClientError | undefined, result: any) => void} Callback */

/**
 * @typedef {object} Handlers
 * @property {() => void} opened
 * @property {(push: any) => void} pushed
 * @property {(code: number, reason: string) => void} closed
 */

export class Connection {
  #socket;
  #options;
  #runtime;
  #handlers;
  #isOpen = false;
  #isClosed = false;
  #last = 0;
  /** @type {Map<number, { kind: string, callback: Callback, timer: unknown }>} */
  #waiting = new Map();
  /** @type {string[]} */
  #frame = [];
  #frameCharacters = 0;
  #failure = '';
  /** @type {unknown} */
  #silence;
  #heardMs = 0;
  #silenceMs = 0;
  #answersPings = false;

  /**
   * @param {any} socket a WebSocket that connects
   * @param {any} options
   * @param {any} runtime
   * @param {Handlers} handlers
   */
  constructor(socket, options, runtime, handlers) {
    this.#socket = socket;
    this.#options = options;
    this.#runtime = runtime;
    this.#handlers = handlers;
    socket.onopen = () => {
      if (this.#isClosed) return;
      this.#isOpen = true;
      handlers.opened();
    };
    socket.onmessage = (/** @type {any} */ event) => this.#receive(event.data);
    // It stays: Node's `ws` throws errors that nobody listens to. Before the
    // handshake is done it is the end, and some platforms fire no close then.
    socket.onerror = (/** @type {any} */ event) => {
      this.#failure = String(event?.message ?? '');
      if (!this.#isOpen) this.end(LOST, this.#failure);
    };
    socket.onclose = (/** @type {any} */ event) => {
      const code = Number(event?.code) || LOST;
      this.end(code, String(event?.reason || this.#failure));
    };
  }

  /** Whether another command of the user may be sent now. */
  get hasRoom() {
    const { pendingMax, bufferedBytesMax } = this.#options;
    const buffered = (Number(this.#socket.bufferedAmount) || 0) + this.#frameCharacters;
    return this.#waiting.size < pendingMax && buffered <= bufferedBytesMax;
  }

  /**
   * Sends a command. The callback is called while the reply is read, before
   * whatever comes after it, and in any case once.
   * @param {string} kind
   * @param {string} parameters as JSON
   * @param {Callback} callback
   * @param {number} [timeoutMs]
   */
  request(kind, parameters, callback, timeoutMs = this.#options.timeoutMs) {
    const id = ++this.#last;
    const timer = this.#runtime.setTimeout(() => {
      this.#waiting.delete(id);
      const text = `the host has not answered ${kind} within ${timeoutMs} ms`;
      callback(new ClientError(codes.TIMEOUT, text, { temporary: true }), undefined);
    }, timeoutMs);
    this.#waiting.set(id, { kind, callback, timer });
    this.#write(`{"id":${id},"${kind}":${parameters}}`);
  }

  /**
   * Sends a message that has no reply.
   * @param {string} parameters as JSON
   */
  send(parameters) {
    this.#write(`{"send":${parameters}}`);
  }

  /**
   * Pings come this often, and the connection is lost if nothing does.
   * @param {any} result of the connect command
   */
  expectPings(result) {
    const ping_s = Number(result.ping);
    this.#answersPings = result.pong === true;
    if (!(ping_s > 0)) return;
    this.#silenceMs = ping_s * 1000 + this.#options.pingDelayMs;
    this.#heardMs = this.#runtime.now();
    this.#watch(this.#silenceMs);
  }

  /** Ends the connection if it has been silent for too long. */
  check() {
    const silentMs = this.#runtime.now() - this.#heardMs;
    if (this.#silenceMs && silentMs >= this.#silenceMs) this.end(LOST, 'no ping of the host');
  }

  /**
   * Ends the connection and tells its owner.
   * @param {number} code
   * @param {string} reason
   */
  end(code, reason) {
    if (this.#isClosed) return;
    const waiting = this.#close();
    // First the owner changes its state, which callbacks look at.
    this.#handlers.closed(code, reason);
    for (const { kind, callback } of waiting) {
      const text = `the connection was lost before the host answered ${kind}`;
      callback(new ClientError(codes.CONNECTION_LOST, text, { temporary: true }), undefined);
    }
  }

  /**
   * Ends the connection, as its owner knows; the host is told.
   * @param {number} [code]
   */
  drop(code) {
    if (this.#isClosed) return;
    this.#flush();
    const waiting = this.#close(code);
    for (const { kind, callback } of waiting) {
      const text = `the connection was closed before the host answered ${kind}`;
      callback(new ClientError(codes.CONNECTION_LOST, text, { temporary: true }), undefined);
    }
  }

  /** @param {number} [code] */
  #close(code) {
    this.#isClosed = true;
    this.#runtime.clearTimeout(this.#silence);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { timer } of waiting) this.#runtime.clearTimeout(timer);
    this.#frame = [];
    // The socket may take minutes to notice; nobody waits for it.
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    try {
      socket.close(code);
    } catch {
      // It never was a connection.
    }
    return waiting;
  }

  /** @param {number} afterMs */
  #watch(afterMs) {
    this.#silence = this.#runtime.setTimeout(() => {
      this.check();
      if (this.#isClosed) return;
      this.#watch(this.#silenceMs - (this.#runtime.now() - this.#heardMs));
    }, afterMs);
  }

  /** @param {string} command */
  #write(command) {
    if (this.#isClosed || !this.#isOpen) return;
    if (
      this.#frame.length >= FRAME_COMMANDS_MAX ||
      this.#frameCharacters + command.length > FRAME_CHARACTERS_MAX
    ) {
      this.#flush();
    }
    // What is sent in one go travels in one frame.
    if (this.#frame.length === 0) queueMicrotask(() => this.#flush());
    this.#frame.push(command);
    this.#frameCharacters += command.length;
  }

  #flush() {
    if (this.#isClosed || this.#frame.length === 0) return;
    const frame = this.#frame.join('\n');
    this.#frame = [];
    this.#frameCharacters = 0;
    this.#transmit(frame);
  }

  /** @param {string} frame */
  #transmit(frame) {
    try {
      this.#socket.send(frame);
    } catch (error) {
      this.end(LOST, `cannot send: ${error}`);
    }
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#isClosed) return;
    this.#heardMs = this.#runtime.now();
    if (typeof data !== 'string') return this.#malformed('a binary message');
    for (const line of data.split('\n')) {
      if (this.#isClosed) return;
      if (line.trim() === '') continue;
      let reply;
      try {
        reply = JSON.parse(line);
      } catch {
        reply = undefined;
      }
      if (typeof reply !== 'object' || reply === null) {
        return this.#malformed(`"${line.slice(0, 40)}"`);
      }
      this.#take(reply);
    }
  }

  /** @param {any} reply */
  #take(reply) {
    if (reply.id) {
      const waiting = this.#waiting.get(reply.id);
      // The answer to what nobody waits for any more.
      if (!waiting) return;
      this.#waiting.delete(reply.id);
      this.#runtime.clearTimeout(waiting.timer);
      if (reply.error) waiting.callback(errorOfHost(reply.error), undefined);
      else waiting.callback(undefined, reply[waiting.kind] ?? {});
    } else if (reply.push) {
      this.#handlers.pushed(reply.push);
    } else if (this.#answersPings) {
      this.#transmit('{}');
    }
  }

  /** @param {string} what */
  #malformed(what) {
    this.end(3501, `the host does not speak the protocol: it sent ${what}`);
  }
}
