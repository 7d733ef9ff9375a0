//! The locks, atomics and wakers that threads share in this package.
//!
//! Named in one place because `host/models` compiles the same files with types
//! of a model checker instead. Here they are the real types and nothing more.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
