//! Reads firewalls and lists from the text of a configuration.
//!
//! ```toml
//! [[list]]
//! name = "blocked"
//! type = "networks"
//! file = "blocked.txt"
//!
//! [[firewall]]
//! name = "edge"
//!
//! [[firewall.rule]]
//! name = "strangers stay out of the office"
//! criteria = [
//!     "if uri starts_with /office",
//!     "and remote_addr is_not_equal 192.0.2.0/24",
//!     "or remote_addr is_in_list blocked",
//! ]
//! behaviors = ["log", { deny = { status_code = 404 } }]
//! ```
//!
//! Every error has the name of its rule, its line, and a hint.

mod behaviors;
mod criteria;
mod reader;

use std::path::PathBuf;

use http::HeaderName;
use openline_core::config::ConfigError;
use toml::de::{DeTable, DeValue};

use self::behaviors::BehaviorsReader;
use self::criteria::CriteriaReader;
use self::reader::{Node, Reader};
use crate::behavior::Behavior;
use crate::criteria::Expression;
use crate::limits::{DESCRIPTION_BYTES_MAX, FIREWALLS_MAX, LISTS_MAX, NAME_BYTES_MAX, RULES_MAX};
use crate::list::{List, ListKind};
use crate::rules::{Firewall, ListSource, ListSpec, Rule, Rules};

/// The longest path of a file, in bytes: Linux's.
const PATH_BYTES_MAX: usize = 4096;

/// Entries of a list that is written in the configuration; more belong in a
/// file.
const ITEMS_MAX: usize = 1_024;

/// Whether a text may have other tables than firewalls and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The text is a host's configuration: others read the rest.
    Ignore,
    /// The text is a file of rules.
    Refuse,
}

impl Rules {
    /// Reads all `[[firewall]]` and `[[list]]` tables of a text. It opens no
    /// files of lists.
    ///
    /// # Errors
    ///
    /// All errors, and never none; at most
    /// [`ERRORS_MAX`](crate::limits::ERRORS_MAX).
    pub fn parse(text: &str, others: Others) -> Result<Self, Vec<ConfigError>> {
        let table = DeTable::parse(text).map_err(|error| {
            let message = error.message().trim().to_owned();
            let hint = "the file is TOML: an argument with `\\` or `\"` stands in single quotes";
            vec![ConfigError::at(text, error.span(), message, hint.into())]
        })?;
        let mut parser = Parser {
            reader: Reader::new(text),
            rules: Self::default(),
            patterns: 0,
            limits: 0,
        };
        parser.file(table.get_ref(), others);
        if parser.reader.errors.is_empty() {
            Ok(parser.rules)
        } else {
            Err(parser.reader.errors)
        }
    }
}

struct Parser<'a> {
    reader: Reader<'a>,
    rules: Rules,
    /// Expressions and globs so far.
    patterns: usize,
    /// Rate limits so far.
    limits: usize,
}

impl Parser<'_> {
    fn file(&mut self, file: &DeTable<'_>, others: Others) {
        if others == Others::Refuse {
            self.reader.keys(file, &["firewall", "list"]);
        }
        // Rules name lists, wherever these are written.
        let lists = file
            .get("list")
            .map(|node| self.tables(node, "[[list]]", LISTS_MAX));
        for node in lists.unwrap_or_default() {
            if let Some(list) = self.list(node) {
                self.rules.lists.push(list);
            }
        }
        let firewalls = file.get("firewall");
        let firewalls = firewalls.map(|node| self.tables(node, "[[firewall]]", FIREWALLS_MAX));
        for node in firewalls.unwrap_or_default() {
            if let Some(firewall) = self.firewall(node) {
                self.rules.firewalls.push(firewall);
            }
        }
    }

    /// An array of at most so many tables.
    fn tables<'t, 'i>(&mut self, node: Node<'t, 'i>, what: &str, most: usize) -> Vec<Node<'t, 'i>> {
        let items = match node.get_ref() {
            // `[firewall]` instead of `[[firewall]]`.
            DeValue::Table(_) => {
                let message = format!("{what} stands in double brackets");
                self.reader
                    .error(node.span(), &message, "there may be several");
                &[]
            }
            _ => self.reader.array(node, what).unwrap_or_default(),
        };
        if let Some(past) = items.get(most) {
            let message = format!("there are more than {most} {what} tables");
            let hint = "a rule may have many criteria, and a list many entries";
            self.reader.error(past.span(), &message, hint);
        }
        items.iter().take(most).collect()
    }

    /// The name of a firewall, a rule or a list.
    fn name<'t>(
        &mut self,
        table: &'t DeTable<'_>,
        node: Node<'_, '_>,
        of: &str,
    ) -> Option<&'t str> {
        let Some(value) = table.get("name") else {
            let message = format!("{of} has no `name`");
            self.reader.error(
                node.span(),
                &message,
                "names are part of logs and of errors",
            );
            return None;
        };
        let name = self.reader.text(value, "`name`", NAME_BYTES_MAX)?;
        if name.trim().is_empty() || name != name.trim() || name.chars().any(char::is_control) {
            let message = format!(
                "{} is not the name of {of}",
                value
                    .get_ref()
                    .as_str()
                    .map_or_else(String::new, |it| format!("{it:?}"))
            );
            let hint = "a name has letters, and no space around it";
            self.reader.error(value.span(), &message, hint);
            return None;
        }
        Some(name)
    }

    fn twice(&mut self, table: &DeTable<'_>, of: &str, name: &str) {
        let span = table.get("name").map_or(0..0, toml::Spanned::span);
        let message = format!("two {of} are named `{name}`");
        self.reader.error(span, &message, "rename one of them");
    }

    fn flag(&mut self, table: &DeTable<'_>, key: &str, default: bool) -> bool {
        let value = table.get(key);
        let value = value.and_then(|node| self.reader.boolean(node, &format!("`{key}`")));
        value.unwrap_or(default)
    }

    fn list(&mut self, node: Node<'_, '_>) -> Option<ListSpec> {
        self.reader.about.clear();
        let table = self.reader.table(node, "[[list]]")?;
        let name = self.name(table, node, "a list")?;
        self.reader.about = format!("list `{name}`");
        self.reader.keys(table, &["name", "type", "file", "items"]);
        if self.rules.lists.iter().any(|list| *list.name == *name) {
            self.twice(table, "lists", name);
        }
        let kind = self.kind(table, node)?;
        let source = match (table.get("file"), table.get("items")) {
            (Some(file), None) => {
                let path = self.reader.text(file, "`file`", PATH_BYTES_MAX)?;
                ListSource::File(PathBuf::from(path))
            }
            (None, Some(items)) => ListSource::Inline(self.items(items, kind)?.into()),
            _ => {
                let message = "a list has either a `file` or `items`";
                let hint = "as in `file = \"blocked.txt\"` or `items = [\"192.0.2.0/24\"]`";
                self.reader.error(node.span(), message, hint);
                return None;
            }
        };
        Some(ListSpec {
            name: name.into(),
            kind,
            source,
        })
    }

    fn kind(&mut self, table: &DeTable<'_>, node: Node<'_, '_>) -> Option<ListKind> {
        let value = table.get("type");
        let text = value.and_then(|value| self.reader.text(value, "`type`", NAME_BYTES_MAX));
        match text {
            Some("networks") => Some(ListKind::Networks),
            Some("texts") => Some(ListKind::Texts),
            _ => {
                let span = value.map_or(node.span(), toml::Spanned::span);
                let message = match text {
                    Some(other) => format!("`{other}` is not the type of a list"),
                    None => "the list has no `type`".into(),
                };
                self.reader
                    .error(span, &message, "use `networks` or `texts`");
                None
            }
        }
    }

    fn items(&mut self, node: Node<'_, '_>, kind: ListKind) -> Option<List> {
        let items = self.reader.array(node, "`items`")?;
        if let Some(past) = items.get(ITEMS_MAX) {
            let message = format!("`items` has more than {ITEMS_MAX} entries");
            self.reader
                .error(past.span(), &message, "write them to a `file`, one a line");
            return None;
        }
        let mut all = String::new();
        for item in items {
            let text = self
                .reader
                .text(item, "an entry", crate::limits::LIST_LINE_BYTES_MAX)?;
            // Each entry alone, so that an error has its place.
            let single = List::read(kind, text.as_bytes());
            if let Err(error) = single {
                self.reader.error(item.span(), &error.message, &error.hint);
            } else if text.contains('\n') {
                let hint = "write one entry in each pair of quotes";
                self.reader
                    .error(item.span(), "an entry has several lines", hint);
            }
            all.push_str(text);
            all.push('\n');
        }
        // Errors of entries are reported above.
        List::read(kind, all.as_bytes()).ok()
    }

    fn firewall(&mut self, node: Node<'_, '_>) -> Option<Firewall> {
        self.reader.about.clear();
        let table = self.reader.table(node, "[[firewall]]")?;
        let name = self.name(table, node, "a firewall")?;
        let about = format!("firewall `{name}`");
        self.reader.about.clone_from(&about);
        let keys = ["name", "description", "active", "debug_rules", "rule"];
        self.reader.keys(table, &keys);
        if self.rules.firewalls.iter().any(|it| *it.name == *name) {
            self.twice(table, "firewalls", name);
        }
        self.description(table);
        let (is_active, debug_rules) = (
            self.flag(table, "active", true),
            self.flag(table, "debug_rules", false),
        );
        let nodes = table.get("rule");
        let nodes = nodes.map(|node| self.tables(node, "[[firewall.rule]]", RULES_MAX));
        let mut rules: Vec<Rule> = Vec::new();
        for node in nodes.unwrap_or_default() {
            self.reader.about.clone_from(&about);
            if let Some(rule) = self.rule(node, &about, &rules) {
                rules.push(rule);
            }
        }
        let mut headers: Vec<HeaderName> = Vec::new();
        for behavior in rules.iter().flat_map(|rule| &rule.behaviors) {
            match behavior {
                Behavior::SetHeader(name, _) if !headers.contains(name) => {
                    headers.push(name.clone());
                }
                _ => {}
            }
        }
        Some(Firewall {
            name: name.into(),
            is_active,
            debug_rules,
            rules,
            headers,
        })
    }

    fn description(&mut self, table: &DeTable<'_>) {
        if let Some(value) = table.get("description") {
            self.reader
                .text(value, "`description`", DESCRIPTION_BYTES_MAX);
        }
    }

    fn rule(&mut self, node: Node<'_, '_>, about: &str, before: &[Rule]) -> Option<Rule> {
        let table = self.reader.table(node, "[[firewall.rule]]")?;
        let name = self.name(table, node, "a rule")?;
        self.reader.about = format!("rule `{name}` of {about}");
        let keys = [
            "name",
            "description",
            "active",
            "criteria",
            "behaviors",
            "behaviours",
        ];
        self.reader.keys(table, &keys);
        if before.iter().any(|rule| *rule.name == *name) {
            self.twice(table, "rules", name);
        }
        self.description(table);
        let is_active = self.flag(table, "active", true);
        let criteria = match table.get("criteria") {
            None => Some(Expression::default()),
            Some(node) => {
                let mut reader = CriteriaReader {
                    reader: &mut self.reader,
                    lists: &self.rules.lists,
                    count: 0,
                    patterns: &mut self.patterns,
                };
                reader.expression(node)
            }
        };
        let behaviors = match (table.get("behaviors"), table.get("behaviours")) {
            (Some(node), None) | (None, Some(node)) => {
                let mut reader = BehaviorsReader {
                    reader: &mut self.reader,
                    limits: &mut self.limits,
                };
                reader.behaviors(node)
            }
            _ => {
                let message = "a rule has `behaviors`, once";
                self.reader
                    .error(node.span(), message, "as in `behaviors = [\"deny\"]`");
                None
            }
        };
        let (criteria, behaviors) = (criteria?, behaviors?);
        let is_claim = criteria.criteria().iter().any(|it| it.variable.is_claim());
        Some(Rule {
            name: name.into(),
            is_active,
            needs_claims: is_claim || behaviors.iter().any(Behavior::needs_claims),
            criteria,
            behaviors,
        })
    }
}
