//! Time, chance and a network for tests: timers run when a test says so, and
//! sockets lose what the test wants lost. A seed decides everything.

/** Numbers from 0 to 1 (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = state;
    value = Math.imul(value ^ (value >>> 15), value | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets everything that waits for promises alone run. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

export class Time {
  #now = 0;
  #last = 0;
  #timers = new Map();
  #wakes = new Set();

  constructor(random = () => 0.5) {
    this.random = random;
    this.now = () => this.#now;
    this.setTimeout = (call, ms) => {
      // Platforms take longer ones for nothing.
      if (!(ms < 2 ** 31)) throw new RangeError(`a timer of ${ms} ms`);
      this.#timers.set(++this.#last, { call, at: this.#now + Math.max(0, ms) });
      return this.#last;
    };
    this.clearTimeout = (timer) => this.#timers.delete(timer);
    this.onWake = (wake) => {
      this.#wakes.add(wake);
      return () => this.#wakes.delete(wake);
    };
  }

  /** The timers that wait. */
  get timers() {
    return this.#timers.size;
  }

  /** Who listens to the page. */
  get listeners() {
    return this.#wakes.size;
  }

  /** The page is back. */
  wake() {
    for (const wake of this.#wakes) wake();
  }

  /** Time passes without timers, as while a machine sleeps. */
  sleep(ms) {
    this.#now += ms;
  }

  /** Runs everything that happens within a time. */
  async pass(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      let next;
      for (const [id, timer] of this.#timers) {
        if (timer.at <= end && (!next || timer.at < next.timer.at)) next = { id, timer };
      }
      if (!next) break;
      this.#timers.delete(next.id);
      this.#now = Math.max(this.#now, next.timer.at);
      next.timer.call();
      await settle();
    }
    this.#now = Math.max(this.#now, end);
  }
}

/** A network to one host, which may be down. */
export class Network {
  /** All sockets that were ever made. */
  sockets = [];
  isUp = true;
  /** Milliseconds of each way. */
  latencyMs = 5;

  constructor(time, host) {
    this.time = time;
    this.host = host;
    const network = this;
    this.WebSocket = class {
      constructor(url, protocols) {
        return new Socket(network, url, protocols);
      }
    };
  }

  get open() {
    return this.sockets.filter((socket) => socket.readyState === 1);
  }

  /** Breaks all connections; `isSilent`: nobody is told. */
  drop(isSilent = false) {
    for (const socket of this.sockets) socket.drop(isSilent);
  }
}

class Socket {
  readyState = 0;
  bufferedAmount = 0;
  #network;
  #connection;
  #toClient = [];
  #isCut = false;

  constructor(network, url, protocols) {
    Object.assign(this, { url, protocols, startedMs: network.time.now() });
    this.#network = network;
    network.sockets.push(this);
    this.#later(() => {
      if (this.readyState !== 0) return;
      if (!network.isUp) return this.#end(1006, '');
      this.readyState = 1;
      this.#connection = network.host.accept({
        send: (line) => this.#fromHost(line),
        close: (code, reason) => this.#closedByHost(code, reason),
      });
      this.onopen?.({});
    });
  }

  send(text) {
    if (this.readyState !== 1) throw new Error('not open');
    this.#later(() => this.#connection.receive(text));
  }

  close() {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.#later(() => this.#connection?.gone());
  }

  drop(isSilent) {
    if (this.readyState > 1 || this.#isCut) return;
    this.#isCut = true;
    this.#connection?.gone();
    if (!isSilent) this.#end(1006, '');
  }

  /** What is on its way is lost when the line is cut. */
  #later(call) {
    const { time, latencyMs } = this.#network;
    time.setTimeout(() => this.#isCut || call(), latencyMs);
  }

  /** Lines that are sent together may arrive in one frame, or each in its own. */
  #fromHost(line) {
    this.#toClient.push(line);
    if (this.#toClient.length > 1) return;
    this.#later(() => this.#deliver());
  }

  #deliver() {
    const lines = this.#toClient.splice(0);
    const isOneFrame = this.#network.time.random() < 0.5;
    for (const data of isOneFrame ? [lines.join('\n')] : lines) this.onmessage?.({ data });
  }

  #closedByHost(code, reason) {
    this.#later(() => {
      this.#deliver();
      this.#end(code, reason);
    });
  }

  #end(code, reason) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    if (code === 1006) this.onerror?.({});
    this.onclose?.({ code, reason });
  }
}
