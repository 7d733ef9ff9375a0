// The functions in the admin interface: triggers, aliases, versions, live
// instances, and the operations on each.
//
// Everything is kept by name and updated in place each second: an open form,
// the focus and the scroll position stay. Lists show a bounded number of
// entries.

import { AliasEntry } from "./aliases.js";
import { confirming } from "./confirm.js";
import { DeployArea } from "./deploy.js";
import { action, clone, keep, part, setText } from "./dom.js";
import { byteSize, count, duration, moment, shortDigest } from "./format.js";
import { change, read, showOutcome } from "./interface.js";

// As many as a person reads; counts always include all.
const INSTANCES_MAX = 100;

export class ManagedList {
  /**
   * `hooks.changed()` has the host asked again, `hooks.showConnections(name)`
   * and `hooks.showChannels(name)` show those of a function.
   */
  constructor(root, hooks) {
    this.root = root;
    this.list = part(root, "managed-list");
    this.hooks = hooks;
    this.entries = new Map();
    const area = new DeployArea(part(root, "deploy-new"), { changed: hooks.changed });
    part(root, "deploy-new").append(area.element);
  }

  async refresh() {
    const { functions } = await read(["functions"]);
    keep(
      this.list,
      this.entries,
      functions,
      ({ name }) => name,
      (described) => new ManagedFunction(described, this.hooks),
    );
    part(this.root, "no-managed").hidden = functions.length > 0;
  }
}

class ManagedFunction {
  constructor({ name }, hooks) {
    this.name = name;
    this.hooks = hooks;
    this.element = clone("managed-template");
    this.element.dataset.managed = name;
    const title = part(this.element, "name");
    title.textContent = name;
    title.id = `managed-${name}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.outcome = part(this.element, "outcome");
    this.aliases = new Map();
    this.versions = new Map();
    this.instances = new Map();
    this.triggers = new Map();
    const area = new DeployArea(this.element, { changed: hooks.changed, name });
    part(this.element, "deploy-slot").append(area.element);
    action(this.element, "connections").addEventListener("click", () => hooks.showConnections(name));
    action(this.element, "channels").addEventListener("click", () => hooks.showChannels(name));
    confirming(
      action(this.element, "remove-function"),
      () => `Remove ${name} with all its versions?`,
      "Remove",
      () => this.act(["functions", name], "DELETE", `${name} is removed.`),
    );
  }

  /** Makes a change and says what came of it; whether it was made. */
  async act(segments, method, done, options) {
    try {
      const answer = await change(method, segments, options);
      showOutcome(this.outcome, typeof done === "function" ? done(answer) : done);
      this.hooks.changed();
      return true;
    } catch (error) {
      showOutcome(this.outcome, error);
      return false;
    }
  }

  show(described) {
    this.described = described;
    this.element.dataset.connections = described.connections;
    this.element.dataset.instances = described.instances;
    this.#showCounts(described);
    this.#showTriggers(described);
    setText(part(this.element, "origin"), described.configured ? "configured" : "deployed");
    // The page cannot change the configuration.
    part(this.element, "remove-place").hidden = described.configured;
    const aliases = Object.entries(described.aliases).map(([name, alias]) => ({ name, alias }));
    keep(
      part(this.element, "aliases"),
      this.aliases,
      aliases,
      ({ name }) => name,
      ({ name }) => new AliasEntry(name, this),
    );
    keep(
      part(this.element, "versions"),
      this.versions,
      [...described.versions].reverse(),
      ({ digest }) => digest,
      (version) => new VersionEntry(version, this),
    );
    this.#showInstances(described);
  }

  #showCounts({ connections, versions, instances, affinity }) {
    const live = versions.flatMap((version) => version.instances);
    const bound = live.reduce((sum, instance) => sum + instance.connections, 0);
    const hibernated = Math.max(0, connections - bound);
    this.element.dataset.hibernated = hibernated;
    setText(part(this.element, "connection-count"), count(connections, "connection"));
    setText(part(this.element, "bound-count"), `${connections - hibernated} on an instance`);
    setText(part(this.element, "hibernated-count"), `${hibernated} hibernated`);
    setText(part(this.element, "instance-count"), count(instances, "instance"));
    const chosen = part(this.element, "affinity");
    chosen.hidden = affinity === null;
    const name = affinity?.includes(":") ? affinity : `{${affinity}}`;
    setText(chosen, affinity === null ? "" : `an instance for each ${name}`);
  }

  #showTriggers({ triggers }) {
    keep(
      part(this.element, "routes"),
      this.triggers,
      triggers,
      // Another trigger of the same name is shown anew.
      ({ name, hosts, route, target, urls }) => JSON.stringify([name, hosts, route, target, urls]),
      ({ name, hosts, route, target, urls }) => {
        const element = document.createElement("li");
        const path = document.createElement("code");
        path.className = "function-route";
        path.textContent = route;
        path.title = `trigger ${name}`;
        const leads = document.createElement("span");
        leads.textContent = `${hosts.length > 0 ? ` on ${hosts.join(", ")}` : ""} leads to ${target}`;
        element.append(path, leads);
        for (const url of urls) {
          const address = document.createElement("code");
          address.className = "function-url";
          address.textContent = url;
          element.append(" ", address);
        }
        return { element, show() {} };
      },
    );
  }

  #showInstances({ versions }) {
    const live = versions.flatMap(({ digest, instances }) =>
      instances.map((instance) => ({ ...instance, digest })),
    );
    live.sort((one, other) => one.number - other.number);
    keep(
      part(this.element, "instance-list"),
      this.instances,
      live.slice(0, INSTANCES_MAX),
      ({ number }) => number,
      (instance) => new InstanceEntry(instance),
    );
    setText(part(this.element, "instances-title"), `Live instances (${live.length})`);
    part(this.element, "no-instances").hidden = live.length > 0;
    const more = part(this.element, "more-instances");
    more.hidden = live.length <= INSTANCES_MAX;
    setText(more, `and ${count(live.length - INSTANCES_MAX, "more instance")}`);
  }
}

class VersionEntry {
  constructor({ digest, bytes, handler, deployed_at: deployedAt, note }, owner) {
    this.owner = owner;
    this.digest = digest;
    this.element = clone("version-template");
    this.element.dataset.version = digest;
    const name = part(this.element, "digest");
    name.textContent = shortDigest(digest);
    name.title = digest;
    part(this.element, "facts").textContent = `${byteSize(bytes)}, ${handler}, ${moment(deployedAt)}`;
    const said = part(this.element, "note");
    said.textContent = note ?? "";
    said.hidden = note === null;
    confirming(
      action(this.element, "remove-version"),
      () => `Remove ${shortDigest(digest)}?${this.#warning()}`,
      "Remove",
      () => this.#remove(),
    );
  }

  show({ connections, instances, backed_off: backedOff, unloaded }) {
    this.connections = connections;
    this.element.dataset.connections = connections;
    setText(part(this.element, "connection-count"), count(connections, "connection"));
    setText(part(this.element, "instance-count"), count(instances.length, "instance"));
    const failing = part(this.element, "backed-off");
    const told =
      unloaded === null
        ? backedOff === null
          ? ""
          : `keeps failing: backed off for ${duration(backedOff + 999)}`
        : `does not load: ${unloaded}`;
    failing.hidden = told === "";
    setText(failing, told);
    const shares = Object.entries(this.owner.described.aliases).flatMap(([name, alias]) =>
      alias.shares.filter((share) => share.version === this.digest).map(({ weight }) => `${name} ${weight} %`),
    );
    setText(part(this.element, "shares"), shares.join(", "));
    // A version that an alias points to cannot be removed, so hide the button.
    part(this.element, "remove-place").hidden = shares.length > 0;
  }

  #warning() {
    return this.connections === 0 ? "" : ` It has ${count(this.connections, "connection")}, which move on.`;
  }

  #remove() {
    const segments = ["functions", this.owner.name, "versions", this.digest];
    const query = this.connections === 0 ? {} : { force: "true" };
    this.owner.act(segments, "DELETE", `Version ${shortDigest(this.digest)} is removed.`, { query });
  }
}

class InstanceEntry {
  constructor({ number, key, digest }) {
    this.element = clone("instance-template");
    this.element.dataset.instance = number;
    part(this.element, "number").textContent = `#${number}`;
    const value = part(this.element, "key");
    value.hidden = key === null;
    value.textContent = key ?? "";
    value.title = key ?? "";
    part(this.element, "version").textContent = shortDigest(digest);
  }

  show({ connections, age }) {
    setText(part(this.element, "connection-count"), count(connections, "connection"));
    setText(part(this.element, "age"), `for ${duration(age)}`);
  }
}
