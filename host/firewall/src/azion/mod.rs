//! Azion's firewalls as ours: for `openline import azion FILE`.
//!
//! [`import`] takes the JSON of `azion.config`, of the CLI's manifest or of the
//! API, and gives the text of a configuration with what has no counterpart. A
//! rule is taken whole or left out: without one of its criteria it would meet
//! other requests. Each rule that is written has been read again, and so has
//! the whole text: a note says if it exceeds a bound.

mod read;
mod write;

use std::fmt;

use openline_core::name::FunctionName;
use openline_hint::Hinted;
use serde_json::Value;

use self::read::{Behavior, Criterion, Firewall, List, Rule};
use self::write::Writer;
use crate::limits::{DESCRIPTION_BYTES_MAX, LIST_LINE_BYTES_MAX, NAME_BYTES_MAX};
use crate::list::{self, NetworkError};
use crate::rules::Rules;

/// Entries that a list may have in the configuration itself; those of a longer
/// one go to a file.
const INLINE_MAX: usize = 32;

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The text of the configuration.
    pub text: String,
    /// Files of lists: names and contents.
    pub files: Vec<(String, String)>,
    /// What has no counterpart, or another meaning.
    pub notes: Vec<Note>,
}

/// Something that is not the same afterwards. `Display` writes it on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about, as "rule `a` of firewall `b`".
    pub about: String,
    /// Whether it is missing from the configuration.
    pub left_out: bool,
    /// Why, or what is different.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.left_out { "left out: " } else { "" };
        write!(f, "{sign}{}: {}", self.about, self.text)
    }
}

/// Reads a document of Azion's.
///
/// # Errors
///
/// When it is not JSON, or has no firewall.
pub fn import(text: &str) -> Result<Imported, Hinted> {
    let document: Value = serde_json::from_str(text).map_err(|error| {
        let hint =
            "export `azion.config` as JSON, or take `.edge/manifest.json` or an answer of the API";
        Hinted::new(format!("the file is not JSON: {error}"), hint)
    })?;
    let firewalls = read::firewalls(&document);
    if firewalls.is_empty() {
        let hint = "a firewall is below `firewall`, or has `rules` or `rules_engine`";
        return Err(Hinted::new("the file has no firewall", hint));
    }
    let mut import = Import {
        imported: Imported::default(),
        lists: Vec::new(),
        writer: Writer::default(),
        delays: false,
        compares: false,
    };
    for list in read::lists(&document) {
        import.list(list);
    }
    let mut names = Vec::new();
    for firewall in firewalls {
        import.firewall(firewall, &mut names);
    }
    Ok(import.finish())
}

struct Import {
    imported: Imported,
    /// Ids and names of lists as Azion has them, with our names.
    lists: Vec<(String, String, String)>,
    writer: Writer,
    /// Whether a burst was delayed.
    delays: bool,
    /// Whether keys of the query or cookies are compared.
    compares: bool,
}

impl Import {
    fn note(&mut self, about: &str, left_out: bool, text: impl Into<String>) {
        self.imported.notes.push(Note {
            about: about.into(),
            left_out,
            text: text.into(),
        });
    }

    fn list(&mut self, list: List) {
        let given = if list.name.is_empty() {
            format!("list-{}", list.id)
        } else {
            list.name
        };
        let taken: Vec<_> = self.lists.iter().map(|(.., name)| name.clone()).collect();
        let name = free_name(&given, &taken);
        let about = format!("list `{name}`");
        if list.kind != "ip_cidr" {
            let text = format!(
                "its type is `{}`; only addresses have a counterpart",
                list.kind
            );
            self.note(&about, true, text);
            return;
        }
        let mut entries = Vec::new();
        for item in &list.items {
            let item = item.trim();
            match list::network(item) {
                Ok(_) => entries.push(item.to_owned()),
                Err(NetworkError::Bits(network)) => {
                    self.note(&about, false, format!("`{item}` is written as `{network}`"));
                    entries.push(network.to_string());
                }
                Err(wrong) => {
                    let item: String = item.chars().take(LIST_LINE_BYTES_MAX).collect();
                    self.note(
                        &about,
                        true,
                        format!("the entry `{item}` {}", wrong.message()),
                    );
                }
            }
        }
        if entries.len() <= INLINE_MAX {
            self.writer.list(&name, &entries);
        } else {
            let file = format!("{}.txt", file_stem(&name));
            self.writer.list_in_file(&name, &file);
            self.imported.files.push((file, entries.join("\n") + "\n"));
        }
        self.lists.push((list.id, given, name));
    }

    /// Our name of a list that a criterion names. One that is not in the
    /// document becomes a file to fill.
    fn list_named(&mut self, argument: &str) -> String {
        let mut known = self.lists.iter();
        if let Some((.., ours)) = known.find(|(id, name, _)| id == argument || name == argument) {
            return ours.clone();
        }
        let taken: Vec<_> = self.lists.iter().map(|(.., name)| name.clone()).collect();
        let name = free_name(&format!("list-{argument}"), &taken);
        let file = format!("{}.txt", file_stem(&name));
        self.writer.list_in_file(&name, &file);
        let text =
            format!("the document has no list `{argument}`: fill `{file}` with its networks");
        self.note(&format!("list `{name}`"), false, text);
        let content = "# One network on a line.\n".to_owned();
        self.imported.files.push((file, content));
        self.lists
            .push((argument.into(), argument.into(), name.clone()));
        name
    }

    fn firewall(&mut self, firewall: Firewall, names: &mut Vec<String>) {
        let name = free_name(&firewall.name, names);
        names.push(name.clone());
        self.writer
            .firewall(&name, firewall.active, firewall.debug_rules);
        let mut rules = Vec::new();
        for rule in firewall.rules {
            let given = free_name(&rule.name, &rules);
            let about = format!("rule `{given}` of firewall `{name}`");
            match self.rule(&given, rule, &about) {
                Ok(text) => {
                    self.writer.text.push_str(&text);
                    rules.push(given);
                }
                Err(why) => {
                    self.writer.comment(&format!("Left out: {about}: {why}"));
                    self.note(&about, true, why);
                }
            }
        }
    }

    /// The text of a rule, or why it has no counterpart.
    fn rule(&mut self, name: &str, rule: Rule, about: &str) -> Result<String, String> {
        let mut groups = Vec::new();
        for (index, group) in rule.criteria.iter().enumerate() {
            let mut criteria = Vec::new();
            for (place, criterion) in group.iter().enumerate() {
                let conditional = conditional(criterion, index, place);
                criteria.push(self.criterion(criterion, conditional)?);
            }
            groups.push(criteria);
        }
        let mut behaviors = Vec::new();
        let mut ended = None;
        for behavior in &rule.behaviors {
            if let Some(last) = &ended {
                let text = format!(
                    "`{}` would run after `{last}`, which ends the rule",
                    behavior.name
                );
                self.note(about, false, text);
                continue;
            }
            match self.behavior(behavior, about) {
                Ok(text) => behaviors.push(text),
                Err(why) => self.note(about, false, format!("without `{}`: {why}", behavior.name)),
            }
            let is_final = ["deny", "drop", "set_custom_response"].contains(&&*behavior.name);
            ended = is_final.then(|| behavior.name.clone());
        }
        if behaviors.is_empty() {
            return Err("none of its behaviours has a counterpart".into());
        }
        let mut description = rule.description.trim().to_owned();
        while description.len() > DESCRIPTION_BYTES_MAX {
            description.pop();
        }
        let text = write::rule(name, &description, rule.active, &groups, &behaviors);
        let lists = self.lists.iter().map(|(.., name)| &**name);
        let whole = write::alone(lists, &text);
        match Rules::parse(&whole, crate::Others::Refuse) {
            Ok(_) => Ok(text),
            Err(errors) => {
                let messages = errors.iter().map(|error| {
                    let message = &*error.message;
                    message.split_once(": ").map_or(message, |(_, what)| what)
                });
                Err(messages.collect::<Vec<_>>().join("; "))
            }
        }
    }

    fn criterion(&mut self, criterion: &Criterion, conditional: &str) -> Result<String, String> {
        let variable = &*criterion.variable;
        let mut operator = &*criterion.operator;
        let mut argument = criterion.argument.clone();
        if let Some(why) = without_counterpart(variable) {
            return Err(format!("`{variable}`: {why}"));
        }
        if variable == "network" {
            // The console compares networks by `matches`, too.
            operator = match operator {
                "matches" => "is_in_list",
                "does_not_match" => "is_not_in_list",
                other => other,
            };
        }
        let bare = variable.trim_start_matches("${");
        let is_named = bare.starts_with("arg_") || bare.starts_with("cookie_");
        self.compares |= is_named && !operator.ends_with("exist") && operator != "exists";
        match operator {
            "is_in_list" | "is_not_in_list" => {
                let named = argument.unwrap_or_default();
                argument = Some(self.list_named(&named));
            }
            "exists" | "does_not_exist" => argument = None,
            _ => {}
        }
        Ok(write::criterion(
            conditional,
            variable,
            operator,
            argument.as_deref(),
        ))
    }

    fn behavior(&mut self, behavior: &Behavior, about: &str) -> Result<String, String> {
        match &*behavior.name {
            "deny" => Ok("\"deny\"".into()),
            "drop" => Ok("\"drop\"".into()),
            "tag_event" => {
                self.note(
                    about,
                    false,
                    "`tag_event` became `log`, which writes the rule's name",
                );
                Ok("\"log\"".into())
            }
            "set_rate_limit" => self.rate_limit(behavior),
            "set_custom_response" => {
                let get = |name| behavior.argument(name).unwrap_or_default();
                let (status, kind) = (get("status_code"), get("content_type"));
                let status: u16 = status
                    .parse()
                    .map_err(|_| format!("`{status}` is no status"))?;
                Ok(write::response(status, &kind, &get("content_body")))
            }
            "run_function" => {
                let given = behavior.single().unwrap_or_default();
                let name = function_name(&given).ok_or("it names no function")?;
                let text = format!(
                    "the function `{given}` is to be deployed as `{name}`, as a component that exports `firewall`"
                );
                self.note(about, false, text);
                Ok(format!("{{ run_function = {} }}", write::quoted(&name)))
            }
            "set_waf_rule_set" | "set_waf_ruleset" | "set_waf" => {
                Err("there is no web application firewall here".into())
            }
            _ => Err("it is not known".into()),
        }
    }

    fn rate_limit(&mut self, behavior: &Behavior) -> Result<String, String> {
        let get = |name| behavior.argument(name);
        let kind = get("type").unwrap_or_else(|| "second".into());
        if kind != "second" && kind != "minute" {
            return Err(format!("a rate for each {kind} has no counterpart"));
        }
        let by = get("limit_by").unwrap_or_else(|| "client_ip".into());
        let by = match &*by {
            "clientIp" | "client_ip" => "client_ip",
            "global" => "global",
            other => return Err(format!("a rate by `{other}` has no counterpart")),
        };
        let number = |name: &str, text: String| {
            let number = text.trim().parse::<u64>();
            number.map_err(|_| format!("`{name}` is `{text}`, not a number"))
        };
        let average = number(
            "average_rate_limit",
            get("average_rate_limit").unwrap_or_default(),
        )?;
        let burst = match get("maximum_burst_size") {
            // Azion takes a burst for seconds only.
            Some(text) if kind == "second" && text != "null" && !text.is_empty() => {
                Some(number("maximum_burst_size", text)?.max(1))
            }
            _ => None,
        };
        self.delays |= burst.is_some();
        Ok(write::rate_limit(&kind, by, average, burst))
    }

    fn finish(mut self) -> Imported {
        if self.delays {
            let text = "Azion delays the requests of a burst; here as many pass at once, and those past it are refused with 429";
            self.note("set_rate_limit", false, text);
        }
        if self.compares {
            let text = "Azion compares the first value of a key of the query or a cookie that occurs several times; here the request is refused with 400";
            self.note("`arg_…` and `cookie_…`", false, text);
        }
        let notes = self.imported.notes.iter().map(ToString::to_string);
        let text = std::mem::take(&mut self.writer).finish(&notes.collect::<Vec<_>>());
        // Each rule is right by itself, so what is wrong is a number.
        if let Err(errors) = Rules::parse(&text, crate::Others::Refuse) {
            for error in errors {
                let line = error.line;
                self.note(
                    "the whole text",
                    false,
                    format!("line {line}: {}", error.message),
                );
            }
        }
        self.imported.text = text;
        self.imported
    }
}

/// How a criterion is joined to those before it. A group that begins with `if`
/// is an alternative.
fn conditional(criterion: &Criterion, group: usize, place: usize) -> &'static str {
    match &*criterion.conditional {
        _ if group == 0 && place == 0 => "if",
        "or" => "or",
        "if" if place == 0 => "or",
        _ => "and",
    }
}

/// Why a variable of Azion's cannot be compared here.
fn without_counterpart(variable: &str) -> Option<&'static str> {
    match variable {
        it if it.starts_with("geoip_") => Some("places of addresses are not known here"),
        "request_body" => Some("bodies are not read before a function is asked"),
        "ssl_client_fingerprint" => {
            Some("fingerprints are SHA-256 here and SHA-1 there: write the rule by hand")
        }
        "ssl_client_cert" | "ssl_client_escaped_cert" | "ssl_client_s_dn_parsed" => {
            Some("compare `ssl_client_s_dn` instead")
        }
        "ssl_client_v_start" | "ssl_client_v_end" | "ssl_client_v_remain" => {
            Some("the host itself checks that a certificate is valid")
        }
        "client_certificate_validation" => Some("set `client_certificates` in [server.tls]"),
        "device_group" | "domain" | "remote_user" | "request" | "server_addr" | "server_port" => {
            Some("there is no such variable here")
        }
        _ => None,
    }
}

/// A name that is valid and not taken.
fn free_name(given: &str, taken: &[String]) -> String {
    let clean: String = given.chars().filter(|it| !it.is_control()).collect();
    let mut name = clean.trim().to_owned();
    while name.len() > NAME_BYTES_MAX - 8 {
        name.pop();
    }
    let name = if name.trim().is_empty() {
        "unnamed"
    } else {
        name.trim()
    };
    let numbered = (2..).map(|number| format!("{name} {number}"));
    let mut all = std::iter::once(name.to_owned()).chain(numbered);
    let free = all.find(|name| !taken.contains(name));
    free.expect("there are more numbers than names")
}

fn file_stem(name: &str) -> String {
    let letter = |it: char| {
        if it.is_ascii_alphanumeric() {
            it.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(letter).collect()
}

/// A function's name for a path, a name or a number of Azion's.
fn function_name(given: &str) -> Option<String> {
    let file = given.rsplit('/').next().unwrap_or(given);
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    let stem = match stem.parse::<u64>() {
        Ok(number) => format!("function-{number}"),
        Err(_) => stem.replace(
            |it: char| !it.is_ascii_alphanumeric() && it != '-' && it != '_',
            "-",
        ),
    };
    FunctionName::new(&stem)
        .ok()
        .map(|name| name.as_str().to_owned())
}
