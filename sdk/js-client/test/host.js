//! A host for tests that speaks the protocol: channels with history, recovery,
//! presence, tokens and pings, in memory. It knows nothing of sockets: `accept`
//! takes a peer with `send` and `close`.

/** Errors as the real host words them. */
const ERRORS = {
  101: 'unauthorized',
  103: 'permission denied',
  104: 'method not found',
  105: 'already subscribed',
  107: 'bad request',
  109: 'token expired',
  111: 'too many requests',
};

let epochs = 0;

class Channel {
  epoch = `e${++epochs}`;
  offset = 0;
  history = [];
}

export class Host {
  connections = new Set();
  channels = new Map();
  /** Commands in the order of their arrival. */
  commands = [];
  /** How many came in each frame. */
  frames = [];
  recovered = 0;
  unrecovered = 0;
  #last = 0;

  constructor(runtime, options = {}) {
    this.runtime = runtime;
    this.options = { ping: 25, pong: true, historyMax: 100, ...options };
  }

  channel(name) {
    if (!this.channels.has(name)) this.channels.set(name, new Channel());
    return this.channels.get(name);
  }

  /** A new connection; the peer's frames go to `receive`, its end to `gone`. */
  accept(peer) {
    const connection = {
      id: `c${++this.#last}`,
      peer,
      user: '',
      isConnected: false,
      subscriptions: new Map(),
      timer: undefined,
      owesPong: false,
      receive: (text) => this.#receive(connection, text),
      gone: () => this.#gone(connection),
    };
    this.connections.add(connection);
    return connection;
  }

  publish(name, data, { tags, info } = {}) {
    const channel = this.channel(name);
    const pub = { data, offset: ++channel.offset, tags, info };
    channel.history.push(pub);
    if (channel.history.length > this.options.historyMax) channel.history.shift();
    this.#push(name, { pub }, (options) => {
      const value = options.tf?.key && tags?.[options.tf.key];
      return !options.tf || value === options.tf.val;
    });
    return pub.offset;
  }

  /** All that is kept is gone. */
  evict(name) {
    this.channel(name).history = [];
  }

  /** All that was known is gone, as after a restart without a disk. */
  forget(name) {
    this.channels.delete(name);
  }

  message(data) {
    for (const { peer } of this.connections) peer.send(JSON.stringify({ push: { message: { data } } }));
  }

  unsubscribe(name, code, reason = 'server unsubscribe') {
    for (const connection of this.connections) {
      if (!connection.subscriptions.delete(name)) continue;
      const push = { channel: name, unsubscribe: { code, reason } };
      connection.peer.send(JSON.stringify({ push }));
    }
  }

  /** The host subscribes all peers. */
  subscribe(name) {
    for (const connection of this.connections) {
      const subscribe = this.#subscribe(connection, name, {});
      connection.peer.send(JSON.stringify({ push: { channel: name, subscribe } }));
    }
  }

  close(code, reason) {
    for (const connection of [...this.connections]) this.#close(connection, code, reason);
  }

  #push(name, push, wants = () => true) {
    const line = JSON.stringify({ push: { channel: name, ...push } });
    for (const { peer, subscriptions } of this.connections) {
      const options = subscriptions.get(name);
      if (options && wants(options)) peer.send(line);
    }
  }

  #close(connection, code, reason = '') {
    this.#gone(connection);
    connection.peer.close(code, reason);
  }

  #gone(connection) {
    this.connections.delete(connection);
    this.runtime.clearTimeout(connection.timer);
    for (const [name, options] of connection.subscriptions) {
      if (options.join_leave) this.#push(name, { leave: { info: memberOf(connection) } });
    }
    connection.subscriptions.clear();
  }

  #receive(connection, text) {
    this.frames.push(text.split('\n').length);
    for (const line of text.split('\n')) {
      if (!this.connections.has(connection)) return;
      if (line) this.#command(connection, JSON.parse(line));
    }
  }

  #command(connection, command) {
    const { id } = command;
    const kind = Object.keys(command).find((name) => name !== 'id');
    if (!kind) {
      if (!connection.owesPong) this.#close(connection, 3501, 'bad request');
      connection.owesPong = false;
      return;
    }
    this.commands.push(command);
    const request = command[kind];
    if (kind !== 'connect' && !connection.isConnected) {
      return this.#close(connection, 3501, 'bad request');
    }
    let answer;
    try {
      answer = this.#answer(connection, kind, request);
    } catch (code) {
      if (typeof code !== 'number') throw code;
      const error = { code, message: ERRORS[code] ?? 'error', temporary: code === 111 || undefined };
      return connection.peer.send(JSON.stringify({ id, error }));
    }
    if (answer === undefined) return;
    connection.peer.send(JSON.stringify({ id, [kind]: answer }));
    this.options.answered?.(connection, kind, request);
  }

  #answer(connection, kind, request) {
    const given = this.options[kind]?.(request, connection);
    if (given !== undefined) return given === null ? undefined : given;
    switch (kind) {
      case 'connect':
        return this.#connect(connection, request);
      case 'subscribe':
        if (connection.subscriptions.has(request.channel)) throw 105;
        return this.#subscribe(connection, request.channel, request);
      case 'unsubscribe':
        connection.subscriptions.delete(request.channel);
        return {};
      case 'publish':
        this.publish(request.channel, request.data, { info: memberOf(connection) });
        return {};
      case 'presence':
        return { presence: Object.fromEntries(this.#members(request.channel)) };
      case 'presence_stats':
        return { num_clients: this.#members(request.channel).length, num_users: 1 };
      case 'history':
        return this.#history(request);
      case 'rpc':
        return { data: request.data };
      case 'send':
        return undefined;
      case 'refresh':
      case 'sub_refresh':
        return { expires: true, ttl: this.options.ttl };
      default:
        throw 107;
    }
  }

  #connect(connection, request) {
    const { ping, pong, ttl, hosted = [] } = this.options;
    connection.isConnected = true;
    if (ping) this.#ping(connection);
    const known = new Map(Object.entries(request.subs ?? {}));
    const subs = Object.fromEntries(
      hosted.map((name) => [name, this.#subscribe(connection, name, known.get(name) ?? {})]),
    );
    const expiry = ttl === undefined ? {} : { expires: true, ttl };
    return { client: connection.id, version: 'test', ...expiry, ping, pong, subs };
  }

  #ping(connection) {
    connection.timer = this.runtime.setTimeout(() => {
      if (connection.owesPong) return this.#close(connection, 3012, 'no pong');
      connection.owesPong = this.options.pong;
      connection.peer.send('{}');
      this.#ping(connection);
    }, this.options.ping * 1000);
  }

  #subscribe(connection, name, request) {
    const channel = this.channel(name);
    const result = { recoverable: true, positioned: true, epoch: channel.epoch };
    if (request.recover) {
      const { offset = 0, epoch = '' } = request;
      const missed = channel.history.filter((pub) => pub.offset > offset);
      const isWhole = offset <= channel.offset && missed.length === channel.offset - offset;
      result.was_recovering = true;
      if (isWhole && (!epoch || epoch === channel.epoch)) {
        this.recovered += 1;
        result.recovered = true;
        result.publications = missed;
        result.offset = offset || undefined;
      } else {
        this.unrecovered += 1;
        result.offset = channel.offset || undefined;
      }
    } else {
      result.offset = channel.offset || undefined;
    }
    connection.subscriptions.set(name, request);
    if (request.join_leave) this.#push(name, { join: { info: memberOf(connection) } });
    return result;
  }

  #members(name) {
    return [...this.connections]
      .filter(({ subscriptions }) => subscriptions.has(name))
      .map((connection) => [connection.id, memberOf(connection)]);
  }

  #history({ channel: name, since, limit = 0, reverse }) {
    const { epoch, offset, history } = this.channel(name);
    let kept = history.filter((pub) => !since || (reverse ? pub.offset < since.offset : pub.offset > since.offset));
    if (reverse) kept = kept.reverse();
    return { publications: limit < 0 ? kept : kept.slice(0, limit), epoch, offset };
  }
}

function memberOf({ id, user }) {
  return { client: id, user };
}
