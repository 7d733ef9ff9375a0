// The place to drop or choose a component, and the form to deploy it: onto a
// function, or as a new one.

import { action, clone, field, part, setAvailable, setProblem, setText } from "./dom.js";
import { byteSize, shortDigest } from "./format.js";
import { showOutcome } from "./interface.js";
import { fileProblem, upload } from "./upload.js";

export class DeployArea {
  /**
   * Files may be dropped onto `target`. `name` is the function's, without it
   * the form asks for one. `changed()` has the host asked again.
   */
  constructor(target, { name, changed }) {
    this.name = name;
    this.changed = changed;
    this.element = clone("deploy-template");
    this.chooser = field(this.element, "file");
    this.form = part(this.element, "deploy-form");
    this.outcome = part(this.element, "deploy-outcome");
    this.progress = part(this.element, "progress");
    part(this.element, "new-fields").hidden = name !== undefined;
    const choose = action(this.element, "choose");
    choose.textContent = name === undefined ? "Choose a component…" : "Deploy a version…";
    if (name !== undefined) this.chooser.setAttribute("aria-label", `Component for ${name}`);
    this.#acceptDrops(target);
    this.#listen();
  }

  // === the file ===

  #acceptDrops(target) {
    let depth = 0; // of the elements within the target that the pointer has entered
    const over = (change) => {
      depth = Math.max(0, change);
      target.classList.toggle("drop-over", depth > 0);
    };
    target.classList.add("drop-target");
    target.addEventListener("dragenter", (event) => {
      if (hasFiles(event)) over(depth + 1);
    });
    target.addEventListener("dragleave", (event) => {
      if (hasFiles(event)) over(depth - 1);
    });
    target.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      event.dataTransfer.dropEffect = "copy";
    });
    target.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      over(0);
      endDrag();
      this.#take(event.dataTransfer.files);
    });
  }

  #listen() {
    action(this.element, "choose").addEventListener("click", () => this.chooser.click());
    this.chooser.addEventListener("change", () => {
      const files = [...this.chooser.files];
      // Choosing the same file again counts, because it may have been built
      // again.
      this.chooser.value = "";
      if (files.length > 0) this.#take(files);
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#deploy();
    });
    action(this.form, "cancel-deploy").addEventListener("click", () => this.#cancel());
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target.tagName !== "SELECT") this.#cancel();
    });
    field(this.form, "migration").addEventListener("change", () => this.#showPace());
    this.form.addEventListener("input", () => this.#problem(undefined, ""));
  }

  async #take(files) {
    if (this.sending !== undefined) return;
    const [file] = files;
    const problem = files.length > 1 ? "One file at a time, please." : await fileProblem(file);
    if (problem !== undefined) {
      this.#close();
      showOutcome(this.outcome, new Error(problem));
      return;
    }
    this.file = file;
    showOutcome(this.outcome, "");
    setText(part(this.form, "file-name"), `${file.name}, ${byteSize(file.size)}`);
    this.form.hidden = false;
    this.#showPace();
    const first = field(this.form, this.name === undefined ? "name" : "alias");
    if (this.name === undefined && first.value === "") first.value = nameOf(file.name);
    first.focus();
  }

  // === the form ===

  #showPace() {
    part(this.form, "pace-field").hidden = field(this.form, "migration").value !== "drain";
  }

  /** What the form says; nothing when something is missing, which is said. */
  #read() {
    const value = (name) => field(this.form, name).value.trim();
    const name = this.name ?? value("name");
    if (name === "") return this.#problem("name", "A function needs a name.");
    const weight = value("weight");
    if (weight !== "" && !(/^\d+$/.test(weight) && Number(weight) >= 1 && Number(weight) <= 100)) {
      return this.#problem("weight", "A weight is a whole number from 1 to 100.");
    }
    const query = { alias: value("alias"), weight, migration: value("migration"), note: value("note") };
    if (this.name === undefined) query.route = value("route");
    if (query.migration === "drain") query.drain_connections_per_second = value("pace");
    if (field(this.form, "probe").checked) query.probe = "true";
    return { name, query };
  }

  #problem(wrong, message) {
    const note = part(this.form, "problem");
    for (const input of this.form.querySelectorAll("[aria-invalid]")) setProblem(note, input, "");
    if (wrong === undefined) return undefined;
    const input = field(this.form, wrong);
    setProblem(note, input, message);
    input.focus();
    return undefined;
  }

  async #deploy() {
    if (this.sending !== undefined) return;
    const typed = this.#read();
    if (typed === undefined) return;
    showOutcome(this.outcome, "");
    this.#setSending(upload(typed.name, typed.query, this.file, (sent, total) => this.#showProgress(sent, total)));
    this.#showProgress(0, this.file.size);
    let outcome;
    try {
      const deployed = await this.sending.ended;
      outcome = deployed === undefined ? "Cancelled; nothing has changed." : told(typed, deployed);
    } catch (error) {
      outcome = error;
    }
    this.#setSending(undefined);
    // After a refusal the form stays, to be corrected.
    if (!(outcome instanceof Error)) this.#close();
    showOutcome(this.outcome, outcome);
    this.changed();
  }

  #setSending(sending) {
    this.sending = sending;
    this.progress.hidden = sending === undefined;
    setAvailable(action(this.form, "deploy"), sending === undefined);
  }

  #showProgress(sent, total) {
    const bar = this.progress.querySelector("progress");
    const text = part(this.progress, "progress-text");
    if (sent < total) {
      bar.max = total;
      bar.value = sent;
      setText(text, `Sending: ${byteSize(sent)} of ${byteSize(total)}`);
    } else {
      bar.removeAttribute("value");
      setText(text, "The host compiles and tries it…");
    }
  }

  #cancel() {
    if (this.sending !== undefined) this.sending.cancel();
    else this.#close();
  }

  #close() {
    const held = this.form.contains(document.activeElement);
    this.form.hidden = true;
    this.form.reset();
    this.file = undefined;
    this.#problem(undefined, "");
    if (held) action(this.element, "choose").focus();
  }
}

/** What the host has done, as sentences. */
function told({ name, query }, { version, version_is_new: isNew, alias_moved: moved, alias, in_memory: forgotten }) {
  const short = shortDigest(version);
  const what = isNew ? `${short} is a new version of ${name}.` : `${name} has had the version ${short} already.`;
  const label = query.alias === "" ? "live" : query.alias;
  const weight = alias.shares.find((share) => share.version === version)?.weight;
  const where = moved ? ` ${label} gives it ${weight} of 100.` : ` ${label} leads where it did.`;
  return `${what}${where}${forgotten ? " The host forgets it when it ends." : ""}`;
}

/** A function's name, from that of a file. */
function nameOf(file) {
  return file.replace(/\.wasm$/i, "").replace(/[^0-9A-Za-z._-]+/g, "-");
}

// === the drag, on the whole page ===

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files") ?? false;
}

let left;

function endDrag() {
  clearTimeout(left);
  document.body.classList.remove("dragging");
}

// Outside a target, prevent the drop: the browser would leave the page to show
// the file. `dragover` comes many times a second during a drag.
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
});
addEventListener(
  "dragover",
  (event) => {
    if (!hasFiles(event)) return;
    document.body.classList.add("dragging");
    clearTimeout(left);
    left = setTimeout(endDrag, 500);
  },
  true,
);
addEventListener("drop", (event) => {
  if (hasFiles(event)) event.preventDefault();
});
