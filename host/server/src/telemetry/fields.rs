//! Writes an event's message and fields into the log.
//!
//! All text from functions, peers and files passes here, and is escaped and
//! cut, so that it can neither end a line nor control a terminal. Only the
//! field `backtrace` has several lines: its line ends are the host's own, and
//! the lines are indented, which a log line never is.

use std::fmt::{self, Debug, Write as _};

use openline_core::escape::Escaping;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// The most bytes shown of one field: enough for the frames of a backtrace that
/// matter.
pub(crate) const FIELD_BYTES_MAX: usize = 16 * 1024;
/// The field that may have several lines.
pub(crate) const BACKTRACE: &str = "backtrace";

/// Formats the fields of an event, escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields;

struct Visitor<'a> {
    writer: Writer<'a>,
    first: bool,
    result: fmt::Result,
}

impl<'a> FormatFields<'a> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: &dyn Debug) -> fmt::Result {
        let name = field.name();
        let is_backtrace = name == BACKTRACE;
        if !std::mem::take(&mut self.first) && !is_backtrace {
            self.writer.write_char(' ')?;
        }
        if is_backtrace {
            self.writer.write_str("\n    ")?;
        } else if name != "message" {
            let (on, off) = if self.writer.has_ansi_escapes() {
                ("\x1b[3m", "\x1b[0m\x1b[2m=\x1b[0m")
            } else {
                ("", "=")
            };
            write!(self.writer, "{on}{name}{off}")?;
        }
        let mut escaping = Escaping::new(&mut self.writer, FIELD_BYTES_MAX);
        if is_backtrace {
            escaping = escaping.lines("\n    ");
        }
        write!(escaping, "{value:?}")?;
        escaping.finish()
    }
}

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Skip the fields that the `log` crate adds.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(event: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .fmt_fields(Fields);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, event);
        let bytes = kept.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_field_and_no_message_can_forge_a_line() {
        let forged = "x\n2026-11-26T00:00:00Z ERROR forged\u{2028}\x1b[2J\u{202e}";
        let error = io::Error::other(forged);
        let text = logged(|| {
            tracing::warn!(shown = %forged, quoted = forged, debug = ?forged, %error, "said {forged}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        for letter in ['\x1b', '\u{2028}', '\u{202e}'] {
            assert!(!text.contains(letter), "{text}");
        }
        assert!(text.contains(r"said x\n2026"), "{text}");
        assert!(text.contains(r"error=x\n2026"), "{text}");
    }

    #[test]
    fn a_backtrace_has_lines_and_they_are_indented() {
        let text = logged(|| {
            tracing::warn!(function = %"f", backtrace = %"0: one\r\n1: two", "failed");
        });
        let (_, text) = text.split_once("failed").unwrap();
        assert_eq!(text, " function=f\n    0: one\\r\n    1: two\n");
    }

    #[test]
    fn a_field_at_its_bytes_and_past_them() {
        let field = |bytes| "x".repeat(bytes);
        let text = logged(|| tracing::warn!(x = %field(FIELD_BYTES_MAX), "m"));
        assert!(text.ends_with("xxx\n"), "{text}");
        let text = logged(|| tracing::warn!(x = %field(FIELD_BYTES_MAX + 1), "m"));
        assert!(text.ends_with("xxx... (1 more bytes)\n"), "{text}");
    }
}
