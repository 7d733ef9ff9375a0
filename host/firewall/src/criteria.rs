//! Criteria: what must hold of a request for a rule to run.
//!
//! Criteria are joined by `and` and `or`; `and` binds tighter. A group counts as
//! one criterion. They are evaluated from the left, and only as far as needed.
//! Bounded by [`CRITERIA_MAX`](crate::limits::CRITERIA_MAX) and
//! [`GROUP_DEPTH_MAX`](crate::limits::GROUP_DEPTH_MAX).
//!
//! Only claims have several values. A relation holds if it holds for one of them;
//! the opposite operator says the exact opposite: `is_not_equal` holds if no value
//! is equal. A variable without a value reads as the empty text, as in nginx,
//! except for `exists`: so `is_not_equal "x"` and `matches "^$"` hold for a
//! header that is missing, and `exists` does not. No criterion but `exists` and
//! its opposite decides about a key of the query or a cookie that is repeated,
//! see [`Stop::Repeated`].

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::list::List;
use crate::operator::Operator;
use crate::pattern::Pattern;
use crate::request::Request;
use crate::variable::{Found, Variable};
use crate::work::{Exceeded, Meter};

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
    Pattern(Pattern),
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

/// Why it is not known whether an expression holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop<'a> {
    /// The step is over: others have their turn, then it goes on.
    Pause,
    /// This variable has several values, and no choice of one is safe: the rule
    /// may allow or deny, and the function may take another one.
    Repeated(&'a Variable),
    /// The work for the request is used up.
    Work,
}

/// How far the evaluation of one rule has come: the results of the criteria that
/// were evaluated, in their order. It goes on by walking through them again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// A bit for each, the first one lowest. [`CRITERIA_MAX`] are at most 64.
    ///
    /// [`CRITERIA_MAX`]: crate::limits::CRITERIA_MAX
    results: u64,
    known: usize,
    /// Where the walk is.
    at: usize,
}

/// The evaluation of one rule.
pub(crate) struct Walk<'w, 's, F> {
    pub(crate) subject: Subject<'s>,
    pub(crate) meter: &'w mut Meter,
    pub(crate) progress: &'w mut Progress,
    /// Gets each criterion when it has been evaluated, with its result.
    pub(crate) seen: F,
}

impl Progress {
    /// The result of the next criterion, if it is known.
    fn next(&mut self) -> Option<bool> {
        let index = self.at;
        self.at += 1;
        (index < self.known).then(|| self.results >> index & 1 == 1)
    }

    fn put(&mut self, result: bool) {
        self.results |= u64::from(result) << self.known;
        self.known += 1;
    }
}

impl Expression {
    /// Whether it holds.
    ///
    /// # Errors
    ///
    /// When that is not known. After [`Stop::Pause`] the same walk goes on.
    pub(crate) fn holds<'a>(
        &'a self,
        walk: &mut Walk<'_, '_, impl FnMut(&Criterion, bool)>,
    ) -> Result<bool, Stop<'a>> {
        walk.progress.at = 0;
        self.walk(walk)
    }

    fn walk<'a>(
        &'a self,
        walk: &mut Walk<'_, '_, impl FnMut(&Criterion, bool)>,
    ) -> Result<bool, Stop<'a>> {
        for all in &self.any {
            let mut holds = true;
            for term in all {
                holds = match term {
                    Term::Criterion(criterion) => criterion.walk(walk)?,
                    Term::Group(group) => group.walk(walk)?,
                };
                if !holds {
                    break;
                }
            }
            if holds {
                return Ok(true);
            }
        }
        Ok(self.any.is_empty())
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

impl Criterion {
    fn walk<'a>(
        &'a self,
        walk: &mut Walk<'_, '_, impl FnMut(&Self, bool)>,
    ) -> Result<bool, Stop<'a>> {
        if let Some(result) = walk.progress.next() {
            return Ok(result);
        }
        if walk.meter.is_step_over() {
            return Err(Stop::Pause);
        }
        let holds = self.holds(walk.subject, walk.meter)?;
        walk.progress.put(holds);
        (walk.seen)(self, holds);
        Ok(holds)
    }

    fn holds(&self, subject: Subject<'_>, meter: &mut Meter) -> Result<bool, Stop<'_>> {
        let Subject { request, lists } = subject;
        meter.begin_criterion()?;
        meter.read(self.variable.reads(request))?;
        let related = match &self.matcher {
            Matcher::Exists => {
                let found = self.variable.find(request, |_| true);
                matches!(found, Found::Yes | Found::Repeated)
            }
            Matcher::Network(network) => {
                !request.peer_is_unnamed && network.contains(&request.peer.to_canonical())
            }
            Matcher::Networks(index) => {
                !request.peer_is_unnamed && lists[*index].has_address(request.peer)
            }
            Matcher::Texts(index) => self.is_found(request, |it| lists[*index].has_text(it))?,
            Matcher::Text(text) => self.is_found(request, |it| *it == **text)?,
            Matcher::Prefix(text) => self.is_found(request, |it| it.starts_with(&**text))?,
            Matcher::Suffix(text) => self.is_found(request, |it| it.ends_with(&**text))?,
            Matcher::Part(text) => self.is_found(request, |it| it.contains(&**text))?,
            Matcher::Pattern(pattern) => {
                let mut used_up = Ok(());
                let found = self.is_found(request, |it| {
                    let found = pattern.finds(it.as_bytes(), meter);
                    // The first value that is too much ends the search.
                    found.unwrap_or_else(|exceeded| {
                        used_up = Err(exceeded);
                        true
                    })
                });
                used_up?;
                found?
            }
        };
        Ok(related != self.operator.is_negated)
    }

    fn is_found(
        &self,
        request: &Request<'_>,
        mut test: impl FnMut(&str) -> bool,
    ) -> Result<bool, Stop<'_>> {
        match self.variable.find(request, &mut test) {
            Found::Missing => Ok(test("")),
            Found::Repeated => Err(Stop::Repeated(&self.variable)),
            found => Ok(found == Found::Yes),
        }
    }
}

impl From<Exceeded> for Stop<'_> {
    fn from(Exceeded: Exceeded) -> Self {
        Self::Work
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
