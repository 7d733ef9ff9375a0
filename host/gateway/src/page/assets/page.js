// The page's main: asks the host what it serves, again and again while someone
// looks, and keeps the panels of open connections.

import { part, setText } from "./dom.js";
import { FunctionList } from "./functions.js";
import { Panel } from "./panel.js";

// Often enough that counts feel live, rarely enough to be nothing to the host.
const REFRESH_MILLISECONDS = 2000;
// An answer that takes longer counts as none.
const ANSWER_MILLISECONDS_MAX = 5000;

const banner = document.getElementById("banner");
const panels = part(document, "panels");
const functions = new FunctionList(document.getElementById("functions"), openPanel);
let panelsMade = 0;

// === the host ===

let timer;
let asking;

/** Asks the host once; resolves to whether it answered. Never rejects. */
function refresh() {
  clearTimeout(timer);
  asking ??= ask().finally(() => {
    asking = undefined;
    if (!document.hidden) timer = setTimeout(refresh, REFRESH_MILLISECONDS);
  });
  return asking;
}

async function ask() {
  try {
    const response = await fetch("functions", {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS_MAX),
    });
    if (!response.ok) {
      showBanner(`The host will not say what it serves: it answered ${response.status}.`);
      return true;
    }
    const listing = await response.json();
    setText(part(document, "version"), `version ${listing.version}`);
    functions.update(listing.functions);
    showBanner("");
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) {
      showBanner("The host’s list of functions cannot be read. Reload this page.");
      return true;
    }
    showBanner("The host does not answer. Counts are the last known; this page keeps trying.");
    return false;
  }
}

function showBanner(text) {
  setText(banner, text);
}

// === the panels ===

function openPanel(target) {
  panelsMade += 1;
  const panel = new Panel(
    { ...target, number: panelsMade },
    {
      hostAnswers: refresh,
      changed: refresh,
      back: () => functions.focus(target.name),
      remove: () => removePanel(panel, target.name),
    },
  );
  panels.append(panel.element);
  showPanelCount();
  panel.focus();
}

function removePanel(panel, name) {
  // The focus goes to the neighbour, or back to where the panel came from.
  const { nextElementSibling, previousElementSibling } = panel.element;
  const neighbour = nextElementSibling ?? previousElementSibling;
  panel.element.remove();
  showPanelCount();
  if (neighbour) neighbour.querySelector('[data-field="message"]').focus();
  else functions.focus(name);
  refresh();
}

function showPanelCount() {
  part(document, "no-connections").hidden = panels.childElementCount > 0;
}

// === start ===

setText(part(document, "host-address"), location.host);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
refresh();
