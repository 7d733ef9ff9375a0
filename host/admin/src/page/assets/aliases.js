// One alias of a function: where it points, and the form that moves it.

import { confirming } from "./confirm.js";
import { action, clone, field, keep, part, setAvailable, setProblem, setText } from "./dom.js";
import { count, shortDigest } from "./format.js";

const MIGRATIONS = {
  migrate: "open connections move at their next event",
  pin: "open connections stay with their version",
  drain: "open connections are closed with 1012",
};
/** What the weights of an alias are together. */
const WHOLE = 100;

export class AliasEntry {
  /** `owner` is the function's entry: its name, what is known of it, `act`. */
  constructor(name, owner) {
    this.name = name;
    this.owner = owner;
    this.segments = ["functions", owner.name, "aliases", name];
    this.element = clone("alias-template");
    this.element.dataset.alias = name;
    part(this.element, "name").textContent = name;
    this.bars = new Map();
    this.shares = new Map();
    this.weights = new Map();
    this.form = part(this.element, "weights-form");
    this.#listen();
  }

  #listen() {
    const rollback = action(this.element, "rollback");
    rollback.addEventListener("click", () => {
      if (rollback.getAttribute("aria-disabled") === "true") return;
      this.#post("rollback", (alias) => `${this.name} is back: ${told(alias.shares)}.`);
    });
    confirming(
      action(this.element, "remove-alias"),
      () => `Remove the alias ${this.name}?`,
      "Remove",
      () => this.owner.act(this.segments, "DELETE", `The alias ${this.name} is removed.`),
    );
    const toggle = action(this.element, "weights");
    toggle.addEventListener("click", () => this.#open(this.form.hidden));
    action(this.form, "cancel-weights").addEventListener("click", () => this.#open(false));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.form.addEventListener("input", () => this.#showSum());
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#open(false);
    });
  }

  show({ alias }) {
    this.alias = alias;
    setText(part(this.element, "migration"), MIGRATIONS[alias.migration] ?? alias.migration);
    const pace = alias.drain_connections_per_second;
    setText(part(this.element, "pace"), pace === null ? "" : `${pace} a second`);
    setAvailable(action(this.element, "rollback"), alias.rollbacks > 0);
    action(this.element, "rollback").title =
      alias.rollbacks > 0 ? `${count(alias.rollbacks, "move")} can be rolled back` : "Nothing to roll back";
    const version = (share) => share.version;
    keep(part(this.element, "bar"), this.bars, alias.shares, version, () => bar());
    keep(part(this.element, "shares"), this.shares, alias.shares, version, (share) => this.#share(share));
    const single = alias.shares.length === 1;
    for (const share of this.shares.values()) share.button.hidden = single;
    // Shown only if there are two aliases, because the host does not remove the
    // last one.
    part(this.element, "remove-place").hidden = Object.keys(this.owner.described.aliases).length < 2;
    if (!this.form.hidden) this.#showWeights();
  }

  #share({ version }) {
    const element = clone("share-template");
    element.dataset.share = version;
    part(element, "version").textContent = shortDigest(version);
    const weight = part(element, "weight");
    const button = action(element, "promote");
    button.addEventListener("click", () => {
      this.#post("promote", () => `${this.name} is all ${shortDigest(version)} now.`, { version });
    });
    return { element, button, show: (share) => setText(weight, `${share.weight} %`) };
  }

  #post(what, done, body) {
    return this.owner.act([...this.segments, what], "POST", done, { body });
  }

  // === the weights ===

  #open(open) {
    if (open === !this.form.hidden) return;
    this.form.hidden = !open;
    action(this.element, "weights").setAttribute("aria-expanded", String(open));
    if (open) {
      this.weights.clear();
      part(this.form, "weight-list").replaceChildren();
      field(this.form, "migration").value = this.alias.migration;
      this.#showWeights();
      this.form.querySelector("input").focus();
    } else {
      action(this.element, "weights").focus();
    }
  }

  /** A field for each version; what has been typed stays. */
  #showWeights() {
    const versions = [...this.owner.described.versions].reverse();
    keep(part(this.form, "weight-list"), this.weights, versions, ({ digest }) => digest, ({ digest, note }) =>
      this.#weight(digest, note),
    );
    this.#showSum();
  }

  #weight(digest, note) {
    const element = clone("weight-template");
    part(element, "version").textContent = shortDigest(digest);
    part(element, "note").textContent = note ?? "";
    const input = field(element, "weight");
    input.dataset.weightOf = digest;
    const share = this.alias.shares.find(({ version }) => version === digest);
    input.value = share?.weight ?? 0;
    return { element, input, show() {} };
  }

  /** Versions and weights as typed, without those of none. */
  #read() {
    const typed = [...this.weights].map(([version, { input }]) => ({ version, weight: Number(input.value) }));
    return typed.filter(({ weight }) => weight !== 0);
  }

  #showSum() {
    const sum = this.#read().reduce((total, { weight }) => total + weight, 0);
    const text = Number.isNaN(sum) ? "Weights are whole numbers." : `The sum is ${sum} of ${WHOLE}.`;
    setText(part(this.form, "weight-sum"), text);
    this.#problem("");
  }

  async #submit() {
    const shares = this.#read();
    const sum = shares.reduce((total, { weight }) => total + weight, 0);
    if (shares.some(({ weight }) => !Number.isInteger(weight) || weight < 0) || sum !== WHOLE) {
      this.#problem(`Whole numbers that are ${WHOLE} together are needed.`);
      return;
    }
    const body = { shares, migration: field(this.form, "migration").value };
    const done = (alias) => `${this.name} leads to ${told(alias.shares)}.`;
    if (await this.owner.act(this.segments, "PUT", done, { body })) this.#open(false);
  }

  #problem(message) {
    setProblem(part(this.form, "problem"), this.form.querySelector("input"), message);
  }
}

function bar() {
  const element = document.createElement("span");
  return {
    element,
    show: ({ weight }) => {
      element.style.flexGrow = weight;
    },
  };
}

function told(shares) {
  return shares.map(({ version, weight }) => `${shortDigest(version)} ${weight} %`).join(", ");
}
