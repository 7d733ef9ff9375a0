//! One function as it is served: its configuration, its deployment, and the
//! versions and aliases that follow from both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use openline_core::config::{FunctionConfig, Target};
use openline_core::deployment::{AliasRecord, Deployment, Migration, Share};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use openline_engine::alias::{Alias, Split};
use openline_engine::commons::Commons;
use openline_engine::version::Version;

use crate::view::{AliasView, FunctionView, InstanceView, RouteView, VersionView};

/// One function as it is served. It never changes: a change makes another one.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) config: FunctionConfig,
    /// Whether the configuration names it.
    pub(crate) configured: bool,
    pub(crate) commons: Arc<Commons>,
    pub(crate) record: Deployment,
    /// The versions that an alias or a route leads to.
    pub(crate) versions: HashMap<Digest, Arc<Version>>,
    /// Versions among them that cannot serve, and why.
    pub(crate) unloaded: HashMap<Digest, String>,
    /// The aliases by name. Each stays the same as long as the function has it.
    /// Those that routes lead to exist before they lead anywhere.
    pub(crate) aliases: BTreeMap<AliasName, Arc<Alias>>,
    /// Aliases for routes that lead to a version, by the text in the route.
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
    /// The versions that a deployment and the routes of a function need.
    pub(crate) fn needed(config: &FunctionConfig, record: &Deployment) -> Vec<Digest> {
        let shares = record.aliases().values().flat_map(AliasRecord::shares);
        let mut needed: Vec<_> = shares.map(|share| share.version).collect();
        for trigger in &config.triggers {
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
        let triggers = made.config.triggers.iter();
        let routed = triggers.filter_map(|trigger| match &trigger.target {
            Target::Alias(name) => Some(name),
            Target::Version(_) => None,
        });
        let routed = routed.chain([&made.config.alias]);
        let mut names: Vec<_> = made
            .record
            .aliases()
            .keys()
            .chain(routed)
            .cloned()
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let same = before.and_then(|before| before.aliases.get(&name).cloned());
            let alias = same.unwrap_or_else(|| made.make(&name));
            made.aliases.insert(name, alias);
        }
        for trigger in &made.config.triggers {
            if let Target::Version(prefix) = &trigger.target {
                let same = before.and_then(|before| before.fixed.get(prefix).cloned());
                let alias = same.unwrap_or_else(|| made.make(&label(prefix)));
                made.fixed.insert(prefix.clone(), alias);
            }
        }
        made
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

    /// Its routes, with what they lead to.
    pub(crate) fn routes(&self) -> Vec<(Route, Arc<Alias>)> {
        let main = self.aliases.get(&self.config.alias);
        let main = main.map(|alias| (self.config.route.clone(), Arc::clone(alias)));
        let triggers = self.config.triggers.iter().filter_map(|trigger| {
            let alias = match &trigger.target {
                Target::Alias(name) => self.aliases.get(name),
                Target::Version(prefix) => self.fixed.get(prefix),
            };
            Some((trigger.route.clone(), Arc::clone(alias?)))
        });
        main.into_iter().chain(triggers).collect()
    }

    /// Its routes, each with why nothing serves there, in a line; none where
    /// something does.
    pub(crate) fn introduction(&self) -> Vec<(Route, Option<String>)> {
        let main = (&self.config.route, self.led(&self.config.alias));
        let triggers = self.config.triggers.iter().map(|trigger| {
            let led = match &trigger.target {
                Target::Alias(name) => self.led(name),
                Target::Version(prefix) => self.record.find_version(prefix).into_iter().collect(),
            };
            (&trigger.route, led)
        });
        let routes = std::iter::once(main).chain(triggers);
        routes
            .map(|(route, versions)| (route.clone(), self.unserved(&versions)))
            .collect()
    }

    /// The versions that an alias leads to.
    fn led(&self, name: &AliasName) -> Vec<Digest> {
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

    /// The route that leads to an alias.
    pub(crate) fn route_to(&self, name: &AliasName) -> Option<&Route> {
        if self.config.alias == *name {
            return Some(&self.config.route);
        }
        let mut triggers = self.config.triggers.iter();
        let target = Target::Alias(name.clone());
        let found = triggers.find(|trigger| trigger.target == target);
        found.map(|trigger| &trigger.route)
    }

    /// Connections whose next event goes to a version.
    pub(crate) fn connections(&self, version: &Digest) -> u32 {
        self.commons.connections_of(*version)
    }

    pub(crate) fn view(&self) -> FunctionView {
        let route = |route: &Route, target: String| RouteView {
            route: route.to_string(),
            target,
        };
        let mut routes = vec![route(&self.config.route, self.config.alias.to_string())];
        routes.extend(self.config.triggers.iter().map(|trigger| {
            let target = match &trigger.target {
                Target::Alias(name) => name.to_string(),
                Target::Version(prefix) => prefix.clone(),
            };
            route(&trigger.route, target)
        }));
        let aliases = self.record.aliases().iter();
        FunctionView {
            name: self.config.name.clone(),
            routes,
            configured: self.configured,
            affinity: self.config.instance.affinity.clone(),
            connections: self.commons.hub().connections(),
            instances: self.commons.instances(),
            versions: self.version_views(),
            aliases: aliases
                .map(|(name, record)| (name.clone(), self.alias_view(record)))
                .collect(),
        }
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

/// The routes of all functions.
pub(crate) fn routes(functions: &Functions) -> Vec<(Route, Arc<Alias>)> {
    functions.values().flat_map(|it| it.routes()).collect()
}

/// The alias name to show for connections that came by a route to a version.
fn label(prefix: &str) -> AliasName {
    let short: String = prefix.chars().take(12).collect();
    AliasName::new(&format!("version-{short}")).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
