//! The compiler's diagnostics about a crate, for programs: the place, the
//! message, and the usual text.
//!
//! A diagnostic is as large as the compiler printed it; the caller bounds how
//! many are kept.

use serde_json::Value;

/// An error or a warning of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub level: String,
    /// A code such as `E0425`; for a lint, its name.
    pub code: Option<String>,
    /// One sentence.
    pub message: String,
    /// The place in the source, if there is one.
    pub place: Option<Place>,
    /// The whole text as the compiler prints it, without colours.
    pub rendered: String,
    /// The same with colours, for a terminal.
    pub coloured: String,
}

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the workspace if it is there.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// The column, in characters, counted from 1.
    pub column: u64,
}

// === impl Diagnostic ===

impl Diagnostic {
    /// Reads one line of `cargo build
    /// --message-format=json-diagnostic-rendered-ansi`; `None` if it is not a
    /// diagnostic, or only summarises earlier ones.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        if value.get("reason")? != "compiler-message" {
            return None;
        }
        let said = value.get("message")?;
        let text = |field: &str| said.get(field).and_then(Value::as_str).map(str::to_owned);
        let message = text("message")?;
        let spans = said.get("spans")?.as_array()?;
        let is_primary = |span: &&Value| span.get("is_primary") == Some(&Value::Bool(true));
        let place = spans.iter().find(is_primary).and_then(Place::parse);
        let sums_up = message.starts_with("aborting due to") || message.contains(" emitted");
        if place.is_none() && sums_up {
            return None;
        }
        let coloured = text("rendered")?;
        // A defect of the compiler counts as an error; separate notes only
        // explain other diagnostics.
        let level = match text("level")?.as_str() {
            "warning" => "warning",
            level if level.starts_with("error") => "error",
            _ => return None,
        };
        Some(Self {
            code: said
                .pointer("/code/code")
                .and_then(Value::as_str)
                .map(str::to_owned),
            level: level.to_owned(),
            message,
            place,
            rendered: without_colours(&coloured),
            coloured,
        })
    }
}

impl Place {
    fn parse(span: &Value) -> Option<Self> {
        Some(Self {
            file: span.get("file_name")?.as_str()?.to_owned(),
            line: span.get("line_start")?.as_u64()?,
            column: span.get("column_start")?.as_u64()?,
        })
    }
}

/// The text without control sequences for colours (ECMA-48, section 5.4: `ESC
/// [`, parameters, a final byte of `@` to `~`).
#[must_use]
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|letter| ('@'..='~').contains(&letter));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"reason": "compiler-message", "message": {
        "message": "cannot find value `x` in this scope", "level": "error", "code": {"code": "E0425"},
        "spans": [
            {"file_name": "src/other.rs", "line_start": 1, "column_start": 1, "is_primary": false},
            {"file_name": "src/lib.rs", "line_start": 12, "column_start": 5, "is_primary": true}],
        "rendered": "\u001b[1m\u001b[91merror[E0425]\u001b[0m: cannot find\n"}}"#;

    #[test]
    fn a_diagnostic_is_read_with_its_place() {
        let read = Diagnostic::parse(LINE).unwrap();
        let place = read.place.unwrap();
        assert_eq!(
            (&*place.file, place.line, place.column),
            ("src/lib.rs", 12, 5)
        );
        assert_eq!(
            (&*read.level, read.code.as_deref()),
            ("error", Some("E0425"))
        );
        assert_eq!(read.message, "cannot find value `x` in this scope");
        assert_eq!(read.rendered, "error[E0425]: cannot find\n");
        assert!(read.coloured.starts_with("\x1b[1m"));
    }

    #[test]
    fn what_only_sums_up_and_other_lines_are_passed_over() {
        let sum = r#"{"reason": "compiler-message", "message": {"spans": [], "level": "error",
            "message": "aborting due to 1 previous error", "rendered": "error: aborting"}}"#;
        let note = sum.replace("\"error\"", "\"failure-note\"");
        for line in [sum, &note, "", "text", r#"{"reason": "build-finished"}"#] {
            assert_eq!(Diagnostic::parse(line), None, "{line}");
        }
        // A diagnostic of the linker, which has no place in the source.
        let linker = sum.replace("aborting due to 1 previous error", "linking failed");
        assert_eq!(Diagnostic::parse(&linker).unwrap().place, None);
    }

    #[test]
    fn colours_are_taken_out_and_nothing_else() {
        for (text, plain) in [
            ("", ""),
            ("no [colours] at all", "no [colours] at all"),
            ("\x1b[38;5;9mred\x1b[0m and plain", "red and plain"),
            ("cut off \x1b[1", "cut off "),
        ] {
            assert_eq!(without_colours(text), plain);
        }
    }
}
