//! The environment variables of a function: values, and the places of what looks
//! like a secret, which is not copied from one file into another.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use openline_core::authentication::SecretSource;
use openline_core::environment::EnvironmentTable;

use super::Wrong;
use super::values::{Document, Table};
use super::write::quoted;
use super::yaml::{Entry, Node, Value};

/// Words in the names of secrets.
const SECRET_WORDS: [&str; 9] = [
    "KEY",
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PWD",
    "PASS",
    "CREDENTIAL",
    "CREDENTIALS",
];

/// Where the value of a variable comes from.
#[derive(Debug)]
enum Meant {
    Value(String),
    /// A variable of the host's environment.
    Variable(String),
}

/// Reads `environmentVariables`.
pub(super) fn read(
    document: &mut Document<'_>,
    node: &Node,
    about: &str,
) -> Result<EnvironmentTable, Wrong> {
    let (mut values, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for entry in Table::of(node, "environmentVariables")?.rest() {
        let name = entry.key.clone();
        match meant(document, entry) {
            Ok(Meant::Value(value)) => _ = values.insert(name, value),
            Ok(Meant::Variable(from)) => {
                let text = format!(
                    "`{name}` of {about} is a secret here: give it to the host in the variable {from}"
                );
                document.differs(entry.line, text);
                secrets.insert(name, SecretSource::Environment(from));
            }
            Err(wrong) => {
                let text = format!("`{name}` of {about}: {}", wrong.what);
                document.left_out(wrong.line, text);
            }
        }
    }
    // Each error leaves out one name, or all where it is about all.
    loop {
        let (name, error) = match EnvironmentTable::new(values.clone(), secrets.clone()) {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        let (what, line) = match &name {
            Some(name) => (format!("`{name}`"), line_of(node, name)),
            None => ("`environmentVariables`".into(), node.line),
        };
        document.left_out(line, format!("{what} of {about}: {error}"));
        match name {
            Some(name) => {
                values.remove(&name);
                secrets.remove(&name);
            }
            None => return Ok(EnvironmentTable::default()),
        }
    }
}

fn line_of(node: &Node, name: &str) -> usize {
    let Value::Map(entries) = &node.value else {
        return node.line;
    };
    let found = entries.iter().find(|entry| entry.key == name);
    found.map_or(node.line, |entry| entry.line)
}

/// What a variable is to have.
fn meant(document: &Document<'_>, entry: &Entry) -> Result<Meant, Wrong> {
    let written = match &entry.node.value {
        Value::Nothing => return Ok(Meant::Value(String::new())),
        Value::Text(text) => text.trim(),
        Value::List(_) | Value::Map(_) => "",
    };
    if let Some(name) = variable(written) {
        return Ok(Meant::Variable(name));
    }
    let value = document.text(&entry.node, &entry.key)?;
    let name = &entry.key;
    let place = SecretSource::parse(&format!("env:{name}"));
    if !value.is_empty() && is_secret(name) && place.is_ok() {
        return Ok(Meant::Variable(name.clone()));
    }
    Ok(Meant::Value(value))
}

/// The variable that `${env('NAME')}` stands for, which `s` takes from where it
/// runs.
fn variable(text: &str) -> Option<String> {
    let expression = text.strip_prefix("${")?.strip_suffix('}')?.trim();
    let argument = expression.strip_prefix("env(")?.strip_suffix(')')?;
    let name = argument.trim().trim_matches(['\'', '"']);
    match SecretSource::parse(&format!("env:{name}")) {
        Ok(SecretSource::Environment(name)) => Some(name),
        _ => None,
    }
}

/// Whether a name is that of a secret, as far as it says.
fn is_secret(name: &str) -> bool {
    let mut words = name.split('_');
    words.any(|word| SECRET_WORDS.iter().any(|it| it.eq_ignore_ascii_case(word)))
}

/// Writes both tables.
pub(super) fn write(text: &mut String, table: &EnvironmentTable) {
    if !table.values.is_empty() {
        text.push_str("\n[function.environment]\n");
        for (name, value) in &table.values {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
    }
    if !table.secrets.is_empty() {
        text.push_str("\n[function.secrets]\n");
        for (name, place) in &table.secrets {
            let _ = writeln!(text, "{name} = {}", quoted(&place.to_string()));
        }
    }
}
