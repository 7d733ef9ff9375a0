// Follows one channel: what it keeps, and then what comes, each publication once
// and in order. A stream that breaks is opened again, and the log says what may
// be missing.

import { address, answered, credentials, read, Refusal } from "./interface.js";
import { ofEvent, offsetOf, show } from "./publication.js";
import { setText } from "./dom.js";

// Of what the channel keeps: as many as a person looks back.
const KEPT_SHOWN = 50;
const RETRY_MILLISECONDS = 1000;
const RETRY_MILLISECONDS_MAX = 15_000;
// Larger than any event that the host writes.
const EVENT_CHARACTERS_MAX = 64 * 1024 * 1024;

export class Following {
  /** The channel at `segments` and `query` is shown in `log`, and how it goes in `state`. */
  constructor(segments, query, log, state) {
    this.segments = segments;
    this.query = query;
    this.log = log;
    this.state = state;
    this.failures = 0;
    this.times = 0;
  }

  /** Begins to follow; does nothing while it does. */
  begin() {
    if (this.wanted) return;
    this.wanted = new AbortController();
    const { signal } = this.wanted;
    // What nobody sees is not streamed.
    document.addEventListener("visibilitychange", () => this.#turn(signal), { signal });
    this.#turn(signal);
  }

  end() {
    this.wanted?.abort();
    this.wanted = undefined;
    this.#stop();
    clearTimeout(this.timer);
    this.#tell("off", "");
  }

  #turn(signal) {
    clearTimeout(this.timer);
    if (document.hidden) this.#stop();
    else if (this.stream === undefined) this.#follow(signal);
  }

  #stop() {
    this.stream?.abort();
    this.stream = undefined;
  }

  async #follow(signal) {
    const stream = new AbortController();
    this.stream = stream;
    let refusal;
    try {
      this.#tell("opening", "Subscribing…");
      await this.#read(stream.signal);
    } catch (error) {
      // Another error is a stream that broke.
      if (error instanceof Refusal) refusal = error;
    }
    // It was stopped, and another one may have begun.
    if (this.stream !== stream || signal.aborted) return;
    this.#stop();
    const pause = Math.min(RETRY_MILLISECONDS * 2 ** this.failures, RETRY_MILLISECONDS_MAX);
    this.failures += 1;
    const why = refusal === undefined ? "The stream has ended." : refusal.message;
    this.#tell("broken", `Not subscribed: ${why} This page tries again.`);
    this.timer = setTimeout(() => this.#turn(signal), pause);
  }

  async #read(signal) {
    const url = address(["v1", ...this.segments, "stream"], this.query);
    const response = await fetch(url, { headers: credentials(), cache: "no-store", signal });
    if (!response.ok) answered(response.status, await response.text());
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    this.failures = 0;
    // From now on nothing is missed; what came before, the channel may keep.
    let early = [];
    const events = eachEvent(reader, (text) => {
      const publication = ofEvent(text);
      if (early === undefined) this.#show(publication);
      else early.push(publication);
    });
    const kept = this.#showKept(signal).then(() => {
      signal.throwIfAborted();
      for (const publication of early) this.#show(publication);
      early = undefined;
      this.#tell("live", "Subscribed: publications appear as they come. This page is one of the subscribers.");
    });
    await Promise.all([events, kept]);
  }

  /** Shows what the channel keeps and was not shown. */
  async #showKept(signal) {
    const query = { ...this.query, reverse: "true", limit: String(KEPT_SHOWN) };
    this.times += 1;
    let page;
    try {
      page = await read([...this.segments, "history"], query);
    } catch (error) {
      if (!(error instanceof Refusal) || ![404, 409].includes(error.status)) throw error;
      const again = "subscribed again: the channel keeps no history, so what was published meanwhile is missing";
      const text = this.times === 1 ? "The channel keeps no history: only what comes from now on is here." : again;
      this.log.event("note", text);
      return;
    }
    signal.throwIfAborted();
    const publications = page.publications.reverse();
    const first = publications[0];
    if (this.times > 1 && first !== undefined && !this.#follows(first)) {
      this.log.event("note", "subscribed again: publications before this may be missing");
    }
    for (const publication of publications) this.#show(publication);
  }

  /** Whether nothing is between what was shown and a publication. */
  #follows({ position }) {
    const { epoch, offset } = offsetOf(position);
    return this.epoch === epoch && offset <= this.offset + 1;
  }

  #show(publication) {
    if (publication.position !== null) {
      const { epoch, offset } = offsetOf(publication.position);
      // It was there before it came.
      if (epoch === this.epoch && offset <= this.offset) return;
      this.epoch = epoch;
      this.offset = offset;
    }
    show(publication, this.log);
  }

  #tell(state, text) {
    this.state.dataset.following = state;
    setText(this.state, text);
  }
}

/** Calls `take` with the data of each event of a stream. */
async function eachEvent(reader, take) {
  // Only what ends an event is looked through: a large one comes in many pieces.
  let pieces = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const ends = value.includes("\n\n") || (value.startsWith("\n") && pieces.at(-1)?.endsWith("\n"));
    pieces.push(value);
    length += value.length;
    if (length > EVENT_CHARACTERS_MAX) throw new Error("an event without an end");
    if (!ends) continue;
    const blocks = pieces.join("").split("\n\n");
    pieces = [blocks.pop()];
    length = pieces[0].length;
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data: "));
      if (lines.length > 0) take(lines.map((line) => line.slice(6)).join("\n"));
    }
  }
}
