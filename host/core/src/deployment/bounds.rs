//! The bounds and the format of a deployment.

/// The newest format of a written [`Deployment`](super::Deployment) that this
/// release reads. It has triggers; a deployment without any is written in
/// format 1, which older releases read as well.
pub const DEPLOYMENT_FORMAT: u32 = 2;
/// Aliases of one function: stages and tenants, not connections.
pub const ALIASES_MAX: usize = 64;
/// How many changes of an alias can be rolled back. To go back further, name
/// the version.
pub const HISTORY_MAX: usize = 20;
/// A note on a version, in bytes: a line of a commit.
pub const NOTE_BYTES_MAX: usize = 256;
/// The most connections of an alias that are drained in a second: the host's
/// own bound of `drain_connections_per_second`.
pub const DRAIN_PACE_MAX: u32 = 10_000_000;
