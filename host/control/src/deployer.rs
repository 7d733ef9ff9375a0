//! The state that all operations share: the functions in force, and what
//! functions are made of.

use std::sync::Arc;

use openline_admission::services::Services;
use openline_core::channel::ChannelTable;
use openline_core::config::{FunctionConfig, PublicUrl, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::trigger::Trigger;
use openline_engine::alias::Alias;
use openline_engine::runtime::Taken;
use openline_outbound::Outbound;
use parking_lot::RwLock;

use crate::error::ChangeError;
use crate::managed::{Functions, Introduced, Managed, led_triggers};
use crate::prepare::Loader;
use crate::settle::ChangeLock;
use crate::view::FunctionView;

/// The deployed functions of one host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deployer {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) loader: Loader,
    pub(crate) in_memory: bool,
    pub(crate) services: Arc<Services>,
    pub(crate) changes: ChangeLock,
    pub(crate) state: RwLock<State>,
}

/// The functions in force.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) server: ServerConfig,
    /// The channels that functions share.
    pub(crate) channels: Arc<[ChannelTable]>,
    pub(crate) functions: Functions,
}

impl Deployer {
    /// The functions by their triggers, as the gateway serves them.
    pub fn services(&self) -> &Arc<Services> {
        &self.inner.services
    }

    /// The channels that functions share, as the configuration has them.
    pub fn shared_channels(&self) -> Arc<[ChannelTable]> {
        Arc::clone(&self.inner.state.read().channels)
    }

    /// How much of the engine's room is taken now.
    pub fn taken(&self) -> Taken {
        self.inner.loader.runtime.taken()
    }

    /// Whether the host forgets its deployments when the process ends.
    pub fn is_in_memory(&self) -> bool {
        self.inner.in_memory
    }

    /// All functions by name.
    pub fn functions(&self) -> Vec<FunctionView> {
        let state = self.inner.state.read();
        let url = self.public_url();
        let functions = state.functions.values();
        functions.map(|it| it.view(url.as_ref())).collect()
    }

    /// One function.
    pub fn function(&self, name: &FunctionName) -> Result<FunctionView, ChangeError> {
        Ok(self.managed(name)?.view(self.public_url().as_ref()))
    }

    /// The address to give away, as the configuration was last read.
    pub fn public_url(&self) -> Option<PublicUrl> {
        self.inner.services.table().config.public_url.clone()
    }

    /// All triggers, with the aliases that they lead to.
    pub fn triggers(&self) -> Vec<(Trigger, Arc<Alias>)> {
        led_triggers(&self.inner.state.read().functions)
    }

    /// All triggers, each with why nothing serves there, in a line; none where
    /// something does.
    pub fn introduction(&self) -> Vec<Introduced> {
        let state = self.inner.state.read();
        let functions = state.functions.values();
        functions.flat_map(|it| it.introduction()).collect()
    }

    /// What functions call.
    pub fn outbound(&self) -> &Arc<Outbound> {
        self.inner.loader.callers.outbound()
    }

    /// Checks that the host still takes changes.
    pub(crate) fn is_open(&self) -> Result<(), ChangeError> {
        if self.inner.services.is_draining() {
            return Err(ChangeError::Stopping);
        }
        Ok(())
    }

    pub(crate) fn managed(&self, name: &FunctionName) -> Result<Arc<Managed>, ChangeError> {
        let state = self.inner.state.read();
        let found = state.functions.get(name).cloned();
        found.ok_or_else(|| ChangeError::NoFunction(name.clone()))
    }

    /// The configuration in force of each function, by name.
    pub fn configs(&self) -> Vec<FunctionConfig> {
        let state = self.inner.state.read();
        let functions = state.functions.values();
        functions.map(|managed| managed.config.clone()).collect()
    }
}
