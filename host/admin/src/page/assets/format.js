// How times, sizes, bytes and close codes are written, and how typed hex is read.
// Pure functions: no document, no state.

const encoder = new TextEncoder();
const numbers = new Intl.NumberFormat("en");

/** The UTF-8 bytes of `text`, as they go over the line. */
export function utf8(text) {
  return encoder.encode(text);
}

/** Local time as hh:mm:ss.mmm. */
export function clock(date) {
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

/** A size for reading: exact bytes below one KiB, one decimal above. */
export function byteSize(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;
}

/** A whole number for reading: "12,345". */
export function whole(number) {
  return numbers.format(number);
}

/** How often something happens: "0/s", "0.5/s", "1,200/s". */
export function rate(perSecond) {
  return `${perSecond < 10 ? Math.round(perSecond * 10) / 10 : whole(Math.round(perSecond))}/s`;
}

/** "1 instance", "2 instances". */
export function count(number, noun) {
  return `${whole(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** How long something is, roughly: "12 s", "5 min", "3 h", "2 d". */
export function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${whole(Math.floor(seconds / 86_400))} d`;
}

/** A time between a peer and the host, from nanoseconds: "0.21 ms", "34 ms". */
export function roundTrip(nanoseconds) {
  const milliseconds = nanoseconds / 1e6;
  return `${milliseconds < 10 ? milliseconds.toFixed(2) : Math.round(milliseconds)} ms`;
}

/** Local date and time, to the minute: "2026-11-21 16:25". */
export function moment(milliseconds) {
  const date = new Date(milliseconds);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The beginning of a digest by which people know a version. */
export function shortDigest(digest) {
  return digest.slice(0, 12);
}

/** At most `characters` UTF-16 units of `text`, never half of a surrogate pair. */
export function head(text, characters) {
  if (text.length <= characters) return text;
  const last = text.charCodeAt(characters - 1);
  const splits = last >= 0xd800 && last <= 0xdbff;
  return text.slice(0, splits ? characters - 1 : characters);
}

/** Bytes as pairs of hexadecimal digits with spaces between. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/**
 * The bytes that a person typed as hex. Spaces, commas, colons and `0x` may
 * stand between the pairs. Throws an Error that says what is wrong.
 */
export function parseHex(text) {
  const digits = text.replace(/0x/gi, " ").replace(/[\s,:]+/g, "");
  const stray = /[^0-9a-f]/iu.exec(digits);
  if (stray) throw new Error(`“${stray[0]}” is not a hexadecimal digit.`);
  if (digits.length % 2 !== 0) {
    throw new Error(`${count(digits.length, "digit")}: every byte needs two.`);
  }
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

// RFC 6455 section 7.4.1 and the registry it founded; 1005 and 1006 are never
// sent; the browser makes them up.
const CLOSE_CODES = new Map([
  [1000, "normal"],
  [1001, "going away"],
  [1002, "protocol error"],
  [1003, "unsupported data"],
  [1005, "no code given"],
  [1006, "no close frame"],
  [1007, "invalid text"],
  [1008, "policy"],
  [1009, "message too big"],
  [1010, "extension missing"],
  [1011, "function or host failed"],
  [1012, "restarting"],
  [1013, "overloaded, try later"],
  [1014, "bad gateway"],
]);

/** A close code with its meaning, where it has one: "1000 normal". */
export function closeCode(code) {
  const meaning = CLOSE_CODES.get(code);
  if (meaning) return `${code} ${meaning}`;
  return code >= 4000 && code <= 4999 ? `${code} private use` : String(code);
}

/** The most bytes of reason that fit into a close frame: 125 less the code. */
const REASON_BYTES_MAX = 123;

/**
 * What is wrong with a close code and reason as typed, and with which of the
 * two: `{ field, message }`, or nothing. An empty code is a close frame
 * without one. Browsers allow 1000 and 3000 to 4999 only.
 */
export function closeProblem(code, reason) {
  if (code === "" && reason !== "") {
    return { field: "close-code", message: "A reason needs a code." };
  }
  const number = Number(code);
  if (code !== "" && !(/^\d+$/.test(code) && (number === 1000 || (number >= 3000 && number <= 4999)))) {
    return { field: "close-code", message: "A browser may send 1000 or 3000 to 4999." };
  }
  const bytes = utf8(reason).length;
  if (bytes > REASON_BYTES_MAX) {
    return { field: "close-reason", message: `The reason is ${bytes} bytes; ${REASON_BYTES_MAX} fit.` };
  }
  return undefined;
}
