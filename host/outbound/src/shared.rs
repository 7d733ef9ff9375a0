//! What the calls of all functions share.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::dial::Dialer;
use crate::hops::HopName;
use crate::places::Places;

/// What the calls of all functions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dialer: Dialer,
    /// Where sockets and their tasks live.
    pub(crate) runtime: Handle,
    pub(crate) places: Arc<Places>,
    pub(crate) hop_name: HopName,
}
