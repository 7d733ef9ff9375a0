//! The output of the program: the log on standard error, and the error message
//! of a command that failed.
//!
//! A command may wait for the reader of its output. A host may not: after
//! [`never_wait`] all output goes through a bounded queue, and a thread that
//! serves no connection writes it.

mod fields;
mod lines;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use openline_core::escape::{self, Escaped, Escaping};
use tracing::{Level, Metadata, field};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

pub(crate) use self::lines::Lines;
pub(crate) use self::writer::Speaker;
use self::writer::Writer;
use crate::hints::explained;

/// The default filter: what an operator acts on, and what functions print.
/// Folders that are removed while they are watched are not worth a line.
const FILTER: &str = "info,wasmtime=warn,cranelift=warn,notify=error";

/// The longest text that is written at once, in bytes: the errors of a large
/// configuration.
const TOLD_BYTES_MAX: usize = 64 * 1024;
/// How long the end of a process waits for the reader of its last lines:
/// together with `drain_timeout` it is still less than the time after which
/// orchestrators kill.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Standard error and standard output of a host.
static ERROR: OnceLock<Writer> = OnceLock::new();
static OUTPUT: OnceLock<Writer> = OnceLock::new();

/// Standard output cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputError(#[from] pub(crate) io::Error);

/// Where the log's lines go.
#[derive(Clone, Copy, Debug)]
struct Log;

/// One line of the log.
#[derive(Debug)]
struct Line(Speaker);

/// From now on output never waits for its reader, because a host's threads have
/// connections to serve. Call it once.
pub(crate) fn never_wait() -> io::Result<()> {
    let _ = ERROR.set(Writer::start(io::stderr())?);
    let _ = OUTPUT.set(Writer::start(io::stdout())?);
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Waits a short time for the readers of the last lines.
pub(crate) fn finish() {
    for writer in [&OUTPUT, &ERROR].into_iter().filter_map(OnceLock::get) {
        writer.flush(LAST_WORDS_TIMEOUT);
    }
}

/// Logs a panic through the queue; the standard library would write it on the
/// thread that panics.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| field::display(backtrace));
    tracing::error!(thread, backtrace, "{panic}");
}

/// Starts the log. An invalid filter is reported and replaced by the default.
/// Events for `lines` go only there, whatever the filter says.
pub(crate) fn start(filter: Option<&str>, lines: Option<Lines>) {
    let filter = filter.map_or_else(
        || EnvFilter::new(FILTER),
        |text| {
            EnvFilter::try_new(text).unwrap_or_else(|error| {
                warn(&format!("the log filter `{text}` cannot be read: {error}"));
                EnvFilter::new(FILTER)
            })
        },
    );
    let has_lines = lines.is_some();
    // A filter without a level hint would enable every event, and each message
    // would pay for the traces of libraries.
    let others = filter_fn(move |each| !(has_lines && Lines::takes(each)))
        .with_max_level_hint(LevelFilter::TRACE);
    let printed = filter_fn(Lines::takes).with_max_level_hint(LevelFilter::INFO);
    let log = tracing_subscriber::fmt::layer()
        .fmt_fields(fields::Fields)
        .with_writer(Log)
        .with_ansi(io::stderr().is_terminal())
        .with_filter(filter.and(others));
    let lines = lines.map(|lines| lines.with_filter(printed));
    tracing_subscriber::registry().with(log).with(lines).init();
}

/// Says why a command failed: what, what caused it, and what to do about it.
pub(crate) fn complain(error: &anyhow::Error) {
    let (on, off) = if io::stderr().is_terminal() {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let text = plain_lines(&explained(error));
    say(Speaker::Host, &format!("{on}error:{off} {text}\n"));
}

/// Says what is wrong with the command line, in clap's words, which repeat it.
pub(crate) fn complain_of_usage(error: &clap::Error) {
    say(Speaker::Host, &plain_lines(&error.render().to_string()));
}

fn warn(text: &str) {
    tell(&format!("warning: {text}"));
}

/// Prints a line for a person, in addition to the data.
pub(crate) fn tell(text: &str) {
    say(Speaker::Host, &format!("{}\n", plain_lines(text)));
}

/// Writes whole lines to standard error as they are.
pub(crate) fn say(speaker: Speaker, lines: &str) {
    match ERROR.get() {
        Some(writer) => writer.line(speaker, lines.as_bytes()),
        // If standard error is closed, there is nowhere left to report it.
        None => drop(io::stderr().write_all(lines.as_bytes())),
    }
}

/// Writes all bytes to standard error, and waits for room. Threads that serve
/// must not call it.
pub(crate) fn pass_on(bytes: &[u8]) {
    match ERROR.get() {
        Some(writer) => writer.wait_and_write(bytes),
        None => drop(io::stderr().write_all(bytes)),
    }
}

/// Prints a line of a command's data. Fails if the reader has gone.
pub(crate) fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Prints a line of a host's data. The host goes on if the reader has gone.
pub(crate) fn announce(text: &str) {
    if let Some(writer) = OUTPUT.get() {
        writer.line(Speaker::Host, format!("{text}\n").as_bytes());
    }
}

/// A text that cannot control a terminal, with its lines kept. Words of the
/// command line begin no line of their own.
pub(crate) fn plain_lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaping = Escaping::new(&mut plain, TOLD_BYTES_MAX).lines("\n");
    // Writing to a string does not fail.
    let _ = std::fmt::Write::write_str(&mut escaping, &on_one_line(text));
    let _ = escaping.finish();
    plain
}

/// The text with the words of the command line escaped, each on one line. Once
/// an error repeats a word, nothing tells a line of the word from a line of the
/// error.
fn on_one_line(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for word in words() {
        // A line's end alone is every line's end.
        if is_plain(&word) || word.trim().is_empty() || !text.contains(&*word) {
            continue;
        }
        let escaped = Escaped::new(&word, usize::MAX).to_string();
        text = Cow::Owned(text.replace(&*word, &escaped));
    }
    text
}

/// The words of the command line, with both parts of those that assign, and the
/// variables that stand for options.
fn words() -> impl Iterator<Item = String> {
    let parts = env::args_os().skip(1).flat_map(|word| {
        let word = word.to_string_lossy().into_owned();
        let parts = word.split_once('=').map(|(name, value)| [name, value]);
        let parts = parts.map(|parts| parts.map(str::to_owned));
        std::iter::once(word).chain(parts.into_iter().flatten())
    });
    let options =
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPENLINE_"));
    parts.chain(options.map(|(_, value)| value.to_string_lossy().into_owned()))
}

fn is_plain(word: &str) -> bool {
    word.chars().all(escape::is_plain)
}

// === impl Log ===

impl MakeWriter<'_> for Log {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Speaker::Host)
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> Line {
        // An event of a function has a field for its stream, or a backtrace of
        // its fault. A fault of the host has a backtrace, too, but is of level
        // ERROR.
        let has = |name| metadata.fields().field(name).is_some();
        let of_function = has("stream") || has("backtrace") && *metadata.level() != Level::ERROR;
        Line(if of_function {
            Speaker::Function
        } else {
            Speaker::Host
        })
    }
}

impl Write for Line {
    /// The layer passes each line as a whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match ERROR.get() {
            Some(writer) => {
                writer.line(self.0, bytes);
                Ok(bytes.len())
            }
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::Context;

    use super::*;

    /// Records the speaker of each line.
    #[derive(Clone, Default)]
    struct Speakers(Arc<Mutex<Vec<Speaker>>>);

    impl<S: Subscriber> Layer<S> for Speakers {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let Line(speaker) = Log.make_writer_for(event.metadata());
            self.0.lock().push(speaker);
        }
    }

    #[test]
    fn functions_have_their_share_for_what_they_print_and_for_their_faults() {
        let speakers = Speakers::default();
        let subscriber = tracing_subscriber::registry().with(speakers.clone());
        let backtrace = Some("frames");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(function = "echo", stream = "stdout", "printed");
            tracing::warn!(function = "echo", fault = "trap", backtrace, "a fault");
            tracing::error!(function = "echo", fault = "host", backtrace, "the host's");
            tracing::warn!(function = "echo", "about it");
        });
        let expected = [
            Speaker::Function,
            Speaker::Function,
            Speaker::Host,
            Speaker::Host,
        ];
        assert_eq!(*speakers.0.lock(), expected);
    }

    #[test]
    fn what_nobody_logs_is_not_even_asked_about() {
        start(None, None);
        assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    }
}
