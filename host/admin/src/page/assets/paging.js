// What lists in pages have in common: the page that is shown with the buttons
// that turn to others, and the functions of which a filter has one chosen.

import { action, part, setAvailable, setText } from "./dom.js";
import { count } from "./format.js";

/** Which page of a list is shown. */
export class Pages {
  /**
   * `what` is in the names of the parts and the buttons, `noun` names an entry,
   * and `turned()` is called when another page is wanted.
   */
  constructor(root, { what, noun, turned }) {
    this.root = root;
    this.what = what;
    this.noun = noun;
    // Where the next page begins, if there is one.
    this.next = null;
    this.begin();
    const turns = (name, turn) => {
      const button = action(root, `${name}-${what}`);
      button.addEventListener("click", () => {
        if (button.getAttribute("aria-disabled") === "true") return;
        turn();
        turned();
      });
    };
    turns("first", () => this.begins.splice(1));
    turns("previous", () => this.begins.pop());
    turns("next", () => this.begins.push(this.next));
  }

  /** The first page is wanted. */
  begin() {
    // Where this page and earlier ones begin; the first one's beginning is empty.
    this.begins = [""];
  }

  /** What this page comes after. */
  after() {
    return this.begins.at(-1);
  }

  /** Screen readers announce the page when it is shown: someone has asked for it. */
  announce() {
    this.announces = true;
  }

  /** Says which page is shown, with so many entries. */
  show(shown) {
    const { root, what, next } = this;
    const number = this.begins.length;
    const paged = number > 1 || next !== null;
    const text = part(root, `${what}-text`);
    // Entries that come or go are not announced.
    text.setAttribute("aria-live", this.announces ? "polite" : "off");
    this.announces = false;
    const entries = count(shown, this.noun);
    setText(text, paged ? `Page ${number}, ${entries}` : entries);
    for (const name of ["first", "previous"]) setAvailable(action(root, `${name}-${what}`), number > 1);
    setAvailable(action(root, `next-${what}`), next !== null);
    part(root, `${what}-pager`).hidden = !paged;
  }
}

/** The functions that a `select` offers, beside what it has of itself. */
export class FunctionOptions {
  constructor(select) {
    this.select = select;
    this.options = new Map();
  }

  /** Offers a function. */
  offer(name) {
    if (name === "" || this.options.has(name)) return;
    const option = document.createElement("option");
    option.value = name;
    option.textContent = name;
    this.options.set(name, option);
    this.select.append(option);
  }

  /** Offers those of the host. One that is gone stays only while it is chosen. */
  show(functions, chosen) {
    for (const { name } of functions) this.offer(name);
    const there = new Set(functions.map(({ name }) => name));
    for (const [name, option] of this.options) {
      if (there.has(name) || name === chosen) continue;
      option.remove();
      this.options.delete(name);
    }
  }
}

/** Both in the order of their keys, so that an open row stays in its place when it is listed. */
export function merged(listed, others, keyOf) {
  if (others.length === 0) return listed;
  return [...listed, ...others].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}
