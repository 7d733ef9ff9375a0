//! The data directory: deployments, states, durable alarms, rows of durable
//! channels, revocations and API keys.
//! Acknowledged writes survive the end of the process at any moment.
//!
//! It is a folder with `store.redb` and `components/DIGEST.wasm`, which one
//! process uses at a time; without a folder everything is in memory, and ends
//! with the process. One thread writes: it puts all operations that wait in a
//! bounded queue into one transaction, so that many callers share one wait for
//! the disk. Reads happen off the asynchronous threads.
//!
//! A disk that fails or is full is an error for writers only: reads go on, and
//! writes succeed again when the disk does. The callers know what a value means
//! and how large it may be.

mod components;
mod database;
mod error;
mod file;
mod keys;
mod line;
mod overlay;
mod revocations;
mod rows;
mod secret;
mod store;
mod tables;
mod writer;

pub use error::{GroupError, LineError, OpenError, SaveError, StoreError};
pub use line::{Attempt, LINE_BYTES_MAX, LINE_GROUPS_MAX, Place};
pub use revocations::{StoredRevocation, StoredRevocations};
pub use rows::{RowChange, StoredRow};
pub use store::{ChannelStore, FunctionStore, Store};
pub use tables::{ENTRY_BYTES, Snapshot, StoredAlarm, Usage};
