//! Writes what functions print, and what the host logs about them, to the
//! terminal in short form, and to the page.
//!
//! It is a layer of the log's subscriber. It takes the lines that functions
//! print, and warnings that name a function; all other events go to the usual
//! log. The page bounds what it keeps.

use std::fmt::{Debug, Write as _};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openline_admin::development::Development;
use openline_core::escape::Escaping;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::fields::{BACKTRACE, FIELD_BYTES_MAX};
use super::say;
use super::writer::Speaker;

/// The folders of frames that an author does not look for: the standard
/// library, other crates, and the SDK.
const OTHERS: [&str; 3] = ["/rustc/", "/registry/src/", "/openline-sdk/src/"];

/// Writes lines for people to the terminal.
#[derive(Debug)]
pub(crate) struct Lines {
    development: Arc<Development>,
    /// Paths below this folder are shown relative to it.
    directory: PathBuf,
    colours: bool,
}

/// The fields of an event that are shown.
#[derive(Debug, Default)]
struct Said {
    function: String,
    stream: Option<String>,
    message: String,
    backtrace: Option<String>,
}

impl Lines {
    /// Makes the layer for functions whose source is in a folder.
    pub(crate) fn new(development: Arc<Development>, directory: &Path) -> Self {
        Self {
            development,
            directory: directory.canonicalize().unwrap_or_default(),
            colours: std::io::stderr().is_terminal(),
        }
    }

    /// Whether an event belongs here, and not in the usual log.
    pub(crate) fn takes(metadata: &Metadata<'_>) -> bool {
        let has = |name| metadata.fields().field(name).is_some();
        let is_news = *metadata.level() <= Level::WARN;
        metadata.is_event() && has("function") && (is_news || has("stream"))
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let (stream, text) = match &said.stream {
            Some(stream) => (&**stream, unescaped(&said.message)),
            None => ("host", said.shortened(&self.directory)),
        };
        let (mark, speaker) = match said.stream {
            Some(_) => ('|', Speaker::Function),
            None => ('!', Speaker::Host),
        };
        let (on, off) = if self.colours {
            ("\x1b[36m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = format!("{on}{} {mark}{off} {text}\n", said.function);
        say(speaker, &line);
        self.development.line(&said.function, stream, &text);
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "function" => value.clone_into(&mut self.function),
            "stream" => self.stream = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "function" => &mut self.function,
            "message" => &mut self.message,
            BACKTRACE => self.backtrace.insert(String::new()),
            _ => return,
        };
        let mut escaping = Escaping::new(text, FIELD_BYTES_MAX);
        if field.name() == BACKTRACE {
            escaping = escaping.lines("\n");
        }
        // Writing to a string does not fail.
        let _ = write!(escaping, "{value:?}");
        let _ = escaping.finish();
    }
}

impl Said {
    /// The host's message with the frames in the function's own source, the
    /// innermost first, each with its place and name. If none is there, all
    /// frames.
    fn shortened(&self, directory: &Path) -> String {
        let Some(backtrace) = &self.backtrace else {
            return self.message.clone();
        };
        let frames = own_frames(backtrace, directory);
        let frames = if frames.is_empty() {
            backtrace
        } else {
            &frames
        };
        format!("{}\n{}", self.message, frames.trim_end_matches('\n'))
    }
}

/// A line as it was printed, except that sequences which would move a
/// terminal's cursor or change its colours stay escaped.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        let meant = match (letter, next) {
            ('\\', Some(quoted @ ('\'' | '"' | '\\'))) => Some(quoted),
            ('\\', Some('t')) => Some('\t'),
            _ => None,
        };
        if meant.is_some() {
            letters.next();
        }
        plain.push(meant.unwrap_or(letter));
    }
    plain
}

/// The frames of a backtrace that are in the function's own source.
fn own_frames(backtrace: &str, directory: &Path) -> String {
    let mut own = String::new();
    let mut name = "";
    for line in backtrace.lines() {
        if let Some((_, named)) = line.split_once(" - ") {
            name = named.trim();
        } else if let Some(place) = line.trim().strip_prefix("at ")
            && !OTHERS.iter().any(|other| place.contains(other))
        {
            let place = Path::new(place);
            let place = place.strip_prefix(directory).unwrap_or(place);
            // Writing to a string does not fail.
            let _ = writeln!(own, "    at {} ({name})", place.display());
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_as_printed_but_for_control_characters() {
        for text in ["plain", "it's \"quoted\"", r"C:\new\table", "a\tb", "naïve"] {
            assert_eq!(unescaped(&text.escape_debug().to_string()), text);
        }
        let sly = "\x1b[2Jgone\r".escape_debug().to_string();
        assert_eq!(unescaped(&sly), r"\u{1b}[2Jgone\r");
        assert_eq!(unescaped("\\"), "\\");
    }

    #[test]
    fn a_trap_is_told_by_the_frames_of_the_function() {
        let backtrace = "   0:   0x7d24 - rust_panic\n                    at /rustc/5980/library/std/src/panicking.rs:886:25\n\
            \x20   1:   0x3edd - inner\n                    at /home/me/hello/src/lib.rs:9:60\n\
            \x20               - message\n                    at /home/me/hello/src/lib.rs:36:45\n\
            \x20   2:   0x13f8 - call\n                    at /home/me/hello/vendor/openline-sdk/src/export.rs:169:25";
        let said = |backtrace: Option<&str>| Said {
            message: "function fault: trap".into(),
            backtrace: backtrace.map(str::to_owned),
            ..Said::default()
        };
        let directory = Path::new("/home/me/hello");
        let short = "function fault: trap\n    at src/lib.rs:9:60 (inner)\n    at src/lib.rs:36:45 (message)";
        assert_eq!(said(Some(backtrace)).shortened(directory), short);
        let others = backtrace.replace("/home/me", "/rustc/");
        let all = format!("function fault: trap\n{others}");
        assert_eq!(said(Some(&others)).shortened(directory), all);
        assert_eq!(said(None).shortened(directory), "function fault: trap");
    }
}
