// The connections of the host, in pages: found by function and tag, each with
// its details.

import { field, keep, part } from "./dom.js";
import { read, Refusal, showOutcome } from "./interface.js";
import { Line } from "./line.js";
import { FunctionOptions, merged, Pages } from "./paging.js";

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
    this.pages = new Pages(root, { what: "page", noun: "connection", turned: () => this.#anew() });
    this.form = part(root, "filter");
    this.functions = new FunctionOptions(field(this.form, "function"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.filter(field(this.form, "function").value, field(this.form, "tag").value);
    });
    field(this.form, "function").addEventListener("change", () => this.form.requestSubmit());
  }

  /** Shows the connections of a function, or with a tag of it; of all when both are empty. */
  filter(name, tag) {
    this.function = name;
    this.tag = name === "" ? "" : tag;
    this.functions.offer(name);
    field(this.form, "function").value = name;
    if (this.tag !== tag) showOutcome(part(this.form, "filter-problem"), new Error("A tag belongs to a function: choose one."));
    else showOutcome(part(this.form, "filter-problem"), "");
    field(this.form, "tag").value = tag;
    this.pages.begin();
    this.#anew();
  }

  #anew() {
    // Another page has other lines; none is kept because it is unfolded.
    this.lines.clear();
    this.list.replaceChildren();
    this.turned = true;
    this.pages.announce();
    this.changed();
  }

  async refresh() {
    const { function: name, tag } = this;
    const after = this.pages.after();
    const query = { function: name, tag, after, limit: String(PAGE) };
    this.turned = false;
    let page;
    try {
      const [connections, { functions }] = await Promise.all([read(["connections"], query), read(["functions"])]);
      page = connections;
      this.functions.show(functions, this.function);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 400) throw error;
      // The tag is not valid.
      showOutcome(part(this.form, "filter-problem"), error);
      page = { connections: [], next: null };
    }
    // Another page was requested meanwhile, so do not show this one.
    if (this.turned) return;
    this.pages.next = page.next;
    const gone = await this.#gone(page.connections);
    if (this.turned) return;
    keep(
      this.list,
      this.lines,
      merged(page.connections, gone, ({ id }) => id),
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
    this.pages.show(shown);
  }
}
