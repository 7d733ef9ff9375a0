// Publications as the host writes them, and how a log shows them.

import { utf8 } from "./format.js";

// A number as it was written: JavaScript would round a large one. Browsers that
// cannot say how it was written show it as they read it.
const exact = (_, value, context) =>
  typeof value === "number" && context?.source !== undefined && JSON.rawJSON !== undefined
    ? JSON.rawJSON(context.source)
    : value;

/** The publication of an event of a stream, as a history would have it. */
export function ofEvent(text) {
  const event = JSON.parse(text, exact);
  const kind = "data" in event ? "json" : "base64" in event ? "binary" : "text";
  const data = kind === "json" ? JSON.stringify(event.data) : kind === "binary" ? event.base64 : (event.text ?? "");
  return {
    position: event.position ?? null,
    event: event.event ?? null,
    key: event.key ?? null,
    removed: event.removed ?? false,
    kind,
    data,
    bytes: kind === "binary" ? bytesOf(data).length : utf8(data).length,
    tags: event.tags ?? {},
    sender: event.sender?.connection ?? null,
    user: event.sender?.user ?? null,
    time: Date.parse(event.time),
  };
}

/** The count and the number of a position. */
export function offsetOf(position) {
  const at = position.lastIndexOf("-");
  return { epoch: position.slice(0, at), offset: Number(position.slice(at + 1)) };
}

/** Adds a publication to a log. */
export function show(publication, log) {
  const { event, key, removed, kind, data, position, sender, user, tags, time, bytes } = publication;
  const notes = [
    ...(event === null ? [] : [`event ${event}`]),
    ...(key === null ? [] : [`${removed ? "removes the key" : "key"} ${key}`]),
    ...(position === null ? [] : [`at ${position}`]),
    ...(sender === null ? [] : [`by ${user === null ? "" : `${user}, `}${sender.slice(0, 8)}`]),
    ...Object.entries(tags).map(([name, value]) => `${name}=${value}`),
  ];
  const more = { note: notes.join(" · "), time: new Date(time), bytes };
  if (kind === "binary") log.binary("in", bytesOf(data), more);
  else log.text("in", data, bytes, { ...more, type: kind });
}

/** Base64 of bytes. */
export function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
