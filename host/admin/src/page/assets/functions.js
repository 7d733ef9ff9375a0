// The list of functions: the host's data about each, and the form that opens a
// connection to it.
//
// Entries are kept by name and updated in place, so that typed text survives
// every refresh.

import { connectionAddress, FieldError, parameterFieldName, parseSubprotocols } from "./address.js";
import { clone, part, setProblem, setText } from "./dom.js";
import { count } from "./format.js";

const HANDLERS = {
  plain: "Plain functions: one call at a time in an instance",
  async: "Asynchronous functions: many calls in flight in an instance",
};

export class FunctionList {
  /** `connect({ name, address, subprotocols })` is called with what to open. */
  constructor(root, connect) {
    this.list = part(root, "function-list");
    this.loading = part(root, "loading");
    this.nothing = part(root, "no-functions");
    this.connect = connect;
    this.entries = new Map();
  }

  update(functions) {
    const first = !this.loading.hidden;
    this.loading.hidden = true;
    this.nothing.hidden = functions.length > 0;
    const named = new Set(functions.map((entry) => entry.name));
    for (const [name, entry] of this.entries) {
      if (!named.has(name)) this.#forget(name, entry);
    }
    for (const [index, described] of functions.entries()) {
      const entry = this.#entry(described);
      entry.show(described);
      if (this.list.children[index] !== entry.element) {
        this.list.insertBefore(entry.element, this.list.children[index] ?? null);
      }
    }
    // One form is open from the start; a person opens the others.
    if (first && functions.length > 0) this.list.firstElementChild.open = true;
  }

  /** Moves the focus to where a connection to `name` is opened. */
  focus(name) {
    const entry = this.entries.get(name);
    const target = entry?.element ?? this.list.querySelector("details");
    target?.querySelector(target.open ? '[data-action="connect"]' : "summary").focus();
  }

  #entry(described) {
    const known = this.entries.get(described.name);
    // Another route has other fields: make a new form instead of changing the
    // old one.
    if (known?.route === described.route) return known;
    if (known) this.#forget(described.name, known);
    const entry = new FunctionEntry(described, this.connect);
    this.entries.set(described.name, entry);
    return entry;
  }

  #forget(name, entry) {
    entry.element.remove();
    this.entries.delete(name);
  }
}

class FunctionEntry {
  constructor({ name, route, parameters }, connect) {
    this.name = name;
    this.route = route;
    this.connect = connect;
    this.element = clone("function-template");
    this.element.dataset.function = name;
    part(this.element, "name").textContent = name;
    part(this.element, "route").textContent = route;
    part(this.element, "parameters").append(...parameters.map(parameterField));
    this.parameters = [...this.element.querySelectorAll("[data-parameter]")];
    this.form = part(this.element, "connect-form");
    this.problem = part(this.element, "problem");
    this.form.addEventListener("input", () => this.#preview());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#preview();
  }

  /** Shows what the host says now: kind, addresses to give away, counts. */
  show({ handler, urls, connections, instances }) {
    part(this.element, "public").hidden = urls.length === 0;
    setText(part(this.element, "public-urls"), urls.join(" "));
    this.element.dataset.handler = handler;
    const kind = part(this.element, "handler");
    setText(kind, handler);
    kind.title = HANDLERS[handler] ?? "";
    setText(part(this.element, "connection-count"), count(connections, "connection"));
    setText(part(this.element, "instance-count"), count(instances, "instance"));
    this.element.dataset.connections = connections;
    this.element.dataset.instances = instances;
  }

  /** What the form says. Throws FieldError. */
  #read() {
    const values = new Map(this.parameters.map((input) => [input.dataset.parameter, input.value]));
    return {
      name: this.name,
      address: connectionAddress(this.route, values, this.form.elements.query.value),
      subprotocols: parseSubprotocols(this.form.elements.subprotocols.value),
    };
  }

  #submit() {
    this.#clearProblem();
    try {
      this.connect(this.#read());
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      const input = this.form.elements[error.field];
      setProblem(this.problem, input, error.message);
      input.focus();
    }
  }

  // While a person types, an incomplete form is not a mistake yet: show the
  // route instead.
  #preview() {
    this.#clearProblem();
    const shown = part(this.element, "address");
    try {
      setText(shown, this.#read().address);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      setText(shown, "");
    }
    shown.parentElement.hidden = shown.textContent === "";
  }

  #clearProblem() {
    for (const input of this.form.querySelectorAll("[aria-invalid]")) setProblem(this.problem, input, "");
  }
}

function parameterField(name) {
  const label = document.createElement("label");
  label.className = "field";
  const caption = document.createElement("span");
  caption.textContent = name;
  const input = document.createElement("input");
  input.name = parameterFieldName(name);
  input.dataset.parameter = name;
  input.required = true;
  input.spellcheck = false;
  input.setAttribute("autocapitalize", "off");
  label.append(caption, input);
  return label;
}
