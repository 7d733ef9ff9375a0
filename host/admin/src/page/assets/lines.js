// The connections of the host, in pages: found by function and tag, each with
// its details.

import { action, field, keep, part, setAvailable, setText } from "./dom.js";
import { count } from "./format.js";
import { read, Refusal, showOutcome } from "./interface.js";
import { Line } from "./line.js";

// The host's default, which a browser can update easily.
const PAGE = 100;

export class Lines {
  /** `changed()` has the host asked again. */
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    this.list = part(root, "line-list");
    this.lines = new Map();
    this.function = "";
    this.tag = "";
    this.names = new Map();
    // Where this page and earlier ones begin; the first one's beginning is
    // empty.
    this.begins = [""];
    this.form = part(root, "filter");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.filter(field(this.form, "function").value, field(this.form, "tag").value);
    });
    field(this.form, "function").addEventListener("change", () => this.form.requestSubmit());
    const turns = (name, turn) => {
      const button = action(root, name);
      button.addEventListener("click", () => {
        if (button.getAttribute("aria-disabled") === "true") return;
        turn();
        this.#anew();
      });
    };
    turns("first-page", () => this.begins.splice(1));
    turns("previous-page", () => this.begins.pop());
    turns("next-page", () => this.begins.push(this.next));
  }

  /** Shows the connections of a function, or with a tag of it; of all when both are empty. */
  filter(name, tag) {
    this.function = name;
    this.tag = name === "" ? "" : tag;
    this.#nameOption(name);
    field(this.form, "function").value = name;
    if (this.tag !== tag) showOutcome(part(this.form, "filter-problem"), new Error("A tag belongs to a function: choose one."));
    else showOutcome(part(this.form, "filter-problem"), "");
    field(this.form, "tag").value = tag;
    this.begins = [""];
    this.#anew();
  }

  #anew() {
    // Another page has other lines; none is kept because it is unfolded.
    this.lines.clear();
    this.list.replaceChildren();
    this.turned = true;
    this.announces = true;
    this.changed();
  }

  async refresh() {
    const { function: name, tag } = this;
    const after = this.begins.at(-1);
    const query = { function: name, tag, after, limit: String(PAGE) };
    this.turned = false;
    let page;
    try {
      const [connections, { functions }] = await Promise.all([read(["connections"], query), read(["functions"])]);
      page = connections;
      this.#showNames(functions);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 400) throw error;
      // The tag is not valid.
      showOutcome(part(this.form, "filter-problem"), error);
      page = { connections: [], next: null };
    }
    // Another page was requested meanwhile, so do not show this one.
    if (this.turned) return;
    this.next = page.next;
    const gone = await this.#gone(page.connections);
    if (this.turned) return;
    keep(
      this.list,
      this.lines,
      merged(page.connections, gone),
      ({ id }) => id,
      (connection) => new Line(connection, this.changed),
    );
    this.#showPage(page.connections.length);
  }

  /**
   * Lines that are open and not on the page any more: what the host says of
   * each, and those that have ended as they were last known.
   */
  async #gone(connections) {
    const there = new Set(connections.map(({ id }) => id));
    const open = [...this.lines.values()].filter((line) => line.isOpen() && !there.has(line.id));
    return Promise.all(
      open.map(async (line) => {
        if (line.hasEnded()) return line.connection;
        try {
          return await read(["connections", line.id]);
        } catch (error) {
          if (!(error instanceof Refusal) || error.status !== 404) throw error;
          return { ...line.connection, ended: true };
        }
      }),
    );
  }

  #showPage(shown) {
    part(this.root, "no-lines").hidden = shown > 0 || this.lines.size > 0;
    part(this.root, "line-head").hidden = this.lines.size === 0;
    const number = this.begins.length;
    const paged = number > 1 || this.next !== null;
    const text = part(this.root, "page-text");
    // Screen readers announce a requested page, but not each connection that
    // opens or ends.
    text.setAttribute("aria-live", this.announces ? "polite" : "off");
    this.announces = false;
    setText(text, paged ? `Page ${number}, ${count(shown, "connection")}` : count(shown, "connection"));
    for (const name of ["first-page", "previous-page"]) setAvailable(action(this.root, name), number > 1);
    setAvailable(action(this.root, "next-page"), this.next !== null);
    part(this.root, "pager").hidden = !paged;
  }

  #showNames(functions) {
    for (const { name } of functions) this.#nameOption(name);
    // A function that is gone stays in the list only while it is chosen.
    const there = new Set(functions.map(({ name }) => name));
    for (const [name, option] of this.names) {
      if (there.has(name) || name === this.function) continue;
      option.remove();
      this.names.delete(name);
    }
  }

  #nameOption(name) {
    if (name === "" || this.names.has(name)) return;
    const option = document.createElement("option");
    option.value = name;
    option.textContent = name;
    this.names.set(name, option);
    field(this.form, "function").append(option);
  }
}

/** Both in the order of their ids, which is that of the host. */
function merged(connections, others) {
  if (others.length === 0) return connections;
  return [...connections, ...others].sort((one, other) => (one.id < other.id ? -1 : 1));
}
