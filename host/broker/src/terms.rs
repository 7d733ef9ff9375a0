//! Which terms a channel has, by its name.
//!
//! A name is compared with the patterns of the function and of the channels that
//! functions share, and the most specific one wins. Channels of a `[[channel]]`
//! belong to all functions that it names, those of a `[[function.channel]]` and
//! those without a pattern to the function alone. A channel keeps what was found
//! until the configuration changes.

use std::sync::Arc;

use openline_core::channel::{CHANNEL_PATTERNS_MAX, ChannelPattern, ChannelTable, ChannelTerms};
use openline_core::name::{ChannelName, FunctionName};

/// The patterns of one function, the most specific one first. At most two lists
/// of [`CHANNEL_PATTERNS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct TermsTable {
    entries: Vec<Entry>,
    /// The terms of channels that no pattern matches.
    usual: Arc<ChannelTerms>,
    /// Whether it is that of the channels that functions share.
    is_of_shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    found: Found,
    /// Whether the function is one of those that share it.
    is_its: bool,
}

/// The terms of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What holds.
    pub terms: Arc<ChannelTerms>,
    /// Whether functions share the channel.
    pub is_shared: bool,
    /// The pattern that matched.
    pub pattern: Option<Arc<ChannelPattern>>,
}

/// Two patterns of one function that match the same names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function has `{own}`, and shares `{shared}`, which matches the same names")]
pub struct Ambiguous {
    /// Of `[[function.channel]]`.
    pub own: String,
    /// Of `[[channel]]`.
    pub shared: String,
}

impl TermsTable {
    /// The table of a function.
    ///
    /// # Errors
    ///
    /// When one of its patterns matches the names of a shared one.
    pub fn new(
        function: &FunctionName,
        own: &[ChannelTable],
        shared: &[ChannelTable],
    ) -> Result<Self, Ambiguous> {
        debug_assert!(own.len().max(shared.len()) <= CHANNEL_PATTERNS_MAX);
        let has_it = |table: &&ChannelTable| {
            let functions = table.functions.as_ref();
            functions.is_none_or(|functions| functions.contains(function))
        };
        for own in own {
            let alike = shared.iter().filter(has_it);
            let alike = alike
                .into_iter()
                .find(|it| it.pattern.is_alike(&own.pattern));
            if let Some(shared) = alike {
                return Err(Ambiguous {
                    own: own.pattern.to_string(),
                    shared: shared.pattern.to_string(),
                });
            }
        }
        let own = own.iter().map(|table| Entry::new(table, false, true));
        let shared = shared
            .iter()
            .map(|table| Entry::new(table, true, has_it(&table)));
        Ok(Self::sorted(own.chain(shared).collect()))
    }

    /// The table of the channels that functions share.
    pub fn of_shared(shared: &[ChannelTable]) -> Self {
        let entries = shared.iter().map(|table| Entry::new(table, true, true));
        Self {
            is_of_shared: true,
            ..Self::sorted(entries.collect())
        }
    }

    fn sorted(mut entries: Vec<Entry>) -> Self {
        let pattern = |entry: &Entry| entry.found.pattern.clone();
        entries.sort_by(|one, other| match (pattern(one), pattern(other)) {
            (Some(one), Some(other)) => one.specificity(&other),
            _ => std::cmp::Ordering::Equal,
        });
        Self {
            entries,
            usual: Arc::default(),
            is_of_shared: false,
        }
    }

    /// The terms of a channel among those of the table's owner: the usual ones if
    /// the name belongs to the other, so that nothing is kept there.
    pub fn find_here(&self, channel: &ChannelName) -> Arc<ChannelTerms> {
        let found = self.find(channel);
        match found.is_shared == self.is_of_shared {
            true => found.terms,
            false => Arc::clone(&self.usual),
        }
    }

    /// Whether any channels are shared.
    pub fn has_shared(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.found.is_shared && entry.is_its)
    }

    /// The terms of a channel. A name has at most one shared channel: if the most
    /// specific shared pattern that matches it is not the function's, the name is
    /// not shared with it, whatever else matches.
    pub fn find(&self, channel: &ChannelName) -> Found {
        let mut may_share = true;
        for Entry { found, is_its } in &self.entries {
            let matches = |pattern: &Arc<ChannelPattern>| pattern.matches(channel);
            if !found.pattern.as_ref().is_some_and(matches) {
                continue;
            }
            if *is_its && (may_share || !found.is_shared) {
                return found.clone();
            }
            may_share &= !found.is_shared;
        }
        Found {
            terms: Arc::clone(&self.usual),
            is_shared: false,
            pattern: None,
        }
    }
}

impl Entry {
    fn new(table: &ChannelTable, is_shared: bool, is_its: bool) -> Self {
        Self {
            found: Found {
                terms: Arc::new(table.terms.clone()),
                is_shared,
                pattern: Some(Arc::new(table.pattern.clone())),
            },
            is_its,
        }
    }
}

#[cfg(test)]
mod tests {
    use openline_core::channel::Access;

    use super::*;

    fn function(name: &str) -> FunctionName {
        FunctionName::new(name).unwrap()
    }

    fn table(pattern: &str, functions: Option<&[&str]>) -> ChannelTable {
        ChannelTable {
            pattern: ChannelPattern::new(pattern).unwrap(),
            // Shows which table was found.
            terms: ChannelTerms {
                subscribe: Access::Claim(pattern.into()),
                ..ChannelTerms::default()
            },
            functions: functions.map(|names| names.iter().map(|it| function(it)).collect()),
        }
    }

    #[test]
    fn the_most_specific_pattern_wins_whoever_it_belongs_to() {
        let own = [table("room:{room}", None), table("*", None)];
        let shared = [
            table("room:lobby", None),
            table("news:*", None),
            table("secret:*", Some(&["other"])),
            table("news:inner:*", Some(&["other"])),
        ];
        let terms = TermsTable::new(&function("chat"), &own, &shared).unwrap();
        for (name, pattern, is_shared) in [
            ("room:1", "room:{room}", false),
            ("room:lobby", "room:lobby", true),
            ("news:1:2", "news:*", true),
            ("secret:1", "*", false),
            ("news:inner:1", "*", false),
            ("x", "*", false),
        ] {
            let found = terms.find(&ChannelName::new(name).unwrap());
            assert_eq!(
                found.terms.subscribe,
                Access::Claim(pattern.into()),
                "{name}"
            );
            assert_eq!(found.is_shared, is_shared, "{name}");
            assert_eq!(found.pattern.unwrap().as_str(), pattern);
        }
        let none = TermsTable::new(&function("chat"), &[], &[]).unwrap();
        let found = none.find(&ChannelName::new("x").unwrap());
        assert_eq!((found.is_shared, found.pattern), (false, None));
        assert_eq!(*found.terms, ChannelTerms::default());
    }

    #[test]
    fn a_pattern_that_is_shared_is_not_the_functions_own() {
        let own = [table("a:{x}", None)];
        let shared = [table("a:{y}", Some(&["chat"]))];
        let of = |name| TermsTable::new(&function(name), &own, &shared);
        let ambiguous = of("chat").unwrap_err();
        assert_eq!((&*ambiguous.own, &*ambiguous.shared), ("a:{x}", "a:{y}"));
        assert!(of("other").is_ok());
    }
}
