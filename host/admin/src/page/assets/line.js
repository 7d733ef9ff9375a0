// One connection of the host: a row, and folded below it all details, a form to
// write to its peer, and one to close it.

import { action, clone, field, part, setAvailable, setProblem, setText } from "./dom.js";
import { byteSize, count, parseHex, roundTrip, shortDigest, utf8, whole } from "./format.js";
import { change, showOutcome } from "./interface.js";

// A row shows only the beginning of long values; the details have all of them.
const TAGS_SHOWN = 3;
const ID_CHARACTERS = 8;

const OUTCOMES = {
  sent: () => "Sent.",
  queued: (bytes) => `Accepted; ${byteSize(bytes)} wait for the peer.`,
  dropped: () => "Not accepted: too much is already waiting for the peer.",
  gone: () => "Not sent: the connection is closing.",
};

export class Line {
  /** `changed()` has the host asked again. */
  constructor(connection, changed) {
    this.id = connection.id;
    this.changed = changed;
    this.element = clone("connection-template");
    this.element.dataset.line = this.id;
    this.details = this.element.querySelector("details");
    part(this.element, "id").textContent = this.id.slice(0, ID_CHARACTERS);
    // Most rows are never unfolded, so the details are made when one is.
    this.details.addEventListener("toggle", () => {
      if (!this.details.open) {
        if (this.hasEnded()) this.changed();
        return;
      }
      if (this.body === undefined) this.#makeBody();
      this.#showBody();
    });
  }

  isOpen() {
    return this.details.open;
  }

  hasEnded() {
    return this.connection.ended === true;
  }

  show(connection) {
    this.connection = connection;
    const { function: name, alias, version, instance, tags } = connection;
    const state = connection.ended ? "ended" : instance === null ? "hibernated" : "bound";
    this.element.dataset.state = state;
    const row = (part_, text) => setText(part(this.element, part_), text);
    row("function", `${name} ${alias}`);
    row("version", shortDigest(version));
    row("state", state === "bound" ? `instance #${instance}` : state);
    row("attachment", byteSize(connection.attachment_bytes));
    row("outbox", byteSize(connection.buffered_bytes));
    row("round-trip", connection.round_trip === null ? "–" : roundTrip(connection.round_trip));
    const more = tags.length - TAGS_SHOWN;
    row("tags", tags.slice(0, TAGS_SHOWN).join(", ") + (more > 0 ? `, ${more} more` : ""));
    if (this.details.open && this.body !== undefined) this.#showBody();
  }

  // === behind the row ===

  #makeBody() {
    this.body = clone("connection-body-template");
    this.details.append(this.body);
    const submits = (name, handler) =>
      part(this.body, name).addEventListener("submit", (event) => {
        event.preventDefault();
        handler();
      });
    submits("message-form", () => this.#send());
    submits("close-form", () => this.#close());
    const message = field(this.body, "message");
    message.addEventListener("keydown", (event) => {
      if (event.isComposing || event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.#send();
    });
    message.addEventListener("input", () => setProblem(part(this.body, "message-problem"), message, ""));
    field(this.body, "close-code").addEventListener("input", () => this.#codeProblem(""));
  }

  #showBody() {
    const { connection } = this;
    const row = (name, text) => setText(part(this.body, name), text);
    row("full-id", connection.id);
    row("kind", connection.kind);
    row("subprotocol", connection.subprotocol ?? "none");
    row("all-tags", connection.tags.join(", ") || "none");
    row("parameters", connection.route_params.map(([name, value]) => `${name} = ${value}`).join(", ") || "none");
    row("reading", connection.paused ? "stopped by the function" : "goes on");
    row("auto-responded", count(connection.auto_responded, "message"));
    row("buffered", `${whole(connection.buffered_bytes)} B`);
    const ended = this.hasEnded();
    part(this.body, "ended").hidden = !ended;
    for (const name of ["send-message", "close-connection"]) setAvailable(action(this.body, name), !ended);
  }

  async #send() {
    if (this.hasEnded()) return;
    const message = field(this.body, "message");
    const encoding = field(this.body, "encoding").value;
    const binary = encoding !== "text";
    let body;
    try {
      body = encoding === "hex" ? parseHex(message.value) : binary ? utf8(message.value) : message.value;
    } catch (error) {
      setProblem(part(this.body, "message-problem"), message, error.message);
      message.focus();
      return;
    }
    const type = binary ? "application/octet-stream" : "text/plain";
    const sent = await this.#act("messages", { body, type }, (answer) => OUTCOMES[answer.outcome](answer.buffered_bytes));
    if (sent && message.value !== "") message.value = "";
  }

  async #close() {
    if (this.hasEnded()) return;
    const code = field(this.body, "close-code").value.trim();
    if (code !== "" && !/^\d{4}$/.test(code)) {
      this.#codeProblem("A close code has four digits.");
      field(this.body, "close-code").focus();
      return;
    }
    const body = { code: code === "" ? null : Number(code), reason: field(this.body, "close-reason").value };
    await this.#act("close", { body }, ({ closed }) => (closed ? "Closed." : "It was already closing."));
  }

  async #act(what, options, done) {
    const outcome = part(this.body, "outcome");
    let good = true;
    try {
      const answer = await change("POST", ["connections", this.id, what], options);
      showOutcome(outcome, done(answer));
    } catch (error) {
      good = false;
      showOutcome(outcome, error);
    }
    this.changed();
    return good;
  }

  #codeProblem(message) {
    setProblem(part(this.body, "close-problem"), field(this.body, "close-code"), message);
  }
}
