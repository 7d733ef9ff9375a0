// One channel: a row, and folded below it its terms, what is published on it as
// it comes, its values and members, and a form to publish.

import { confirming } from "./confirm.js";
import { action, clone, field, keep, part, setAvailable, setProblem, setText } from "./dom.js";
import { byteSize, count, parseHex, rate, whole } from "./format.js";
import { change, read, Refusal, showOutcome } from "./interface.js";
import { Following } from "./following.js";
import { FrameLog } from "./log.js";
import { base64 } from "./publication.js";

// As many as a person reads; counts always include all.
const MEMBERS_MAX = 100;
const VALUES_MAX = 100;
const SHOWN_CHARACTERS = 200;

export class ChannelEntry {
  /**
   * `owner` is the function, or empty. `hooks.changed()` has the host asked
   * again, `hooks.opened(entry)` is told when it is unfolded.
   */
  constructor(name, owner, hooks) {
    this.name = name;
    this.segments = ["channels", name];
    this.query = { function: owner };
    this.hooks = hooks;
    this.members = new Map();
    this.values = new Map();
    this.element = clone("channel-template");
    this.element.dataset.channel = name;
    this.details = this.element.querySelector("details");
    part(this.element, "name").textContent = name;
    part(this.element, "name").title = name;
    this.details.addEventListener("toggle", () => this.#toggled());
  }

  isOpen() {
    return this.details.open;
  }

  open() {
    this.details.open = true;
    this.details.querySelector("summary").focus();
  }

  fold() {
    this.details.open = false;
  }

  /** It is no longer shown. */
  end() {
    this.following?.end();
  }

  setShown(shown) {
    if (!this.details.open) return;
    if (shown) this.following?.begin();
    else this.following?.end();
  }

  /** What is known of it, when the host does not list it. */
  last() {
    return { ...this.channel, unlisted: true };
  }

  /** Shows the row; `asked` is when the host was asked, in milliseconds. */
  show(channel) {
    this.unlisted = channel.unlisted === true;
    if (this.unlisted) return;
    const before = this.channel;
    this.channel = channel;
    const { subscribers, published, kept, bytes, asked } = channel;
    const row = (name, text) => setText(part(this.element, name), text);
    row("subscribers", whole(subscribers));
    // A channel that was removed and made anew counts from the beginning.
    const since = before === undefined ? 0 : asked - before.asked;
    if (since > 0 && published >= before.published) row("rate", rate((published - before.published) / (since / 1000)));
    row("published", whole(published));
    row("kept", whole(kept));
    row("bytes", byteSize(bytes));
  }

  #toggled() {
    if (!this.details.open) {
      this.following?.end();
      this.hooks.changed();
      return;
    }
    this.hooks.opened(this);
    if (this.body === undefined) this.#makeBody();
    this.following?.begin();
    this.hooks.changed();
  }

  // === behind the row ===

  #makeBody() {
    this.body = clone("channel-body-template");
    this.details.append(this.body);
    // Browsers take these for places in the path, however they are written.
    if (this.name === "." || this.name === "..") {
      part(this.body, "state").textContent = "A browser cannot ask for a channel of this name.";
      this.body.replaceChildren(part(this.body, "state"));
      return;
    }
    this.log = new FrameLog(this.body, `Publications on ${this.name}`);
    this.following = new Following(this.segments, this.query, this.log, part(this.body, "state"));
    action(this.body, "clear-log").addEventListener("click", () => this.log.clear());
    confirming(
      action(this.body, "forget"),
      () => "Forget the history? Subscribers that come back will have missed it.",
      "Forget",
      () => this.#act("DELETE", ["history"], {}, () => "The history is forgotten."),
    );
    this.form = part(this.body, "publish-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
    const data = field(this.form, "data");
    data.addEventListener("keydown", (event) => {
      if (event.isComposing || event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.form.addEventListener("input", () => this.#problem(undefined, ""));
    field(this.form, "remove").addEventListener("change", (event) => {
      data.disabled = event.target.checked;
    });
  }

  /** Asks for what the open row shows. Rejects as `read` does. */
  async refresh() {
    if (this.form === undefined) return;
    let shown;
    try {
      shown = await read(this.segments, this.query);
      const { presence, keyed } = shown.terms;
      const [members, values] = await Promise.all([
        presence ? this.#read("members", MEMBERS_MAX) : undefined,
        keyed === null ? undefined : this.#read("values", VALUES_MAX),
      ]);
      this.#showMembers(members, shown);
      this.#showValues(values);
    } catch (error) {
      // It has gone meanwhile, or is another one; the stream says so.
      if (!(error instanceof Refusal) || ![404, 409].includes(error.status)) throw error;
      if (shown === undefined) return;
    }
    this.#showFacts(shown);
    if (this.unlisted) this.show({ ...shown, asked: performance.now() });
  }

  #read(what, limit) {
    return read([...this.segments, what], { ...this.query, limit: String(limit) });
  }

  #showFacts({ terms, position, shared, kept }) {
    const row = (name, text) => setText(part(this.body, name), text);
    row("pattern", terms.pattern ?? "none: the usual terms");
    row("belongs", shared ? "functions that share it" : "its function");
    row("may-subscribe", terms.subscribe);
    row("may-publish", terms.publish);
    const { history, keyed } = terms;
    const age = history?.time ?? "any time";
    row("history", history === null ? "none" : `${whole(history.count)}, ${history.bytes}, ${age}`);
    const value = terms.latest ? "the last publication" : keyed === null ? "none" : `${whole(keyed.keys)} keys, ${keyed.bytes}`;
    row("current", value);
    row("recovery", terms.recovery ? "yes" : "no");
    row("durable", terms.durable ? "yes" : "no");
    row("position", position ?? "none");
    setAvailable(action(this.body, "forget"), kept > 0);
  }

  #showMembers(page, { member_connections: connections, member_users: users }) {
    const section = part(this.body, "member-section");
    section.hidden = page === undefined;
    const all = page?.members ?? [];
    keep(
      part(this.body, "member-list"),
      this.members,
      all,
      ({ connection }) => connection,
      ({ connection }) => this.#member(connection),
    );
    if (page === undefined) return;
    setText(part(this.body, "member-title"), `Members (${count(connections, "connection")}, ${count(users, "user")})`);
    const more = part(this.body, "more-members");
    more.hidden = page.next === null;
    setText(more, `The first ${all.length} are shown.`);
  }

  #member(connection) {
    const element = clone("member-template");
    element.dataset.member = connection;
    part(element, "id").textContent = connection;
    action(element, "unsubscribe").addEventListener("click", () =>
      this.#act("DELETE", ["subscribers", connection], {}, ({ unsubscribed }) =>
        unsubscribed ? "It is not subscribed any more." : "It was not subscribed.",
      ),
    );
    return {
      element,
      show: ({ user, info }) => {
        setText(part(element, "user"), user ?? "");
        setText(part(element, "info"), shortened(info ?? ""));
      },
    };
  }

  #showValues(page) {
    part(this.body, "value-section").hidden = page === undefined;
    keep(
      part(this.body, "value-list"),
      this.values,
      page?.values ?? [],
      ({ key }) => key,
      ({ key }) => {
        const element = clone("value-template");
        element.dataset.value = key;
        part(element, "key").textContent = key;
        return { element, show: ({ data }) => setText(part(element, "data"), shortened(data)) };
      },
    );
    const more = part(this.body, "more-values");
    more.hidden = (page?.next ?? null) === null;
    setText(more, `The first ${page?.values.length ?? 0} are shown.`);
  }

  // === publishing ===

  async #publish() {
    const body = this.#typed();
    if (body === undefined) return;
    const data = field(this.form, "data");
    const sent = data.value;
    const published = await this.#act("POST", ["publications"], { body }, told);
    // What was typed meanwhile stays.
    if (published && data.value === sent) data.value = "";
  }

  /** What the form says; nothing when something is wrong, which is said. */
  #typed() {
    const value = (name) => field(this.form, name).value;
    const body = {};
    for (const name of ["event", "key", "idempotency_key"]) if (value(name) !== "") body[name] = value(name);
    if (field(this.form, "remove").checked) body.remove = true;
    else {
      const written = this.#data(value("data"), value("encoding"));
      if (written === undefined) return undefined;
      Object.assign(body, written);
    }
    const tags = value("tags").split(",").map((tag) => tag.trim()).filter((tag) => tag !== "");
    const pairs = tags.map((tag) => [tag.split("=", 1)[0], tag.slice(tag.indexOf("=") + 1)]);
    if (tags.some((tag) => tag.indexOf("=") < 1)) return this.#problem("tags", "A tag is name=value.");
    if (pairs.length > 0) body.tags = Object.fromEntries(pairs);
    return body;
  }

  #data(text, encoding) {
    if (encoding === "text") return { text };
    try {
      if (encoding === "hex") return { base64: base64(parseHex(text)) };
      JSON.parse(text);
      return { json: text };
    } catch (error) {
      return this.#problem("data", encoding === "hex" ? error.message : "This is not JSON.");
    }
  }

  #problem(wrong, message) {
    const note = part(this.form, "publish-problem");
    for (const input of this.form.querySelectorAll("[aria-invalid]")) setProblem(note, input, "");
    if (wrong === undefined) return undefined;
    const input = field(this.form, wrong);
    setProblem(note, input, message);
    input.focus();
    return undefined;
  }

  async #act(method, more, options, done) {
    const outcome = part(this.body, "outcome");
    let good = true;
    try {
      const answer = await change(method, [...this.segments, ...more], { query: this.query, ...options });
      showOutcome(outcome, done(answer));
    } catch (error) {
      good = false;
      showOutcome(outcome, error);
    }
    this.hooks.changed();
    return good;
  }
}

function told({ position, delivered, suppressed }) {
  if (suppressed !== null) return `Nothing was published: ${suppressed}.`;
  const where = position === null ? "" : ` at ${position}`;
  return `Published${where}; ${count(delivered, "subscriber")} took it.`;
}

function shortened(text) {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`;
}
