// The section of `openline dev`: whether the function compiles, what the
// compiler says, what functions print. Asks the host once a second while the
// page is visible.

import { clone, part, setText } from "./dom.js";
import { clock, count } from "./format.js";

// Often enough that the result is there when a person looks over from the
// editor.
const REFRESH_MILLISECONDS = 1000;
const ANSWER_MILLISECONDS_MAX = 5000;
// Closer to the end than this many pixels counts as at the end.
const END_PIXELS = 24;

const STATES = {
  building: "Building…",
  ok: "Up to date",
  failed: "Not built: the previous version goes on",
};

const section = document.getElementById("development");
const problems = part(section, "problems");
const printed = part(section, "printed");
const lines = part(section, "lines");
let shownProblems = "";
let timer;

async function refresh() {
  clearTimeout(timer);
  try {
    const response = await fetch("development", {
      cache: "no-store",
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS_MAX),
    });
    if (response.ok) show(await response.json());
  } catch {
    // The page's banner says that the host does not answer.
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MILLISECONDS);
}

function show(report) {
  section.dataset.state = report.state;
  const serves = report.versions.length > 0;
  const text = report.state === "failed" && !serves ? "Not built: nothing is served yet" : STATES[report.state];
  setText(part(section, "development-state"), text ?? report.state);
  setText(part(section, "development-since"), `since ${clock(before(report.since_milliseconds))}`);
  showProblems(report.errors);
  showLines(report.lines);
}

// Updates only if they differ, so that a selection and the scroll position
// stay.
function showProblems(errors) {
  const text = JSON.stringify(errors);
  if (text === shownProblems) return;
  shownProblems = text;
  problems.replaceChildren(...errors.map(problemOf));
}

function problemOf({ file, line, column, level, code, message, rendered }) {
  const entry = clone("problem-template");
  entry.dataset.level = level;
  const place = part(entry, "place");
  if (file === null) place.remove();
  else place.textContent = `${file}:${line}:${column}`;
  part(entry, "level").textContent = code === null ? level : `${level}[${code}]`;
  part(entry, "message").textContent = message;
  part(entry, "rendered").textContent = rendered;
  return entry;
}

// Line numbers are never reused: only new lines are added, and those that the
// host has dropped are removed. A restarted host starts at 0 again.
function showLines(all) {
  const last = Number(lines.lastElementChild?.dataset.number ?? -1);
  if ((all.at(-1)?.number ?? -1) < last) lines.replaceChildren();
  const newest = Number(lines.lastElementChild?.dataset.number ?? -1);
  const follows = printed.scrollHeight - printed.scrollTop - printed.clientHeight < END_PIXELS;
  lines.append(...all.filter((line) => line.number > newest).map(lineOf));
  while (lines.childElementCount > all.length) lines.firstElementChild.remove();
  part(section, "nothing-printed").hidden = all.length > 0;
  setText(part(section, "line-count"), all.length > 0 ? count(all.length, "line") : "");
  if (follows) printed.scrollTop = printed.scrollHeight;
}

function lineOf({ number, age_milliseconds, function: name, stream, text }) {
  const entry = clone("line-template");
  entry.dataset.number = number;
  entry.dataset.stream = stream;
  const at = before(age_milliseconds);
  const time = part(entry, "time");
  time.textContent = clock(at);
  time.dateTime = at.toISOString();
  part(entry, "function").textContent = name;
  part(entry, "function").title = stream;
  part(entry, "text").textContent = text;
  return entry;
}

/** The time that was `milliseconds` ago. */
function before(milliseconds) {
  return new Date(Date.now() - milliseconds);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
refresh();
