//! News for the author of a function while the host runs: whether it compiles,
//! what the compiler says, what the function printed. `openline dev` feeds it
//! and the page shows it; no other host has it.
//!
//! Bounded by [`DIAGNOSTICS_MAX`] diagnostics and [`LINES_MAX`] lines, each cut
//! at a length, and by [`LINES_BYTES_MAX`] for all lines together; the oldest
//! lines are dropped.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

/// The most diagnostics that are kept: an author fixes the first ones first.
const DIAGNOSTICS_MAX: usize = 50;
/// The longest text of one diagnostic, in bytes: a type error across several
/// generic functions is a quarter of it.
const RENDERED_BYTES_MAX: usize = 16 * 1024;
/// The most lines of functions that are kept: a few screens.
const LINES_MAX: usize = 200;
/// The most bytes of all lines together: the page fetches all of them each
/// second.
const LINES_BYTES_MAX: usize = 64 * 1024;
/// The longest line, in bytes: a trap with its frames is one line.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// The last build and the last printed lines. `openline dev` writes it, and the
/// page reads it.
#[derive(Debug)]
pub struct Development {
    state: Mutex<State>,
}

/// A diagnostic about the source, from the compiler or the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the compiler names it, relative to the workspace.
    pub file: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u64>,
    /// The column, in characters, counted from 1.
    pub column: Option<u64>,
    /// `error` or `warning`.
    pub level: String,
    /// Such as `E0425`.
    pub code: Option<String>,
    /// One sentence.
    pub message: String,
    /// The whole text, without colours.
    pub rendered: String,
}

/// A function and the version of it that takes events now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Current {
    /// Its name.
    pub function: String,
    /// The digest of its component.
    pub version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Building,
    Ok,
    Failed,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    current: Vec<Current>,
    problems: Vec<Problem>,
    lines: VecDeque<Line>,
    lines_bytes: usize,
    /// The number of the next line; numbers are not used again.
    number: u64,
}

#[derive(Debug)]
struct Line {
    number: u64,
    at: Instant,
    function: String,
    stream: String,
    text: String,
}

/// The report that the page reads. Times are ages: the clocks of two machines
/// differ.
#[derive(Debug, Serialize)]
struct Report<'a> {
    state: Phase,
    since_milliseconds: u64,
    versions: &'a [Current],
    errors: &'a [Problem],
    lines: Vec<LineReport<'a>>,
}

#[derive(Debug, Serialize)]
struct LineReport<'a> {
    number: u64,
    age_milliseconds: u64,
    function: &'a str,
    stream: &'a str,
    text: &'a str,
}

// === impl Development ===

impl Default for Development {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::Building,
                since: Instant::now(),
                current: Vec::new(),
                problems: Vec::new(),
                lines: VecDeque::new(),
                lines_bytes: 0,
                number: 0,
            }),
        }
    }
}

impl Development {
    /// Notes that a build has begun; the problems of the last one stay
    /// meanwhile.
    pub fn building(&self) {
        self.state.lock().enter(Phase::Building);
    }

    /// Notes the versions that serve now. The problems are warnings.
    pub fn succeeded(&self, current: Vec<Current>, problems: Vec<Problem>) {
        let mut state = self.state.lock();
        state.enter(Phase::Ok);
        state.current = current;
        state.problems = bounded(problems);
    }

    /// The versions that serve.
    pub fn current(&self) -> Vec<Current> {
        self.state.lock().current.clone()
    }

    /// Notes that there is no new version; the old ones go on serving.
    pub fn failed(&self, problems: Vec<Problem>) {
        let mut state = self.state.lock();
        state.enter(Phase::Failed);
        state.problems = bounded(problems);
    }

    /// Adds a line that a function printed on a stream, or that the host logged
    /// about it; then the stream is `host`.
    pub fn line(&self, function: &str, stream: &str, text: &str) {
        let line = Line {
            number: 0,
            at: Instant::now(),
            function: head(function, LINE_BYTES_MAX).to_owned(),
            stream: head(stream, LINE_BYTES_MAX).to_owned(),
            text: head(text, LINE_BYTES_MAX).to_owned(),
        };
        self.state.lock().add(line);
    }

    /// The whole report as JSON.
    pub(crate) fn json(&self) -> Vec<u8> {
        let state = self.state.lock();
        let report = Report {
            state: state.phase,
            since_milliseconds: age(state.since),
            versions: &state.current,
            errors: &state.problems,
            lines: state.lines.iter().map(Line::report).collect(),
        };
        serde_json::to_vec(&report).expect("a report has only strings and numbers")
    }
}

// === impl State ===

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn add(&mut self, mut line: Line) {
        line.number = self.number;
        self.number += 1;
        self.lines_bytes += line.bytes();
        self.lines.push_back(line);
        while self.lines.len() > LINES_MAX || self.lines_bytes > LINES_BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.lines_bytes -= oldest.bytes();
        }
    }
}

impl Line {
    fn bytes(&self) -> usize {
        self.function.len() + self.stream.len() + self.text.len()
    }

    fn report(&self) -> LineReport<'_> {
        LineReport {
            number: self.number,
            age_milliseconds: age(self.at),
            function: &self.function,
            stream: &self.stream,
            text: &self.text,
        }
    }
}

fn age(at: Instant) -> u64 {
    u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.truncate(DIAGNOSTICS_MAX);
    for problem in &mut problems {
        for text in [&mut problem.message, &mut problem.rendered] {
            let kept = head(text, RENDERED_BYTES_MAX).len();
            text.truncate(kept);
        }
    }
    problems
}

/// The beginning of a text, in whole characters.
fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn report(development: &Development) -> Value {
        serde_json::from_slice(&development.json()).unwrap()
    }

    fn problem(rendered: &str) -> Problem {
        Problem {
            file: Some("src/lib.rs".into()),
            line: Some(12),
            column: Some(5),
            level: "error".into(),
            code: None,
            message: "it is wrong".into(),
            rendered: rendered.into(),
        }
    }

    #[test]
    fn a_report_says_what_is_and_since_when() {
        let development = Development::default();
        development.building();
        let mut first = report(&development);
        let since = first.as_object_mut().unwrap().remove("since_milliseconds");
        assert!(since.is_some_and(|since| since.is_u64()));
        let expected = json!({"state": "building", "versions": [], "errors": [], "lines": []});
        assert_eq!(first, expected);
        let current = Current {
            function: "hello".into(),
            version: "abc".into(),
        };
        development.succeeded(vec![current], Vec::new());
        development.line("hello", "stdout", "one");
        development.failed(vec![problem("text")]);
        let report = report(&development);
        assert_eq!(report["state"], "failed");
        assert_eq!(
            report["versions"],
            json!([{"function": "hello", "version": "abc"}])
        );
        let place = json!(["src/lib.rs", 12, 5]);
        let error = &report["errors"][0];
        assert_eq!(
            json!([error["file"], error["line"], error["column"]]),
            place
        );
        assert_eq!(report["lines"][0]["text"], "one");
    }

    #[test]
    fn lines_at_their_number_and_one_past_it() {
        let development = Development::default();
        for _ in 0..LINES_MAX {
            development.line("f", "stdout", "x");
        }
        assert_eq!(report(&development)["lines"][0]["number"], 0);
        development.line("f", "stdout", "x");
        let report = report(&development);
        assert_eq!(report["lines"][0]["number"], 1);
        assert_eq!(report["lines"].as_array().unwrap().len(), LINES_MAX);
    }

    #[test]
    fn lines_at_their_bytes_and_one_past_them() {
        let development = Development::default();
        let (name, count) = ("ff", LINES_BYTES_MAX / LINE_BYTES_MAX);
        for _ in 0..count {
            development.line(name, "", &"x".repeat(LINE_BYTES_MAX - name.len()));
        }
        assert_eq!(
            report(&development)["lines"].as_array().unwrap().len(),
            count
        );
        development.line("", "", "y");
        let report = report(&development);
        let lines = report["lines"].as_array().unwrap();
        assert_eq!(
            (lines.len(), &lines[count - 1]["text"]),
            (count, &json!("y"))
        );
    }

    #[test]
    fn texts_and_problems_are_cut_at_whole_characters() {
        let development = Development::default();
        let fits = "x".repeat(LINE_BYTES_MAX);
        development.line("f", "stdout", &fits);
        development.line("f", "stdout", &format!("{}é", &fits[1..]));
        let lines = &report(&development)["lines"];
        assert_eq!(lines[0]["text"], fits);
        assert_eq!(lines[1]["text"], fits[1..]);
        let rendered = "x".repeat(RENDERED_BYTES_MAX + 1);
        development.failed(vec![problem(&rendered); DIAGNOSTICS_MAX + 1]);
        let errors = &report(&development)["errors"];
        assert_eq!(errors.as_array().unwrap().len(), DIAGNOSTICS_MAX);
        assert_eq!(errors[0]["rendered"], rendered[1..]);
    }
}
