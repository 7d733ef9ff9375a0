//! One function as it is served: its configuration, its deployment, and the
//! versions and aliases that follow from both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use openline_core::config::{FunctionConfig, PublicUrl};
use openline_core::deployment::{AliasRecord, Deployment, Migration, Share};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::trigger::{Target, Trigger, TriggerPlace};
use openline_engine::alias::{Alias, Split};
use openline_engine::commons::Commons;
use openline_engine::version::Version;

use crate::view::{
    AliasView, ChannelHandlerView, FunctionView, InstanceView, TriggerSource, TriggerView,
    VersionView,
};

/// A trigger as the start of the host shows it.
#[derive(Debug)]
pub struct Introduced {
    /// The trigger.
    pub trigger: Trigger,
    /// Whether it leads to connections.
    pub connects: bool,
    /// Whether it leads to answers to requests.
    pub answers: bool,
    /// Why it is not served, if it is not.
    pub unserved: Option<String>,
}

/// One function as it is served. It never changes: a change makes another one.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) config: FunctionConfig,
    /// Whether the configuration names it.
    pub(crate) configured: bool,
    pub(crate) commons: Arc<Commons>,
    pub(crate) record: Deployment,
    /// The versions that an alias or a trigger leads to.
    pub(crate) versions: HashMap<Digest, Arc<Version>>,
    /// Versions among them that cannot serve, and why.
    pub(crate) unloaded: HashMap<Digest, String>,
    /// The aliases by name. Each stays the same as long as the function has it.
    /// Those that triggers lead to exist before they lead anywhere.
    pub(crate) aliases: BTreeMap<AliasName, Arc<Alias>>,
    /// Aliases for triggers that lead to a version, by the text in the trigger.
    pub(crate) fixed: BTreeMap<String, Arc<Alias>>,
}

/// The existing parts of a function that is about to be served.
#[derive(Clone, Debug)]
pub(crate) struct Inherited {
    pub(crate) aliases: BTreeMap<AliasName, Arc<Alias>>,
    pub(crate) fixed: BTreeMap<String, Arc<Alias>>,
    pub(crate) versions: HashMap<Digest, Arc<Version>>,
}

/// Functions by name.
pub(crate) type Functions = BTreeMap<FunctionName, Arc<Managed>>;

/// An alias that has been moved.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) alias: Arc<Alias>,
    pub(crate) migration: Migration,
    pub(crate) per_second: Option<u32>,
}

impl Managed {
    /// The versions that a deployment and the triggers of a function need.
    pub(crate) fn needed(config: &FunctionConfig, record: &Deployment) -> Vec<Digest> {
        let shares = record.aliases().values().flat_map(AliasRecord::shares);
        let mut needed: Vec<_> = shares.map(|share| share.version).collect();
        for trigger in config.triggers.iter().chain(record.triggers()) {
            if let Target::Version(prefix) = &trigger.target {
                needed.extend(record.find_version(prefix).ok());
            }
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Makes a function with these versions. It takes over the aliases that
    /// something still holds, and does not move them yet: see
    /// [`Managed::lead`].
    pub(crate) fn new(
        config: FunctionConfig,
        configured: bool,
        commons: Arc<Commons>,
        record: Deployment,
        (versions, unloaded): (HashMap<Digest, Arc<Version>>, HashMap<Digest, String>),
        before: Option<&Inherited>,
    ) -> Self {
        let mut made = Self {
            config,
            configured,
            commons,
            record,
            versions,
            unloaded,
            aliases: BTreeMap::new(),
            fixed: BTreeMap::new(),
        };
        let own = made.config.alias.clone();
        let led = made.triggers().filter_map(|it| it.target.alias(&own));
        let names = made.record.aliases().keys().chain(led).chain([&own]);
        let mut names: Vec<_> = names.cloned().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let same = before.and_then(|before| before.aliases.get(&name).cloned());
            let alias = same.unwrap_or_else(|| made.make(&name));
            made.aliases.insert(name, alias);
        }
        let fixed = made.triggers().filter_map(|it| match &it.target {
            Target::Version(prefix) => Some(prefix.clone()),
            _ => None,
        });
        for prefix in fixed.collect::<Vec<_>>() {
            let same = before.and_then(|before| before.fixed.get(&prefix).cloned());
            let alias = same.unwrap_or_else(|| made.make(&label(&prefix)));
            made.fixed.insert(prefix, alias);
        }
        made
    }

    /// Its triggers: first those of the configuration, or of the deploy that
    /// made the function, and then those that were made while it served.
    pub(crate) fn triggers(&self) -> impl Iterator<Item = &Trigger> {
        self.config.triggers.iter().chain(self.record.triggers())
    }

    /// The place of one of its triggers.
    pub(crate) fn place(&self, trigger: &Trigger) -> TriggerPlace {
        TriggerPlace {
            function: self.config.name.clone(),
            trigger: trigger.name.clone(),
        }
    }

    fn make(&self, name: &AliasName) -> Arc<Alias> {
        let split = self.split(&[], Migration::default());
        Alias::new(Arc::clone(&self.commons), name.clone(), split)
    }

    fn split(&self, shares: &[Share], migration: Migration) -> Split {
        let version = |share: &Share| {
            let version = self.versions.get(&share.version)?;
            Some((Arc::clone(version), share.weight))
        };
        let shares: Vec<_> = shares.iter().filter_map(version).collect();
        Split {
            migration,
            limits: match shares.first() {
                Some((version, _)) => Arc::clone(version.limits()),
                None => Arc::new(self.config.limit.clone()),
            },
            affinity: self.config.instance.affinity.clone(),
            auto_responses: self.config.auto_responses.as_slice().into(),
            shares,
        }
    }

    /// Makes aliases lead where the deployment says. This cannot fail; it
    /// returns the aliases that moved.
    pub(crate) fn lead(&self) -> Vec<Moved> {
        let mut moved = Vec::new();
        for (name, alias) in &self.aliases {
            let record = self.record.alias(name);
            let shares = record.map_or(&[][..], AliasRecord::shares);
            let migration = record.map_or(self.config.migration, |it| self.migration(it));
            if self.lead_one(alias, shares, migration) {
                moved.push(Moved {
                    alias: Arc::clone(alias),
                    migration,
                    per_second: record.and_then(AliasRecord::drain_connections_per_second),
                });
            }
        }
        for (prefix, alias) in &self.fixed {
            let found = self.record.find_version(prefix).ok();
            let shares: Vec<_> = found
                .map(|version| Share {
                    version,
                    weight: 100,
                })
                .into_iter()
                .collect();
            self.lead_one(alias, &shares, Migration::Migrate);
        }
        for alias in self.aliases.values().chain(self.fixed.values()) {
            alias.retain(|digest| self.record.version(&digest).is_some());
        }
        if let Some(home) = self.aliases.get(&self.config.alias) {
            home.take_alarms();
        }
        moved
    }

    fn lead_one(&self, alias: &Alias, shares: &[Share], migration: Migration) -> bool {
        let split = self.split(shares, migration);
        let current = alias.split();
        let same = current.migration == split.migration
            && current.limits == split.limits
            && current.affinity == split.affinity
            && current.auto_responses == split.auto_responses
            && current.shares.len() == split.shares.len()
            && current
                .shares
                .iter()
                .zip(&split.shares)
                .all(|(old, new)| Arc::ptr_eq(&old.0, &new.0) && old.1 == new.1);
        if !same {
            alias.replace(split);
        }
        !same
    }

    /// Its triggers, with what they lead to.
    pub(crate) fn led_triggers(&self) -> Vec<(Trigger, Arc<Alias>)> {
        let led = |trigger: &Trigger| {
            let alias = match &trigger.target {
                Target::Version(prefix) => self.fixed.get(prefix),
                target => self.aliases.get(target.alias(&self.config.alias)?),
            };
            Some((trigger.clone(), Arc::clone(alias?)))
        };
        self.triggers().filter_map(led).collect()
    }

    /// Its triggers, each with why nothing serves there, in a line; none where
    /// something does.
    pub(crate) fn introduction(&self) -> Vec<Introduced> {
        let introduced = |trigger: &Trigger| Introduced {
            trigger: trigger.clone(),
            connects: self.connects(trigger),
            answers: self.answers(trigger),
            unserved: self.unserved(&self.led_from(trigger)),
        };
        self.triggers().map(introduced).collect()
    }

    /// Whether a trigger leads to a version that takes connections, as far as is
    /// known: one that does not serve may.
    pub(crate) fn connects(&self, trigger: &Trigger) -> bool {
        let led = self.led_from(trigger);
        let mut versions = led.iter().filter_map(|it| self.versions.get(it)).peekable();
        versions.peek().is_none() || versions.any(|version| version.takes_connections())
    }

    /// Whether a trigger leads to a version that answers requests.
    fn answers(&self, trigger: &Trigger) -> bool {
        let led = self.led_from(trigger);
        let mut versions = led.iter().filter_map(|it| self.versions.get(it));
        versions.any(|version| version.takes_requests())
    }

    /// The versions that a trigger leads to.
    fn led_from(&self, trigger: &Trigger) -> Vec<Digest> {
        match trigger.target.alias(&self.config.alias) {
            Some(alias) => self.led(alias),
            None => self.fixed_version(trigger).into_iter().collect(),
        }
    }

    /// The version that a trigger names.
    fn fixed_version(&self, trigger: &Trigger) -> Option<Digest> {
        match &trigger.target {
            Target::Version(prefix) => self.record.find_version(prefix).ok(),
            _ => None,
        }
    }

    /// The versions that an alias leads to.
    pub(crate) fn led(&self, name: &AliasName) -> Vec<Digest> {
        let shares = self.record.alias(name).map_or(&[][..], AliasRecord::shares);
        shares.iter().map(|share| share.version).collect()
    }

    /// Why none of these versions serves, if none does.
    fn unserved(&self, versions: &[Digest]) -> Option<String> {
        if versions.iter().any(|it| self.versions.contains_key(it)) {
            return None;
        }
        let mut versions = versions.iter();
        let found = versions.find_map(|it| Some((it, self.unloaded.get(it)?)));
        Some(match found {
            Some((version, why)) => {
                let (version, why) = (version.short(), why.lines().next().unwrap_or_default());
                format!("version {version} does not load: {why}")
            }
            None => "it leads to no version yet".into(),
        })
    }

    /// The trigger that leads to an alias.
    pub(crate) fn trigger_to(&self, name: &AliasName) -> Option<&Trigger> {
        let own = &self.config.alias;
        self.triggers()
            .find(|trigger| trigger.target.alias(own) == Some(name))
    }

    /// The trigger that names a version.
    pub(crate) fn trigger_to_version(&self, version: &Digest) -> Option<&Trigger> {
        self.triggers()
            .find(|trigger| self.fixed_version(trigger) == Some(*version))
    }

    /// Connections whose next event goes to a version.
    pub(crate) fn connections(&self, version: &Digest) -> u32 {
        self.commons.connections_of(*version)
    }

    /// `url` is the address to give away, if the host knows it.
    pub(crate) fn view(&self, url: Option<&PublicUrl>) -> FunctionView {
        let aliases = self.record.aliases().iter();
        FunctionView {
            name: self.config.name.clone(),
            triggers: self.trigger_views(url),
            configured: self.configured,
            affinity: self
                .config
                .instance
                .affinity
                .as_ref()
                .map(ToString::to_string),
            connections: self.commons.hub().connections(),
            instances: self.commons.instances(),
            channel_handler: self.channel_handler(),
            versions: self.version_views(),
            aliases: aliases
                .map(|(name, record)| (name.clone(), self.alias_view(record)))
                .collect(),
        }
    }

    fn channel_handler(&self) -> Option<ChannelHandlerView> {
        let counts = self.commons.hub().queue().counts();
        let subscribes = !self.config.subscriptions.is_empty();
        subscribes.then_some(ChannelHandlerView {
            waiting: counts.waiting,
            lost: counts.lost,
            failed: counts.failed,
        })
    }

    /// Where the triggers of `config` were made.
    pub(crate) fn source(&self) -> TriggerSource {
        if self.configured {
            TriggerSource::Configuration
        } else {
            TriggerSource::Deploy
        }
    }

    /// The views of its triggers, in the order in which they are listed.
    pub(crate) fn trigger_views(&self, url: Option<&PublicUrl>) -> Vec<TriggerView> {
        let source = self.source();
        let fixed = self.config.triggers.iter().map(|it| (it, source));
        let made = self.record.triggers().iter();
        let made = made.map(|it| (it, TriggerSource::Interface));
        let own = &self.config.alias;
        fixed
            .chain(made)
            .map(|(trigger, source)| {
                TriggerView::new(trigger, own, (url, self.connects(trigger)), source)
            })
            .collect()
    }

    /// What happens to an alias's connections when it moves: the alias's own
    /// setting, or else the configuration's.
    fn migration(&self, record: &AliasRecord) -> Migration {
        record.migration().unwrap_or(self.config.migration)
    }

    /// The view of an alias.
    pub(crate) fn alias_view(&self, record: &AliasRecord) -> AliasView {
        AliasView {
            shares: record.shares().to_vec(),
            migration: self.migration(record),
            drain_connections_per_second: record.drain_connections_per_second(),
            rollbacks: record.before().len(),
        }
    }

    fn version_views(&self) -> Vec<VersionView> {
        let live = self.commons.versions();
        let records = self.record.versions().iter();
        let view = |record: &openline_core::deployment::VersionRecord| {
            let same = live.iter().filter(|it| it.digest() == record.digest);
            let same: Vec<_> = same.collect();
            let instances = same.iter().flat_map(|version| version.list());
            let backed_off = same.iter().filter_map(|version| version.backed_off()).max();
            VersionView {
                digest: record.digest,
                bytes: record.bytes,
                handler: record.call_style,
                deployed_at: record.deployed_at,
                note: record.note.clone(),
                connections: same.iter().map(|version| version.connections()).sum(),
                instances: instances
                    .map(|instance| InstanceView {
                        number: instance.number,
                        key: instance.key,
                        connections: instance.connections,
                        age: milliseconds(instance.age),
                    })
                    .collect(),
                backed_off: backed_off.map(milliseconds),
                unloaded: self.unloaded.get(&record.digest).cloned(),
            }
        };
        records.map(view).collect()
    }
}

/// The triggers of all functions.
pub(crate) fn led_triggers(functions: &Functions) -> Vec<(Trigger, Arc<Alias>)> {
    functions
        .values()
        .flat_map(|it| it.led_triggers())
        .collect()
}

/// The alias name to show for connections that came by a trigger to a version.
fn label(prefix: &str) -> AliasName {
    let short: String = prefix.chars().take(12).collect();
    AliasName::new(&format!("version-{short}")).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
