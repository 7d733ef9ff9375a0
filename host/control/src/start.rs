//! Makes a host that serves, from a configuration and earlier deployments; and
//! makes it again when the configuration is read again. Either succeeds
//! completely or changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openline_admission::services::Services;
use openline_core::component::Component;
use openline_core::config::{Config, FunctionConfig};
use openline_core::deployment::Deployment;
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_engine::LoadError;
use openline_engine::runtime::Runtime;
use openline_engine::version::Version;
use openline_firewall::rules::Firewalls;
use openline_hint::Hint;
use openline_outbound::Outbound;
use openline_store::{Store, StoreError};
use parking_lot::RwLock;
use tokio::runtime::Handle;

use crate::apply::Next;
use crate::authenticators::Reading;
use crate::bare;
use crate::call_terms;
use crate::callers::Callers;
use crate::credentials;
use crate::deployer::{Deployer, Inner, State};
use crate::error::StartError;
use crate::identity::Identities;
use crate::keys;
use crate::managed::{Functions, Managed};
use crate::plan::{NewVersion, Plan, config_of, is_new};
use crate::prepare::{Damage, Loader, Occasion, Versions};
use crate::secrets;
use crate::settle::{ChangeGuard, ChangeLock, answered};

/// The note of a version that a configuration names.
const CONFIGURED: &str = "from the configuration";

/// The component that a configuration names for a function.
#[derive(Debug)]
pub struct ConfiguredComponent {
    /// The function.
    pub function: FunctionName,
    /// The component, or why it cannot be read.
    pub component: Result<Component, LoadError>,
}

/// The changes that a reload made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Functions with another component, or other settings.
    pub changed: Vec<FunctionName>,
    /// New functions.
    pub added: Vec<FunctionName>,
    /// Functions that no trigger leads to any more.
    pub removed: Vec<FunctionName>,
}

/// The host starts, or reads its configuration again. A version that does not
/// load is logged, and others take its connections: one damaged file must not
/// keep the host from starting.
#[derive(Debug)]
struct Starting;

impl Occasion for Starting {
    type Error = StoreError;

    fn loaded(&self, config: &FunctionConfig, version: &Version, took: Duration) {
        let (handler, milliseconds) = (version.call_style(), took.as_millis());
        tracing::info!(function = %config.name, ?handler, milliseconds, "loaded");
    }

    fn damaged(
        &self,
        config: &FunctionConfig,
        version: &Digest,
        damage: Damage,
    ) -> Result<String, StoreError> {
        let error = match damage {
            Damage::Missing => LoadError::Host("its component is not there".into()),
            Damage::Load(error) => error,
        };
        let hint = error.hint();
        let hint = hint.as_deref();
        tracing::error!(function = %config.name, version = version.short(), %error, hint, "a deployed version does not load");
        Ok(error.to_string())
    }
}

/// All functions of a configuration, ready to serve.
#[derive(Debug, Default)]
struct Ready {
    functions: Functions,
    /// Those with a changed deployment.
    changed: Vec<Arc<Managed>>,
    /// Components of the configuration that do not load.
    errors: Vec<(FunctionName, LoadError)>,
}

impl Deployer {
    /// Loads the functions of a configuration and earlier deployments, and puts
    /// them onto their routes, behind the firewalls of that configuration.
    pub async fn start(
        runtime: Arc<Runtime>,
        store: Store,
        in_memory: bool,
        (config, firewalls): (Config, Firewalls),
        components: Vec<ConfiguredComponent>,
    ) -> Result<Self, StartError> {
        let services = Arc::new(Services::new(config.server.clone(), Vec::new())?);
        services.sign_with(*store.secret());
        let state = State {
            server: config.server.clone(),
            channels: Arc::default(),
            functions: Functions::new(),
        };
        let deployer = Self {
            inner: Arc::new(Inner {
                loader: Loader {
                    runtime,
                    store,
                    identities: Identities::default(),
                    services: Arc::clone(&services),
                    callers: Callers::new(Outbound::new(&config.server, Handle::current())),
                },
                in_memory,
                services,
                changes: ChangeLock::default(),
                state: RwLock::new(state),
            }),
        };
        // They end with the runtime.
        tokio::spawn(Arc::clone(deployer.services().sweeps()).run());
        tokio::spawn(Arc::clone(deployer.services().settling()).run());
        credentials::restore(&deployer.inner.loader.store, deployer.services()).await?;
        keys::restore(&deployer.inner.loader.store, deployer.services().keys()).await?;
        let guard = deployer.inner.changes.lock().await?;
        deployer
            .configure((config, firewalls), components, &guard)
            .await?;
        deployer.clean(&guard).await?;
        Ok(deployer)
    }

    /// Takes another configuration with its firewalls. After an error nothing has
    /// changed.
    pub async fn reload(
        &self,
        configured: (Config, Firewalls),
        components: Vec<ConfiguredComponent>,
    ) -> Result<Reloaded, StartError> {
        let guard = self.inner.changes.lock().await?;
        let reloaded = self.configure(configured, components, &guard).await?;
        // Nothing leads to the trimmed versions any more, so their components
        // can go.
        if let Err(error) = self.clean(&guard).await {
            tracing::warn!(%error, "components of old versions are not removed");
        }
        Ok(reloaded)
    }

    /// Puts a configuration into service.
    async fn configure(
        &self,
        (config, firewalls): (Config, Firewalls),
        components: Vec<ConfiguredComponent>,
        guard: &ChangeGuard,
    ) -> Result<Reloaded, StartError> {
        let config = secrets::read(config).await?;
        let terms = call_terms::read(&config).await?;
        let keys = keys::prepare(self.services().keys(), &config.keys).await?;
        let ready = self.ready(&config, components, guard).await?;
        let reloaded = compare(&self.inner.state.read().functions, &ready.functions);
        let next = Next {
            server: config.server,
            channels: Some(config.channels.into()),
            firewalls: Some(firewalls),
            keys: Some(keys),
            led: ready.functions.values().cloned().collect(),
            functions: ready.functions,
            written: ready.changed,
            secrets: Reading::Again,
        };
        self.apply(next, guard).await?;
        self.inner.loader.callers.put(terms);
        Ok(reloaded)
    }

    /// Prepares all functions of a configuration, and those that were deployed
    /// with a route.
    async fn ready(
        &self,
        config: &Config,
        components: Vec<ConfiguredComponent>,
        guard: &ChangeGuard,
    ) -> Result<Ready, StartError> {
        let loader = &self.inner.loader;
        let mut stored: HashMap<FunctionName, Deployment> = HashMap::new();
        for deployment in answered(loader.store.deployments()).await? {
            stored.insert(deployment.name().clone(), deployment);
        }
        let components = components.into_iter();
        let components = components.map(|each| (each.function, each.component));
        let mut components: HashMap<_, _> = components.collect();
        let most = config.server.versions as usize;
        let mut ready = Ready::default();
        for function in &config.functions {
            let record = stored.remove(&function.name);
            let record = record.unwrap_or_else(|| Deployment::new(function.name.clone(), None));
            let component = components.remove(&function.name).transpose();
            let planned = async { loader.configured(function, record, component?, most).await };
            match planned.await {
                Ok((plan, new)) => {
                    let changed = new.is_some();
                    if let Some(component) = new {
                        self.keep_component(component, guard).await?;
                    }
                    ready.add(loader.start(plan).await?, changed);
                }
                Err(PlanError::Load(error)) => ready.errors.push((function.name.clone(), error)),
                Err(PlanError::Start(error)) => return Err(error),
            }
        }
        for record in stored.into_values() {
            // A function without a route has left the configuration, and waits
            // until it is named again.
            let Some(config) = config_of(&record) else {
                continue;
            };
            let plan = Plan {
                config,
                configured: false,
                record,
                loaded: None,
            };
            ready.add(loader.start(plan).await?, false);
        }
        if ready.errors.is_empty() {
            Ok(ready)
        } else {
            Err(StartError::Load(ready.errors))
        }
    }
}

/// Why there is no plan for a function of the configuration.
enum PlanError {
    /// Its component does not load; the other functions are still planned.
    Load(LoadError),
    Start(StartError),
}

impl From<LoadError> for PlanError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        Self::Start(error.into())
    }
}

impl Ready {
    fn add(&mut self, managed: Managed, changed: bool) {
        let managed = Arc::new(managed);
        if changed {
            self.changed.push(Arc::clone(&managed));
        }
        self.functions.insert(managed.config.name.clone(), managed);
    }
}

impl Loader {
    /// Plans a function that the configuration names. Answers the component as
    /// well if it is to be deployed, which changes the function's deployment.
    async fn configured(
        &self,
        config: &FunctionConfig,
        mut record: Deployment,
        component: Option<Component>,
        versions_max: usize,
    ) -> Result<(Plan, Option<Component>), PlanError> {
        record.set_route(None);
        let mut new_component = None;
        let mut loaded = None;
        let own = match component {
            Some(_) => None,
            None => bare::of(config, &record),
        };
        let note = if own.is_some() {
            bare::NOTE
        } else {
            CONFIGURED
        };
        if let Some(component) = component.or(own) {
            let known = self.known(&config.name);
            let version = self.version(&Starting, config, &component, &known).await?;
            let digest = component.digest();
            if is_new(&record, &digest, &config.alias) {
                let new = NewVersion {
                    note: Some(note.into()),
                    // Keeps the alias's own setting, or else the
                    // configuration's.
                    migration: None,
                    ..NewVersion::of(&component, &version, &config.alias)
                };
                let entered = new.enter(&mut record);
                let rule = |error| PlanError::Start(StartError::Rule(config.name.clone(), error));
                entered.map_err(rule)?;
                new_component = Some(component);
                let commons = version.commons();
                record.trim(versions_max, |digest| commons.connections_of(*digest) > 0);
                record.set_configured(Some(digest));
            }
            loaded = Some(version);
        }
        let plan = Plan {
            config: config.clone(),
            configured: true,
            record,
            loaded,
        };
        Ok((plan, new_component))
    }

    async fn start(&self, plan: Plan) -> Result<Managed, StoreError> {
        let known = self.known(&plan.config.name);
        self.prepare(&Starting, plan, &known).await
    }

    /// The versions of a function that something holds.
    fn known(&self, name: &FunctionName) -> Versions {
        let held = self.identities.find(name);
        held.map(|held| held.versions).unwrap_or_default()
    }
}

fn compare(before: &Functions, after: &Functions) -> Reloaded {
    let live = |managed: &Managed| -> Vec<Arc<Version>> {
        let mut versions: Vec<_> = managed.versions.values().cloned().collect();
        versions.sort_unstable_by_key(|version| version.digest());
        versions
    };
    let same = |old: &Managed, new: &Managed| {
        let (one, other) = (live(old), live(new));
        old.config.triggers == new.config.triggers
            && old.config.alias == new.config.alias
            && old.config.migration == new.config.migration
            && old.config.auto_responses == new.config.auto_responses
            && old.config.channels == new.config.channels
            && old.config.outbound == new.config.outbound
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
