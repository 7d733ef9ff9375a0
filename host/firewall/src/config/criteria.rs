//! Reads the criteria of a rule.
//!
//! A criterion is a text, `if uri starts_with /admin`, or a table with Azion's
//! keys, `{ conditional, variable, operator, argument }`. The first is joined
//! by `if`, or by nothing; the others by `and`, which may be left out, or `or`.
//! A list among them is a group, which is joined as its first criterion says.

use std::borrow::Cow;
use std::ops::Range;

use ipnet::IpNet;
use openline_core::config::nearest_word;
use openline_core::path;
use toml::de::DeValue;

use super::reader::{Node, Reader};
use crate::criteria::{Criterion, Expression, Matcher, Term};
use crate::limits::{ARGUMENT_BYTES_MAX, CRITERIA_MAX, GROUP_DEPTH_MAX, PATTERNS_MAX};
use crate::list::{self, ListKind};
use crate::operator::{Operator, Relation};
use crate::pattern::{self, PatternError};
use crate::rules::ListSpec;
use crate::variable::{Fixed, Variable};

/// The keys of a criterion that is a table.
const KEYS: [&str; 4] = ["conditional", "variable", "operator", "argument"];

const FORM_HINT: &str = "a criterion is `VARIABLE OPERATOR ARGUMENT`, as in \"uri starts_with /admin\", with `and` or `or` before it";

/// How a criterion is joined to those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conditional {
    If,
    And,
    Or,
}

/// The parts of a criterion, with the place of the whole.
struct Written<'t> {
    conditional: Option<&'t str>,
    variable: &'t str,
    operator: &'t str,
    argument: Option<&'t str>,
    span: Range<usize>,
}

/// Reads criteria, and counts what is bounded.
pub(super) struct CriteriaReader<'r, 'a, 'l> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) lists: &'l [ListSpec],
    /// Criteria of this rule.
    pub(super) count: usize,
    /// Patterns of all rules.
    pub(super) patterns: &'r mut usize,
}

impl CriteriaReader<'_, '_, '_> {
    /// Reads a list of criteria.
    pub(super) fn expression(&mut self, node: Node<'_, '_>) -> Option<Expression> {
        self.group(node, 0, false).map(|(_, expression)| expression)
    }

    fn group(
        &mut self,
        node: Node<'_, '_>,
        depth: usize,
        is_joined: bool,
    ) -> Option<(Conditional, Expression)> {
        let items = self.reader.array(node, "`criteria`")?;
        if items.is_empty() {
            let hint = "leave `criteria` out for a rule that runs for every request";
            self.reader
                .error(node.span(), "there is no criterion", hint);
            return None;
        }
        if depth > GROUP_DEPTH_MAX {
            let message = format!("groups lie in each other more than {GROUP_DEPTH_MAX} deep");
            let hint = "`and` binds tighter than `or` without a group";
            self.reader.error(node.span(), &message, hint);
            return None;
        }
        let mut first = None;
        let mut any: Vec<Vec<Term>> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let is_first = index == 0;
            // The first of a group joins the whole group.
            let is_joined = !is_first || is_joined;
            let Some((conditional, term)) = self.term(item, is_joined, depth) else {
                continue;
            };
            if is_first {
                first = Some(conditional);
            }
            match any.last_mut() {
                Some(all) if !is_first && conditional != Conditional::Or => all.push(term),
                _ => any.push(vec![term]),
            }
        }
        Some((first.unwrap_or(Conditional::And), Expression { any }))
    }

    fn term(
        &mut self,
        node: Node<'_, '_>,
        is_joined: bool,
        depth: usize,
    ) -> Option<(Conditional, Term)> {
        let written = match node.get_ref() {
            DeValue::Array(_) => {
                let (conditional, group) = self.group(node, depth + 1, is_joined)?;
                return Some((conditional, Term::Group(group)));
            }
            DeValue::Table(_) => self.table(node)?,
            _ => self.short(node)?,
        };
        self.count += 1;
        if self.count == CRITERIA_MAX + 1 {
            let message = format!("there are more than {CRITERIA_MAX} criteria");
            let hint = "a list stands for many texts or networks: `is_in_list`";
            self.reader.error(node.span(), &message, hint);
        }
        if self.count > CRITERIA_MAX {
            return None;
        }
        let conditional = self.conditional(&written, is_joined);
        let criterion = self.criterion(&written)?;
        Some((conditional?, Term::Criterion(criterion)))
    }

    fn table<'t>(&mut self, node: Node<'t, '_>) -> Option<Written<'t>> {
        let table = self.reader.table(node, "a criterion")?;
        self.reader.keys(table, &KEYS);
        // A value that is wrong is an error of its own, one that is missing `None`.
        let mut text = |key: &str| match table.get(key) {
            None => Some(None),
            Some(value) => {
                let what = format!("`{key}`");
                let text = self.reader.text(value, &what, ARGUMENT_BYTES_MAX)?;
                Some(Some(text))
            }
        };
        let (conditional, argument) = (text("conditional")?, text("argument")?);
        let (variable, operator) = (text("variable")?, text("operator")?);
        let (Some(variable), Some(operator)) = (variable, operator) else {
            let missing = if variable.is_none() {
                "variable"
            } else {
                "operator"
            };
            let message = format!("a criterion has no `{missing}`");
            self.reader.error(node.span(), &message, FORM_HINT);
            return None;
        };
        Some(Written {
            conditional,
            variable,
            operator,
            argument,
            span: node.span(),
        })
    }

    fn short<'t>(&mut self, node: Node<'t, '_>) -> Option<Written<'t>> {
        // The other parts are shorter than the longest argument.
        let text = self
            .reader
            .text(node, "a criterion", ARGUMENT_BYTES_MAX + 256)?;
        let (first, rest) = word(text);
        let (conditional, (variable, rest)) = match first {
            "if" | "and" | "or" => (Some(first), word(rest)),
            _ => (None, (first, rest)),
        };
        let (operator, argument) = word(rest);
        let argument = match argument {
            "" => None,
            "\"\"" => Some(""),
            _ => Some(argument),
        };
        if operator.is_empty() {
            let message = format!("`{}` is not a criterion", text.trim());
            self.reader.error(node.span(), &message, FORM_HINT);
            return None;
        }
        Some(Written {
            conditional,
            variable,
            operator,
            argument,
            span: node.span(),
        })
    }

    fn conditional(&mut self, written: &Written<'_>, is_joined: bool) -> Option<Conditional> {
        let conditional = match written.conditional {
            None if is_joined => Conditional::And,
            None | Some("if") => Conditional::If,
            Some("and") => Conditional::And,
            Some("or") => Conditional::Or,
            Some(other) => {
                let message = format!("`{other}` does not join criteria");
                let hint = "use `if` for the first, and `and` or `or` for the others";
                self.reader.error(written.span.clone(), &message, hint);
                return None;
            }
        };
        if is_joined == (conditional == Conditional::If) {
            let (message, hint) = if is_joined {
                (
                    "`if` is only for the first criterion",
                    "join the others by `and` or `or`",
                )
            } else {
                (
                    "the first criterion is not joined to another one",
                    "begin it with `if`, or with the variable",
                )
            };
            self.reader.error(written.span.clone(), message, hint);
            return None;
        }
        Some(conditional)
    }

    fn criterion(&mut self, written: &Written<'_>) -> Option<Criterion> {
        let Some(variable) = Variable::parse(written.variable) else {
            let message = format!("there is no variable `{}`", written.variable);
            let hint = match nearest_word(written.variable, Variable::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a header is `http_{name}`, a key of the query `arg_{name}`, a cookie `cookie_{name}`, a claim `claim_{name}`".into(),
            };
            self.reader.error(written.span.clone(), &message, &hint);
            return None;
        };
        let Some(operator) = Operator::parse(written.operator) else {
            let message = format!("there is no operator `{}`", written.operator);
            let names: Vec<_> = Operator::names().collect();
            let hint = match nearest_word(written.operator, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the operators are {}", super::reader::listed(&names)),
            };
            self.reader.error(written.span.clone(), &message, &hint);
            return None;
        };
        let argument = written.argument.unwrap_or_default();
        let matcher = self.matcher(&variable, operator, written);
        if let Err((message, hint)) = matcher {
            self.reader.error(written.span.clone(), &message, &hint);
            return None;
        }
        Some(Criterion {
            matcher: matcher.ok()?,
            variable,
            operator,
            argument: argument.into(),
        })
    }

    fn matcher(
        &mut self,
        variable: &Variable,
        operator: Operator,
        written: &Written<'_>,
    ) -> Result<Matcher, (String, String)> {
        let wrong = |message: String, hint: &str| Err((message, hint.to_owned()));
        let Some(argument) = written.argument else {
            return match operator.relation {
                Relation::Exists => Ok(Matcher::Exists),
                _ => wrong(
                    format!("`{operator}` needs an argument"),
                    "use `exists` or `does_not_exist` to ask for the value itself",
                ),
            };
        };
        if argument.len() > ARGUMENT_BYTES_MAX {
            let message = format!("the argument has more than {ARGUMENT_BYTES_MAX} bytes");
            return wrong(message, "use a list: `is_in_list`");
        }
        if argument.is_empty() && !matches!(operator.relation, Relation::Equal | Relation::Exists) {
            let message = format!("the argument of `{operator}` is empty");
            return wrong(message, "use `exists` or `does_not_exist`");
        }
        if let Variable::Fixed(fixed) = variable {
            spelled(*fixed, operator.relation, argument)?;
        }
        let lower = match variable {
            Variable::Fixed(fixed) if fixed.is_lower_case() => Some(argument.to_lowercase()),
            _ => None,
        };
        let text = || Box::from(lower.as_deref().unwrap_or(argument));
        match operator.relation {
            Relation::Exists => wrong(
                format!("`{operator}` has no argument"),
                "use `is_equal` to compare the value",
            ),
            Relation::Equal if *variable == Variable::Address => {
                network(argument).map(Matcher::Network)
            }
            Relation::Equal => Ok(Matcher::Text(text())),
            Relation::StartsWith => Ok(Matcher::Prefix(text())),
            Relation::EndsWith => Ok(Matcher::Suffix(text())),
            Relation::Contains => Ok(Matcher::Part(text())),
            Relation::InList => self.list(variable, argument),
            Relation::Matches => {
                self.count_pattern()?;
                let pattern = pattern::expression(argument);
                let pattern = pattern.map_err(|why| {
                    let hint = match why {
                        PatternError::TooLarge(_) => "a repetition such as `.{0,500}` takes as much as what it repeats, so many times: use `*` and `+`, or smaller numbers, and `(?u)` only where it is needed",
                        PatternError::Invalid(_) => "the syntax is that of Rust's regex crate, which has neither look-around nor backreferences",
                    };
                    (
                        format!("the expression `{argument}` is wrong: {why}"),
                        hint.into(),
                    )
                })?;
                Ok(Matcher::Pattern(pattern))
            }
            Relation::MatchesGlob => {
                self.count_pattern()?;
                let pattern = pattern::glob(&text());
                let pattern = pattern.map_err(|why| {
                    let message = format!("the glob `{argument}` is too large: {why}");
                    (message, "shorten it".into())
                })?;
                Ok(Matcher::Pattern(pattern))
            }
        }
    }

    fn count_pattern(&mut self) -> Result<(), (String, String)> {
        *self.patterns += 1;
        if *self.patterns <= PATTERNS_MAX {
            return Ok(());
        }
        let message = format!("there are more than {PATTERNS_MAX} expressions and globs");
        Err((
            message,
            "join some by `|`, or use `starts_with` and lists".into(),
        ))
    }

    fn list(&self, variable: &Variable, name: &str) -> Result<Matcher, (String, String)> {
        let Some(index) = self.lists.iter().position(|list| *list.name == *name) else {
            let names = self.lists.iter().map(|list| &*list.name);
            let hint = match nearest_word(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a [[list]] has the `name`, the `type`, and a `file` or `items`".into(),
            };
            return Err((format!("there is no list `{name}`"), hint));
        };
        let kind = self.lists[index].kind;
        match (variable, kind) {
            (Variable::Address, ListKind::Networks) => Ok(Matcher::Networks(index)),
            (Variable::Address, ListKind::Texts) => Err((
                format!("the list `{name}` has texts, and `{variable}` is an address"),
                "use a list of `type = \"networks\"`".into(),
            )),
            (_, ListKind::Networks) => Err((
                format!("the list `{name}` has networks, and `{variable}` is a text"),
                "use `remote_addr`, or a list of `type = \"texts\"`".into(),
            )),
            (_, ListKind::Texts) => Ok(Matcher::Texts(index)),
        }
    }
}

fn network(text: &str) -> Result<IpNet, (String, String)> {
    let network = list::network(text).map_err(|wrong| {
        let message = format!("`{text}` {}", wrong.message());
        (message, wrong.hint())
    })?;
    Ok(list::unmapped(network))
}

/// Checks that a request can have this text in its path or its host: a rule
/// about another spelling would never run.
fn spelled(fixed: Fixed, relation: Relation, argument: &str) -> Result<(), (String, String)> {
    let compares = matches!(
        relation,
        Relation::Equal | Relation::StartsWith | Relation::EndsWith | Relation::Contains
    );
    if !compares || argument.is_empty() {
        return Ok(());
    }
    match fixed {
        Fixed::Path => {
            let spelled = match relation {
                Relation::Equal => path::normalise(argument).map(Cow::into_owned),
                _ => path::spell(argument),
            };
            let spelled = spelled.map_err(|error| {
                let message = format!("no path is `{argument}`: {error}");
                (message, "write the path as requests have it".to_owned())
            })?;
            let begins = relation != Relation::StartsWith || argument.starts_with('/');
            if spelled == argument && begins {
                return Ok(());
            }
            let slash = if begins { "" } else { "/" };
            let message = format!("`{argument}` is not how the host spells a path");
            Err((message, format!("write `{slash}{spelled}`")))
        }
        Fixed::Host => {
            let message = format!("`{argument}` is not how the host spells a host");
            if !argument.is_ascii() {
                return Err((message, "write it in Punycode, as `xn--…`".into()));
            }
            let is_whole = relation == Relation::Equal;
            if is_whole && argument.contains(':') && !argument.starts_with('[') {
                return Err((message, "leave out the port".into()));
            }
            if (is_whole || relation == Relation::EndsWith) && argument.ends_with('.') {
                return Err((message, "leave out the last dot".into()));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The first word of a text, and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text
        .split_once(|it: char| it.is_ascii_whitespace())
        .unwrap_or((text, ""));
    (word, rest.trim_start())
}
