//! The operations on deployments, except a deploy. Each makes a new record of a
//! function, prepares it, writes it, and puts it into service.

use std::sync::Arc;

use openline_core::deployment::{Deployment, Migration, Share};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::trigger::Trigger;

use crate::apply::Next;
use crate::authenticators::{self, Reading};
use crate::deployer::{Deployer, State};
use crate::drain::drain_all;
use crate::error::{ApplyError, ChangeError};
use crate::managed::Managed;
use crate::plan::Plan;
use crate::prepare::{Changing, Versions};
use crate::settle::{ChangeGuard, answered};
use crate::view::AliasView;

impl Deployer {
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

    /// Gives all connections of an alias to the canary, or to the version whose
    /// digest begins with the prefix.
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

    /// Removes an alias that no trigger and no rule leads to.
    pub async fn remove_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<(), ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name)?;
        if let Some(trigger) = before.trigger_to(alias) {
            return Err(routed(trigger));
        }
        let firewalls = self.inner.services.table().firewalls.current();
        if let Some(rule) = before.rule_to(alias, firewalls.rules()) {
            return Err(ChangeError::Ruled(rule.to_string()));
        }
        let mut record = before.record.clone();
        record.remove_alias(alias)?;
        self.change(&before, record, &guard).await?;
        Ok(())
    }

    /// Removes the version whose digest begins with the prefix. With `force`,
    /// connections that are pinned to it are closed with 1012.
    pub async fn remove_version(
        &self,
        name: &FunctionName,
        version: &str,
        force: bool,
    ) -> Result<Digest, ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name)?;
        let version = before.record.find_version(version)?;
        if let Some(trigger) = before.trigger_to_version(&version) {
            return Err(routed(trigger));
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
        self.change(&before, record, &guard).await?;
        self.forget_component(&version, &guard).await;
        let pace = self.inner.state.read().server.drain_connections_per_second;
        drain_all(&before.commons, Some(version), pace);
        Ok(version)
    }

    /// Removes a function that no configuration names, with all its data, and
    /// closes its connections with 1012. This includes a function that has left
    /// the configuration and would otherwise find its data when it came back.
    pub async fn remove_function(&self, name: &FunctionName) -> Result<(), ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name).ok();
        if before.as_ref().is_some_and(|before| before.configured) {
            return Err(ChangeError::Configured(name.clone()));
        }
        let firewalls = self.inner.services.table().firewalls.current();
        let mut rules = firewalls.rules().functions();
        if let Some((rule, _)) = rules.find(|(_, function)| function.function == *name) {
            return Err(ChangeError::Ruled(rule.to_string()));
        }
        let record = match &before {
            Some(before) => Some(before.record.clone()),
            None => self.stored(name).await?,
        };
        let identities = &self.inner.loader.identities;
        if record.is_none() && identities.find(name).is_none() {
            return Err(ChangeError::NoFunction(name.clone()));
        }
        let (deployer, name) = (self.clone(), name.clone());
        let removing = async move |_, guard: ChangeGuard| {
            // There is no way back: what is removed late is removed.
            let commons = deployer.inner.loader.commons(&name);
            commons.remove().await?;
            deployer.forget_function(&name)?;
            for version in record.iter().flat_map(Deployment::versions) {
                deployer.forget_component(&version.digest, &guard).await;
            }
            let pace = deployer
                .inner
                .state
                .read()
                .server
                .drain_connections_per_second;
            drain_all(&commons, None, pace);
            Ok(())
        };
        self.inner.changes.settle(&guard, removing).await
    }

    /// Has nothing lead to a function any more.
    fn forget_function(&self, name: &FunctionName) -> Result<(), ApplyError> {
        self.inner.loader.identities.forget(name);
        let State {
            server,
            channels: _,
            mut functions,
        } = self.inner.state.read().clone();
        functions.remove(name);
        let authenticators = authenticators::known(&self.inner.services);
        self.replace(server, functions, &authenticators, (None, None))
    }

    /// The stored deployment of a function, served or not.
    pub(crate) async fn stored(
        &self,
        name: &FunctionName,
    ) -> Result<Option<Deployment>, ChangeError> {
        let stored = answered(self.inner.loader.store.deployments()).await?;
        Ok(stored.into_iter().find(|record| record.name() == name))
    }

    async fn change_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        change: impl FnOnce(&mut Deployment) -> Result<(), ChangeError>,
    ) -> Result<AliasView, ChangeError> {
        let guard = self.lock_changes().await?;
        let before = self.managed(name)?;
        let mut record = before.record.clone();
        change(&mut record)?;
        let managed = self.change(&before, record, &guard).await?;
        let record = managed.record.alias(alias);
        let record = record.ok_or_else(|| ChangeError::NoFunction(name.clone()))?;
        Ok(managed.alias_view(record))
    }

    /// Makes a new record of a function that is served.
    pub(crate) async fn change(
        &self,
        before: &Managed,
        record: Deployment,
        guard: &ChangeGuard,
    ) -> Result<Arc<Managed>, ChangeError> {
        let plan = Plan {
            config: before.config.clone(),
            configured: before.configured,
            record,
            loaded: None,
        };
        self.adopt(plan, Some(before), guard).await
    }

    /// Carries out a plan: loads missing versions, writes the deployment, and
    /// leads aliases and triggers to it. After an error nothing has changed.
    pub(crate) async fn adopt(
        &self,
        plan: Plan,
        before: Option<&Managed>,
        guard: &ChangeGuard,
    ) -> Result<Arc<Managed>, ChangeError> {
        let none = Versions::new();
        let known = before.map_or(&none, |before| &before.versions);
        let prepared = self.inner.loader.prepare(&Changing, plan, known).await?;
        let managed = Arc::new(prepared);
        let state = self.inner.state.read().clone();
        let mut functions = state.functions;
        functions.insert(managed.config.name.clone(), Arc::clone(&managed));
        let next = Next {
            server: state.server,
            channels: None,
            firewalls: None,
            keys: None,
            functions,
            written: vec![Arc::clone(&managed)],
            led: vec![Arc::clone(&managed)],
            secrets: Reading::New,
        };
        self.apply(next, guard).await?;
        Ok(managed)
    }
}

/// A change that a trigger does not allow.
fn routed(trigger: &Trigger) -> ChangeError {
    ChangeError::Routed(format!("`{}` ({})", trigger.name, trigger.route))
}
