//! What the host says of itself: a log on standard error, and the last words
//! of a command that failed.

use std::io::{IsTerminal, Write};

use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::dev::Lines;

/// What is logged without a word about it: what an operator acts on, and what
/// functions print.
const FILTER: &str = "info,wasmtime=warn,cranelift=warn";

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
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter.and(others));
    let lines = lines.map(|lines| lines.with_filter(printed));
    tracing_subscriber::registry().with(log).with(lines).init();
}

/// Says why a command failed: what, and what caused it.
pub(crate) fn complain(error: &anyhow::Error) {
    let (on, off) = if std::io::stderr().is_terminal() {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{on}error:{off} {error:#}");
}

fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// A line for a person, beside the data.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line of data. Fails when the reader has gone, which is no defect.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_logs_is_not_even_asked_about() {
        start(None, None);
        assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    }
}
