// The page's main: fetches the host's functions repeatedly while the page is
// visible, and keeps the panels of open connections. If the admin interface
// answers, there are more views, which are fetched in turn.

import { AdminViews } from "./admin.js";
import { field, part, setText } from "./dom.js";
import { FunctionList } from "./functions.js";
import { hasToken, listing, Refusal, showOutcome, Unreachable, useToken } from "./interface.js";
import { Panel } from "./panel.js";

// Often enough that counts feel live, and rarely enough to cost the host
// nothing.
const REFRESH_MILLISECONDS = 2000;
// The admin interface is for watching changes.
const WATCH_MILLISECONDS = 1000;
// A host that does not answer is asked half as often each time, down to this.
const RETRY_MILLISECONDS_MAX = 15_000;

const banner = document.getElementById("banner");
const panels = part(document, "panels");
const functions = new FunctionList(document.getElementById("functions"), openPanel);
let panelsMade = 0;
let views;
let admin; // the views, once the host has said where connections are opened

// === the host ===

let timer;
let asking;
let failures = 0;

/** Asks the host once; resolves to whether it answered. Never rejects. */
function refresh() {
  clearTimeout(timer);
  asking ??= ask().finally(() => {
    asking = undefined;
    const pause = (admin ? WATCH_MILLISECONDS : REFRESH_MILLISECONDS) * 2 ** failures;
    if (!document.hidden && signIn.hidden) timer = setTimeout(refresh, Math.min(pause, RETRY_MILLISECONDS_MAX));
  });
  return asking;
}

/** Asks once more after what is being asked: something else is to be shown. */
function refreshAnew() {
  return asking ? asking.then(refresh) : refresh();
}

async function ask() {
  try {
    // The list of functions to try is visible only on its view.
    if (admin === undefined || admin.isTrying()) await askForListing();
    await admin?.refresh();
    failures = 0;
    showSignIn(undefined);
    showBanner("");
    return true;
  } catch (error) {
    return explain(error);
  }
}

async function askForListing() {
  const described = await listing();
  setText(part(document, "version"), `version ${described.version}`);
  if (described.admin && admin === undefined) {
    views ??= new AdminViews(refreshAnew);
    await views.begin();
    admin = views;
  }
  functions.update(described.functions);
}

/** Says why there is no answer; whether the host answered at all. */
function explain(error) {
  if (error instanceof Unreachable) {
    failures = Math.min(failures + 1, 4);
    showBanner(
      error.unreadable
        ? error.message
        : "The host does not answer. Counts are the last known; this page keeps trying.",
    );
    return error.unreadable;
  }
  if (!(error instanceof Refusal)) throw error;
  failures = 0;
  if (error.status === 401) {
    showSignIn(error);
    showBanner("");
  } else {
    showBanner(`The host will not say what it serves: it answered ${error.status}. ${error.hint}`);
  }
  return true;
}

function showBanner(text) {
  setText(banner, text);
}

// === the token ===

const signIn = document.getElementById("sign-in");

/** Asks for the token, because of a refusal; or no longer. */
function showSignIn(refusal) {
  document.body.classList.toggle("signed-out", refusal !== undefined);
  part(document, "sign-out").hidden = refusal !== undefined || !hasToken();
  if (refusal === undefined) {
    signIn.hidden = true;
    return;
  }
  // Without a typed token there is no mistake to show.
  showOutcome(part(signIn, "sign-in-problem"), hasToken() ? refusal : "");
  const first = signIn.hidden;
  signIn.hidden = false;
  if (first || hasToken()) field(signIn, "token").focus();
}

part(signIn, "sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = field(signIn, "token");
  useToken(input.value.trim());
  input.value = "";
  refreshAnew();
});

part(document, "sign-out").addEventListener("click", () => {
  useToken("");
  // The next user must not see what was shown.
  location.reload();
});

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
