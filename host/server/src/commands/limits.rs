//! `openline limits`: every limit with its range, its default, what happens
//! past it and why it is there.

use clap::Args;
use openline_core::limits::{Row, TABLES};

use crate::telemetry::print;

const EXAMPLES: &str = "\
Examples:
  openline limits
  openline limits message_bytes";

/// The words after `openline limits`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LimitsArguments {
    /// Only limits whose name holds this.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(arguments: &LimitsArguments) -> anyhow::Result<()> {
    let wanted = arguments.name.as_deref().unwrap_or_default();
    let mut text = String::new();
    for (table, rows) in TABLES {
        let rows = rows.iter().filter(|row| row.name.contains(wanted));
        let shown: Vec<_> = rows.map(show).collect();
        if !shown.is_empty() {
            text += &format!("{table}\n{}\n", shown.join("\n"));
        }
    }
    if text.is_empty() {
        anyhow::bail!(
            "no limit is named like `{wanted}`\n  hint: `openline limits` lists them all"
        );
    }
    print(text.trim_end())?;
    Ok(())
}

fn show(row: &Row) -> String {
    let none = if row.zero_is_none { ", 0 for none" } else { "" };
    let words: Vec<_> = row.about.split_whitespace().collect();
    format!(
        "  {} = {} ({} to {}{none})\n      past it: {}\n      {}\n",
        row.name,
        row.show_default(),
        row.unit.show(row.least),
        row.unit.show(row.most),
        row.overflow,
        words.join(" ")
    )
}
