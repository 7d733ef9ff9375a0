//! The state that all requests to the admin interface share.

use std::net::SocketAddr;
use std::sync::Arc;

use openline_channels::budget::SharedBudget;
use openline_control::Deployer;
use openline_gateway::gateway::Gateway;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::page::Page;

/// The description of the interface. It is made from the endpoints, so they
/// receive it at run time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description {
    pub(crate) text: fn() -> &'static str,
    /// The keys that a query may have, by method and path.
    pub(crate) keys: fn(&str, &str) -> &'static [&'static str],
}

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct Context {
    /// The runtime that answers all requests except probes, whichever thread
    /// accepted them.
    pub(crate) workers: Handle,
    pub(crate) deployer: Deployer,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) description: Description,
    pub(crate) page: Arc<Page>,
    pub(crate) component_bytes: usize,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Milliseconds since 1970.
    pub(crate) started: u64,
    /// Places for requests that wait for the workers.
    pub(crate) working: Semaphore,
    /// Places for components that are in memory.
    pub(crate) components: Arc<Semaphore>,
    pub(crate) messages: Semaphore,
    /// Places for streams of channels.
    pub(crate) streams: Arc<Semaphore>,
    /// What the connections of all streams may keep with the host. It is there
    /// while there are streams: a function that is alone on its host shares its
    /// room with nobody otherwise.
    pub(crate) stream_budget: SharedBudget,
}
