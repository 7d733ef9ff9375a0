//! The changes: each is checked and compiled beside what serves, written, and
//! then done.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use openline_core::config::FunctionConfig;
use openline_core::deployment::{Deployed, Deployment, Migration, Share, VersionRecord};
use openline_core::digest::Digest;
use openline_core::event::UpgradeRequest;
use openline_core::name::{AliasName, FunctionName};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_engine::version::{UpgradeError, Version};

use crate::drain::{drain, drain_all};
use crate::managed::{Managed, handler_of};
use crate::start::{check_routes, routes};
use crate::view::{AliasView, DeployedView};
use crate::{ChangeError, DeployOptions, Deployer, Inner};

/// A component that is compiled and tried, and not deployed.
#[derive(Debug)]
pub struct Prepared {
    name: FunctionName,
    component: Bytes,
    options: DeployOptions,
    /// It was compiled for what the function was then.
    config: FunctionConfig,
    version: Arc<Version>,
}

impl Deployer {
    /// Makes a version of a component and points an alias to it.
    pub async fn deploy(
        &self,
        name: &FunctionName,
        component: Bytes,
        options: DeployOptions,
    ) -> Result<DeployedView, ChangeError> {
        let prepared = self.prepare(name, component, options).await?;
        self.deploy_prepared(prepared).await
    }

    /// Compiles and tries a component: the long part of a deploy, which needs
    /// no turn and changes nothing. When it is dropped, the compiler is killed.
    pub async fn prepare(
        &self,
        name: &FunctionName,
        component: Bytes,
        options: DeployOptions,
    ) -> Result<Prepared, ChangeError> {
        let before = self.managed(name).ok();
        let config = new_config(name, before.as_deref(), &options)?;
        let version = self.compile(&config, &component, before.as_deref()).await?;
        if options.probe {
            self.probe(&config, component.to_vec()).await?;
        }
        Ok(Prepared {
            name: name.clone(),
            component,
            options,
            config,
            version,
        })
    }

    /// Points an alias to a component that was prepared.
    pub async fn deploy_prepared(&self, prepared: Prepared) -> Result<DeployedView, ChangeError> {
        let Prepared {
            name,
            component,
            options,
            config: compiled_for,
            version,
        } = prepared;
        let name = &name;
        let _changing = self.inner.changing.lock().await;
        let before = self.managed(name).ok();
        let config = new_config(name, before.as_deref(), &options)?;
        // It was compiled for what the function was then.
        let stale =
            compiled_for != config || !Arc::ptr_eq(version.commons(), &self.commons(&config.name));
        let version = if stale {
            self.compile(&config, &component, before.as_deref()).await?
        } else {
            version
        };
        let mut record = match &before {
            Some(before) => before.record.clone(),
            None => self.record_of(name, &config).await?,
        };
        let deployed = record_deploy(&mut record, &config, &version, &component, &options)?;
        let connected = |digest: &Digest| {
            let before = before.as_ref();
            before.is_some_and(|before| before.connections(digest) > 0)
        };
        let most = self.inner.state.read().server.versions as usize;
        let removed = record.trim(most, connected);
        let stored = self.inner.store.put_component(component).await;
        stored.map_err(unwritten)?;
        let managed = self
            .adopt(
                config,
                before.as_deref(),
                record,
                Some(Arc::clone(&version)),
            )
            .await?;
        for digest in removed {
            self.forget_component(&digest).await;
        }
        let alias = managed.record.alias(&options.alias);
        tracing::info!(function = %name, version = version.digest().short(), alias = %options.alias, "deployed");
        Ok(DeployedView {
            version: version.digest(),
            version_is_new: deployed.version_is_new,
            alias_moved: deployed.alias_moved,
            alias: managed.alias_view(alias.ok_or(ChangeError::NoFunction(name.clone()))?),
            in_memory: self.inner.in_memory,
        })
    }

    /// Points an alias to versions by weight; each is named by the beginning
    /// of its digest.
    pub async fn set_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        shares: Vec<(String, u32)>,
        migration: Option<Migration>,
        drain_connections_per_second: Option<u32>,
    ) -> Result<AliasView, ChangeError> {
        self.change_alias(name, alias, |record| {
            let found = shares.iter().map(|(prefix, weight)| {
                let version = record.find_version(prefix)?;
                Ok(Share {
                    version,
                    weight: *weight,
                })
            });
            let shares: Vec<_> = found.collect::<Result<_, ChangeError>>()?;
            record.set_alias(alias, &shares, migration)?;
            if drain_connections_per_second.is_some() {
                record.set_drain_pace(alias, drain_connections_per_second)?;
            }
            Ok(())
        })
        .await
    }

    /// Gives all connections of an alias to the canary, or to the version
    /// whose digest begins so.
    pub async fn promote(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        version: Option<&str>,
    ) -> Result<AliasView, ChangeError> {
        self.change_alias(name, alias, |record| {
            let version = version.map(|prefix| record.find_version(prefix));
            record.promote(alias, version.transpose()?)?;
            Ok(())
        })
        .await
    }

    /// Points an alias to where it pointed before.
    pub async fn rollback(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<AliasView, ChangeError> {
        self.change_alias(name, alias, |record| Ok(record.rollback(alias)?))
            .await
    }

    /// Removes an alias that no route leads to.
    pub async fn remove_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<(), ChangeError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.managed(name)?;
        if let Some(route) = before.route_to(alias) {
            return Err(ChangeError::Routed(route.to_string()));
        }
        let mut record = before.record.clone();
        record.remove_alias(alias)?;
        self.adopt(before.config.clone(), Some(&before), record, None)
            .await?;
        Ok(())
    }

    /// Removes the version whose digest begins so. With `force`, connections
    /// that are pinned to it are closed with 1012.
    pub async fn remove_version(
        &self,
        name: &FunctionName,
        version: &str,
        force: bool,
    ) -> Result<Digest, ChangeError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.managed(name)?;
        let version = before.record.find_version(version)?;
        if let Some(prefix) = before
            .fixed
            .keys()
            .find(|prefix| before.record.find_version(prefix) == Ok(version))
        {
            return Err(ChangeError::Routed(prefix.clone()));
        }
        let mut record = before.record.clone();
        record.remove_version(&version)?;
        let connections = before.connections(&version);
        if connections > 0 && !force {
            return Err(ChangeError::Connected {
                version,
                connections,
            });
        }
        self.adopt(before.config.clone(), Some(&before), record, None)
            .await?;
        self.forget_component(&version).await;
        let pace = self.inner.state.read().server.drain_connections_per_second;
        drain_all(&before.commons, Some(version), pace);
        Ok(version)
    }

    /// Removes a function that no configuration names, with all it has kept;
    /// its connections are closed with 1012. Also one that has left the
    /// configuration and would find all of it when it came back.
    pub async fn remove_function(&self, name: &FunctionName) -> Result<(), ChangeError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.managed(name).ok();
        if before.as_ref().is_some_and(|before| before.configured) {
            return Err(ChangeError::Configured(name.clone()));
        }
        let record = match &before {
            Some(before) => Some(before.record.clone()),
            None => self.stored(name).await?,
        };
        if record.is_none() && self.inner.identities.find(name).is_none() {
            return Err(ChangeError::NoFunction(name.clone()));
        }
        let commons = self.commons(name);
        commons.remove().await.map_err(unwritten)?;
        self.inner.identities.forget(name);
        let mut functions = self.inner.state.read().functions.clone();
        functions.remove(name);
        self.serve(functions)?;
        for version in record.iter().flat_map(Deployment::versions) {
            self.forget_component(&version.digest).await;
        }
        let pace = self.inner.state.read().server.drain_connections_per_second;
        drain_all(&commons, None, pace);
        Ok(())
    }

    /// What is deployed of a function that is not served: nothing, or what it
    /// had when it left the configuration.
    async fn record_of(
        &self,
        name: &FunctionName,
        config: &FunctionConfig,
    ) -> Result<Deployment, ChangeError> {
        let stored = self.stored(name).await?;
        let mut record = stored.unwrap_or_else(|| Deployment::new(name.clone(), None));
        record.set_route(Some(config.route.clone()));
        Ok(record)
    }

    /// What the store has of a function, served or not.
    async fn stored(&self, name: &FunctionName) -> Result<Option<Deployment>, ChangeError> {
        let stored = self.inner.store.deployments().await.map_err(unwritten)?;
        Ok(stored.into_iter().find(|record| record.name() == name))
    }

    /// What all versions of a function have in common.
    fn commons(&self, name: &FunctionName) -> Arc<Commons> {
        let Inner {
            runtime,
            store,
            identities,
            ..
        } = &*self.inner;
        identities.commons(name, || runtime.commons(name, store))
    }

    async fn change_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        change: impl FnOnce(&mut Deployment) -> Result<(), ChangeError>,
    ) -> Result<AliasView, ChangeError> {
        let _changing = self.inner.changing.lock().await;
        let before = self.managed(name)?;
        let mut record = before.record.clone();
        change(&mut record)?;
        let config = before.config.clone();
        let managed = self.adopt(config, Some(&before), record, None).await?;
        let record = managed.record.alias(alias);
        let record = record.ok_or_else(|| ChangeError::NoFunction(name.clone()))?;
        Ok(managed.alias_view(record))
    }

    /// Makes what a deployment says: loads versions that are missing, writes
    /// the deployment, and leads aliases and routes to it. An error means that
    /// nothing has changed.
    async fn adopt(
        &self,
        config: FunctionConfig,
        before: Option<&Managed>,
        record: Deployment,
        loaded: Option<Arc<Version>>,
    ) -> Result<Arc<Managed>, ChangeError> {
        let mut versions = HashMap::new();
        for digest in Managed::needed(&config, &record) {
            let known = before.and_then(|before| before.versions.get(&digest));
            let version = match (&loaded, known) {
                (_, Some(known)) => Arc::clone(known),
                (Some(loaded), _) if loaded.digest() == digest => Arc::clone(loaded),
                _ => self.load_stored(&config, &digest, before).await?,
            };
            versions.insert(digest, version);
        }
        let commons = self.commons(&config.name);
        commons.restore_alarms().await.map_err(unwritten)?;
        let configured = before.is_some_and(|before| before.configured);
        let held = self.inner.identities.find(&config.name);
        let held = held.as_ref();
        let managed = Managed::new(config, configured, commons, record, versions, held);
        let managed = Arc::new(managed);
        let name = managed.config.name.clone();
        let mut functions = self.inner.state.read().functions.clone();
        functions.insert(name, Arc::clone(&managed));
        check_routes(&functions).map_err(|error| ChangeError::Route(error.to_string()))?;
        let written = self.inner.store.put_deployment(&managed.record).await;
        written.map_err(unwritten)?;
        self.serve(functions)?;
        let server = self.inner.state.read().server.clone();
        for moved in managed.lead() {
            drain(&managed, moved, &server);
        }
        self.inner.identities.note(&managed);
        Ok(managed)
    }

    /// Routes lead to these functions from now on.
    fn serve(
        &self,
        functions: std::collections::BTreeMap<FunctionName, Arc<Managed>>,
    ) -> Result<(), ChangeError> {
        let mut state = self.inner.state.write();
        let replaced = self
            .inner
            .services
            .replace(state.server.clone(), routes(&functions));
        replaced.map_err(|error| ChangeError::Route(error.to_string()))?;
        state.functions = functions;
        Ok(())
    }

    /// Compiles and tries a component, unless it is one of the versions that
    /// serve.
    async fn compile(
        &self,
        config: &FunctionConfig,
        component: &Bytes,
        before: Option<&Managed>,
    ) -> Result<Arc<Version>, ChangeError> {
        let digest = openline_engine::runtime::digest_of(component);
        if let Some(known) = before.and_then(|before| before.versions.get(&digest)) {
            return Ok(Arc::clone(known));
        }
        let commons = self.commons(&config.name);
        let loading = self
            .inner
            .runtime
            .load(config, component.to_vec(), &commons);
        Ok(loading.await?)
    }

    async fn load_stored(
        &self,
        config: &FunctionConfig,
        digest: &Digest,
        before: Option<&Managed>,
    ) -> Result<Arc<Version>, ChangeError> {
        let found = self.inner.store.component(digest).await;
        let component = found
            .map_err(unwritten)?
            .ok_or(ChangeError::Missing(*digest))?;
        self.compile(config, &component, before).await
    }

    /// Asks the function about a connection that nobody wants. What it decides
    /// does not matter, that it decides does.
    async fn probe(&self, config: &FunctionConfig, component: Vec<u8>) -> Result<(), ChangeError> {
        let version = self.inner.runtime.load_alone(config, component).await?;
        let parameters = config.route.parameters().iter();
        let request = UpgradeRequest {
            method: "GET".into(),
            uri: "/probe".into(),
            headers: vec![("host".into(), b"localhost".to_vec())],
            peer: "127.0.0.1:1".into(),
            subprotocols: Vec::new(),
            route_params: parameters
                .map(|name| (name.clone(), "probe".into()))
                .collect(),
        };
        let commons = Arc::clone(version.commons());
        let answered = Alias::to(version).upgrade(request).await.map(drop);
        // Its instance has a place of the host's, which others may need.
        commons.stop();
        commons.ended().await;
        match answered {
            Ok(()) => Ok(()),
            Err(error @ (UpgradeError::Fault(_) | UpgradeError::Invalid(_))) => {
                Err(ChangeError::Probe(error.to_string()))
            }
            // That there is no room says nothing of the component.
            Err(_) => Ok(()),
        }
    }

    /// Removes a component that no function needs any more. What cannot be
    /// removed now is when the host starts again.
    async fn forget_component(&self, digest: &Digest) {
        // Also one that has left the configuration, and may come back, needs it.
        let stored = match self.inner.store.deployments().await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%error, version = digest.short(), "a component is not removed");
                return;
            }
        };
        let state = self.inner.state.read().clone();
        let records = state.functions.values().map(|managed| &managed.record);
        if stored
            .iter()
            .chain(records)
            .any(|record| record.version(digest).is_some())
        {
            return;
        }
        if let Err(error) = self.inner.store.remove_component(digest).await {
            tracing::warn!(%error, version = digest.short(), "a component is not removed");
        }
    }
}

/// The configuration of a function that is deployed to: as it is, or a new one.
fn new_config(
    name: &FunctionName,
    before: Option<&Managed>,
    options: &DeployOptions,
) -> Result<FunctionConfig, ChangeError> {
    match (before, &options.route) {
        (None, None) => Err(ChangeError::NoRoute(name.clone())),
        (None, Some(route)) => {
            let mut config = FunctionConfig::new(name.clone(), None, route.clone());
            config.alias = options.alias.clone();
            Ok(config)
        }
        (Some(before), Some(route)) if before.config.route != *route => {
            if before.configured {
                return Err(ChangeError::Configured(name.clone()));
            }
            let mut config = before.config.clone();
            config.route = route.clone();
            Ok(config)
        }
        (Some(before), _) => Ok(before.config.clone()),
    }
}

fn record_deploy(
    record: &mut Deployment,
    config: &FunctionConfig,
    version: &Version,
    component: &Bytes,
    options: &DeployOptions,
) -> Result<Deployed, ChangeError> {
    if record.route().is_some() {
        record.set_route(Some(config.route.clone()));
    }
    let deployed = record.deploy(
        VersionRecord {
            digest: version.digest(),
            bytes: u64::try_from(component.len()).unwrap_or(u64::MAX),
            handler: handler_of(version),
            deployed_at: unix_milliseconds(),
            note: options.note.clone(),
        },
        &options.alias,
        options.weight,
        options.migration,
    )?;
    if options.drain_connections_per_second.is_some() {
        record.set_drain_pace(&options.alias, options.drain_connections_per_second)?;
    }
    Ok(deployed)
}

fn unwritten(error: impl std::fmt::Display) -> ChangeError {
    ChangeError::Store(error.to_string())
}

/// The clock on the wall: when something was deployed is for people.
#[expect(
    clippy::disallowed_methods,
    reason = "people read it, and nothing depends on it"
)]
pub(crate) fn unix_milliseconds() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
