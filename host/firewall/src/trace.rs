//! What an evaluation did, for people: which rules ran, and why.
//!
//! [`Ran`] is for the requests of a host with `debug_rules`: the names of the
//! rules that ran, as Azion's `stacktrace` has them. [`Trace`] is for one
//! request that a person asks about: every rule with each criterion that was
//! evaluated and the values that it saw. These may be secrets, cookies for
//! example, so a trace is not for a log. Bounded by the number of rules and
//! criteria, [`TRACED_VALUES_MAX`] and [`TRACED_BYTES_MAX`].

use std::fmt::{self, Display, Write};

use openline_core::escape::Escaped;
use serde::Serialize;

use crate::criteria::Criterion;
use crate::evaluation::Observe;
use crate::function::FunctionRef;
use crate::limits::{TRACED_BYTES_MAX, TRACED_VALUES_MAX};
use crate::request::Request;
use crate::rules::RuleRef;

/// The rules whose criteria hold, in the order in which they ran. `Display`
/// writes `firewall/rule`, separated by commas, each with the verdicts of the
/// functions that it asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    names: String,
}

/// Everything that an evaluation did. `Display` writes it for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The rules that were reached, in their order.
    pub rules: Vec<TracedRule>,
}

/// One rule that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedRule {
    /// The name of its firewall.
    pub firewall: String,
    /// Its name.
    pub rule: String,
    /// Whether it is active. One that is not does nothing.
    pub active: bool,
    /// Whether its criteria hold.
    pub matched: bool,
    /// The criteria that were evaluated; the last one decided. None of a rule
    /// for all requests.
    pub criteria: Vec<TracedCriterion>,
    /// The behaviours that ran.
    pub behaviors: Vec<String>,
}

/// One criterion that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedCriterion {
    /// The criterion, as a configuration writes it.
    pub criterion: String,
    /// The values that the request has, the first few, shortened. None if it
    /// has none.
    pub values: Vec<String>,
    /// Whether it holds.
    pub holds: bool,
}

impl Ran {
    /// Adds what a function has decided for the rule that ran last.
    pub fn note_verdict(&mut self, function: &FunctionRef, verdict: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.names, " ({function}: {verdict})");
    }
}

impl Observe for Ran {
    fn matched(&mut self, rule: RuleRef<'_>, holds: bool) {
        if holds {
            let comma = if self.names.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(self.names, "{comma}{}/{}", rule.firewall, rule.rule);
        }
    }
}

impl Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names)
    }
}

impl Observe for Trace {
    fn rule(&mut self, rule: RuleRef<'_>, is_active: bool) {
        self.rules.push(TracedRule {
            firewall: rule.firewall.into(),
            rule: rule.rule.into(),
            active: is_active,
            matched: false,
            criteria: Vec::new(),
            behaviors: Vec::new(),
        });
    }

    fn criterion(&mut self, criterion: &Criterion, request: &Request<'_>, holds: bool) {
        let mut values = Vec::new();
        criterion.variable.each(request, |value| {
            if values.len() < TRACED_VALUES_MAX {
                values.push(Escaped::new(value, TRACED_BYTES_MAX).to_string());
            }
        });
        if let Some(rule) = self.rules.last_mut() {
            rule.criteria.push(TracedCriterion {
                criterion: criterion.to_string(),
                values,
                holds,
            });
        }
    }

    fn matched(&mut self, _rule: RuleRef<'_>, holds: bool) {
        if let Some(rule) = self.rules.last_mut() {
            rule.matched = holds;
        }
    }

    fn behavior(&mut self, text: &dyn Display) {
        if let Some(rule) = self.rules.last_mut() {
            rule.behaviors.push(text.to_string());
        }
    }
}

impl Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            rule.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for TracedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = match (self.active, self.matched) {
            (false, _) => "is not active",
            (true, true) => "runs",
            (true, false) => "does not run",
        };
        writeln!(f, "{} / {}: {result}", self.firewall, self.rule)?;
        for criterion in &self.criteria {
            let sign = if criterion.holds { "yes" } else { "no " };
            write!(f, "  {sign}  {}", criterion.criterion)?;
            match &*criterion.values {
                [] => writeln!(f, "    (the request has none)")?,
                values => writeln!(f, "    (the request has `{}`)", values.join("`, `"))?,
            }
        }
        for behavior in &self.behaviors {
            writeln!(f, "  ->   {behavior}")?;
        }
        Ok(())
    }
}
