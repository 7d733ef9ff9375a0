//! Which handlers the components of functions must export: one of WebSockets or of
//! HTTP for each trigger, one of the firewall for each rule that names the
//! function, and one of channels where the function subscribes to any.
//!
//! Checked for all functions before anything changes. A version that does not
//! load is left out, because nothing is led to it, and so is an alias without a
//! version: requests are refused there anyway.

use std::borrow::Cow;
use std::sync::Arc;

use openline_admission::inspectors::Inspectors;
use openline_core::config::FunctionConfig;
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::trigger::{Target, Trigger, TriggerPlace};
use openline_engine::alias::Alias;
use openline_engine::version::Version;
use openline_firewall::function::FunctionRef;
use openline_firewall::rules::{RuleRef, Rules};
use openline_hint::Hint;

use crate::managed::{Functions, Managed};

/// A function lacks a handler, or a rule names a function that is not there.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A trigger leads to a version without a handler of WebSockets or of HTTP.
    #[error("{place} leads to version {}, which exports no WebSocket handler and none of HTTP", .version.short())]
    WebSocket {
        /// The trigger.
        place: TriggerPlace,
        /// The version.
        version: Digest,
    },
    /// A rule names a function that is not there.
    #[error("{rule} names the function `{function}`, which is not there")]
    Unknown {
        /// The rule, for people.
        rule: String,
        /// The function, as the rule names it.
        function: FunctionRef,
    },
    /// A rule names a function that cannot decide.
    #[error("{rule} names the function `{function}`, whose version {} does not export `firewall`", .version.short())]
    Firewall {
        /// The rule, for people.
        rule: String,
        /// The function, as the rule names it.
        function: FunctionRef,
        /// The version that the function's alias leads to.
        version: Digest,
    },
    /// Channels are to wake a function that has no handler for them.
    #[error("`{function}` subscribes to channels, but its version {} exports no `channel-handler`", .version.short())]
    Channel {
        /// The function.
        function: FunctionName,
        /// The version that its alias leads to.
        version: Digest,
    },
    /// Nothing calls the function.
    #[error(
        "no trigger leads to `{0}`, no rule of a firewall names it, and it subscribes to no channel"
    )]
    Unreached(FunctionName),
}

impl Hint for HandlerError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::WebSocket { .. } => {
                "remove the route or the trigger of a firewall function, which only rules name (`run_function`); or have the component export a handler with `openline_sdk::export!`, too"
            }
            Self::Unknown { .. } => {
                "add a [[function]] of that name to the configuration, or have the rule name another"
            }
            Self::Firewall { .. } => {
                "deploy a component that exports it (`openline_sdk::export_firewall!`), or have the rule do something else"
            }
            Self::Channel { .. } => {
                "deploy a component that exports it (`openline_sdk::export_channel_handler!`), or remove the [[function.subscription]] tables"
            }
            Self::Unreached(_) => {
                "give it a `route`, as in \"/chat/{room}\", have a rule name it with `run_function`, or give it a [[function.subscription]]"
            }
        };
        Some(hint.into())
    }
}

/// Checks the handlers of all functions, which rules may name.
pub(crate) fn check(functions: &Functions, rules: &Rules) -> Result<(), HandlerError> {
    for (rule, function) in rules.functions() {
        let Some(managed) = functions.get(&function.function) else {
            return Err(HandlerError::Unknown {
                rule: rule.to_string(),
                function: function.clone(),
            });
        };
        let versions = managed.versions_of(managed.alias_of(function));
        if let Some(version) = versions.iter().find(|it| !it.takes_inspections()) {
            return Err(HandlerError::Firewall {
                rule: rule.to_string(),
                function: function.clone(),
                version: version.digest(),
            });
        }
    }
    for managed in functions.values() {
        let name = &managed.config.name;
        let is_named = || rules.functions().any(|(_, it)| it.function == *name);
        let subscribes = !managed.config.subscriptions.is_empty();
        if managed.triggers().next().is_none() && !subscribes && !is_named() {
            return Err(HandlerError::Unreached(name.clone()));
        }
        let versions = managed.versions_of(&managed.config.alias);
        let lacks = versions.iter().find(|it| !it.takes_publications());
        if let Some(version) = lacks.filter(|_| subscribes) {
            return Err(HandlerError::Channel {
                function: name.clone(),
                version: version.digest(),
            });
        }
        for trigger in managed.triggers() {
            let versions = managed.led_by(trigger);
            let lacks = versions.iter().find(|it| !it.is_reachable());
            if let Some(version) = lacks {
                return Err(HandlerError::WebSocket {
                    place: managed.place(trigger),
                    version: version.digest(),
                });
            }
        }
    }
    Ok(())
}

/// Checks a version of a function that does not serve yet, as if all triggers and
/// rules led to it.
///
/// # Errors
///
/// When it lacks a handler.
pub fn check_version(
    config: &FunctionConfig,
    version: &Version,
    rules: &Rules,
) -> Result<(), HandlerError> {
    let digest = version.digest();
    let mut named = rules.functions();
    let named = named.find(|(_, function)| function.function == config.name);
    if let Some((rule, function)) = named
        && !version.takes_inspections()
    {
        return Err(HandlerError::Firewall {
            rule: rule.to_string(),
            function: function.clone(),
            version: digest,
        });
    }
    if !config.subscriptions.is_empty() && !version.takes_publications() {
        return Err(HandlerError::Channel {
            function: config.name.clone(),
            version: digest,
        });
    }
    match config.triggers.first() {
        Some(trigger) if !version.is_reachable() => Err(HandlerError::WebSocket {
            place: TriggerPlace {
                function: config.name.clone(),
                trigger: trigger.name.clone(),
            },
            version: digest,
        }),
        _ => Ok(()),
    }
}

/// The functions that rules name, with their aliases. One whose alias has never
/// led anywhere is not there.
pub(crate) fn inspectors(functions: &Functions, rules: &Rules) -> Inspectors {
    let named = rules.functions().filter_map(|(_, function)| {
        let managed = functions.get(&function.function)?;
        let alias: &Arc<Alias> = managed.aliases.get(managed.alias_of(function))?;
        Some((function.clone(), Arc::clone(alias)))
    });
    Inspectors::new(named)
}

/// The aliases of the functions that channels wake.
pub(crate) fn woken(functions: &Functions) -> Vec<Arc<Alias>> {
    let functions = functions.values();
    let woken = functions.filter(|managed| !managed.config.subscriptions.is_empty());
    let aliases = woken.filter_map(|managed| managed.aliases.get(&managed.config.alias));
    aliases.cloned().collect()
}

impl Managed {
    /// The alias that a rule leads to.
    fn alias_of<'a>(&'a self, function: &'a FunctionRef) -> &'a AliasName {
        function.alias.as_ref().unwrap_or(&self.config.alias)
    }

    /// The versions that an alias leads to, as far as they serve.
    fn versions_of(&self, alias: &AliasName) -> Vec<&Arc<Version>> {
        let digests = self.led(alias).into_iter();
        digests.filter_map(|it| self.versions.get(&it)).collect()
    }

    /// The versions that a trigger leads to, as far as they serve.
    fn led_by(&self, trigger: &Trigger) -> Vec<&Arc<Version>> {
        match &trigger.target {
            Target::Version(prefix) => {
                let found = self.record.find_version(prefix).ok();
                found
                    .and_then(|it| self.versions.get(&it))
                    .into_iter()
                    .collect()
            }
            target => match target.alias(&self.config.alias) {
                Some(alias) => self.versions_of(alias),
                None => Vec::new(),
            },
        }
    }

    /// Whether a rule leads to an alias of it.
    pub(crate) fn rule_to<'a>(&self, alias: &AliasName, rules: &'a Rules) -> Option<RuleRef<'a>> {
        let mut named = rules.functions();
        let found = named.find(|(_, function)| {
            function.function == self.config.name && self.alias_of(function) == alias
        });
        found.map(|(rule, _)| rule)
    }
}
