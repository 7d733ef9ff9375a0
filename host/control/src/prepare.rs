//! Turns a plan into a function that can serve: loads and tries its versions
//! beside those that serve. It changes nothing visible.
//!
//! The start of the host, a new configuration and every change are prepared in
//! the same way; an [`Occasion`] holds the differences.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openline_admission::services::Services;
use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_engine::LoadError;
use openline_engine::commons::Commons;
use openline_engine::runtime::Runtime;
use openline_engine::version::Version;
use openline_store::{Store, StoreError};

use crate::callers::Callers;
use crate::error::ChangeError;
use crate::identity::Identities;
use crate::managed::Managed;
use crate::plan::Plan;
use crate::settle::answered;

/// Versions by digest.
pub(crate) type Versions = HashMap<Digest, Arc<Version>>;

/// Everything that functions are made from.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) store: Store,
    pub(crate) identities: Identities,
    /// What functions share, and their channels.
    pub(crate) services: Arc<Services>,
    /// What functions call.
    pub(crate) callers: Callers,
}

/// Why a version in a deployment cannot serve.
#[derive(Debug)]
pub(crate) enum Damage {
    /// Its component is not in the store.
    Missing,
    /// Its component does not load.
    Load(LoadError),
}

/// The reason for which functions are prepared.
pub(crate) trait Occasion {
    /// Why they could not be prepared.
    type Error: From<StoreError>;

    /// Reports that a version was loaded, and the time that it took.
    fn loaded(&self, _config: &FunctionConfig, _version: &Version, _took: Duration) {}

    /// Decides about a version that cannot serve: fails, or goes on without it
    /// and returns why.
    fn damaged(
        &self,
        config: &FunctionConfig,
        version: &Digest,
        damage: Damage,
    ) -> Result<String, Self::Error>;
}

/// A change, which fails unless all its versions load.
#[derive(Debug)]
pub(crate) struct Changing;

impl Occasion for Changing {
    type Error = ChangeError;

    fn damaged(
        &self,
        _config: &FunctionConfig,
        version: &Digest,
        damage: Damage,
    ) -> Result<String, ChangeError> {
        Err(match damage {
            Damage::Missing => ChangeError::Missing(*version),
            Damage::Load(error) => ChangeError::Load(error),
        })
    }
}

impl Loader {
    /// The state that all versions of a function share.
    pub(crate) fn commons(&self, name: &FunctionName) -> Arc<Commons> {
        let make = || {
            let hub = self.services.hub();
            self.runtime.commons(name, &self.store, hub)
        };
        self.identities.commons(name, make)
    }

    /// A version of a component: a known one if nothing about it has changed,
    /// or else a new one.
    pub(crate) async fn version(
        &self,
        occasion: &impl Occasion,
        config: &FunctionConfig,
        component: &Component,
        known: &Versions,
    ) -> Result<Arc<Version>, LoadError> {
        let started = tokio::time::Instant::now();
        if let Some(known) = usable(known, &component.digest()) {
            if is_unchanged(known, config) {
                return Ok(Arc::clone(known));
            }
            return self.load(config, component, known.commons()).await;
        }
        let commons = self.commons(&config.name);
        let version = self.load(config, component, &commons).await?;
        occasion.loaded(config, &version, started.elapsed());
        Ok(version)
    }

    async fn load(
        &self,
        config: &FunctionConfig,
        component: &Component,
        commons: &Arc<Commons>,
    ) -> Result<Arc<Version>, LoadError> {
        let calls = self.callers.of(&config.name);
        let loading = self
            .runtime
            .load(config, component.clone(), commons, Some(calls));
        loading.await
    }

    /// Loads a component as a function of its own, without a route.
    pub(crate) async fn load_alone(
        &self,
        config: &FunctionConfig,
        component: &Component,
    ) -> Result<Arc<Version>, LoadError> {
        self.runtime.load_alone(config, component.clone()).await
    }

    /// Loads the versions that a plan needs, and makes the function.
    pub(crate) async fn prepare<O: Occasion>(
        &self,
        occasion: &O,
        plan: Plan,
        known: &Versions,
    ) -> Result<Managed, O::Error> {
        let Plan {
            config,
            configured,
            record,
            loaded,
        } = plan;
        // Held from here on, so that all versions get the same one.
        let commons = self.commons(&config.name);
        let mut versions = Versions::new();
        let mut unloaded = HashMap::new();
        for digest in Managed::needed(&config, &record) {
            let version = match &loaded {
                Some(version) if version.digest() == digest => Arc::clone(version),
                _ => match self.stored(occasion, &config, &digest, known).await? {
                    Ok(version) => version,
                    Err(damage) => {
                        let why = occasion.damaged(&config, &digest, damage)?;
                        unloaded.insert(digest, why);
                        continue;
                    }
                },
            };
            versions.insert(digest, version);
        }
        let before = self.identities.find(&config.name);
        let before = before.as_ref();
        let versions = (versions, unloaded);
        let managed = Managed::new(config, configured, commons, record, versions, before);
        Ok(managed)
    }

    /// A version of a stored component, which is read only if the version is
    /// not known.
    async fn stored(
        &self,
        occasion: &impl Occasion,
        config: &FunctionConfig,
        digest: &Digest,
        known: &Versions,
    ) -> Result<Result<Arc<Version>, Damage>, StoreError> {
        if let Some(known) = usable(known, digest)
            && is_unchanged(known, config)
        {
            return Ok(Ok(Arc::clone(known)));
        }
        let Some(component) = answered(self.store.component(digest)).await? else {
            return Ok(Err(Damage::Missing));
        };
        let version = self.version(occasion, config, &component, known).await;
        Ok(version.map_err(Damage::Load))
    }
}

/// A version that already exists. A removed version does not count: it exists
/// only for its last connections, which are asked to leave.
fn usable<'a>(known: &'a Versions, digest: &Digest) -> Option<&'a Arc<Version>> {
    let known = known.get(digest);
    known.filter(|version| !version.is_removed())
}

/// Whether a version has the limits and the environment of a configuration.
fn is_unchanged(version: &Version, config: &FunctionConfig) -> bool {
    *version.policy() == config.instance
        && **version.limits() == config.limit
        && version.environment() == config.environment.in_force()
}
