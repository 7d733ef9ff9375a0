//! Criteria: what must hold of a request for a rule to run.
//!
//! Criteria are joined by `and` and `or`; `and` binds tighter. A group counts as
//! one criterion. They are evaluated from the left, and only as far as needed.
//! Bounded by [`CRITERIA_MAX`](crate::limits::CRITERIA_MAX) and
//! [`GROUP_DEPTH_MAX`](crate::limits::GROUP_DEPTH_MAX).
//!
//! With several values, a relation holds if it holds for one of them; the
//! opposite operator says the exact opposite: `is_not_equal` holds if no value
//! is equal. A variable without a value reads as the empty text, as in nginx,
//! except for `exists`: so `is_not_equal "x"` and `matches "^$"` hold for a
//! header that is missing, and `exists` does not.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use regex::bytes::Regex;

use crate::list::List;
use crate::operator::Operator;
use crate::request::Request;
use crate::variable::{Found, Variable};

/// One criterion. `Display` writes it as a configuration does.
#[derive(Clone, Debug)]
pub struct Criterion {
    pub(crate) variable: Variable,
    pub(crate) operator: Operator,
    /// As it was written.
    pub(crate) argument: Box<str>,
    pub(crate) matcher: Matcher,
}

/// The compiled relation and argument.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Exists,
    Text(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Part(Box<str>),
    Pattern(Regex),
    /// The peer's address is in this network.
    Network(IpNet),
    /// The peer's address is in the list with this index.
    Networks(usize),
    /// A value is in the list with this index.
    Texts(usize),
}

/// Alternatives, of each of which all terms must hold. Without an alternative
/// it holds always.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expression {
    pub(crate) any: Vec<Vec<Term>>,
}

/// One of the things that must hold.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    Criterion(Criterion),
    Group(Expression),
}

/// What is compared: a request, and the lists of the rules.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) lists: &'a [Arc<List>],
}

impl Expression {
    /// Whether it holds. `seen` gets each criterion that was evaluated, with
    /// its result.
    pub(crate) fn holds(
        &self,
        subject: Subject<'_>,
        seen: &mut impl FnMut(&Criterion, bool),
    ) -> bool {
        let holds =
            |all: &Vec<Term>, seen: &mut _| all.iter().all(|term| term.holds(subject, seen));
        self.any.is_empty() || self.any.iter().any(|all| holds(all, seen))
    }

    /// All criteria, those of groups too.
    pub(crate) fn criteria(&self) -> Vec<&Criterion> {
        let terms = self.any.iter().flatten();
        let of = terms.flat_map(|term| match term {
            Term::Criterion(criterion) => vec![criterion],
            Term::Group(group) => group.criteria(),
        });
        of.collect()
    }
}

impl Term {
    fn holds(&self, subject: Subject<'_>, seen: &mut impl FnMut(&Criterion, bool)) -> bool {
        match self {
            Self::Criterion(criterion) => {
                let holds = criterion.holds(subject);
                seen(criterion, holds);
                holds
            }
            Self::Group(group) => group.holds(subject, seen),
        }
    }
}

impl Criterion {
    fn holds(&self, subject: Subject<'_>) -> bool {
        let Subject { request, lists } = subject;
        let related = match &self.matcher {
            Matcher::Exists => self.variable.find(request, |_| true) == Found::Yes,
            Matcher::Network(network) => {
                !request.peer_is_unnamed && network.contains(&request.peer.to_canonical())
            }
            Matcher::Networks(index) => {
                !request.peer_is_unnamed && lists[*index].has_address(request.peer)
            }
            Matcher::Texts(index) => self.is_found(request, |it| lists[*index].has_text(it)),
            Matcher::Text(text) => self.is_found(request, |it| *it == **text),
            Matcher::Prefix(text) => self.is_found(request, |it| it.starts_with(&**text)),
            Matcher::Suffix(text) => self.is_found(request, |it| it.ends_with(&**text)),
            Matcher::Part(text) => self.is_found(request, |it| it.contains(&**text)),
            Matcher::Pattern(pattern) => {
                self.is_found(request, |it| pattern.is_match(it.as_bytes()))
            }
        };
        related != self.operator.is_negated
    }

    fn is_found(&self, request: &Request<'_>, test: impl Fn(&str) -> bool) -> bool {
        match self.variable.find(request, &test) {
            Found::Missing => test(""),
            found => found == Found::Yes,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.operator)?;
        match self.matcher {
            Matcher::Exists => Ok(()),
            _ if self.argument.is_empty() => f.write_str(" \"\""),
            _ => write!(f, " {}", self.argument),
        }
    }
}
