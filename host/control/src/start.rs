//! From a configuration and what was deployed before to a host that serves,
//! and the same again when the configuration is read anew. All or nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use openline_core::config::{Config, FunctionConfig};
use openline_core::deployment::{Deployment, DeploymentError, VersionRecord};
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_core::route::{Route, RouteError, RouteTable};
use openline_engine::LoadError;
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_engine::runtime::Runtime;
use openline_engine::version::Version;
use openline_store::{Store, StoreError};
use parking_lot::RwLock;

use crate::drain::drain;
use crate::identity::Identities;
use crate::managed::{Managed, handler_of};
use crate::{Deployer, Inner, State};
use openline_admission::services::Services;

/// What the note of a version says that a configuration names.
const CONFIGURED: &str = "from the configuration";

/// The component that a configuration names for a function.
#[derive(Debug)]
pub struct Component {
    /// The function.
    pub function: FunctionName,
    /// The file's content, or why it cannot be read.
    pub bytes: Result<Bytes, LoadError>,
}

/// Why a host does not start, or goes on with the configuration it has.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two routes match the same paths.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Components that a configuration names cannot be versions.
    #[error("{} components do not load", .0.len())]
    Load(Vec<(FunctionName, LoadError)>),
    /// The rules of deployments.
    #[error("`{0}`: {1}")]
    Rule(FunctionName, DeploymentError),
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a new reading of the configuration has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Functions with another component, or other settings.
    pub changed: Vec<FunctionName>,
    /// Functions that were not there.
    pub added: Vec<FunctionName>,
    /// Functions that no route leads to any more.
    pub removed: Vec<FunctionName>,
}

/// Functions by name.
type Functions = BTreeMap<FunctionName, Arc<Managed>>;

/// Versions, records and configurations are put together here.
struct Making<'a> {
    runtime: &'a Arc<Runtime>,
    store: &'a Store,
    identities: &'a Identities,
    /// How many of a function are kept.
    versions: usize,
    /// Keeps what was made for functions that are not served yet.
    made: Vec<Arc<Commons>>,
    errors: Vec<(FunctionName, LoadError)>,
}

impl Deployer {
    /// Loads what a configuration names and what was deployed before, and puts
    /// it onto its routes.
    pub async fn start(
        runtime: Arc<Runtime>,
        store: Store,
        in_memory: bool,
        config: Config,
        components: Vec<Component>,
    ) -> Result<Self, StartError> {
        let identities = Identities::default();
        let functions = make(&runtime, &store, &identities, &config, components).await?;
        let services = Services::new(config.server.clone(), routes(&functions))?;
        for managed in functions.values() {
            managed.lead();
            identities.note(managed);
        }
        clean(&store).await?;
        let state = State {
            server: config.server,
            functions,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                runtime,
                store,
                in_memory,
                services: Arc::new(services),
                identities,
                changing: tokio::sync::Mutex::new(()),
                state: RwLock::new(state),
            }),
        })
    }

    /// Takes another configuration. Upon an error all stays as it was.
    pub async fn reload(
        &self,
        config: Config,
        components: Vec<Component>,
    ) -> Result<Reloaded, StartError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let before = inner.state.read().functions.clone();
        let Inner {
            runtime,
            store,
            identities,
            ..
        } = &**inner;
        let functions = make(runtime, store, identities, &config, components).await?;
        inner
            .services
            .replace(config.server.clone(), routes(&functions))?;
        let reloaded = compare(&before, &functions);
        for managed in functions.values() {
            for moved in managed.lead() {
                drain(managed, moved, &config.server);
            }
            identities.note(managed);
        }
        *inner.state.write() = State {
            server: config.server,
            functions,
        };
        // What was trimmed, now that nothing leads to it.
        if let Err(error) = clean(&inner.store).await {
            tracing::warn!(%error, "components of old versions are not removed");
        }
        Ok(reloaded)
    }
}

/// The routes of all functions.
pub(crate) fn routes(functions: &Functions) -> Vec<(Route, Arc<Alias>)> {
    functions.values().flat_map(|it| it.routes()).collect()
}

async fn make(
    runtime: &Arc<Runtime>,
    store: &Store,
    identities: &Identities,
    config: &Config,
    components: Vec<Component>,
) -> Result<Functions, StartError> {
    let mut stored: HashMap<FunctionName, Deployment> = HashMap::new();
    for deployment in store.deployments().await? {
        stored.insert(deployment.name().clone(), deployment);
    }
    let mut components: HashMap<_, _> = components
        .into_iter()
        .map(|component| (component.function, component.bytes))
        .collect();
    let mut making = Making {
        runtime,
        store,
        identities,
        versions: config.server.versions as usize,
        made: Vec::new(),
        errors: Vec::new(),
    };
    let mut functions = BTreeMap::new();
    let mut changed = Vec::new();
    for function in &config.functions {
        let record = stored.remove(&function.name);
        let bytes = components.remove(&function.name);
        let made = making.configured(function.clone(), record, bytes).await?;
        let Some((managed, is_new)) = made else {
            continue;
        };
        if is_new {
            changed.push(managed.record.clone());
        }
        functions.insert(function.name.clone(), Arc::new(managed));
    }
    for (name, record) in stored {
        // One without a route was a configured one and waits to be so again.
        let Some(route) = record.route().cloned() else {
            continue;
        };
        let mut config = FunctionConfig::new(name.clone(), None, route);
        if record.alias(&config.alias).is_none()
            && let Some(other) = record.aliases().keys().next()
        {
            config.alias = other.clone();
        }
        let managed = making.deployed(config, false, record, None).await?;
        functions.insert(name, Arc::new(managed));
    }
    if !making.errors.is_empty() {
        return Err(StartError::Load(making.errors));
    }
    check_routes(&functions)?;
    for managed in functions.values() {
        managed.commons.restore_alarms().await?;
    }
    for record in changed {
        store.put_deployment(&record).await?;
    }
    Ok(functions)
}

/// Whether all routes can be there at once.
pub(crate) fn check_routes(functions: &Functions) -> Result<(), RouteError> {
    let mut table = RouteTable::default();
    for (route, _) in routes(functions) {
        table.insert(&route, ())?;
    }
    Ok(())
}

impl Making<'_> {
    /// A function that the configuration names, and whether its deployment has
    /// changed by that. None when its component does not load.
    async fn configured(
        &mut self,
        config: FunctionConfig,
        record: Option<Deployment>,
        bytes: Option<Result<Bytes, LoadError>>,
    ) -> Result<Option<(Managed, bool)>, StartError> {
        let name = config.name.clone();
        let mut record = record.unwrap_or_else(|| Deployment::new(name.clone(), None));
        record.set_route(None);
        let mut is_new = false;
        let mut loaded = None;
        if let Some(bytes) = bytes {
            let loading = async {
                let bytes = bytes?;
                let version = self.load(&config, bytes.to_vec()).await?;
                Ok((version, bytes))
            };
            let (version, bytes) = match loading.await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.errors.push((name, error));
                    return Ok(None);
                }
            };
            let digest = version.digest();
            // What was deployed since stays, until the file is another one. An
            // alias that the configuration did not name before has nothing yet.
            is_new = record.configured() != Some(digest)
                || record.version(&digest).is_none()
                || record.alias(&config.alias).is_none();
            if is_new {
                let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.store.put_component(bytes).await?;
                let deployed = record.deploy(
                    VersionRecord {
                        digest,
                        bytes: size,
                        handler: handler_of(&version),
                        deployed_at: crate::change::unix_milliseconds(),
                        note: Some(CONFIGURED.into()),
                    },
                    &config.alias,
                    None,
                    // The alias does as it was told, else as the configuration says.
                    None,
                );
                deployed.map_err(|error| StartError::Rule(name, error))?;
                let commons = self.commons(&config.name);
                record.trim(self.versions, |version| {
                    commons.connections_of(*version) > 0
                });
                record.set_configured(Some(digest));
            }
            loaded = Some(version);
        }
        let managed = self.deployed(config, true, record, loaded).await?;
        Ok(Some((managed, is_new)))
    }

    /// A function with what is deployed of it. A version that does not load is
    /// logged, and the others take its connections: one damaged file is no
    /// reason not to start.
    async fn deployed(
        &mut self,
        config: FunctionConfig,
        configured: bool,
        record: Deployment,
        loaded: Option<Arc<Version>>,
    ) -> Result<Managed, StartError> {
        let mut versions = HashMap::new();
        for digest in Managed::needed(&config, &record) {
            let version = match &loaded {
                Some(version) if version.digest() == digest => Arc::clone(version),
                _ => {
                    let found = match self.store.component(&digest).await? {
                        Some(bytes) => self.load(&config, bytes.to_vec()).await,
                        None => Err(LoadError::Host("its component is not there".into())),
                    };
                    match found {
                        Ok(version) => version,
                        Err(error) => {
                            tracing::error!(function = %config.name, version = digest.short(), %error, "a deployed version does not load");
                            continue;
                        }
                    }
                }
            };
            versions.insert(digest, version);
        }
        let commons = self.commons(&config.name);
        let before = self.identities.find(&config.name);
        Ok(Managed::new(
            config,
            configured,
            commons,
            record,
            versions,
            before.as_ref(),
        ))
    }

    /// What all versions of a function have in common.
    fn commons(&mut self, name: &FunctionName) -> Arc<Commons> {
        let make = || self.runtime.commons(name, self.store);
        let commons = self.identities.commons(name, make);
        if !self.made.iter().any(|made| Arc::ptr_eq(made, &commons)) {
            self.made.push(Arc::clone(&commons));
        }
        commons
    }

    /// Loads a version, unless it is there already and nothing about it has
    /// changed.
    async fn load(
        &mut self,
        config: &FunctionConfig,
        bytes: Vec<u8>,
    ) -> Result<Arc<Version>, LoadError> {
        let before = self.identities.find(&config.name);
        let started = tokio::time::Instant::now();
        let digest = openline_engine::runtime::digest_of(&bytes);
        let known = before.and_then(|before| before.versions.get(&digest).cloned());
        // One that was removed is there for its last connections, which are
        // asked to leave: what comes from now on gets another one.
        if let Some(version) = known.filter(|version| !version.is_removed()) {
            return self.runtime.reload(config, bytes, &version).await;
        }
        let commons = self.commons(&config.name);
        let version = self.runtime.load(config, bytes, &commons).await?;
        let handler = version.handler();
        let milliseconds = started.elapsed().as_millis();
        tracing::info!(function = %config.name, route = %config.route, ?handler, milliseconds, "loaded");
        Ok(version)
    }
}

/// Removes components that a deploy has left which did not come to its end.
async fn clean(store: &Store) -> Result<(), StoreError> {
    let deployments = store.deployments().await?;
    let needed = |digest: &Digest| {
        deployments
            .iter()
            .any(|deployment| deployment.version(digest).is_some())
    };
    for digest in store.components().await? {
        if !needed(&digest) {
            store.remove_component(&digest).await?;
        }
    }
    Ok(())
}

fn compare(before: &Functions, after: &Functions) -> Reloaded {
    let live = |managed: &Managed| -> Vec<Arc<Version>> {
        let mut versions: Vec<_> = managed.versions.values().cloned().collect();
        versions.sort_unstable_by_key(|version| version.digest());
        versions
    };
    let same = |old: &Managed, new: &Managed| {
        let (one, other) = (live(old), live(new));
        old.config.route == new.config.route
            && old.config.triggers == new.config.triggers
            && old.config.migration == new.config.migration
            && old.config.auto_responses == new.config.auto_responses
            && old.record.aliases() == new.record.aliases()
            && one.len() == other.len()
            && one
                .iter()
                .zip(&other)
                .all(|(one, other)| Arc::ptr_eq(one, other))
    };
    let mut reloaded = Reloaded::default();
    for (name, managed) in after {
        match before.get(name) {
            None => reloaded.added.push(name.clone()),
            Some(old) if !same(old, managed) => reloaded.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(name));
    reloaded.removed.extend(gone.cloned());
    reloaded
}
