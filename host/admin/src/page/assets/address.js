// Makes the address of a connection from a route and the typed values, and the
// curl command that shows what a browser hides. Pure functions, except that the
// host is the one this page came from unless `connectTo` sets another.

// The page lives at /.openline/, so the host's own root is one above it. This
// holds behind a proxy that adds a prefix, too.
let root = new URL("../", document.baseURI);

// The address that a host reports if it listens on all addresses of a machine.
const ANY_ADDRESS = /^(0\.0\.0\.0|\[::\])(?=:\d+$)/;

/**
 * Connections are opened at `listen`, address and port of the host's main
 * listener, which speaks TLS or not, and not where this page came from.
 */
export function connectTo({ listen, tls }) {
  root = new URL(`${tls ? "https:" : "http:"}//${listen.replace(ANY_ADDRESS, location.hostname)}/`);
}

// `{name}` stands for one segment of the path, a last `{*name}` for the rest.
const PLACEHOLDER = /\{(\*?)([^{}]*)\}/g;

// RFC 9110 section 5.6.2: the characters of a subprotocol.
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The name of the form field for a route parameter. */
export function parameterFieldName(parameter) {
  return `parameter-${parameter}`;
}

/** What is wrong with a field of the form: `field` is its name. */
export class FieldError extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * The route with the parameters filled in and percent-encoded. Throws a
 * FieldError for one that is empty or that would leave its place in the path.
 */
export function fillRoute(route, values) {
  return route.replace(PLACEHOLDER, (_, rest, name) => {
    const value = values.get(name) ?? "";
    if (value === "") throw new FieldError(parameterFieldName(name), `“${name}” is part of the path and cannot be empty.`);
    const segments = rest ? value.split("/") : [value];
    if (segments.some((segment) => segment === "." || segment === "..")) {
      // Browsers resolve these, encoded or not, and would request another path.
      throw new FieldError(parameterFieldName(name), `“.” and “..” cannot be part of a path.`);
    }
    return segments.map(encodeURIComponent).join("/");
  });
}

/** The WebSocket address of a route: a URL string. Throws FieldError. */
export function connectionAddress(route, values, query) {
  const path = fillRoute(route, values);
  const url = new URL(path.replace(/^\/+/, ""), root);
  url.protocol = root.protocol === "https:" ? "wss:" : "ws:";
  // As typed, so that anything can be tried; a fragment never reaches a host.
  url.search = query.replace(/^\?/, "").replaceAll("#", "%23");
  return url.href;
}

/** Subprotocols separated by commas or spaces. Throws FieldError. */
export function parseSubprotocols(text) {
  const names = text.split(/[\s,]+/).filter((name) => name !== "");
  for (const [index, name] of names.entries()) {
    if (!TOKEN.test(name)) throw new FieldError("subprotocols", `“${name}” cannot be a subprotocol.`);
    if (names.indexOf(name) !== index) throw new FieldError("subprotocols", `“${name}” is offered twice.`);
  }
  return names;
}

/**
 * A command that makes the same handshake and prints the answer, for a POSIX
 * shell. It gives up after five seconds: an upgrade that works would wait for
 * frames forever.
 */
export function curlCommand(address, subprotocols) {
  const url = new URL(address);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  const headers = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", // the sample of RFC 6455
    `Origin: ${location.origin}`,
  ];
  if (subprotocols.length > 0) headers.push(`Sec-WebSocket-Protocol: ${subprotocols.join(", ")}`);
  const lines = headers.map((header) => `-H ${quote(header)}`);
  lines.unshift("curl --include --http1.1", "--globoff --max-time 5");
  lines.push(quote(url.href));
  return lines.join(" \\\n  ");
}

function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
