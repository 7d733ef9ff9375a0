//! `openline limits`: every limit with its range, its default, what happens
//! past it and why it is there.

use clap::Args;
use openline_core::limits::{Row, TABLES};

use crate::telemetry::print;

const EXAMPLES: &str = "\
Examples:
  openline limits
  openline limits message_bytes
  openline limits --markdown";

/// The words after `openline limits`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LimitsArguments {
    /// Only limits whose name holds this.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// As tables for a document.
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(arguments: &LimitsArguments) -> anyhow::Result<()> {
    let wanted = arguments.name.as_deref().unwrap_or_default();
    let mut text = String::new();
    for (table, rows) in TABLES {
        let rows = rows.iter().filter(|row| row.name.contains(wanted));
        let show = if arguments.markdown { line } else { show };
        let shown: Vec<_> = rows.map(show).collect();
        if shown.is_empty() {
            continue;
        }
        let head = if arguments.markdown {
            format!(
                "**`{table}`**\n\n| key | default | past it | what and why |\n| --- | --- | --- | --- |"
            )
        } else {
            table.to_owned()
        };
        text += &format!("{head}\n{}\n\n", shown.join("\n"));
    }
    if text.is_empty() {
        anyhow::bail!(
            "no limit is named like `{wanted}`\n  hint: `openline limits` lists them all"
        );
    }
    print(text.trim_end())?;
    Ok(())
}

/// As people read it on a terminal.
fn show(row: &Row) -> String {
    let none = if row.zero_is_none { ", 0 for none" } else { "" };
    let (name, default) = (row.name, row.show_default());
    let (least, most) = (row.unit.show(row.least), row.unit.show(row.most));
    let (overflow, about) = (row.overflow, about(row));
    format!(
        "  {name} = {default} ({least} to {most}{none})\n      past it: {overflow}\n      {about}\n"
    )
}

/// A line of a table.
fn line(row: &Row) -> String {
    let (name, default) = (row.name, row.show_default());
    let (overflow, about) = (row.overflow, about(row));
    format!("| `{name}` | {default} | {overflow} | {about} |")
}

fn about(row: &Row) -> String {
    let words: Vec<_> = row.about.split_whitespace().collect();
    words.join(" ")
}
