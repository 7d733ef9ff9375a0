//! Tables for people. Columns are as wide as their content, and nothing in them
//! can control the terminal, because peers and functions choose some of the
//! text.

use std::fmt::Write as _;

use openline_core::escape::{self, Escaped};
use serde_json::Value;

use crate::telemetry::print;

/// The most bytes shown of one text: no name and no path is longer.
const CELL_BYTES_MAX: usize = 16 * 1024;
/// Letters of a digest that people are shown.
const SHORT: usize = 12;

/// Prints an answer: as JSON, or what `show` makes of it for people.
pub(crate) fn print_answer(
    json: bool,
    answer: &Value,
    show: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let text = match json {
        true => plain_json(&serde_json::to_string_pretty(answer)?),
        false => show(),
    };
    Ok(print(&text)?)
}

/// A head and rows below it, with two spaces between columns. The last column
/// is not padded.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let head = head.map(str::to_owned).to_vec();
    let rows = rows.into_iter().map(|row| row.to_vec());
    columns(std::iter::once(head).chain(rows))
}

/// The same for rows of any length, of which the first is the head.
pub(crate) fn columns(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows = rows.into_iter();
    let rows: Vec<Vec<_>> = rows
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row: &Vec<String>| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line: Vec<_> = padded.collect();
        line.join("  ").trim_end().to_owned()
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    lines.join("\n")
}

/// A text on one line that cannot control a terminal.
pub(crate) fn plain(text: &str) -> String {
    Escaped::new(text, CELL_BYTES_MAX).to_string()
}

/// JSON that cannot control a terminal: control characters occur only in texts,
/// where they can be escaped.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter == '\n' || escape::is_plain(letter) {
            plain.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

/// A JSON value of somebody else on one line that cannot control a terminal. It
/// stays as it was written: a number may be larger than those of Rust.
pub(crate) fn plain_value(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for letter in json.chars() {
        match letter {
            // White space between the parts.
            '\n' | '\r' | '\t' if !in_text => plain.push(' '),
            _ if escape::is_plain(letter) => plain.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(plain, "\\u{unit:04x}");
                }
            }
        }
        if letter == '"' && !is_escaped {
            in_text = !in_text;
        }
        is_escaped = in_text && letter == '\\' && !is_escaped;
    }
    plain
}

/// A text or a number of an answer; `-` if there is none.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The beginning of a digest.
pub(crate) fn short(digest: &Value) -> String {
    let digest = digest.as_str().unwrap_or("-");
    digest.chars().take(SHORT).collect()
}

/// A size, rounded for people.
pub(crate) fn size(bytes: &Value) -> String {
    let bytes = bytes.as_u64().unwrap_or(0);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// How long ago a moment was, given in milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "people read it, and nothing depends on it"
)]
pub(crate) fn ago(moment: &Value) -> String {
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let then = moment.as_u64().unwrap_or(0) / 1000;
    match now.as_secs().saturating_sub(then) {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_obeyed() {
        let rows = vec![
            ["ä".to_owned(), "1".to_owned(), "x".to_owned()],
            [
                "long name".to_owned(),
                "22".to_owned(),
                "\x1b[2J\n".to_owned(),
            ],
        ];
        let expected = "NAME       N   NOTE\nä          1   x\nlong name  22  \\u{1b}[2J\\n";
        assert_eq!(table(["NAME", "N", "NOTE"], rows), expected);
        assert_eq!(table(["NAME", "N"], vec![]), "NAME  N");
    }

    #[test]
    fn json_says_the_same_and_nothing_is_obeyed() {
        let value = json!({ "reason": "\u{9b}2J\u{202e}\u{e0041}é\n\"" });
        let text = plain_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(
            text.chars()
                .all(|letter| letter == '\n' || escape::is_plain(letter))
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_value_of_somebody_else_is_on_one_line_and_the_same() {
        let value = "{\n\t\"a\\\"\t\": [1e999, \"\\\\\",\r\"\u{9b}\u{e0041}\"]}";
        let expected = "{  \"a\\\"\\u0009\": [1e999, \"\\\\\", \"\\u009b\\udb40\\udc41\"]}";
        assert_eq!(plain_value(value), expected);
    }

    #[test]
    fn sizes_and_digests_at_a_glance() {
        assert_eq!(size(&json!(1023)), "1023 B");
        assert_eq!(size(&json!(1536)), "1.5 KiB");
        assert_eq!(size(&json!(64 << 20)), "64.0 MiB");
        assert_eq!(short(&json!("0123456789abcdef")), "0123456789ab");
        assert_eq!(
            (cell(&json!(null)), cell(&json!(7))),
            ("-".into(), "7".into())
        );
    }
}
