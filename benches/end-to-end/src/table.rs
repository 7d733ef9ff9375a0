//! The summary as a person reads it: one table, a part for each setting, two
//! columns for each server.

use std::fmt::Write;

use crate::criterion::InProcess;
use crate::server::Server;
use crate::summary::{Cell, Row, Section, Spread};

/// Between columns.
const GAP: &str = "   ";

/// Renders all sections as one table, criterion's medians at its end.
pub(crate) fn render(sections: &[Section], in_process: &[InProcess]) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for section in sections {
        if lines.is_empty() {
            lines.push(Line::Cells(header(section)));
        }
        lines.push(Line::Title(format!("\n{}", section.name)));
        for row in &section.rows {
            lines.push(Line::Cells(cells(row)));
        }
        for note in &section.notes {
            lines.push(Line::Title(format!("  note: {note}")));
        }
    }
    if let Some(section) = sections.first()
        && !in_process.is_empty()
    {
        lines.push(Line::Title(
            "\nin one process, without sockets (criterion, medians)".to_owned(),
        ));
        lines.extend(
            in_process
                .iter()
                .map(|figure| Line::Cells(in_columns(section, figure))),
        );
    }
    align(&lines)
}

/// A figure of criterion's in the columns of the servers that it is about.
fn in_columns(section: &Section, figure: &InProcess) -> Vec<String> {
    let mut cells = vec![format!("  {}", figure.figure)];
    for measured in &section.measured {
        let value = match measured.server {
            Server::Echo => figure.echo,
            Server::EchoAsync => figure.echo_async,
            Server::Native | Server::NativeFlushEach => None,
        };
        cells.push(value.map_or_else(String::new, |value| grouped(value, 2)));
        cells.push(String::new());
    }
    cells
}

enum Line {
    /// Over the whole width.
    Title(String),
    Cells(Vec<String>),
}

fn header(section: &Section) -> Vec<String> {
    let mut header = vec!["median (least–most over the rounds)".to_owned()];
    for measured in &section.measured {
        header.push(measured.server.name().to_owned());
        header.push("to native".to_owned());
    }
    header
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![format!("  {}", row.figure)];
    for Cell { value, ratio, .. } in &row.cells {
        cells.push(spread(*value, row.decimals, ""));
        cells.push(spread(*ratio, 2, " ×"));
    }
    cells
}

fn spread(spread: Option<Spread>, decimals: usize, unit: &str) -> String {
    let Some(spread) = spread else {
        return String::new();
    };
    let number = |value| grouped(value, decimals);
    format!(
        "{}{unit} ({}–{})",
        number(spread.median),
        number(spread.least),
        number(spread.most)
    )
}

/// A number with its thousands set apart.
pub(crate) fn grouped(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (position, character) in text.char_indices() {
        let follows_digit = grouped.ends_with(|last: char| last.is_ascii_digit());
        if position < whole && follows_digit && (whole - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

/// Pads every column to its widest cell; columns without content vanish.
fn align(lines: &[Line]) -> String {
    let mut rows = lines.iter().filter_map(|line| match line {
        Line::Cells(cells) => Some(cells),
        Line::Title(_) => None,
    });
    let header = rows.next().map_or(&[][..], Vec::as_slice);
    let mut widths = vec![0; header.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for (width, cell) in widths.iter_mut().zip(header) {
        // A column with a heading alone, such as native's ratio to itself.
        if *width > 0 {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        match line {
            Line::Title(title) => text.push_str(title),
            Line::Cells(cells) => {
                let mut row = String::new();
                for (width, cell) in widths.iter().zip(cells).filter(|(width, _)| **width > 0) {
                    // Writing into a string cannot fail.
                    let _ = write!(row, "{cell:width$}{GAP}");
                }
                text.push_str(row.trim_end());
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Line, align, grouped};

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567.2, 0), "1,234,567");
        assert_eq!(grouped(123.456, 2), "123.46");
        assert_eq!(grouped(-1_000.0, 0), "-1,000");
    }

    #[test]
    fn columns_align_and_empty_ones_vanish() {
        let row = |cells: &[&str]| Line::Cells(cells.iter().map(ToString::to_string).collect());
        let lines = [
            row(&["", "a", "gone", "b"]),
            Line::Title("title".to_owned()),
            row(&["x", "12 µs", "", "1"]),
        ];
        assert_eq!(align(&lines), "    a       b\ntitle\nx   12 µs   1\n");
    }
}
