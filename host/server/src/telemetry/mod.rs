//! What the host says of itself: a log on standard error, and the last words
//! of a command that failed.
//!
//! A command may wait for who reads it. A host may not: from
//! [`never_wait`] on all that it says goes through a bounded queue, and a
//! thread that serves nobody writes it.

mod fields;
mod lines;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use openline_core::escape::Escaping;
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

/// What is logged without a word about it: what an operator acts on, and what
/// functions print.
const FILTER: &str = "info,wasmtime=warn,cranelift=warn";

/// The longest text that is told at once, in bytes: the errors of a large
/// configuration.
const TOLD_BYTES_MAX: usize = 64 * 1024;
/// How long the end of a process waits for the reader of its last words: with
/// `drain_timeout` it is still less than the time after which orchestrators
/// kill.
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

/// From now on nothing that is said waits for its reader: for a host, whose
/// threads have others to serve. To be called once.
pub(crate) fn never_wait() -> io::Result<()> {
    let _ = ERROR.set(Writer::start(io::stderr())?);
    let _ = OUTPUT.set(Writer::start(io::stdout())?);
    std::panic::set_hook(Box::new(panicked));
    Ok(())
}

/// Waits for the readers of what was said last, but not for long.
pub(crate) fn finish() {
    for writer in [&OUTPUT, &ERROR].into_iter().filter_map(OnceLock::get) {
        writer.flush(LAST_WORDS_TIMEOUT);
    }
}

/// The standard library would write this on the thread that panics.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| field::display(backtrace));
    tracing::error!(thread, backtrace, "{panic}");
}

/// Starts the log. A filter that cannot be read is said and not used. What is
/// for `lines` goes there, whatever the filter says, and not to the log.
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
    // A filter without a level of its own lets everything be asked about: each
    // message would cost what tungstenite would like to say of it.
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

fn warn(text: &str) {
    tell(&format!("warning: {text}"));
}

/// A line for a person, beside the data.
pub(crate) fn tell(text: &str) {
    say(Speaker::Host, &format!("{}\n", plain_lines(text)));
}

/// Whole lines for standard error, as they are.
pub(crate) fn say(speaker: Speaker, lines: &str) {
    match ERROR.get() {
        Some(writer) => writer.line(speaker, lines.as_bytes()),
        // A closed standard error leaves nobody to tell.
        None => drop(io::stderr().write_all(lines.as_bytes())),
    }
}

/// Bytes for standard error, all of them: waits for room. Not for threads that
/// serve.
pub(crate) fn pass_on(bytes: &[u8]) {
    match ERROR.get() {
        Some(writer) => writer.wait_and_write(bytes),
        None => drop(io::stderr().write_all(bytes)),
    }
}

/// A line of data of a command. Fails when the reader has gone.
pub(crate) fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// A line of data of a host: it goes on without a reader.
pub(crate) fn announce(text: &str) {
    if let Some(writer) = OUTPUT.get() {
        writer.line(Speaker::Host, format!("{text}\n").as_bytes());
    }
}

/// A text that a terminal does not obey; its lines stay.
pub(crate) fn plain_lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaping = Escaping::new(&mut plain, TOLD_BYTES_MAX).lines("\n");
    // Writing to a string does not fail.
    let _ = std::fmt::Write::write_str(&mut escaping, text);
    let _ = escaping.finish();
    plain
}

// === impl Log ===

impl MakeWriter<'_> for Log {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Speaker::Host)
    }

    fn make_writer_for(&self, metadata: &Metadata<'_>) -> Line {
        // A line that a function has printed names its stream, and its fault has
        // a backtrace. A fault of the host has one too, and is an error.
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
    /// The layer hands over each line as a whole.
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

    /// Whose share of the queue each line takes.
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
