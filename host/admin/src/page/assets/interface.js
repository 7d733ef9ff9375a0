// Requests to the host: JSON in and out, with the admin interface's token if
// there is one. Throws a Refusal if the host refuses, and an Unreachable if it
// does not answer; no request waits forever.

// The page is at /.openline/, and the interface is next to it at /v1/.
const ROOT = new URL("../", document.baseURI);
// A request that only reads and takes longer counts as not answered.
const READ_MILLISECONDS_MAX = 5000;
// A change may compile a component first. Uploads have a time of their own.
const CHANGE_MILLISECONDS_MAX = 60_000;
const TOKEN_KEY = "openline-admin-token";

/** What the host says instead of what was asked for. */
export class Refusal extends Error {
  /** `error` is a stable word, `message` a sentence, `hint` what to do. */
  constructor(status, { error = "", message = "", hint = "" } = {}) {
    super(message === "" ? `The host answered ${status}.` : sentence(message));
    this.status = status;
    this.error = error;
    this.hint = hint === "" ? "" : sentence(hint);
  }
}

/** The host did not answer, or (`unreadable`) with something that is not its own. */
export class Unreachable extends Error {
  constructor(message, unreadable = false) {
    super(message);
    this.unreadable = unreadable;
  }
}

// === the token ===

let token = stored();

/** Whether requests bear a token. */
export function hasToken() {
  return token !== "";
}

/** Takes a token for as long as the window is open; an empty one forgets it. */
export function useToken(text) {
  token = text;
  try {
    if (text === "") sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, text);
  } catch {
    // The browser refuses storage to this page, so the token lasts until a
    // reload.
  }
}

function stored() {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  } catch {
    return "";
  }
}

/** Headers that every request has. */
export function credentials() {
  return token === "" ? {} : { Authorization: `Bearer ${token}` };
}

// === requests ===

/** The address of a path of segments, each encoded, and of a query. */
export function address(segments, query = {}) {
  const url = new URL(segments.map(encodeURIComponent).join("/"), ROOT);
  for (const [key, value] of Object.entries(query)) {
    if (value !== "" && value !== undefined) url.searchParams.set(key, value);
  }
  return url.href;
}

/** The listing of functions, which the main listener has as well. */
export function listing() {
  return ask("GET", new URL("functions", document.baseURI).href);
}

/** Reads what is at `/v1/` and `segments`. */
export function read(segments, query) {
  return ask("GET", address(["v1", ...segments], query));
}

/** Changes something; `body` is JSON, unless `type` says otherwise. */
export function change(method, segments, { query, body, type = "application/json" } = {}) {
  if (body === undefined) return ask(method, address(["v1", ...segments], query));
  const written = type === "application/json" ? JSON.stringify(body) : body;
  return ask(method, address(["v1", ...segments], query), written, type);
}

async function ask(method, url, body, type) {
  let response;
  let text;
  try {
    response = await fetch(url, {
      method,
      body,
      headers: type === undefined ? credentials() : { ...credentials(), "Content-Type": type },
      cache: "no-store",
      signal: AbortSignal.timeout(method === "GET" ? READ_MILLISECONDS_MAX : CHANGE_MILLISECONDS_MAX),
    });
    text = await response.text();
  } catch {
    throw new Unreachable("The host does not answer.");
  }
  return answered(response.status, text);
}

/** What an answer says, whoever has fetched it. Throws as the module says. */
export function answered(status, text) {
  let value;
  try {
    value = text === "" ? undefined : JSON.parse(text);
  } catch {
    if (status < 400) throw new Unreachable("The host’s answer cannot be read. Reload this page.", true);
  }
  if (status >= 400) throw new Refusal(status, value);
  return value;
}

/** With a capital letter and a full stop, as the page writes. */
function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Shows in `element` what came of an action: a sentence, or an error and its hint. */
export function showOutcome(element, outcome) {
  const bad = outcome instanceof Error;
  const hint = bad ? (outcome.hint ?? "") : "";
  element.dataset.outcome = bad ? "bad" : outcome === "" ? "" : "good";
  const message = document.createElement("span");
  message.textContent = bad ? outcome.message : outcome;
  const parts = [message];
  if (hint !== "") {
    const more = document.createElement("span");
    more.className = "hint";
    more.textContent = `Hint: ${hint}`;
    parts.push(" ", more);
  }
  if (!bad && outcome === "") element.replaceChildren();
  else element.replaceChildren(...parts);
}
