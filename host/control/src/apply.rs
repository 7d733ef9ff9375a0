//! Puts prepared functions into service. The change is written first, and the
//! steps after the write cannot fail. Both happen in a task that ends whatever
//! becomes of its caller (see `settle`).

use std::sync::Arc;

use openline_admission::keys::PreparedKeys;
use openline_admission::services;
use openline_core::channel::ChannelTable;
use openline_core::component::Component;
use openline_core::config::ServerConfig;
use openline_core::deployment::Deployment;
use openline_core::digest::Digest;
use openline_core::trigger::{TRIGGERS_MAX, TriggerError, TriggerTable};
use openline_firewall::rules::Firewalls;
use openline_store::StoreError;
use tokio::task::spawn_blocking;

use crate::authenticators::{self, Authenticators, Reading, led};
use crate::channels;
use crate::deployer::{Deployer, State};
use crate::drain::drain;
use crate::error::ApplyError;
use crate::handlers;
use crate::managed::{Functions, Managed};
use crate::settle::{ChangeGuard, Claim};

/// The functions that are to serve.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) server: ServerConfig,
    /// The channels that functions share; those in force if there are none.
    pub(crate) channels: Option<Arc<[ChannelTable]>>,
    /// The firewalls; those in force if there are none.
    pub(crate) firewalls: Option<Firewalls>,
    /// The API keys of the configuration; those in force if there are none.
    pub(crate) keys: Option<PreparedKeys>,
    pub(crate) functions: Functions,
    /// Those with a changed deployment.
    pub(crate) written: Vec<Arc<Managed>>,
    /// Those whose aliases may move.
    pub(crate) led: Vec<Arc<Managed>>,
    /// Whether the secrets of known triggers are read again.
    pub(crate) secrets: Reading,
}

impl Deployer {
    /// Puts these functions into service. After an error the host serves what
    /// it served before, and would find the same if it started again.
    pub(crate) async fn apply(&self, next: Next, guard: &ChangeGuard) -> Result<(), ApplyError> {
        let firewalls = match &next.firewalls {
            Some(firewalls) => firewalls.clone(),
            None => self.inner.services.table().firewalls.current(),
        };
        check_triggers(&next.functions, &firewalls)?;
        handlers::check(&next.functions, firewalls.rules())?;
        let services = &self.inner.services;
        let authenticators = authenticators::prepare(&next.functions, services, next.secrets);
        let authenticators = authenticators.await?;
        let deployer = self.clone();
        let applying =
            async move |claim, _| deployer.write_and_serve(next, authenticators, claim).await;
        self.inner.changes.settle(guard, applying).await
    }

    async fn write_and_serve(
        &self,
        next: Next,
        authenticators: Authenticators,
        claim: Claim,
    ) -> Result<(), ApplyError> {
        let Next {
            server,
            channels,
            firewalls,
            keys,
            functions,
            written,
            led,
            secrets: _,
        } = next;
        let inner = &self.inner;
        let store = &inner.loader.store;
        let shared = channels.clone();
        let shared = shared.unwrap_or_else(|| Arc::clone(&inner.state.read().channels));
        channels::restore(&inner.services, store, &shared).await?;
        for managed in &led {
            managed.commons.restore_alarms().await?;
            channels::restore_own(&inner.services, managed, &shared).await?;
        }
        let stored = match written[..] {
            [] => Vec::new(),
            _ => store.deployments().await?,
        };
        if claim.is_taken() {
            return Ok(());
        }
        if !written.is_empty() {
            let records = written.iter().map(|managed| &managed.record);
            let records = records.map(|record| (record.name().clone(), Some(record)));
            store.set_deployments(records.collect()).await?;
        }
        if !claim.take() {
            self.take_back(&written, &stored).await;
            return Ok(());
        }
        let others = (channels, firewalls);
        self.replace(server.clone(), functions, &authenticators, others)?;
        if let Some(prepared) = keys {
            let keys = Arc::clone(inner.services.keys());
            // It looks at the connections of all keys that are gone.
            let putting = spawn_blocking(move || keys.put(prepared));
            // It does not fail, and the runtime ends only after this task.
            let _ = putting.await;
        }
        for managed in &led {
            for moved in managed.lead() {
                drain(managed, moved, &server);
            }
            inner.loader.identities.note(managed);
        }
        Ok(())
    }

    /// Writes again what was there before a change whose asker has given up.
    async fn take_back(&self, written: &[Arc<Managed>], stored: &[Deployment]) {
        let records = written.iter().map(|managed| {
            let name = managed.record.name();
            let before = stored.iter().find(|record| record.name() == name);
            (name.clone(), before)
        });
        let taken_back = self.inner.loader.store.set_deployments(records.collect());
        match taken_back.await {
            Ok(()) => tracing::warn!("a change was written too late and is taken back"),
            Err(error) => {
                tracing::error!(%error, "a change was written too late: it is in force when the host starts again");
            }
        }
    }

    /// Has the table of triggers lead to these functions, and no others.
    /// Without channels that functions share, or firewalls, those in force stay.
    pub(crate) fn replace(
        &self,
        server: ServerConfig,
        functions: Functions,
        authenticators: &Authenticators,
        (channels, firewalls): (Option<Arc<[ChannelTable]>>, Option<Firewalls>),
    ) -> Result<(), ApplyError> {
        let mut state = self.inner.state.write();
        let services = &self.inner.services;
        let rules = match &firewalls {
            Some(firewalls) => Arc::clone(firewalls.rules()),
            None => Arc::clone(services.table().firewalls.current().rules()),
        };
        let inspectors = handlers::inspectors(&functions, &rules);
        let led = led(&functions, authenticators);
        let others = (inspectors, handlers::woken(&functions));
        services.replace(server.clone(), led, firewalls, others)?;
        let channels = channels.unwrap_or_else(|| Arc::clone(&state.channels));
        channels::apply(services, &functions, &state, &channels);
        *state = State {
            server,
            channels,
            functions,
        };
        Ok(())
    }

    /// Writes a component that a change needs. If that comes too late, the change
    /// is not made, and the next reload or start removes the component.
    pub(crate) async fn keep_component(
        &self,
        component: Component,
        guard: &ChangeGuard,
    ) -> Result<(), StoreError> {
        let (deployer, bytes) = (self.clone(), component.bytes().len());
        let keeping = async move |_, _| deployer.inner.loader.store.put_component(component).await;
        let changes = &self.inner.changes;
        changes.settle_writing(bytes, guard, keeping).await
    }

    /// Removes a component that no function needs any more. If that fails, the next
    /// start of the host removes it.
    pub(crate) async fn forget_component(&self, digest: &Digest, guard: &ChangeGuard) {
        let (deployer, version) = (self.clone(), *digest);
        let forgetting = async move |_, _| deployer.try_forget(&version).await;
        if let Err(error) = self.inner.changes.settle(guard, forgetting).await {
            tracing::warn!(%error, version = digest.short(), "a component is not removed");
        }
    }

    async fn try_forget(&self, digest: &Digest) -> Result<(), StoreError> {
        let store = &self.inner.loader.store;
        // A function that has left the configuration may come back, and needs
        // its components then.
        let stored = store.deployments().await?;
        let state = self.inner.state.read().clone();
        let records = state.functions.values().map(|managed| &managed.record);
        let mut all = stored.iter().chain(records);
        if all.any(|record| record.version(digest).is_some()) {
            return Ok(());
        }
        store.remove_component(digest).await
    }

    /// Removes components that an unfinished deploy has left.
    pub(crate) async fn clean(&self, guard: &ChangeGuard) -> Result<(), StoreError> {
        let deployer = self.clone();
        let cleaning = async move |_, _| deployer.try_clean().await;
        self.inner.changes.settle(guard, cleaning).await
    }

    async fn try_clean(&self) -> Result<(), StoreError> {
        let store = &self.inner.loader.store;
        let deployments = store.deployments().await?;
        let needed = |digest: &Digest| {
            let mut deployments = deployments.iter();
            deployments.any(|deployment| deployment.version(digest).is_some())
        };
        for digest in store.components().await? {
            if !needed(&digest) {
                store.remove_component(&digest).await?;
            }
        }
        Ok(())
    }
}

/// Checks that the triggers of all functions go together, and that there are the
/// firewalls that they name.
fn check_triggers(functions: &Functions, firewalls: &Firewalls) -> Result<(), TriggerError> {
    let mut table = TriggerTable::default();
    for managed in functions.values() {
        let triggers: Vec<_> = managed.triggers().collect();
        // One more than the tables of a configuration: its short form.
        if triggers.len() > TRIGGERS_MAX + 1 {
            return Err(TriggerError::TooMany(managed.config.name.clone()));
        }
        let affinity = managed.config.instance.affinity.as_ref();
        for (index, trigger) in triggers.iter().enumerate() {
            let place = managed.place(trigger);
            if triggers[..index].iter().any(|it| it.name == trigger.name) {
                return Err(TriggerError::Twice(Box::new(place)));
            }
            trigger.check_affinity(affinity)?;
            services::find(firewalls, trigger, &managed.config.name)?;
            table.insert(trigger, &place, &())?;
        }
    }
    Ok(())
}
