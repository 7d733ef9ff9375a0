//! Compiled rules, and the lists that belong to them.
//!
//! [`Rules`] are made once from a configuration and never change, but for the
//! buckets of their rates. [`Firewalls`] are rules with one state of their
//! lists: reading a list again makes new ones, which share the rules, so a
//! request sees either the old list or the new one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderName;

use crate::behavior::Behavior;
use crate::criteria::Expression;
use crate::function::FunctionRef;
use crate::list::{List, ListCause, ListError, ListKind};

/// All firewalls of a configuration, without their lists.
#[derive(Debug, Default)]
pub struct Rules {
    pub(crate) firewalls: Vec<Firewall>,
    pub(crate) lists: Vec<ListSpec>,
}

/// A named, ordered set of rules.
#[derive(Debug)]
pub struct Firewall {
    pub(crate) name: Box<str>,
    pub(crate) is_active: bool,
    pub(crate) debug_rules: bool,
    pub(crate) rules: Vec<Rule>,
    /// The headers that its rules set.
    pub(crate) headers: Vec<HeaderName>,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    pub(crate) is_active: bool,
    pub(crate) criteria: Expression,
    pub(crate) behaviors: Vec<Behavior>,
    /// Whether one of its criteria or behaviours needs the peer's claims.
    pub(crate) needs_claims: bool,
}

/// A list as the configuration names it.
#[derive(Debug)]
pub(crate) struct ListSpec {
    pub(crate) name: Box<str>,
    pub(crate) kind: ListKind,
    pub(crate) source: ListSource,
}

/// Where the entries of a list are.
#[derive(Debug)]
pub(crate) enum ListSource {
    File(PathBuf),
    Inline(Arc<List>),
}

/// Rules with one state of their lists. Cheap to clone. None by default.
#[derive(Clone, Debug, Default)]
pub struct Firewalls {
    pub(crate) rules: Arc<Rules>,
    pub(crate) lists: Arc<[Arc<List>]>,
}

/// Which firewall of some [`Firewalls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirewallId(pub(crate) usize);

/// Names a rule. `Display` writes it for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleRef<'a> {
    /// The name of its firewall.
    pub firewall: &'a str,
    /// Its name.
    pub rule: &'a str,
}

// === impl Rules ===

impl Rules {
    /// The rules that ask a function, with the functions that they name.
    pub fn functions(&self) -> impl Iterator<Item = (RuleRef<'_>, &FunctionRef)> {
        let rules = self
            .firewalls
            .iter()
            .flat_map(|firewall| firewall.rules.iter().map(move |rule| (firewall, rule)));
        rules.flat_map(|(firewall, rule)| {
            rule.behaviors
                .iter()
                .filter_map(move |behavior| match behavior {
                    Behavior::Run(function) => {
                        let named = RuleRef {
                            firewall: &firewall.name,
                            rule: &rule.name,
                        };
                        Some((named, function))
                    }
                    _ => None,
                })
        })
    }

    /// The files of the lists, as written: relative to the configuration file.
    /// The host watches them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.lists.iter().filter_map(|list| match &list.source {
            ListSource::File(path) => Some(&**path),
            ListSource::Inline(_) => None,
        })
    }

    /// Takes over the buckets of earlier rules, so that reading a configuration
    /// again gives no client its burst back: those of a rule with the same
    /// firewall, name and rate.
    pub fn adopt_buckets(&mut self, earlier: &Self) {
        for firewall in &mut self.firewalls {
            let mut same = earlier.firewalls.iter();
            let Some(same) = same.find(|it| it.name == firewall.name) else {
                continue;
            };
            for rule in &mut firewall.rules {
                if let Some(same) = same.rules.iter().find(|it| it.name == rule.name) {
                    rule.adopt_buckets(same);
                }
            }
        }
    }
}

impl Rule {
    fn adopt_buckets(&mut self, earlier: &Self) {
        let limits = |behaviors: &[Behavior]| {
            let of = behaviors.iter().filter_map(|behavior| match behavior {
                Behavior::Limit(by, limiter) => Some((by.clone(), Arc::clone(limiter))),
                _ => None,
            });
            of.collect::<Vec<_>>()
        };
        let mut earlier = limits(&earlier.behaviors);
        for behavior in &mut self.behaviors {
            if let Behavior::Limit(by, limiter) = behavior {
                let same = earlier.iter().position(|(earlier_by, earlier)| {
                    earlier_by == by && earlier.rate() == limiter.rate()
                });
                // Two equal rates of one rule have a table each.
                if let Some(same) = same {
                    *limiter = earlier.remove(same).1;
                }
            }
        }
    }
}

// === impl Firewalls ===

impl Firewalls {
    /// Reads the lists of some rules. `read` reads a file; it may block, so this
    /// is not for a thread that serves.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not a list of its kind.
    pub fn load(
        rules: Arc<Rules>,
        mut read: impl FnMut(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, ListError> {
        let lists = rules.lists.iter().map(|list| list.load(&mut read));
        let lists = lists.collect::<Result<_, _>>()?;
        Ok(Self { rules, lists })
    }

    /// The same rules, with all lists read again. Those of this value do not
    /// change, whether it succeeds or not.
    ///
    /// # Errors
    ///
    /// As [`Firewalls::load`].
    pub fn reload(
        &self,
        read: impl FnMut(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Self, ListError> {
        Self::load(Arc::clone(&self.rules), read)
    }

    /// The lists in files, with their names.
    pub fn listed(&self) -> impl Iterator<Item = (&str, &List)> {
        let lists = self.rules.lists.iter().zip(&*self.lists);
        let in_files = lists.filter(|(spec, _)| matches!(spec.source, ListSource::File(_)));
        in_files.map(|(spec, list)| (&*spec.name, &**list))
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Finds a firewall by its name.
    pub fn find(&self, name: &str) -> Option<FirewallId> {
        let firewalls = &self.rules.firewalls;
        let found = firewalls.iter().position(|it| *it.name == *name);
        found.map(FirewallId)
    }

    /// The names of all firewalls, in the order of the configuration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.firewalls.iter().map(|it| &*it.name)
    }

    /// Whether the rules that run in a firewall are to be recorded.
    pub fn debug_rules(&self, firewall: FirewallId) -> bool {
        self.get(firewall).is_some_and(|it| it.debug_rules)
    }

    /// The headers that the rules of a firewall set. The host removes them from
    /// what a peer sent, whichever rules ran: a peer could set them otherwise.
    pub fn headers(&self, firewall: FirewallId) -> &[HeaderName] {
        self.get(firewall).map_or(&[], |it| &it.headers)
    }

    /// `None` for an id of other firewalls.
    pub(crate) fn get(&self, firewall: FirewallId) -> Option<&Firewall> {
        self.rules.firewalls.get(firewall.0)
    }
}

impl ListSpec {
    fn load(
        &self,
        read: &mut impl FnMut(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Arc<List>, ListError> {
        let file = match &self.source {
            ListSource::Inline(list) => return Ok(Arc::clone(list)),
            ListSource::File(file) => file,
        };
        let failed = |cause| ListError {
            list: self.name.as_ref().into(),
            file: file.clone(),
            cause: Box::new(cause),
        };
        let bytes = read(file).map_err(|error| failed(ListCause::File(error)))?;
        let list = List::read(self.kind, &bytes).map_err(|error| failed(ListCause::Line(error)))?;
        Ok(Arc::new(list))
    }
}

impl fmt::Display for RuleRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}` of firewall `{}`", self.rule, self.firewall)
    }
}
