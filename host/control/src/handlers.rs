//! Which handlers the components of functions must export: a WebSocket handler
//! for each trigger, and one of the firewall for each rule that names the
//! function.
//!
//! Checked for all functions before anything changes. A version that does not
//! load is left out, because nothing is led to it, and so is an alias without a
//! version: requests are refused there anyway.

use std::borrow::Cow;
use std::sync::Arc;

use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_core::trigger::{Target, Trigger, TriggerPlace};
use openline_engine::version::Version;
use openline_hint::Hint;

use crate::managed::{Functions, Managed};

/// A function lacks a handler, or a rule names a function that is not there.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A trigger leads to a version without a WebSocket handler.
    #[error("{place} leads to version {}, which exports no WebSocket handler", .version.short())]
    WebSocket {
        /// The trigger.
        place: TriggerPlace,
        /// The version.
        version: Digest,
    },
    /// Nothing calls the function.
    #[error("no trigger leads to `{0}`, and no rule of a firewall names it")]
    Unreached(FunctionName),
}

impl Hint for HandlerError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::WebSocket { .. } => {
                "remove the route or the trigger of a firewall function, which only rules name (`run_function`); or have the component export a handler with `openline_sdk::export!`, too"
            }
            Self::Unreached(_) => {
                "give it a `route`, as in \"/chat/{room}\", or have a rule name it with `run_function`"
            }
        };
        Some(hint.into())
    }
}

/// Checks the handlers of all functions.
pub(crate) fn check(functions: &Functions) -> Result<(), HandlerError> {
    for managed in functions.values() {
        for trigger in managed.triggers() {
            let versions = managed.led_by(trigger);
            let lacks = versions.iter().find(|it| !it.takes_connections());
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

impl Managed {
    /// The versions that a trigger leads to, as far as they serve.
    fn led_by(&self, trigger: &Trigger) -> Vec<&Arc<Version>> {
        let digests = match &trigger.target {
            Target::Version(prefix) => self.record.find_version(prefix).into_iter().collect(),
            target => match target.alias(&self.config.alias) {
                Some(alias) => self.led(alias),
                None => Vec::new(),
            },
        };
        let served = digests.iter();
        served.filter_map(|it| self.versions.get(it)).collect()
    }
}
