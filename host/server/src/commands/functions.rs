//! `openline functions` and `openline versions`: list what a host has.

use clap::Args;
use openline_core::name::FunctionName;
use serde_json::Value;

use super::aliases::shares;
use super::remote::{EXIT_CODES, RemoteArguments, function};
use super::table::{ago, cell, columns, short, size, table};

const FUNCTIONS_EXAMPLES: &str = "\
Examples:
  openline functions
  openline functions --admin http://127.0.0.1:9001 --json";

const VERSIONS_EXAMPLES: &str = "\
Examples:
  openline versions chat
  openline versions chat --json";

/// The words after `openline functions`.
#[derive(Debug, Args)]
#[command(after_help = FUNCTIONS_EXAMPLES, after_long_help = format!("{FUNCTIONS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct FunctionsArguments {
    #[command(flatten)]
    remote: RemoteArguments,
}

/// The words after `openline versions`.
#[derive(Debug, Args)]
#[command(after_help = VERSIONS_EXAMPLES, after_long_help = format!("{VERSIONS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct VersionsArguments {
    /// The function
    #[arg(value_name = "NAME", value_parser = function)]
    name: FunctionName,
    #[command(flatten)]
    remote: RemoteArguments,
}

pub(crate) async fn functions(arguments: &FunctionsArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let answer = remote.get("/v1/functions").await?;
    remote.print(&answer["functions"], |functions| {
        let head = ["NAME", "ROUTE", "LEADS TO", "CONNECTIONS", "INSTANCES"];
        let rows: Vec<_> = each(functions).flat_map(function_rows).collect();
        let triggers = each(functions).flat_map(triggers);
        with_urls(head, rows, triggers)
    })
}

pub(crate) async fn versions(arguments: &VersionsArguments) -> anyhow::Result<()> {
    let remote = arguments.remote.remote()?;
    let path = format!("/v1/functions/{}", arguments.name);
    let mut function = remote.get(&path).await?;
    let aliases = function["aliases"].take();
    remote.print(&function["versions"], |versions| {
        let head = [
            "VERSION",
            "ALIASES",
            "DEPLOYED",
            "SIZE",
            "HANDLER",
            "CONNECTIONS",
            "INSTANCES",
            "NOTE",
        ];
        let rows = each(versions).map(|version| version_row(version, &aliases));
        table(head, rows.collect())
    })
}

/// The triggers of a function. A firewall function may have none, and has a row all
/// the same.
fn triggers(function: &Value) -> Vec<&Value> {
    static NONE: Value = Value::Null;
    let triggers: Vec<_> = each(&function["triggers"]).collect();
    match triggers.is_empty() {
        true => vec![&NONE],
        false => triggers,
    }
}

/// A row for each trigger; columns that are the same are only in the first.
fn function_rows(function: &Value) -> Vec<[String; 5]> {
    let leads = |target: &str| match shares(&function["aliases"][target]["shares"]) {
        shares if shares.is_empty() => target.to_owned(),
        shares => format!("{target} = {shares}"),
    };
    let row = |(index, trigger): (usize, &Value)| {
        let leads = match trigger {
            Value::Null => {
                let aliases = function["aliases"].as_object();
                let aliases = aliases.into_iter().flat_map(|aliases| aliases.keys());
                let led: Vec<_> = aliases.map(|alias| leads(alias)).collect();
                led.join(", ")
            }
            trigger => leads(&cell(&trigger["target"])),
        };
        let first = |key: &str| match index {
            0 => cell(&function[key]),
            _ => String::new(),
        };
        [
            first("name"),
            place(trigger),
            leads,
            first("connections"),
            first("instances"),
        ]
    };
    triggers(function)
        .into_iter()
        .enumerate()
        .map(row)
        .collect()
}

/// A table with a row for each trigger. If the host knows its `public_url`, the
/// last column has the addresses to give away.
pub(super) fn with_urls<'a, const N: usize>(
    head: [&str; N],
    rows: Vec<[String; N]>,
    triggers: impl Iterator<Item = &'a Value>,
) -> String {
    let urls = triggers.map(|trigger| each(&trigger["urls"]).map(cell).collect());
    let urls: Vec<Vec<_>> = urls.collect();
    if urls.iter().all(Vec::is_empty) {
        return table(head, rows);
    }
    let row = |(row, urls): ([String; N], Vec<String>)| [&row[..], &[urls.join(" ")]].concat();
    let head = (head.map(str::to_owned), vec!["ADDRESS".to_owned()]);
    let rows = rows.into_iter().zip(urls);
    columns(std::iter::once(head).chain(rows).map(row))
}

/// Where a trigger is: its hosts, if it is not on all, with its route.
pub(super) fn place(trigger: &Value) -> String {
    let route = cell(&trigger["route"]);
    let hosts: Vec<_> = each(&trigger["hosts"])
        .map(|host| cell(host) + &route)
        .collect();
    if hosts.is_empty() {
        route
    } else {
        hosts.join(" ")
    }
}

fn version_row(version: &Value, aliases: &Value) -> [String; 8] {
    let weight = |(alias, view): (&String, &Value)| {
        let share = each(&view["shares"]).find(|share| share["version"] == version["digest"])?;
        Some(format!("{alias}={}", cell(&share["weight"])))
    };
    let pointing = aliases.as_object().into_iter().flatten();
    let pointing: Vec<_> = pointing.filter_map(weight).collect();
    [
        short(&version["digest"]),
        cell(&pointing.join(" ").into()),
        ago(&version["deployed_at"]),
        size(&version["bytes"]),
        cell(&version["handler"]),
        cell(&version["connections"]),
        each(&version["instances"]).count().to_string(),
        match version["unloaded"].as_str() {
            Some(why) => format!("does not load: {}", cell(&why.into())),
            None => cell(&version["note"]),
        },
    ]
}

pub(super) fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_without_a_trigger_has_a_row_with_its_aliases() {
        let digest = "0123456789abcdef";
        let share = json!({"version": digest, "weight": 100});
        let function = json!({
            "name": "gate",
            "triggers": [],
            "connections": 0,
            "instances": 1,
            "aliases": {"live": {"shares": [share]}, "next": {"shares": []}},
        });
        let rows = function_rows(&function);
        assert_eq!(rows.len(), 1);
        let [name, route, leads, ..] = &rows[0];
        assert_eq!((name.as_str(), route.as_str()), ("gate", "-"));
        assert!(leads.starts_with("live = 0123"), "{leads}");
        assert!(leads.ends_with(", next"), "{leads}");
        assert_eq!(triggers(&function).len(), rows.len(), "one address each");
    }
}
