//! A deployment: the versions of a function, the aliases that point to them,
//! and the triggers that were made in a running host. Pure rules: the store
//! keeps a deployment, and `control` carries it out.
//!
//! A version never changes; an alias moves. An alias splits its connections by
//! weight: each connection has a point of 0 to 99 that stays its own, and goes
//! to the share whose range contains it. `change` holds the operations, each of
//! which happens completely or changes nothing; `shares` holds the arithmetic.
//!
//! Bounded by [`ALIASES_MAX`], [`TRIGGERS_MAX`], [`HISTORY_MAX`] and
//! [`NOTE_BYTES_MAX`]; how many versions are kept is the host's limit
//! `versions`, see [`Deployment::trim`].

mod bounds;
mod change;
mod error;
mod shares;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::{AliasName, FunctionName};
use crate::route::Route;
use crate::trigger::{TRIGGERS_MAX, Trigger};

pub use bounds::{ALIASES_MAX, DEPLOYMENT_FORMAT, DRAIN_PACE_MAX, HISTORY_MAX, NOTE_BYTES_MAX};
pub use change::Deployed;
pub use error::DeploymentError;
pub use shares::pick;

/// What happens to open connections when their alias moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// Their next event goes to the new version.
    #[default]
    Migrate,
    /// They stay with the version that took them until they end.
    Pin,
    /// Those whose version the alias no longer points to are closed with 1012,
    /// at a bounded pace.
    Drain,
}

/// A part of an alias's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The version they go to.
    pub version: Digest,
    /// How many of a hundred.
    pub weight: u32,
}

/// How the host calls a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallStyle {
    /// One call after the other.
    Plain,
    /// Many calls in flight.
    Async,
}

/// One version of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRecord {
    /// Its name: the digest of its component.
    pub digest: Digest,
    /// The size of its component, in bytes.
    pub bytes: u64,
    /// How its instances make calls. Records on disk name it `handler`.
    #[serde(rename = "handler")]
    pub call_style: CallStyle,
    /// When it was deployed first, in milliseconds since 1970.
    pub deployed_at: u64,
    /// Its author's note, up to [`NOTE_BYTES_MAX`].
    pub note: Option<String>,
}

/// Where an alias points, and where it pointed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRecord {
    shares: Vec<Share>,
    /// `None` follows the function's configuration.
    migration: Option<Migration>,
    drain_connections_per_second: Option<u32>,
    before: Vec<Vec<Share>>,
}

/// The versions of one function and the aliases that point to them.
///
/// This always holds: versions are distinct; an alias, and each entry of its
/// history, has shares of distinct versions that exist, none of weight 0, which
/// add up to 100.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Deployment {
    name: FunctionName,
    route: Option<Route>,
    configured: Option<Digest>,
    versions: Vec<VersionRecord>,
    aliases: BTreeMap<AliasName, AliasRecord>,
    /// In the order of their names.
    triggers: Vec<Trigger>,
}

/// A [`Deployment`] as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    name: FunctionName,
    route: Option<Route>,
    configured: Option<Digest>,
    versions: Vec<VersionRecord>,
    aliases: BTreeMap<AliasName, AliasRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    triggers: Vec<Trigger>,
}

// === impl AliasRecord ===

impl AliasRecord {
    /// Where it points, in the order of the ranges of points.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// What happens to its connections when it moves, if a deploy or a change
    /// of the alias has set it; otherwise the function's configuration decides.
    pub fn migration(&self) -> Option<Migration> {
        self.migration
    }

    /// How many of its connections are drained in a second; `None` means the
    /// host's own pace.
    pub fn drain_connections_per_second(&self) -> Option<u32> {
        self.drain_connections_per_second
    }

    /// Where it pointed before, the latest last.
    pub fn before(&self) -> &[Vec<Share>] {
        &self.before
    }

    /// The version of the connections at a point of 0 to 99. A larger point
    /// counts as 99.
    pub fn pick(&self, point: u32) -> Option<Digest> {
        let shares = self.shares.iter();
        pick(shares.map(|share| (share.version, share.weight)), point)
    }

    /// Whether it points to a version, with whatever weight.
    pub fn points_to(&self, version: &Digest) -> bool {
        shares::name(&self.shares, version)
    }
}

// === impl Deployment ===

impl Deployment {
    /// The deployment of a function that has no version yet. Only a function
    /// that no configuration names has a route here.
    pub fn new(name: FunctionName, route: Option<Route>) -> Self {
        Self {
            name,
            route,
            configured: None,
            versions: Vec::new(),
            aliases: BTreeMap::new(),
            triggers: Vec::new(),
        }
    }

    /// The function.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// The route it was deployed with, if no configuration names it.
    pub fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    /// Its versions, the oldest first.
    pub fn versions(&self) -> &[VersionRecord] {
        &self.versions
    }

    /// One of its versions.
    pub fn version(&self, digest: &Digest) -> Option<&VersionRecord> {
        self.versions
            .iter()
            .find(|version| version.digest == *digest)
    }

    /// Its aliases by name.
    pub fn aliases(&self) -> &BTreeMap<AliasName, AliasRecord> {
        &self.aliases
    }

    /// One of its aliases.
    pub fn alias(&self, name: &AliasName) -> Option<&AliasRecord> {
        self.aliases.get(name)
    }

    /// The version of an alias's connections at a point of 0 to 99; none when
    /// there is no such alias.
    pub fn pick(&self, alias: &AliasName, point: u32) -> Option<Digest> {
        self.aliases.get(alias)?.pick(point)
    }

    /// The triggers that were made in a running host, in the order of their
    /// names. Those of a configuration are not among them.
    pub fn triggers(&self) -> &[Trigger] {
        &self.triggers
    }

    /// The version that a configuration named last. While it names the same
    /// one, later deploys stay in force.
    pub fn configured(&self) -> Option<Digest> {
        self.configured
    }

    /// Notes the version that a configuration names.
    pub fn set_configured(&mut self, version: Option<Digest>) {
        self.configured = version;
    }

    /// Changes the route it was deployed with.
    pub fn set_route(&mut self, route: Option<Route>) {
        self.route = route;
    }

    /// Checks stored data for everything that the type promises.
    fn check(&self) -> Result<(), DeploymentError> {
        for (index, version) in self.versions.iter().enumerate() {
            change::check_note(version)?;
            let earlier = &self.versions[..index];
            if earlier.iter().any(|other| other.digest == version.digest) {
                return Err(DeploymentError::VersionTwice(version.digest));
            }
        }
        if self.aliases.len() > ALIASES_MAX {
            return Err(DeploymentError::TooManyAliases);
        }
        if self.triggers.len() > TRIGGERS_MAX {
            return Err(DeploymentError::TooManyTriggers);
        }
        let mut pairs = self.triggers.iter().zip(self.triggers.iter().skip(1));
        if let Some((first, _)) = pairs.find(|(first, second)| first.name >= second.name) {
            return Err(DeploymentError::TriggerTwice(first.name.clone()));
        }
        for alias in self.aliases.values() {
            change::check_pace(alias.drain_connections_per_second)?;
            if alias.before.len() > HISTORY_MAX {
                return Err(DeploymentError::History);
            }
            for shares in alias.before.iter().chain([&alias.shares]) {
                shares::check(shares, |version| self.version(version).is_some())?;
            }
        }
        Ok(())
    }
}

// === impl Written ===

impl From<Deployment> for Written {
    fn from(deployment: Deployment) -> Self {
        let Deployment {
            name,
            route,
            configured,
            versions,
            aliases,
            triggers,
        } = deployment;
        Self {
            format: if triggers.is_empty() {
                1
            } else {
                DEPLOYMENT_FORMAT
            },
            name,
            route,
            configured,
            versions,
            aliases,
            triggers,
        }
    }
}

impl TryFrom<Written> for Deployment {
    type Error = DeploymentError;

    fn try_from(written: Written) -> Result<Self, DeploymentError> {
        if !(1..=DEPLOYMENT_FORMAT).contains(&written.format) {
            return Err(DeploymentError::Format(written.format));
        }
        let deployment = Self {
            name: written.name,
            route: written.route,
            configured: written.configured,
            versions: written.versions,
            aliases: written.aliases,
            triggers: written.triggers,
        };
        deployment.check()?;
        Ok(deployment)
    }
}

#[cfg(test)]
mod tests;
