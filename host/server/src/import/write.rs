//! Functions as a configuration of the host. Each table says which line of the
//! file it comes from.

use std::fmt::Write as _;

use openline_core::name::{AliasName, FunctionName, TriggerName};

use super::authentication::{Auth, Jwt, Parameter};
use super::function::{Function, HttpTrigger};
use super::values::Document;
use super::{Wrong, environment};

/// A trigger, as it is to be written.
struct Written<'a> {
    line: usize,
    name: Option<&'a str>,
    host: Option<&'a str>,
    path: String,
    methods: &'a [String],
    internet: bool,
    qualifier: Option<&'a str>,
    auth: &'a Auth,
}

/// Writes all functions.
pub(super) fn write(document: &mut Document<'_>, functions: &[Function]) -> Result<String, Wrong> {
    let mut text =
        "# Functions have no component here: `openline deploy NAME FILE` gives them one.\n"
            .to_owned();
    let without_domain = functions
        .iter()
        .filter(|it| !has_domain(it) && !it.triggers.is_empty())
        .count();
    let mut is_written = false;
    for function in functions {
        FunctionName::new(&function.name).map_err(|error| {
            let hint = "write a shorter name, of these letters";
            Wrong::new(function.line, error.to_string(), hint)
        })?;
        let triggers = triggers(document, function, without_domain > 1);
        if triggers.is_empty() {
            let what = format!(
                "`{}` has no HTTP trigger and no custom domain",
                function.name
            );
            document.left_out(function.line, format!("{what}: no connection reaches it"));
            continue;
        }
        function_table(&mut text, function);
        for trigger in &triggers {
            trigger_table(document, &mut text, trigger);
        }
        settings(&mut text, function);
        environment::write(&mut text, &function.environment);
        is_written = true;
    }
    match functions.first() {
        Some(first) if !is_written => {
            let what = "no function of the file has an HTTP trigger or a custom domain";
            let hint = "connections come by a trigger with `triggerType: http`";
            Err(Wrong::new(first.line, what, hint))
        }
        _ => Ok(text),
    }
}

/// Whether a custom domain leads to it.
fn has_domain(function: &Function) -> bool {
    function.routes.iter().any(|route| route.domain != "auto")
}

/// Where a function is reached: on its domains, or else on a path. The address
/// that Function Compute gives a trigger is the trigger's alone; here several
/// share one.
fn triggers<'a>(
    document: &mut Document<'_>,
    function: &'a Function,
    is_shared: bool,
) -> Vec<Written<'a>> {
    let mut written = Vec::new();
    for route in function.routes.iter().filter(|it| it.domain != "auto") {
        let same = |it: &&HttpTrigger| it.qualifier == route.qualifier;
        let trigger = function.triggers.iter().find(same);
        let trigger = trigger.or_else(|| function.triggers.first());
        let methods = match (route.methods.is_empty(), trigger) {
            (true, Some(trigger)) => &trigger.methods,
            _ => &route.methods,
        };
        let own = trigger.map_or(&Auth::Anonymous, |trigger| &trigger.auth);
        for path in paths(&route.path) {
            written.push(Written {
                line: route.line,
                name: None,
                host: Some(&route.domain),
                path,
                methods,
                internet: trigger.is_none_or(|trigger| trigger.internet),
                qualifier: route.qualifier.as_deref(),
                auth: route.auth.as_ref().unwrap_or(own),
            });
        }
    }
    let is_reached = !written.is_empty();
    for (at, trigger) in function.triggers.iter().enumerate() {
        if is_reached {
            let text = format!(
                "the address of the trigger `{}` of `{}`: the function is reached by its domain",
                trigger.name, function.name
            );
            document.left_out(trigger.line, text);
            continue;
        }
        let mut base = String::new();
        if is_shared {
            base = format!("/{}", function.name);
        }
        if at > 0 {
            base = format!("{base}/{}", trigger.name);
        }
        if !base.is_empty() {
            let text = format!(
                "the address of the trigger `{}` of `{}`: it is at `{base}` here, because one host has all of them",
                trigger.name, function.name
            );
            document.differs(trigger.line, text);
        }
        for path in paths(&format!("{base}/*")) {
            let is_rest = path.ends_with("{*path}");
            written.push(Written {
                line: trigger.line,
                name: is_rest.then_some(&*trigger.name),
                host: None,
                path,
                methods: &trigger.methods,
                internet: trigger.internet,
                qualifier: trigger.qualifier.as_deref(),
                auth: &trigger.auth,
            });
        }
    }
    written
}

/// The routes for a path: `/a/*` stands for `/a/` and all below it.
fn paths(path: &str) -> Vec<String> {
    match path.strip_suffix('*') {
        Some(folder) if folder.ends_with('/') => {
            vec![folder.to_owned(), format!("{folder}{{*path}}")]
        }
        _ => vec![path.to_owned()],
    }
}

/// A text as TOML's basic string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn all(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn function_table(text: &mut String, function: &Function) {
    let _ = writeln!(text, "\n[[function]]  # line {}", function.line);
    if let Some(description) = &function.description {
        for each in description.lines() {
            let shown: String = each.chars().filter(|it| !it.is_control()).collect();
            let _ = writeln!(text, "# {shown}");
        }
    }
    let _ = writeln!(text, "name = {}", quoted(&function.name));
}

fn trigger_table(document: &mut Document<'_>, text: &mut String, trigger: &Written<'_>) {
    let _ = writeln!(text, "\n[[function.trigger]]  # line {}", trigger.line);
    if let Some(name) = trigger.name.filter(|name| TriggerName::new(name).is_ok()) {
        let _ = writeln!(text, "name = {}", quoted(name));
    }
    if let Some(host) = trigger.host {
        let _ = writeln!(text, "hosts = [{}]", quoted(host));
    }
    let _ = writeln!(text, "route = {}", quoted(&trigger.path));
    if !trigger.methods.is_empty() {
        let _ = writeln!(text, "methods = {}", all(trigger.methods));
        if !trigger.methods.iter().any(|it| it == "GET") {
            let note = "`methods` has no GET, by which every WebSocket begins";
            document.differs(trigger.line, note);
        }
    }
    if let Some(qualifier) = trigger.qualifier {
        match AliasName::new(qualifier) {
            Ok(_) => {
                let _ = writeln!(text, "alias = {}", quoted(qualifier));
            }
            Err(_) => {
                let note = format!(
                    "`qualifier: {qualifier}`: an alias cannot have this name; the trigger leads to the function's own"
                );
                document.differs(trigger.line, note);
            }
        }
    }
    if !trigger.internet {
        line(text, "internet = false");
    }
    match trigger.auth {
        Auth::Anonymous => line(text, "auth = \"none\""),
        Auth::Function => {
            line(text, "auth = \"signature\"");
            line(text, "\n[function.trigger.signature]");
            line(text, "accept = [\"openline\", \"fc\", \"acs3\"]");
            line(text, "\n[[function.trigger.signature.keys]]");
            line(text, "id = \"access-key-id\"");
            line(text, "secret = \"env:FC_ACCESS_KEY_SECRET\"");
        }
        Auth::Jwt(jwt) => jwt_table(text, jwt),
    }
}

fn jwt_table(text: &mut String, jwt: &Jwt) {
    line(text, "auth = \"jwt\"");
    line(text, "\n[function.trigger.jwt]");
    line(text, "# Tokens need `exp` here, unless `required = []`.");
    line(text, "keys = [");
    for key in &jwt.keys {
        let parameters = key.iter().map(|(name, value)| {
            let value = match value {
                Parameter::Text(value) => quoted(value),
                Parameter::List(values) => all(values),
            };
            format!("{} = {value}", quoted(name))
        });
        let parameters: Vec<_> = parameters.collect();
        let _ = writeln!(text, "  {{ {} }},", parameters.join(", "));
    }
    line(text, "]");
    if let Some(lookup) = &jwt.lookup {
        let _ = writeln!(text, "lookup = {}", quoted(lookup));
    }
    if !jwt.claims.is_empty() {
        let _ = writeln!(text, "claims = {}", quoted(&jwt.claims));
    }
    for (name, paths) in [("unchecked", &jwt.unchecked), ("checked", &jwt.checked)] {
        if !paths.is_empty() {
            let _ = writeln!(text, "{name} = {}", all(paths));
        }
    }
}

fn settings(text: &mut String, function: &Function) {
    let instance = [
        ("affinity", function.affinity.as_deref().map(quoted)),
        ("concurrency", function.concurrency.map(|it| it.to_string())),
        ("instances", function.instances.map(|it| it.to_string())),
        (
            "memory_bytes",
            function
                .memory_mebibytes
                .map(|it| quoted(&format!("{it} MiB"))),
        ),
    ];
    let limit = [(
        "connection_time",
        function
            .connection_seconds
            .map(|it| quoted(&format!("{it} s"))),
    )];
    for (table, keys) in [("instance", &instance[..]), ("limit", &limit)] {
        if keys.iter().all(|(_, value)| value.is_none()) {
            continue;
        }
        let _ = writeln!(text, "\n[function.{table}]  # line {}", function.line);
        for (key, value) in keys {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
    }
}
