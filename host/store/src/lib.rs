//! The data directory: what was deployed, states and durable alarms. What it
//! has acknowledged survives the end of the process at any moment.
//!
//! A folder of `store.redb` and `components/DIGEST.wasm`, which one process has
//! at a time; or the memory, which forgets it all. One thread writes: it takes
//! what waits in a bounded queue into one transaction, so that many callers
//! share one wait for the disk. Reads happen off the asynchronous threads.
//!
//! A disk that fails or is full is an error to who writes, and nothing else:
//! reads go on, and writes again when the disk does. What a value means, and
//! how large one may be, is for the callers to know.

mod backend;
mod components;
mod database;
mod error;
mod file;
mod store;
mod tables;
mod writer;

pub use error::{OpenError, SaveError, StoreError};
pub use store::{FunctionStore, Store};
pub use tables::{ENTRY_BYTES, Snapshot, StoredAlarm, Usage};
