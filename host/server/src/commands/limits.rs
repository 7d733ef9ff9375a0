//! `openline limits`: lists every limit with its range, its default, what
//! happens past it and its reason; then the keys that are not limits. For each
//! it says when a change takes effect in a running host.

use clap::Args;
use openline_core::config::{Key, TABLES, keys as all_keys};
use openline_core::limits::Row;
use openline_hint::Hinted;

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
    /// Only limits and keys whose names contain this.
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
                "## `{table}`\n\n| key | default | takes effect | past it | what and why |\n| --- | --- | --- | --- | --- |"
            )
        } else {
            table.to_owned()
        };
        text += &format!("{head}\n{}\n\n", shown.join("\n"));
    }
    text += &keys(wanted, arguments.markdown);
    if text.is_empty() {
        let what = format!("no limit and no key is named like `{wanted}`");
        return Err(Hinted::new(what, "`openline limits` lists them all").into());
    }
    print(text.trim_end())?;
    Ok(())
}

/// Formats a limit for a terminal.
fn show(row: &Row) -> String {
    let none = if row.zero_is_none { ", 0 for none" } else { "" };
    let (name, default) = (row.name, row.show_default());
    let (least, most) = (row.unit.show(row.least), row.unit.show(row.most));
    let (overflow, about, effect) = (row.overflow, about(row), row.effect);
    format!(
        "  {name} = {default} ({least} to {most}{none})\n      past it: {overflow}\n      a change takes effect: {effect}\n      {about}\n"
    )
}

/// Formats a limit as a line of a table.
fn line(row: &Row) -> String {
    let (name, default) = (row.name, row.show_default());
    let (overflow, about, effect) = (row.overflow, about(row), row.effect);
    format!("| `{name}` | {default} | {effect} | {overflow} | {about} |")
}

/// Formats all keys that are not limits.
fn keys(wanted: &str, markdown: bool) -> String {
    let keys = all_keys().filter(|key| key.name.contains(wanted));
    let show = if markdown { key_line } else { show_key };
    let shown: Vec<_> = keys.map(show).collect();
    let head = match (markdown, shown.is_empty()) {
        (_, true) => return String::new(),
        (true, false) => {
            "| table | key | default | takes effect | what |\n| --- | --- | --- | --- | --- |"
        }
        (false, false) => "other keys",
    };
    format!("{head}\n{}\n\n", shown.join("\n"))
}

fn show_key(key: &Key) -> String {
    let (table, name, default) = (key.table, key.name, key.default.replace('`', ""));
    let (effect, about) = (key.effect, key.about);
    format!(
        "  {table} {name}, by default {default}\n      a change takes effect: {effect}\n      {about}\n"
    )
}

fn key_line(key: &Key) -> String {
    let (table, default) = (key.table, key.default);
    let (effect, about) = (key.effect, key.about);
    // Either a name, or words that have their own backquotes.
    let name = if key.name.contains(' ') {
        key.name.to_owned()
    } else {
        format!("`{}`", key.name)
    };
    format!("| `{table}` | {name} | {default} | {effect} | {about} |")
}

fn about(row: &Row) -> String {
    let words: Vec<_> = row.about.split_whitespace().collect();
    words.join(" ")
}
