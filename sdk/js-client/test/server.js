//! Serves a host of tests over real WebSockets (RFC 6455), and the files of this
//! package, on 127.0.0.1. Text frames of clients up to a mebibyte; no extensions.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const KEY = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const BYTES_MAX = 1 << 20;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** Time and chance as they are. */
export const real = {
  now: () => performance.now(),
  random: Math.random,
  setTimeout: (call, ms) => setTimeout(call, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

function frame(opcode, payload) {
  const length = payload.length;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const header = Buffer.alloc(2 + extended);
  header[0] = 0x80 | opcode;
  header[1] = extended === 0 ? length : extended === 2 ? 126 : 127;
  if (extended === 2) header.writeUInt16BE(length, 2);
  if (extended === 8) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, payload]);
}

/** The first frame of what has arrived, if it is whole. */
function unframe(bytes) {
  if (bytes.length < 6) return undefined;
  const short = bytes[1] & 0x7f;
  const extended = short < 126 ? 0 : short === 126 ? 2 : 8;
  const start = 2 + extended;
  if (bytes.length < start + 4) return undefined;
  let length = short;
  if (extended === 2) length = bytes.readUInt16BE(2);
  if (extended === 8) length = Number(bytes.readBigUInt64BE(2));
  if (length > BYTES_MAX || !(bytes[1] & 0x80)) throw new Error('not a frame for a test');
  if (bytes.length < start + 4 + length) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = Buffer.from(bytes.subarray(start + 4, start + 4 + length));
  for (let index = 0; index < length; index += 1) payload[index] ^= mask[index % 4];
  return { opcode: bytes[0] & 0x0f, payload, rest: bytes.subarray(start + 4 + length) };
}

function serveSocket(host, socket) {
  const send = (opcode, payload) => socket.writable && socket.write(frame(opcode, payload));
  const connection = host.accept({
    send: (line) => send(TEXT, Buffer.from(line)),
    close: (code, reason) => {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      send(CLOSE, Buffer.concat([payload, Buffer.from(reason)]));
      socket.end();
    },
  });
  let bytes = Buffer.alloc(0);
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let next = unframe(bytes); next; next = unframe(bytes)) {
      bytes = next.rest;
      if (next.opcode === TEXT) connection.receive(next.payload.toString());
      else if (next.opcode === PING) send(PONG, next.payload);
      else if (next.opcode === CLOSE) {
        send(CLOSE, next.payload.subarray(0, 2));
        socket.end();
      }
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => connection.gone());
}

async function serveFile(request, response) {
  const path = normalize(new URL(request.url, 'http://h/').pathname);
  try {
    const body = await readFile(join(ROOT, path));
    response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'text/plain' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
}

/**
 * Serves a host; port 0 is any free one. `kill` breaks all connections without a
 * word and frees the port.
 */
export async function serve(host, port = 0) {
  const sockets = new Set();
  const server = createServer(serveFile);
  server.on('upgrade', (request, socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const key = request.headers['sec-websocket-key'];
    const accept = createHash('sha1').update(key + KEY).digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    serveSocket(host, socket);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    kill: () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      for (const socket of sockets) socket.resetAndDestroy();
      return closed;
    },
  };
}

// Alone: serves the files of this package, for tests in other languages, until
// its input ends. The first line of its output is the port.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { Host } = await import('./host.js');
  const { port } = await serve(new Host(real));
  console.log(port);
  process.stdin.resume().on('end', () => process.exit());
}
