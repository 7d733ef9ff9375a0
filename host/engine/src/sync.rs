//! The locks, atomics, tasks and timers that threads share in this package.
//!
//! Named in one place because `host/models` compiles the same files with types
//! of a model checker instead. Here they are the real types and nothing more.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
pub(crate) use tokio::spawn;
pub(crate) use tokio::time::{Sleep, sleep, timeout};
