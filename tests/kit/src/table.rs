//! Tables for people: columns as wide as their widest cell, as text or as
//! Markdown; and figures as they are shown in them.

use std::fmt::Write as _;

/// Between columns of text.
const GAP: &str = "   ";
/// The narrowest column of Markdown.
const MARKDOWN_MIN: usize = 3;

/// A head and rows below it.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
enum Row {
    /// Over the whole width.
    Title(String),
    Cells(Vec<String>),
}

/// A median with its extremes.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// For an even number of values, the mean of the two in the middle.
    pub median: f64,
    /// The least of all.
    pub least: f64,
    /// The most of all.
    pub most: f64,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new<T: ToString>(head: impl IntoIterator<Item = T>) -> Self {
        let mut table = Self::default();
        table.row(head);
        table
    }

    /// One more row. It has as many cells as the head.
    pub fn row<T: ToString>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| cell.to_string());
        self.rows.push(Row::Cells(cells.collect()));
    }

    /// A line over the whole width, which has no columns.
    pub fn title(&mut self, title: impl Into<String>) {
        self.rows.push(Row::Title(title.into()));
    }

    /// Aligned text; columns vanish that have nothing but their heading.
    #[must_use]
    pub fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            match row {
                Row::Title(title) => text.push_str(title),
                Row::Cells(cells) => {
                    let mut line = String::new();
                    for (width, cell) in widths.iter().zip(cells).filter(|(width, _)| **width > 0) {
                        // Writing to a string does not fail.
                        let _ = write!(line, "{cell:width$}{GAP}");
                    }
                    text.push_str(line.trim_end());
                }
            }
            text.push('\n');
        }
        text
    }

    /// Markdown, padded so that it can be read as it is; titles are bold.
    #[must_use]
    pub fn markdown(&self) -> String {
        let columns = self.cells().next().map_or(0, Vec::len);
        let rows = self.rows.iter().map(|row| match row {
            Row::Cells(cells) => cells.clone(),
            Row::Title(title) => {
                let mut cells = vec![format!("**{title}**")];
                cells.resize(columns, String::new());
                cells
            }
        });
        let rows: Vec<_> = rows.collect();
        let mut widths = vec![MARKDOWN_MIN; columns];
        rows.iter().for_each(|row| widen(&mut widths, row));
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = String::new();
        for (index, row) in rows.iter().enumerate() {
            let padded = row.iter().zip(&widths);
            text += &line(
                padded
                    .map(|(cell, width)| format!("{cell:width$}"))
                    .collect(),
            );
            if index == 0 {
                text += &line(widths.iter().map(|width| "-".repeat(*width)).collect());
            }
        }
        text
    }

    fn cells(&self) -> impl Iterator<Item = &Vec<String>> {
        self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => Some(cells),
            Row::Title(_) => None,
        })
    }

    /// The width of each column; 0 where there is nothing but a heading.
    fn widths(&self) -> Vec<usize> {
        let mut rows = self.cells();
        let Some(head) = rows.next() else {
            return Vec::new();
        };
        let mut widths = vec![0; head.len()];
        rows.for_each(|row| widen(&mut widths, row));
        for (width, cell) in widths.iter_mut().zip(head).filter(|(width, _)| **width > 0) {
            *width = cell.chars().count().max(*width);
        }
        widths
    }
}

fn widen(widths: &mut [usize], row: &[String]) {
    for (width, cell) in widths.iter_mut().zip(row) {
        *width = cell.chars().count().max(*width);
    }
}

impl Spread {
    /// `None` where there is nothing to sum up.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self {
            median,
            least,
            most,
        })
    }

    /// `MEDIAN (LEAST–MOST)`, with so many decimals.
    #[must_use]
    pub fn shown(self, decimals: usize) -> String {
        self.shown_by(|value| grouped(value, decimals))
    }

    /// The same, each number as a function shows it.
    #[must_use]
    pub fn shown_by(self, number: impl Fn(f64) -> String) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{} ({}–{})", number(median), number(least), number(most))
    }
}

/// The spread of some values as text; `–` where there is none.
#[must_use]
pub fn spread(values: impl IntoIterator<Item = f64>, decimals: usize) -> String {
    Spread::of(values).map_or_else(|| "–".to_owned(), |spread| spread.shown(decimals))
}

/// A number with its thousands set apart.
#[must_use]
pub fn grouped(number: f64, decimals: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567.2, 0), "1,234,567");
        assert_eq!(grouped(123.456, 2), "123.46");
        assert_eq!(grouped(-1_000.0, 0), "-1,000");
    }

    #[test]
    fn a_spread_is_the_median_and_the_extremes() {
        assert_eq!(spread([], 0), "–");
        assert_eq!(spread([3.0], 0), "3 (3–3)");
        assert_eq!(spread([3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!(spread([4.0, 1.0], 1), "2.5 (1.0–4.0)");
    }

    #[test]
    fn columns_align_and_empty_ones_vanish() {
        let mut table = Table::new(["", "a", "gone", "b"]);
        table.title("title");
        table.row(["x", "12 µs", "", "1"]);
        assert_eq!(table.text(), "    a       b\ntitle\nx   12 µs   1\n");
        assert_eq!(Table::default().text(), "");
    }

    #[test]
    fn markdown_is_aligned_and_has_its_line_below_the_head() {
        let mut table = Table::new(["", "µs"]);
        table.row(["long", "1"]);
        table.title("of it");
        let expected =
            "|           | µs  |\n| --------- | --- |\n| long      | 1   |\n| **of it** |     |\n";
        assert_eq!(table.markdown(), expected);
    }
}
