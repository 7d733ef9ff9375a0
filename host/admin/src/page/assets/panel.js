// One connection on the page: its socket, its log, and the controls for both.
//
// A panel outlives its socket: it can be closed and connected again, and the
// log goes on. Events of a socket that has been replaced are ignored.

import { curlCommand } from "./address.js";
import { action, clone, field, part, setAvailable, setProblem, setText } from "./dom.js";
import { byteSize, closeCode, closeProblem, parseHex, utf8, whole } from "./format.js";
import { FrameLog } from "./log.js";

const STATUS = {
  connecting: "Connecting",
  open: "Open",
  closing: "Closing",
  closed: "Closed",
  refused: "Not connected",
};

export class Panel {
  /**
   * `target` says where to connect: `{ name, number, address, subprotocols }`.
   * `hooks` is what the panel needs of the page: `hostAnswers()` resolves to
   * whether the host can be reached, `changed()` is told when a connection came
   * to be or ended, `back()` moves the focus to the function,
   * `remove()` takes the panel away.
   */
  constructor(target, hooks) {
    this.target = target;
    this.hooks = hooks;
    this.title = `${target.name} #${target.number}`;
    this.element = clone("panel-template");
    this.element.dataset.panel = target.number;
    this.element.dataset.panelFunction = target.name;
    this.element.setAttribute("aria-label", this.title);
    part(this.element, "title").textContent = this.title;
    part(this.element, "status-name").textContent = `${this.title}: `; // which of several changed
    part(this.element, "url").textContent = target.address;
    this.log = new FrameLog(this.element, `Frames of ${this.title}`);
    this.totals = { in: { frames: 0, bytes: 0 }, out: { frames: 0, bytes: 0 } };
    this.lastMessage = "";
    this.#listen();
    this.#showTotals();
    this.connect();
  }

  /** Opens the connection; does nothing while there is one. */
  connect() {
    if (this.state !== undefined && this.state !== "closed" && this.state !== "refused") return;
    part(this.element, "refusal").hidden = true;
    setText(part(this.element, "subprotocol"), "");
    const socket = new WebSocket(this.target.address, this.target.subprotocols);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.#setState("connecting");
    const current = (handler) => (event) => {
      if (this.socket === socket) handler(event);
    };
    socket.addEventListener("open", current(() => this.#opened()));
    socket.addEventListener("message", current((event) => this.#received(event.data)));
    socket.addEventListener("close", current((event) => this.#closed(event)));
  }

  focus() {
    field(this.element, "message").focus();
  }

  // === the socket ===

  #opened() {
    const { protocol } = this.socket;
    this.log.event("open", protocol === "" ? "connected" : `connected, subprotocol ${protocol}`);
    setText(part(this.element, "subprotocol"), protocol === "" ? "" : `subprotocol ${protocol}`);
    this.#setState("open");
  }

  #received(data) {
    if (typeof data === "string") {
      const bytes = utf8(data).length;
      this.#count("in", bytes);
      this.log.text("in", data, bytes);
    } else {
      this.#count("in", data.byteLength);
      this.log.binary("in", new Uint8Array(data));
    }
  }

  #closed({ code, reason, wasClean }) {
    const before = this.state;
    this.socket = undefined;
    if (before === "connecting") {
      this.#refused();
      return;
    }
    if (wasClean) {
      const who = before === "closing" ? "the host’s answer" : "the host closed";
      this.log.close("in", code, reason, closeText(code, reason), who);
      this.#setState("closed", closeCode(code));
    } else {
      this.log.event("lost", "the line ended without a close frame (1006)");
      this.#setState("closed", "line lost");
    }
  }

  async #refused() {
    this.log.event("refused", "the handshake did not succeed");
    this.#setState("refused");
    const answers = await this.hooks.hostAnswers();
    if (this.state !== "refused") return;
    setText(
      part(this.element, "refusal-text"),
      answers
        ? "The host refused the handshake. Browsers hide why: make the same one with curl to read the answer."
        : "The host does not answer. Once it is back, press Reconnect, or make the same handshake with curl:",
    );
    setText(part(this.element, "curl"), curlCommand(this.target.address, this.target.subprotocols));
    setText(part(this.element, "copied"), "");
    part(this.element, "refusal").hidden = false;
  }

  // === the controls ===

  #listen() {
    const on = (element, event, handler) => element.addEventListener(event, handler);
    const submits = (name, handler) =>
      on(part(this.element, name), "submit", (event) => {
        event.preventDefault();
        handler();
      });
    submits("composer", () => this.#send());
    submits("closer", () => this.#close());
    on(action(this.element, "reconnect"), "click", () => this.connect());
    on(action(this.element, "clear"), "click", () => this.#clear());
    on(action(this.element, "remove"), "click", () => this.#remove());
    on(action(this.element, "copy"), "click", () => this.#copy());
    on(field(this.element, "message"), "keydown", (event) => this.#typed(event));
    on(field(this.element, "message"), "input", () => this.#composerProblem(""));
    on(field(this.element, "encoding"), "change", () => this.#composerProblem(""));
    on(this.element, "keydown", (event) => {
      // In an open list Escape belongs to the list.
      if (event.key === "Escape" && !event.isComposing && event.target.tagName !== "SELECT") this.hooks.back();
    });
  }

  #typed(event) {
    // While an input method composes, Enter accepts a candidate.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && event.target.value === "" && this.lastMessage !== "") {
      event.preventDefault();
      event.target.value = this.lastMessage;
    }
  }

  #send() {
    const message = field(this.element, "message");
    if (this.state !== "open") {
      this.#composerProblem("The connection is not open.");
      return;
    }
    const typed = message.value;
    try {
      this.#transmit(typed, field(this.element, "encoding").value);
    } catch (error) {
      this.#composerProblem(error.message);
      message.focus();
      return;
    }
    this.#composerProblem("");
    this.lastMessage = typed;
    message.value = "";
  }

  #transmit(typed, encoding) {
    if (encoding === "text") {
      const bytes = utf8(typed).length;
      this.socket.send(typed);
      this.#count("out", bytes);
      this.log.text("out", typed, bytes);
    } else {
      const bytes = encoding === "hex" ? parseHex(typed) : utf8(typed);
      this.socket.send(bytes);
      this.#count("out", bytes.length);
      this.log.binary("out", bytes);
    }
  }

  #close() {
    const codeField = field(this.element, "close-code");
    const reasonField = field(this.element, "close-reason");
    const code = codeField.value.trim();
    const reason = reasonField.value;
    const note = part(this.element, "closer-problem");
    setProblem(note, codeField, "");
    setProblem(note, reasonField, "");
    if (this.state !== "open" && this.state !== "connecting") {
      setText(note, "The connection is not open.");
      return;
    }
    const problem = closeProblem(code, reason);
    if (problem) {
      const wrong = field(this.element, problem.field);
      setProblem(note, wrong, problem.message);
      wrong.focus();
      return;
    }
    if (this.state === "connecting") {
      // There is no connection yet, so no close frame: the browser just gives
      // up.
      this.socket = drop(this.socket);
      this.log.event("cancelled", "given up before the host answered");
      this.#setState("closed", "given up");
      return;
    }
    if (code === "") this.socket.close();
    else this.socket.close(Number(code), reason);
    const number = code === "" ? 1005 : Number(code);
    this.log.close("out", number, reason, closeText(number, reason), "this page closed");
    this.#setState("closing");
  }

  #clear() {
    this.log.clear();
    this.totals = { in: { frames: 0, bytes: 0 }, out: { frames: 0, bytes: 0 } };
    this.#showTotals();
  }

  #remove() {
    this.socket = drop(this.socket);
    this.hooks.remove();
  }

  async #copy() {
    const command = part(this.element, "curl");
    const copied = part(this.element, "copied");
    try {
      await navigator.clipboard.writeText(command.textContent);
      setText(copied, "Copied.");
    } catch {
      // No permission, or not a secure origin: leave it to the person.
      getSelection().selectAllChildren(command);
      setText(copied, "Selected: copy it with the keyboard.");
    }
  }

  // === what is shown ===

  #setState(state, detail = "") {
    this.state = state;
    this.element.dataset.state = state;
    setText(part(this.element, "status"), detail === "" ? STATUS[state] : `${STATUS[state]}, ${detail}`);
    const ended = state === "closed" || state === "refused";
    setAvailable(action(this.element, "send"), state === "open");
    setAvailable(action(this.element, "close"), state === "open" || state === "connecting");
    setAvailable(action(this.element, "reconnect"), ended);
    this.#composerProblem("");
    setText(part(this.element, "closer-problem"), "");
    if (state === "open" || state === "closed") this.hooks.changed();
  }

  #composerProblem(message) {
    setProblem(part(this.element, "composer-problem"), field(this.element, "message"), message);
  }

  #count(direction, bytes) {
    this.totals[direction].frames += 1;
    this.totals[direction].bytes += bytes;
    // Once for each repaint, like the log.
    this.repaint ??= requestAnimationFrame(() => {
      this.repaint = undefined;
      this.#showTotals();
    });
  }

  #showTotals() {
    const { in: received, out: sent } = this.totals;
    setText(part(this.element, "received"), `${whole(received.frames)} in, ${byteSize(received.bytes)}`);
    setText(part(this.element, "sent"), `${whole(sent.frames)} out, ${byteSize(sent.bytes)}`);
  }
}

/** Closes a socket, if there is one, whose events nobody waits for any more. */
function drop(socket) {
  socket?.close();
  return undefined;
}

function closeText(code, reason) {
  return reason === "" ? closeCode(code) : `${closeCode(code)}: ${reason}`;
}
