//! Puts prepared functions into service. The change is written first, and the
//! steps after the write cannot fail.

use std::sync::Arc;

use openline_core::config::ServerConfig;
use openline_core::digest::Digest;
use openline_core::route::{RouteError, RouteTable};
use openline_store::StoreError;

use crate::deployer::{Deployer, State};
use crate::drain::drain;
use crate::error::ApplyError;
use crate::managed::{Functions, Managed, routes};

/// The functions that are to serve.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) server: ServerConfig,
    pub(crate) functions: Functions,
    /// Those with a changed deployment.
    pub(crate) written: Vec<Arc<Managed>>,
    /// Those whose aliases may move.
    pub(crate) led: Vec<Arc<Managed>>,
}

impl Deployer {
    /// Puts these functions into service. After an error the host serves what
    /// it served before.
    pub(crate) async fn apply(&self, next: Next) -> Result<(), ApplyError> {
        let Next {
            server,
            functions,
            written,
            led,
        } = next;
        let inner = &self.inner;
        check_routes(&functions)?;
        for managed in &led {
            managed.commons.restore_alarms().await?;
        }
        for managed in &written {
            inner.loader.store.put_deployment(&managed.record).await?;
        }
        {
            let mut state = inner.state.write();
            inner.services.replace(server.clone(), routes(&functions))?;
            *state = State {
                server: server.clone(),
                functions,
            };
        }
        for managed in &led {
            for moved in managed.lead() {
                drain(managed, moved, &server);
            }
            inner.loader.identities.note(managed);
        }
        Ok(())
    }

    /// Removes a component that no function needs any more. If that fails, the next
    /// start of the host removes it.
    pub(crate) async fn forget_component(&self, digest: &Digest) {
        if let Err(error) = self.try_forget(digest).await {
            tracing::warn!(%error, version = digest.short(), "could not remove a component");
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
    pub(crate) async fn clean(&self) -> Result<(), StoreError> {
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

/// Checks that no two routes conflict.
fn check_routes(functions: &Functions) -> Result<(), RouteError> {
    let mut table = RouteTable::default();
    for (route, _) in routes(functions) {
        table.insert(&route, ())?;
    }
    Ok(())
}
