//! Reads firewalls and network lists from the JSON of Azion's tools.
//!
//! There are several shapes, and all are taken: `azion.config` as JSON, with
//! names like `setRateLimit`; the manifest that the CLI makes of it, with names
//! like `set_rate_limit` below `type` and `attributes`; and the answers of the
//! API, versions 3 and 4. Keys that are missing are left out. The rules are
//! checked once they have been written in our own form.

use serde_json::{Map, Value};

/// A firewall.
#[derive(Debug)]
pub(super) struct Firewall {
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) debug_rules: bool,
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) active: bool,
    /// Groups of criteria.
    pub(super) criteria: Vec<Vec<Criterion>>,
    pub(super) behaviors: Vec<Behavior>,
}

/// A criterion.
#[derive(Debug)]
pub(super) struct Criterion {
    pub(super) conditional: String,
    pub(super) variable: String,
    pub(super) operator: String,
    pub(super) argument: Option<String>,
}

/// A behaviour, its name like `set_rate_limit`.
#[derive(Debug)]
pub(super) struct Behavior {
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// A network list.
#[derive(Debug)]
pub(super) struct List {
    pub(super) id: String,
    pub(super) name: String,
    /// `ip_cidr`, `asn` or `countries`.
    pub(super) kind: String,
    pub(super) items: Vec<String>,
}

/// The value of the first of some keys.
fn get<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    let table = value.as_object()?;
    let found = keys.iter().find_map(|key| table.get(*key));
    found.filter(|value| !value.is_null())
}

fn flag(value: &Value, keys: &[&str], default: bool) -> bool {
    get(value, keys).and_then(Value::as_bool).unwrap_or(default)
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn named(value: &Value, keys: &[&str]) -> String {
    get(value, keys).map(text).unwrap_or_default()
}

fn items<'a>(value: &'a Value, keys: &[&str]) -> &'a [Value] {
    match get(value, keys) {
        Some(Value::Array(items)) => items,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

/// All firewalls of a document.
pub(super) fn firewalls(document: &Value) -> Vec<Firewall> {
    let found = items(document, &["firewall", "firewalls", "edge_firewall"]);
    if !found.is_empty() {
        return found.iter().map(firewall).collect();
    }
    let all = match document {
        Value::Array(all) => &all[..],
        one => match items(one, &["results", "data"]) {
            [] => std::slice::from_ref(one),
            all => all,
        },
    };
    let is_rule = |value: &Value| get(value, &["criteria", "behaviors"]).is_some();
    let (rules, firewalls): (Vec<_>, Vec<_>) = all.iter().partition(|value| is_rule(value));
    let is_firewall =
        |value: &&Value| get(value, &["rules", "rules_engine", "main_settings"]).is_some();
    let mut found: Vec<_> = firewalls
        .into_iter()
        .filter(is_firewall)
        .map(firewall)
        .collect();
    if !rules.is_empty() {
        found.push(Firewall {
            name: "azion".into(),
            active: true,
            debug_rules: false,
            rules: in_order(rules.into_iter()),
        });
    }
    found
}

/// Rules by their `order`, where they have one.
fn in_order<'a>(rules: impl Iterator<Item = &'a Value>) -> Vec<Rule> {
    let order = |value: &Value| get(value, &["order"]).and_then(Value::as_i64);
    let mut rules: Vec<_> = rules.collect();
    rules.sort_by_key(|rule| order(rule).unwrap_or(i64::MAX));
    rules.into_iter().map(rule).collect()
}

fn firewall(value: &Value) -> Firewall {
    let settings = get(value, &["main_settings"]).unwrap_or(value);
    Firewall {
        name: named(settings, &["name"]),
        active: flag(settings, &["active", "is_active"], true),
        debug_rules: flag(settings, &["debugRules", "debug_rules", "debug"], false),
        rules: in_order(items(value, &["rules", "rules_engine", "request_rules"]).iter()),
    }
}

fn rule(value: &Value) -> Rule {
    let groups = match (items(value, &["criteria"]), get(value, &["match"])) {
        ([], Some(pattern)) => vec![vec![Criterion {
            conditional: "if".into(),
            variable: variable(value),
            operator: "matches".into(),
            argument: Some(text(pattern)),
        }]],
        // Groups, or the criteria of the only one.
        (all, _) if all.iter().all(Value::is_array) => {
            let groups = all.iter().filter_map(Value::as_array);
            groups
                .map(|group| group.iter().map(criterion).collect())
                .collect()
        }
        (all, _) => vec![all.iter().map(criterion).collect()],
    };
    let behaviors = match get(value, &["behaviors", "behavior"]) {
        Some(Value::Array(all)) => all.iter().flat_map(behavior).collect(),
        Some(one) => behavior(one),
        None => Vec::new(),
    };
    Rule {
        // A converter of Azion's writes the name as `type`.
        name: named(value, &["name", "type"]),
        description: named(value, &["description"]),
        active: flag(value, &["active", "is_active"], true),
        criteria: groups
            .into_iter()
            .filter(|group: &Vec<_>| !group.is_empty())
            .collect(),
        behaviors,
    }
}

fn variable(value: &Value) -> String {
    let name = named(value, &["variable"]);
    let inner = name.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    inner.unwrap_or(&name).to_owned()
}

fn criterion(value: &Value) -> Criterion {
    Criterion {
        conditional: named(value, &["conditional"]),
        variable: variable(value),
        operator: named(value, &["operator"]),
        argument: get(value, &["argument", "input_value", "inputValue"]).map(text),
    }
}

/// One behaviour of the API and the manifest, or all keys of one of
/// `azion.config`.
fn behavior(value: &Value) -> Vec<Behavior> {
    if get(value, &["type", "name"]).is_some() {
        let keys = ["attributes", "argument", "arguments", "target"];
        return vec![Behavior {
            name: snake(&named(value, &["type", "name"])),
            arguments: get(value, &keys).cloned().unwrap_or_default(),
        }];
    }
    let none = Map::new();
    let all = value.as_object().unwrap_or(&none).iter();
    // `deny: false` is no behaviour.
    let all = all.filter(|(_, arguments)| **arguments != Value::Bool(false));
    let all = all.map(|(name, arguments)| Behavior {
        name: snake(name),
        arguments: arguments.clone(),
    });
    all.collect()
}

/// `setRateLimit` and `set_rate_limit` are one name.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl Behavior {
    /// An argument as text, by its name like `limit_by`.
    pub(super) fn argument(&self, name: &str) -> Option<String> {
        let table = self.arguments.as_object()?;
        let found = table.iter().find(|(key, _)| snake(key) == name);
        found.map(|(_, value)| text(value))
    }

    /// The only argument: a text, a number, or the one named `value`.
    pub(super) fn single(&self) -> Option<String> {
        match &self.arguments {
            Value::String(_) | Value::Number(_) => Some(text(&self.arguments)),
            _ => ["value", "path", "function_id"]
                .iter()
                .find_map(|name| self.argument(name)),
        }
    }
}

/// All network lists of a document.
pub(super) fn lists(document: &Value) -> Vec<List> {
    let all = items(
        document,
        &[
            "networkList",
            "network_list",
            "networkLists",
            "network_lists",
        ],
    );
    let list = |value: &Value| List {
        id: named(value, &["id"]),
        name: named(value, &["name"]),
        kind: named(value, &["type", "listType", "list_type"]),
        items: items(value, &["items", "listContent", "items_values"])
            .iter()
            .map(text)
            .collect(),
    };
    all.iter().map(list).collect()
}
