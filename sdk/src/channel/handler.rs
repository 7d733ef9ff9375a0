//! Functions that channels wake.

use std::future::Future;

use super::Publication;

/// Publications of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The channel's name.
    pub channel: String,
    /// In their order; never empty.
    pub publications: Vec<Publication>,
    /// How many, of any channel, were dropped since the last call, because more
    /// waited than may (`channel_queue`).
    pub lost: u64,
}

/// A plain handler that channels wake: those of the configuration's
/// `[[function.subscription]]`. Export it with
/// [`export_channel_handler!`](crate::export_channel_handler).
///
/// One instance, which serves no connections, runs the handler for all channels of
/// the function, with one call at a time; with affinity, also the alarms that the
/// handler has set. Each publication comes at most once: a call that fails is not
/// repeated. What the handler publishes itself does not wake it, unless the
/// subscription says `own = true`.
pub trait ChannelHandler: Default + 'static {
    /// Publications have gathered.
    fn published(&mut self, batch: Batch);
}

/// The same for asynchronous functions. Export it with
/// [`export_async_channel_handler!`](crate::export_async_channel_handler).
pub trait AsyncChannelHandler: Default + 'static {
    /// Publications have gathered; the next call waits until this one has
    /// returned.
    fn published(&self, batch: Batch) -> impl Future<Output = ()>;
}
