// The channels of a function, or those that functions share, in pages: found by
// pattern, each with its subscribers and its rate.
//
// One channel is open at a time, because each keeps a request to the host busy.

import { ChannelEntry } from "./channel.js";
import { field, keep, part } from "./dom.js";
import { utf8 } from "./format.js";
import { read, Refusal, showOutcome } from "./interface.js";
import { FunctionOptions, merged, Pages } from "./paging.js";

// The host's default, which a browser can update easily.
const PAGE = 100;
// The host's bound.
const NAME_BYTES_MAX = 256;

export class ChannelList {
  /** `changed()` has the host asked again. */
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    this.list = part(root, "channel-list");
    this.entries = new Map();
    // Not chosen yet: the first function is shown.
    this.function = undefined;
    this.pattern = "";
    this.pages = new Pages(root, { what: "channels", noun: "channel", turned: () => this.#anew() });
    this.form = part(root, "channel-filter");
    this.functions = new FunctionOptions(field(this.form, "function"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#filter(field(this.form, "function").value, field(this.form, "pattern").value.trim());
    });
    field(this.form, "function").addEventListener("change", () => this.form.requestSubmit());
    this.opening = part(root, "open-form");
    this.opening.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#openNamed();
    });
  }

  /** Shows the channels of a function. */
  filter(name) {
    this.functions.offer(name);
    field(this.form, "function").value = name;
    field(this.form, "pattern").value = "";
    this.#filter(name, "");
  }

  /** Another view is shown, or this one again: only what is seen is streamed. */
  setShown(shown) {
    for (const entry of this.entries.values()) entry.setShown(shown);
  }

  #filter(name, pattern) {
    this.function = name;
    this.pattern = pattern;
    this.pages.begin();
    showOutcome(part(this.form, "filter-problem"), "");
    this.#anew();
  }

  #anew() {
    for (const entry of this.entries.values()) entry.end();
    this.entries.clear();
    this.list.replaceChildren();
    this.turned = true;
    this.pages.announce();
    this.changed();
  }

  async refresh() {
    this.turned = false;
    const { functions } = await read(["functions"]);
    if (this.turned) return;
    this.#showNames(functions);
    const query = { function: this.function, pattern: this.pattern, after: this.pages.after(), limit: String(PAGE) };
    let page;
    try {
      page = await read(["channels"], query);
    } catch (error) {
      if (!(error instanceof Refusal) || ![400, 404, 409].includes(error.status)) throw error;
      // The pattern is not valid, or the function is gone.
      if (!this.turned) showOutcome(part(this.form, "filter-problem"), error);
      page = { channels: [], next: null };
    }
    // Something else was requested meanwhile, so do not show this.
    if (this.turned) return;
    this.pages.next = page.next ?? null;
    const asked = performance.now();
    const open = [...this.entries.values()].filter((entry) => entry.isOpen());
    const there = new Set(page.channels.map(({ name }) => name));
    const gone = open.filter(({ name }) => !there.has(name)).map((entry) => entry.last());
    keep(
      this.list,
      this.entries,
      merged(page.channels, gone, ({ name }) => name).map((channel) => ({ ...channel, asked })),
      ({ name }) => name,
      ({ name }) => this.#entry(name),
    );
    await Promise.all(open.map((entry) => entry.refresh()));
    if (!this.turned) this.#showPage(page.channels.length);
  }

  #entry(name) {
    return new ChannelEntry(name, this.function, {
      changed: this.changed,
      opened: (entry) => {
        for (const other of this.entries.values()) if (other !== entry) other.fold();
      },
    });
  }

  /** Opens a channel by its name, whether the host has it or not. */
  #openNamed() {
    const input = field(this.opening, "channel");
    // Half of a surrogate pair, which no name has, becomes another character.
    const name = new TextDecoder().decode(utf8(input.value));
    const bytes = utf8(name).length;
    const problem =
      bytes === 0
        ? "A channel has a name."
        : bytes > NAME_BYTES_MAX
          ? `The name is ${bytes} bytes; ${NAME_BYTES_MAX} fit.`
          : /\p{Cc}/u.test(name)
            ? "A name has no control characters."
            : "";
    showOutcome(part(this.opening, "open-problem"), problem === "" ? "" : new Error(problem));
    if (problem !== "") {
      input.focus();
      return;
    }
    let entry = this.entries.get(name);
    if (entry === undefined) {
      entry = this.#entry(name);
      entry.show({ name, subscribers: 0, published: 0, kept: 0, bytes: 0, asked: performance.now() });
      this.entries.set(name, entry);
      const after = [...this.list.children].find((element) => element.dataset.channel > name);
      this.list.insertBefore(entry.element, after ?? null);
    }
    input.value = "";
    this.#showPage(this.entries.size);
    entry.open();
  }

  #showPage(shown) {
    part(this.root, "no-channels").hidden = this.entries.size > 0;
    part(this.root, "channel-head").hidden = this.entries.size === 0;
    this.pages.show(shown);
  }

  #showNames(functions) {
    if (this.function === undefined) {
      this.function = functions[0]?.name ?? "";
      this.functions.offer(this.function);
      field(this.form, "function").value = this.function;
    }
    this.functions.show(functions, this.function);
  }
}
