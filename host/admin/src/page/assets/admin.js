// The views of the admin interface: which one is shown, and the state of the
// host.

import { connectTo } from "./address.js";
import { ChannelList } from "./channels.js";
import { part, setText } from "./dom.js";
import { duration } from "./format.js";
import { read } from "./interface.js";
import { Lines } from "./lines.js";
import { ManagedList } from "./managed.js";

const FIRST = "functions";

export class AdminViews {
  /** `changed()` has the host asked again, because something else is shown. */
  constructor(changed) {
    this.changed = changed;
    this.managed = new ManagedList(document.getElementById("managed"), {
      changed,
      showConnections: (name) => {
        this.lines.filter(name, "");
        location.hash = "#/connections";
      },
      showChannels: (name) => {
        this.channels.filter(name);
        location.hash = "#/channels";
      },
    });
    this.lines = new Lines(document.getElementById("lines"), changed);
    this.channels = new ChannelList(document.getElementById("channels"), changed);
  }

  /** Shows the views. Rejects when the host does not say where it listens. */
  async begin() {
    const host = await read(["host"]);
    connectTo(host);
    this.#showHost(host);
    part(document, "views").hidden = false;
    document.body.classList.add("admin");
    addEventListener("hashchange", () => {
      this.#showView();
      this.changed();
    });
    this.#showView();
  }

  /** Whether the view is shown in which functions are tried. */
  isTrying() {
    return this.view === "try";
  }

  /** Asks for what the view shows. Rejects as `read` does. */
  async refresh() {
    const shown = { functions: this.managed, connections: this.lines, channels: this.channels }[this.view];
    const [host] = await Promise.all([read(["host"]), shown?.refresh()]);
    this.#showHost(host);
  }

  #showHost({ version, started, in_memory: inMemory, draining }) {
    setText(part(document, "version"), `version ${version}`);
    const age = duration(Math.max(0, Date.now() - started));
    setText(part(document, "host-state"), draining ? "draining: about to end" : `up ${age}`);
    part(document, "in-memory").hidden = !inMemory;
  }

  #showView() {
    const named = /^#\/(functions|connections|channels|try)$/.exec(location.hash)?.[1];
    // Another fragment is a place within a view.
    this.view = named ?? this.view ?? FIRST;
    for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== this.view;
    for (const link of document.querySelectorAll("[data-to]")) {
      if (link.dataset.to === this.view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.channels.setShown(this.view === "channels");
    const skip = document.querySelector(".skip");
    skip.hidden = this.view !== "try";
  }
}
