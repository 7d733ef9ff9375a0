// The log of one connection: rows of frames and of events.
//
// Bounded in rows and in the length of a row, whatever a function sends. Rows
// are added once for each repaint, so that a flood costs no more than a
// trickle.

import { action, clone, part, setText } from "./dom.js";
import { byteSize, clock, count, head, hex } from "./format.js";

// Enough to look back, and few enough that a page with several logs stays
// light.
const ROWS_MAX = 500;
// A row shows this much of a message; the size is always that of the whole
// message.
const TEXT_CHARACTERS_MAX = 4 * 1024;
const BINARY_BYTES_MAX = 1024;
// Closer to the end than this many pixels counts as at the end.
const END_PIXELS = 24;

const DIRECTIONS = { in: "↓ in", out: "↑ out", none: "· line" };

export class FrameLog {
  /** `root` holds the log of one panel; `label` is what it is called aloud. */
  constructor(root, label) {
    this.scroller = part(root, "log");
    this.scroller.setAttribute("aria-label", label);
    this.rows = part(root, "frames");
    this.droppedNote = part(root, "dropped");
    this.newest = action(root, "newest");
    this.waiting = [];
    this.dropped = 0;
    this.follows = true;
    this.scrolledTo = 0;
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.newest.addEventListener("click", () => this.#jump());
    // A log that changes its size keeps showing its end.
    new ResizeObserver(() => this.#follow()).observe(this.scroller);
  }

  /** `more` has what is known beside the data: its time, type and a note. */
  text(direction, text, bytes, more = {}) {
    const shown = head(text, TEXT_CHARACTERS_MAX);
    const cut = text.length - shown.length;
    this.#add({
      direction,
      type: "text",
      bytes,
      data: shown,
      ...more,
      note: noted(cut > 0 ? `${count(cut, "more character")} not shown` : "", more.note),
    });
  }

  binary(direction, bytes, more = {}) {
    const shown = bytes.subarray(0, BINARY_BYTES_MAX);
    const cut = bytes.length - shown.length;
    this.#add({
      direction,
      type: "binary",
      bytes: bytes.length,
      data: hex(shown),
      ...more,
      note: noted(cut > 0 ? `${count(cut, "more byte")} not shown` : "", more.note),
    });
  }

  /** A close frame; `note` says who. `code` and `reason` are kept as attributes. */
  close(direction, code, reason, data, note) {
    this.#add({ direction, type: "close", data, note, code, reason });
  }

  /** What happened to the line without a frame. */
  event(type, data) {
    this.#add({ direction: "none", type, data, note: "" });
  }

  clear() {
    this.waiting.length = 0;
    this.dropped = 0;
    this.follows = true;
    this.rows.replaceChildren();
    this.#showDropped();
    this.newest.hidden = true;
  }

  #add(entry) {
    entry.time ??= new Date();
    this.waiting.push(entry);
    // A hidden page is not repainted, so waiting rows must be bounded as well.
    if (this.waiting.length > ROWS_MAX) {
      this.waiting.shift();
      this.dropped += 1;
    }
    this.repaint ??= requestAnimationFrame(() => {
      this.repaint = undefined;
      this.#flush();
    });
  }

  #flush() {
    if (this.waiting.length === 0) return;
    const excess = this.rows.childElementCount + this.waiting.length - ROWS_MAX;
    for (let row = 0; row < excess; row += 1) this.rows.firstElementChild.remove();
    if (excess > 0) this.dropped += excess;
    this.rows.append(...this.waiting.map(rowOf));
    this.waiting.length = 0;
    this.#showDropped();
    this.#follow();
    this.newest.hidden = this.follows;
  }

  #showDropped() {
    this.droppedNote.hidden = this.dropped === 0;
    setText(this.droppedNote, `${count(this.dropped, "older row")} dropped: the log keeps ${ROWS_MAX}.`);
  }

  #follow() {
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    // Only scrolling up leaves the end, because rows that wrap again scroll as
    // well.
    if (scrollHeight - scrollTop - clientHeight < END_PIXELS) this.follows = true;
    else if (scrollTop < this.scrolledTo) this.follows = false;
    this.scrolledTo = scrollTop;
    if (this.follows) this.newest.hidden = true;
  }

  #jump() {
    this.follows = true;
    this.#follow();
    this.newest.hidden = true;
    // The button disappears, but the focus must not.
    this.scroller.focus({ preventScroll: true });
  }
}

function noted(...notes) {
  return notes.filter((note) => note !== undefined && note !== "").join(" · ");
}

function rowOf(entry) {
  const row = clone("frame-template");
  row.dataset.direction = entry.direction;
  row.dataset.type = entry.type;
  if (entry.code !== undefined) {
    row.dataset.code = entry.code;
    row.dataset.reason = entry.reason;
  }
  part(row, "direction").textContent = DIRECTIONS[entry.direction];
  part(row, "type").textContent = entry.type;
  const time = part(row, "time");
  time.textContent = clock(entry.time);
  time.dateTime = entry.time.toISOString();
  const size = part(row, "size");
  if (entry.bytes === undefined) size.remove();
  else size.textContent = byteSize(entry.bytes);
  const data = part(row, "data");
  data.textContent = entry.data;
  data.classList.toggle("nothing", entry.data === "");
  const note = part(row, "note");
  note.textContent = entry.note;
  note.hidden = entry.note === "";
  return row;
}
