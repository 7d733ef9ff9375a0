// The connections of the host, by pages: found by function and tag, each with
// what is known of it.

import { action, field, keep, part, setAvailable, setText } from "./dom.js";
import { count } from "./format.js";
import { read, Refusal, showOutcome } from "./interface.js";
import { Line } from "./line.js";

// As many as the host gives without being asked for more, and as a browser
// updates without effort.
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
    // Where this page and those before it begin; the first has no beginning.
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
    // Another page has other lines; none of these is kept because it is open.
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
      // A tag that cannot be one.
      showOutcome(part(this.form, "filter-problem"), error);
      page = { connections: [], next: null };
    }
    // Meanwhile another page was asked for: this one is not to be seen.
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
    // What was asked for is said aloud, not each connection that comes or goes.
    text.setAttribute("aria-live", this.announces ? "polite" : "off");
    this.announces = false;
    setText(text, paged ? `Page ${number}, ${count(shown, "connection")}` : count(shown, "connection"));
    for (const name of ["first-page", "previous-page"]) setAvailable(action(this.root, name), number > 1);
    setAvailable(action(this.root, "next-page"), this.next !== null);
    part(this.root, "pager").hidden = !paged;
  }

  #showNames(functions) {
    for (const { name } of functions) this.#nameOption(name);
    // One that is gone cannot be chosen, unless it is.
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
